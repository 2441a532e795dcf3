//! What the kernel's log says about the devices.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::context::Context;
use crate::nvml::{Reading, Xid, parse_xids};
use crate::report::{Finding, Reporter, Severity};
use crate::sys::{kernel, load};

const XID: &str = "gpu.xid";
const KEY: &str = "kernel log";

/// How far the log was read, in which run of the machine.
#[derive(Default, Serialize, Deserialize)]
struct Mark {
    boot: String,
    sequence: u64,
}

/// Errors that came since the last look. A log that this user may not read is left out.
pub(super) fn judge(report: &Reporter, context: &Context, log: &Path, devices: &[Reading]) {
    let (Ok(text), Ok(boot)) = (kernel::log(log), load::boot_id()) else {
        return;
    };
    report.examined_all(XID);
    let mark = context
        .recall(KEY)
        .and_then(|value| serde_json::from_value::<Mark>(value).ok())
        .filter(|mark| mark.boot == boot)
        .unwrap_or_default();
    let all = parse_xids(&text);
    let newest = all.iter().map(|xid| xid.sequence).max().unwrap_or(0);
    let mut by_kind: BTreeMap<(String, u32), Vec<&Xid>> = BTreeMap::new();
    for xid in all.iter().filter(|xid| xid.sequence > mark.sequence) {
        let kind = (xid.bus.clone(), xid.code);
        by_kind.entry(kind).or_default().push(xid);
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
            crate::units::count(errors.len() as u64, "time"),
            errors[errors.len() - 1].text
        );
        report.find(
            Finding::new(XID, severity, format!("{bus} Xid {code}"), text)
                .measured(errors.len() as f64, "", 0.0)
                .hint("dmesg | grep Xid; https://docs.nvidia.com/deploy/xid-errors"),
        );
    }
    if !context.dry_run {
        let sequence = newest.max(mark.sequence);
        report.remember(KEY, json!(Mark { boot, sequence }));
    }
}
