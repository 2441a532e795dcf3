//! `verify-backup` on what does not restore: every changed byte, every missing end, and files that were never a backup.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{
    Ran, Server, actions, beside, fill, finding, finding_ids, gzip, sql, users, zcat,
};

/// A server with one backup of three members that is a few hundred bytes short.
fn small() -> (Server, PathBuf) {
    let server = Server::empty();
    sql(
        &server.database(),
        "PRAGMA page_size=65536; PRAGMA journal_mode=WAL;
         CREATE TABLE users (id INTEGER PRIMARY KEY, content);
         INSERT INTO users VALUES (1, zeroblob(200000)), (2, 'somebody')",
    );
    server.run("backup --database app_db").expect(0);
    let backup = server.list("app_db").remove(0);
    assert_eq!(server.manifest(&backup)["index"]["members"], 3);
    assert!(fs::metadata(&backup).unwrap().len() < 2000);
    (server, backup)
}

/// Puts a changed copy beside a backup, under a name of its own that its manifest says too.
fn variant(original: &Path, number: usize, content: &[u8], with: &[&str]) -> String {
    let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
    let stem = format!("app_db_20200101T{hour:02}{minute:02}{second:02}Z");
    let copy = original.with_file_name(format!("{stem}.db.gz"));
    fs::write(&copy, content).unwrap();
    for suffix in with {
        let text = fs::read(beside(original, suffix)).unwrap();
        let text = match *suffix {
            ".json" => {
                let mut manifest: Value = serde_json::from_slice(&text).unwrap();
                manifest["backup"] = stem.clone().into();
                serde_json::to_vec(&manifest).unwrap()
            }
            _ => text,
        };
        fs::write(beside(&copy, suffix), text).unwrap();
    }
    format!("{stem}.db.gz")
}

/// Verifies everything: exactly the variants are damaged, each is said, and nothing is left of the attempts.
fn only_the_variants_are_damaged(server: &Server, variants: &[String]) -> Value {
    let (code, report) = server.json("verify-backup app_db --all");
    assert_eq!(code, 2);
    let mut damaged: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["id"] == "verify.damaged")
        .map(|finding| finding["subject"].as_str().unwrap().to_owned())
        .collect();
    damaged.sort();
    let mut expected = variants.to_vec();
    expected.sort();
    let missed: Vec<_> = expected
        .iter()
        .filter(|name| !damaged.contains(name))
        .collect();
    assert!(missed.is_empty(), "not seen: {missed:?}");
    assert_eq!(damaged, expected);
    let outcomes = report["data"]["verified"].as_array().unwrap();
    let sound = outcomes.iter().filter(|outcome| outcome["sound"] == true);
    assert_eq!(sound.count(), 1, "the original");
    let scratch = fs::read_dir(server.backups()).unwrap().any(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("scratch")
    });
    assert!(!scratch);
    report
}

#[test]
fn every_changed_byte_is_seen() {
    for with in [&[".json", ".idx"][..], &[".json"]] {
        let (server, backup) = small();
        let whole = fs::read(&backup).unwrap();
        // Serially it is one digest over everything: there every fifth byte is as good, unless there is time.
        let all = with.len() == 2 || std::env::var_os("SLOW_TESTS").is_some();
        let variants: Vec<_> = (0..whole.len())
            .filter(|at| all || at.is_multiple_of(5))
            .map(|at| {
                let mut changed = whole.clone();
                changed[at] ^= 1 << (at % 8);
                variant(&backup, at, &changed, with)
            })
            .collect();
        only_the_variants_are_damaged(&server, &variants);
        for name in &variants {
            let manifest = server.manifest(&server.backups().join(name));
            assert!(manifest["bad"]["reason"].is_string(), "{name} is marked");
        }
        assert_eq!(server.manifest(&backup)["bad"], Value::Null);
    }
}

#[test]
fn every_missing_end_is_seen_and_everything_behind_the_end() {
    for with in [&[".json", ".idx"][..], &[".json"], &[]] {
        let (server, backup) = small();
        let whole = fs::read(&backup).unwrap();
        // Headers and trailers byte by byte, what is between them here and there.
        let near =
            |length: &usize| *length < 30 || whole.len() - length < 30 || length.is_multiple_of(11);
        let mut variants: Vec<_> = (0..whole.len())
            .filter(near)
            .map(|length| variant(&backup, length, &whole[..length], with))
            .collect();
        let member = server.path().join("member.gz");
        gzip(b"more", &member);
        let member = fs::read(member).unwrap();
        for behind in [
            &b"\0"[..],
            b"\x1f",
            b"\x1f\x8b",
            &[0; 512],
            b"garbage",
            &member,
        ] {
            let longer = [&whole, behind].concat();
            variants.push(variant(&backup, 5000 + variants.len(), &longer, with));
        }
        only_the_variants_are_damaged(&server, &variants);
    }
}

/// A part of a gzip stream is a gzip stream too, where it ends between two members.
#[test]
fn members_that_are_missing_or_in_another_order_are_seen() {
    let (server, backup) = small();
    let whole = fs::read(&backup).unwrap();
    let index = fs::read(beside(&backup, ".idx")).unwrap();
    let length = |record: usize| {
        let at = 64 + 72 * record;
        u32::from_le_bytes(index[at..at + 4].try_into().unwrap()) as usize
    };
    let (first, second) = whole.split_at(length(0));
    let (second, third) = second.split_at(length(1));
    let mut variants = Vec::new();
    for with in [&[".json", ".idx"][..], &[".json"], &[]] {
        for members in [
            vec![first],
            vec![first, second],
            vec![second, third],
            vec![first, third],
            vec![first, second, third, third],
            vec![first, third, second],
        ] {
            let content = members.concat();
            variants.push(variant(&backup, variants.len(), &content, with));
        }
    }
    // The last order without a manifest: the page that holds the other user is elsewhere, and only SQLite can tell.
    only_the_variants_are_damaged(&server, &variants);
}

#[test]
fn another_database_under_this_one_s_name_is_seen() {
    let server = Server::new().config("[[database]]\nname = \"other\"\npath = \"data/other.db\"");
    fill(&server.root().join("data/other.db"), 77);
    server.run("backup").expect(0);
    let backup = server.list("app_db").remove(0);
    let other = server.list("other").remove(0);
    let whole = fs::read(&other).unwrap();
    // Its data alone; its data and index; all of it, with the manifest that says so.
    let data = variant(&backup, 1, &whole, &[".json", ".idx"]);
    let with_index = variant(&backup, 2, &whole, &[".json"]);
    let folder = server.backups();
    fs::copy(
        beside(&other, ".idx"),
        beside(&folder.join(&with_index), ".idx"),
    )
    .unwrap();
    let all = variant(&backup, 3, &whole, &[]);
    for suffix in [".json", ".idx"] {
        fs::copy(beside(&other, suffix), beside(&folder.join(&all), suffix)).unwrap();
    }
    let report = only_the_variants_are_damaged(&server, &[data, with_index, all.clone()]);
    let said = report["findings"].to_string();
    assert!(said.contains("is the manifest of other_"), "{said}");
    // As one that nobody vouches for it lacks the tables that are expected.
    let foreign = folder.join(&all);
    fs::remove_file(beside(&foreign, ".json")).unwrap();
    sql(&server.root().join("data/other.db"), "DROP TABLE users");
    let copy = server.path().join("copy");
    sql(
        &server.root().join("data/other.db"),
        &format!("VACUUM INTO '{}'", copy.display()),
    );
    gzip(&fs::read(&copy).unwrap(), &foreign);
    let (_, report) = server.json("verify-backup app_db --all");
    let said = report["findings"].to_string();
    assert!(said.contains("lacks the expected tables: users"), "{said}");
}

/// One that somebody made by hand, or took for a backup: what is found of it is about that file.
#[test]
fn a_file_from_elsewhere_is_judged_as_that_file() {
    let server = Server::new();
    server.run("backup").expect(0);
    let verify = |file: &Path| {
        let words = [
            "verify-backup".as_ref(),
            "--json".as_ref(),
            "--file".as_ref(),
        ];
        server.run_args(words.into_iter().chain([file.as_os_str()]))
    };
    let open = || -> Vec<String> {
        let (_, list) = server.json("alerts list");
        let open = list["data"]["incidents"].as_array().unwrap().iter();
        let open = open.filter(|one| one["finding"] == "verify.damaged");
        open.map(|one| one["subject"].as_str().unwrap().to_owned())
            .collect()
    };
    for (file, said) in [
        (server.database(), "is a database as it is"),
        ("/etc/passwd".into(), "is no gzip file"),
    ] {
        let ran = verify(&file);
        assert_eq!(ran.code, 3, "{ran:?}");
        let failure = ran.json()["failure"].to_string();
        assert!(failure.contains(said), "{failure}");
    }
    assert_eq!(open(), [""; 0]);
    // Named like our own one, which is sound.
    let own = server.list("app_db").remove(0);
    let file = server.path().join(own.file_name().unwrap());
    let data = fs::read(&own).unwrap();
    fs::write(&file, &data[..data.len() / 2]).unwrap();
    let report = verify(&file).json();
    let damaged = finding(&report, "verify.damaged");
    assert_eq!(damaged["subject"], file.to_str().unwrap());
    let hint = damaged["hint"].as_str().unwrap();
    assert!(hint.contains("that file anew"), "{hint}");
    assert_eq!(open(), [file.to_str().unwrap()]);
    server.run("verify-backup").expect(0);
    assert_eq!(open(), [file.to_str().unwrap()], "it is still there");
    fs::remove_file(&file).unwrap();
    server.run("verify-backup").expect(0);
    assert_eq!(open(), [""; 0]);
}

#[test]
fn what_was_never_a_backup_is_refused_with_its_reason() {
    let server = Server::new();
    let file = server.path().join("odd.db.gz");
    let empty = server.path().join("empty.db");
    sql(&empty, "PRAGMA user_version=1");
    let mut corrupt = fs::read(server.database()).unwrap();
    let length = corrupt.len();
    corrupt[length / 2..].fill(0x5a);
    let mut mutated = fs::read(server.database()).unwrap();
    mutated[28..32].fill(0xff);
    let cases: [(&str, Option<Vec<u8>>); 6] = [
        ("unexpected end of file", None),
        ("not an SQLite database", Some(Vec::new())),
        ("not an SQLite database", Some(b"-- a dump".repeat(100))),
        ("has no tables at all", Some(fs::read(&empty).unwrap())),
        ("corrupt", Some(corrupt)),
        ("not enough space", Some(mutated)),
    ];
    for (said, plain) in cases {
        match plain {
            Some(plain) => gzip(&plain, &file),
            None => fs::write(&file, "").unwrap(),
        }
        let ran = server.run_args([
            "verify-backup".as_ref(),
            "--json".as_ref(),
            "--file".as_ref(),
            file.as_os_str(),
        ]);
        assert_eq!(ran.code, 2);
        let findings = ran.json()["findings"].to_string();
        assert!(
            findings.contains(said) || findings.contains("malformed"),
            "{said}: {findings}"
        );
        // And no restore of it comes anywhere near its target.
        let to = server.path().join("restored.db");
        let ran = server.run_args([
            "restore".as_ref(),
            "--file".as_ref(),
            file.as_os_str(),
            "--to".as_ref(),
            to.as_os_str(),
        ]);
        if said != "has no tables at all" {
            assert_eq!(ran.code, 2, "{said}: {ran:?}");
            assert!(!to.exists(), "{said}");
        }
        let left = fs::read_dir(server.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(
            left.iter()
                .all(|name| !name.to_string_lossy().contains(".restore.")),
            "{said}: {left:?}"
        );
        let _ = fs::remove_file(&to);
    }
}

/// A few MiB that inflate to 8 GiB. The kernel kills whoever writes more than 32 MiB into one file.
#[test]
fn a_bomb_is_bounded_by_what_it_announces() {
    let server = Server::new();
    server.run("backup --database app_db").expect(0);
    let backup = server.list("app_db").remove(0);
    let zeros = server.path().join("zeros.gz");
    gzip(&vec![0; 64 << 20], &zeros);
    let zeros = fs::read(&zeros).unwrap().repeat(128);
    let header = server.path().join("header.gz");
    gzip(&fs::read(server.database()).unwrap(), &header);
    let header = fs::read(header).unwrap();
    let bomb = [&header[..], &zeros].concat();
    let bombs = [
        ("behind a database", bomb.clone(), &[][..]),
        ("of nothing else", zeros, &[]),
        ("with a manifest", bomb.clone(), &[".json"]),
        ("with an index too", bomb, &[".json", ".idx"]),
    ];
    for (what, content, with) in bombs {
        let name = variant(&backup, 1, &content, with);
        let inside = server.command(["verify-backup", "app_db", "--all", "--json"]);
        let mut command = std::process::Command::new("prlimit");
        command
            .args(["--fsize=33554432", "--"])
            .arg(inside.get_program())
            .args(inside.get_args())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir(server.path());
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, 2, "{what}: {ran:?}");
        let report = ran.json();
        assert_eq!(
            finding(&report, "verify.damaged")["subject"],
            name,
            "{what}"
        );
        let entries = fs::read_dir(server.backups()).unwrap();
        let scratch = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("scratch"));
        assert_eq!(scratch.count(), 0, "{what}");
        for suffix in ["", ".json", ".idx"] {
            let _ = fs::remove_file(beside(&server.backups().join(&name), suffix));
        }
    }
}

#[test]
fn the_verdict_of_one_file_is_noted_where_the_backup_is_ours() {
    let (server, backup) = small();
    let whole = fs::read(&backup).unwrap();
    let mut changed = whole.clone();
    changed[40] ^= 4;
    fs::write(&backup, &changed).unwrap();
    let verify = |file: &Path| {
        let ran = server.run_args([
            "verify-backup".as_ref(),
            "--json".as_ref(),
            "--file".as_ref(),
            file.as_os_str(),
        ]);
        ran.json()
    };
    finding(&verify(&backup), "verify.damaged");
    assert!(server.manifest(&backup)["bad"].is_object());
    let (_, list) = server.json("backup list app_db");
    let row = &list["data"]["catalogue"][0];
    assert!(
        row["verified"].as_str().unwrap().starts_with("bad: "),
        "{row}"
    );
    let ran = server.run("restore app_db --to new.db");
    assert!(ran.err.contains("no verified backup"), "{ran:?}");
    ran.expect(3);
    // The very bytes are back, from a copy elsewhere: then it counts again.
    fs::write(&backup, &whole).unwrap();
    assert_eq!(verify(&backup)["exit_code"], 0);
    assert_eq!(server.manifest(&backup)["bad"], Value::Null);
    assert_eq!(server.manifest(&backup)["verified"]["level"], "restored");
    // A copy elsewhere is tried and left as it is.
    let copy = server.path().join("copy.db.gz");
    for suffix in ["", ".json", ".idx"] {
        fs::copy(beside(&backup, suffix), beside(&copy, suffix)).unwrap();
    }
    fs::write(&copy, &changed).unwrap();
    let before = fs::read(beside(&copy, ".json")).unwrap();
    let report = verify(&copy);
    finding(&report, "verify.damaged");
    assert!(actions(&report).iter().all(|action| action.0 != "note"));
    assert_eq!(fs::read(beside(&copy, ".json")).unwrap(), before);
}

#[test]
fn a_manifest_that_is_broken_or_alone_is_said() {
    let (server, backup) = small();
    let manifest = fs::read(beside(&backup, ".json")).unwrap();
    fs::write(beside(&backup, ".json"), &manifest[..manifest.len() / 2]).unwrap();
    let (code, report) = server.json("verify-backup app_db");
    assert_eq!(code, 2);
    let message = finding(&report, "verify.damaged")["message"].clone();
    assert!(
        message.as_str().unwrap().contains("not a manifest"),
        "{message}"
    );
    fs::write(beside(&backup, ".json"), &manifest).unwrap();
    fs::rename(&backup, server.path().join("moved")).unwrap();
    let (code, report) = server.json("verify-backup app_db");
    assert_eq!(code, 2);
    let gone = finding(&report, "verify.data-gone");
    assert_eq!(gone["severity"], "critical");
    assert_eq!(
        gone["subject"],
        backup.file_name().unwrap().to_str().unwrap()
    );
    let index = fs::read(beside(&backup, ".idx")).unwrap();
    assert!(!index.is_empty(), "nothing was removed for it");
    fs::rename(server.path().join("moved"), &backup).unwrap();
    server.run("verify-backup app_db").expect(0);
}

/// What was found of a backup ends with it, once somebody took it away.
#[test]
fn an_alert_about_a_backup_that_was_removed_is_over() {
    let open = |server: &Server| -> Vec<String> {
        let (_, list) = server.json("alerts list");
        let open = list["data"]["incidents"].as_array().unwrap().iter();
        open.map(|one| one["finding"].as_str().unwrap().to_owned())
            .filter(|finding| finding.starts_with("verify."))
            .collect()
    };
    for ends in ["verify-backup app_db", "backup --database app_db"] {
        let (server, backup) = small();
        server.run("backup --database app_db").expect(0);
        let data = fs::read(&backup).unwrap();
        fs::write(&backup, &data[..data.len() / 2]).unwrap();
        server.run("verify-backup app_db --all").expect(2);
        assert_eq!(open(&server), ["verify.damaged"]);
        fs::remove_file(&backup).unwrap();
        server.run("verify-backup app_db").expect(2);
        let mut both = open(&server);
        both.sort();
        assert_eq!(both, ["verify.damaged", "verify.data-gone"]);
        // The hint of the latter.
        for suffix in [".json", ".idx"] {
            fs::remove_file(beside(&backup, suffix)).unwrap();
        }
        server.run(ends).expect(0);
        assert!(open(&server).is_empty(), "{ends}: {:?}", open(&server));
    }
}

type Change = fn(&mut Value);

/// Counts and schema are looked at in the restored copy, not believed.
#[test]
fn a_manifest_that_promises_something_else_is_seen() {
    let (server, backup) = small();
    let good = server.manifest(&backup);
    let changes: [(&str, Change, &str); 4] = [
        (
            "rows",
            |manifest| manifest["database"]["tables"]["users"] = 3.into(),
            "table users has 2 rows instead of 3",
        ),
        (
            "schema",
            |manifest| manifest["database"]["schema_hash"] = "00".into(),
            "another schema",
        ),
        (
            "pages",
            |manifest| manifest["database"]["page_count"] = 9.into(),
            "instead of 9",
        ),
        (
            "age",
            |manifest| {
                manifest["database"]["freshness"] = serde_json::json!({"users": "content"});
                manifest["database"]["data_as_of"] = "2026-11-24T03:00:00Z".into();
            },
            "data of another age",
        ),
    ];
    for (what, change, said) in changes {
        let mut manifest = good.clone();
        change(&mut manifest);
        fs::write(
            beside(&backup, ".json"),
            serde_json::to_vec(&manifest).unwrap(),
        )
        .unwrap();
        let (code, report) = server.json("verify-backup app_db");
        assert_eq!(code, 2, "{what}");
        let message = finding(&report, "verify.damaged")["message"].clone();
        assert!(
            message.as_str().unwrap().contains(said),
            "{what}: {message}"
        );
        let to = server.path().join("to.db");
        let ran = server.run("restore app_db --to to.db");
        assert!(!to.exists(), "{what}: {ran:?}");
        assert_ne!(ran.code, 0, "{what}");
    }
}

#[test]
fn a_table_that_came_later_makes_no_old_backup_bad() {
    let server = Server::new();
    server.run("backup --database app_db").expect(0);
    sql(
        &server.database(),
        "CREATE TABLE invoices (id INTEGER PRIMARY KEY); INSERT INTO invoices VALUES (1)",
    );
    let text = fs::read_to_string(server.config_path()).unwrap();
    let text = text.replace("[\"users\"]", "[\"users\", \"invoices\"]");
    let server = server.raw_config(&text);
    let (_, report) = server.json("verify-backup app_db");
    assert!(
        !finding_ids(&report, "").contains(&"verify.damaged".to_owned()),
        "{report:#}"
    );
    // That the newest one lacks it while the live database has it is worth a look.
    assert_eq!(
        finding(&report, "verify.rows-differ")["subject"],
        "app_db.invoices"
    );
    let backup = server.list("app_db").remove(0);
    assert_eq!(server.manifest(&backup)["bad"], Value::Null);
    // And at night it comes back.
    let restored = server.run("restore app_db --force").expect(0);
    assert!(restored.out.contains("app_db restored"), "{restored:?}");
    assert_eq!(users(&server.database()), 500);
}

/// A database whose header does not say its size, as SQLite before 3.7 wrote them, is whole all the same.
#[test]
fn a_header_that_does_not_say_the_size_is_no_damage() {
    let server = Server::new();
    sql(&server.database(), "PRAGMA journal_mode=DELETE");
    let mut old = fs::read(server.database()).unwrap();
    old[28..32].fill(0);
    old[92..96].fill(0);
    let file = server.path().join("old.db.gz");
    gzip(&old, &file);
    let ran = server.run_args([
        "verify-backup".as_ref(),
        "--file".as_ref(),
        file.as_os_str(),
    ]);
    ran.expect(0);
    let plain = server.path().join("plain.db");
    zcat(&file, &plain);
    let open = Connection::open(&plain).unwrap();
    let count: i64 = open
        .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 500);
}
