//! What the kernel's log says about the devices.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::sections::Gpu;
use crate::context::Context;
use crate::error;
use crate::nvml::{Reading, Xid, parse_xids};
use crate::report::{Finding, Reporter, Severity};
use crate::sys::{kernel, load};
use crate::units;
use crate::weblog::{self, Lines, Position};

const XID: &str = "gpu.xid";
const UNREAD: &str = "gpu.log-unread";
const KEY: &str = "kernel log";
/// Of a file that grew by more than this the newest part is read.
const MOST: u64 = 64 << 20;

/// How far the log was read.
#[derive(Default, Serialize, Deserialize)]
struct Mark {
    /// Which run of the machine the number is of.
    boot: String,
    /// The last record of the kernel's own.
    sequence: u64,
    /// In a file that somebody writes them into.
    #[serde(default)]
    position: Option<Position>,
}

/// Errors that came since the last look. That this user may not read the kernel's own messages is no finding; that a log cannot be
/// read which somebody has named is one.
pub(super) fn judge(
    report: &Reporter,
    context: &Context,
    log: &Path,
    devices: &[Reading],
) -> anyhow::Result<()> {
    let mark: Mark = context
        .recall(KEY)
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default();
    let subject = log.display().to_string();
    report.examined(UNREAD, &*subject);
    let read = match log.is_file() {
        true => lines(context, log, mark),
        false => records(log, mark),
    };
    let (new, mark) = match read {
        Ok(read) => read,
        Err(error) if error::ends_the_run(&error) => return Err(error),
        Err(error) => {
            if log != Gpu::default().kernel_log {
                report.find(
                    Finding::new(UNREAD, Severity::Low, subject, format!("{error:#}"))
                        .hint("[gpu] kernel_log"),
                );
            }
            return Ok(());
        }
    };
    report.examined_all(XID);
    tell(report, &new, devices);
    if !context.dry_run {
        report.remember(KEY, json!(mark));
    }
    Ok(())
}

/// The kernel's own records have numbers, which begin anew with the machine.
fn records(log: &Path, mark: Mark) -> anyhow::Result<(Vec<Xid>, Mark)> {
    let text = kernel::log(log).with_context(|| format!("cannot read {}", log.display()))?;
    let boot = load::boot_id()?;
    let last = if mark.boot == boot { mark.sequence } else { 0 };
    let mut new = parse_xids(&text);
    new.retain(|xid| xid.sequence > last);
    let newest = new.iter().map(|xid| xid.sequence).max();
    Ok((
        new,
        Mark {
            boot,
            sequence: newest.unwrap_or(last),
            position: None,
        },
    ))
}

/// Lines of a file, as syslog writes them, across rotation.
fn lines(context: &Context, log: &Path, mark: Mark) -> anyhow::Result<(Vec<Xid>, Mark)> {
    let tail = weblog::tail(log, mark.position.as_ref(), MOST)?;
    let mut new = Vec::new();
    for piece in &tail.pieces {
        Lines::default().read(piece, &context.stop, &mut |line| {
            let line = line.map(String::from_utf8_lossy);
            new.extend(line.iter().flat_map(|line| parse_xids(line)));
        })?;
    }
    Ok((
        new,
        Mark {
            position: Some(tail.position),
            ..mark
        },
    ))
}

fn tell(report: &Reporter, new: &[Xid], devices: &[Reading]) {
    let mut by_kind: BTreeMap<(&str, u32), Vec<&Xid>> = BTreeMap::new();
    for xid in new {
        by_kind.entry((&xid.bus, xid.code)).or_default().push(xid);
    }
    for ((bus, code), errors) in by_kind {
        let reading = devices
            .iter()
            .find(|one| one.bus.as_deref().is_some_and(|at| errors[0].is_at(at)));
        let severity = match errors[0].is_grave() {
            true => Severity::High,
            false => Severity::Low,
        };
        let device = reading.map_or_else(|| format!("the GPU at {bus}"), Reading::label);
        let text = format!(
            "{device}: Xid {code} in the kernel's log, {} since the last look (limit 0): {}",
            units::count(errors.len() as u64, "time"),
            errors[errors.len() - 1].text
        );
        report.find(
            Finding::new(XID, severity, format!("{bus} Xid {code}"), text)
                .measured(errors.len() as f64, "", 0.0)
                .hint("dmesg | grep Xid; https://docs.nvidia.com/deploy/xid-errors"),
        );
    }
}
