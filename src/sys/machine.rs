//! Who and where we are, how politely we run, and which processes hold a file open.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Pid;

use super::{Stop, files, process};

/// This machine's name.
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Where this very program is.
pub fn program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// Who is at work, for the record: the user behind sudo, else the user's number.
pub fn user() -> String {
    std::env::var("SUDO_USER")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("uid {}", rustix::process::geteuid().as_raw()))
}

/// The home of the user that this process runs as, where the system's list of users has one.
pub fn home() -> Option<PathBuf> {
    let own = rustix::process::geteuid().as_raw();
    let user = users().ok()?.into_iter().find(|one| one.id == own)?;
    user.home.filter(|home| home.is_absolute())
}

/// The number of a user by name; `None` where there is no such user.
pub fn user_id(name: &str) -> anyhow::Result<Option<u32>> {
    Ok(user_and_group(name)?.map(|(user, _)| user))
}

/// The numbers of a user and of the group that it logs in with; `None` where there is no such user.
pub fn user_and_group(name: &str) -> anyhow::Result<Option<(u32, u32)>> {
    let numbers = |one: User| (one.name == name).then_some((one.id, one.group?));
    Ok(users()?.into_iter().find_map(numbers))
}

/// True when the system's list of users has this number.
pub fn is_user(id: u32) -> anyhow::Result<bool> {
    Ok(users()?.iter().any(|one| one.id == id))
}

/// One of the system's list of users.
struct User {
    name: String,
    id: u32,
    group: Option<u32>,
    home: Option<PathBuf>,
}

/// The system's list of users, without lines that name nobody.
fn users() -> anyhow::Result<Vec<User>> {
    let file = "/etc/passwd";
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let user = |line: &str| {
        let mut fields = line.split(':');
        Some(User {
            name: fields.next()?.to_owned(),
            id: fields.nth(1)?.parse().ok()?,
            group: fields.next().and_then(|field| field.parse().ok()),
            home: fields.nth(1).map(PathBuf::from),
        })
    };
    Ok(text.lines().filter_map(user).collect())
}

/// New files are for their owner only, from the first moment they exist.
pub fn private_umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// The signals that this process ignores, a bit each from 1 on; none where nobody can say.
pub fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// True when the effective user is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// True when a file belongs to the effective user.
pub fn is_own(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    meta.uid() == rustix::process::geteuid().as_raw()
}

/// True when a file or directory belongs to root or to us and nobody else can write it, or, in a sticky directory such as /tmp,
/// nobody else can replace what is ours.
pub fn is_ours(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let own = rustix::process::geteuid().as_raw();
    let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
    (meta.uid() == 0 || meta.uid() == own) && (meta.mode() & 0o022 == 0 || sticky)
}

/// How nice the process was before it became polite.
static AS_STARTED: OnceLock<i32> = OnceLock::new();

/// Nice 10 and the lowest best-effort I/O priority for the calling thread and all that it starts.
/// Politeness is not worth an error: where the system refuses, the run goes on.
pub fn be_polite(stop: &Stop) {
    if let Ok(before) = rustix::process::getpriority_process(None) {
        AS_STARTED.get_or_init(|| before);
    }
    let _ = rustix::process::nice(10);
    let thread = rustix::thread::gettid();
    let mut command = process::command(Path::new("/usr/bin/ionice"));
    command.args(["-c2", "-n7", "-p"]);
    command.arg(thread.as_raw_nonzero().to_string());
    if Path::new("/usr/bin/ionice").exists() {
        let _ = process::run(command, Duration::from_secs(2), stop);
    }
}

/// As long as it lives the thread that made it is as quick as the process was started: whoever is polite while others wait for what
/// it holds makes them wait longer. Only root may take politeness back; for anybody else it stays.
pub struct Urgent {
    thread: Pid,
    polite: i32,
}

impl Urgent {
    /// Nothing where nobody has been polite, or the system refuses.
    pub fn begin() -> Option<Self> {
        let thread = rustix::thread::gettid();
        let polite = rustix::process::getpriority_process(Some(thread)).ok()?;
        let before = *AS_STARTED.get()?;
        rustix::process::setpriority_process(Some(thread), before).ok()?;
        Some(Self { thread, polite })
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        // To become nicer is never refused.
        let _ = rustix::process::setpriority_process(Some(self.thread), self.polite);
    }
}

/// The number of threads to use: the configured one, or one for each core, never more than 16.
pub fn threads(configured: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if configured == 0 { cores } else { configured }.clamp(1, 16)
}

/// Work on all items, which come in rows of so many: each thread has a share of the rows. What comes of the shares, in their order.
pub fn in_shares<T: Sync, R: Send>(
    items: &[T],
    row: usize,
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let rows = (items.len() / row).div_ceil(threads(0)).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let shares: Vec<_> = items
            .chunks(rows * row)
            .map(|share| scope.spawn(move || work(share)))
            .collect();
        shares
            .into_iter()
            .map(|share| {
                share
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// Name and owner of a process, as far as we may see it: the owner's name, or number.
pub fn process_of(pid: u32) -> Option<(String, String)> {
    use std::os::unix::fs::MetadataExt as _;
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    let owner = fs::metadata(&folder).ok()?.uid();
    Some((name.trim().to_owned(), user_name(owner)))
}

/// The name of a user by number; the number where there is no such user.
fn user_name(id: u32) -> String {
    let users = users().unwrap_or_default();
    let named = users.into_iter().find(|one| one.id == id);
    named.map_or_else(|| id.to_string(), |one| one.name)
}

/// Another process that has one of the files open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: i32,
    /// Its name, as the kernel has it.
    pub name: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// The other processes that have one of `paths` open, as far as we may see them.
pub fn holders(paths: &[PathBuf]) -> Vec<Holder> {
    let wanted: Vec<_> = paths
        .iter()
        .filter_map(|path| files::identity(path).ok().flatten())
        .collect();
    let own = Pid::as_raw(Some(rustix::process::getpid()));
    // stat through the /proc link: nothing is opened.
    let is_wanted = |open: &Path| matches!(files::identity(open), Ok(Some(identity)) if wanted.contains(&identity));
    running()
        .filter(|one| one.pid != own && one.has_open(is_wanted))
        .map(|one| one.holder())
        .collect()
}

/// A process of this machine.
pub(super) struct Running {
    pid: i32,
    folder: PathBuf,
}

/// Every process that there is.
pub(super) fn running() -> impl Iterator<Item = Running> {
    let all = files::list(Path::new("/proc")).unwrap_or_default();
    all.into_iter().filter_map(|entry| {
        Some(Running {
            pid: entry.file_name().to_str()?.parse().ok()?,
            folder: entry.path(),
        })
    })
}

impl Running {
    /// True where it is so of the link to something that it has open, as far as we may see that.
    pub(super) fn has_open(&self, is_it: impl Fn(&Path) -> bool) -> bool {
        let descriptors = fs::read_dir(self.folder.join("fd"));
        let mut descriptors = descriptors.into_iter().flatten().flatten();
        descriptors.any(|one| is_it(&one.path()))
    }

    /// It, as one that holds something.
    pub(super) fn holder(&self) -> Holder {
        let name = fs::read_to_string(self.folder.join("comm")).unwrap_or_default();
        Holder {
            pid: self.pid,
            name: name.trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn politeness_is_taken_back_for_as_long_as_it_matters() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let stop = Stop::after(Duration::from_secs(60));
        let before = nice().expect("is told");
        be_polite(&stop);
        let polite = nice().expect("is told");
        assert!(polite > before || polite == 19);
        let urgent = Urgent::begin();
        let expected = match urgent.is_some() {
            true => before,
            false => polite, // not root
        };
        assert_eq!(nice(), Ok(expected));
        drop(urgent);
        assert_eq!(nice(), Ok(polite));
    }
}
