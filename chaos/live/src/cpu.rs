//! How busy the machine is. Latencies of an overloaded machine say nothing.

use std::fs;

/// Processor time of the whole machine since its start, in the kernel's ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    busy: u64,
    all: u64,
}

impl Cpu {
    /// The present reading. It is zero if the kernel does not say.
    pub(crate) fn now() -> Self {
        Self::read(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// The part of all processors that was used since this reading, from 0 to 1.
    pub(crate) fn used_since(self) -> f64 {
        self.used_until(Self::now())
    }

    fn used_until(self, later: Self) -> f64 {
        let (busy, all) = (later.busy.saturating_sub(self.busy), later.all.saturating_sub(self.all));
        #[allow(clippy::cast_precision_loss, reason = "ticks of a run")]
        let part = busy as f64 / all.max(1) as f64;
        part
    }

    /// Reads the first line: user, nice, system, idle, iowait, irq, softirq, steal. User time includes guest time.
    fn read(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
        // Processes with a low priority give way, so their time counts as idle.
        let idle: u64 = ticks.iter().skip(3).take(2).chain(ticks.get(1)).sum();
        let all: u64 = ticks.iter().sum();
        Self { busy: all - idle, all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_and_yielding_time_is_not_busy() {
        let before = Cpu::read("cpu  10 0 10 70 10 0 0 0 5 5\ncpu0 1");
        let later = Cpu::read("cpu  20 10 20 120 30 0 0 0 9 9\n");
        assert!((before.used_until(later) - 0.2).abs() < 1e-9);
        assert!(Cpu::read("").used_until(Cpu::read("")).abs() < 1e-9);
    }
}
