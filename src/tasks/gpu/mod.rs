//! Looks after the NVIDIA GPUs: memory, heat, errors, the way to them, who holds what. Changes one thing, and only when it is asked
//! to: `--set-persistence`. Never resets a device: it prints the command.

mod balance;
mod benchmark;
mod judge;
mod kernel;
mod lost;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Config;
use crate::config::sections::Gpu;
use crate::context::Context;
use crate::error::{missing, usage};
use crate::nvml::{Library, Reading};
use crate::report::{Cell, Document, Reporter, Step, Table};
use crate::task;
use crate::units::{self, percent};

/// What the driver may take for all that is asked at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Look at the GPUs: memory, heat, ECC, throttling, balance; keep the driver's state with --set-persistence
#[derive(Args)]
pub struct Arguments {
    /// Turn the persistence mode on where it is off
    #[arg(long)]
    set_persistence: bool,
    /// Run the command of [gpu] benchmark, keep its figure, compare it with its past
    #[arg(long)]
    benchmark: bool,
    /// Batch sizes for the benchmark, as in 1,8,32 [default: [gpu] benchmark_batches]
    #[arg(long, value_name = "SIZES", value_delimiter = ',', requires = "benchmark",
        value_parser = clap::value_parser!(u32).range(1..))]
    batch: Vec<u32>,
}

/// What `gpu` returns as `data`.
#[derive(Serialize, JsonSchema)]
pub struct Detail {
    /// The driver's version.
    driver: Option<String>,
    /// Each device.
    devices: Vec<Reading>,
    /// What the benchmark said.
    benchmarks: Vec<benchmark::Figure>,
}

/// Resolved.
pub struct Task {
    settings: Gpu,
    library: Library,
    kernel_log: PathBuf,
    set_persistence: bool,
    /// The batch sizes of the benchmark, `None` for one without; none of either when it is not asked for.
    benchmark: Vec<Option<u32>>,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "gpu";
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, other: &Self) -> bool {
        self.benchmark || !other.benchmark
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let settings = config.get::<Gpu>()?;
        let path = match &settings.nvml_library {
            Some(path) => Some(config.path(path)?),
            None => None,
        };
        let batches = match self.batch.is_empty() {
            true => settings.benchmark_batches.clone(),
            false => self.batch,
        };
        let benchmark = match (self.benchmark, batches.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => vec![None],
            (true, false) => batches.into_iter().map(Some).collect(),
        };
        if self.benchmark && settings.benchmark.is_empty() {
            return Err(missing("there is no benchmark to run")
                .hint("[gpu] benchmark = [\"/usr/local/bin/gpu-benchmark\"]")
                .into());
        }
        let wants = benchmark.iter().any(Option::is_some);
        if self.benchmark && wants != settings.takes_batch() {
            return Err(usage("the benchmark and the batch sizes do not go together")
                .hint("[gpu] benchmark has {batch} where the size goes, and --batch or benchmark_batches the sizes")
                .into());
        }
        Ok(Task {
            library: Library::new(path.as_deref())?,
            kernel_log: config.path(&settings.kernel_log)?,
            settings,
            set_persistence: self.set_persistence,
            benchmark,
        })
    }
}

impl task::Task for Task {
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let mut driver = self.library.read(context.stop.left(PATIENCE)?)?;
        let gone = lost::judge(context, report, &driver.devices);
        if driver.devices.is_empty() && !gone {
            return Err(missing("the NVIDIA driver is there and sees no device")
                .hint("lspci | grep -i nvidia; dmesg | grep NVRM")
                .into());
        }
        if self.set_persistence {
            self.persist(context, report, &mut driver.devices)?;
        }
        for reading in &driver.devices {
            measure(report, reading);
            judge::device(context, report, &self.settings, reading);
        }
        kernel::judge(report, context, &self.kernel_log, &driver.devices)?;
        balance::judge(context, report, &self.settings, &driver.devices)?;
        report.document(Document::Table(table(&driver.devices)));
        // What the devices are is told whatever becomes of the benchmark.
        let mut detail = Detail {
            driver: driver.version.ok(),
            devices: driver.devices,
            benchmarks: Vec::new(),
        };
        report.summarise(summary(&detail));
        report.detail(&detail)?;
        let ran = benchmark::run(
            context,
            report,
            &self.settings,
            &self.benchmark,
            &mut detail,
        );
        report.detail(&detail)?;
        ran
    }
}

impl Task {
    /// The plan's weekly step, where it is needed.
    fn persist(
        &self,
        context: &Context,
        report: &Reporter,
        devices: &mut [Reading],
    ) -> anyhow::Result<()> {
        for reading in devices
            .iter_mut()
            .filter(|one| one.persistence == Some(false))
        {
            let step = Step {
                kind: "set",
                target: format!("persistence mode of {}", reading.label()),
                reason: "it is off".to_owned(),
            };
            let limit = context.stop.left(PATIENCE)?;
            let index = reading.index;
            let done = report.act(step, |permit| {
                self.library.set_persistence(permit, index, limit)
            })?;
            if done.is_some() {
                reading.persistence = Some(true);
            }
        }
        Ok(())
    }
}

fn measure(report: &Reporter, reading: &Reading) {
    let id = reading.id();
    let labels = [("device", id.as_str())];
    let note = |name, value: Option<f64>, unit| {
        if let Some(value) = value {
            report.measure(name, value, unit, labels);
        }
    };
    let memory = reading.memory;
    note(
        "gpu_memory_used_bytes",
        memory.map(|memory| memory.used as f64),
        "bytes",
    );
    note(
        "gpu_memory_percent",
        memory.map(|memory| percent(memory.used, memory.total)),
        "%",
    );
    note(
        "gpu_utilization_percent",
        reading.utilization_percent.map(f64::from),
        "%",
    );
    note(
        "gpu_temperature_celsius",
        reading.temperature.map(f64::from),
        "",
    );
    note("gpu_power_watts", reading.power, "");
    note("gpu_clock_mhz", reading.clock.map(f64::from), "");
    let ecc = reading.ecc.map(|ecc| ecc.aggregate);
    note("gpu_ecc_corrected", ecc.map(|ecc| ecc.corrected as f64), "");
    note(
        "gpu_ecc_uncorrected",
        ecc.map(|ecc| ecc.uncorrected as f64),
        "",
    );
    let replays = reading.link.and_then(|link| link.replays);
    note("gpu_link_replays", replays.map(f64::from), "");
}

fn table(devices: &[Reading]) -> Table {
    let number = |value: Option<u32>, unit: &str| match value {
        Some(value) => Cell::Text(format!("{value}{unit}")),
        None => Cell::Empty,
    };
    let row = |one: &Reading| {
        let memory = one.memory;
        vec![
            Cell::Text(one.label()),
            memory.map_or(Cell::Empty, |memory| Cell::Bytes(memory.used)),
            memory.map_or(Cell::Empty, |memory| Cell::Bytes(memory.total)),
            number(one.utilization_percent, "%"),
            number(one.temperature, " °C"),
            number(one.slowdown_temperature, " °C"),
            one.power
                .map_or(Cell::Empty, |watts| Cell::Text(format!("{watts:.0} W"))),
            number(one.clock, " MHz"),
            one.processes
                .as_ref()
                .map_or(Cell::Empty, |all| Cell::Count(all.len() as u64)),
            match (&one.lost, &one.throttled_by) {
                (Some(why), _) => Cell::Bad(why.clone()),
                (None, Some(reasons)) if !reasons.is_empty() => {
                    Cell::Bad(format!("slowed by {}", reasons.join(", ")))
                }
                _ => Cell::Text(String::new()),
            },
        ]
    };
    Table {
        title: String::new(),
        columns: vec![
            "device",
            "in use",
            "memory",
            "busy",
            "now",
            "slows at",
            "power",
            "clock",
            "processes",
            "",
        ],
        rows: devices.iter().map(row).collect(),
    }
}

fn summary(detail: &Detail) -> String {
    let devices = &detail.devices;
    let memories: Vec<_> = devices.iter().filter_map(|one| one.memory).collect();
    let used = memories.iter().map(|memory| memory.used).sum();
    let total = memories.iter().map(|memory| memory.total).sum();
    let share = percent(used, total);
    let memory = match memories.len() {
        0 => String::new(),
        all if all == devices.len() => format!(", {share:.0}% of their memory in use"),
        some => format!(", {share:.0}% of the memory of {some} in use"),
    };
    let hottest = devices.iter().filter_map(|one| one.temperature).max();
    format!(
        "{}{memory}{}",
        units::count(devices.len() as u64, "GPU"),
        hottest.map_or_else(String::new, |degrees| format!(", {degrees} °C at most"))
    )
}
