//! `memory`, `cpu` and `system`: the machine itself.

use std::path::Path;
use std::time::Duration;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::journal;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::{load, process};
use crate::units::{self, Bytes, Length};

const MEMORY: &str = "memory.usage";
const CPU: &str = "cpu.load";
const REBOOTED: &str = "system.rebooted";
const CLOCK: &str = "system.clock";
const BOOT: &str = "boot_id";

/// 1 - MemAvailable/MemTotal.
pub fn memory(scene: &Scene, _: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let memory = load::memory()?;
    let share = units::percent(memory.total.saturating_sub(memory.available), memory.total);
    report.examined(MEMORY, "memory");
    report.measure("memory_used_percent", share, "%", []);
    report.measure(
        "memory_available_bytes",
        memory.available as f64,
        "bytes",
        [],
    );
    let told = format!("{share:.0}% of {} in use", Bytes(memory.total));
    if let Some((severity, limit)) = scene.limits.memory_pct.judge(share) {
        report.find(
            Finding::new(
                MEMORY,
                severity,
                "memory",
                format!(
                    "{share:.1}% of the memory is in use (limit {limit:.0}%), {} are left",
                    Bytes(memory.available)
                ),
            )
            .measured(share, "%", limit)
            .hint("ps -eo rss,pid,user,args --sort=-rss | head"),
        );
    }
    Ok(Looked::At(told))
}

/// Load of five minutes a core, and how long somebody had to wait in them.
pub fn cpu(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let load = load::load_of_five_minutes()?;
    let cores = load::cores();
    let share = load * 100.0 / cores as f64;
    report.examined(CPU, "cpu");
    report.measure("cpu_load_percent", share, "%", []);
    let mut told = format!(
        "load {load:.1} on {} over 5 minutes: {share:.0}%",
        units::count(cores as u64, "core")
    );
    for what in ["cpu", "io", "memory"] {
        if let Some(pressure) = load::pressure(what) {
            report.measure("pressure_percent", pressure, "%", [("resource", what)]);
            told += &format!(", {pressure:.0}% waiting for {what}");
        }
    }
    if let Some((severity, limit)) = scene.limits.cpu_pct.judge(share) {
        let own = running(context);
        let own = match own.is_empty() {
            true => String::new(),
            false => format!("; running here: {}", own.join(", ")),
        };
        report.find(
            Finding::new(
                CPU,
                severity,
                "cpu",
                format!("{told} (limit {limit:.0}%){own}"),
            )
            .measured(share, "%", limit)
            .hint("ps -eo pcpu,pid,user,args --sort=-pcpu | head"),
        );
    }
    Ok(Looked::At(told))
}

/// Our own tasks that run at this moment: a backup uses all cores for a while, and may.
fn running(context: &Context) -> Vec<String> {
    let filter = journal::Filter {
        status: Some("running".into()),
        most: 10,
        ..journal::Filter::default()
    };
    journal::runs(&context.state, &filter)
        .unwrap_or_default()
        .iter()
        .filter(|run| run.task != *context.task)
        .map(|run| {
            let since = units::shown(run.started_at, &context.zone);
            format!("empire-maint {} since {since}", run.task)
        })
        .collect()
}

/// Was it booted since the last look, and is its clock right?
pub fn system(_: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let up = load::uptime()?;
    let mut told = format!("up for {}", Length(up));
    report.measure("system_uptime_seconds", up.as_secs_f64(), "s", []);
    let boot = load::boot_id()?;
    report.examined(REBOOTED, &*context.host);
    let before = context.recall(BOOT);
    if before.is_some_and(|before| before != *boot) {
        report.find(
            Finding::new(
                REBOOTED,
                Severity::Low,
                &*context.host,
                format!(
                    "the machine was booted {} ago, since the last look",
                    Length(up)
                ),
            )
            .hint("last -x reboot shutdown | head; journalctl -b -1 -n 50"),
        );
    }
    if context.learns() {
        report.remember(BOOT, boot);
    }
    let in_step = synchronised(context)?;
    if in_step.is_some() {
        report.examined(CLOCK, &*context.host);
    }
    told += match in_step {
        Some(true) => ", its clock is in step",
        None => ", nothing here says whether its clock is in step",
        Some(false) => {
            report.find(
                Finding::new(
                    CLOCK,
                    Severity::Medium,
                    &*context.host,
                    "the clock is not synchronised: times in logs and certificates cannot be trusted",
                )
                .hint("timedatectl timesync-status"),
            );
            ", its clock is not in step"
        }
    };
    Ok(Looked::At(told))
}

/// What systemd says of the kernel's clock, whichever program keeps it.
fn synchronised(context: &Context) -> anyhow::Result<Option<bool>> {
    let mut command = process::command(Path::new("timedatectl"));
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    let Ok(output) = process::run(command, Duration::from_secs(5), &context.stop) else {
        context.stop.check()?;
        return Ok(None); // no systemd here
    };
    Ok(match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    })
}
