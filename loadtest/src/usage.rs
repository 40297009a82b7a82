//! Reads what the kernel knows of a process.

use std::fs;

/// The number of bytes of a mebibyte.
pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// The resident memory in bytes. It is zero if the kernel does not say.
pub(crate) fn resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "VmRSS:").map_or(0, |kib| kib * 1024)
}

/// The most memory that was ever resident, in bytes. None if the kernel does not say, for example because the process
/// has ended.
pub(crate) fn peak(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field(&status, "VmHWM:").map(|kib| kib * 1024)
}

/// The processor time in milliseconds since the process started.
pub(crate) fn processor_ms(pid: i32) -> u64 {
    // A clock tick is a hundredth of a second on Linux.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat) * 10
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// User and system time in ticks. The process name before them may contain any text, but it ends with the last
/// parenthesis.
fn ticks(stat: &str) -> u64 {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 11 12 13";
        assert_eq!(ticks(stat), 11 + 12);
        assert_eq!(field("Name:\tx\nVmRSS:\t  123 kB\n", "VmRSS:"), Some(123));
        assert!(resident(std::process::id().cast_signed()) > 1_000_000);
    }

    #[test]
    fn a_peak_stays_when_the_memory_is_given_back() {
        let pid = std::process::id().cast_signed();
        // given a process that has held much memory for a while
        let before = resident(pid);
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        drop(block);
        // then its peak says so
        assert!(peak(pid).is_some_and(|peak| peak >= before + (60 << 20)));
        // and of no process there is none
        assert_eq!(peak(i32::MAX), None);
    }
}
