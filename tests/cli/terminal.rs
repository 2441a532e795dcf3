//! At a terminal: a progress line, and a restore that asks. `script` gives the program a real pseudo-terminal.

use std::io::Write as _;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use crate::support::peers::MailServer;
use crate::support::{BINARY, Server, fill, users};

/// Runs a command line at a terminal, types `answer`, returns exit code and everything that was shown.
fn at_terminal(server: &Server, line: &str, answer: &str) -> (i32, String) {
    let typed = format!(
        "{BINARY} --config {} {line}",
        server.config_path().display()
    );
    let mut child = Command::new("script")
        .args(["-qec", &typed, "/dev/null"])
        .env("TERM", "xterm")
        .env("STATE_DIRECTORY", server.state())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{answer}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn a_restore_without_arguments_shows_the_choice_and_asks_for_the_name() {
    let server = Server::new();
    server.run("backup").expect(0);
    Connection::open(server.database())
        .unwrap()
        .execute_batch("DELETE FROM users")
        .unwrap();
    let (code, shown) = at_terminal(&server, "restore", "");
    assert_eq!(code, 3, "{shown}");
    assert!(shown.contains("app_db: 1 verified backup"), "{shown}");
    assert!(
        shown.contains("kept under a dated name") && shown.contains("free; takes about"),
        "{shown}"
    );
    assert_eq!(users(&server.database()), 0, "nothing was restored");
    let (code, shown) = at_terminal(&server, "restore", "another");
    assert_eq!(code, 3, "{shown}");
    let (code, shown) = at_terminal(&server, "restore", "app_db");
    assert_eq!(code, 0, "{shown}");
    assert_eq!(users(&server.database()), 500);
}

/// Whoever typed it reads what is wrong; what cron starts so is seen by nobody.
#[test]
fn a_typo_at_a_terminal_wakes_nobody_and_one_of_cron_does() {
    let mail = MailServer::start();
    let server = Server::new().config(&format!(
        "[[alerts.channel]]\nname = \"ops\"\nkind = \"mail\"\nsmtp_url = \"smtp://127.0.0.1:{}\"\nfrom = \"maint@luca.test\"\nto = [\"admin@luca.test\"]\n[[alerts.route]]\nchannels = [\"ops\"]",
        mail.port
    ));
    for typo in [
        "backup --bogus",
        "backup --timeout 1x",
        "backup adopt nofile",
        "verify-backup nosuch",
        "alerts ack 4711",
    ] {
        let (code, shown) = at_terminal(&server, typo, "");
        assert_eq!(code, 3, "{shown}");
    }
    assert!(mail.mails().is_empty(), "{:?}", mail.mails());
    let (_, history) = server.json("history --status unknown");
    assert_eq!(history["data"]["runs"].as_array().unwrap().len(), 5);
    let board = server.run("schedule show --json").expect(0).json();
    let lines = board["data"]["lines"].as_array().unwrap();
    let backup = lines.iter().find(|line| line["name"] == "backup").unwrap();
    assert_eq!(
        backup["standing"], "waiting",
        "a slip is no run of the plan"
    );
    server.run("backup --bogus").expect(3);
    assert_eq!(mail.mails().len(), 1);
}

#[test]
fn help_is_an_answer_and_no_run() {
    let server = Server::new();
    let ran = server.run("help").expect(0);
    assert!(ran.out.contains("Usage: empire-maint"), "{}", ran.out);
    let ran = server.run("help backup list").expect(0);
    assert!(
        ran.out.contains("Usage: empire-maint backup list"),
        "{}",
        ran.out
    );
    for wrong in ["help nosuch", "help backup nosuch", "help backup --bogus"] {
        server.run(wrong).expect(3);
    }
    assert!(!server.state().join("journal.db").exists());
}

#[test]
fn progress_is_painted_on_a_terminal_and_nowhere_else() {
    let server = Server::empty();
    fill(&server.database(), 100_000);
    let (code, shown) = at_terminal(&server, "backup", "");
    assert_eq!(code, 0, "{shown}");
    assert!(
        shown.contains("backing up app_db: ") && shown.contains("/s, "),
        "{shown}"
    );
    let ran = server.run("backup").expect(0);
    assert!(!ran.err.contains("backing up"), "{}", ran.err);
}

#[test]
fn rows_are_counted_and_are_no_bytes() {
    let server = Server::empty();
    fill(&server.database(), 20_000);
    let server = server.config(
        "[[data_clean.rule]]\nname = \"old\"\ndatabase = \"app_db\"\ntable = \"users\"\ncolumn = \"last_login\"\nolder_than = \"0s\"\naction = \"delete\"\nmax_fraction = 1.0",
    );
    server.run("backup").expect(0);
    let (code, shown) = at_terminal(&server, "data-clean --yes", "");
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("rows of users: "), "{shown}");
    assert!(!shown.contains("B/s"), "{shown}");
}
