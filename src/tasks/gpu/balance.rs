//! Whether one device does the work of another: from a week of the journal, not from one look.

use jiff::SignedDuration;

use super::judge::named;
use crate::config::sections::Gpu;
use crate::context::Context;
use crate::journal;
use crate::nvml::{Process, Reading};
use crate::report::{Finding, Reporter, Severity};

const IMBALANCE: &str = "gpu.imbalance";
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Fewer looks in a week than this say nothing.
const FEW: usize = 5;

/// A device's week.
struct Week<'a> {
    reading: &'a Reading,
    busy: f64,
    full: f64,
}

/// Compares the busiest with the idlest, and says what could be moved.
pub(super) fn judge(
    context: &Context,
    report: &Reporter,
    settings: &Gpu,
    devices: &[Reading],
) -> anyhow::Result<()> {
    let mut weeks = Vec::new();
    for reading in devices {
        let id = reading.id();
        let mean = |metric| -> anyhow::Result<Option<f64>> {
            let since = context.now.checked_sub(WEEK)?;
            let label = Some(("device", id.as_str()));
            let samples = journal::samples(&context.state, metric, label, since)?;
            let sum: f64 = samples.iter().map(|sample| sample.value).sum();
            Ok((samples.len() >= FEW).then_some(sum / samples.len() as f64))
        };
        if let (Some(busy), Some(full)) = (
            mean("gpu_utilization_percent")?,
            mean("gpu_memory_percent")?,
        ) {
            let label = [("device", id.as_str())];
            report.measure("gpu_week_utilization_percent", busy, "%", label);
            report.measure("gpu_week_memory_percent", full, "%", label);
            weeks.push(Week {
                reading,
                busy,
                full,
            });
        }
    }
    weeks.sort_by(|a, b| a.busy.total_cmp(&b.busy));
    let [idlest, .., busiest] = &weeks[..] else {
        return Ok(());
    };
    report.examined(IMBALANCE, "gpus");
    let apart = busiest.busy - idlest.busy;
    if apart > settings.imbalance_pct {
        report.find(
            Finding::new(
                IMBALANCE,
                Severity::Low,
                "gpus",
                format!(
                    "over a week {} was {:.0}% busy ({:.0}% of its memory in use) and {} {:.0}% ({:.0}%): {apart:.0} points apart (limit {:.0})",
                    busiest.reading.label(),
                    busiest.busy,
                    busiest.full,
                    idlest.reading.label(),
                    idlest.busy,
                    idlest.full,
                    settings.imbalance_pct
                ),
            )
            .measured(apart, "%", settings.imbalance_pct)
            .hint(what_to_move(busiest.reading, idlest.reading)),
        );
    }
    Ok(())
}

/// The largest process of the busy device that fits into the idle one.
fn what_to_move(busy: &Reading, idle: &Reading) -> String {
    let room = idle
        .memory
        .map_or(0, |memory| memory.total.saturating_sub(memory.used));
    let fits = |process: &&Process| process.memory.is_some_and(|bytes| bytes <= room);
    let candidates = busy.processes.iter().flatten().filter(fits);
    match candidates.max_by_key(|process| process.memory) {
        Some(process) => format!(
            "start {} with CUDA_VISIBLE_DEVICES={}",
            named(process),
            idle.index
        ),
        None => format!(
            "start the next job with CUDA_VISIBLE_DEVICES={}",
            idle.index
        ),
    }
}
