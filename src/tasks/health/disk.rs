//! `disk`: space and inodes of every writable disk and network mount, once a device.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Looked;
use super::scene::Scene;
use crate::config::sections::{Health, Levels};
use crate::context::Context;
use crate::error::{self, Kind};
use crate::report::Severity;
use crate::report::{Finding, Reporter};
use crate::sys::mounts::{self, Mount, Usage};
use crate::units::{self, Bytes};

const USAGE: &str = "disk.usage";
const INODES: &str = "disk.inodes";
const UNREACHABLE: &str = "disk.unreachable";
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at all of them at once: one that does not answer holds up no other.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let mounts = chosen(mounts::mounts()?, &scene.limits);
    if mounts.is_empty() {
        return Ok(Looked::Nothing(
            "no writable disk is mounted here ([[health.mount]] names others)".into(),
        ));
    }
    let limit = context.stop.left(PATIENCE)?;
    let answers: Vec<anyhow::Result<Usage>> = std::thread::scope(|scope| {
        let asked: Vec<_> = mounts
            .iter()
            .map(|mount| scope.spawn(move || mounts::usage(mount, limit)))
            .collect();
        asked
            .into_iter()
            .map(|answer| {
                answer
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("the look at it panicked")))
            })
            .collect()
    });
    let mut fullest: Option<(f64, &Mount)> = None;
    for (mount, answer) in mounts.iter().zip(answers) {
        let subject = mount.path.display().to_string();
        report.examined(UNREACHABLE, &*subject);
        match answer {
            Ok(usage) => {
                let share = judge(scene, report, &subject, mount, &usage);
                if fullest.is_none_or(|(before, _)| share > before) {
                    fullest = Some((share, mount));
                }
            }
            Err(error) => report.find(
                Finding::new(
                    UNREACHABLE,
                    // What this user may not see says nothing about the mount.
                    match error::kind_of(&error) {
                        Kind::Missing => Severity::Info,
                        _ => Severity::High,
                    },
                    &*subject,
                    format!("{subject} ({}) does not answer: {error:#}", mount.source),
                )
                .hint(format!("mount | grep ' {subject} '")),
            ),
        }
    }
    let seen = units::count(mounts.len() as u64, "mount");
    Ok(Looked::At(match fullest {
        Some((share, mount)) => format!(
            "{seen}, the fullest {} at {share:.0}%",
            mount.path.display()
        ),
        None => seen,
    }))
}

/// Writable disks and network mounts, and those that the operator names; of several mounts of one device the first.
fn chosen(all: Vec<Mount>, limits: &Health) -> Vec<Mount> {
    let named = |mount: &Mount| limits.mount.iter().any(|named| named.path == mount.path);
    let mut visible: BTreeMap<_, Mount> = BTreeMap::new();
    for mount in all {
        visible.insert(mount.path.clone(), mount); // what is mounted over it hides it
    }
    let mut found: Vec<Mount> = Vec::new();
    for mount in visible.into_values() {
        let wanted = mount.writable && (mount.is_block() || mount.is_network());
        let known = found.iter().any(|other| {
            other.device == mount.device || (other.source == mount.source && mount.is_block())
        });
        if named(&mount) || (wanted && !known) {
            found.push(mount);
        }
    }
    found
}

fn judge(scene: &Scene, report: &Reporter, subject: &str, mount: &Mount, usage: &Usage) -> f64 {
    let own = scene
        .limits
        .mount
        .iter()
        .find(|named| named.path == mount.path);
    let own = own.map_or(Levels::default(), |own| Levels {
        low: None,
        medium: own.medium,
        high: own.high,
        critical: own.critical,
    });
    let levels = own.or(scene.limits.disk_pct);
    let label = [("mount", subject)];
    let share = usage.percent();
    report.examined(USAGE, subject);
    report.measure("disk_used_percent", share, "%", label);
    report.measure(
        "disk_available_bytes",
        usage.available as f64,
        "bytes",
        label,
    );
    if let Some((severity, limit)) = levels.judge(share) {
        report.find(
            Finding::new(
                USAGE,
                severity,
                subject,
                format!(
                    "disk {share:.1}% full (limit {limit:.0}%), {} left",
                    Bytes(usage.available)
                ),
            )
            .measured(share, "%", limit)
            .hint(format!(
                "du -xh --max-depth=2 {subject} | sort -h | tail -20"
            )),
        );
    }
    if let Some(share) = usage.inodes_percent() {
        report.examined(INODES, subject);
        report.measure("disk_inodes_used_percent", share, "%", label);
        if let Some((severity, limit)) = levels.judge(share) {
            report.find(
                Finding::new(
                    INODES,
                    severity,
                    subject,
                    format!(
                        "{share:.1}% of the inodes are used (limit {limit:.0}%), {} are left",
                        usage.inodes_free
                    ),
                )
                .measured(share, "%", limit)
                .hint(format!(
                    "du -x --inodes --max-depth=2 {subject} | sort -n | tail -20"
                )),
            );
        }
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(path: &str, source: &str, device: &str, kind: &str, writable: bool) -> Mount {
        Mount {
            path: path.into(),
            source: source.into(),
            device: device.into(),
            kind: kind.into(),
            writable,
        }
    }

    #[test]
    fn one_mount_a_device_and_none_that_is_no_disk() {
        let all = vec![
            mount("/", "overlay", "0:30", "overlay", true),
            mount("/data", "/dev/sda1", "8:1", "ext4", true),
            mount("/srv/bind", "/dev/sda1", "8:1", "ext4", true),
            mount("/btrfs/a", "/dev/sdb", "0:40", "btrfs", true),
            mount("/btrfs/b", "/dev/sdb", "0:41", "btrfs", true),
            mount("/cdrom", "/dev/sr0", "11:0", "iso9660", false),
            mount("/run", "tmpfs", "0:20", "tmpfs", true),
            mount("/nfs", "files:/export", "0:50", "nfs4", true),
            mount("/hidden", "/dev/sdc", "8:32", "ext4", true),
            mount("/hidden", "tmpfs", "0:60", "tmpfs", true),
        ];
        let paths = |limits: &Health| -> Vec<String> {
            chosen(all.clone(), limits)
                .iter()
                .map(|mount| mount.path.display().to_string())
                .collect()
        };
        assert_eq!(paths(&Health::default()), ["/btrfs/a", "/data", "/nfs"]);
        let health: Health = toml::from_str("[[mount]]\npath = \"/run\"").expect("reads");
        assert_eq!(paths(&health), ["/btrfs/a", "/data", "/nfs", "/run"]);
    }
}
