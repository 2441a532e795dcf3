//! Formats: each a rendering of the same report, with the same exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::Server;

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
    assert!(lines[1].starts_with("next: "), "{}", bad.out);
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
}
