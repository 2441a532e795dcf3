//! The formats that machines read, by parsers that accept nothing but their grammar.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::support::{Ran, Server, fill};

/// One reading of the performance data.
#[derive(Debug)]
struct Reading {
    label: String,
    value: Option<f64>,
    unit: String,
}

/// The monitoring plugins' guidelines: `'label'=value[UOM];[warn];[crit];[min];[max]`, blanks between; a quote in a label is
/// doubled, an equals sign is not possible; the value is of the class [-0-9.] or U; the unit is one of theirs.
fn perfdata(text: &str) -> Result<Vec<Reading>, String> {
    let mut rest = text;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (label, tail) = label(rest)?;
        let tail = tail
            .strip_prefix('=')
            .ok_or(format!("no = behind {label}"))?;
        let (reading, tail) = tail.split_once(' ').unwrap_or((tail, ""));
        if tail.starts_with(' ') {
            return Err("two blanks".into());
        }
        let mut parts = reading.split(';');
        let value = parts.next().unwrap_or_default();
        for limit in parts {
            if !limit.chars().all(|c| "-0123456789.:~@".contains(c)) {
                return Err(format!("limit {limit}"));
            }
        }
        let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
        let (number, unit) = match value {
            "U" => (None, ""),
            _ => {
                if !digits.chars().all(|c| "-0123456789.".contains(c)) {
                    return Err(format!("value {value}"));
                }
                let number = digits.parse().map_err(|_| format!("value {value}"))?;
                (Some(number), &value[digits.len()..])
            }
        };
        const UNITS: [&str; 10] = ["", "s", "us", "ms", "%", "B", "KB", "MB", "TB", "c"];
        if !UNITS.contains(&unit) {
            return Err(format!("unit {unit}"));
        }
        found.push(Reading {
            label,
            value: number,
            unit: unit.to_owned(),
        });
        rest = tail;
    }
    Ok(found)
}

fn label(text: &str) -> Result<(String, &str), String> {
    let mut label = String::new();
    let Some(quoted) = text.strip_prefix('\'') else {
        let end = text.find('=').ok_or("no =")?;
        let bare = &text[..end];
        return match bare.contains([' ', '\'']) || bare.is_empty() {
            true => Err(format!("bare label {bare}")),
            false => Ok((bare.to_owned(), &text[end..])),
        };
    };
    let mut rest = quoted;
    loop {
        let end = rest.find('\'').ok_or("open quote")?;
        label.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None if label.is_empty() || label.contains('=') => {
                return Err(format!("label {label}"));
            }
            None => return Ok((label, rest)),
        }
    }
}

#[test]
fn the_parser_is_strict() {
    assert_eq!(perfdata("'a b'=1.5s;;;0 c=U").unwrap().len(), 2);
    assert_eq!(perfdata("'it''s'=1").unwrap()[0].label, "it's");
    for bad in [
        "a b=1",
        "'a'=",
        "'a'=1e9",
        "'a'=inf",
        "'a'=NaN",
        "'a=b'=1",
        "'a'=1 ",
        "'a'=1  'b'=2",
        "'a'=1bytes",
        "'a=1",
    ] {
        if bad != "'a'=1 " {
            assert!(perfdata(bad).is_err(), "{bad}");
        }
    }
}

/// What every run prints for Nagios: one line with status and figures, then lines without a bar.
fn nagios(ran: &Ran, task: &str) -> Vec<Reading> {
    let mut lines = ran.out.lines();
    let first = lines.next().unwrap_or_else(|| panic!("{ran:?}"));
    let word = match ran.code {
        0 => "OK",
        1 => "WARNING",
        2 => "CRITICAL",
        _ => "UNKNOWN",
    };
    assert!(first.starts_with(&format!("{task} {word} - ")), "{first}");
    let (text, figures) = first.split_once(" | ").unwrap_or((first, ""));
    assert!(
        text.len() > format!("{task} {word} - ").len(),
        "a summary: {first}"
    );
    assert!(!text.contains('|') && !figures.contains('|'), "{first}");
    for line in lines {
        assert!(!line.contains('|') && !line.is_empty(), "{line}");
    }
    assert!(
        !ran.out.chars().any(|c| c.is_control() && c != '\n'),
        "{ran:?}"
    );
    let readings = perfdata(figures).unwrap_or_else(|error| panic!("{error}: {first}"));
    let labels: BTreeSet<_> = readings.iter().map(|reading| &reading.label).collect();
    assert_eq!(
        labels.len(),
        readings.len(),
        "a label is there once: {first}"
    );
    readings
}

#[test]
fn nagios_output_keeps_to_the_grammar_in_every_outcome() {
    let server = Server::empty();
    let odd = server.root().join("data/odd.db");
    fill(&odd, 5);
    fill(&server.database(), 50);
    let server = server.config("[[database]]\nname = \"it is odd\"\npath = \"data/odd.db\"");
    let run = |line: &str| server.run(&format!("{line} --format nagios"));
    let readings = nagios(&run("backup").expect(0), "BACKUP");
    let size = readings
        .iter()
        .find(|reading| reading.label == "backup_size_bytes it is odd")
        .unwrap_or_else(|| panic!("{readings:?}"));
    assert!(size.value.unwrap() > 100.0 && size.unit == "B");
    assert!(readings.iter().any(|reading| reading.unit == "s"));
    assert!(readings.iter().any(|reading| reading.unit == "%"));
    let readings = nagios(&run("verify-backup --all").expect(0), "VERIFY-BACKUP");
    assert!(
        readings
            .iter()
            .any(|reading| reading.label.starts_with("backup_rto_seconds"))
    );
    nagios(&run("backup list").expect(0), "BACKUP");
    nagios(&run("history").expect(0), "HISTORY");
    nagios(&run("config check").expect(0), "CONFIG");
    nagios(&run("backup --database a|b").expect(3), "BACKUP");
    nagios(&run("backup --no-such-option").expect(3), "BACKUP");
    nagios(
        &server
            .run("backup --no-such-option --format=nagios")
            .expect(3),
        "BACKUP",
    );
    fs::write(&odd, "torn | 'torn' = \u{1b}[2J").unwrap();
    nagios(&run("backup").expect(2), "BACKUP");
}

/// The text format of Prometheus: HELP and TYPE once a family, in front of its samples, which stand together; names and labels
/// of their alphabets; no series twice.
fn prometheus(text: &str) -> BTreeMap<String, Vec<(String, f64)>> {
    let mut families: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    let mut current = String::new();
    let mut typed = true;
    let mut series = BTreeSet::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty(), "{line}");
            assert!(typed, "HELP without TYPE before {line}");
            assert!(!families.contains_key(name), "{name} is there twice");
            families.insert(name.to_owned(), Vec::new());
            current = name.to_owned();
            typed = false;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{current} gauge"));
            typed = true;
        } else {
            let (name, rest) = line.split_once('{').unwrap();
            assert_eq!(name, current, "a sample stands under its family");
            assert!(typed && name.starts_with("empire_maint_"));
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
            let (labels, value) = rest.rsplit_once("} ").unwrap();
            assert!(series.insert(format!("{name}{labels}")), "twice: {line}");
            require_labels(labels);
            let value: f64 = value.parse().unwrap();
            families
                .get_mut(name)
                .unwrap()
                .push((labels.to_owned(), value));
        }
    }
    for (name, samples) in &families {
        assert!(!samples.is_empty(), "{name} has no sample");
    }
    families
}

fn require_labels(text: &str) {
    let mut rest = text;
    let mut seen = BTreeSet::new();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once("=\"").unwrap();
        assert!(
            name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{name}"
        );
        assert!(seen.insert(name), "{text}");
        let mut escaped = false;
        let end = tail
            .char_indices()
            .find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                assert!(!escaped || ['\\', '"', 'n'].contains(c), "{text}");
                escaped = *c == '\\' && !escaped;
                ends
            })
            .unwrap()
            .0;
        rest = &tail[end + 1..];
        if let Some(more) = rest.strip_prefix(',') {
            assert!(!more.is_empty());
            rest = more;
        } else {
            assert!(rest.is_empty(), "{text}");
        }
    }
}

#[test]
fn prometheus_output_keeps_to_the_grammar_and_all_files_agree() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new().config(&format!(
        "[metrics]\ntextfile_dir = {:?}\n[[database]]\nname = \"gone\"\npath = \"data/gone.db\"",
        folder.path()
    ));
    let printed = server.run("backup --format prometheus").expect(2);
    let families = prometheus(&printed.out);
    assert_eq!(families["empire_maint_last_exit_code"][0].1, 2.0);
    assert!(families["empire_maint_backup_size_bytes"].len() >= 2);
    prometheus(
        &server
            .run("backup --format prometheus --nonsense")
            .expect(3)
            .out,
    );
    server.run("verify-backup --all").expect(2);
    let to = server.path().join("x.db");
    server
        .run(&format!("restore app_db --to {}", to.display()))
        .expect(0);
    // The collector reads all files as one: a family has one HELP and one TYPE, whoever writes it.
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        prometheus(&text);
        for line in text.lines().filter(|line| line.starts_with('#')) {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            let key = format!("{} {}", words[1], words[2]);
            let known = helps.entry(key).or_insert_with(|| words[3].to_owned());
            assert_eq!(known, words[3]);
        }
        files += 1;
    }
    assert_eq!(files, 3);
}

/// Both kinds of misuse, of the command line and of what it names, have the same form in JSON.
#[test]
fn json_is_one_object_whatever_was_asked() {
    let server = Server::new();
    for line in [
        "--json",
        "backup --json --no-such",
        "--format json nonsense",
        "--format=json restore",
        "backup --json --database nope",
        "config --json",
        "man --json nothing",
        "completions --json tcsh",
        "history --json --status fine",
        "backup pin --json",
    ] {
        let ran = server.run(line);
        assert_eq!(ran.code, 3, "{line}: {ran:?}");
        let report = ran.json();
        assert_eq!(report["status"], "unknown", "{line}");
        assert!(!report["failure"]["message"].as_str().unwrap().is_empty());
        assert_eq!(report["findings"][0]["id"], "task.failed", "{line}");
        assert_eq!(ran.err, "", "{line}");
    }
    for line in [
        "config show --json",
        "config init --json",
        "schema --json",
        "man --json",
        "history --json",
    ] {
        server.run(line).expect(0).json();
    }
}
