//! The suite, and the clouds it runs on.

/// Makes two tests of each function, `simulator::…` and `moto::…`.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod simulator {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&crate::suite::simulator::Simulator::start().await).await;
            })+
        }
        mod moto {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&crate::suite::moto::Moto::start().await).await;
            })+
        }
    };
}

mod backend;
mod databases;
mod describe;
mod isolate;
mod moto;
mod power;
mod simulator;
mod tags;
