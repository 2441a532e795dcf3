//! The configuration: found, read, explained; a typo where it does no harm is a finding.

use std::process::Command;

use crate::support::{BINARY, Ran, Server, finding_ids};

#[test]
fn init_writes_what_check_accepts_and_show_explains() {
    let server = Server::empty();
    let text = server.run("config init").expect(0).out;
    let server = server.raw_config(&text);
    server.run("config check").expect(0);
    let shown = server.run("config show").expect(0).out;
    assert!(shown.contains("max_age = \"26h\""), "{shown}");
    assert!(
        shown.contains("config.toml:"),
        "the origin is a line of the file: {shown}"
    );
    let bare = Ran::of(Command::new(BINARY).env_clear().args(["config", "show"])).expect(0);
    assert!(bare.out.contains("# default"), "{}", bare.out);
}

#[test]
fn what_show_prints_is_a_configuration_that_says_the_same() {
    let server = Server::new().config(
        "freshness = { users = \"last_login\", \"odd table\" = \"at\" }\n[[database]]\nname = \"other\"\npath = \"data/other.db\"\n[[backup.file]]\npath = \"uploads\"",
    );
    let values = |server: &Server| -> Vec<String> {
        let (code, report) = server.json("config show");
        assert_eq!(code, 0, "{report:#}");
        let sections = report["data"].as_object().unwrap().iter();
        let keys = sections.flat_map(|(section, keys)| {
            let keys = keys.as_object().unwrap().iter();
            keys.map(move |(key, one)| (section, key, one.get("value").unwrap_or(one)))
        });
        keys.filter(|(_, key, _)| *key != "origin")
            .map(|(section, key, value)| format!("{section} {key} {value}"))
            .collect()
    };
    let before = values(&server);
    assert!(before.iter().any(|one| one.contains("odd table")));
    let shown = server.run("config show").expect(0).out;
    let server = server.raw_config(&shown);
    server.run("config check").expect(0);
    assert_eq!(values(&server), before);
}

#[test]
fn a_typo_where_the_task_does_not_read_is_a_finding() {
    let server = Server::new().config("[verify]\nscratch = \"/tmp\"\n[gpuu]\nx = 1");
    let (code, report) = server.json("backup");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(
        server.list("app_db").len(),
        1,
        "the backup is there all the same"
    );
    assert!(finding_ids(&report, "verify").contains(&"config.invalid".to_owned()));
    assert!(finding_ids(&report, "gpuu").contains(&"config.invalid".to_owned()));
    let (code, report) = server.json("verify-backup");
    assert_eq!(code, 3, "{report:#}");
    let message = report["failure"]["message"].as_str().unwrap();
    assert!(
        message.contains("[verify]") && message.contains("'scratch'"),
        "{message}"
    );
    assert_eq!(report["failure"]["hint"], "did you mean 'scratch_dir'?");
}

#[test]
fn impossible_values_are_refused_with_their_line() {
    for (lines, word) in [
        ("[backup.keep]\nminimum = 0", "at least 1"),
        ("[backup.keep]\ndaily = -1", "daily"),
        ("[backup]\nmax_age = \"7d ago\"", "max_age"),
        ("[backup]\nmax_wal = \"much\"", "max_wal"),
        ("[backup]\nlevel = \"slow\"", "level"),
        ("[[database]]\nname = \"../x\"\npath = \"x\"", "file name"),
        ("[[database]]\nname = \"journal\"\npath = \"x\"", "journal"),
        (
            "[[database]]\nname = \"app_db\"\npath = \"x\"",
            "two [[database]]",
        ),
        (
            "[[database]]\nname = \"other\"\npath = \"data/app.db\"",
            "are one file",
        ),
        (
            "[[database]]\nname = \"app_db\"\npath = \"x\"",
            "config.toml:",
        ),
    ] {
        let server = Server::empty().config(lines);
        let before = server.fingerprint(&server.root());
        let ran = server.run("backup").expect(3);
        assert!(ran.err.contains(word), "{lines}: {}", ran.err);
        assert!(ran.err.contains("error") && ran.out.is_empty());
        assert_eq!(server.fingerprint(&server.root()), before);
    }
}

#[test]
fn a_missing_file_is_an_error_with_the_next_step() {
    let ran = Ran::of(Command::new(BINARY).args([
        "backup",
        "--config",
        "/nonexistent/config.toml",
        "--dry-run",
    ]));
    assert_eq!(ran.code, 3);
    assert!(
        ran.err.contains("hint: empire-maint config init"),
        "{}",
        ran.err
    );
}

#[test]
fn the_root_flag_beats_the_file() {
    let server = Server::new();
    let other = Server::new();
    let ran = server.run_args([
        "backup".as_ref(),
        "--root".as_ref(),
        other.root().as_os_str(),
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(other.list("app_db").len(), 1);
    assert!(server.list("app_db").is_empty());
}
