//! `health` on the machine, the databases and the backups. Limits of what the machine does by itself are set out of reach, except
//! where a test is about them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::peers::script;
use crate::support::services::{Web, free_port};
use crate::support::{Ran, Server, finding_ids, number};

/// Nothing of the machine itself is a finding.
pub const CALM: &str = "disk_pct = { medium = 101, high = 101, critical = 101 }
memory_pct = { medium = 101, high = 101, critical = 101 }
cpu_pct = { medium = 1e9, high = 1e9 }
connections = { medium = 1e9 }
response_ms = { low = 1e9, medium = 1e9, high = 1e9 }
database_query_ms = { medium = 1e9, high = 1e9 }
";

/// A server whose application answers at `web`, with these lines in `[health]` and others behind.
pub fn watched(web: &Web, health: &str, more: &str) -> Server {
    let server = Server::new();
    let text = format!(
        "[app]\nroot = {:?}\nhealth_url = {:?}\nlisten = \"127.0.0.1:{}\"\n[state]\ndir = {:?}\n[schedule]\ntimezone = \"UTC\"\n[[database]]\nname = \"app_db\"\npath = \"data/app.db\"\nexpect_tables = [\"users\", \"trades\"]\n{more}\n[health]\n{health}",
        server.root(),
        web.url(),
        web.port,
        server.state()
    );
    server.raw_config(&text)
}

/// The finding of that id, which must be there once.
pub fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    let all = report["findings"].as_array().unwrap();
    let mut found = all.iter().filter(|finding| finding["id"] == id);
    let first = found
        .next()
        .unwrap_or_else(|| panic!("no {id}: {report:#}"));
    assert!(found.next().is_none(), "{id} twice: {report:#}");
    first
}

/// A metric's value.
pub fn metric(report: &Value, name: &str) -> f64 {
    let all = report["metrics"].as_array().unwrap();
    let found = all.iter().find(|metric| metric["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {report:#}"))["value"]
        .as_f64()
        .unwrap()
}

/// How a check ended.
pub fn outcome(report: &Value, check: &str) -> String {
    let all = report["data"]["checks"].as_array().unwrap();
    let found = all.iter().find(|answer| answer["check"] == check);
    found.unwrap_or_else(|| panic!("no {check}: {report:#}"))["outcome"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_server_that_is_well() {
    let web = Web::start(200, "{\"status\":\"ok\"}");
    let server = watched(&web, &format!("{CALM}http_body = '\"ok\"'"), "");
    server.run("backup").expect(0);
    // Whether its clock is in step is the machine's own business.
    let (code, report) = server.json("health --skip system,redis");
    assert_eq!(code, 0, "{report:#}");
    for check in ["http", "listen", "memory", "cpu", "database", "backups"] {
        assert_eq!(outcome(&report, check), "well", "{report:#}");
    }
    for check in ["errors", "app-errors", "logins", "certs", "uptime"] {
        assert_eq!(outcome(&report, check), "nothing", "{report:#}");
    }
    assert_eq!(metric(&report, "http_up"), 1.0);
    assert_eq!(metric(&report, "listen_up"), 1.0);
    assert!(metric(&report, "database_size_bytes") > 10_000.0);
    assert!(metric(&report, "backup_age_seconds") < 3600.0);
    let listen = report["data"]["checks"][1]["note"].as_str().unwrap();
    let own = format!("(pid {})", std::process::id());
    assert!(listen.contains(&own), "{listen}");
    let text = server.run("health --check http,memory").expect(0).out;
    assert!(
        text.contains("answers 200") && text.contains("2 of 2 checks well"),
        "{text}"
    );
    assert!(
        server
            .run("health --check http --quiet")
            .expect(0)
            .out
            .is_empty()
    );
}

#[test]
fn an_application_that_is_not_well() {
    let web = Web::start(200, "sorry");
    let health = format!("{CALM}http_body = \"ok\"\nhttp_timeout = \"400ms\"");
    let server = watched(&web, &health, "");
    let check = |code: i32, id: &str| {
        let (found, report) = server.json("health --check http");
        assert_eq!(found, code, "{report:#}");
        assert_eq!(metric(&report, "http_up"), 0.0);
        finding(&report, id)["severity"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(check(2, "http.body"), "high");
    web.answers(503, "ok");
    assert_eq!(check(2, "http.status"), "critical");
    web.answers(302, "ok");
    assert_eq!(check(2, "http.status"), "high");
    web.is_silent();
    assert_eq!(check(2, "http.down"), "critical");
    // The address is said once.
    let said = server.run("health --check http").expect(2).out;
    let line = said
        .lines()
        .find(|line| line.contains(" critical "))
        .unwrap();
    assert!(line.contains(" does not answer: "), "{line}");
    assert_eq!(line.matches("http://").count(), 1, "{line}");
}

#[test]
fn a_slow_answer_is_measured_three_times() {
    let web = Web::start(200, "ok");
    let slow = "response_ms = { low = 0, medium = 0, high = 1e9 }";
    let server = watched(&web, slow, "");
    let (code, report) = server.json("health --check http");
    assert_eq!(code, 1, "{report:#}");
    let slow = finding(&report, "http.slow");
    assert_eq!(
        (&slow["severity"], &slow["unit"]),
        (&"medium".into(), &"ms".into())
    );
}

#[test]
fn nobody_at_the_port_or_somebody_else() {
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    let text = fs::read_to_string(server.config_path()).unwrap();
    let other = |listen: &str, user: &str| {
        let own = format!("listen = \"127.0.0.1:{}\"", web.port);
        let text = text.replace(&own, &format!("listen = \"{listen}\"\n{user}"));
        fs::write(server.config_path(), text).unwrap();
        server.json("health --check listen")
    };
    let (code, report) = other(&format!("127.0.0.1:{}", free_port()), "");
    assert_eq!(code, 2);
    assert_eq!(finding(&report, "listen.missing")["severity"], "critical");
    let (code, report) = other(&format!("10.11.12.13:{}", web.port), "");
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "listen.address");
    if number_of_user() != 1 {
        // Root may open a port for somebody else; nobody else may.
        let (code, _) = other(&format!("127.0.0.1:{}", web.port), "user = \"daemon\"");
        assert_eq!(code, i32::from(number_of_user() != 0));
    }
    let (code, report) = other("3000:", "");
    assert_eq!(code, 3, "{report:#}");
}

fn number_of_user() -> u32 {
    let output = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn every_limit_of_the_machine_is_the_configurations() {
    let web = Web::start(200, "ok");
    let low = "memory_pct = { medium = 0, high = 0, critical = 200 }\ncpu_pct = { medium = 0 }\nconnections = { medium = 0 }\n[[health.mount]]\npath = \"/proc\"\n[[health.mount]]\npath = \"/\"\nmedium = 0\n";
    let server = watched(&web, low, "");
    let (code, report) = server.json("health --check memory,cpu,connections,disk");
    assert_eq!(code, 2, "{report:#}");
    let memory = finding(&report, "memory.usage");
    assert_eq!(
        (&memory["severity"], &memory["threshold"]),
        (&"high".into(), &0.0.into())
    );
    assert_eq!(memory["value"], metric(&report, "memory_used_percent"));
    assert!(
        finding(&report, "cpu.load")["message"]
            .as_str()
            .unwrap()
            .contains("core")
    );
    finding(&report, "connections.many");
    assert!(finding_ids(&report, "/").contains(&"disk.usage".to_owned()));
}

#[test]
fn our_own_task_is_named_beside_the_load() {
    let web = Web::start(200, "ok");
    let server = watched(&web, "cpu_pct = { medium = 0, high = 1e9 }", "");
    server.run("backup").expect(0);
    let journal = rusqlite::Connection::open(server.state().join("journal.db")).unwrap();
    journal.execute("INSERT INTO runs (id, task, host, version, started_ms, dry_run, state) VALUES ('alive', 'verify-backup', 'h', '0', 1795489200000, 0, 'running')", []).unwrap();
    let held = fs::File::create(server.state().join("runs/alive")).unwrap();
    held.lock().unwrap();
    let (_, report) = server.json("health --check cpu");
    let message = finding(&report, "cpu.load")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("empire-maint verify-backup since 2026-11-24"),
        "{message}"
    );
}

#[test]
fn a_full_mount_and_one_without_inodes() {
    if number_of_user() != 0 {
        return; // only root can mount
    }
    let web = Web::start(200, "ok");
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m,nr_inodes=20", "none"])
        .arg(folder.path())
        .output()
        .unwrap();
    if !mount.status.success() {
        return; // a container without the right to
    }
    let lines = format!("[[health.mount]]\npath = {:?}\nhigh = 91", folder.path());
    let server = watched(&web, CALM, "");
    let text = fs::read_to_string(server.config_path()).unwrap().replace(
        "disk_pct = { medium = 101, high = 101, critical = 101 }",
        "disk_pct = { critical = 96 }",
    );
    fs::write(server.config_path(), text + &lines).unwrap();
    let subject = folder.path().to_str().unwrap();
    let severity = |report: &Value, id: &str| {
        let all = report["findings"].as_array().unwrap();
        let found = all
            .iter()
            .find(|finding| finding["id"] == id && finding["subject"] == subject);
        found.map(|finding| finding["severity"].as_str().unwrap().to_owned())
    };
    let (_, empty) = server.json("health --check disk");
    fs::write(folder.path().join("big"), vec![1; 964_000]).unwrap();
    for number in 0..18 {
        fs::write(folder.path().join(number.to_string()), "").unwrap();
    }
    let (code, full) = server.json("health --check disk");
    let gone = Command::new("umount").arg(folder.path()).status().unwrap();
    assert!(gone.success());
    assert_eq!(severity(&empty, "disk.usage"), None);
    assert_eq!(
        severity(&full, "disk.usage").as_deref(),
        Some("high"),
        "{full:#}"
    );
    assert_eq!(severity(&full, "disk.inodes").as_deref(), Some("critical"));
    assert_eq!(code, 2);
}

#[test]
fn a_network_mount_whose_server_is_gone_holds_nothing_up() {
    if number_of_user() != 0 || !Path::new("/dev/fuse").exists() {
        return; // only root can mount, and a container may not have it
    }
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    let folder = tempfile::tempdir().unwrap();
    let ours = server.command(["health", "--check", "disk,memory", "--json"]);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "/usr/bin/python3"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/cli/support/hung.py"
        ))
        .arg(folder.path())
        .arg(ours.get_program())
        .args(ours.get_args());
    let ran = Ran::of(&mut command);
    let report = ran.json();
    let gone = finding(&report, "disk.unreachable");
    assert_eq!(gone["severity"], "high", "{report:#}");
    assert_eq!(gone["subject"], folder.path().to_str().unwrap());
    let message = gone["message"].as_str().unwrap();
    assert!(
        message.contains("gone:/export") && message.contains("does not answer"),
        "{message}"
    );
    // The others were looked at all the same.
    assert!(metric(&report, "memory_used_percent") > 0.0);
    let disks = report["metrics"].as_array().unwrap().iter();
    assert!(
        disks
            .filter(|metric| metric["name"] == "disk_used_percent")
            .count()
            > 0
    );
    assert_eq!(outcome(&report, "memory"), "well");
}

#[test]
fn a_broken_database_stops_no_other_check() {
    let web = Web::start(200, "ok");
    let two = "[[database]]\nname = \"rag_db\"\npath = \"data/rag.db\"\n";
    let server = watched(&web, CALM, two);
    fs::write(server.root().join("data/rag.db"), vec![7; 8192]).unwrap();
    let (code, report) = server.json("health --check database,memory");
    assert_eq!(code, 2, "{report:#}");
    let broken = finding(&report, "database.unreadable");
    assert_eq!(
        (&broken["subject"], &broken["severity"]),
        (&"rag_db".into(), &"critical".into())
    );
    assert_eq!(outcome(&report, "memory"), "well");
    assert!(metric(&report, "database_query_ms").is_finite());
    fs::remove_file(server.root().join("data/rag.db")).unwrap();
    let (code, report) = server.json("health --check database");
    assert_eq!(code, 2, "{report:#}");
    assert!(
        finding(&report, "database.unreadable")["message"]
            .as_str()
            .unwrap()
            .contains("there is no database")
    );
}

#[test]
fn a_database_that_grows_and_its_log() {
    let web = Web::start(200, "ok");
    let server = watched(&web, &format!("{CALM}max_wal = \"64KiB\""), "");
    let (_, first) = server.json("health --check database --now 2026-11-20T00:00:00Z");
    let (_, same_day) = server.json("health --check database --now 2026-11-20T20:00:00Z");
    let text = format!("{first:#}{same_day:#}");
    assert!(
        !text.contains("per_day"),
        "nothing before a day has passed: {text}"
    );
    let writer = rusqlite::Connection::open(server.database()).unwrap();
    writer.execute_batch("PRAGMA wal_autocheckpoint=0; INSERT INTO users(username) SELECT hex(randomblob(500)) FROM users").unwrap();
    let (code, second) = server.json("health --check database --now 2026-11-22T00:00:00Z");
    assert_eq!(code, 1, "{second:#}");
    finding(&second, "database.wal");
    let grown = metric(&second, "database_size_bytes") - metric(&first, "database_size_bytes");
    assert!(grown > 0.0);
    assert_eq!(
        metric(&second, "database_growth_bytes_per_day"),
        grown / 2.0
    );
    let before = without_shared_memory(&server, &server.root().join("data"));
    server.run("health --check database").expect(1);
    assert_eq!(
        without_shared_memory(&server, &server.root().join("data")),
        before
    );
    drop(writer);
}

#[test]
fn backups_missing_failed_stale_and_killed() {
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    let at = |line: &str, now: &str| server.json(&format!("{line} --now 2026-11-{now}:00:00Z"));
    let look = |now: &str, id: &str| {
        let (code, report) = at("health --check backups", now);
        (
            code,
            finding(&report, id)["severity"]
                .as_str()
                .unwrap()
                .to_owned(),
        )
    };
    assert_eq!(look("20T01", "backup.missing"), (0, "info".into()));
    assert_eq!(look("21T04", "backup.missing"), (2, "critical".into()));
    assert_eq!(at("backup", "21T05").0, 0);
    assert_eq!(at("health --check backups", "21T06").0, 0);
    assert_eq!(look("22T08", "backup.stale"), (2, "high".into()));
    assert_eq!(look("23T12", "backup.stale"), (2, "critical".into()));
    fs::rename(server.database(), server.root().join("away.db")).unwrap();
    assert_eq!(at("backup", "21T07").0, 2);
    assert_eq!(look("21T08", "backup.failed"), (2, "high".into()));
    fs::rename(server.root().join("away.db"), server.database()).unwrap();
    assert_eq!(at("backup", "21T09").0, 0);
    assert_eq!(at("health --check backups", "21T10").0, 0);
    let journal = rusqlite::Connection::open(server.state().join("journal.db")).unwrap();
    journal.execute("INSERT INTO runs (id, task, line, host, version, started_ms, dry_run, state) VALUES ('dead', 'backup', 'backup', 'h', '0', 1795258800000, 0, 'running')", []).unwrap();
    let (code, report) = at("health --check backups", "21T12");
    assert_eq!(code, 2, "{report:#}");
    assert!(
        finding(&report, "backup.failed")["message"]
            .as_str()
            .unwrap()
            .contains("killed")
    );
}

#[test]
fn a_named_mount_that_is_gone_or_read_only_is_missed() {
    let web = Web::start(200, "ok");
    let place = tempfile::tempdir().unwrap();
    let named = format!("{CALM}[[health.mount]]\npath = {:?}\n", place.path());
    let server = watched(&web, &named, "");
    let look = |before: &str| {
        let ours = server.command(["health", "--check", "disk", "--json"]);
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(format!("set -e; {before}; shift; exec \"$@\""))
            .args(["sh".as_ref(), place.path().as_os_str(), ours.get_program()])
            .args(ours.get_args());
        Ran::of(&mut command).json()
    };
    let (code, report) = server.json("health --check disk");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding(&report, "disk.gone")["severity"], "high");
    if number_of_user() != 0 {
        return; // only root can mount
    }
    let report = look("mount -t tmpfs none \"$1\"");
    assert_eq!(finding_ids(&report, ""), [""; 0], "{report:#}");
    let report = look("mount -t tmpfs none \"$1\"; mount -o remount,ro \"$1\"");
    finding(&report, "disk.read-only");
    let (_, list) = server.json("alerts list");
    assert_eq!(list["data"]["incidents"].as_array().unwrap().len(), 1);
}

#[test]
fn a_proxy_of_the_environment_is_not_asked_how_the_application_is() {
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    let mut command = server.command(["health", "--check", "http", "--json"]);
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let report = Ran::of(&mut command).json();
    assert_eq!(outcome(&report, "http"), "well", "{report:#}");
}

/// No systemd runs here: what `timedatectl` would say is put in its place, in a mount namespace of its own.
#[test]
fn a_clock_that_is_not_in_step() {
    if number_of_user() != 0 {
        return; // only root can put it there
    }
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    let says = server.path().join("timedatectl");
    let open = || {
        let (_, list) = server.json("alerts list");
        let incidents = list["data"]["incidents"].as_array().unwrap();
        let of_clock = |one: &&Value| one["finding"] == "system.clock";
        incidents.iter().filter(of_clock).count()
    };
    for (answer, found, still) in [
        ("no", true, 1),
        ("", false, 1),
        ("yes", false, 0),
        ("", false, 0),
    ] {
        script(&says, &format!("#!/bin/sh\necho {answer}\n"));
        let ours = server.command(["health", "--check", "system", "--json"]);
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg("mount --bind \"$1\" /usr/bin/timedatectl && shift && exec \"$@\"")
            .args(["sh".as_ref(), says.as_os_str(), ours.get_program()])
            .args(ours.get_args());
        let report = Ran::of(&mut command).json();
        assert_eq!(
            finding_ids(&report, "").contains(&"system.clock".to_owned()),
            found,
            "{answer}: {report:#}"
        );
        assert_eq!(open(), still, "{answer}");
    }
}

#[test]
fn a_boot_since_the_last_look() {
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    let (_, report) = server.json("health --check system");
    assert!(!finding_ids(&report, "").contains(&"system.rebooted".to_owned()));
    let (_, report) = server.json("health --check system");
    assert!(!finding_ids(&report, "").contains(&"system.rebooted".to_owned()));
    let journal = rusqlite::Connection::open(server.state().join("journal.db")).unwrap();
    journal
        .execute(
            "UPDATE remembered SET value = '\"another\"' WHERE key = 'boot_id'",
            [],
        )
        .unwrap();
    let (_, report) = server.json("health --check system");
    assert_eq!(finding(&report, "system.rebooted")["severity"], "low");
}

#[test]
fn availability_needs_a_month_of_samples() {
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    server
        .run("health --check http --now 2026-10-20T00:00:00Z")
        .expect(0);
    let journal = rusqlite::Connection::open(server.state().join("journal.db")).unwrap();
    journal.execute_batch(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 720)
           INSERT INTO runs (id, task, host, version, started_ms, dry_run, state) SELECT 'r' || n, 'health', 'h', '0', 1792454400000 + n * 3600000, 0, 'finished' FROM c;
         INSERT INTO metrics SELECT id, 'http_up', substr(id, 2) % 36 <> 0, '', '{}' FROM runs WHERE id LIKE 'r%';",
    ).unwrap();
    assert_eq!(
        number(
            &server.state().join("journal.db"),
            "SELECT count(*) FROM metrics WHERE value = 0"
        ),
        20
    );
    let (code, report) = server.json("health --check uptime --now 2026-11-01T00:00:00Z");
    assert_eq!(code, 3, "{report:#}");
    assert!(
        report["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("too little data")
    );
    let (code, report) = server.json("health --check uptime --now 2026-11-19T00:30:00Z");
    assert_eq!(code, 1, "{report:#}");
    let low = finding(&report, "uptime.low");
    assert!(
        (low["value"].as_f64().unwrap() - 97.2).abs() < 0.1,
        "{low:#}"
    );
}

#[test]
fn what_is_not_there_is_no_finding_unless_it_was_all_that_was_asked() {
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    for check in ["errors", "logins", "app-errors", "certs", "uptime"] {
        let (code, report) = server.json(&format!("health --check {check}"));
        assert_eq!(code, 3, "{check}: {report:#}");
        assert_eq!(report["failure"]["kind"], "missing");
    }
    server.run("health --check errors,logins,memory").expect(0);
    server.run("health --check nothing").expect(3);
    server.run("health --check cpu --skip memory").expect(3);
    let named = server.run("health --check errors,memory -v").expect(0).out;
    assert!(named.contains("there is no access log"), "{named}");
}

#[test]
fn a_broken_configuration() {
    let web = Web::start(200, "ok");
    let server = watched(&web, "disk_pct = { high = 99 }", "");
    let ran = server.run("health --check memory").expect(3);
    assert!(
        ran.err.contains("rise") && ran.err.contains("disk_pct"),
        "{}",
        ran.err
    );
    let server = watched(&web, CALM, "").app("");
    let text = fs::read_to_string(server.config_path()).unwrap();
    let text = text.replace(&format!("\"127.0.0.1:{}\"", web.port), "\"port 3000\"");
    fs::write(server.config_path(), text).unwrap();
    let ran = server.run("health --check memory").expect(3);
    assert!(
        ran.err.contains(
            "config.toml:5 in [app], key listen: \"port 3000\" is no address with a port"
        ),
        "{}",
        ran.err
    );
    server.run("backup").expect(0);
    // One of a section that no wanted check reads is a finding beside the answer.
    let server = watched(&web, CALM, "[redis]\nurl = 7\n");
    let (code, report) = server.json("health --check memory");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(outcome(&report, "memory"), "well");
    assert!(finding_ids(&report, "redis").contains(&"config.invalid".to_owned()));
    assert_eq!(server.json("health --check redis").0, 3);
}

#[test]
fn a_dry_run_changes_nothing() {
    let web = Web::start(200, "ok");
    let server = watched(&web, CALM, "");
    let live = rusqlite::Connection::open(server.database()).unwrap();
    live.execute_batch("INSERT INTO users(username) VALUES ('x')")
        .unwrap();
    let before = without_shared_memory(&server, server.path());
    server
        .run("health --skip system,redis,disk --dry-run")
        .expect(0);
    assert_eq!(without_shared_memory(&server, server.path()), before);
}

/// The marks of readers in the shared memory change whenever somebody reads.
fn without_shared_memory(
    server: &Server,
    below: &std::path::Path,
) -> Vec<(std::path::PathBuf, String)> {
    let mut all = server.fingerprint(below);
    all.retain(|(path, _)| !path.to_string_lossy().ends_with("-shm"));
    all
}
