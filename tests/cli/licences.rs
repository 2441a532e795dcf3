//! What the program is built from: permissively licensed, and the same in tests as for users. Reads what cargo has, without a network.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const ALLOWED: [&str; 14] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "BSL-1.0",
    "Unlicense",
    "MIT-0",
    "Unicode-DFS-2016",
];
/// Linked in two versions, and why.
const TWICE: [&str; 6] = [
    "getrandom", // ring 0.17 is still on 0.2
    "nom",       // x509-parser 0.18 is still on 7, lettre on 8
    "syn",       // only while building: derives of x509-parser's parts
    "synstructure",
    "thiserror", // nvml-wrapper 0.13 is still on 1
    "thiserror-impl",
];
/// Features that packages have only in tests, since what the tests use asks for them, and that change nothing in what they do for us.
const ONLY_IN_TESTS: [(&str, &[&str]); 7] = [
    ("email_address", &["default", "serde", "serde_support"]),
    ("getrandom", &["std", "sys_rng"]),
    // Other ways to call it, and another hasher where none is given.
    (
        "hashbrown",
        &[
            "allocator-api2",
            "default",
            "default-hasher",
            "equivalent",
            "inline-more",
            "raw-entry",
        ],
    ),
    ("num-complex", &["std"]),
    ("once_cell", &["default"]),
    ("regex-automata", &["dfa-search"]),
    ("regex-syntax", &["default"]),
];
const DENIED: [&str; 2] = ["openssl-sys", "aws-lc-sys"];

/// An SPDX expression: one allowed alternative of each conjunct is enough.
fn is_permissive(expression: &str) -> bool {
    let flat = expression.replace('/', " OR ").replace(['(', ')'], "");
    flat.split(" AND ").all(|part| {
        part.split(" OR ")
            .any(|licence| ALLOWED.contains(&licence.trim()))
    })
}

#[test]
fn every_dependency_is_permissive_and_none_is_there_twice_without_reason() {
    let output = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]);
    let metadata: Value = serde_json::from_str(&output).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50);
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none stated");
        assert!(is_permissive(licence), "{name}: {licence}");
        assert!(!DENIED.contains(&name), "{name} is not wanted");
    }
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in tree("normal", "{p}").lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            let known = versions.entry(name.to_owned()).or_default();
            if !known.contains(&version.to_owned()) {
                known.push(version.to_owned());
            }
        }
    }
    let twice: Vec<_> = versions
        .iter()
        .filter(|(name, versions)| versions.len() > 1 && !TWICE.contains(&name.as_str()))
        .collect();
    assert!(twice.is_empty(), "linked twice: {twice:?}");
}

/// What cargo would build, a line each.
fn tree(edges: &str, format: &str) -> String {
    cargo(&["tree", "--prefix", "none", "-e", edges, "--format", format])
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A package that reads numbers more exactly in tests than for users hides what users lose.
#[test]
fn packages_do_in_tests_what_they_do_for_users() {
    let features = |edges: &str| {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in tree(edges, "{p}|{f}").lines() {
            let (package, features) = line.split_once('|').unwrap();
            let package: Vec<_> = package.split_whitespace().take(2).collect();
            let features = features.trim_end_matches(" (*)").split(',');
            let own = found.entry(package.join(" ")).or_default();
            own.extend(
                features
                    .filter(|one| !one.is_empty())
                    .map(ToOwned::to_owned),
            );
        }
        found
    };
    let in_tests = features("normal,build,dev");
    let for_users = features("normal,build");
    assert!(for_users.len() > 50);
    for (package, features) in for_users {
        let name = package.split(' ').next().unwrap();
        let known = ONLY_IN_TESTS.iter().find(|(known, _)| *known == name);
        let more: Vec<_> = in_tests[&package]
            .difference(&features)
            .filter(|more| known.is_none_or(|(_, known)| !known.contains(&more.as_str())))
            .collect();
        assert!(
            more.is_empty(),
            "{package} has {more:?} in tests only: ask for them in Cargo.toml, or say why they do not matter"
        );
    }
}

#[test]
fn expressions_are_understood() {
    assert!(is_permissive("MIT OR Apache-2.0"));
    assert!(is_permissive("Apache-2.0 OR GPL-2.0"));
    assert!(is_permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!is_permissive("GPL-3.0"));
    assert!(!is_permissive("MIT AND GPL-3.0"));
}
