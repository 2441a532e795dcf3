//! Bad input of every kind: one clear error, exit code 3, nothing changed, no panic.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Ran, Server};

/// One error on standard error and exit code 3; the server's own files are as they were.
fn refused(server: &Server, what: &str, ran: &Ran) {
    assert_eq!(ran.code, 3, "{what}: {ran:?}");
    assert_eq!(ran.out, "", "{what}");
    assert_eq!(ran.err.matches("error: ").count(), 1, "{what}: {}", ran.err);
    assert!(ran.err.starts_with("empire-maint"), "{what}: {}", ran.err);
    assert!(
        !ran.err.contains("panicked") && !ran.err.contains("defect"),
        "{what}: {}",
        ran.err
    );
    assert!(ran.err.len() < 2000, "{what}: {}", ran.err);
    let odd = |c: char| c.is_control() && c != '\n';
    assert!(!ran.err.contains(odd), "{what}: {:?}", ran.err);
    assert!(!server.backups().exists(), "{what}");
}

#[test]
fn a_configuration_that_makes_no_sense_is_one_error() {
    let deep = |open: &str| format!("[app]\nx = {}", open.repeat(50_000));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("NUL", b"[app]\0\nroot = \"/x\"\n".to_vec(), "config.toml:1"),
        (
            "not UTF-8",
            b"[app]\nroot = \"/\xff\"\n".to_vec(),
            "config.toml:2: not valid UTF-8",
        ),
        (
            "UTF-16",
            b"\xff\xfe[\0a\0p\0p\0]\0".to_vec(),
            "not valid UTF-8",
        ),
        ("huge", vec![b'#'; 2 << 20], "larger than 1 MiB"),
        ("deep", deep("[").into(), "config.toml:2: nested too deeply"),
        ("deep in lines", deep("[\n").into(), "nested too deeply"),
        ("deep in tables", deep("{a=").into(), "nested too deeply"),
        (
            "deep in keys",
            format!("[app]\n{}x = 1", "a.".repeat(50_000)).into(),
            "nested too deeply",
        ),
        (
            "a key twice",
            b"[app]\nroot = \"/x\"\nroot = \"/y\"\n".to_vec(),
            "config.toml:3 in [app], key root: duplicate key",
        ),
        (
            "a section twice",
            b"[app]\nroot = \"/x\"\n[app]\nlisten = \"y\"\n".to_vec(),
            "config.toml:3",
        ),
        (
            "not TOML",
            b"root: /opt/agentic-empire\n".to_vec(),
            "config.toml:1",
        ),
        (
            "JSON",
            b"{\"app\": {\"root\": \"/x\"}}".to_vec(),
            "config.toml:1",
        ),
        (
            "a section that is a value",
            b"app = 3\n".to_vec(),
            "config.toml:1",
        ),
        (
            "a list that is a table",
            b"[database]\nname = \"x\"\npath = \"y\"\n".to_vec(),
            "[database]",
        ),
        (
            "half a string",
            b"[app]\nroot = \"/x\n".to_vec(),
            "config.toml:2",
        ),
        (
            "control characters",
            b"[app]\nroot = \"/x\"\n[backup]\ndir = \"\x1b[2J\"\n".to_vec(),
            "config.toml:4",
        ),
        (
            "escaped ones in a name",
            b"[[database]]\nname = \"a\\u001b[2J\"\npath = \"x\"\n".to_vec(),
            "cannot be a part of file names",
        ),
        (
            "a line break in a name",
            b"[[database]]\nname = \"a\\nb\"\npath = \"x\"\n".to_vec(),
            "cannot be a part of file names",
        ),
        (
            "a slash in a name",
            b"[[database]]\nname = \"a/b\"\npath = \"x\"\n".to_vec(),
            "cannot be a part of file names",
        ),
        (
            "no name",
            b"[[database]]\npath = \"x\"\n".to_vec(),
            "the key 'name' is missing",
        ),
        (
            "no path",
            b"[[database]]\nname = \"x\"\n".to_vec(),
            "the key 'path' is missing",
        ),
        (
            "an impossible zone",
            b"[schedule]\ntimezone = \"Mars/Olympus\"\n".to_vec(),
            "not a known time zone",
        ),
        (
            "a number for a text",
            b"[backup]\ndir = 7\n".to_vec(),
            "config.toml:2 in [backup], key dir",
        ),
        (
            "too large a number",
            b"[backup]\nthreads = 99999999999999999999999\n".to_vec(),
            "config.toml:2",
        ),
    ];
    for (what, text, word) in cases {
        let server = Server::empty();
        fs::write(server.config_path(), text).unwrap();
        let started = Instant::now();
        let ran = server.run("backup");
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        refused(&server, what, &ran);
        assert!(ran.err.contains(word), "{what}: {}", ran.err);
        let check = server.run("config check");
        assert_eq!(check.code, 3, "{what}: {check:?}");
    }
}

#[test]
fn a_byte_order_mark_and_an_empty_file_are_fine() {
    let server = Server::empty();
    let text = fs::read(server.config_path()).unwrap();
    fs::write(server.config_path(), [b"\xef\xbb\xbf", &*text].concat()).unwrap();
    server.run("config check").expect(0);
    fs::write(
        server.config_path(),
        text.iter()
            .flat_map(|b| match b {
                b'\n' => vec![b'\r', b'\n'],
                b => vec![*b],
            })
            .collect::<Vec<_>>(),
    )
    .unwrap();
    server.run("config check").expect(0);
    fs::write(server.config_path(), "").unwrap();
    server.run("config check").expect(0);
    let shown = server.run("config show").expect(0).out;
    assert!(shown.contains("root = \"/opt/agentic-empire\""), "{shown}");
}

#[test]
fn what_is_no_file_is_no_configuration() {
    let server = Server::empty();
    let etc = server.path().join("etc");
    let pipe = etc.join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let socket = etc.join("socket");
    let _held = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(etc.join("loop"), etc.join("loop")).unwrap();
    std::os::unix::fs::symlink(etc.join("nowhere"), etc.join("dangling")).unwrap();
    for name in ["pipe", "socket", "loop", "dangling", "nowhere", ""] {
        let path = etc.join(name);
        let mut command = Command::new("timeout");
        command
            .args(["60", crate::support::BINARY, "backup", "-c"])
            .arg(&path)
            .env("STATE_DIRECTORY", server.state());
        let ran = Ran::of(&mut command);
        refused(&server, name, &ran);
        assert!(
            ran.err.contains(path.to_str().unwrap()),
            "{name}: {}",
            ran.err
        );
    }
}

#[test]
fn bad_words_on_the_command_line_are_one_error() {
    let server = Server::new();
    for line in [
        "",
        "nonsense",
        "Backup",
        "backup nonsense",
        "backup --database",
        "backup --fresh list",
        "backup list --fresh",
        "backup --lock-wait 7",
        "backup --lock-wait -1s",
        "backup --timeout forever",
        "backup --timeout 99999999999999999999d",
        "backup --format xml",
        "backup --format html",
        "backup --color sometimes",
        "backup --now yesterday",
        "backup list a b",
        "backup pin",
        "backup adopt a b",
        "history --limit 0",
        "history --limit -3",
        "history --limit 99999999999",
        "history --since 7",
        "health --check nope",
        "maintenance start --for 0s",
        "config",
        "config init now",
        "man nothing",
        "completions powershell",
        "schema everything",
        "--config",
    ] {
        let ran = server.run(line);
        if line == "config" {
            // The help is the answer to half a command, on standard error.
            assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{line}: {ran:?}");
            assert!(ran.err.contains("Usage: "), "{line}: {}", ran.err);
            continue;
        }
        refused(&server, line, &ran);
        assert!(ran.err.contains("hint: "), "{line}: {}", ran.err);
    }
    let ran = server.run("health --check nope");
    assert!(ran.err.contains("hint: there are: http, "), "{}", ran.err);
    let ran = server.run("maintenance start --for 0s");
    assert!(ran.err.contains(" maintenance stop\n"), "{}", ran.err);
    for word in [
        &b"\xff"[..],
        b"a\x1b[2Jb",
        b"\n",
        b"",
        b"../../etc/passwd",
        &[b'x'; 5000],
    ] {
        let word = OsStr::from_bytes(word);
        let ran = server.run_args([OsStr::new("backup"), OsStr::new("--database"), word]);
        assert_eq!(ran.code, 3, "{ran:?}");
        let odd = |c: char| c.is_control() && c != '\n';
        assert!(!ran.err.contains(odd), "{:?}", ran.err);
        assert!(!server.backups().exists());
    }
}

/// A crontab with a typo is a failed run: it is in the journal, whoever reads the mail.
#[test]
fn bad_usage_is_written_down() {
    let server = Server::new();
    server.run("backup --databse app_db").expect(3);
    server.run("verify-backup --everything").expect(3);
    server.run("history --nonsense").expect(3);
    let (_, report) = server.json("history");
    let runs = report["data"]["runs"].as_array().unwrap();
    let tasks: Vec<&Value> = runs.iter().map(|run| &run["task"]).collect();
    assert_eq!(tasks[tasks.len() - 2..], ["verify-backup", "backup"]);
    assert_eq!(runs.last().unwrap()["exit_code"], 3);
    assert_eq!(runs.last().unwrap()["findings"][0]["id"], "task.failed");
    assert_eq!(runs.last().unwrap()["findings"][0]["severity"], "high");
}

/// At 3 a.m. somebody looks at what there is, whatever is wrong with the file.
#[test]
fn reading_makes_do_with_a_broken_configuration_and_leaves_no_trace() {
    let server = Server::new();
    server.run("backup").expect(0);
    let good = fs::read_to_string(server.config_path()).unwrap();
    fs::write(
        server.config_path(),
        format!("{good}[metrics]\nfoo = 1\n[nonsense]\n"),
    )
    .unwrap();
    // Side files of the journal come and go with whoever reads it through SQLite.
    let everything = || {
        let found = server.fingerprint(server.path()).into_iter();
        found
            .filter(|(path, _)| !path.to_string_lossy().contains("journal.db-"))
            .collect::<Vec<_>>()
    };
    let before = everything();
    for line in ["backup list", "history", "config show"] {
        let ran = server.run(line).expect(2);
        // Beside a text that may go into a file, findings go to standard error.
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("unknown key 'foo'"), "{line}: {said}");
    }
    assert!(
        server
            .run("backup list")
            .expect(2)
            .out
            .contains("app_db_20")
    );
    assert!(
        server
            .run("config show")
            .expect(2)
            .out
            .contains("# [metrics] cannot be read")
    );
    fs::write(server.config_path(), format!("[app\n{good}")).unwrap();
    let history = server.run("history").expect(2).out;
    assert!(history.contains("backed up and verified"), "{history}");
    assert!(history.contains("unclosed table"), "{history}");
    // Here nobody knows any more what belongs where.
    fs::write(server.config_path(), format!("x = \"\"\"\n{good}")).unwrap();
    let history = server.run("history").expect(2).out;
    assert!(history.contains("backed up and verified"), "{history}");
    assert!(
        history.contains("the built-in defaults are in force"),
        "{history}"
    );
    // Those have another folder, which is not there: that is not the same as no backups.
    let listed = server.run("backup list").expect(3).err;
    assert!(listed.contains("/opt/agentic-empire/backups"), "{listed}");
    assert!(listed.contains("in force"), "{listed}");
    server.run("man").expect(0);
    server.run("completions bash").expect(0);
    server.run("config init").expect(0);
    fs::write(
        server.config_path(),
        format!("{good}[metrics]\nfoo = 1\n[nonsense]\n"),
    )
    .unwrap();
    assert_eq!(everything(), before);
}

/// The figures are not worth a night without a backup.
#[test]
fn a_typo_under_metrics_does_not_stop_the_backup() {
    let server = Server::new().config("[metrics]\ntextfiledir = \"/tmp\"");
    let (code, report) = server.json("backup");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(server.list("app_db").len(), 1);
    let said = crate::support::finding_ids(&report, "metrics");
    assert_eq!(said, ["config.invalid"]);
}
