//! `access-audit` on an application's own tables, in the shapes that they may have, and in those that somebody may have given them.

use std::fs;
use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::health::{finding, metric};
use crate::support::{Server, finding_ids};

/// Accounts of all kinds. `ago` is relative to now, so that the real clock does.
const USERS: &str = "
    CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, role TEXT, status TEXT, last_login TEXT, created_at TEXT);
    INSERT INTO users VALUES
      (1, 'alice', 'admin', 'active', datetime('now', '-1 day'), datetime('now', '-900 days')),
      (2, 'bob', 'trader', 'active', datetime('now', '-2 days'), datetime('now', '-900 days')),
      (3, 'carol', 'trader', 'active', datetime('now', '-40 days'), datetime('now', '-900 days'));";

const LOGINS: &str = "
    CREATE TABLE login_events (id INTEGER PRIMARY KEY, user_id INTEGER, success INTEGER, ip TEXT, created_at TEXT);
    WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 7)
      INSERT INTO login_events SELECT n, 2, 1, '10.0.0.2', datetime('now', '-' || n || ' days') FROM c;
    INSERT INTO login_events VALUES (100, 1, 1, '10.0.0.1', datetime('now', '-1 day')),
      (101, 3, 1, '10.0.0.3', datetime('now', '-40 days')), (102, 2, 0, '10.0.0.2', datetime('now', '-3 days'));";

const ACTIONS: &str = "
    CREATE TABLE audit_log (id INTEGER PRIMARY KEY, action_type TEXT, actor TEXT, action TEXT, timestamp TEXT);
    INSERT INTO audit_log VALUES
      (1, 'admin', 'alice', 'granted a role', strftime('%Y-%m-%dT10:00:00Z', 'now', '-1 day', 'weekday 3', '-7 days')),
      (2, 'admin', 'alice', 'opened the vault', strftime('%Y-%m-%dT03:00:00Z', 'now', '-1 day', 'weekday 3', '-7 days')),
      (3, 'login', 'bob', 'logged in', strftime('%Y-%m-%dT10:00:00Z', 'now', '-1 day')),
      (4, 'admin', 'alice', 'long ago', '2020-01-01T10:00:00Z');";

/// A server whose database has exactly these tables.
fn server(tables: &[&str]) -> Server {
    let server = Server::empty();
    sql(&server, &tables.join("\n"));
    let text = fs::read_to_string(server.config_path()).unwrap();
    server.raw_config(&text.replace("expect_tables = [\"users\"]\n", ""))
}

fn sql(server: &Server, statements: &str) {
    let connection = Connection::open(server.database()).unwrap();
    connection
        .execute_batch(&format!("PRAGMA journal_mode=WAL; {statements}"))
        .unwrap();
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect()
}

#[test]
fn who_is_active_and_how_often_they_logged_in() {
    let server = server(&[USERS, LOGINS, ACTIONS]);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["findings"], json!([]), "{report:#}");
    let accounts = &report["data"]["accounts"];
    assert_eq!(names(&accounts["listed_active"]), ["bob", "alice"]);
    assert_eq!(accounts["listed_active"][0]["logins"], 7);
    assert_eq!(accounts["listed_active"][1]["logins"], 1);
    assert_eq!(
        (&accounts["active"], &accounts["idle"]),
        (&2.into(), &0.into())
    );
    assert_eq!(names(&accounts["admins"]), ["alice"]);
    let logins = &report["data"]["logins"];
    assert_eq!(
        (&logins["succeeded"], &logins["failed"]),
        (&8.into(), &1.into())
    );
    assert_eq!(
        logins["failed_by_user"][0]["subject"], "bob",
        "by id, told by name"
    );
    assert_eq!(logins["failed_by_address"][0]["subject"], "10.0.0.2");
    assert_eq!(metric(&report, "access_logins"), 8.0);
    let actions = &report["data"]["actions"];
    assert_eq!(
        (&actions["total"], &actions["outside_hours"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        actions["newest_outside_hours"][0]["what"],
        "opened the vault"
    );
    assert_eq!(
        actions["by_actor"],
        json!([{"actor": "alice", "actions": 2}])
    );
    let text = server.run("access-audit").expect(0).out;
    for part in [
        "bob",
        "outside working hours",
        "2 admin actions",
        "8 logins, 1 failed",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(server.run("access-audit --quiet").expect(0).out.is_empty());

    // What the plan's own line makes of the same data: it counts rows.
    let output = Command::new("sqlite3")
        .arg(server.database())
        .arg("SELECT username, COUNT(*) AS logins FROM users WHERE last_login > datetime('now', '-30 days') GROUP BY username")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "alice|1\nbob|1\n");
}

#[test]
fn without_login_events_nothing_is_counted() {
    let server = server(&[USERS]);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 0, "{report:#}");
    let accounts = &report["data"]["accounts"];
    assert_eq!(names(&accounts["listed_active"]), ["alice", "bob"]);
    for account in accounts["listed_active"].as_array().unwrap() {
        assert_eq!(account["logins"], Value::Null, "{account:#}");
    }
    assert_eq!(report["data"]["logins"], Value::Null);
    assert_eq!(finding_ids(&report, "logins"), ["access.no-table"]);
    let text = server.run("access-audit -v").expect(0).out;
    assert!(text.contains("logins cannot be counted"), "{text}");
    assert!(text.contains("no login events to count"), "{text}");
}

/// Any of the three tables may be missing, and all may.
#[test]
fn any_table_may_be_missing() {
    let all = [("users", USERS), ("logins", LOGINS), ("actions", ACTIONS)];
    for bits in 1..7 {
        let there: Vec<_> = (0..3).filter(|at| bits & (1 << at) != 0).collect();
        let tables: Vec<_> = there.iter().map(|at| all[*at].1).collect();
        let server = server(&tables);
        let (code, report) = server.json("access-audit");
        assert_eq!(code, 0, "{report:#}");
        for (at, (what, _)) in all.iter().enumerate() {
            let missing = finding_ids(&report, what) == ["access.no-table"];
            assert_eq!(missing, !there.contains(&at), "{what}: {report:#}");
        }
    }
    // Nothing to audit is no failure each month, but where the configuration says that there is something.
    let server = server(&["CREATE TABLE other(x);"]);
    let (code, report) = server.json("access-audit");
    assert_eq!((code, &report["status"]), (0, &"ok".into()), "{report:#}");
    assert_eq!(
        report["summary"],
        "no accounts to look at; no login events to count; no actions to look at"
    );
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&format!(
        "{text}\n[access_audit.users]\ntable = \"people\"\n"
    ));
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 3, "{report:#}");
    assert!(
        report["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("neither accounts")
    );
}

#[test]
fn every_way_to_write_a_time_means_the_same() {
    for written in [
        "datetime(AT, 'unixepoch')",
        "strftime('%Y-%m-%dT%H:%M:%SZ', AT, 'unixepoch')",
        "strftime('%Y-%m-%dT%H:%M:%S', AT, 'unixepoch') || '.250+00:00'",
        "AT",
        "AT * 1000",
        "AT * 1000000",
        "AT * 1000000000",
        "CAST(AT AS TEXT)",
        "julianday(AT, 'unixepoch')",
    ] {
        let at = |days: u32| {
            let at = format!("(strftime('%s', 'now') - {days} * 86400)");
            written.replace("AT", &at)
        };
        let server = server(&[&format!(
            "CREATE TABLE accounts (name, last_seen, is_admin); CREATE TABLE logins (login, at, ip);
             INSERT INTO accounts VALUES ('new', {}, 0), ('old', {}, 'no'), ('root', {}, 'yes');
             INSERT INTO logins VALUES ('new', {}, '::1'), ('new', {}, '::1'), ('root', {}, '::1');",
            at(3), at(100), at(200), at(3), at(29), at(31)
        )]);
        let (code, report) = server.json("access-audit");
        assert_eq!(code, 0, "{written}: {report:#}");
        let accounts = &report["data"]["accounts"];
        assert_eq!(names(&accounts["listed_active"]), ["new"], "{written}");
        assert_eq!(accounts["listed_active"][0]["logins"], 2, "{written}");
        assert_eq!(
            names(&accounts["listed_idle"]),
            ["old"],
            "{written}: {report:#}"
        );
        assert_eq!(report["data"]["logins"]["succeeded"], 2, "{written}");
    }
}

#[test]
fn idle_accounts_and_administrators_who_are_new_or_asleep() {
    let server = server(&[
        USERS,
        "INSERT INTO users VALUES
           (4, 'dave', 'trader', 'active', datetime('now', '-91 days'), datetime('now', '-900 days')),
           (5, 'erin', 'trader', 'active', NULL, datetime('now', '-900 days')),
           (6, 'fay', 'trader', 'active', NULL, datetime('now', '-5 days')),
           (7, 'gus', 'trader', 'disabled', NULL, datetime('now', '-900 days')),
           (8, 'hal', 'Administrator', 'active', datetime('now', '-300 days'), datetime('now', '-900 days')),
           (9, 'ida', 'admin', 'active', datetime('now', '-1 day'), datetime('now', '-3 days')),
           (10, 'jon', 'admin', 'suspended', NULL, datetime('now', '-3 days'));",
    ]);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 1, "{report:#}");
    let idle = finding(&report, "access.idle");
    assert_eq!(
        (&idle["severity"], &idle["value"]),
        (&"low".into(), &3.0.into())
    );
    let message = idle["message"].as_str().unwrap();
    assert_eq!(
        message,
        "3 of 8 usable accounts idle: 1 never logged in, 2 not for 90d"
    );
    assert_eq!(
        names(&report["data"]["accounts"]["listed_idle"]),
        ["erin", "hal", "dave"]
    );
    assert_eq!(finding(&report, "access.dormant-admin")["subject"], "hal");
    assert_eq!(finding(&report, "access.new-admin")["subject"], "ida");
    // A next run is nobody who has looked: ida stays new. From then on what counts is who was an administrator last time.
    let (_, report) = server.json("access-audit");
    assert_eq!(finding(&report, "access.new-admin")["subject"], "ida");
    sql(
        &server,
        "UPDATE users SET role = 'trader' WHERE username = 'ida'",
    );
    let (_, report) = server.json("access-audit");
    assert!(
        !finding_ids(&report, "ida").contains(&"access.new-admin".to_owned()),
        "{report:#}"
    );
    sql(
        &server,
        "UPDATE users SET role = 'admin' WHERE username = 'bob'",
    );
    let (_, report) = server.json("access-audit");
    let new = finding(&report, "access.new-admin");
    assert_eq!(new["subject"], "bob");
    assert!(
        new["message"].as_str().unwrap().contains("was none when"),
        "{new:#}"
    );
    // A dry run learns nothing, and neither does one that tells nobody.
    let new = |report: &Value, name: &str| {
        finding_ids(report, name).contains(&"access.new-admin".to_owned())
    };
    sql(
        &server,
        "UPDATE users SET role = 'admin' WHERE username = 'carol'",
    );
    server.run("access-audit --dry-run").expect(1);
    server.run("access-audit --no-alert").expect(1);
    let (_, report) = server.json("access-audit");
    assert!(new(&report, "carol") && new(&report, "bob"), "{report:#}");
    let said = finding_of(&report, "carol")["message"].to_string();
    assert!(said.contains("was none when"), "{said}");
    let said = finding_of(&report, "bob")["message"].to_string();
    assert!(said.contains("seen first on"), "{said}");
    // The name of one who always was one, in other hands.
    assert!(!new(&report, "alice"));
    sql(
        &server,
        "DELETE FROM users WHERE username = 'alice';
         INSERT INTO users VALUES (77, 'alice', 'admin', 'active', datetime('now', '-1 day'), datetime('now', '-900 days'))",
    );
    let (_, report) = server.json("access-audit");
    assert!(new(&report, "alice"), "{report:#}");
}

/// The finding about a new administrator of that name.
fn finding_of<'a>(report: &'a Value, name: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|one| one["id"] == "access.new-admin" && one["subject"] == name)
        .unwrap()
}

/// An application that no longer writes logins down has not lost all of its users.
#[test]
fn logins_that_are_no_longer_written_down_make_nobody_idle() {
    let server = server(&["
        CREATE TABLE users (username TEXT, role TEXT, last_login TEXT);
        INSERT INTO users VALUES ('alice', 'admin', datetime('now', '-400 days')), ('bob', '', datetime('now', '-500 days'));"]);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 0, "{report:#}");
    let idle = finding(&report, "access.idle")["message"].as_str().unwrap();
    assert!(idle.contains("who is idle cannot be told"), "{idle}");
    assert!(finding_ids(&report, "alice").is_empty(), "{report:#}");
    sql(&server, "UPDATE users SET last_login = NULL");
    let (code, report) = server.json("access-audit");
    assert_eq!(
        (code, &report["data"]["accounts"]["idle"]),
        (0, &Value::Null),
        "{report:#}"
    );
}

#[test]
fn bursts_of_failed_logins_and_what_came_of_them() {
    let server = server(&[
        USERS,
        "CREATE TABLE auth_events (username TEXT, event TEXT, ip_address TEXT, occurred_at INTEGER)",
    ]);
    // Attempts are counted by whole minutes: all of a burst are to be in one, whatever second it is now.
    let minute = jiff::Timestamp::now().as_second() / 60 * 60;
    let attempts = |user: &str, ip: &str, number: u32, event: &str, minutes_ago: u32| {
        for second in 0..number {
            sql(
                &server,
                &format!(
                    "INSERT INTO auth_events VALUES ('{user}', '{event}', '{ip}', ({minute} - {minutes_ago} * 60 + {second} * 2) * 1000)"
                ),
            );
        }
    };
    attempts("bob", "6.6.6.1", 9, "login_failed", 5000);
    attempts("bob", "6.6.6.1", 8, "login_failed", 9000);
    attempts("carol", "6.6.6.2", 12, "login_failed", 3000);
    attempts("carol", "10.0.0.3", 1, "login", 2990);
    for number in 0..15 {
        attempts(
            &format!("guess{number}"),
            "6.6.6.6",
            1,
            "LOGIN_FAILURE",
            2000,
        );
    }
    attempts("bob", "10.0.0.2", 3, "logout", 100);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 2, "{report:#}");
    let succeeded = finding(&report, "access.burst-succeeded");
    assert_eq!(
        (&succeeded["subject"], &succeeded["severity"]),
        (&"user carol".into(), &"high".into())
    );
    assert_eq!(
        (&succeeded["value"], &succeeded["threshold"]),
        (&12.0.into(), &10.0.into())
    );
    for subject in ["address 6.6.6.2", "address 6.6.6.6"] {
        assert_eq!(
            finding_ids(&report, subject),
            ["access.burst"],
            "{report:#}"
        );
    }
    let ids = finding_ids(&report, "");
    assert_eq!(
        ids.iter()
            .filter(|id| id.starts_with("access.burst"))
            .count(),
        3,
        "{report:#}"
    );
    let logins = &report["data"]["logins"];
    assert_eq!(
        (&logins["failed"], &logins["succeeded"]),
        (&44.into(), &1.into())
    );
    assert_eq!(logins["failed_by_user"][0]["subject"], "bob");
    assert_eq!(logins["failed_by_user"][0]["burst"], Value::Null);
    // The limits are the configuration's.
    let server = server.config("[access_audit]\nburst = 9\nburst_within = \"1m\"");
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("expect_tables = [\"users\"]\n", ""));
    let (_, report) = server.json("access-audit");
    assert!(!finding_ids(&report, "user bob").is_empty(), "{report:#}");
}

#[test]
fn actions_of_somebody_who_is_no_administrator() {
    let server = server(&[USERS, "
        CREATE TABLE admin_actions (user_id INTEGER, kind TEXT, created_at TEXT);
        INSERT INTO admin_actions VALUES (1, 'x', datetime('now', '-1 day')), (2, 'y', datetime('now', '-1 day')),
          (99, 'z', datetime('now', '-1 day'));"]);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 1, "{report:#}");
    let without_right = |report: &Value| -> Vec<String> {
        let findings = report["findings"].as_array().unwrap().iter();
        let of = findings.filter(|one| one["id"] == "access.action-without-right");
        of.map(|one| one["subject"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(without_right(&report), ["bob", "99"]);
    let actors = &report["data"]["actions"]["by_actor"];
    let actors: Vec<_> = actors
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["actor"].as_str().unwrap())
        .collect();
    assert_eq!(actors, ["99", "alice", "bob"]);
    // Where nobody is an account, the two tables do not call people the same.
    sql(
        &server,
        "DELETE FROM admin_actions; INSERT INTO admin_actions SELECT 1000 + value, 'x', datetime('now', '-1 day')
           FROM json_each('[1, 2, 3, 4, 5]')",
    );
    let (_, report) = server.json("access-audit");
    assert_eq!(without_right(&report), ["admin_actions"]);
}

#[test]
fn names_of_ones_own_and_names_that_are_wrong() {
    let tables = "
        CREATE TABLE \"the \"\"people\"\"\" (nr INTEGER PRIMARY KEY, \"full name\" TEXT, boss INTEGER, seen INTEGER);
        INSERT INTO \"the \"\"people\"\"\" VALUES (1, 'alice', 1, strftime('%s', 'now', '-1 day'));
        CREATE TABLE \"log ins\" (who INTEGER, \"when\" INTEGER);
        INSERT INTO \"log ins\" VALUES (1, strftime('%s', 'now', '-1 day')), (1, strftime('%s', 'now', '-2 days'));";
    let own = "[access_audit.users]\ntable = 'the \"people\"'\nid = \"nr\"\nname = \"full name\"\nlast_login = \"seen\"
[access_audit.logins]\ntable = \"log ins\"\nuser = \"who\"\ntime = \"when\"\n";
    let configured = |lines: &str| {
        let server = server(&[tables]).config(lines);
        let text = fs::read_to_string(server.config_path()).unwrap();
        server.raw_config(&text.replace("expect_tables = [\"users\"]\n", ""))
    };
    let (code, report) = configured(own).json("access-audit");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["accounts"]["listed_active"][0]["logins"], 2);
    for (wrong, subject, word) in [
        (
            own.replace("\"seen\"", "\"sehen\""),
            "users",
            "has no column sehen",
        ),
        (
            own.replace("log ins", "log outs"),
            "logins",
            "there is no table log outs",
        ),
    ] {
        let (code, report) = configured(&wrong).json("access-audit");
        assert_eq!(code, 1, "{report:#}");
        let unfit = finding(&report, "access.unfit");
        assert_eq!(unfit["subject"], subject);
        assert!(
            unfit["message"].as_str().unwrap().contains(word),
            "{unfit:#}"
        );
    }
    for wrong in [
        "[access_audit]\nworking_hours = \"late\"",
        "[access_audit]\nburst = 0",
        "[access_audit]\nidle_after = \"soon\"",
        "[access_audit]\ndatabase = \"nothing\"",
        "[access_audit.users]\ntabel = \"users\"",
    ] {
        let ran = configured(wrong).run("access-audit").expect(3);
        assert!(
            ran.err.contains("access_audit") || ran.err.contains("nothing"),
            "{wrong}: {}",
            ran.err
        );
    }
}

/// A column that mixes forms says nothing: who was active since then cannot be told, so it is not told.
#[test]
fn a_column_of_mixed_times_is_left_out_and_named() {
    let server = server(&[
        USERS,
        LOGINS,
        "
        INSERT INTO login_events SELECT 1000 + id, 2, 1, 'x', 1790000000 + id FROM login_events;
        UPDATE users SET last_login = 'yesterday' WHERE id = 3;",
    ]);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 0, "{report:#}");
    for subject in ["login_events.created_at", "users.last_login"] {
        assert_eq!(
            finding_ids(&report, subject),
            ["access.time-format"],
            "{report:#}"
        );
    }
    assert_eq!(report["data"]["logins"], Value::Null);
    assert_eq!(report["data"]["accounts"]["active"], Value::Null);
    assert_eq!(report["data"]["accounts"]["total"], 3);
}

#[test]
fn a_hostile_database_does_nothing_and_says_what_is_wrong() {
    let server = server(&[
        "CREATE TABLE people (username TEXT, last_login TEXT);
         CREATE VIEW users AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS username, x AS last_login FROM c;
         CREATE TABLE login_events (username TEXT, success INTEGER, ip TEXT, created_at TEXT);
         CREATE TRIGGER gone AFTER INSERT ON login_events BEGIN DELETE FROM people; END;
         INSERT INTO login_events VALUES (hex(zeroblob(3000000)), 0, 'x', datetime('now')),
           (char(27) || '[2J' || char(8238) || 'evil', 0, hex(zeroblob(3000000)), datetime('now')), (x'ff00', 1, NULL, datetime('now')),
           (NULL, 1, 'x', NULL);",
    ]);
    let before = fs::read(server.database()).unwrap();
    let (code, report) = server.json("access-audit --timeout 30s");
    assert_eq!(code, 0, "{report:#}");
    let unfit = finding(&report, "access.unfit");
    assert!(
        unfit["message"]
            .as_str()
            .unwrap()
            .contains("not an ordinary table"),
        "{unfit:#}"
    );
    assert_eq!(report["data"]["logins"]["failed"], 2);
    assert!(report.to_string().len() < 20_000);
    let text = server.run("access-audit -v").expect(0).out;
    assert!(
        text.contains("evil") && !text.contains('\u{1b}') && !text.contains('\u{202e}'),
        "{text}"
    );
    assert!(fs::read(server.database()).unwrap() == before);

    let connection = Connection::open(server.database()).unwrap();
    connection
        .execute_batch("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE login_events (' WHERE name = 'login_events'")
        .unwrap();
    drop(connection);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 2, "{report:#}");
    let unreadable = finding(&report, "database.unreadable");
    assert!(
        unreadable["message"]
            .as_str()
            .unwrap()
            .contains("malformed database schema"),
        "{unreadable:#}"
    );
    fs::write(
        server.database(),
        "no database at all, only its name is one",
    )
    .unwrap();
    let (code, _) = server.json("access-audit");
    assert_eq!(code, 2);
    fs::remove_file(server.database()).unwrap();
    server.run("access-audit").expect(3);
}

/// Ten thousand accounts and a hundred thousand events, while the application writes.
#[test]
fn an_application_that_goes_on_writing_is_not_in_the_way() {
    let server = server(&[
        "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, last_login INTEGER);
         CREATE TABLE logins (user_id INTEGER, time INTEGER, result TEXT);
         CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL); CREATE TABLE counter (n INTEGER NOT NULL);
         INSERT INTO counter VALUES (0);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100) INSERT INTO accounts SELECT n, 1000 FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10000)
           INSERT INTO users SELECT n, 'user' || n, strftime('%s', 'now') - 86400 FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000)
           INSERT INTO logins SELECT n % 10000 + 1, strftime('%s', 'now') - n, 'ok' FROM c;",
    ]);
    let writers = crate::support::Writers::start(&server.database(), 2);
    let (code, report) = server.json("access-audit");
    let committed = writers.committed();
    drop(writers);
    assert_eq!(code, 0, "{report:#}");
    assert!(committed > 0);
    assert_eq!(report["data"]["logins"]["succeeded"], 100_000);
    let active = report["data"]["accounts"]["listed_active"]
        .as_array()
        .unwrap();
    assert_eq!(active.len(), 1000);
    assert!(active.iter().all(|one| one["logins"] == 10));
    assert_eq!(report["data"]["accounts"]["active"], 10_000);
}

/// What many small failures of others hide, and what comes after a burst that is not the worst one.
#[test]
fn every_burst_is_seen_and_what_came_of_it() {
    let server = server(&[
        USERS,
        "CREATE TABLE login_events (username TEXT, success INTEGER, created_at TEXT);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2400)
           INSERT INTO login_events SELECT 'user' || (n % 120), 0, datetime('now', '-' || (n / 120) || ' days', '-' || (n % 120) || ' minutes') FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30)
           INSERT INTO login_events SELECT 'Victim', 0, datetime('now', '-9 days', n || ' seconds') FROM c;
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 12)
           INSERT INTO login_events SELECT 'victim', 0, datetime('now', '-1 day', n || ' seconds') FROM c;
         INSERT INTO login_events VALUES ('victim', 1, datetime('now', '-1 day', '5 minutes'));
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 12)
           INSERT INTO login_events SELECT 'quiet', 0, datetime('now', '-2 days', n || ' seconds') FROM c;",
    ]);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 2, "{report:#}");
    let found = finding(&report, "access.burst-succeeded");
    assert_eq!(found["subject"], "user victim");
    assert_eq!(finding(&report, "access.burst")["subject"], "user quiet");
}

#[test]
fn who_comes_down_the_list_of_bursts_is_not_well_for_that() {
    let server = server(&[
        USERS,
        "CREATE TABLE login_events (username TEXT, success INTEGER, created_at TEXT);
         WITH RECURSIVE a(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM a WHERE k < 30),
           c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 50)
           INSERT INTO login_events SELECT 'user' || (100 + k), 0, datetime('now', '-9 days', n || ' seconds')
             FROM a, c WHERE n <= 50 - k",
    ]);
    let open = || {
        server.json("access-audit");
        let (_, report) = server.json("alerts list");
        let incidents = report["data"]["incidents"].as_array().unwrap().iter();
        let bursts = incidents.filter(|one| one["finding"] == "access.burst");
        bursts.map(|one| one["number"].clone()).collect::<Vec<_>>()
    };
    let first = open();
    assert_eq!(first.len(), 20);
    sql(
        &server,
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 60)
           INSERT INTO login_events SELECT 'user1' || (21 + n % 10), 0, datetime('now', '-2 days', n || ' seconds') FROM c, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7)",
    );
    let second = open();
    assert!(second.len() > 20, "{second:?}");
    assert!(first.iter().all(|one| second.contains(one)), "{second:?}");
}

#[test]
fn accounts_are_known_by_any_of_their_names() {
    let server = server(&[
        "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, email TEXT, role TEXT, is_admin INTEGER, created_at TEXT);
         INSERT INTO users VALUES (1, 'ann', 'Ann@x.com', 'trader', 1, '2020-01-01 00:00:00'),
           (2, 'bob', 'bob@x.com', '[\"admin\"]', 0, '2020-01-01 00:00:00'), (3, 'eve', 'eve@x.com', 'trader', 0, '2020-01-01 00:00:00');
         CREATE TABLE login_attempts (email TEXT, failed INTEGER, attempted_at TEXT);
         INSERT INTO login_attempts VALUES ('ann@x.com', 0, datetime('now', '-1 day')), ('BOB@x.com', 0, datetime('now', '-1 day')),
           ('eve@x.com', 0, datetime('now', '-2 days')), ('eve@x.com', 1, datetime('now', '-3 days'));",
    ]);
    let (code, report) = server.json("access-audit");
    assert_eq!(code, 0, "{report:#}");
    let accounts = &report["data"]["accounts"];
    assert_eq!(accounts["active"], 3);
    assert_eq!(names(&accounts["admins"]), ["ann", "bob"]);
    assert_eq!(report["data"]["logins"]["failed"], 1);
    // Attempts of which nobody knows how they ended are no logins.
    sql(&server, "ALTER TABLE login_attempts DROP COLUMN failed");
    let (_, report) = server.json("access-audit");
    assert_eq!(report["data"]["logins"], Value::Null, "{report:#}");
    let told = report["findings"].to_string();
    assert!(told.contains("how an attempt ended"), "{told}");
}

/// Names that are the ids or the addresses of others, in tables that call accounts by id, by name, by address, or by any of them.
#[test]
fn a_name_takes_no_others_place() {
    const NAMES: &str = "
        INSERT INTO users VALUES (0, '7', 'x@x', 'user'), (1, 'chief', 'chief@x', 'admin'), (7, '1', 'y@x', 'user'),
          (8, 'chief@x', 'z@x', 'user'), (9, '99', 'w@x', 'user');";
    for (kind, column, word) in [
        ("an id", "user_id INTEGER", "1"),
        ("an id as text", "user_id TEXT", "'1'"),
        ("an address", "email TEXT", "'Chief@x'"),
        ("a name", "username TEXT", "'chief'"),
        ("anything", "user TEXT", "'1'"),
    ] {
        let server = server(&[
            "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, email TEXT, role TEXT);",
            NAMES,
            &format!(
                "CREATE TABLE login_events ({column}, success INTEGER, created_at TEXT);
                 WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30)
                   INSERT INTO login_events SELECT {word}, 0, datetime('now', '-1 day', 'start of day', n || ' seconds') FROM c;
                 INSERT INTO login_events VALUES ({word}, 1, datetime('now', '-1 day', 'start of day', '1 minute'));
                 CREATE TABLE audit_log ({column}, type TEXT, timestamp TEXT);
                 INSERT INTO audit_log VALUES ({word}, 'admin.delete', datetime('now', '-1 day')),
                   ({word}, 'admin.delete', datetime('now', '-1 day'));"
            ),
        ]);
        let (code, report) = server.json("access-audit");
        assert_eq!(code, 2, "{kind}: {report:#}");
        let attack = finding(&report, "access.burst-succeeded");
        assert_eq!(attack["subject"], "user chief", "{kind}");
        let accounts = &report["data"]["accounts"];
        assert_eq!(names(&accounts["listed_active"]), ["chief"], "{kind}");
        let actors = &report["data"]["actions"]["by_actor"];
        assert_eq!(actors, &json!([{"actor": "chief", "actions": 2}]), "{kind}");
        let ids = finding_ids(&report, "");
        let wrong = "access.action-without-right".to_owned();
        assert!(!ids.contains(&wrong), "{kind}: {report:#}");
    }
    // A column of names means the one who is called so, and the id of one who is gone is nobody's name.
    let server = server(&[
        "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, email TEXT, role TEXT);",
        NAMES,
        "CREATE TABLE logins (username TEXT, at TEXT); INSERT INTO logins VALUES ('1', datetime('now', '-1 day'));
         CREATE TABLE admin_actions (user_id INTEGER, kind TEXT, created_at TEXT);
         INSERT INTO admin_actions VALUES (99, 'x', datetime('now', '-1 day'));",
    ]);
    let (_, report) = server.json("access-audit");
    assert_eq!(
        names(&report["data"]["accounts"]["listed_active"]),
        ["1"],
        "{report:#}"
    );
    let stranger = finding(&report, "access.action-without-right")["message"].to_string();
    assert!(
        stranger.contains("99 did") && stranger.contains("no account"),
        "{stranger}"
    );
}

/// Whoever may write its own last login does not stay active for ever.
#[test]
fn a_login_that_is_still_to_come_is_none() {
    let server = server(&[
        USERS,
        "UPDATE users SET last_login = '2099-01-01 00:00:00' WHERE id = 3;
         UPDATE users SET last_login = datetime('now', '+14 hours') WHERE id = 2;",
    ]);
    let (_, report) = server.json("access-audit");
    let accounts = &report["data"]["accounts"];
    assert_eq!(
        names(&accounts["listed_active"]),
        ["bob", "alice"],
        "{report:#}"
    );
    assert_eq!(names(&accounts["listed_idle"]), ["carol"]);
}
