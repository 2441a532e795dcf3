//! `disk`: space and inodes of every writable disk and network mount, once a device; and those that should be there to be written
//! and are not.

use std::path::Path;
use std::time::Duration;

use super::scene::{Looked, Scene};
use crate::config::sections::{Health, Levels};
use crate::context::Context;
use crate::error::{self, Kind};
use crate::report::Severity;
use crate::report::{Finding, Reporter};
use crate::sys::files;
use crate::sys::mounts::{self, Mount, Usage, Wanted};
use crate::sys::process::{shell_path, shell_word};
use crate::units::{self, Bytes};

const USAGE: &str = "disk.usage";
const INODES: &str = "disk.inodes";
const UNREACHABLE: &str = "disk.unreachable";
const GONE: &str = "disk.gone";
const READ_ONLY: &str = "disk.read-only";
const ROOT: &str = "disk.root";
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at all of them at once: one that does not answer holds up no other.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let all = visible(mounts::mounts()?);
    let mut lost = 0;
    report.examined_all(GONE);
    report.examined_all(READ_ONLY);
    for finding in lost_ones(&all, &mounts::wanted()?, &scene.limits) {
        report.find(finding);
        lost += 1;
    }
    if let Some(finding) = without_root(scene, report)? {
        report.find(finding);
        lost += 1;
    }
    let mounts = chosen(all, &scene.limits);
    if mounts.is_empty() && lost == 0 {
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

/// Where the application's root is not there, its file system is missing, or the configuration names another place.
fn without_root(scene: &Scene, report: &Reporter) -> anyhow::Result<Option<Finding>> {
    let root = scene.root.display().to_string();
    report.examined(ROOT, &*root);
    let missing = files::metadata(&scene.root)?.is_none();
    let message = format!("the application's root {root} is not there");
    Ok(missing.then(|| {
        Finding::new(ROOT, Severity::High, root, message)
            .hint("is its file system mounted? [app] root or --root says where it is")
    }))
}

/// What is mounted over another hides it. In the kernel's order: what was mounted first comes first.
fn visible(all: Vec<Mount>) -> Vec<Mount> {
    let mut visible: Vec<Mount> = Vec::new();
    for mount in all {
        visible.retain(|other| other.path != mount.path);
        visible.push(mount);
    }
    visible
}

fn is_named(limits: &Health, path: &Path) -> bool {
    limits.mount.iter().any(|named| named.path == path)
}

fn is_same(one: &Mount, other: &Mount) -> bool {
    one.device == other.device || (one.source == other.source && one.is_block())
}

/// Writable disks and network mounts, and those that the operator names; of several mounts of one device the one that is named,
/// or the first of the whole: a bind mount that comes later is no other disk.
fn chosen(mut all: Vec<Mount>, limits: &Health) -> Vec<Mount> {
    all.sort_by_key(|mount| (!is_named(limits, &mount.path), !mount.whole));
    let mut found: Vec<Mount> = Vec::new();
    for mount in all {
        let wanted = mount.writable && (mount.is_block() || mount.is_network());
        let known = found.iter().any(|other| is_same(&mount, other));
        if is_named(limits, &mount.path) || (wanted && !known) {
            found.push(mount);
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Mounts that the configuration or fstab wants and that are not there, or take no changes any more.
fn lost_ones(all: &[Mount], wanted: &[Wanted], limits: &Health) -> Vec<Finding> {
    let of_fstab = |path: &Path| wanted.iter().find(|wanted| wanted.path == path);
    let named = limits.mount.iter().map(|named| named.path.as_path());
    let others = wanted.iter().map(|wanted| wanted.path.as_path());
    let others = others.filter(|path| !is_named(limits, path));
    let mut found = Vec::new();
    for path in named.chain(others) {
        if all.iter().any(|mount| mount.path == path) {
            continue;
        }
        let subject = path.display().to_string();
        let source = of_fstab(path).map(|wanted| format!(", where {} should be", wanted.source));
        let source = source.unwrap_or_default();
        found.push(
            Finding::new(
                GONE,
                Severity::High,
                &*subject,
                format!("nothing is mounted at {subject}{source}"),
            )
            .hint(format!("mount {}; dmesg | tail -50", shell_path(path))),
        );
    }
    let mut known: Vec<&Mount> = Vec::new();
    for mount in all.iter().filter(|mount| !mount.writable) {
        let named = is_named(limits, &mount.path);
        let turned = of_fstab(&mount.path).map_or(mount.turned || named, |wanted| wanted.writable);
        if turned && (named || !known.iter().any(|other| is_same(mount, other))) {
            let subject = mount.path.display().to_string();
            found.push(
                Finding::new(
                    READ_ONLY,
                    Severity::High,
                    &*subject,
                    format!("{subject} ({}) is read-only", mount.source),
                )
                .hint("dmesg | tail -50: an error of the disk makes the kernel do that"),
            );
            known.push(mount);
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
                "du -xh --max-depth=2 {} | sort -h | tail -20",
                shell_word(subject)
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
                    "du -x --inodes --max-depth=2 {} | sort -n | tail -20",
                    shell_word(subject)
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
            turned: false,
            whole: true,
        }
    }

    fn paths(all: &[Mount], limits: &Health) -> Vec<String> {
        let chosen = chosen(visible(all.to_vec()), limits);
        let paths = chosen.iter().map(|mount| mount.path.display().to_string());
        paths.collect()
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
        let default = Health::default();
        assert_eq!(paths(&all, &default), ["/btrfs/a", "/data", "/nfs"]);
        let health: Health = toml::from_str("[[mount]]\npath = \"/run\"").expect("reads");
        assert_eq!(paths(&all, &health), ["/btrfs/a", "/data", "/nfs", "/run"]);
    }

    #[test]
    fn a_bind_mount_that_comes_later_is_no_other_disk() {
        let disk = mount("/srv/data", "/dev/sda1", "8:1", "ext4", true);
        let part = Mount {
            whole: false,
            ..mount("/a", "/dev/sda1", "8:1", "ext4", true)
        };
        let later = mount("/b", "/dev/sda1", "8:1", "ext4", true);
        let all = [part, disk, later];
        assert_eq!(paths(&all, &Health::default()), ["/srv/data"]);
        let health: Health = toml::from_str("[[mount]]\npath = \"/b\"").expect("reads");
        assert_eq!(paths(&all, &health), ["/b"]);
    }

    #[test]
    fn what_is_gone_or_turned_read_only_is_not_well() {
        let wanted = |path: &str, writable| Wanted {
            path: path.into(),
            source: "UUID=1-2".into(),
            writable,
        };
        let found =
            |all: &[Mount], fstab: &[Wanted], limits: &str| -> Vec<(&'static str, String)> {
                let limits = toml::from_str(limits).expect("reads");
                let lost = lost_ones(all, fstab, &limits);
                lost.into_iter().map(|one| (one.id, one.subject)).collect()
            };
        let data = mount("/data", "/dev/sda1", "8:1", "ext4", true);
        let stopped = mount("/data", "/dev/sda1", "8:1", "ext4", false);
        let turned = Mount {
            turned: true,
            ..stopped.clone()
        };
        let bind = Mount {
            path: "/srv/bind".into(),
            ..turned.clone()
        };
        let stopped = [stopped];
        let named = "[[mount]]\npath = \"/data\"";
        let gone = [(GONE, "/data".to_owned())];
        let read_only = [(READ_ONLY, "/data".to_owned())];
        let fstab = [wanted("/data", true)];
        assert_eq!(found(&[data], &fstab, named), []);
        assert_eq!(found(&[], &[], ""), []);
        assert_eq!(found(&[], &fstab, named), gone);
        assert_eq!(found(&[], &[], named), gone);
        assert_eq!(found(&[], &fstab, ""), gone);
        assert_eq!(found(&[turned.clone(), bind], &[], ""), read_only);
        assert_eq!(found(&stopped, &fstab, ""), read_only);
        assert_eq!(found(&stopped, &[], named), read_only);
        // Meant to be so.
        assert_eq!(found(&stopped, &[], ""), []);
        assert_eq!(found(&stopped, &[wanted("/data", false)], named), []);
    }
}
