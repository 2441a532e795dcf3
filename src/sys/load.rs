//! How busy the machine is: memory, load, pressure, boots.

use std::time::Duration;

use anyhow::Context as _;

/// Memory, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What programs can still get without swapping, as the kernel reckons.
    pub available: u64,
}

fn read(file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))
}

/// Memory now.
pub fn memory() -> anyhow::Result<Memory> {
    parse_memory(&read("/proc/meminfo")?).context("/proc/meminfo lacks MemTotal or MemAvailable")
}

fn parse_memory(text: &str) -> Option<Memory> {
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    Some(Memory {
        total: kib("MemTotal:")? << 10,
        available: kib("MemAvailable:")? << 10,
    })
}

/// Processes that ran or waited for a disk, averaged over five minutes.
pub fn load_of_five_minutes() -> anyhow::Result<f64> {
    let text = read("/proc/loadavg")?;
    text.split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .with_context(|| format!("/proc/loadavg says '{}'", text.trim()))
}

/// Processors that are there for everybody.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Share of the last five minutes in which somebody had to wait for `what` (`cpu`, `memory`, `io`), %. `None` where the kernel
/// does not say.
pub fn pressure(what: &str) -> Option<f64> {
    parse_pressure(&std::fs::read_to_string(format!("/proc/pressure/{what}")).ok()?)
}

fn parse_pressure(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let word = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("avg300="))?;
    word.parse().ok()
}

/// Another value after every boot.
pub fn boot_id() -> anyhow::Result<String> {
    Ok(read("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// How long the machine has been up.
pub fn uptime() -> anyhow::Result<Duration> {
    let text = read("/proc/uptime")?;
    let seconds: f64 = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .with_context(|| format!("/proc/uptime says '{}'", text.trim()))?;
    Ok(Duration::from_secs_f64(seconds.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_words_are_read() {
        let text = "MemTotal:       16384 kB\nMemFree:  12 kB\nMemAvailable:    4096 kB\n";
        let memory = parse_memory(text).expect("reads");
        assert_eq!((memory.total, memory.available), (16 << 20, 4 << 20));
        assert_eq!(parse_memory("MemTotal: 1 kB"), None);
        let text = "some avg10=0.00 avg60=1.50 avg300=42.25 total=1\nfull avg10=0 avg60=0 avg300=7 total=0";
        assert_eq!(parse_pressure(text), Some(42.25));
        assert!(memory_is_sane(super::memory().expect("reads")));
        assert!(load_of_five_minutes().expect("reads") >= 0.0);
        assert!(boot_id().expect("reads").len() > 30);
    }

    fn memory_is_sane(memory: Memory) -> bool {
        memory.total > 1 << 20 && memory.available <= memory.total
    }
}
