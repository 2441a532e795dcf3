//! `secrets`: is there a password, a key or a token in a file where it does not belong?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::secrets::{Found, LARGEST, Tree, Walk};
use crate::sys::files::{self, Identity};
use crate::sys::machine;
use crate::units::{self, Bytes};
use crate::x509::Watched;

const FOUND: &str = "secrets.found";
const MORE: &str = "secrets.more";
const UNREADABLE: &str = "secrets.unreadable";
/// More findings than this are no list that anybody reads.
const MOST: usize = 10_000;
const CORES: usize = 16;

/// Looks through every source.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let Some(scanner) = &scene.scanner else {
        anyhow::bail!("the rules were not read");
    };
    let untouchable = scene.store.untouchable(&context.state);
    let skip = |identity: Identity| untouchable.contains(&identity);
    let mut exclude = scene.exclude.clone();
    exclude.push(scene.store.folder.clone());
    exclude.extend(scene.baseline.clone());
    let (mut all, mut seen) = (Vec::new(), Walk::default());
    let (sources, named) = &scene.sources;
    let mut looked = 0;
    for source in sources {
        if files::metadata(source)?.is_none() {
            if *named {
                seen.unreadable
                    .push((source.clone(), "there is nothing of that name".into()));
            }
            continue;
        }
        looked += 1;
        let tree = Tree {
            start: source,
            skip: &skip,
            exclude: &exclude,
            gitignore: scene.audit.gitignore,
            everything: false,
            threads: machine::threads(0).min(CORES),
        };
        let (found, walk) = tree.scan(scanner, &context.stop)?;
        all.extend(found);
        add(&mut seen, walk);
    }
    if looked == 0 {
        return Ok(Looked::Nothing(format!(
            "there is no {}",
            sources
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    let in_place = all.len();
    all.retain(|found| !is_servers_own_key(found, &scene.certs));
    let in_place = in_place - all.len();
    tell(&all, sources, report);
    tell_unreadable(&seen, report);
    report.measure("secrets_found", all.len() as f64, "", []);
    report.measure("secrets_scanned_bytes", seen.bytes as f64, "bytes", []);
    report.measure("secrets_scanned_files", seen.files as f64, "", []);
    let mut note = format!(
        "{} of {} looked through, {}",
        Bytes(seen.bytes),
        units::count(seen.files, "file"),
        units::count(all.len() as u64, "secret")
    );
    if in_place > 0 {
        note += &format!(
            "; {} beside its certificate, where it belongs",
            units::count(in_place as u64, "private key")
        );
    }
    if seen.large > 0 {
        note += &format!(
            "; {} over {} not looked into",
            units::count(seen.large, "file"),
            Bytes(LARGEST)
        );
    }
    let list: Vec<_> = all
        .iter()
        .map(|Found { path, secret }| {
            json!({"file": path.display().to_string(), "line": secret.line, "column": secret.column, "rule": secret.rule,
                   "severity": secret.severity, "fingerprint": secret.fingerprint})
        })
        .collect();
    let detail = json!({
        "files": seen.files, "bytes": seen.bytes, "binary_files": seen.binary, "special_files": seen.special,
        "large_files": seen.large, "unreadable_files": seen.unreadable.len(), "found": list,
    });
    Ok(Looked::At(note, detail))
}

/// A private key beside a certificate of `[certs]` is where it belongs; `permissions` says whether others can read it.
fn is_servers_own_key(found: &Found, certs: &Watched) -> bool {
    let folder = files::parent(&found.path);
    let beside = |file: &PathBuf| file == folder || files::parent(file) == folder;
    found.secret.rule == "private-key" && certs.files.iter().any(beside)
}

fn add(all: &mut Walk, one: Walk) {
    all.files += one.files;
    all.bytes += one.bytes;
    all.binary += one.binary;
    all.special += one.special;
    all.large += one.large;
    all.unreadable.extend(one.unreadable);
}

fn tell(all: &[Found], sources: &[PathBuf], report: &Reporter) {
    report.examined_all(FOUND);
    report.examined_all(MORE);
    let mut again: BTreeMap<String, u32> = BTreeMap::new();
    for Found { path, secret } in all.iter().take(MOST) {
        let file = path.display().to_string();
        let mut subject = format!("{file} [{} {}]", secret.rule, secret.fingerprint);
        // The same line twice in a file.
        let number = again.entry(subject.clone()).or_default();
        *number += 1;
        if *number > 1 {
            subject = format!("{file} [{} {}-{number}]", secret.rule, secret.fingerprint);
        }
        // Where the tree itself lies says nothing.
        let source = sources
            .iter()
            .find_map(|source| path.strip_prefix(source).ok());
        let severity = match is_practice(source.unwrap_or(path)) {
            true => Severity::Low,
            false => secret.severity,
        };
        report.find(
            Finding::new(
                FOUND,
                severity,
                subject,
                format!("{} in {file}, line {} ({})", secret.description, secret.line, secret.shown),
            )
            .at(file, secret.line, secret.column)
            .hint("change it where it is used, then read it from a file of mode 0600 or the environment; or accept it in [audit] baseline"),
        );
    }
    if all.len() > MOST {
        report.find(
            Finding::new(
                MORE,
                Severity::Medium,
                "secrets",
                format!(
                    "{} more secrets than the {MOST} that are listed",
                    all.len() - MOST
                ),
            )
            .hint("[audit] exclude leaves folders out that others fill"),
        );
    }
}

/// In a test, an example or a manual: usually not one that opens anything.
fn is_practice(path: &Path) -> bool {
    const FOLDERS: [&str; 16] = [
        "test",
        "tests",
        "__tests__",
        "spec",
        "specs",
        "fixtures",
        "testdata",
        "example",
        "examples",
        "sample",
        "samples",
        "doc",
        "docs",
        "mock",
        "mocks",
        "demo",
    ];
    let folder = path
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .any(|part| {
            let part = part.as_os_str().to_string_lossy().to_lowercase();
            FOLDERS.contains(&part.as_str())
        });
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    folder
        || [".test.", ".spec.", ".example", ".sample", ".md", ".rst"]
            .iter()
            .any(|part| name.contains(part))
}

fn tell_unreadable(seen: &Walk, report: &Reporter) {
    report.examined_all(UNREADABLE);
    let Some((first, why)) = seen.unreadable.first() else {
        return;
    };
    report.find(
        Finding::new(
            UNREADABLE,
            Severity::Low,
            "secrets",
            format!(
                "{} could not be read; the first is {}: {why}",
                units::count(seen.unreadable.len() as u64, "path"),
                first.display()
            ),
        )
        .hint("run it as root, or leave them out with [audit] exclude"),
    );
}
