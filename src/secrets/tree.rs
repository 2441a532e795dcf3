//! A tree of files, looked through on all cores. Links are not followed, nothing that is not a plain file is opened, and what may
//! not be opened at all (live databases) is left out by its identity before anything else is asked of it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::scan::{Memory, Scanner, Secret};
use crate::sys::Stop;
use crate::sys::files::{self, Identity, Walked};

/// What is larger is data.
pub const LARGEST: u64 = 64 << 20;
/// A zero byte among the first ones makes a file binary.
const LOOKED_AT: usize = 8 << 10;
const LARGEST_IGNORE: u64 = 1 << 20;
const WAITING: usize = 1000;
/// Folders that others fill: packages, and what version control keeps.
const OTHERS: [&str; 8] = [
    "node_modules",
    ".git",
    ".hg",
    ".svn",
    "bower_components",
    "__pycache__",
    ".pnpm-store",
    ".yarn",
];

/// What to look through.
pub struct Tree<'a> {
    /// Where to start: a folder or a file.
    pub start: &'a Path,
    /// Never opened.
    pub skip: &'a (dyn Fn(Identity) -> bool + Sync),
    /// Paths under it that are left out.
    pub exclude: &'a [PathBuf],
    /// What .gitignore names is left out.
    pub gitignore: bool,
    /// node_modules and its like too.
    pub everything: bool,
    /// How many look at once.
    pub threads: usize,
}

/// A secret and the file it is in.
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub secret: Secret,
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub struct Walk {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are not text.
    pub binary: u64,
    /// Links, pipes, sockets, devices.
    pub special: u64,
    /// Files larger than 64 MiB.
    pub large: u64,
    /// What could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

#[derive(Default)]
struct Shared {
    files: AtomicU64,
    bytes: AtomicU64,
    binary: AtomicU64,
    found: Mutex<Vec<Found>>,
    unreadable: Mutex<Vec<(PathBuf, String)>>,
}

impl Tree<'_> {
    /// Looks through it all; what was found is in the order of the paths.
    pub fn scan(&self, scanner: &Scanner, stop: &Stop) -> anyhow::Result<(Vec<Found>, Walk)> {
        let shared = Shared::default();
        let (send, receive) = sync_channel::<PathBuf>(WAITING);
        let receive = Mutex::new(receive);
        let mut walk = Walk::default();
        let walked = std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| self.work(scanner, &receive, &shared, stop));
            }
            let walked = self.walk(&mut walk, stop, &mut |path| {
                send.send(path)
                    .map_err(|_| anyhow::anyhow!("the readers are gone"))
            });
            drop(send);
            walked
        });
        stop.check()?;
        walked?;
        walk.files = shared.files.into_inner();
        walk.bytes = shared.bytes.into_inner();
        walk.binary = shared.binary.into_inner();
        let own = |list: Mutex<_>| list.into_inner().unwrap_or_else(PoisonError::into_inner);
        walk.unreadable.extend(own(shared.unreadable));
        walk.unreadable.sort();
        let mut found = shared
            .found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        found.sort_by(|one, other| {
            (&one.path, one.secret.line, &one.secret.rule).cmp(&(
                &other.path,
                other.secret.line,
                &other.secret.rule,
            ))
        });
        Ok((found, walk))
    }

    fn work(
        &self,
        scanner: &Scanner,
        receive: &Mutex<Receiver<PathBuf>>,
        shared: &Shared,
        stop: &Stop,
    ) {
        let (mut memory, mut content) = (Memory::default(), Vec::new());
        loop {
            let next = receive
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let Ok(path) = next else { return };
            if stop.asked() {
                continue; // the rest is taken and dropped, so that the walk does not wait
            }
            if let Err(error) = self.look(&path, scanner, &mut memory, &mut content, shared) {
                let mut unreadable = shared
                    .unreadable
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                unreadable.push((path, format!("{error:#}")));
            }
        }
    }

    fn look(
        &self,
        path: &Path,
        scanner: &Scanner,
        memory: &mut Memory,
        content: &mut Vec<u8>,
        shared: &Shared,
    ) -> anyhow::Result<()> {
        content.clear();
        let file = match files::open_regular(path) {
            Ok(file) => file,
            // Gone since it was listed.
            Err(_) if files::link_metadata(path)?.is_none() => return Ok(()),
            Err(error) => return Err(error),
        };
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        content.reserve(size.min(LARGEST as usize) + 1);
        file.take(LARGEST).read_to_end(content)?;
        let decoded;
        let text: &[u8] = match utf16(content) {
            Some(text) => {
                decoded = text;
                &decoded
            }
            None if memchr::memchr(0, &content[..content.len().min(LOOKED_AT)]).is_some() => {
                shared.binary.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            None => content,
        };
        shared.files.fetch_add(1, Ordering::Relaxed);
        shared
            .bytes
            .fetch_add(content.len() as u64, Ordering::Relaxed);
        let shown = self.relative(path);
        let secrets = scanner.scan(&shown, text, memory);
        if !secrets.is_empty() {
            let mut found = shared.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.extend(secrets.into_iter().map(|secret| Found {
                path: path.to_owned(),
                secret,
            }));
        }
        Ok(())
    }

    /// The path under the start, as rules see it.
    fn relative(&self, path: &Path) -> String {
        let below = path.strip_prefix(self.start).ok();
        let below = below.filter(|below| !below.as_os_str().is_empty());
        let below = below.unwrap_or_else(|| path.file_name().map_or(path, Path::new));
        below.to_string_lossy().into_owned()
    }

    /// One folder after another, without recursion: a tree may be deeper than a stack.
    fn walk(
        &self,
        walk: &mut Walk,
        stop: &Stop,
        each: &mut dyn FnMut(PathBuf) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(meta) = files::metadata(self.start)? else {
            return Ok(());
        };
        if meta.is_file() {
            return each(self.start.to_owned());
        }
        let mut ignores: BTreeMap<PathBuf, Gitignore> = BTreeMap::new();
        let mut folders = vec![self.start.to_owned()];
        while let Some(folder) = folders.pop() {
            stop.check()?;
            if self.gitignore
                && let Some(rules) = gitignore(&folder)
            {
                ignores.insert(folder.clone(), rules);
            }
            let mut sub = Vec::new();
            let mut visit = |Walked { path, meta }: Walked| -> anyhow::Result<bool> {
                let kind = meta.file_type();
                if self.exclude.contains(&path) || ignored(&ignores, &path, kind.is_dir()) {
                    return Ok(false);
                }
                if kind.is_dir() {
                    let name = path.file_name().unwrap_or_default();
                    if self.everything || !OTHERS.iter().any(|other| name == *other) {
                        sub.push(path);
                    }
                } else if !kind.is_file() {
                    walk.special += 1;
                } else if meta.len() > LARGEST {
                    walk.large += 1;
                } else if meta.len() > 0 {
                    each(path)?;
                }
                Ok(false)
            };
            if let Err(error) = files::walk(&folder, &|identity| (self.skip)(identity), &mut visit)
            {
                stop.check()?;
                walk.unreadable.push((folder, format!("{error:#}")));
            }
            sub.sort();
            folders.extend(sub.into_iter().rev());
        }
        Ok(())
    }
}

/// Never through the library's own reading, which would wait for a pipe of that name.
fn gitignore(folder: &Path) -> Option<Gitignore> {
    let path = folder.join(".gitignore");
    let text = files::read_small(&path, LARGEST_IGNORE).ok()?;
    let mut builder = GitignoreBuilder::new(folder);
    for line in text.split(|byte| *byte == b'\n') {
        let line = std::ffi::OsStr::from_bytes(line).to_string_lossy();
        // A line that makes no sense ignores nothing.
        let _ = builder.add_line(None, line.trim_end_matches('\r'));
    }
    builder.build().ok()
}

fn ignored(ignores: &BTreeMap<PathBuf, Gitignore>, path: &Path, directory: bool) -> bool {
    if ignores.is_empty() {
        return false;
    }
    for folder in path.ancestors().skip(1) {
        let Some(rules) = ignores.get(folder) else {
            continue;
        };
        let verdict = rules.matched(path, directory);
        if !verdict.is_none() {
            return verdict.is_ignore();
        }
    }
    false
}

/// Text of two bytes a character, as some editors on Windows save it.
fn utf16(content: &[u8]) -> Option<Vec<u8>> {
    let little = match content.get(..2)? {
        [0xff, 0xfe] => true,
        [0xfe, 0xff] => false,
        _ => return None,
    };
    let units = content[2..].chunks_exact(2).map(|pair| match little {
        true => u16::from_le_bytes([pair[0], pair[1]]),
        false => u16::from_be_bytes([pair[0], pair[1]]),
    });
    let text: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    Some(text.into_bytes())
}
