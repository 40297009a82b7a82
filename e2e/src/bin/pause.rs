//! The program in a Pod's sandbox. It does nothing until it is killed.

fn main() {
    loop {
        std::thread::park();
    }
}
