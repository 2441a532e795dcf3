//! Devices that cannot be read, and those that were there last time and are there no more.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::context::Context;
use crate::nvml::Reading;
use crate::report::{Finding, Reporter, Severity};

const LOST: &str = "gpu.lost";
const KEY: &str = "devices";
/// What nobody has seen for this long was taken out.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A device, when it was there last.
#[derive(Serialize, Deserialize)]
struct Seen {
    uuid: String,
    index: u32,
    label: String,
    at: Timestamp,
}

impl Seen {
    /// True when one of these is it. One that did not come to tell its name has its number still.
    fn is_among(&self, devices: &[Reading]) -> bool {
        devices.iter().any(|one| match &one.uuid {
            Some(uuid) => *uuid == self.uuid,
            None => one.index == self.index,
        })
    }
}

/// Every device that there is, and every one that there was. Returns whether one is gone.
pub(super) fn judge(context: &Context, report: &Reporter, devices: &[Reading]) -> bool {
    report.examined_all(LOST);
    for reading in devices {
        unreadable(report, reading);
    }
    let mut seen: Vec<Seen> = context
        .recall(KEY)
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default();
    seen.retain(|one| context.now.duration_since(one.at) < FORGOTTEN);
    let mut any = false;
    for one in &mut seen {
        if one.is_among(devices) {
            one.at = context.now;
        } else {
            gone(report, one);
            any = true;
        }
    }
    for reading in devices {
        if let Some(uuid) = &reading.uuid {
            seen.retain(|one| one.uuid != *uuid);
            seen.push(Seen {
                uuid: uuid.clone(),
                index: reading.index,
                label: reading.label(),
                at: context.now,
            });
        }
    }
    if !context.dry_run {
        report.remember(KEY, json!(seen));
    }
    any
}

/// One that fell off the bus, at once or in the middle of being read.
fn unreadable(report: &Reporter, reading: &Reading) {
    if let Some(why) = &reading.lost {
        report.find(
            Finding::new(
                LOST,
                Severity::Critical,
                format!("GPU {}", reading.index),
                format!("{} cannot be read: {why}", reading.label()),
            )
            .hint(format!(
                "dmesg | grep Xid; stop what uses it, then: nvidia-smi --gpu-reset -i {}; else reboot",
                reading.index
            )),
        );
    }
}

fn gone(report: &Reporter, seen: &Seen) {
    report.find(
        Finding::new(
            LOST,
            Severity::Critical,
            &*seen.uuid,
            format!(
                "{} is gone: the driver does not list it any more; last seen {:.0}",
                seen.label, seen.at
            ),
        )
        .hint(format!(
            "lspci | grep -i nvidia; dmesg | grep Xid; where it was taken out, this ends {} days after it was last seen",
            FORGOTTEN.as_hours() / 24
        )),
    );
}
