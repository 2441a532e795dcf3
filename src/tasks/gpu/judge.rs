//! What a device's own figures mean.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::sections::Gpu;
use crate::context::Context;
use crate::nvml::{Process, Reading};
use crate::report::{Finding, Reporter, Severity};
use crate::units::{Bytes, Length, percent};

const MEMORY: &str = "gpu.memory";
const TEMPERATURE: &str = "gpu.temperature";
const THROTTLED: &str = "gpu.throttled";
const ECC: &str = "gpu.ecc";
const ROWS: &str = "gpu.rows";
const LINK: &str = "gpu.link";
const PERSISTENCE: &str = "gpu.persistence";
const IDLE_PROCESS: &str = "gpu.idle-process";
/// Packets sent again since the last look; a few are normal.
const REPLAYS: u32 = 100;
/// A link that has work to do runs at its best generation.
const BUSY: u32 = 20;
/// A process that holds less than this is in nobody's way.
const HOLDS: u64 = 100 << 20;

/// What a device said when we last looked.
#[derive(Default, Serialize, Deserialize)]
struct Before {
    corrected: u64,
    uncorrected: u64,
    replays: u32,
    /// Since when each process has held memory of a device that did nothing at any look: pid, name, seconds since 1970.
    idle: Vec<(u32, String, i64)>,
}

/// Everything about one device. What it did not say is not judged.
pub(super) fn device(context: &Context, report: &Reporter, settings: &Gpu, reading: &Reading) {
    let key = format!("device {}", reading.id());
    let before = context
        .recall(&key)
        .and_then(|value| serde_json::from_value::<Before>(value).ok());
    memory(report, settings, reading);
    heat(report, settings, reading);
    ecc(report, reading, before.as_ref());
    rows(report, reading);
    link(report, reading, before.as_ref());
    persistence(report, reading);
    let before = before.unwrap_or_default();
    let now = Before {
        corrected: reading
            .ecc
            .map_or(before.corrected, |ecc| ecc.aggregate.corrected),
        uncorrected: reading
            .ecc
            .map_or(before.uncorrected, |ecc| ecc.aggregate.uncorrected),
        replays: replays(reading).unwrap_or(before.replays),
        idle: idle(context, report, settings, reading, &before),
    };
    if !context.dry_run {
        report.remember(key, json!(now));
    }
}

fn memory(report: &Reporter, settings: &Gpu, reading: &Reading) {
    let Some(memory) = reading.memory else { return };
    report.examined(MEMORY, reading.id());
    let share = percent(memory.used, memory.total);
    if share > settings.memory_pct {
        let mut holders: Vec<&Process> = reading.processes.iter().flatten().collect();
        holders.sort_by_key(|process| std::cmp::Reverse(process.memory));
        let most = holders.first().map_or_else(String::new, |process| {
            format!("; most by {}", named(process))
        });
        report.find(
            Finding::new(
                MEMORY,
                Severity::Medium,
                reading.id(),
                format!(
                    "{}: memory {share:.1}% full (limit {:.0}%){most}",
                    reading.label(),
                    settings.memory_pct
                ),
            )
            .measured(share, "%", settings.memory_pct)
            .hint(format!(
                "nvidia-smi -i {} --query-compute-apps=pid,used_memory,name --format=csv",
                reading.index
            )),
        );
    }
}

/// A process as people look for it.
pub(super) fn named(process: &Process) -> String {
    let name = process.name.as_deref().unwrap_or("a process");
    let owner = process
        .owner
        .as_ref()
        .map_or_else(String::new, |owner| format!(" of {owner}"));
    let memory = process
        .memory
        .map_or_else(String::new, |bytes| format!(", {}", Bytes(bytes)));
    format!("{name}{owner} (pid {}{memory})", process.pid)
}

fn heat(report: &Reporter, settings: &Gpu, reading: &Reading) {
    if let (Some(now), Some(slowdown)) = (reading.temperature, reading.slowdown_temperature) {
        report.examined(TEMPERATURE, reading.id());
        let limit = slowdown.saturating_sub(settings.temperature_margin);
        if now >= limit {
            let severity = match now >= slowdown {
                true => Severity::High,
                false => Severity::Medium,
            };
            report.find(
                Finding::new(
                    TEMPERATURE,
                    severity,
                    reading.id(),
                    format!(
                        "{}: {now} °C (limit {limit} °C); it becomes slower at {slowdown} °C",
                        reading.label()
                    ),
                )
                .measured(f64::from(now), "°C", f64::from(limit))
                .hint("fans, filters, the air of the room"),
            );
        }
    }
    if let Some(reasons) = &reading.throttled_by {
        report.examined(THROTTLED, reading.id());
        if !reasons.is_empty() {
            report.find(
                Finding::new(
                    THROTTLED,
                    Severity::Medium,
                    reading.id(),
                    format!("{}: slowed down by {}", reading.label(), reasons.join(", ")),
                )
                .hint(format!("nvidia-smi -i {} -q -d PERFORMANCE", reading.index)),
            );
        }
    }
}

/// Errors of the device's life that came since the last look; the first look only learns.
fn ecc(report: &Reporter, reading: &Reading, before: Option<&Before>) {
    let Some(ecc) = reading.ecc else { return };
    report.examined(ECC, reading.id());
    let Some(before) = before else { return };
    let uncorrected = ecc.aggregate.uncorrected.saturating_sub(before.uncorrected);
    let corrected = ecc.aggregate.corrected.saturating_sub(before.corrected);
    let (severity, number, what) = match (uncorrected, corrected) {
        (0, 0) => return,
        (0, number) => (Severity::Low, number, "corrected"),
        (number, _) => (Severity::High, number, "uncorrected"),
    };
    report.find(
        Finding::new(
            ECC,
            severity,
            reading.id(),
            format!(
                "{}: {number} {what} memory errors since the last look (limit 0)",
                reading.label()
            ),
        )
        .measured(number as f64, "", 0.0)
        .hint(format!(
            "nvidia-smi -i {} -q -d ECC,ROW_REMAPPER",
            reading.index
        )),
    );
}

fn rows(report: &Reporter, reading: &Reading) {
    let Some(rows) = reading.rows else { return };
    report.examined(ROWS, reading.id());
    let (severity, text, hint) = if rows.failed {
        (
            Severity::High,
            "has bad memory and no spare rows left",
            "have it replaced".to_owned(),
        )
    } else if rows.pending {
        (
            Severity::Medium,
            "takes bad memory out of use at the next reset, and not before",
            format!(
                "stop what uses it, then: nvidia-smi --gpu-reset -i {}",
                reading.index
            ),
        )
    } else {
        return;
    };
    let text = format!(
        "{} {text} ({} pages retired, {} rows remapped so far)",
        reading.label(),
        rows.retired,
        rows.remapped
    );
    report.find(Finding::new(ROWS, severity, reading.id(), text).hint(hint));
}

fn replays(reading: &Reading) -> Option<u32> {
    reading.link.and_then(|link| link.replays)
}

fn link(report: &Reporter, reading: &Reading, before: Option<&Before>) {
    let Some(link) = reading.link else { return };
    report.examined(LINK, reading.id());
    let busy = reading.utilization_percent.is_some_and(|now| now >= BUSY);
    let again = before
        .zip(link.replays)
        .map_or(0, |(before, now)| now.saturating_sub(before.replays));
    let finding = if link.width < link.width_max {
        Finding::new(
            LINK,
            Severity::Medium,
            reading.id(),
            format!(
                "{}: {} of {} lanes work",
                reading.label(),
                link.width,
                link.width_max
            ),
        )
        .measured(f64::from(link.width), "", f64::from(link.width_max))
    } else if busy && link.generation < link.generation_max {
        Finding::new(
            LINK,
            Severity::Medium,
            reading.id(),
            format!(
                "{}: PCIe generation {} of {} although it is at work",
                reading.label(),
                link.generation,
                link.generation_max
            ),
        )
        .measured(
            f64::from(link.generation),
            "",
            f64::from(link.generation_max),
        )
    } else if again > REPLAYS {
        Finding::new(
            LINK,
            Severity::Low,
            reading.id(),
            format!(
                "{}: {again} packets had to be sent again since the last look (limit {REPLAYS})",
                reading.label()
            ),
        )
        .measured(f64::from(again), "", f64::from(REPLAYS))
    } else {
        return;
    };
    report.find(finding.hint("its seat in the slot, its riser, its cable"));
}

fn persistence(report: &Reporter, reading: &Reading) {
    let Some(on) = reading.persistence else {
        return;
    };
    report.examined(PERSISTENCE, reading.id());
    if !on {
        report.find(
            Finding::new(
                PERSISTENCE,
                Severity::Low,
                reading.id(),
                format!(
                    "{}: persistence mode is off: its first use after a pause waits for the driver",
                    reading.label()
                ),
            )
            .hint("empire-maint gpu --set-persistence"),
        );
    }
}

/// Processes that hold memory of a device that did nothing at any look for days; since when for each.
fn idle(
    context: &Context,
    report: &Reporter,
    settings: &Gpu,
    reading: &Reading,
    before: &Before,
) -> Vec<(u32, String, i64)> {
    let (Some(processes), Some(now)) = (&reading.processes, reading.utilization_percent) else {
        return before.idle.clone();
    };
    report.examined_all(IDLE_PROCESS);
    if now > 0 {
        return Vec::new();
    }
    let mut idle = Vec::new();
    for process in processes {
        let name = process.name.clone().unwrap_or_default();
        // The same number with the same name: numbers are used again.
        let known = before
            .idle
            .iter()
            .find(|(pid, known, _)| *pid == process.pid && *known == name);
        let since = known.map_or(context.now.as_second(), |(.., since)| *since);
        let long = std::time::Duration::from_secs(
            u64::try_from(context.now.as_second() - since).unwrap_or(0),
        );
        idle.push((process.pid, name, since));
        if long >= settings.idle_after.0 && process.memory.is_none_or(|bytes| bytes >= HOLDS) {
            report.find(Finding::new(
                    IDLE_PROCESS,
                    Severity::Low,
                    format!("{} pid {}", reading.id(), process.pid),
                    format!(
                        "{}: {} holds memory, and the device did nothing at any look for {} (limit {})",
                        reading.label(),
                        named(process),
                        Length(long),
                        settings.idle_after
                    ),
                )
                .measured(long.as_secs_f64(), "s", settings.idle_after.0.as_secs_f64())
                .hint(format!("ps -fp {}; is it still needed?", process.pid)),
            );
        }
    }
    idle
}
