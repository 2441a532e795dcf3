//! Child processes: an argument list and never a shell, a fixed environment, a time limit, their own process group,
//! and output that is bounded and drained while they run.

use std::fs::Metadata;
use std::io::{Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

use crate::error::{Failure, Kind};
use crate::units::Length;

/// The PATH that children get, whatever ours is.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const MOST_OUTPUT: u64 = 1 << 20;

/// What a child left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, the beginning of it.
    pub stdout: Vec<u8>,
    /// Its standard error, the beginning of it.
    pub stderr: Vec<u8>,
}

/// A command with nothing inherited: fixed PATH and locale, closed input, its own process group.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// A command from a configured argument list.
pub fn from_list(list: &[String]) -> anyhow::Result<Command> {
    let (program, arguments) = list
        .split_first()
        .context("the command to run is an empty list")?;
    let mut command = command(Path::new(program));
    command.args(arguments);
    Ok(command)
}

/// Makes a command run as the owner and group of a file, where we are root: what belongs to a user is worked on as that user.
/// Returns the number of the user that it will run as.
pub fn as_owner(command: &mut Command, of: &Metadata) -> u32 {
    let own = rustix::process::geteuid();
    if !own.is_root() || of.uid() == 0 {
        return own.as_raw();
    }
    command.uid(of.uid()).gid(of.gid());
    of.uid()
}

/// A word as `/bin/sh` reads it, for people and for cron: nothing of ours goes through a shell.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-,=:@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Runs to the end or to the limit; at the limit the whole group is killed.
pub fn run(command: Command, limit: Duration) -> anyhow::Result<Output> {
    start(command, None, limit, MOST_OUTPUT)
}

/// The same for one that has much to say: as much of each stream is kept.
pub fn run_keeping(command: Command, limit: Duration, most: u64) -> anyhow::Result<Output> {
    start(command, None, limit, most)
}

/// The same with something to read on standard input.
pub fn run_with_input(
    mut command: Command,
    input: Vec<u8>,
    limit: Duration,
) -> anyhow::Result<Output> {
    command.stdin(Stdio::piped());
    start(command, Some(input), limit, MOST_OUTPUT)
}

fn start(
    mut command: Command,
    input: Option<Vec<u8>>,
    limit: Duration,
    most: u64,
) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow::Error::from(Failure::new(
                Kind::Missing,
                format!("the program {name} is not installed"),
            )),
            _ => anyhow::Error::from(error).context(format!("cannot run {name}")),
        })?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // A child that does not read must not hold us; one that ends early says so with its exit code.
        std::thread::spawn(move || {
            let _ = pipe.write_all(&input);
        });
    }
    let stdout = drain(child.stdout.take(), most);
    let stderr = drain(child.stderr.take(), most);
    let status = wait(&mut child, &name, limit)?;
    Ok(Output {
        status,
        stdout: collect(stdout, limit),
        stderr: collect(stderr, limit),
    })
}

fn wait(child: &mut Child, name: &str, limit: Duration) -> anyhow::Result<ExitStatus> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() >= limit {
            kill_group(child);
            reap(child);
            anyhow::bail!("{name} was stopped after {}", Length(limit));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Waits a little for a killed child. One that hangs inside the kernel (a dead network mount) cannot be killed and is left behind.
fn reap(child: &mut Child) {
    for _ in 0..100 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kill_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
}

type Drain = std::sync::mpsc::Receiver<Vec<u8>>;

/// Reads a pipe to its end on a thread of its own, so that a chatty child never blocks; keeps so many bytes.
fn drain(pipe: Option<impl Read + Send + 'static>, most: u64) -> Drain {
    let (send, receive) = std::sync::mpsc::channel();
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            let _ = pipe.by_ref().take(most).read_to_end(&mut kept);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            let _ = send.send(kept);
        });
    }
    receive
}

/// A grandchild may keep the pipe open for ever: wait a little after the child's end, not longer.
fn collect(drain: Drain, limit: Duration) -> Vec<u8> {
    drain
        .recv_timeout(limit.min(Duration::from_secs(1)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_hangs_is_killed_with_its_group() {
        let mut sleeper = command(Path::new("/bin/sh"));
        sleeper.args(["-c", "sleep 60 & sleep 60"]);
        let started = Instant::now();
        let error = run(sleeper, Duration::from_millis(200)).expect_err("limit");
        assert!(error.to_string().contains("was stopped"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(
            command(Path::new("/nonexistent/tool")),
            Duration::from_secs(1),
        )
        .expect_err("missing");
        assert!(error.to_string().contains("/nonexistent/tool"));
    }

    #[test]
    fn words_reach_a_shell_as_they_are() {
        for word in ["/usr/bin/tool", "/srv/my app/it's 100%", "a\"b$c`d\\e", ""] {
            let mut shell = command(Path::new("/bin/sh"));
            shell.args(["-c", &format!("printf %s {}", shell_word(word))]);
            let output = run(shell, Duration::from_secs(5)).expect("runs");
            assert_eq!(output.stdout, word.as_bytes());
        }
    }

    #[test]
    fn children_inherit_nothing() {
        let output = run(command(Path::new("/usr/bin/env")), Duration::from_secs(5)).expect("runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
