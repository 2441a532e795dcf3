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

/// Blocks of the file that `config init` writes: header, comment and keys.
fn blocks(text: &str) -> Vec<String> {
    let all = text.split("\n\n").skip(1);
    all.map(str::to_owned).collect()
}

/// The block with what is commented out in it: lines that are TOML.
fn uncommented(block: &str) -> String {
    let is_toml = |line: &str| {
        line.starts_with('[')
            || line
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.contains(' '))
    };
    let lines = block.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_toml(rest) => rest,
        _ => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    // Keys of TLS are for an address of TLS.
    text.replace("redis://", "rediss://")
}

#[test]
fn what_init_comments_out_can_be_taken() {
    let text = Server::empty().run("config init").expect(0).out;
    let accepted = |text: &str, code: i32| {
        let ran = Server::empty().raw_config(text).run("config check");
        assert_eq!(ran.code, code, "{text}: {ran:?}");
    };
    let blocks = blocks(&text);
    for block in &blocks {
        let all = text.replace(block, &uncommented(block));
        match block.contains("[[alerts.") {
            // A channel that no route names is worth a word; a route without its channel is wrong.
            true if block.contains("[[alerts.channel]]") => accepted(&all, 1),
            true => accepted(&all, 3),
            false => accepted(&all, 0),
        }
    }
    let all: Vec<_> = blocks.iter().map(|block| uncommented(block)).collect();
    assert!(
        all.iter()
            .zip(&blocks)
            .filter(|(one, other)| one != other)
            .count()
            > 10
    );
    // Only the one for chat has no route.
    accepted(&all.join("\n\n"), 1);
    for kind in ["mail", "slack", "command"] {
        assert!(text.contains(&format!("# kind = \"{kind}\"")), "{kind}");
    }
}

/// What a server may not have is no problem with the file as it is written, as it is none without a file.
#[test]
fn a_calm_server_stays_calm_with_what_init_writes() {
    let server = Server::new();
    let own = std::fs::read_to_string(server.config_path()).unwrap();
    let text = server.run("config init").expect(0).out;
    let mut written = Vec::new();
    // The operator's own root, state and databases, as the README has it.
    for block in blocks(&text) {
        let is_own = ["[app]", "[state]", "[[database]]", "[schedule]"];
        if !is_own
            .iter()
            .any(|header| block.lines().any(|line| line == *header))
        {
            written.push(block);
        }
    }
    let server = server.raw_config(&format!("{own}\n{}", written.join("\n\n")));
    server.run("config check").expect(0);
    server.run("backup").expect(0);
    for line in [
        "data-clean",
        "health --check redis,certs,errors,logins,app-errors",
    ] {
        let (_, report) = server.json(line);
        let findings = report["findings"].as_array().unwrap();
        let loud: Vec<_> = findings
            .iter()
            .filter(|one| one["severity"] != "info")
            .collect();
        assert!(loud.is_empty(), "{line}: {loud:#?}");
    }
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
        server.run("config check").expect(3);
        assert!(ran.err.contains(word), "{lines}: {}", ran.err);
        assert!(ran.err.contains("error") && ran.out.is_empty());
        assert_eq!(server.fingerprint(&server.root()), before);
    }
}

/// Values that no task can use, in sections that a backup can do without: it is made, and says so; `config check` refuses them.
#[test]
fn impossible_values_elsewhere_are_refused_by_check_with_their_line() {
    let rule = "[[data_clean.rule]]\nname = \"a\"\ntable = \"t\"\ncolumn = \"c\"\nolder_than = \"90d\"\naction = \"delete\"\ndatabase = \"app_bd\"";
    for (lines, words) in [
        (
            "[[health.mount]]\npath = \"/\"\nmedium = nan",
            &["config.toml:13", "medium", "nan"][..],
        ),
        (
            "[[health.mount]]\npath = \"/\"\nmedium = 95\nhigh = 15\ncritical = -4",
            &["health.mount", "95, 15, -4", "must rise"],
        ),
        (
            "[health]\nhttp_timeout = \"0s\"",
            &["config.toml:12", "http_timeout"],
        ),
        (
            "[health]\nlogin_paths = [\"\"]",
            &["config.toml:12", "login_paths"],
        ),
        ("[health]\nuptime_pct = -1", &["uptime_pct"]),
        ("[verify]\nrow_tolerance_pct = -1", &["row_tolerance_pct"]),
        (
            "[verify]\nrow_tolerance_pct = inf",
            &["config.toml:12", "row_tolerance_pct"],
        ),
        (
            "[verify]\nscratch_dir = \"\"",
            &["config.toml:12", "scratch_dir", "empty path"],
        ),
        (
            "[verify]\nscratch_dir = \"/a\\u0000b\"",
            &["config.toml:12", "scratch_dir", "NUL"],
        ),
        (
            "[verify]\nscratch_dir = \"/a\\nb\"",
            &["config.toml:12", "scratch_dir", "control characters"],
        ),
        (
            "[redis]\nurl = \"x\"",
            &["config.toml:12", "key url", "Redis"],
        ),
        (
            "[certs]\nendpoints = [\"\", \"a:b:c\"]",
            &["config.toml:12", "endpoints", "no endpoint"],
        ),
        (
            "[audit]\nids_command = [\"\"]",
            &["config.toml:12", "ids_command", "no program"],
        ),
        (
            "[audit]\nids_command = []",
            &["config.toml:12", "ids_command", "no program"],
        ),
        (
            rule,
            &[
                "config.toml:17",
                "key database",
                "app_bd",
                "did you mean 'app_db'?",
            ],
        ),
        (
            "[rag]\ndatabase = \"nosuch\"",
            &["config.toml:12", "key database", "nosuch"],
        ),
        (
            "[optimize]\nvacuum_anyway = [\"nosuch\"]",
            &["config.toml:12", "key vacuum_anyway", "nosuch"],
        ),
        (
            "[access_audit]\ndatabase = \"nosuch\"",
            &["config.toml:12", "key database", "nosuch"],
        ),
    ] {
        let server = Server::new().config(lines);
        let ran = server.run("config check").expect(3);
        for word in words {
            assert!(ran.err.contains(word), "{lines}: {word}: {}", ran.err);
        }
        let (code, report) = server.json("backup");
        assert_eq!(server.list("app_db").len(), 1, "{lines}");
        // What a backup reads itself is not told to it.
        let section = lines.trim_matches('[').split(['.', ']']).next().unwrap();
        assert_eq!(code, 2, "{lines}: {report:#}");
        assert_eq!(finding_ids(&report, section), ["config.invalid"], "{lines}");
    }
    // Those of [app] and of the databases stop no backup either.
    for (lines, words) in [
        ("stop = []", &["config.toml:2", "key stop", "no program"]),
        (
            "listen = \"x\"",
            &["config.toml:2", "key listen", "no address"],
        ),
        (
            "health_url = \"localhost\"",
            &["config.toml:2", "key health_url", "http"],
        ),
    ] {
        let server = Server::new().app(lines);
        let ran = server.run("config check").expect(3);
        for word in words {
            assert!(ran.err.contains(word), "{lines}: {word}: {}", ran.err);
        }
        server.run("backup").expect(0);
    }
    let server =
        Server::new().config("[[database]]\nname = \"twice\"\npath = \"data/../data/app.db\"");
    let ran = server.run("config check").expect(3);
    assert!(
        ran.err.contains("config.toml:13, key path") || ran.err.contains("config.toml:13 in"),
        "{}",
        ran.err
    );
    server.run("backup").expect(0);
    // The task that needs it names the line too.
    let server = Server::new().config(rule);
    let ran = server.run("data-clean").expect(3);
    assert!(ran.err.contains("config.toml:17"), "{}", ran.err);
}

#[test]
fn show_says_of_each_key_of_a_table_where_it_came_from() {
    let server = Server::new().config("[health]\ndisk_pct = { high = 92 }");
    let shown = server.run("config show").expect(0).out;
    let line = |key: &str| {
        let found = shown.lines().find(|line| line.starts_with(key));
        found.unwrap_or_else(|| panic!("{key}: {shown}")).to_owned()
    };
    assert!(
        line("disk_pct.high = 92").contains("config.toml:12"),
        "{shown}"
    );
    assert!(
        line("disk_pct.medium = 80").ends_with("# default"),
        "{shown}"
    );
    let (_, report) = server.json("config show");
    assert_eq!(
        report["data"]["health"]["disk_pct.critical"]["origin"],
        "default"
    );
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

/// The words are those of the file and not of the language that this is written in.
#[test]
fn mistakes_are_told_in_the_words_of_the_file() {
    let rule = "[[data_clean.rule]]\nname = \"a\"\ndatabase = \"app_db\"\ntable = \"t\"\ncolumn = \"c\"\naction = \"delete\"\nolder_than = ";
    for (lines, words) in [
        (
            format!("{rule}\"6 months\""),
            &["key older_than", "m (minutes)", "mo (months) or y"][..],
        ),
        (
            "[backup]\nkeep = 7".to_owned(),
            &[
                "config.toml:12 in [backup], key keep",
                "a table, not the number 7",
            ],
        ),
        (
            "[backup]\nfile = [\"certs\"]".to_owned(),
            &["key file", "a table, not the text \"certs\""],
        ),
        (
            "[health]\ndisk_pct = 80".to_owned(),
            &["key disk_pct", "a table, not the number 80"],
        ),
        (
            "[backup]\nthreads = -1".to_owned(),
            &["key threads", "a whole number from 0, not the number -1"],
        ),
        (
            "[[backup.keep]]\ndaily = 3".to_owned(),
            &[
                "config.toml:11 in [[backup.keep]]",
                "one table, not a list",
                "one bracket",
            ],
        ),
        (
            "[[backup]]\nthreads = 3".to_owned(),
            &[
                "config.toml:11 in [[backup]]",
                "one table, not a list",
                "one bracket",
            ],
        ),
        (
            "[backup.file]\npath = \"certs\"".to_owned(),
            &[
                "config.toml:11 in [backup.file]",
                "a list, not a table",
                "two brackets",
            ],
        ),
        (
            "[[alerts.route]]\nchannels = [\"ops\"]".to_owned(),
            &["'ops'", "no [[alerts.channel]] is configured"],
        ),
        (
            "[[database]]\nname = \"app_db\"\npath = \"x\"".to_owned(),
            &["config.toml:12", "key name", "two [[database]]"],
        ),
        (
            "[[database]]\nname = \"x\"\npath = \"data/app.db\"".to_owned(),
            &["config.toml:13", "key path", "are one file"],
        ),
    ] {
        let ran = Server::empty().config(&lines).run("config check").expect(3);
        for word in words {
            assert!(ran.err.contains(word), "{lines}: {word}: {}", ran.err);
        }
        for word in ["struct", "usize", "u32", "invalid type", "sequence", "map"] {
            assert!(!ran.err.contains(word), "{lines}: {word}: {}", ran.err);
        }
        // Each mistake is told once.
        assert_eq!(ran.err.matches(words[1]).count(), 1, "{}", ran.err);
        assert!(
            ran.err.contains("config.toml: mistakes in 1 section"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn the_manual_page_has_each_key_once_and_whole_sentences() {
    let page = Ran::of(Command::new(BINARY).args(["man", "empire-maint.toml"]))
        .expect(0)
        .out;
    for key in [
        "[[data_clean.rule]] older_than",
        "[[database]] path",
        "[[cache.rule]] when",
    ] {
        let name = format!("\n\\fB{key}\\fR\n");
        assert_eq!(page.matches(&name).count(), 1, "{key}");
    }
    for line in page.lines().filter(|line| line.contains(" Default")) {
        assert!(
            line.contains(". Default: ") || line.contains(". Defaults: "),
            "{line}"
        );
    }
    assert!(
        page.contains(" Defaults: \"data/app.db\"; \"data/rag.db\""),
        "{page}"
    );
}
