//! The calendar: the board, what did not run, and the lines for cron and systemd, shown to Debian's own tools.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use empire_maint::calendar::{LINES, next_due};
use empire_maint::tasks::TASKS;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use crate::support::{BINARY, Server, finding_ids};

/// Only the backup, at 03:07 UTC; every other line that exists is off.
fn only_backup() -> Server {
    let off: String = LINES
        .iter()
        .filter(|line| line.command.is_some() && line.name != "backup")
        .map(|line| format!("{} = \"off\"\n", line.name))
        .collect();
    Server::new().config(&format!("[schedule.at]\n{off}"))
}

fn row(report: &Value, name: &str) -> Value {
    let rows = report["data"]["lines"].as_array().unwrap();
    let found = rows.iter().find(|row| row["name"] == name);
    found
        .unwrap_or_else(|| panic!("{name}: {report:#}"))
        .clone()
}

fn standing(server: &Server, name: &str, now: &str) -> String {
    let (code, report) = server.json(&format!("schedule show --now {now}"));
    assert_eq!(code, 0, "{report:#}");
    row(&report, name)["standing"].as_str().unwrap().to_owned()
}

#[test]
fn the_calendar_names_commands_that_exist_with_arguments_that_parse() {
    let names: Vec<_> = TASKS.iter().map(|entry| entry.name).collect();
    let mut seen = 0;
    for line in LINES.iter().filter(|line| line.exists(&names)) {
        let words = ["empire-maint"]
            .into_iter()
            .chain(line.command.unwrap().split_whitespace());
        let words: Vec<_> = words.map(Into::into).collect();
        if let Err(error) = empire_maint::cli::parse(&words) {
            panic!("{}: {error}", line.name);
        }
        let entry = TASKS.iter().find(|entry| Some(entry.name) == line.task());
        assert_eq!(
            line.limit,
            entry.unwrap().limit,
            "the limit of {}",
            line.name
        );
        seen += 1;
    }
    assert!(seen >= 3);
}

#[test]
fn a_task_that_ran_when_it_was_due_is_fine_and_one_that_did_not_is_found() {
    let server = only_backup();
    server.run("backup --now 2026-11-20T03:07:02Z").expect(0);
    assert_eq!(standing(&server, "backup", "2026-11-20T12:00:00Z"), "fine");
    let (code, report) = server.json("schedule check --now 2026-11-21T09:06:00Z");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    let (code, report) = server.json("schedule check --now 2026-11-21T09:07:00Z");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding_ids(&report, "backup"), ["schedule.missed"]);
    let finding = &report["findings"][0];
    assert_eq!(finding["severity"], "high");
    assert_eq!(
        (&finding["value"], &finding["threshold"]),
        (&21600.0.into(), &21600.0.into())
    );
    let message = finding["message"].as_str().unwrap();
    assert!(
        message.contains("2026-11-21 03:07 +00:00") && message.contains("6 h 00 m"),
        "{message}"
    );
    let quiet = server
        .run("schedule check --quiet --now 2026-11-21T09:07:00Z")
        .expect(2)
        .out;
    assert!(quiet.contains(" schedule CRITICAL: "), "{quiet}");
    // Show tells the same and is no alarm.
    let (code, report) = server.json("schedule show --now 2026-11-21T09:07:00Z");
    let line = row(&report, "backup");
    assert_eq!(
        (code, &line["standing"], &line["result"]),
        (0, &"overdue".into(), &"ok".into())
    );
    assert_eq!(line["next_due"], "2026-11-22T03:07:00Z");
    let text = server
        .run("schedule --color always --now 2026-11-21T09:07:00Z")
        .expect(0)
        .out;
    assert!(
        text.contains("\u{1b}[1m\u{1b}[31moverdue") || text.contains("31moverdue"),
        "{text}"
    );
}

#[test]
fn first_runs_are_calm() {
    let server = Server::new();
    let (code, report) = server.json("schedule check");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(finding_ids(&report, "backup"), ["schedule.waiting"]);
    let text = server.run("schedule check").expect(0).out;
    assert!(
        text.starts_with("schedule: ok: 36 lines") && text.contains("no run is written down in"),
        "{text}"
    );
    assert!(!server.state().exists(), "looking leaves no trace");
    // The first run of anything is since when the others are waited for: Thursday for the Wednesday after.
    server.run("backup --now 2026-11-19T12:00:00Z").expect(0);
    assert_eq!(
        standing(&server, "verify-backup", "2026-11-19T23:00:00Z"),
        "waiting"
    );
    assert_eq!(
        standing(&server, "verify-backup", "2026-11-25T16:10:00Z"),
        "waiting"
    );
    assert_eq!(
        standing(&server, "verify-backup", "2026-11-25T16:11:00Z"),
        "overdue"
    );
}

#[test]
fn a_run_that_could_not_do_its_work_is_not_taken_for_one() {
    let server = only_backup();
    server.run("backup --now 2026-11-20T03:07:00Z").expect(0);
    // A dry run, one that could not start, and one from before the clock was put back.
    server.run("backup -n --now 2026-11-21T03:07:00Z").expect(0);
    server
        .run("backup --database nope --now 2026-11-21T03:08:00Z")
        .expect(3);
    server.run("backup --now 2031-01-01T03:07:00Z").expect(0);
    assert_eq!(
        standing(&server, "backup", "2026-11-21T10:00:00Z"),
        "overdue"
    );
    // One that was killed.
    server.run("backup --now 2026-11-21T03:09:00Z").expect(0);
    assert_eq!(standing(&server, "backup", "2026-11-21T10:00:00Z"), "fine");
    rusqlite::Connection::open(server.state().join("journal.db"))
        .unwrap()
        .execute_batch("UPDATE runs SET state = 'interrupted', status = 'critical', exit_code = NULL WHERE started_ms = 1795230540000")
        .unwrap();
    let (_, report) = server.json("schedule show --now 2026-11-21T10:00:00Z");
    let line = row(&report, "backup");
    assert_eq!(
        (&line["standing"], &line["result"]),
        (&"overdue".into(), &"interrupted".into())
    );
    assert_eq!(line["last_success"].as_str().unwrap()[..10], *"2026-11-20");
}

#[test]
fn a_task_that_ran_and_failed_is_failing_but_not_missed() {
    let server = only_backup();
    fs::remove_file(server.database()).unwrap();
    server.run("backup --now 2026-11-20T03:07:00Z").expect(2);
    assert_eq!(
        standing(&server, "backup", "2026-11-20T10:00:00Z"),
        "failing"
    );
    server
        .run("schedule check --now 2026-11-20T10:00:00Z")
        .expect(0);
}

/// Everything but the two lines of `health`, and of `verify-backup`, is off.
fn lines_of_one_command() -> Server {
    let ours = ["health", "health-light", "verify-backup", "verify-all"];
    let off: String = LINES
        .iter()
        .filter(|line| line.command.is_some() && !ours.contains(&line.name))
        .map(|line| format!("{} = \"off\"\n", line.name))
        .collect();
    Server::new().config(&format!("[schedule.at]\n{off}"))
}

#[test]
fn lines_of_one_command_do_not_hide_each_other() {
    let server = lines_of_one_command();
    let light = "health --check http,listen,disk,logins";
    let at = |time: &str, command: &str| server.run(&format!("{command} --now 2026-11-20T{time}Z"));
    at("10:00:00", "backup").expect(0);
    at("10:17:01", "health");
    at("10:20:01", light);
    // Neither a single check nor the frequent line is the hourly one.
    at("12:30:00", light);
    at("12:31:00", "health --check disk");
    let now = "2026-11-20T12:35:00Z";
    assert_eq!(standing(&server, "health", now), "overdue");
    assert_ne!(standing(&server, "health-light", now), "overdue");
    at("12:36:00", "health");
    assert_ne!(
        standing(&server, "health", "2026-11-20T12:40:00Z"),
        "overdue"
    );
    // Wednesday's verification is not Sunday's, which tries all, and one file is neither.
    server.run("backup --now 2026-11-22T03:07:00Z").expect(0);
    server
        .run("verify-backup --now 2026-11-22T05:23:10Z")
        .expect(0);
    let file = server.list("app_db")[0].clone().display().to_string();
    server
        .run(&format!(
            "verify-backup --file {file} --now 2026-11-22T05:30:00Z"
        ))
        .expect(0);
    let now = "2026-11-22T12:00:00Z";
    assert_eq!(standing(&server, "verify-all", now), "overdue");
    server
        .run("verify-backup --all --now 2026-11-22T12:01:00Z")
        .expect(0);
    assert_eq!(
        standing(&server, "verify-all", "2026-11-22T12:02:00Z"),
        "fine"
    );
    assert_eq!(
        standing(&server, "verify-backup", "2026-11-25T16:12:00Z"),
        "overdue"
    );
}

#[test]
fn some_of_it_is_not_the_whole_of_it() {
    let figures = tempfile::tempdir().unwrap();
    let server = only_backup().config(&format!(
        "[metrics]\ntextfile_dir = {:?}\n[[database]]\nname = \"other\"\npath = \"data/other.db\"",
        figures.path()
    ));
    fs::copy(server.database(), server.root().join("data/other.db")).unwrap();
    let lost = server.root().join("data/lost.db");
    fs::rename(server.database(), &lost).unwrap();
    server.run("backup --now 2026-11-20T03:07:00Z").expect(2);
    let file = figures.path().join("empire_maint_backup.prom");
    let said = fs::read_to_string(&file).unwrap();
    for part in [
        "backup --database other --now 2026-11-20T03:30:00Z",
        "verify-backup other --now 2026-11-20T03:31:00Z",
        "verify-backup --all other --now 2026-11-20T03:32:00Z",
    ] {
        server.run(part).expect(0);
    }
    assert_eq!(
        standing(&server, "backup", "2026-11-20T10:00:00Z"),
        "failing"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), said);
    assert_eq!(fs::read_dir(figures.path()).unwrap().count(), 1);
    fs::rename(&lost, server.database()).unwrap();
    server.run("backup --now 2026-11-20T11:00:00Z").expect(0);
    assert_eq!(standing(&server, "backup", "2026-11-20T12:00:00Z"), "fine");
    assert_ne!(fs::read_to_string(&file).unwrap(), said);
}

#[test]
fn marking_a_backup_is_not_making_one() {
    let server = only_backup();
    server.run("backup --now 2026-11-20T03:07:02Z").expect(0);
    let newest = server.list("app_db")[0].clone();
    let name = newest.file_name().unwrap().to_str().unwrap();
    server
        .run(&format!("backup pin {name} --now 2026-11-21T03:07:30Z"))
        .expect(0);
    assert_eq!(
        standing(&server, "backup", "2026-11-21T09:07:00Z"),
        "overdue"
    );
}

/// `schedule check` leaves no trace and so cannot alert; `health` looks at the same board, and does.
#[test]
fn a_missed_task_is_told_by_health() {
    let server = only_backup();
    let jobs = |now: &str| server.json(&format!("health --check jobs --now {now}"));
    let (code, report) = jobs("2026-11-20T03:00:00Z");
    assert_eq!(
        (code, &report["data"]["checks"][0]["outcome"]),
        (0, &"well".into()),
        "{report:#}"
    );
    server.run("backup --now 2026-11-20T03:07:02Z").expect(0);
    let (code, report) = jobs("2026-11-21T09:06:00Z");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    let (code, report) = jobs("2026-11-21T09:07:00Z");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding_ids(&report, "backup"), ["schedule.missed"]);
    let incidents = server.json("alerts list --now 2026-11-21T09:08:00Z").1;
    assert!(
        incidents.to_string().contains("schedule.missed"),
        "{incidents:#}"
    );
    server.run("backup --now 2026-11-21T09:10:00Z").expect(0);
    jobs("2026-11-21T10:00:00Z");
    let incidents = server.json("alerts list --now 2026-11-21T10:01:00Z").1;
    assert!(
        !incidents.to_string().contains("schedule.missed"),
        "{incidents:#}"
    );
}

#[test]
fn a_line_that_is_switched_off_misses_nothing_any_more() {
    let server = only_backup();
    server.run("backup --now 2026-11-20T03:07:02Z").expect(0);
    let missed = |now: &str| {
        server.json(&format!("health --check jobs --now {now}"));
        let (_, list) = server.json(&format!("alerts list --now {now}"));
        list.to_string().contains("schedule.missed")
    };
    assert!(missed("2026-11-21T09:07:00Z"));
    let text = fs::read_to_string(server.config_path()).unwrap();
    let off = text.replace("[schedule.at]\n", "[schedule.at]\nbackup = \"off\"\n");
    fs::write(server.config_path(), off).unwrap();
    assert!(!missed("2026-11-21T10:07:00Z"));
}

/// Somebody is told once, by whatever it was; and what is left is said with the command that ends it.
#[test]
fn what_was_tried_is_not_called_not_run() {
    let server = only_backup();
    let check = |now: &str| server.json(&format!("schedule check --now {now}"));
    server.run("backup --now 2026-11-20T03:07:00Z").expect(0);
    let folder = server.root();
    let away = folder.with_extension("away");
    fs::rename(&folder, &away).unwrap();
    server.run("backup --now 2026-11-21T03:07:00Z").expect(3);
    fs::rename(&away, &folder).unwrap();
    // The failure itself is an open alert.
    let now = "2026-11-21T10:00:00Z";
    let (code, report) = check(now);
    assert_eq!(
        (code, finding_ids(&report, "backup")),
        (0, vec![]),
        "{report:#}"
    );
    assert_eq!(standing(&server, "backup", now), "failing");
    // Closed by somebody, it says what came of the run.
    let (_, list) = server.json("alerts list --now 2026-11-21T10:01:00Z");
    for incident in list["data"]["incidents"].as_array().unwrap() {
        let close = format!(
            "alerts close {} --now 2026-11-21T10:02:00Z",
            incident["number"]
        );
        server.run(&close).expect(0);
    }
    let (code, report) = check("2026-11-21T10:03:00Z");
    assert_eq!(code, 2, "{report:#}");
    let missed = &report["findings"][0];
    let message = missed["message"].as_str().unwrap();
    assert!(
        message
            .contains("began 2026-11-21 03:07 +00:00 and could not start: the application's root"),
        "{message}"
    );
    assert_eq!(missed["hint"], "empire-maint history --task backup");
}

#[test]
fn a_redis_that_does_not_answer_just_now_keeps_its_line() {
    let server = Server::new().config("[redis]\nurl = \"redis://127.0.0.1:1/0\"");
    server.run("backup --now 2026-11-20T03:00:00Z").expect(0);
    let now = "2026-11-20T12:00:00Z";
    assert_eq!(standing(&server, "cache-clean", now), "idle");
    let ran: Timestamp = "2026-11-20T06:41:00Z".parse().unwrap();
    let ms = ran.as_millisecond();
    rusqlite::Connection::open(server.state().join("journal.db"))
        .unwrap()
        .execute_batch(&format!(
            "INSERT INTO runs (id, task, line, host, version, started_ms, finished_ms, dry_run, state, status, exit_code)
             VALUES ('x', 'cache-clean', 'cache-clean', 'h', '0', {ms}, {ms}, 0, 'finished', 'ok', 0)"
        ))
        .unwrap();
    assert_eq!(standing(&server, "cache-clean", now), "fine");
    let later = "2026-12-20T12:00:00Z";
    assert_eq!(standing(&server, "cache-clean", later), "idle");
}

#[test]
fn a_missed_line_whose_neighbours_run_is_mended_by_its_own_command() {
    let server = lines_of_one_command();
    server.run("backup --now 2026-11-20T03:00:00Z").expect(0);
    server
        .run("verify-backup --now 2026-11-20T03:10:00Z")
        .expect(0);
    let hint = |now: &str| {
        let (_, report) = server.json(&format!("schedule check --now {now}"));
        let findings = report["findings"].as_array().unwrap().clone();
        let mut all = findings.iter();
        let found =
            all.find(|one| one["subject"] == "verify-all" && one["id"] == "schedule.missed");
        found.unwrap_or_else(|| panic!("{report:#}"))["hint"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let dead = hint("2026-11-22T12:00:00Z");
    assert!(dead.starts_with("systemctl status cron"), "{dead}");
    server.run("health --now 2026-11-22T12:17:00Z");
    assert_eq!(
        hint("2026-11-22T12:30:00Z"),
        "empire-maint verify-backup --all"
    );
}

#[test]
fn every_line_of_the_plan_is_on_the_board() {
    let server =
        Server::new().config("[schedule.at]\nverify-all = \"off\"\nbackup = \"every 6h :11\"");
    let (_, report) = server.json("schedule show --now 2026-11-20T10:00:00Z");
    let rows = report["data"]["lines"].as_array().unwrap();
    assert_eq!(rows.len(), LINES.len());
    assert_eq!(row(&report, "offsite")["standing"], "manual");
    assert_eq!(row(&report, "offsite")["next_due"], "2026-11-21T06:00:00Z");
    assert_eq!(row(&report, "verify-all")["standing"], "off");
    assert_eq!(row(&report, "backup")["next_due"], "2026-11-20T12:11:00Z");
    let text = server
        .run("schedule show --now 2026-11-20T10:00:00Z")
        .expect(0)
        .out;
    for word in [
        "§2.1",
        "database optimization",
        "manual",
        "verify-backup --all",
        "Fri 2026-11-20 12:11",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let idle = Server::empty().raw_config("database = []\n");
    let (_, report) = idle.json("schedule show");
    for name in ["backup", "access-audit", "query-review"] {
        assert_eq!(row(&report, name)["standing"], "idle", "{name}");
        assert_eq!(
            row(&report, name)["reason"],
            "no [[database]] is configured"
        );
    }
    let text = idle.run("schedule crontab").expect(0).out;
    assert!(
        text.contains("nothing to do here, no [[database]] is configured.\n# 7 3 * * * "),
        "{text}"
    );
}

#[test]
fn a_wrong_calendar_is_refused_with_its_line() {
    for (lines, message, hint) in [
        (
            "backupp = \"03:00\"",
            "unknown key 'backupp'",
            "did you mean 'backup'?",
        ),
        ("backup = \"0 3 * * *\"", "is no time of the calendar", ""),
        (
            "backup = \"fifth mon 03:00\"",
            "is no time of the calendar",
            "",
        ),
        ("backup = 3", "a text in quotes, not the number 3", ""),
    ] {
        let server = Server::new().config(&format!("[schedule.at]\n{lines}"));
        for command in [
            "schedule show",
            "schedule check",
            "schedule crontab",
            "schedule systemd",
        ] {
            let (code, report) = server.json(command);
            assert_eq!(code, 3, "{lines}: {report:#}");
            let failure = &report["failure"];
            let said = failure["message"].as_str().unwrap();
            assert!(
                said.contains(message) && said.contains("config.toml:"),
                "{said}"
            );
            assert_eq!(failure["hint"].as_str().unwrap_or_default(), hint);
        }
    }
    let server = Server::new();
    server
        .run("schedule crontab --program bin/empire-maint")
        .expect(3);
    server
        .run_args(["schedule", "crontab", "--system-user", "ro ot"])
        .expect(3);
    server
        .run_args(["schedule", "crontab", "--mail-to", "root\n* * * * * rm"])
        .expect(3);
}

#[test]
fn looking_takes_no_lock_and_leaves_no_run() {
    let server = Server::new();
    server.run("backup --now 2026-11-20T03:07:00Z").expect(0);
    let journal = |server: &Server| {
        server.json("history").1["data"]["runs"]
            .as_array()
            .unwrap()
            .len()
    };
    let before = server.fingerprint(&server.state().join("locks"));
    for line in [
        "schedule",
        "schedule show",
        "schedule check --now 2026-11-20T03:10:00Z",
        "schedule crontab",
        "schedule systemd",
    ] {
        server.run(line).expect(0);
    }
    assert_eq!(journal(&server), 1);
    assert_eq!(server.fingerprint(&server.state().join("locks")), before);
}

/// The lines of a crontab, as cron takes them apart: five fields and what `/bin/sh -c` gets.
fn cron_lines(text: &str) -> Vec<(Vec<String>, String)> {
    text.lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit() || c == '*'))
        .map(|line| {
            let fields: Vec<_> = line.splitn(6, ' ').map(str::to_owned).collect();
            let command = fields[5].replace("\\%", "\u{0}");
            assert!(!command.contains('%'), "a % would end the command: {line}");
            (fields[..5].to_vec(), command.replace('\u{0}', "%"))
        })
        .collect()
}

fn accepted_by_cron(text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let output = Command::new("crontab")
        .arg("-T")
        .arg(file.path())
        .output()
        .unwrap();
    // Debian's cron before 3.0pl1-160 has no -T.
    if !String::from_utf8_lossy(&output.stderr).contains("invalid option") {
        assert!(output.status.success(), "{output:?}\n{text}");
    }
}

#[test]
fn debians_cron_takes_the_crontab_and_the_command_works_in_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("it's 100% odd");
    fs::create_dir(&odd).unwrap();
    let program = odd.join("empire maint");
    std::os::unix::fs::symlink(BINARY, &program).unwrap();
    let server = Server::new();
    let ran = server.run_args([
        "schedule".as_ref(),
        "crontab".as_ref(),
        "--program".as_ref(),
        program.as_os_str(),
    ]);
    let text = ran.expect(0).out;
    accepted_by_cron(&text);
    for word in ["SHELL=/bin/sh\n", "PATH=/usr/local/sbin:", "MAILTO=root\n"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(!text.contains("CRON_TZ="), "Debian's cron does not know it");
    let lines = cron_lines(&text);
    let (fields, command) = lines
        .iter()
        .find(|(_, command)| command.contains(" backup "))
        .unwrap();
    assert_eq!(fields.join(" "), "7 3 * * *");
    // What cron does: /bin/sh, almost no environment, the home folder. The configuration is found all the same.
    let output = Command::new("/bin/sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{command}: {output:?}"
    );
    assert_eq!(server.list("app_db").len(), 1);
    let system = server
        .run("schedule crontab --system-user root --mail-to ops@example.org")
        .expect(0)
        .out;
    assert!(system.contains("\n7 3 * * * root /"), "{system}");
    assert!(system.contains("MAILTO=ops@example.org\n"), "{system}");
}

#[test]
fn what_is_said_beside_a_crontab_does_not_get_into_it() {
    let server = Server::new().config("[verify]\nnonsense = 1");
    let ran = server.run("schedule crontab").expect(2);
    accepted_by_cron(&ran.out);
    assert!(
        ran.err.contains("nonsense") && !ran.out.contains("nonsense"),
        "{ran:?}"
    );
    let server = Server::empty().raw_config("[schedule]\ntimezone = \"Pacific/Kiritimati\"\n");
    let ran = server.run("schedule crontab").expect(1);
    accepted_by_cron(&ran.out);
    assert!(ran.err.contains("Pacific/Kiritimati"), "{ran:?}");
}

/// Cron looks at the fields; the shell at the day of the month. Both together let twelve Mondays of a year through.
#[test]
fn a_year_has_twelve_second_mondays_for_cron() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    script("date", "#!/bin/sh\nexec /bin/date -d \"$FAKE\" \"$@\"\n");
    let program = script("empire-maint", "#!/bin/sh\necho ran\n");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    for (nth, word) in ["first", "second", "third", "fourth"].iter().enumerate() {
        let server = Server::new().config(&format!("[schedule.at]\nbackup = \"{word} mon 02:30\""));
        let ran = server.run_args([
            "schedule".as_ref(),
            "crontab".as_ref(),
            "--program".as_ref(),
            program.as_os_str(),
        ]);
        let text = ran.expect(0).out;
        accepted_by_cron(&text);
        let lines = cron_lines(&text);
        let (fields, command) = lines
            .iter()
            .find(|(_, command)| command.contains(" backup "))
            .unwrap();
        // One day field only: with two, cron would run it when either fits.
        assert_eq!(fields.join(" "), "30 2 * * 1");
        let mut months = Vec::new();
        let mut day = jiff::civil::date(2027, 1, 1);
        while day.year() == 2027 {
            let output = Command::new("/bin/sh")
                .args(["-c", command])
                .env_clear()
                .env("PATH", &path)
                .env("TZ", "Europe/Berlin")
                .env("FAKE", format!("{day} 02:30"))
                .output()
                .unwrap();
            // On the day that skips this hour cron runs the line at 03:00, and `date` refuses 02:30.
            let through = output.stdout == b"ran\n";
            let skipped = day == jiff::civil::date(2027, 3, 28);
            assert!(skipped || output.stderr.is_empty(), "{day}: {output:?}");
            let week = (day.day() - 1) / 7;
            assert!(
                skipped || through == (week == nth as i8),
                "{word} {day}: {output:?}"
            );
            if through && day.weekday() == jiff::civil::Weekday::Monday {
                months.push(day.month());
            }
            day = day.checked_add(1.day()).unwrap();
        }
        assert_eq!(months, (1..=12).collect::<Vec<_>>(), "{word}");
    }
}

fn systemd_units(server: &Server, folder: &Path) -> Value {
    let ran = server.run_args([
        "schedule".as_ref(),
        "systemd".as_ref(),
        "--json".as_ref(),
        "--write".as_ref(),
        folder.as_os_str(),
    ]);
    ran.expect(0).json()
}

#[test]
fn systemd_takes_the_units() {
    let figures = tempfile::Builder::new()
        .prefix("100% odd ")
        .tempdir()
        .unwrap();
    let server = Server::new().config(&format!(
        "[metrics]\ntextfile_dir = {:?}\n[[data_clean.rule]]\nname = \"old\"\ndatabase = \"app_db\"\ntable = \"logs\"\ncolumn = \"at\"\nolder_than = \"90d\"\naction = \"archive\"\ninto = \"file:old-rows\"",
        figures.path()
    ));
    fs::create_dir(server.root().join("old-rows")).unwrap();
    let folder = server.path().join("units");
    let report = systemd_units(&server, &folder);
    let units: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(
        units.len(),
        report["data"]["units"].as_array().unwrap().len()
    );
    assert!(units.len() >= 6);
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&units)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && !said.contains("empire-maint-"),
        "{said}"
    );
    let service = fs::read_to_string(folder.join("empire-maint-backup.service")).unwrap();
    for line in [
        "SuccessExitStatus=1 2",
        "Nice=10",
        "IOSchedulingClass=best-effort",
        "ProtectSystem=strict",
        "RuntimeDirectory=empire-maint",
        "NoNewPrivileges=yes",
        &format!("ReadWritePaths={}", server.root().join("data").display()),
        &format!(
            "ReadWritePaths={}",
            server.root().join("old-rows").display()
        ),
    ] {
        assert!(
            service.lines().any(|have| have == line),
            "{line}: {service}"
        );
    }
    assert!(!service.contains("ReadWritePaths=/tmp\n"), "{service}");
    let timer = fs::read_to_string(folder.join("empire-maint-backup.timer")).unwrap();
    for line in [
        "OnCalendar=*-*-* 03:07:00 UTC",
        "Persistent=true",
        "RandomizedDelaySec=10min",
    ] {
        assert!(timer.lines().any(|have| have == line), "{line}: {timer}");
    }
    let mode = fs::metadata(folder.join("empire-maint-backup.timer"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// The folders, capabilities and privileges of the service, put up with `unshare` and `setpriv`: the task does its work in
/// them, and cannot write beside them. Needs root; elsewhere there is nothing to put up.
#[test]
fn the_sandbox_is_tight_and_the_task_works_in_it() {
    let can = Command::new("unshare").args(["--mount", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return;
    }
    let server = Server::new();
    for (round, name, writable) in [
        (1, "backup", "yes"),
        (2, "backup", "no"),
        (3, "verify-backup", "no"),
    ] {
        let (_, report) = server.json("schedule systemd");
        let unit = format!("empire-maint-{name}.service");
        let units = report["data"]["units"].as_array().unwrap();
        let unit = units.iter().find(|have| have["name"] == unit).unwrap();
        let content = unit["content"].as_str().unwrap();
        let values = |key: &str| -> Vec<String> {
            let start = format!("{key}=");
            let values = content.lines().filter_map(|line| line.strip_prefix(&start));
            values.map(str::to_owned).collect()
        };
        let capabilities = values("CapabilityBoundingSet")[0]
            .to_lowercase()
            .replace("cap_", "+")
            .replace(' ', ",");
        let script = format!(
            "set -e
             for path in {paths}; do mount --bind $path $path; done
             cut -d' ' -f2 /proc/self/mounts | while read at; do
               case \" {paths} \" in *\" $at \"*) continue ;; esac
               case $at in /proc*|/sys*|/dev*) ;; *) mount -o remount,bind,ro $at 2>/dev/null || true ;; esac
             done
             if touch {root}/beside 2>/dev/null; then echo yes; else echo no; fi
             exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,{capabilities} {command}",
            paths = values("ReadWritePaths").join(" "),
            root = server.root().display(),
            command = values("ExecStart")[0],
        );
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{round}: {output:?}");
        // Only the first run, which makes the folder of the backups, may write into the one above.
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), writable, "{round}: {content}");
        let _ = fs::remove_file(server.root().join("beside"));
    }
    assert_eq!(server.list("app_db").len(), 2);
    let (_, report) = server.json("history");
    assert_eq!(report["data"]["runs"].as_array().unwrap().len(), 3);
}

/// The same dates from systemd as from us, for every line of the plan.
#[test]
fn systemd_means_the_same_times() {
    let names: Vec<_> = LINES.iter().filter(|line| line.command.is_some()).collect();
    let start: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    // A calendar whose lines that exist take the time of each line in turn.
    for line in names {
        let server = Server::new().config(&format!("[schedule.at]\nbackup = \"{}\"", line.when));
        let (_, report) = server.json("schedule systemd");
        let units = report["data"]["units"].as_array().unwrap();
        let timer = units
            .iter()
            .find(|unit| unit["name"] == "empire-maint-backup.timer")
            .unwrap();
        let content = timer["content"].as_str().unwrap();
        let event = content
            .lines()
            .find_map(|line| line.strip_prefix("OnCalendar="))
            .unwrap();
        let output = Command::new("systemd-analyze")
            .args([
                "calendar",
                "--iterations=15",
                "--base-time=2026-02-01 00:00:00 UTC",
                event,
            ])
            .env("TZ", "UTC")
            .output()
            .unwrap();
        assert!(output.status.success(), "{event}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let found: Vec<_> = text
            .lines()
            .filter_map(|line| {
                line.split_once("Next elapse: ")
                    .or_else(|| line.split_once(": "))
            })
            .filter(|(before, _)| before.trim().is_empty() || before.contains("Iter"))
            .map(|(_, time)| time.trim().to_owned())
            .collect();
        let mut now = start.checked_sub(1.second()).unwrap();
        let expected: Vec<_> = (0..15)
            .map(|_| {
                now = next_due(&line.when, now, &TimeZone::UTC).unwrap();
                now.strftime("%a %Y-%m-%d %H:%M:%S UTC").to_string()
            })
            .collect();
        // systemd's base time itself is not one of its iterations.
        let skip = usize::from(expected[0].contains("2026-02-01 00:00:00"));
        assert_eq!(found[..15 - skip], expected[skip..], "{event}\n{text}");
    }
}

#[test]
fn units_are_written_once_and_a_dry_run_writes_none() {
    let server = Server::new();
    let folder = server.path().join("units");
    let line = format!("schedule systemd --write {}", folder.display());
    let (code, report) = server.json(&format!("{line} -n"));
    assert_eq!(code, 0, "{report:#}");
    assert!(
        report["actions"].as_array().unwrap().len() >= 7,
        "{report:#}"
    );
    assert!(!folder.exists() && !server.state().exists());
    let report = systemd_units(&server, &folder);
    let outcomes: BTreeSet<_> = report["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| action["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, BTreeSet::from(["done"]));
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .contains("systemctl daemon-reload")
    );
    let before = server.fingerprint(&folder);
    let report = systemd_units(&server, &folder);
    assert!(
        report["actions"].as_array().unwrap().is_empty(),
        "{report:#}"
    );
    assert_eq!(server.fingerprint(&folder), before);
    // A timer that the calendar lost is named, and left.
    fs::write(folder.join("empire-maint-old.timer"), "[Timer]\n").unwrap();
    fs::write(folder.join("other.timer"), "[Timer]\n").unwrap();
    let report = systemd_units(&server, &folder);
    assert_eq!(finding_ids(&report, ""), ["schedule.leftover-unit"]);
    assert!(folder.join("empire-maint-old.timer").exists());
    // Changes are a run like any other: written down.
    assert_eq!(
        server.json("history --task schedule").1["data"]["runs"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    // A link in the way is not followed.
    let victim = server.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    fs::remove_file(folder.join("empire-maint-backup.timer")).unwrap();
    std::os::unix::fs::symlink(&victim, folder.join("empire-maint-backup.timer")).unwrap();
    assert_ne!(server.run(&line).code, 0);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
}

#[test]
fn a_typo_in_the_times_of_the_lines_stops_no_backup() {
    let server = Server::new().config("[schedule.at]\nbakcup = \"03:00\"");
    let (code, report) = server.json("backup");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding_ids(&report, "schedule"), ["config.invalid"]);
    assert_eq!(server.list("app_db").len(), 1);
    // Which day it is must not be guessed.
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&text.replace("\"UTC\"", "\"Europe/Berlim\""));
    server.run("backup").expect(3);
}
