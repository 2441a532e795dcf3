//! Child processes: an argument list and never a shell, a fixed environment, a time limit, their own process group,
//! and output that is bounded and drained while they run.

use std::fs::Metadata;
use std::io::{Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

use super::Stop;
use crate::error::{Failure, Kind, usage};
use crate::text::clean;
use crate::units::Length;

/// The PATH that children get, whatever ours is.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const MOST_OUTPUT: u64 = 1 << 20;
/// What a child gets to put things right once the run is to stop; the watchdog gives the whole run ten seconds.
const GRACE: Duration = Duration::from_secs(3);

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

/// The same, ended by the kernel when we end, even by SIGKILL, after which nobody is left to end it. `setpriv` of util-linux asks for
/// that; where it cannot, the command runs without.
pub fn from_list_tied(list: &[String]) -> anyhow::Result<Command> {
    const TIED: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];
    const LIMIT: Duration = Duration::from_secs(5);
    let tied = |behind: &[String]| -> Vec<String> {
        TIED.map(str::to_owned)
            .iter()
            .chain(behind)
            .cloned()
            .collect()
    };
    let tries = from_list(&tied(&["true".to_owned()]))?;
    // Of a program that is not there the plain command says so.
    let can = list.first().is_some_and(|program| is_installed(program))
        && run_to_the_end(tries, LIMIT).is_ok_and(|output| output.status.success());
    match can {
        true => from_list(&tied(list)),
        false => from_list(list),
    }
}

/// True for a program that is there.
pub fn is_installed(program: &str) -> bool {
    match program.contains('/') {
        true => Path::new(program).exists(),
        false => PATH
            .split(':')
            .any(|folder| Path::new(folder).join(program).exists()),
    }
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

/// The same of a path. One that cannot be shown as it is is written with escapes, as bash and zsh read them: a name that was made
/// harmless to look at would be another file's.
pub fn shell_path(path: &Path) -> String {
    let word = path.to_str().filter(|text| clean(text) == **text);
    word.map_or_else(|| escaped(path.as_os_str().as_bytes()), shell_word)
}

fn escaped(bytes: &[u8]) -> String {
    let each = bytes.iter().map(|byte| match byte {
        b'\n' => "\\n".to_owned(),
        b'\\' | b'\'' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        other => format!("\\{other:03o}"),
    });
    format!("$'{}'", each.collect::<String>())
}

/// A command line taken apart as `/bin/sh` would: blanks, quotes and backslashes. What only a shell could do is refused.
pub fn words(line: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    let open = || usage(format!("a quote in '{line}' is never closed"));
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => found.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(open)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(open)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or_else(open)? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c @ ('$' | '`') => return Err(needs_a_shell(line, c)),
                        c => word.push(c),
                    }
                }
            }
            '\\' => {
                let next = chars.next().ok_or_else(open)?;
                word.get_or_insert_default().push(next);
            }
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' => {
                return Err(needs_a_shell(line, c));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    Ok(found)
}

fn needs_a_shell(line: &str, sign: char) -> anyhow::Error {
    usage(format!(
        "'{line}' has a {sign}, which only a shell understands"
    ))
    .hint("there is no shell: give the program and its arguments; quote what is meant as it is")
    .into()
}

/// How a program that was given some time came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Before its time was over.
    ByItself,
    /// It was asked to end (SIGTERM) and did.
    Asked,
    /// It did not end when it was asked, and was killed with its group.
    Killed,
}

/// Lets a program run for `span`, then asks it to end; what has not ended after `grace` is killed. A signal or the run's own
/// limit ends it early, in the same way, and is an error.
pub fn run_for(
    mut command: Command,
    span: Duration,
    grace: Duration,
    stop: &Stop,
) -> anyhow::Result<(Output, Ended)> {
    let (mut child, stdout, stderr) = spawn(&mut command, None, MOST_OUTPUT)?;
    let started = Instant::now();
    let mut asked = None;
    let mut how = Ended::ByItself;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        match asked {
            None if started.elapsed() >= span || stop.asked() => {
                signal_group(&child, Signal::TERM);
                (asked, how) = (Some(Instant::now()), Ended::Asked);
            }
            Some(since) if how == Ended::Asked && since.elapsed() >= grace => {
                kill_group(&mut child);
                reap(&mut child);
                how = Ended::Killed;
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    // What it left behind in its group would hold the port.
    signal_group(&child, Signal::KILL);
    stop.check()?;
    let output = Output {
        status,
        stdout: collect(stdout, grace),
        stderr: collect(stderr, grace),
    };
    Ok((output, how))
}

/// Runs to the end or to the limit; at the limit the whole group is killed. A signal or the run's own limit ends the group too, and
/// is an error: what nobody waits for any more must not go on.
pub fn run(command: Command, limit: Duration, stop: &Stop) -> anyhow::Result<Output> {
    start(command, None, limit, MOST_OUTPUT, stop)
}

/// The same for one that has much to say: as much of each stream is kept.
pub fn run_keeping(
    command: Command,
    limit: Duration,
    most: u64,
    stop: &Stop,
) -> anyhow::Result<Output> {
    start(command, None, limit, most, stop)
}

/// The same for what has to be done to its end, whatever becomes of the run: it has its own limit and nothing else.
pub fn run_to_the_end(command: Command, limit: Duration) -> anyhow::Result<Output> {
    start(
        command,
        None,
        limit,
        MOST_OUTPUT,
        &Stop::after(Duration::MAX),
    )
}

/// The same with something to read on standard input.
pub fn run_with_input(
    mut command: Command,
    input: Vec<u8>,
    limit: Duration,
    stop: &Stop,
) -> anyhow::Result<Output> {
    command.stdin(Stdio::piped());
    start(command, Some(input), limit, MOST_OUTPUT, stop)
}

fn start(
    mut command: Command,
    input: Option<Vec<u8>>,
    limit: Duration,
    most: u64,
    stop: &Stop,
) -> anyhow::Result<Output> {
    let limit = stop.left(limit)?;
    let name = command.get_program().to_string_lossy().into_owned();
    let (mut child, stdout, stderr) = spawn(&mut command, input, most)?;
    let status = wait(&mut child, &name, limit, stop)?;
    Ok(Output {
        status,
        stdout: collect(stdout, limit),
        stderr: collect(stderr, limit),
    })
}

fn spawn(
    command: &mut Command,
    input: Option<Vec<u8>>,
    most: u64,
) -> anyhow::Result<(Child, Drain, Drain)> {
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
    Ok((child, stdout, stderr))
}

fn wait(child: &mut Child, name: &str, limit: Duration, stop: &Stop) -> anyhow::Result<ExitStatus> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.asked() {
            end_group(child);
            stop.check()?;
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

/// Asks the group to end, and kills what is left of it.
fn end_group(child: &mut Child) {
    signal_group(child, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_group(child);
    reap(child);
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
    signal_group(child, Signal::KILL);
    let _ = child.kill();
}

fn signal_group(child: &Child, signal: Signal) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, signal);
    }
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
    use crate::error::kind_of;

    fn long() -> Stop {
        Stop::after(Duration::from_secs(60))
    }

    #[test]
    fn a_run_that_is_to_stop_ends_its_child_with_the_whole_group() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = folder.path().join("told");
        let mut shell = command(Path::new("/bin/sh"));
        // The first is asked and tidies up; what it started does not listen, and is killed.
        shell.args([
            "-c",
            "sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $! >\"$0\"; trap 'echo asked >>\"$0\"; exit' TERM; wait",
        ]);
        shell.arg(&told);
        let text = || std::fs::read_to_string(&told).unwrap_or_default();
        let stop = {
            let told = told.clone();
            long().unless(move || {
                let ready = std::fs::read_to_string(&told).is_ok_and(|text| text.ends_with('\n'));
                ready.then(|| Failure::new(Kind::Interrupted, "interrupted"))
            })
        };
        let error = run(shell, Duration::from_secs(50), &stop).expect_err("interrupted");
        assert_eq!(kind_of(&error), Kind::Interrupted);
        assert!(text().ends_with("asked\n"), "{}", text());
        let left = text().lines().next().map(str::to_owned).expect("a number");
        let is_alive = || {
            let status = std::fs::read_to_string(format!("/proc/{left}/stat"));
            status.is_ok_and(|text| !text.contains(") Z "))
        };
        for _ in 0..200 {
            if !is_alive() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{left} is still there");
    }

    #[test]
    fn a_child_that_hangs_is_killed_with_its_group() {
        let mut sleeper = command(Path::new("/bin/sh"));
        sleeper.args(["-c", "sleep 60 & sleep 60"]);
        let started = Instant::now();
        let error = run(sleeper, Duration::from_millis(200), &long()).expect_err("limit");
        assert!(error.to_string().contains("was stopped"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(
            command(Path::new("/nonexistent/tool")),
            Duration::from_secs(1),
            &long(),
        )
        .expect_err("missing");
        assert!(error.to_string().contains("/nonexistent/tool"));
    }

    #[test]
    fn words_reach_a_shell_as_they_are() {
        for word in ["/usr/bin/tool", "/srv/my app/it's 100%", "a\"b$c`d\\e", ""] {
            let mut shell = command(Path::new("/bin/sh"));
            shell.args(["-c", &format!("printf %s {}", shell_word(word))]);
            let output = run(shell, Duration::from_secs(5), &long()).expect("runs");
            assert_eq!(output.stdout, word.as_bytes());
        }
    }

    /// Such a name is shown to people, who have bash, after it was made harmless: that must change nothing in it.
    #[test]
    fn odd_names_reach_a_shell_as_they_are() {
        use std::ffi::OsStr;
        for name in [
            &b"/srv/a b"[..],
            b"/srv/a\nb",
            b"it's\t\\odd\x1b[2J7",
            b"\xff\xfe",
            "\u{202e}b\u{e4}".as_bytes(),
        ] {
            let word = shell_path(Path::new(OsStr::from_bytes(name)));
            assert_eq!(clean(&word), word);
            let mut shell = command(Path::new("/bin/bash"));
            shell.args(["-c", &format!("printf %s {word}")]);
            let output = run(shell, Duration::from_secs(5), &long()).expect("runs");
            assert_eq!(output.stdout, name, "{word}");
        }
    }

    #[test]
    fn words_come_apart_as_a_shell_has_them() {
        for (line, expected) in [
            ("node server.js", vec!["node", "server.js"]),
            (
                "  a\t'b c'd \"e\\\"f\" g\\ h '' ",
                vec!["a", "b cd", "e\"f", "g h", ""],
            ),
            ("'a$b' \"c*\" d=e", vec!["a$b", "c*", "d=e"]),
            ("", vec![]),
        ] {
            assert_eq!(words(line).expect(line), expected, "{line}");
        }
        for wrong in [
            "a | b",
            "a; b",
            "a 'b",
            "a \"b",
            "a > b",
            "$HOME",
            "\"$HOME\"",
            "a\\",
            "`x`",
            "*.js",
        ] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
        for word in ["/srv/my app/it's 100%", "a\"b$c`d\\e", "", "plain"] {
            assert_eq!(words(&shell_word(word)).expect(word), [word]);
        }
    }

    #[test]
    fn a_program_that_does_not_end_when_asked_is_killed() {
        let stop = Stop::after(Duration::from_secs(60));
        let short = Duration::from_millis(300);
        for (script, expected) in [
            ("exit 3", Ended::ByItself),
            ("sleep 60", Ended::Asked),
            (
                "trap '' TERM; echo ready; sleep 60 & wait; wait; sleep 60",
                Ended::Killed,
            ),
        ] {
            let mut shell = command(Path::new("/bin/sh"));
            shell.args(["-c", script]);
            let (_, ended) = run_for(shell, short, short, &stop).expect("runs");
            assert_eq!(ended, expected, "{script}");
        }
        let over = Stop::after(Duration::ZERO);
        let mut shell = command(Path::new("/bin/sh"));
        shell.args(["-c", "sleep 60"]);
        assert!(run_for(shell, Duration::from_secs(50), short, &over).is_err());
    }

    #[test]
    fn children_inherit_nothing() {
        let limit = Duration::from_secs(5);
        let output = run(command(Path::new("/usr/bin/env")), limit, &long()).expect("runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
