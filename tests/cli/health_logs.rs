//! `health` on logs: only what is new, only the last hour, across rotation, and whatever a hostile client writes into them.

use std::fs;

use serde_json::Value;

use crate::health::{CALM, finding, metric, outcome, watched};
use crate::support::services::{Web, append};
use crate::support::{Server, finding_ids};

fn server(web: &Web) -> Server {
    let logs =
        "[audit]\naccess_log = \"logs/access.log\"\n[logs]\nerror_logs = [\"logs/error.log\"]\n";
    let server = watched(web, CALM, logs);
    fs::create_dir(server.root().join("logs")).unwrap();
    server
}

/// So many requests of one minute of 24 November.
fn lines(minute: &str, path: &str, status: u16, number: usize) -> String {
    format!("1.2.3.4 - - [24/Nov/2026:{minute}:07 +0000] \"POST {path} HTTP/1.1\" {status} 500 \"-\" \"x\"\n")
        .repeat(number)
}

fn look(server: &Server, time: &str) -> (i32, Value) {
    server.json(&format!(
        "health --check errors,logins --now 2026-11-24T{time}:00Z"
    ))
}

#[test]
fn error_rates_are_of_the_last_hour_and_need_a_hundred_requests() {
    let web = Web::start(200, "ok");
    let server = server(&web);
    let log = server.root().join("logs/access.log");
    append(&log, &lines("10:00", "/old", 500, 1000));
    append(&log, &lines("11:30", "/", 500, 9));
    append(&log, &lines("11:31", "/", 200, 90));
    let (code, report) = look(&server, "12:00");
    assert_eq!(code, 0, "99 requests are no rate: {report:#}");
    append(&log, &lines("12:01", "/", 200, 101));
    let (code, report) = look(&server, "12:05");
    assert_eq!(code, 1, "{report:#}");
    let rate = finding(&report, "errors.rate");
    assert_eq!(
        (&rate["severity"], &rate["value"]),
        (&"medium".into(), &4.5.into())
    );
    assert_eq!(metric(&report, "http_requests_per_second"), 200.0 / 3600.0);
    let (code, _) = look(&server, "12:45");
    assert_eq!(code, 0, "what is over is over");
}

#[test]
fn failed_logins_are_counted_once_across_rotation() {
    let web = Web::start(200, "ok");
    let server = server(&web);
    let log = server.root().join("logs/access.log");
    append(&log, &lines("11:50", "/api/login?x=1", 401, 3));
    assert_eq!(look(&server, "11:55").0, 0);
    // Three more of the same minute, and the log is rotated; its new one begins with one more.
    append(&log, &lines("11:50", "/login", 403, 3));
    fs::rename(&log, server.root().join("logs/access.log.1")).unwrap();
    append(&log, &lines("11:50", "/login", 429, 1));
    append(&log, &lines("11:51", "/deals", 401, 50));
    let (code, report) = look(&server, "12:00");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(finding(&report, "logins.failed")["value"], 7.0);
    let (_, again) = look(&server, "12:05");
    assert_eq!(
        finding(&again, "logins.failed")["value"],
        7.0,
        "nothing twice"
    );
    // Copied and truncated.
    fs::write(&log, lines("12:06", "/login", 401, 12)).unwrap();
    let (code, report) = look(&server, "12:10");
    assert_eq!(code, 2);
    assert_eq!(finding(&report, "logins.failed")["value"], 12.0);
    assert_eq!(metric(&report, "logins_failed_per_hour"), 19.0);
}

#[test]
fn dry_runs_and_persons_do_not_move_the_offsets() {
    let web = Web::start(200, "ok");
    let server = server(&web);
    let log = server.root().join("logs/access.log");
    append(&log, &lines("11:50", "/login", 401, 1));
    let (_, first) = look(&server, "11:55");
    assert_eq!(metric(&first, "access_log_lines"), 1.0);
    append(&log, &lines("11:56", "/login", 401, 2));
    let dry = server
        .json("health --check logins -n --now 2026-11-24T11:57:00Z")
        .1;
    assert_eq!(metric(&dry, "access_log_lines"), 2.0);
    let typed = format!(
        "{} --config {} health --check logins --now 2026-11-24T11:58:00Z",
        crate::support::BINARY,
        server.config_path().display()
    );
    let output = std::process::Command::new("script")
        .args(["-qec", &typed, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("3 failed logins"), "{text}");
    let (_, report) = look(&server, "11:59");
    assert_eq!(metric(&report, "access_log_lines"), 2.0);
    assert_eq!(metric(&look(&server, "12:00").1, "access_log_lines"), 0.0);
}

#[test]
fn hostile_lines_count_for_nothing() {
    let web = Web::start(200, "ok");
    let server = server(&web);
    let log = server.root().join("logs/access.log");
    append(&log, &lines("11:50", "/", 200, 200));
    for agent in [
        "\\\" 500 1 \\\"",
        "] \\\"POST /login HTTP/1.1\\\" 401",
        "\u{1b}[31m\\x00",
    ] {
        append(
            &log,
            &format!("1.2.3.4 - - [24/Nov/2026:11:51:00 +0000] \"GET /?q={agent} HTTP/1.1\" 200 5 \"-\" \"{agent}\"\n").repeat(100),
        );
    }
    append(
        &log,
        "1.2.3.4 - - [24/Nov/2026:11:51:00 +0000] \"\\x16\\x03\\x01\" 400 0 \"-\" \"-\"\n",
    );
    append(&log, &format!("{}\n", "A".repeat(3_000_000)));
    append(&log, &"\0\n".repeat(100));
    append(&log, &"{\"a\":".repeat(5000));
    append(&log, "\nhalf a line");
    let (code, report) = look(&server, "12:00");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(metric(&report, "http_error_rate_percent"), 0.0);
    assert_eq!(metric(&report, "logins_failed_per_hour"), 0.0);
    assert_eq!(metric(&report, "access_log_lines"), 501.0);
    assert_eq!(metric(&report, "access_log_unparsed_lines"), 102.0);
}

#[test]
fn a_log_in_a_form_that_nobody_knows_is_said() {
    let web = Web::start(200, "ok");
    let server = server(&web);
    let log = server.root().join("logs/access.log");
    append(&log, &"what is this 500\n".repeat(50));
    let (code, report) = look(&server, "12:00");
    assert_eq!(code, 1);
    finding(&report, "log.unparsed");
    fs::remove_file(&log).unwrap();
    let (code, report) = look(&server, "12:05");
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "log.missing");
    for check in ["errors", "logins"] {
        assert_eq!(outcome(&report, check), "unknown", "{report:#}");
    }
}

#[test]
fn a_log_behind_a_link_is_read_where_root_or_the_owner_made_the_link() {
    let web = Web::start(200, "ok");
    let server = server(&web);
    let (log, real) = (
        server.root().join("logs/access.log"),
        server.path().join("real"),
    );
    fs::create_dir(&real).unwrap();
    append(&real.join("now.log"), &lines("11:50", "/login", 401, 3));
    std::os::unix::fs::symlink(real.join("now.log"), &log).unwrap();
    let (_, report) = look(&server, "11:55");
    assert_eq!(metric(&report, "logins_failed_per_hour"), 3.0);
    // Rotated where it really lies.
    append(&real.join("now.log"), &lines("11:56", "/login", 401, 2));
    fs::rename(real.join("now.log"), real.join("now.log.1")).unwrap();
    append(&real.join("now.log"), &lines("11:57", "/login", 401, 1));
    let (_, report) = look(&server, "12:00");
    assert_eq!(metric(&report, "logins_failed_per_hour"), 6.0);
    if std::os::unix::fs::lchown(&log, Some(4711), None).is_err() {
        return; // only root can give it away
    }
    let (code, report) = look(&server, "12:05");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(outcome(&report, "errors"), "unknown");
    assert!(
        report
            .to_string()
            .contains("a link that somebody else made")
    );
}

/// What an application writes that knows nothing of time zones, on a server that is an hour ahead of UTC.
#[test]
fn times_without_a_zone_are_the_servers() {
    let web = Web::start(200, "ok");
    let server = server(&web);
    let text = fs::read_to_string(server.config_path()).unwrap();
    let text = text.replace("timezone = \"UTC\"", "timezone = \"Europe/Berlin\"");
    fs::write(server.config_path(), text).unwrap();
    let log = server.root().join("logs/error.log");
    append(&log, "2026-11-24 10:00:00 Error: known\n");
    let look = |time: &str| {
        server
            .json(&format!(
                "health --check app-errors,memory --now 2026-11-24T{time}:00Z"
            ))
            .1
    };
    look("11:30");
    append(&log, &"2026-11-24 12:45:10 Error: known\n".repeat(7));
    append(
        &log,
        "2026-11-24 12:45:10 Error: no USER_INFO\n2026-11-24 12:45:11 INFO fine\n",
    );
    let report = look("11:50");
    assert_eq!(metric(&report, "app_errors_per_minute"), 8.0);
    // Its clock is two hours ahead: the errors count all the same.
    append(&log, &"2026-11-24 14:52:10 Error: known\n".repeat(9));
    let report = look("11:55");
    assert_eq!(metric(&report, "app_errors_per_minute"), 9.0);
}

#[test]
fn new_kinds_of_errors_of_the_application() {
    let web = Web::start(200, "ok");
    let server = server(&web);
    let log = server.root().join("logs/error.log");
    let known = |user: u32| {
        format!("2026-11-24T11:50:0{user}.000Z Error: no deal {user}\n    at deals.js:10:{user}\n")
    };
    append(&log, &known(1));
    let look = |time: &str| {
        server.json(&format!(
            "health --check app-errors,memory --now 2026-11-24T{time}:00Z"
        ))
    };
    let (_, report) = look("11:55");
    assert!(
        !finding_ids(&report, "").contains(&"app-errors.new".to_owned()),
        "the first look learns"
    );
    append(&log, &known(2));
    let (_, report) = look("11:56");
    assert!(
        !finding_ids(&report, "").contains(&"app-errors.new".to_owned()),
        "{report:#}"
    );
    append(
        &log,
        "2026-11-24T11:57:00.000Z TypeError: \u{1b}[31mx is not a function\n",
    );
    // A run that tells nobody does not use up the news.
    let (_, report) =
        server.json("health --check app-errors,memory --no-alert --now 2026-11-24T11:57:30Z");
    finding(&report, "app-errors.new");
    let (code, report) = look("11:58");
    assert_eq!(code, 0);
    let new = finding(&report, "app-errors.new");
    assert!(
        new["message"]
            .as_str()
            .unwrap()
            .contains("x is not a function")
    );
    append(&log, &known(3).repeat(120));
    let (code, report) = look("12:00");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(finding(&report, "app-errors.rate")["value"], 122.0);
}
