//! Runs the program under test with `faults.c` preloaded: counts and logs the
//! calls that change files ("points"), and makes one of them fail, or the
//! machine die just before it. What the kinds of fault mean, and what is not
//! modelled, is at the top of `faults.c`.
//!
//! The usual test counts a run that goes well, picks some of its points, and
//! for each of them runs again from the same start, breaks the run there, and
//! looks at what is left:
//!
//! ```ignore
//! let faults = Faults::new([&repository], &trash);
//! let mut command = program();
//! let counter = faults.count(&mut command);
//! assert!(command.status()?.success());
//! for at in points(counter.total(), 40) {
//!     let mut command = program();
//!     faults.inject(&mut command, Kind::PowerCut, at);
//!     command.status()?;
//!     // ... open the repository and check what it promises ...
//! }
//! ```
//!
//! A run with more than one thread need not reach its points in the same
//! order every time, nor the same number of them.
//!
//! The command must start the program itself. The library does not follow
//! child processes, so with a wrapper such as `timeout` or `sh -c` in between
//! the points would be those of the wrapper: none.

// Every test uses its own part of this module.
#![allow(dead_code)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempPath;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/support/faults.c");

/// The compiled library. It is compiled once per version of the source and
/// then shared by all test processes through the temporary folder.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = fs::read(SOURCE).unwrap_or_else(|e| panic!("cannot read {SOURCE}: {e}"));
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        let folder = std::env::temp_dir();
        let library = folder.join(format!("faults-{:016x}.so", hasher.finish()));
        if !library.exists() {
            // Compiled elsewhere and renamed: another test process may be
            // doing the same, or be loading the library already.
            let scratch = tempfile::tempdir_in(&folder).expect("a folder to compile in");
            let fresh = scratch.path().join("faults.so");
            let output = Command::new("cc")
                .args(["-shared", "-fPIC", "-O1", "-o"])
                .arg(&fresh)
                .args([SOURCE, "-ldl", "-lpthread"])
                .output()
                .unwrap_or_else(|e| panic!("cannot run cc: {e}"));
            assert!(
                output.status.success(),
                "cc cannot compile {SOURCE}:\n{}",
                String::from_utf8_lossy(&output.stderr),
            );
            fs::rename(&fresh, &library).expect("the library moved into place");
        }
        library
    })
}

/// What happens at the chosen point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The process is killed before the call; all it did before stays.
    Kill,
    /// The machine loses power before the call: what was not synced is lost,
    /// names and content.
    PowerCut,
    /// As `PowerCut`, but only names that were not synced are lost.
    LostNames,
    /// The first call from this point on that can report a full disk does so.
    /// If `sticky`, every later call that needs space fails as well.
    Enospc { sticky: bool },
    /// The call fails with an input/output error.
    Eio,
    /// The first write from this point on writes only half of its bytes.
    Short,
}

/// Which files count, and where to keep what a simulated loss of power may
/// have to bring back.
#[derive(Clone, Debug)]
pub struct Faults {
    roots: OsString,
    trash: PathBuf,
}

impl Faults {
    /// `trash` is made if need be. It must be on the same filesystem as the
    /// roots and is best kept outside them; the program should not see it.
    pub fn new<P: AsRef<Path>>(roots: impl IntoIterator<Item = P>, trash: &Path) -> Self {
        let mut list = OsString::new();
        for root in roots {
            let root = real_path(root.as_ref());
            assert!(
                !root.as_os_str().as_bytes().contains(&b':'),
                "a root cannot have a colon in it: {}",
                root.display(),
            );
            if !list.is_empty() {
                list.push(":");
            }
            list.push(root);
        }
        assert!(!list.is_empty(), "no root: nothing would count");
        fs::create_dir_all(trash).expect("the trash folder");
        Faults {
            roots: list,
            trash: real_path(trash),
        }
    }

    /// Counts the points of the run, with or without a fault in it.
    pub fn count(&self, command: &mut Command) -> Counter {
        self.preload(command);
        let file = tempfile::NamedTempFile::new()
            .expect("a file for the counter")
            .into_temp_path();
        command.env("FAULTS_COUNTER", &file);
        Counter { file }
    }

    /// Appends every point of the run to `file`, for [`read_log`].
    pub fn log(&self, command: &mut Command, file: &Path) {
        self.preload(command);
        let file = std::path::absolute(file).expect("an absolute path for the log");
        command.env("FAULTS_LOG", file);
    }

    /// Arranges for the fault to happen at point `at`, counted from 1. A run
    /// that has fewer points meets none.
    pub fn inject(&self, command: &mut Command, kind: Kind, at: u64) {
        assert!(at > 0, "points are counted from 1");
        self.preload(command);
        let name = match kind {
            Kind::Kill => "kill",
            Kind::PowerCut => "powercut",
            Kind::LostNames => "lostnames",
            Kind::Enospc { .. } => "enospc",
            Kind::Eio => "eio",
            Kind::Short => "short",
        };
        command
            .env("FAULTS_KIND", name)
            .env("FAULTS_AT", at.to_string());
        if kind == (Kind::Enospc { sticky: true }) {
            command.env("FAULTS_STICKY", "1");
        } else {
            command.env_remove("FAULTS_STICKY");
        }
    }

    /// Arranges for the process to stop itself, once, before the first `op` (as
    /// the log names it) on a path that ends so.
    pub fn pause(&self, command: &mut Command, op: &str, end: &str) {
        self.preload(command);
        command
            .env("FAULTS_KIND", "pause")
            .env("FAULTS_AT", "1")
            .env("FAULTS_OP", op)
            .env("FAULTS_END", end);
    }

    /// The same, and only the thread that makes the call sleeps, for so many seconds: the rest of the process goes on.
    pub fn stall(&self, command: &mut Command, op: &str, end: &str, seconds: u32) {
        self.pause(command, op, end);
        command.env("FAULTS_STALL", seconds.to_string());
    }

    /// The first `op` on a path that ends so fails, as where a file system does not take what it is asked for.
    pub fn refuse(&self, command: &mut Command, op: &str, end: &str) {
        self.pause(command, op, end);
        command.env("FAULTS_KIND", "einval");
    }

    /// No byte can be read of a file whose path ends so: the disk does not give it back.
    pub fn unreadable(&self, command: &mut Command, end: &str) {
        self.preload(command);
        command.env("FAULTS_UNREADABLE", end);
    }

    fn preload(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAULTS_ROOT", &self.roots)
            .env("FAULTS_TRASH", &self.trash);
    }
}

/// The library compares with paths as the kernel shows them, without symbolic
/// links; a root need not exist yet.
fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).expect("an absolute path");
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).expect("a prefix of itself");
            // Joining an empty path would add a slash.
            return if rest.as_os_str().is_empty() {
                real
            } else {
                real.join(rest)
            };
        }
    }
    path
}

/// The number of points of one run.
#[derive(Debug)]
pub struct Counter {
    file: TempPath,
}

impl Counter {
    /// To be read once the run is over, however it ended. Panics if the run
    /// never loaded the library, which would make a test pass for no reason.
    pub fn total(&self) -> u64 {
        let bytes = fs::read(&self.file).expect("the counter");
        let bytes = bytes.try_into().unwrap_or_else(|_| {
            panic!("no count: the program did not run, or did not load the library")
        });
        u64::from_ne_bytes(bytes)
    }
}

/// At most `want` of the points 1 to `total`, in order and evenly spread. The
/// first and the last few are always among them: beginnings and ends are where
/// most of the ordering mistakes are.
pub fn points(total: u64, want: usize) -> Vec<u64> {
    let count = want as u64;
    if total <= count {
        return (1..=total).collect();
    }
    match count {
        0 => return Vec::new(),
        1 => return vec![total],
        _ => {}
    }
    let edge = (count / 4).clamp(1, 3);
    let inner = total - 2 * edge;
    let picks = count - 2 * edge;
    let mut points: Vec<u64> = (1..=edge).collect();
    // The middle of each of `picks` equal parts. There are more points than
    // parts, so no two are the same.
    points.extend((0..picks).map(|i| edge + 1 + (2 * i + 1) * inner / (2 * picks)));
    points.extend(total - edge + 1..=total);
    points
}

/// One point of a run, as logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub n: u64,
    /// The operation, not the exact function: `write` is also pwrite and
    /// writev, `rename` is also renameat2. `faults.c` has the list.
    pub op: String,
    pub path: PathBuf,
    /// Where a rename or a link leads to.
    pub to: Option<PathBuf>,
    /// The value returned, the name of the error, or `killed`.
    pub result: String,
}

impl Call {
    /// Whether this made something durable.
    pub fn is_sync(&self) -> bool {
        matches!(self.op.as_str(), "fsync" | "fdatasync" | "syncfs") && self.result == "0"
    }
}

/// The points of a run, in the order in which they happened.
pub fn read_log(file: &Path) -> Vec<Call> {
    let log = fs::read(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()));
    log.split_inclusive(|&b| b == b'\n')
        .map(|line| {
            call(line).unwrap_or_else(|| {
                panic!(
                    "not a line of the log: {}",
                    String::from_utf8_lossy(line).trim_end(),
                )
            })
        })
        .collect()
}

fn call(line: &[u8]) -> Option<Call> {
    let mut fields = line.strip_suffix(b"\n")?.split(|&b| b == b'\t');
    let n = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let op = str::from_utf8(fields.next()?).ok()?.to_owned();
    let path = unescape(fields.next()?)?;
    let to = Some(unescape(fields.next()?)?).filter(|to| to.as_os_str() != OsStr::new(""));
    let result = str::from_utf8(fields.next()?).ok()?.to_owned();
    fields.next().is_none().then_some(Call {
        n,
        op,
        path,
        to,
        result,
    })
}

fn unescape(field: &[u8]) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.iter();
    while let Some(&b) = rest.next() {
        bytes.push(match b {
            b'\\' => match rest.next()? {
                b't' => b'\t',
                b'n' => b'\n',
                b'\\' => b'\\',
                _ => return None,
            },
            b => b,
        });
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}
