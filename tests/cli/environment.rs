//! What cron, systemd and a careless script give a program: no environment, no terminal, closed streams, a folder that is gone.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{BINARY, Paused, Ran, Server, finding, number, sql, users, zcat};

#[test]
fn an_empty_environment_is_enough() {
    let server = Server::new();
    let run = |line: &str| {
        let mut command = Command::new("/usr/bin/env");
        command
            .args(["-i", "/usr/bin/setsid", "--wait", BINARY, "-c"])
            .arg(server.config_path())
            .args(line.split(' '))
            .current_dir("/")
            .stdin(Stdio::null());
        Ran::of(&mut command)
    };
    run("backup").expect(0);
    run("backup list").expect(0);
    run("verify-backup").expect(0);
    run("restore app_db --force").expect(0);
    run("history").expect(0);
    assert_eq!(users(&server.database()), 500);
    let asked = run("restore");
    assert_eq!(asked.code, 3, "nobody is there to ask: {asked:?}");
}

/// A limit on the size of files is an error like a full disk, and no death.
#[test]
fn a_file_that_may_not_grow_is_told() {
    let server = Server::new();
    sql(
        &server.database(),
        "CREATE TABLE large (x); INSERT INTO large VALUES (randomblob(3000000))",
    );
    let script = format!(
        "ulimit -f 2000; exec {BINARY} -c '{}' backup --database app_db --json",
        server.config_path().display()
    );
    let ran = Ran::of(Command::new("sh").args(["-c", &script]));
    assert_eq!(ran.code, 2, "{ran:?}");
    let failed = finding(&ran.json(), "backup.failed").to_string();
    assert!(failed.contains("File too large"), "{failed}");
    server.run("backup --database app_db").expect(0);
    assert_eq!(server.list("app_db").len(), 1);
}

/// The first file that is opened with its streams closed would become standard output; nothing may be printed into a backup.
#[test]
fn closed_streams_do_no_harm() {
    let server = Server::new();
    for line in [
        "backup",
        "backup --json",
        "verify-backup",
        "backup --quiet",
        "history",
    ] {
        let script = format!(
            "exec {BINARY} -c '{}' {line} <&- >&- 2>&-",
            server.config_path().display()
        );
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert_eq!(status.code(), Some(0), "{line}");
    }
    let script = format!("exec {BINARY} -c /nonexistent backup <&- >&- 2>&-");
    // Without a configuration only the environment says where state goes: not to that of this machine.
    let status = Command::new("sh")
        .args(["-c", &script])
        .env("STATE_DIRECTORY", server.state())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(server.list("app_db").len(), 3);
    for backup in server.list("app_db") {
        let plain = server.path().join("plain.db");
        zcat(&backup, &plain);
        assert_eq!(number(&plain, "SELECT count(*) FROM users"), 500);
    }
    server.run("verify-backup --all").expect(0);
    assert_eq!(
        number(&server.database(), "SELECT count(*) FROM users"),
        500
    );
}

#[test]
fn a_working_folder_that_is_gone_does_not_matter() {
    let server = Server::new();
    let script = format!(
        "mkdir gone && cd gone && rmdir ../gone && exec {BINARY} -c '{}' backup",
        server.config_path().display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(server.path());
    Ran::of(&mut command).expect(0);
}

#[test]
fn a_path_seen_from_a_folder_that_is_gone_is_refused() {
    let server = Server::new();
    server.run("backup").expect(0);
    for line in ["restore app_db --to x.db", "verify-backup --file x.db.gz"] {
        let script = format!(
            "mkdir gone && cd gone && rmdir ../gone && exec {BINARY} -c '{}' {line}",
            server.config_path().display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(server.path());
        let ran = Ran::of(&mut command).expect(3);
        assert!(ran.err.contains("cannot tell where 'x.db"), "{ran:?}");
        assert!(ran.err.contains("hint: give the whole path"), "{ran:?}");
    }
}

/// The same command where a folder is on a file system that was mounted read-only. Only root can mount: none elsewhere.
fn read_only(server: &Server, folder: &Path, line: &str) -> Option<Ran> {
    let ours = server.command(line.split(' '));
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg("mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" || exit 99; shift; exec \"$@\"")
        .args(["sh".as_ref(), folder.as_os_str(), ours.get_program()])
        .args(ours.get_args());
    let ran = Ran::of(&mut command);
    rustix::process::geteuid().is_root().then_some(ran)
}

#[test]
fn a_file_system_that_is_read_only_is_named() {
    let server = Server::new();
    server.run("backup").expect(0);
    let state = server.state();
    for line in ["alerts ack 1", "maintenance start", "maintenance stop"] {
        let Some(ran) = read_only(&server, &state, line) else {
            return;
        };
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
        let said = format!(
            "error: cannot open the journal {}/journal.db: its file system is read-only",
            state.display()
        );
        assert!(ran.err.contains(&said), "{line}: {ran:?}");
        let hint = format!("hint: findmnt -T {}", state.display());
        assert!(ran.err.contains(&hint), "{line}: {ran:?}");
    }
    let ran = read_only(&server, &state, "backup --json").unwrap();
    let report = ran.expect(2).json();
    assert_eq!(server.list("app_db").len(), 2);
    for (id, name) in [("journal.unwritable", ""), ("backup.failed", "/journal.db")] {
        let told = finding(&report, id);
        let message = told["message"].as_str().unwrap();
        assert!(message.contains("its file system is read-only"), "{told}");
        let hint = format!("findmnt -T {}{name}", state.display());
        assert_eq!(told["hint"], hint);
    }
    let data = server.root().join("data");
    for line in ["restore app_db --force", "restore app_db --force -n"] {
        let ran = read_only(&server, &server.root(), line).unwrap().expect(3);
        let said = format!(
            "error: the file system of {0} is read-only\n  hint: findmnt -T {0}\n",
            data.display()
        );
        assert!(ran.err.contains(&said), "{line}: {ran:?}");
    }
}

/// `env -i` as a user of the application: its state is in its own home and not where root's is.
#[test]
fn a_user_without_home_in_the_environment_has_one_all_the_same() {
    let server = Server::new();
    if !server.give_to(12_345) {
        return; // only root can
    }
    let text = fs::read_to_string(server.config_path()).unwrap();
    let state = format!("[state]\ndir = {:?}\n", server.state());
    let server = server.raw_config(&text.replace(&state, ""));
    let users = server.path().join("passwd");
    let line = format!("app:x:12345:12345::{}:/bin/sh\n", server.state().display());
    fs::write(&users, line).unwrap();
    let ours = server.command_as(12_345, ["backup", "--json"]);
    let mut command = Command::new("unshare");
    command
        .env_clear()
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg("mount --bind \"$1\" /etc/passwd && shift && exec \"$@\"")
        .args([
            "sh".as_ref(),
            users.as_os_str(),
            "env".as_ref(),
            "-i".as_ref(),
            "PATH=/usr/bin:/bin".as_ref(),
        ])
        .arg(ours.get_program())
        .args(ours.get_args());
    let ran = Ran::of(&mut command).expect(0);
    assert!(!ran.out.contains("/var/lib"), "{ran:?}");
    let journal = server.state().join(".local/state/empire-maint/journal.db");
    assert!(journal.exists(), "{ran:?}");
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let server = Server::new();
    for line in ["config init", "backup", "backup --json", "history"] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut command = server.command(line.split(' '));
        let output = command.stdout(full).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            error.contains("cannot print: No space left"),
            "{line}: {error}"
        );
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
    assert_eq!(server.list("app_db").len(), 2, "the backups are there");
}

/// Every thread that works; the one that waits for it costs nothing.
#[test]
fn it_runs_at_nice_10_and_at_the_lowest_disk_priority() {
    let server = Server::new();
    let mut command = server.command(["backup"]);
    let run = Paused::before("rename", ".db.gz.part", &server.backups(), &mut command);
    let mut command = server.command(["verify-backup"]);
    let own_nice = nice_of(&std::process::id().to_string());
    let mut seen = 0;
    for entry in fs::read_dir(format!("/proc/{}/task", run.id())).unwrap() {
        let thread = entry.unwrap().file_name().into_string().unwrap();
        if thread == run.id().to_string() {
            continue;
        }
        seen += 1;
        assert_eq!(nice_of(&thread), (own_nice + 10).min(19), "{thread}");
        let output = Command::new("ionice")
            .args(["-p", &thread])
            .output()
            .unwrap();
        let class = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(class.trim(), "best-effort: prio 7");
    }
    assert!(seen >= 1);
    run.resume().expect(0);
    let polite = |command: &mut Command| {
        let run = Paused::before("write", ".json.part", &server.backups(), command);
        let threads = fs::read_dir(format!("/proc/{}/task", run.id())).unwrap();
        let polite = threads
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|thread| nice_of(thread) == (own_nice + 10).min(19))
            .count();
        assert!(polite >= 1);
        run.resume().expect(0);
    };
    polite(&mut command);
    let made = server.list("app_db").remove(0);
    fs::remove_file(made.with_extension("gz.json")).unwrap();
    let made = made.file_name().unwrap().to_str().unwrap();
    polite(&mut server.command(["backup", "adopt", made]));
}

fn nice_of(thread: &str) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{thread}/stat")).unwrap();
    let (_, behind_name) = stat.rsplit_once(") ").unwrap();
    // proc_pid_stat(5): nice is field 19, state, right behind the name, is field 3.
    behind_name.split(' ').nth(16).unwrap().parse().unwrap()
}
