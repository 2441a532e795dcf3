//! A package registry for npm: packages with their versions, and the advisories that its bulk endpoint knows.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::{self, Answer, Request};

/// Name, version, and what it depends on.
type Release = (&'static str, &'static str, Value);

/// Serves until the test ends.
pub struct Registry {
    pub url: String,
    told: Arc<Mutex<Told>>,
}

struct Told {
    advisories: Value,
    refuses: bool,
    asked: Vec<String>,
}

impl Registry {
    /// `left` 1.0.0, 1.0.1 and 2.0.0; `outer` 1.0.0, which depends on it. Nothing is known against any.
    pub fn start() -> Self {
        let told = Arc::new(Mutex::new(Told {
            advisories: json!({}),
            refuses: false,
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&told);
        let address = http::serve(move |request| Some(reply(&request, &shared)));
        Self {
            url: format!("http://{address}"),
            told,
        }
    }

    /// From now on there is an advisory against `left` before `fixed`.
    pub fn warns_of_left(&self, severity: &str, fixed: &str) {
        self.told.lock().unwrap().advisories = json!({"left": [{
            "id": 1001, "url": "https://example.test/advisories/GHSA-aaaa-bbbb-cccc", "title": "Bad pad",
            "severity": severity, "vulnerable_versions": format!("<{fixed}"), "cwe": [], "cvss": {"score": 0}
        }]});
    }

    /// From now on the bulk endpoint answers 405, as some mirrors do.
    pub fn refuses_audits(&self) {
        self.told.lock().unwrap().refuses = true;
    }

    /// The request lines so far.
    pub fn asked(&self) -> Vec<String> {
        self.told.lock().unwrap().asked.clone()
    }
}

fn releases() -> Vec<Release> {
    vec![
        ("left", "1.0.0", json!({})),
        ("left", "1.0.1", json!({})),
        ("left", "2.0.0", json!({})),
        ("outer", "1.0.0", json!({"left": "^1.0.0"})),
    ]
}

fn reply(request: &Request, told: &Mutex<Told>) -> Answer {
    let path = request.line.split(' ').nth(1).unwrap();
    let path = path.trim_start_matches('/');
    let host = request.headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    let here = format!("http://{}", host.unwrap_or_default());
    let mut told = told.lock().unwrap();
    told.asked.push(request.line.clone());
    let (bulk, list) = (
        path.ends_with("advisories/bulk"),
        path.ends_with("security/audits"),
    );
    let (status, body) = match () {
        () if (bulk || list) && told.refuses => (405, b"{}".to_vec()),
        () if bulk => (200, told.advisories.to_string().into()),
        () if list => (200, listed(&told.advisories).to_string().into()),
        () => answer(path, &here).map_or((404, b"{}".to_vec()), |body| (200, body)),
    };
    Answer {
        headers: "Content-Type: application/json\r\n".to_owned(),
        ..Answer::new(status, body)
    }
}

/// The same in the form that npm 6, pnpm and yarn 1 ask for.
fn listed(advisories: &Value) -> Value {
    let mut counts = json!({"info": 0, "low": 0, "moderate": 0, "high": 0, "critical": 0});
    let (mut all, mut actions) = (json!({}), Vec::new());
    for (name, list) in advisories.as_object().unwrap() {
        for one in list.as_array().unwrap() {
            let mut one = one.clone();
            one["module_name"] = json!(name);
            one["patched_versions"] = json!(">=1.0.1");
            one["findings"] = json!([{"version": "1.0.0", "paths": [format!("outer>{name}")]}]);
            let severity = one["severity"].as_str().unwrap().to_owned();
            counts[&severity] = json!(counts[&severity].as_u64().unwrap() + 1);
            let id = one["id"].to_string();
            // yarn 1 tells only what an action would resolve.
            actions.push(json!({"action": "update", "module": name, "target": "1.0.1", "depth": 2, "isMajor": false,
                "resolves": [{"id": one["id"], "path": format!("outer>{name}"), "dev": false, "optional": false, "bundled": false}]}));
            all[id] = one;
        }
    }
    json!({"actions": actions, "advisories": all, "muted": [], "metadata": {"vulnerabilities": counts,
        "dependencies": 2, "devDependencies": 0, "optionalDependencies": 0, "totalDependencies": 2}})
}

fn answer(path: &str, here: &str) -> Option<Vec<u8>> {
    if let Some((name, file)) = path.split_once("/-/") {
        let version = file
            .strip_prefix(&format!("{name}-"))?
            .strip_suffix(".tgz")?;
        let release = releases()
            .into_iter()
            .find(|one| (one.0, one.1) == (name, version))?;
        return Some(tarball(&release));
    }
    let mut versions = serde_json::Map::new();
    let mut latest = "";
    for (name, version, needs) in releases().into_iter().filter(|one| one.0 == path) {
        latest = version;
        let manifest = json!({"name": name, "version": version, "dependencies": needs,
            "dist": {"tarball": format!("{here}/{name}/-/{name}-{version}.tgz")}});
        versions.insert(version.to_owned(), manifest);
    }
    let document = json!({"name": path, "dist-tags": {"latest": latest}, "versions": versions});
    (!latest.is_empty()).then(|| document.to_string().into())
}

/// The package has a script that would leave a mark where it is installed.
fn tarball((name, version, needs): &Release) -> Vec<u8> {
    let manifest = json!({"name": name, "version": version, "dependencies": needs,
        "scripts": {"install": "touch \"$INIT_CWD/script-has-run\""}})
    .to_string();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    for (path, content) in [
        ("package/package.json", manifest.as_str()),
        (
            "package/index.js",
            &format!("module.exports = {version:?};\n"),
        ),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// A project that asks for `left` by the range `left` and has 1.0.0 of it, and for `outer`, installed by real npm.
pub fn project(folder: &Path, registry: &Registry, left: &str) {
    let package = |left: &str| {
        let package = json!({"name": "app", "version": "1.0.0", "private": true,
            "dependencies": {"left": left, "outer": "^1.0.0"}, "scripts": {"test": "node test.js"}});
        format!("{package:#}\n")
    };
    std::fs::write(folder.join("package.json"), package("1.0.0")).unwrap();
    std::fs::write(folder.join("test.js"), "require('left');\n").unwrap();
    npm(folder, registry, &["install"]);
    std::fs::write(folder.join("package.json"), package(left)).unwrap();
    for lock in ["package-lock.json", "node_modules/.package-lock.json"] {
        let path = folder.join(lock);
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("\"left\": \"1.0.0\"", &format!("\"left\": {left:?}"));
        std::fs::write(path, text).unwrap();
    }
}

/// Real npm, as the operator would run it.
pub fn npm(folder: &Path, registry: &Registry, arguments: &[&str]) {
    let cache = tempfile::tempdir().unwrap();
    let output = Command::new("npm")
        .current_dir(folder)
        .env("npm_config_cache", cache.path())
        .args(arguments)
        .args([
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--registry",
            &registry.url,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "npm {arguments:?}: {output:?}");
}
