//! Formats: each a rendering of the same report, with the same exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Server, sql};

#[test]
fn quiet_is_silent_when_all_is_well_and_says_first_what_matters() {
    let server = Server::new().config("[[database]]\nname = \"gone\"\npath = \"data/gone.db\"");
    let bad = server.run("backup --quiet").expect(2);
    let lines: Vec<_> = bad.out.lines().collect();
    assert!(
        lines[0].contains(" backup CRITICAL: 1 FAILED"),
        "{}",
        bad.out
    );
    assert!(
        lines[1].starts_with("next: empire-maint --config "),
        "{}",
        bad.out
    );
    assert!(bad.err.is_empty());
    let well = Server::new();
    let ran = well.run("backup --quiet").expect(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let refused = well.run("backup --quiet --database nope").expect(3);
    assert!(
        refused.out.contains("UNKNOWN") && refused.out.contains("nope"),
        "{}",
        refused.out
    );
}

/// `schedule crontab -q | crontab -` must not install an empty one.
#[test]
fn a_text_is_an_answer_that_quiet_does_not_keep_back() {
    let server = Server::new();
    for line in [
        "config init",
        "config show",
        "schedule crontab",
        "runbook show restore",
        "completions bash",
        "man backup",
        "schema",
        "help backup",
    ] {
        let loud = server.run(line).expect(0).out;
        let quiet = server.run(&format!("{line} --quiet")).expect(0);
        assert!(!loud.is_empty() && quiet.out == loud, "{line}");
        assert_eq!(quiet.err, "", "{line}");
    }
}

/// What another task found and nobody has heard is news of the run that tells it: the first line is about that.
#[test]
fn the_first_line_is_about_the_worst_that_follows() {
    let server = Server::new().config("[[database]]\nname = \"gone\"\npath = \"data/gone.db\"");
    server.run("backup").expect(2);
    let ran = server.run("verify-backup app_db --quiet").expect(0);
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(
        lines[0].contains(" verify-backup CRITICAL: "),
        "{}",
        ran.out
    );
    assert!(lines[0].contains("(new) gone: "), "{}", ran.out);
    let next = format!(
        "next: empire-maint --config {} alerts list",
        server.config_path().display()
    );
    assert_eq!(lines[1], next, "{}", ran.out);
}

#[test]
fn the_second_line_is_a_command_that_looks_at_the_same_server() {
    let server = Server::empty();
    let ran = server.run("backup --quiet").expect(2);
    let lines: Vec<_> = ran.out.lines().collect();
    let begin = format!(
        "next: empire-maint --config {} ",
        server.config_path().display()
    );
    assert!(lines[1].starts_with(&begin), "{}", ran.out);
    assert!(lines[2].starts_with("hint: "), "{}", ran.out);
    let typed = lines[1].strip_prefix("next: empire-maint ").unwrap();
    let next = server.run(typed.split_once(' ').unwrap().1.split_once(' ').unwrap().1);
    assert_ne!(next.code, 3, "{next:?}");
}

#[test]
fn the_textfile_is_whole_readable_and_keeps_the_last_success() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new().config(&format!("[metrics]\ntextfile_dir = {:?}", folder.path()));
    let file = folder.path().join("empire_maint_backup.prom");
    server.run("backup --now 2026-11-20T03:00:00Z").expect(0);
    let first = fs::read_to_string(&file).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let value = |text: &str, name: &str| -> f64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let success = value(&first, "empire_maint_last_success_timestamp_seconds");
    assert_eq!(value(&first, "empire_maint_last_exit_code"), 0.0);
    // Before the clock was put back.
    server.run("backup --now 2031-01-01T03:00:00Z").expect(0);
    fs::remove_file(server.database()).unwrap();
    for side in ["-wal", "-shm"] {
        let _ = fs::remove_file(crate::support::beside(&server.database(), side));
    }
    server.run("backup --now 2026-11-21T03:00:00Z").expect(2);
    let second = fs::read_to_string(&file).unwrap();
    assert_eq!(value(&second, "empire_maint_last_exit_code"), 2.0);
    let kept = value(&second, "empire_maint_last_success_timestamp_seconds");
    assert!((kept - success).abs() < 1.0, "carried over");
    let mut families: Vec<_> = second
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let all = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), all, "a family is named once");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn colour_only_where_it_was_asked_for() {
    let server = Server::new();
    assert!(!server.run("backup").expect(0).out.contains('\u{1b}'));
    assert!(
        server
            .run("backup --color always")
            .expect(0)
            .out
            .contains('\u{1b}')
    );
    assert!(
        !server
            .run("backup --color never")
            .expect(0)
            .out
            .contains('\u{1b}')
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;
    let server = Server::new();
    let mut child = server
        .command(["config", "init"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn help_and_version_are_answers() {
    let server = Server::empty();
    let help = server.run("--help").expect(0).out;
    assert!(
        help.contains("verify-backup") && help.contains("EXIT STATUS"),
        "{help}"
    );
    assert!(
        server
            .run("--version")
            .expect(0)
            .out
            .starts_with("empire-maint ")
    );
    assert!(
        server
            .run("restore --help")
            .expect(0)
            .out
            .contains("--stop-app")
    );
    for (line, word) in [
        ("--help --json", "verify-backup"),
        ("--version --json", "empire-maint "),
        ("restore --help --json", "--stop-app"),
    ] {
        let report = server.run(line).expect(0).json();
        let text = report["data"]["text"].as_str().unwrap();
        assert!(text.contains(word), "{line}: {text}");
    }
}

#[test]
fn what_this_version_lacks_is_no_typo_of_something_else() {
    let server = Server::empty();
    for name in ["compliance", "capacity", "review", "rotate-logs"] {
        let ran = server.run(name).expect(3);
        let says = format!("this version has no {name} yet");
        assert!(ran.err.contains(&says), "{}", ran.err);
        assert!(!ran.err.contains("similar"), "{}", ran.err);
    }
    let ran = server.run("backpu").expect(3);
    assert!(ran.err.contains("'backup'"), "{}", ran.err);
    let ran = server.run("backup --timeout 0s").expect(3);
    assert!(ran.err.contains("--timeout"), "{}", ran.err);
}

/// In the morning somebody has to know which databases were backed up, whatever became of the others.
#[test]
fn a_run_that_failed_says_what_it_did() {
    let server = Server::new().config(
        "[[data_clean.rule]]\nname = \"old\"\ndatabase = \"app_db\"\ntable = \"notes\"\ncolumn = \"at\"\nolder_than = \"90d\"\naction = \"archive\"\ninto = \"file:archive\"",
    );
    let database = server.database();
    sql(
        &database,
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, at TEXT, said TEXT);
         INSERT INTO notes VALUES (1, '2020-01-01 00:00:00', '007'), (2, datetime('now'), 'x'), (3, datetime('now'), 'y')",
    );
    server.run("data-clean --no-backup-check").expect(0);
    sql(
        &database,
        "ALTER TABLE notes DROP COLUMN said; ALTER TABLE notes ADD COLUMN said NUMERIC",
    );
    let ran = server.run("data-clean restore-archive old").expect(2);
    assert!(
        ran.out.contains("FAILED restore-archive app_db: notes"),
        "{ran:?}"
    );
    assert!(
        ran.err.starts_with("empire-maint data-clean: error: ") && !ran.out.contains("error: "),
        "{ran:?}"
    );
    // What never started has nothing to show: a pipe gets nothing of it.
    let ran = server.run("schedule crontab --nonsense").expect(3);
    assert!(
        ran.out.is_empty() && ran.err.contains("--nonsense"),
        "{ran:?}"
    );
}

/// As the first line of a mail and for Nagios the summary stands alone.
#[test]
fn a_summary_tells_that_there_are_findings() {
    let server = Server::new().config("[[backup.file]]\npath = \"gone\"");
    let (code, report) = server.json("backup");
    assert_eq!(code, 2, "{report:#}");
    let summary = report["summary"].as_str().unwrap().to_owned();
    assert!(summary.ends_with("; 1 critical finding"), "{summary}");
    assert!(
        summary.matches("finding").count() == 1,
        "said once: {summary}"
    );
    let history = server.run("history --task backup").expect(0).out;
    assert!(history.contains(&summary), "{history}");
    let nagios = server.run("backup --format nagios").expect(2).out;
    assert!(
        nagios.starts_with("BACKUP CRITICAL - ") && nagios.contains("; 1 critical finding"),
        "{nagios}"
    );
    let well = Server::new();
    let (_, report) = well.json("backup");
    assert!(
        !report["summary"].as_str().unwrap().contains("finding"),
        "{report:#}"
    );
}

#[test]
fn a_table_without_rows_is_not_printed() {
    let server = Server::new();
    let ran = server.run("history").expect(0);
    assert!(!ran.out.contains("started"), "{ran:?}");
    assert!(ran.out.contains("history: ok: 0 runs"), "{ran:?}");
}

/// What is said below is over: a hint would be about something that is not there.
#[test]
fn news_of_an_end_has_no_hint_of_something_else() {
    let server = Server::new().config("[[backup.file]]\npath = \"uploads\"");
    server.run("backup --quiet").expect(2);
    fs::create_dir(server.root().join("uploads")).unwrap();
    fs::write(server.root().join("uploads/a"), "a").unwrap();
    let ran = server.run("backup --quiet");
    assert!(ran.out.contains("(resolved)"), "{ran:?}");
    assert!(
        ran.out.contains("\nnext: empire-maint ") && !ran.out.contains("\nhint: "),
        "{ran:?}"
    );
}

#[test]
fn no_hint_leads_to_an_option_that_no_help_shows() {
    let server = Server::new();
    let ran = server.run("backup --nope").expect(3);
    assert!(
        ran.err.contains("'--nope'") && !ran.err.contains("--now"),
        "{ran:?}"
    );
    let ran = server.run("backup --freh").expect(3);
    assert!(ran.err.contains("'--fresh'"), "{ran:?}");
}
