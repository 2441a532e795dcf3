//! `restore --stop-app`: a real application with its health endpoint is stopped and comes back, whatever happens meanwhile.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::restore_live::{kept, names, server};
use crate::support::faults::{Faults, Kind, read_log};
use crate::support::{Ran, Server, actions, finding, finding_ids, users};

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An application: while `running` exists it has the database open and writes, and its health endpoint answers 200.
struct App {
    running: PathBuf,
    url: String,
    sick: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl App {
    fn start(server: &Server) -> Self {
        let running = server.path().join("running");
        fs::write(&running, "").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/health", listener.local_addr().unwrap());
        let [well, sick, end] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        std::thread::spawn({
            let (well, sick) = (well.clone(), sick.clone());
            move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let mut request = [0; 1024];
                    let length = stream.read(&mut request).unwrap_or(0);
                    assert!(request[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
                    let fine = well.load(Ordering::SeqCst) && !sick.load(Ordering::SeqCst);
                    let status = if fine { "200 OK" } else { "503 Not Well" };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        let thread = std::thread::spawn({
            let (running, end, database) = (running.clone(), end.clone(), server.database());
            let well = well.clone();
            move || {
                let (mut open, mut starts) = (None, 0);
                while !end.load(Ordering::SeqCst) {
                    if !running.exists() {
                        well.store(false, Ordering::SeqCst);
                        open = None;
                    } else if open.is_none() {
                        open = Some(Connection::open(&database).unwrap());
                        starts += 1;
                    }
                    if let Some(connection) = &open {
                        let write = "UPDATE counter SET n = n + 1";
                        connection.execute_batch(write).unwrap();
                        well.store(true, Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                starts
            }
        });
        wait_for("the application", || well.load(Ordering::SeqCst));
        Self {
            running,
            url,
            sick,
            end,
            thread: Some(thread),
        }
    }

    /// The lines of `[app]`.
    fn lines(&self, stop: &str, start: &str) -> String {
        let list = |verb: &str| match verb {
            "" => unreachable!(),
            "rm" | "touch" => format!("[{verb:?}, {:?}]", self.running),
            other => other.to_owned(),
        };
        format!(
            "health_url = {:?}\nservice = \"the-app\"\nstop = {}\nstart = {}",
            self.url,
            list(stop),
            list(start)
        )
    }

    /// How often it opened its database.
    fn end(mut self) -> u32 {
        self.end.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

fn outcomes(report: &serde_json::Value) -> Vec<(String, String)> {
    let all = actions(report).into_iter();
    all.map(|(kind, _, outcome)| (kind, outcome)).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(kind, outcome): &(&str, &str)| ((*kind).to_owned(), (*outcome).to_owned());
    expected.iter().map(pair).collect()
}

#[test]
fn the_application_is_stopped_started_and_waited_for() {
    let server = server();
    let app = App::start(&server);
    let server = server.app(&app.lines("rm", "touch"));
    let ran = server.run("restore app_db --force");
    assert_eq!(ran.code, 3, "it runs: {ran:?}");
    let (code, report) = server.json("restore app_db --force --stop-app");
    assert_eq!(code, 0, "{report:#}");
    let order = [
        ("restore", "done"),
        ("stop", "done"),
        ("swap", "done"),
        ("start", "done"),
    ];
    assert_eq!(outcomes(&report), pairs(&order));
    let restored = |path: &Path| {
        let open = Connection::open(path).unwrap();
        let sql = "SELECT (SELECT count(*) FROM users), n FROM counter";
        open.query_row(sql, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .unwrap()
    };
    wait_for("its writes", || restored(&server.database()).1 > 3);
    assert_eq!(
        restored(&server.database()).0,
        500,
        "it works on the restored one"
    );
    assert_eq!(app.end(), 2);
    let [old] = kept(&server).try_into().unwrap();
    assert_eq!(restored(&old).0, 600);
}

#[test]
fn an_application_that_does_not_come_back_is_critical_and_the_database_is_in_place() {
    for start in ["[\"false\"]", "[\"/no/such/program\"]", "touch"] {
        let server = server();
        let app = App::start(&server);
        app.sick.store(true, Ordering::SeqCst);
        let server = server.app(&app.lines("rm", start));
        let (code, report) = server.json("restore app_db --force --stop-app --timeout 8s");
        assert_eq!(code, 2, "{start}: {report:#}");
        let unwell = finding(&report, "restore.app-unwell");
        assert_eq!(unwell["severity"], "critical");
        assert_eq!(unwell["subject"], "the-app");
        let order = [
            ("restore", "done"),
            ("stop", "done"),
            ("swap", "done"),
            ("start", "failed"),
        ];
        assert_eq!(outcomes(&report), pairs(&order), "{start}");
        assert_eq!(report["data"]["database"], "app_db", "{start}");
        app.end();
        assert_eq!(users(&server.database()), 500, "{start}");
        assert_eq!(kept(&server).len(), 1);
    }
}

#[test]
fn an_application_that_cannot_be_stopped_is_left_running_and_nothing_is_swapped() {
    // What fails, ends a run that had begun; a program that is not there never was one.
    for (stop, code, order) in [
        (
            "[\"false\"]",
            2,
            &[
                ("restore", "done"),
                ("stop", "failed"),
                ("start", "done"),
                ("sweep", "done"),
            ][..],
        ),
        (
            "[\"/no/such/program\"]",
            3,
            &[("restore", "done"), ("stop", "failed"), ("sweep", "done")],
        ),
        // It says that it stopped, and goes on.
        (
            "[\"true\"]",
            2,
            &[
                ("restore", "done"),
                ("stop", "failed"),
                ("start", "done"),
                ("sweep", "done"),
            ],
        ),
    ] {
        let server = server();
        let app = App::start(&server);
        let server = server.app(&app.lines(stop, "touch"));
        let (ended, report) = server.json("restore app_db --force --stop-app --timeout 8s");
        assert_eq!(ended, code, "{stop}: {report:#}");
        assert_eq!(outcomes(&report), pairs(order), "{stop}");
        assert_eq!(app.end(), 1, "{stop}: it never closed its database");
        assert_eq!(users(&server.database()), 600, "{stop}");
        assert!(kept(&server).is_empty(), "{stop}");
        assert!(
            names(&server).iter().all(|name| !name.contains("restore")),
            "{stop}"
        );
    }
}

#[test]
fn a_signal_while_the_application_is_down_brings_it_back_first() {
    let server = server();
    let app = App::start(&server);
    let script = server.path().join("stop");
    let slow = format!(
        "#!/bin/sh\nrm '{0}'; touch '{0}.stopping'; sleep 1\n",
        app.running.display()
    );
    fs::write(&script, slow).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let server = server.app(&app.lines(&format!("[{script:?}]"), "touch"));
    let child = server
        .command(["restore", "app_db", "--force", "--stop-app", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stopping = server.path().join("running.stopping");
    wait_for("the stop", || stopping.exists());
    let signal = Command::new("kill").arg(child.id().to_string()).status();
    assert!(signal.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 15));
    let report = serde_json::from_slice(&output.stdout).unwrap();
    let order = [
        ("restore", "done"),
        ("stop", "done"),
        ("start", "done"),
        ("sweep", "done"),
    ];
    assert_eq!(outcomes(&report), pairs(&order), "{report:#}");
    let ids = finding_ids(&report, "the-app");
    assert!(ids.is_empty(), "it came back: {ids:?}");
    assert!(app.running.exists());
    wait_for("the application's second start", || {
        server.database().with_extension("db-wal").exists()
    });
    app.end();
    assert_eq!(users(&server.database()), 600, "nothing was swapped");
    assert!(kept(&server).is_empty());
}

/// The same command twice: once to its end, once to where all that is left is to remove the intent.
fn kill_after_swap(server: &Server, line: &[&str]) {
    let faults = Faults::new([server.root()], &server.path().join("trash"));
    let log = server.path().join("log");
    let mut command = server.command(line);
    faults.log(&mut command, &log);
    Ran::of(&mut command).expect(0);
    let swap = |call: &&crate::support::faults::Call| {
        call.op == "unlink" && call.path.ends_with(".app.db.restore.json")
    };
    let at = read_log(&log).iter().find(swap).unwrap().n;
    let mut command = server.command(line);
    faults.inject(&mut command, Kind::Kill, at);
    Ran::of(&mut command).expect(-1);
}

/// The one that somebody chose because the newest holds what was to be got rid of.
#[test]
fn what_finishes_a_restore_of_an_older_backup_does_not_begin_one_of_the_newest() {
    let server = server();
    server.run("backup --database app_db").expect(0);
    let app = App::start(&server);
    let server = server.app(&app.lines("rm", "touch"));
    let good = server.list("app_db").remove(0);
    let good = good.to_str().unwrap();
    let line = ["restore", "app_db", "--force", "--stop-app", "--file", good];
    kill_after_swap(&server, &line);
    assert!(!app.running.exists(), "it was killed while it was down");
    let (_, report) = server.json("verify-backup app_db");
    let hint = finding(&report, "restore.unfinished")["hint"].clone();
    let command = hint.as_str().unwrap();
    assert_eq!(
        command,
        format!("empire-maint restore app_db --force --file {good} --stop-app")
    );
    let (code, report) = server.json(command.strip_prefix("empire-maint ").unwrap());
    assert_eq!(code, 0, "{report:#}");
    let order = [("finish", "done"), ("start", "done")];
    assert_eq!(outcomes(&report), pairs(&order));
    assert!(app.running.exists());
    assert_eq!(users(&server.database()), 500);
    // Whoever asks for another one finishes it too, and hears what is in place before that one takes its place.
    kill_after_swap(&server, &line);
    let (code, report) = server.json("restore app_db --force");
    assert_eq!(code, 2, "{report:#}");
    let said = report["failure"]["message"].as_str().unwrap();
    assert!(said.contains("is in place at"), "{said}");
    assert_eq!(outcomes(&report), pairs(&order));
    assert!(app.running.exists(), "the killed one had stopped it");
    assert_eq!(users(&server.database()), 500);
    server.json("restore app_db --force --stop-app");
    app.end();
    assert_eq!(users(&server.database()), 600);
}

/// Whoever passes by an unfinished restore says so; the same command finishes it and brings the application back.
#[test]
fn an_unfinished_restore_is_said_until_it_is_finished() {
    let server = server();
    let app = App::start(&server);
    let server = server.app(&app.lines("rm", "touch"));
    let line = ["restore", "app_db", "--force", "--stop-app", "--json"];
    kill_after_swap(&server, &line);
    assert!(
        !app.running.exists(),
        "it was killed while the application was down"
    );
    for (line, after) in [
        ("verify-backup app_db", "verify"),
        ("backup --database app_db", "backup"),
    ] {
        let (code, report) = server.json(line);
        assert_eq!(code, 2, "{after}: {report:#}");
        let said = finding(&report, "restore.unfinished");
        assert_eq!(said["severity"], "high");
        assert_eq!(said["subject"], "app_db");
        let hint = said["hint"].as_str().unwrap();
        assert!(
            hint.contains("empire-maint restore app_db --force"),
            "{hint}"
        );
    }
    let report = Ran::of(&mut server.command(line)).json();
    assert!(
        !finding_ids(&report, "").contains(&"restore.app-unwell".to_owned()),
        "{report:#}"
    );
    assert!(app.running.exists());
    let (_, report) = server.json("verify-backup app_db");
    assert!(!finding_ids(&report, "").contains(&"restore.unfinished".to_owned()));
    assert!(
        names(&server)
            .iter()
            .all(|name| !name.contains(".restore."))
    );
    app.end();
    assert_eq!(users(&server.database()), 500);
}
