//! npm's lock file: through which of the packages that a project asks for another one comes. An audit of npm's says that only
//! where those packages are themselves at fault.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;

/// What a lock file holds; empty where there is none. Who needs whom is by name, whatever the version.
#[derive(Default)]
pub struct Lock {
    asked: BTreeSet<String>,
    needed_by: BTreeMap<String, BTreeSet<String>>,
    /// What is installed, where.
    pub packages: Vec<Locked>,
}

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Where: `node_modules/a/node_modules/b`.
    pub path: String,
    /// Which.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The Node that it wants.
    pub node: Option<String>,
    /// What its authors say, where they gave it up.
    pub deprecated: Option<String>,
}

const KINDS: [&str; 4] = [
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
];

impl Lock {
    /// Of a lock file of npm 7 or later; an older one knows nothing. One that was cut off, or that a merge left in conflict, is an
    /// error: it must not look like one without packages.
    pub fn read(content: &[u8]) -> anyhow::Result<Self> {
        let lock: Value = serde_json::from_slice(content).context("it is no JSON")?;
        let mut found = Self::default();
        for (path, package) in lock["packages"].as_object().into_iter().flatten() {
            let needs = KINDS
                .iter()
                .filter_map(|kind| package.get(kind)?.as_object())
                .flat_map(|names| names.keys().cloned());
            match path.rsplit_once("node_modules/") {
                Some((_, name)) => {
                    let text = |value: &Value| value.as_str().map(str::to_owned);
                    found.packages.push(Locked {
                        path: path.clone(),
                        name: name.to_owned(),
                        version: text(&package["version"]).unwrap_or_default(),
                        node: text(&package["engines"]["node"]),
                        deprecated: text(&package["deprecated"]),
                    });
                    for need in needs {
                        let by = found.needed_by.entry(need).or_default();
                        by.insert(name.to_owned());
                    }
                }
                // The project itself, or a part of it.
                None => found.asked.extend(needs),
            }
        }
        Ok(found)
    }

    /// True when the project itself asks for the package.
    pub fn asks_for(&self, name: &str) -> bool {
        self.asked.contains(name)
    }

    /// Through which of those that the project asks for it comes.
    pub fn through(&self, name: &str) -> Vec<String> {
        let mut seen = BTreeSet::from([name]);
        let mut open = vec![name];
        while let Some(package) = open.pop() {
            for above in self.needed_by.get(package).into_iter().flatten() {
                if seen.insert(above) {
                    open.push(above);
                }
            }
        }
        seen.remove(name);
        seen.into_iter()
            .filter(|above| self.asks_for(above))
            .map(str::to_owned)
            .collect()
    }
}

/// What a package.json asks for by name and a lock file of any age does not have. Packages that are optional need not be there.
pub fn missing(package: &Value, lock: &[u8]) -> anyhow::Result<Vec<String>> {
    let lock: Value = serde_json::from_slice(lock).context("it is no JSON")?;
    let is_there = |name: &str| {
        lock["packages"]
            .get(format!("node_modules/{name}"))
            .is_some()
            || lock["dependencies"].get(name).is_some()
    };
    let is_optional = |name: &str| package["optionalDependencies"].get(name).is_some();
    let mut missing: Vec<_> = ["dependencies", "devDependencies"]
        .iter()
        .filter_map(|kind| package.get(kind)?.as_object())
        .flat_map(|names| names.keys())
        .filter(|name| !is_there(name) && !is_optional(name))
        .cloned()
        .collect();
    missing.sort();
    missing.dedup();
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_must_be_locked() {
        let package: Value = serde_json::from_str(
            r#"{"dependencies":{"a":"1","@b/c":"1","perhaps":"1"},"devDependencies":{"tool":"1"},"optionalDependencies":{"perhaps":"1"}}"#,
        )
        .expect("reads");
        let whole: &[u8] =
            br#"{"packages":{"":{},"node_modules/a":{},"node_modules/@b/c":{},"node_modules/tool":{}}}"#;
        let missing = |lock| missing(&package, lock).expect("reads");
        assert!(missing(whole).is_empty());
        let old: &[u8] = br#"{"lockfileVersion":1,"dependencies":{"a":{},"@b/c":{},"tool":{}}}"#;
        assert!(missing(old).is_empty());
        // Below another package it is not where the project finds it.
        let part: &[u8] =
            br#"{"packages":{"":{},"node_modules/a":{},"node_modules/a/node_modules/tool":{}}}"#;
        assert_eq!(missing(part), ["@b/c", "tool"]);
    }

    #[test]
    fn the_way_up_ends_at_what_the_project_asks_for() {
        let lock = Lock::read(
            br#"{"packages":{"":{"dependencies":{"outer":"1","@a/b":"1"},"devDependencies":{"tool":"1"}},
            "node_modules/outer":{"dependencies":{"middle":"1"}},
            "node_modules/middle":{"dependencies":{"left":"1","middle":"1"}},
            "node_modules/@a/b":{},"node_modules/@a/b/node_modules/left":{},
            "node_modules/tool":{"dependencies":{"left":"2"}},
            "node_modules/tool/node_modules/left":{"dependencies":{"outer":"1"}}}}"#,
        )
        .expect("reads");
        assert_eq!(lock.through("left"), ["outer", "tool"]);
        assert!(lock.asks_for("@a/b") && !lock.asks_for("left"));
        assert!(lock.through("nothing").is_empty());
        assert!(Lock::default().through("left").is_empty());
        for broken in ["", "<<<<<<< HEAD\n{}", "{\"packages\": {"] {
            assert!(Lock::read(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
