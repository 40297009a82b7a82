//! Ports for servers that this process starts.
//!
//! A port that the kernel assigns is free only until somebody connects from it. So these ports are below the range of
//! the kernel, and they are taken one after another.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// It is below 32768, where Linux begins to assign ports by itself, and above the ports of known services.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of the loopback interface on which nobody listens. This process does not give it to anybody else for a long
/// time.
///
/// # Errors
/// If all are taken.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that begin at the same time begin at different ports.
    let begin = std::process::id().wrapping_mul(97) % u32::from(COUNT);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..COUNT {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed) % COUNT);
        let offset = u16::try_from((begin + next) % u32::from(COUNT)).unwrap_or_default();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)) {
            Ok(_) => return Ok(FIRST + offset),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_not_those_that_the_kernel_gives_out() {
        let mut ports: Vec<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
    }
}
