//! What is mounted, and how full it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::{files, process};
use crate::error::missing;

/// File systems whose server may be gone.
const NETWORK: [&str; 10] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "9p",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.s3fs",
];

/// File systems that are there to be written: mounted for that and not writable any more, they have turned read-only.
const KEPT: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs"];

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub path: PathBuf,
    /// What, as `/dev/sda1` or `server:/export`.
    pub source: String,
    /// Major and minor number, as the kernel writes them.
    pub device: String,
    /// `ext4`, `nfs4`, …
    pub kind: String,
    /// False where the file system itself takes no changes. What is read-only at this place alone, as all is in a hardened
    /// service, is written elsewhere.
    pub writable: bool,
    /// True where it was mounted to be written, and the kernel takes no changes any more: it found an error.
    pub turned: bool,
    /// False for a part of the file system, as a bind mount of a folder is.
    pub whole: bool,
}

impl Mount {
    /// True where the answer comes over a network, or does not come.
    pub fn is_network(&self) -> bool {
        NETWORK.contains(&self.kind.as_str())
    }

    /// True for a disk or something that stands for one.
    pub fn is_block(&self) -> bool {
        self.source.starts_with("/dev/") || self.kind == "zfs"
    }
}

/// Everything that is mounted here, in the kernel's order; a later one hides an earlier one at the same path.
pub fn mounts() -> anyhow::Result<Vec<Mount>> {
    let file = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// The topmost folder above `path` on its file system: where a search for further names of a file begins.
pub fn top(path: &Path) -> PathBuf {
    let folder = files::parent(path);
    let real = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let device = |path: &Path| Some(files::identity(path).ok()??.0);
    let own = device(&real);
    let on_it = real.ancestors().take_while(|&above| device(above) == own);
    on_it.last().unwrap_or(&real).to_owned()
}

/// One line of proc_pid_mountinfo(5): `36 35 98:0 /root /mount options optional… - kind source super-options`.
fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let mut right = right.split(' ');
    let kind = right.next()?.to_owned();
    let source = unescape(right.next()?);
    let options = right.next().unwrap_or_default();
    let writable = !has(options, "ro") && !has(options, "emergency_ro");
    Some(Mount {
        path: PathBuf::from(unescape(left.get(4)?)),
        device: (*left.get(2)?).to_owned(),
        whole: *left.get(3)? == "/",
        writable,
        turned: !writable && KEPT.contains(&kind.as_str()) && !has(left.get(5)?, "ro"),
        source,
        kind,
    })
}

fn has(options: &str, wanted: &str) -> bool {
    options.split(',').any(|option| option == wanted)
}

/// What the administrator wants to be mounted: a line of fstab(5) about a disk or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where.
    pub path: PathBuf,
    /// What, as `UUID=…` or `server:/export`.
    pub source: String,
    /// To be written.
    pub writable: bool,
}

/// The lines of /etc/fstab that are mounted by themselves; none where there is no such file.
pub fn wanted() -> anyhow::Result<Vec<Wanted>> {
    let file = Path::new("/etc/fstab");
    match files::metadata(file)? {
        None => Ok(Vec::new()),
        Some(_) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            Ok(text.lines().filter_map(want).collect())
        }
    }
}

fn want(line: &str) -> Option<Wanted> {
    const BLOCK: [&str; 6] = ["/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID="];
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [source, path, kind, rest @ ..] = fields.as_slice() else {
        return None;
    };
    let options = rest.first().copied().unwrap_or_default();
    let block = BLOCK.iter().any(|start| source.starts_with(start));
    let ours = (block || NETWORK.contains(kind)) && path.starts_with('/');
    (ours && !source.starts_with('#') && !has(options, "noauto")).then(|| Wanted {
        path: PathBuf::from(unescape(path)),
        source: unescape(source),
        writable: !has(options, "ro") && (KEPT.contains(kind) || NETWORK.contains(kind)),
    })
}

/// Blanks, tabs, line feeds and backslashes stand as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).map(|code| u8::from_str_radix(code, 8)) {
            Some(Ok(code)) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// How full a file system is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that an ordinary user may still write.
    pub available: u64,
    /// Inodes in use; zero where the file system counts none.
    pub inodes_used: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

impl Usage {
    /// What `df` shows: used of what an ordinary user can use, %.
    pub fn percent(&self) -> f64 {
        crate::units::percent(self.used, self.used.saturating_add(self.available))
    }

    /// The same of the inodes; `None` where the file system counts none.
    pub fn inodes_percent(&self) -> Option<f64> {
        let all = self.inodes_used.saturating_add(self.inodes_free);
        (all > 0).then(|| crate::units::percent(self.inodes_used, all))
    }
}

/// How full a mount is; `Kind::Missing` where this user may not look. One on a network is asked by a child, which is left behind if its server is gone: a call that the kernel
/// does not come back from would keep even our own end waiting.
pub fn usage(mount: &Mount, limit: Duration) -> anyhow::Result<Usage> {
    let path = &mount.path;
    if mount.is_network() {
        return usage_by_child(path, limit);
    }
    let stat = rustix::fs::statvfs(path).map_err(|error| {
        let told = format!("cannot look at the file system of {}", path.display());
        match error {
            rustix::io::Errno::ACCESS => missing(told).hint("run as root").into(),
            error => anyhow::Error::from(error).context(told),
        }
    })?;
    Ok(Usage {
        used: (stat.f_blocks.saturating_sub(stat.f_bfree)).saturating_mul(stat.f_frsize),
        available: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes_used: stat.f_files.saturating_sub(stat.f_ffree),
        inodes_free: stat.f_ffree,
    })
}

fn usage_by_child(path: &Path, limit: Duration) -> anyhow::Result<Usage> {
    let mut command = process::command(Path::new("stat"));
    command.args(["-f", "-c", "%S %b %f %a %c %d", "--"]);
    command.arg(path);
    let output = process::run_to_the_end(command, limit)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [size, blocks, free, available, inodes, inodes_free] = numbers[..] else {
        anyhow::bail!(
            "cannot look at the file system of {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    };
    Ok(Usage {
        used: blocks.saturating_sub(free).saturating_mul(size),
        available: available.saturating_mul(size),
        inodes_used: inodes.saturating_sub(inodes_free),
        inodes_free,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_begins_at_the_mount() {
        assert_eq!(top(Path::new("/proc/self/status")), Path::new("/proc"));
        assert_eq!(top(Path::new("/proc/sys/kernel")), Path::new("/proc"));
        assert_eq!(top(Path::new("/not there")), Path::new("/"));
    }

    #[test]
    fn lines_with_and_without_optional_fields_are_read() {
        let mount = parse("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue")
            .expect("reads");
        assert_eq!(mount.path, Path::new("/mnt 2"));
        assert_eq!((mount.device.as_str(), mount.writable), ("98:0", true));
        assert!(mount.is_block() && !mount.is_network() && !mount.whole && !mount.turned);
        let mount = parse("40 27 0:44 / /data rw - nfs4 files:/export ro,vers=4.2").expect("reads");
        assert!(mount.is_network() && !mount.is_block() && !mount.writable);
        assert!(mount.whole && !mount.turned);
        assert_eq!(parse("nonsense"), None);
        assert_eq!(unescape("a\\134b\\9"), "a\\b\\9");
    }

    #[test]
    fn a_file_system_that_turned_read_only_is_told_from_one_that_was_mounted_so() {
        let turned = |place: &str, kind: &str, options: &str| {
            let line = format!("36 35 8:1 / /data {place} - {kind} /dev/sda1 {options}");
            let mount = parse(&line).expect("reads");
            (mount.writable, mount.turned)
        };
        assert_eq!(
            turned("rw,relatime", "ext4", "ro,errors=remount-ro"),
            (false, true)
        );
        assert_eq!(turned("rw", "ext4", "rw,emergency_ro"), (false, true));
        assert_eq!(turned("ro", "ext4", "ro"), (false, false));
        assert_eq!(turned("rw", "squashfs", "ro"), (false, false));
        // A hardened service sees all disks so.
        assert_eq!(turned("ro", "ext4", "rw"), (true, false));
    }

    #[test]
    fn of_fstab_the_lines_count_that_are_mounted_by_themselves() {
        let text = "# /dev/sdz /old ext4 defaults 0 0\n\nUUID=1-2 / ext4 errors=remount-ro 0 1\n/dev/sdb1 /my\\040data xfs\n/dev/sr0 /cdrom udf,iso9660 user,noauto 0 0\nUUID=3 none swap sw 0 0\ntmpfs /tmp tmpfs rw 0 0\nfiles:/export /nfs nfs4 ro 0 0\nLABEL=efi /boot/efi vfat umask=0077 0 1\n/data /srv/data none bind 0 0\n";
        let found: Vec<_> = text.lines().filter_map(want).collect();
        let short: Vec<_> = found
            .iter()
            .map(|one| (one.path.to_str().unwrap_or_default(), one.writable))
            .collect();
        assert_eq!(
            short,
            [
                ("/", true),
                ("/my data", true),
                ("/nfs", false),
                ("/boot/efi", false)
            ]
        );
    }

    #[test]
    fn the_child_says_what_the_call_says() {
        let mounts = mounts().expect("reads");
        let root = mounts
            .iter()
            .rev()
            .find(|mount| mount.path == Path::new("/"))
            .expect("there is a root");
        let called = usage(root, Duration::from_secs(5)).expect("answers");
        let asked = usage_by_child(&root.path, Duration::from_secs(5)).expect("answers");
        assert_eq!(
            called.used + called.available > 0,
            asked.used + asked.available > 0
        );
        assert!((called.percent() - asked.percent()).abs() < 1.0);
    }
}
