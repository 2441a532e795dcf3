//! The house stands: imports go down only, tasks never import tasks, and only `sys` touches the world.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Rooms from the ground up; a room may use those of lower floors, and those on its own line with it.
const FLOORS: &[&[&str]] = &[
    &["error", "exit", "units", "text", "hash"],
    &["report"],
    &["sys"],
    &["config"],
    &[
        "sqlite",
        "weblog",
        "x509",
        "npm",
        "redis",
        "nvml",
        "calendar",
        "secrets",
        "faiss",
        "queries",
        "similar",
        "ranking",
        "harmful",
        "embedding",
    ],
    &["archive"],
    &["journal"],
    &["context"],
    &["alert", "baseline", "output", "board", "optimize"],
    &["task"],
    &["tasks"],
    &["cli", "meta", "demo"],
    &["app"],
];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `src/tasks/backup/run.rs` is `tasks::backup::run`.
fn module_of(file: &Path) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut parts: Vec<String> = file
        .strip_prefix(src)
        .unwrap()
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// Every path of a file, made absolute: grouped imports, `super::`, `self::` and re-exports do not hide one.
struct Paths {
    module: Vec<String>,
    found: BTreeSet<Vec<String>>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let mut base = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.module.clone(),
            Some("super") => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            _ => return,
        };
        let mut rest = &path[1..];
        while rest.first().is_some_and(|part| part == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend(rest.iter().cloned());
        self.found.insert(base);
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| {
            let mut path = before.to_vec();
            path.push(name.to_string());
            path
        };
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(before, tree);
                }
            }
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.add(before),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        self.add(&parts);
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }
}

fn paths_of(file: &Path) -> Paths {
    let text = fs::read_to_string(file).unwrap();
    let syntax =
        syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut paths = Paths {
        module: module_of(file),
        found: BTreeSet::new(),
    };
    paths.visit_file(&syntax);
    paths
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    assert!(found.len() > 30);
    found
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for file in all_sources() {
        let module = module_of(&file);
        let Some(own) = module
            .first()
            .filter(|room| *room != "main" && *room != "lib")
        else {
            continue;
        };
        let own_floor =
            floor(own).unwrap_or_else(|| panic!("{own} is on no floor: add it to FLOORS"));
        for path in paths_of(&file).found {
            let Some(other) = path.first().and_then(|room| floor(room)) else {
                continue;
            };
            if other > own_floor {
                wrong.push(format!("{} uses {}", module.join("::"), path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "upwards: {wrong:#?}");
}

#[test]
fn tasks_never_import_tasks() {
    for file in all_sources() {
        let module = module_of(&file);
        if module.len() < 2 || module[0] != "tasks" {
            continue;
        }
        for path in paths_of(&file).found {
            let foreign = path.len() >= 2 && path[0] == "tasks" && path[1] != module[1];
            assert!(!foreign, "{} uses {}", module.join("::"), path.join("::"));
        }
    }
}

/// Words that belong in one room only. Test modules may set up their own scenes.
#[test]
fn only_sys_touches_the_world() {
    const WORDS: [(&str, &[&str]); 6] = [
        ("fs::remove_", &["sys"]),
        ("fs::write", &["sys"]),
        ("fs::rename", &["sys"]),
        ("Command::new(", &["sys", "cli", "meta", "task"]),
        ("println!", &[]),
        ("process::exit", &[]),
    ];
    for file in all_sources() {
        let module = module_of(&file);
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (word, rooms) in WORDS {
            let allowed = module
                .first()
                .is_some_and(|room| rooms.contains(&room.as_str()));
            let found = code
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(allowed || !found, "{}: {word}", file.display());
        }
    }
}
