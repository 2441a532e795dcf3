//! `[gpu]`: when a device is a finding, and what measures it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use super::values::names_program;
use crate::error::{self, Failure};
use crate::units::Length;

/// The NVIDIA GPUs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gpu {
    /// memory in use from here on is a finding, %
    pub memory_pct: f64,
    /// so many degrees below a device's own slowdown temperature are a finding
    pub temperature_margin: u32,
    /// a process that holds memory of a device that was at no use for this long is a finding
    pub idle_after: Length,
    /// weekly mean utilisation of two devices this far apart is a finding, points of %
    pub imbalance_pct: f64,
    /// NVIDIA's library; only where it is not found by itself
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")]
    #[serde(deserialize_with = "super::values::path")]
    pub nvml_library: Option<PathBuf>,
    /// where the kernel's messages are: its own device, or a file that syslog writes them into
    #[serde(deserialize_with = "super::values::path")]
    pub kernel_log: PathBuf,
    /// an argument list that --benchmark runs; the last number that it prints, without commas in it, is its figure; {batch} becomes the batch size
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["/usr/local/bin/gpu-benchmark", "--batch", "{batch}"])]
    pub benchmark: Vec<String>,
    /// batch sizes to run it with
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = [1, 8, 32])]
    pub benchmark_batches: Vec<u32>,
    /// whether a higher or a lower figure is better
    pub benchmark_better: Better,
    /// so much worse than the median of its own past is a finding, %
    pub benchmark_margin_pct: f64,
    /// how long one run of it may take
    #[serde(deserialize_with = "super::values::some_time")]
    pub benchmark_limit: Length,
}

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// As a throughput.
    Higher,
    /// As a time.
    Lower,
}

impl Default for Gpu {
    fn default() -> Self {
        Self {
            memory_pct: 90.0,
            temperature_margin: 5,
            idle_after: Length::from_millis(3 * 86_400_000),
            imbalance_pct: 50.0,
            nvml_library: None,
            kernel_log: "/dev/kmsg".into(),
            benchmark: Vec::new(),
            benchmark_batches: Vec::new(),
            benchmark_better: Better::Higher,
            benchmark_margin_pct: 10.0,
            benchmark_limit: Length::from_millis(30 * 60_000),
        }
    }
}

impl Gpu {
    /// Whether the benchmark has a place for the batch size.
    pub fn takes_batch(&self) -> bool {
        self.benchmark.iter().any(|word| word.contains("{batch}"))
    }
}

impl Section for Gpu {
    const NAME: &'static str = "gpu";

    fn check(&self) -> Result<(), Failure> {
        for (key, value) in [
            ("memory_pct", self.memory_pct),
            ("imbalance_pct", self.imbalance_pct),
            ("benchmark_margin_pct", self.benchmark_margin_pct),
        ] {
            if !(value > 0.0 && value <= 100.0) {
                return Err(error::config(format!(
                    "{key} is {value}: it must be more than 0 and at most 100"
                )));
            }
        }
        if !self.benchmark.is_empty() && !names_program(&self.benchmark) {
            return Err(error::config("benchmark names no program"));
        }
        if self.benchmark_batches.contains(&0) {
            return Err(error::config("a batch of 0 is none"));
        }
        if !self.benchmark_batches.is_empty() && !self.takes_batch() {
            return Err(error::config(
                "benchmark_batches are given, and benchmark does not take one",
            )
            .hint("benchmark = [\"…\", \"--batch\", \"{batch}\"]"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_values_are_refused() {
        for wrong in [
            "memory_pct = 0",
            "memory_pct = nan",
            "imbalance_pct = 101",
            "benchmark = [\"\"]",
            "benchmark = [\"x\"]\nbenchmark_batches = [1]",
            "benchmark = [\"x\", \"{batch}\"]\nbenchmark_batches = [0]",
        ] {
            let gpu: Gpu = toml::from_str(wrong).expect("reads");
            assert!(gpu.check().is_err(), "{wrong}");
        }
    }
}
