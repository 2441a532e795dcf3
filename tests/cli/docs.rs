//! What the documentation tells people to type is what the program understands.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{BINARY, Server};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The command lines of the program in a text: in crontab lines, in blocks, and in code spans.
pub fn lines_of(text: &str) -> Vec<Vec<String>> {
    const BEFORE: [&str; 5] = ["sudo ", "/usr/local/bin/", "`", "$ ", "    "];
    let mut found = Vec::new();
    for line in text.lines() {
        for (at, _) in line.match_indices("empire-maint ") {
            let before = &line[..at];
            if !before.is_empty() && !BEFORE.iter().any(|start| before.ends_with(start)) {
                continue;
            }
            let command = line[at..]
                .split(['|', '>', ';', '#', '`', '&'])
                .next()
                .unwrap();
            found.push(words(command));
        }
    }
    found
}

/// Splits at blanks, with double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_in_the_documentation_parses() {
    let mut seen = 0;
    for file in [
        "README.md",
        "crontab.example",
        "docs/backup-format.md",
        "docs/findings.md",
        "docs/duplicates.md",
        "docs/rag-index.md",
        "docs/rag.md",
        "CONTRIBUTING.md",
    ] {
        for line in lines_of(&read(file)) {
            let arguments: Vec<_> = line.iter().map(Into::into).collect();
            if let Err(error) = empire_maint::cli::parse(&arguments) {
                use clap::error::ErrorKind;
                let answer = matches!(
                    error.kind(),
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
                );
                assert!(answer, "{file}: {}\n{error}", line.join(" "));
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} commands were found");
}

/// The page for the night when this program is not there, typed word by word, with and without side files of the old database.
#[test]
fn the_restore_without_the_tool_works_as_it_is_written() {
    let readme = read("README.md");
    let (_, page) = readme.split_once("**Without the tool.**").unwrap();
    let lines: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("    "))
        .take_while(|line| line.starts_with("    "))
        .map(str::trim)
        .collect();
    assert!(lines.len() > 6, "{lines:?}");
    for with_side_files in [true, false] {
        let server = Server::new();
        server.run("backup").expect(0);
        let held = rusqlite::Connection::open(server.database()).unwrap();
        held.execute_batch("PRAGMA wal_autocheckpoint=0; DELETE FROM users")
            .unwrap();
        let wal = crate::support::beside(&server.database(), "-wal");
        match with_side_files {
            // The app was killed: its log stays behind.
            true => std::mem::forget(held),
            false => drop(held),
        }
        assert_eq!(wal.exists(), with_side_files);
        // A crash in another journal mode leaves another file, which would be played back into what is restored.
        let journal = crate::support::beside(&server.database(), "-journal");
        if !with_side_files {
            fs::write(&journal, "left").unwrap();
        }
        let backup = server.list("app_db").pop().unwrap();
        let name = backup.file_name().unwrap().to_str().unwrap();
        let script = lines
            .join("\n")
            .replace("/opt/agentic-empire", server.root().to_str().unwrap())
            .replace("app_db_20261124T030000Z.db.gz", name);
        assert!(script.contains(name) && script.contains(server.root().to_str().unwrap()));
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "ok\n",
            "{output:?}"
        );
        let complaints = String::from_utf8_lossy(&output.stderr).lines().count();
        assert_eq!(
            complaints,
            if with_side_files { 1 } else { 2 },
            "{output:?}"
        );
        assert!(!wal.exists() && !journal.exists());
        assert_eq!(crate::support::users(&server.database()), 500);
        assert!(server.root().join("data/app.db.broken").exists());
        server.run("backup").expect(0);
    }
}

#[test]
fn cron_accepts_the_example() {
    let text = read("crontab.example");
    assert!(text.ends_with('\n'));
    assert!(text.lines().any(|line| line.starts_with("PATH=")));
    for line in text
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit() || c == '*'))
    {
        let (_, command) = line.split_once(" /usr/local/bin/empire-maint ").unwrap();
        assert!(command.contains(" --quiet"), "{line}");
        assert!(!line.replace("\\%", "").contains('%'), "{line}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &text).unwrap();
    let output = Command::new("crontab").arg("-T").arg(file.path()).output();
    // Debian's cron before 3.0pl1-160 has no -T; there the lines above are what is checked.
    if let Ok(output) = output
        && !String::from_utf8_lossy(&output.stderr).contains("invalid option")
    {
        assert!(output.status.success(), "{output:?}");
    }
}

/// Every finding that the sources can emit is explained, and nothing that they cannot.
#[test]
fn findings_are_documented() {
    let documented = read("docs/findings.md");
    let mut ids = std::collections::BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for word in code.split('"').skip(1).step_by(2) {
                let known = [
                    "backup.",
                    "cache.",
                    "gpu.",
                    "verify.",
                    "restore.",
                    "task.",
                    "journal.",
                    "config.",
                    "metrics.",
                    "schedule.",
                    "health.",
                    "http.",
                    "listen.",
                    "disk.",
                    "memory.",
                    "cpu.",
                    "connections.",
                    "database.",
                    "redis.",
                    "errors.",
                    "app-errors.",
                    "logins.",
                    "log.",
                    "cert.",
                    "npm.",
                    "deps.",
                    "system.",
                    "uptime.",
                    "audit.",
                    "npm.",
                    "secrets.",
                    "access.",
                    "auth.",
                    "permissions.",
                    "sockets.",
                    "firewall.",
                    "ids.",
                    "baseline.",
                    "rag-eval.",
                ];
                let plain = !word.ends_with('.')
                    && word
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c == '.' || c == '-');
                if plain
                    && known.iter().any(|start| word.starts_with(start))
                    && !word.ends_with(".db")
                    && !word.ends_with(".toml")
                    && !word.ends_with(".pem")
                {
                    ids.insert(word.to_owned());
                }
            }
        }
    }
    assert!(ids.len() > 15, "{ids:?}");
    for id in &ids {
        assert!(
            documented.contains(&format!("`{id}`")),
            "{id} is not in docs/findings.md"
        );
    }
}

/// An alert is resolved only by a run that says that it looked. An id that is written only where it is found is never looked for.
#[test]
fn every_finding_is_looked_for_somewhere() {
    const NEVER: &[(&str, &str)] = &[
        (
            "schedule.timezone",
            "of a command that only reads: it never becomes an alert",
        ),
        (
            "config.unused-channel",
            "of config check, which alerts nobody",
        ),
    ];
    let sources = sources();
    let mut checked = 0;
    for row in read("docs/findings.md").lines() {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", id, severity, ..] = cells[..] else {
            continue;
        };
        let Some(id) = id.strip_prefix('`').and_then(|id| id.strip_suffix('`')) else {
            continue;
        };
        // Info is never an alert.
        if severity == "info" || NEVER.iter().any(|(never, _)| *never == id) {
            continue;
        }
        let literal = format!("\"{id}\"");
        let looked = sources.iter().any(|text| {
            let declared = text.lines().find_map(|line| {
                let (name, value) = line.split_once(": &str = ")?;
                let (visible, name) = name.split_once("const ")?;
                (value == format!("{literal};")).then(|| (name, visible.contains("pub")))
            });
            match declared {
                Some((name, true)) => sources.iter().any(|text| is_looked_for(text, name)),
                Some((name, false)) => sources
                    .iter()
                    .filter(|other| *other == text || has_from_above(other, name))
                    .any(|text| is_looked_for(text, name)),
                None => is_looked_for(text, &literal),
            }
        });
        assert!(
            looked,
            "{id} is found and never looked for: report.examined"
        );
        checked += 1;
    }
    assert!(checked > 150, "{checked}");
}

fn sources() -> Vec<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                texts.push(code.to_owned());
            }
        }
    }
    texts
}

/// True where the name comes from the module around it.
fn has_from_above(text: &str, name: &str) -> bool {
    let imports = text.split("use super::").skip(1);
    let mut lists = imports.filter_map(|import| import.split(';').next());
    lists.any(|list| {
        list.split([' ', ',', '{', '}', '\n'])
            .any(|word| word == name)
    })
}

/// True where the name stands elsewhere than in its declaration, an import, or the finding itself.
fn is_looked_for(text: &str, name: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + name.len()..]);
        if before.ends_with(of_word) || behind.starts_with(of_word) {
            return false;
        }
        let line = before.rsplit('\n').next().unwrap().trim_start();
        let path = before.trim_end_matches(|c| of_word(c) || c == ':');
        let found = path.trim_end().ends_with("Finding::new(");
        let imported = line.starts_with("use ") || line.starts_with("pub use ");
        let declared = behind.starts_with(": &str");
        !(found || imported || declared)
    })
}

#[test]
fn the_manual_is_well_formed() {
    if Command::new("mandoc").arg("-h").output().is_err() {
        return;
    }
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap() {
        let path = entry.unwrap().path();
        let output = Command::new("mandoc")
            .args(["-T", "lint", "-W", "error"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// The exit codes of the README are those of the program.
#[test]
fn the_readme_says_the_exit_codes() {
    let readme = read("README.md");
    for word in ["`0`", "`1`", "`2`", "`3`", "128"] {
        assert!(readme.contains(word), "{word}");
    }
    let help = Server::empty().run("--help").expect(0).out;
    assert!(help.contains("128+n"));
    assert!(Path::new(BINARY).exists());
}
