//! What is mounted, and how full it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::process;
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
    /// False where nobody can write.
    pub writable: bool,
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

/// One line of proc_pid_mountinfo(5): `36 35 98:0 /root /mount options optional… - kind source super-options`.
fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let mut right = right.split(' ');
    let kind = right.next()?.to_owned();
    let source = unescape(right.next()?);
    let options = right.next().unwrap_or_default();
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        path: PathBuf::from(unescape(left.get(4)?)),
        device: (*left.get(2)?).to_owned(),
        writable: !read_only(left.get(5)?) && !read_only(options),
        source,
        kind,
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
    fn lines_with_and_without_optional_fields_are_read() {
        let mount = parse("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue")
            .expect("reads");
        assert_eq!(mount.path, Path::new("/mnt 2"));
        assert_eq!((mount.device.as_str(), mount.writable), ("98:0", true));
        assert!(mount.is_block() && !mount.is_network());
        let mount = parse("40 27 0:44 / /data rw - nfs4 files:/export ro,vers=4.2").expect("reads");
        assert!(mount.is_network() && !mount.is_block() && !mount.writable);
        assert_eq!(parse("nonsense"), None);
        assert_eq!(unescape("a\\134b\\9"), "a\\b\\9");
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
