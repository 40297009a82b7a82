//! What a Pod's sandbox runs: nothing, until it is killed.

fn main() {
    loop {
        std::thread::park();
    }
}
