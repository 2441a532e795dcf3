//! What real npm says about a project, with a registry of ours behind it: clean, vulnerable or unknown.

use std::fs;
use std::time::Duration;

use empire_maint::npm::{Project, Verdict};
use empire_maint::sys::Stop;
use serde_json::json;
use tempfile::TempDir;

use crate::support::registry::Registry;

const LIMIT: Duration = Duration::from_secs(60);

/// `left` 1.0.0, which the project asks for through `outer` only.
fn project(registry: &str) -> (TempDir, Project) {
    let folder = tempfile::tempdir().unwrap();
    let package = json!({"name": "app", "version": "1.0.0", "dependencies": {"outer": "^1.0.0"}});
    let lock = json!({"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
        "": package, "node_modules/left": {"version": "1.0.0"},
        "node_modules/outer": {"version": "1.0.0", "dependencies": {"left": "^1.0.0"}}}});
    fs::write(folder.path().join("package.json"), package.to_string()).unwrap();
    fs::write(folder.path().join("package-lock.json"), lock.to_string()).unwrap();
    let project = Project {
        path: folder.path().to_owned(),
        registry: Some(registry.to_owned()),
        node_bin: None,
        work_of: None,
    };
    (folder, project)
}

fn unknown(verdict: Verdict) -> String {
    match verdict {
        Verdict::Unknown(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clean_and_vulnerable_are_told_apart() {
    let registry = Registry::start();
    let (_folder, project) = project(&registry.url);
    assert_eq!(
        project.audit(LIMIT, &Stop::after(LIMIT)).unwrap(),
        Verdict::Clean
    );
    registry.warns_of_left("moderate", "1.0.1");
    let Verdict::Vulnerable(found) = project.audit(LIMIT, &Stop::after(LIMIT)).unwrap() else {
        panic!("not vulnerable");
    };
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].to_string(),
        "left: Bad pad (GHSA-aaaa-bbbb-cccc), through outer; a fix is available"
    );
}

/// npm ends 1 for each of these, as it does for advisories.
#[test]
fn what_was_not_answered_is_unknown() {
    let registry = Registry::start();
    let (folder, project) = project(&registry.url);
    registry.refuses_audits();
    let why = unknown(project.audit(LIMIT, &Stop::after(LIMIT)).unwrap());
    assert!(why.contains("405"), "{why}");
    fs::remove_file(folder.path().join("package-lock.json")).unwrap();
    let why = unknown(project.audit(LIMIT, &Stop::after(LIMIT)).unwrap());
    assert!(why.contains("lockfile"), "{why}");
}

/// `npm audit --offline` prints zero vulnerabilities and ends 0, and a file in the project can ask for that.
#[test]
fn a_project_that_is_offline_is_asked_about_nevertheless() {
    let registry = Registry::start();
    registry.warns_of_left("critical", "1.0.1");
    let (folder, project) = project(&registry.url);
    fs::write(folder.path().join(".npmrc"), "offline=true\naudit=false\n").unwrap();
    assert!(matches!(
        project.audit(LIMIT, &Stop::after(LIMIT)).unwrap(),
        Verdict::Vulnerable(_)
    ));
    let asked = registry.asked();
    assert!(asked.iter().any(|line| line.contains("bulk")), "{asked:?}");
}

/// What a project's own settings leave out has weaknesses too.
#[test]
fn no_setting_of_the_project_hides_its_packages() {
    let registry = Registry::start();
    registry.warns_of_left("critical", "1.0.1");
    let (folder, project) = project(&registry.url);
    for name in ["package.json", "package-lock.json"] {
        let path = folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        let mut text = text.replacen(
            "\"dependencies\":{\"outer\"",
            "\"devDependencies\":{\"outer\"",
            1,
        );
        for package in ["left", "outer"] {
            let entry = format!("\"node_modules/{package}\":{{");
            text = text.replace(&entry, &format!("{entry}\"dev\":true,"));
        }
        fs::write(&path, text).unwrap();
    }
    for settings in [
        "",
        "package-lock=false\n",
        "omit=dev\n",
        "omit[]=dev\nomit[]=optional\n",
        "only=prod\n",
        "production=true\n",
    ] {
        fs::write(folder.path().join(".npmrc"), settings).unwrap();
        let verdict = project.audit(LIMIT, &Stop::after(LIMIT)).unwrap();
        assert!(
            matches!(verdict, Verdict::Vulnerable(_)),
            "{settings}: {verdict:?}"
        );
    }
}

/// npm looks up what is locked; what is asked for and not locked would be installed all the same.
#[test]
fn a_lock_file_that_lacks_a_package_is_unknown() {
    let registry = Registry::start();
    let (folder, project) = project(&registry.url);
    let package = json!({"name": "app", "version": "1.0.0", "dependencies": {"outer": "^1.0.0", "left": "^1.0.0", "new": "1"}});
    fs::write(folder.path().join("package.json"), package.to_string()).unwrap();
    let why = unknown(project.audit(LIMIT, &Stop::after(LIMIT)).unwrap());
    assert!(why.ends_with("package.json asks for: new"), "{why}");
}

/// One that dies without a word has said nothing, and its last words are not those about its own log files.
#[test]
fn silence_is_no_answer() {
    let registry = Registry::start();
    let (folder, mut project) = project(&registry.url);
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let words = "npm error the heap is full\nnpm error Log files were not written due to the config logs-max=0";
    crate::support::peers::script(&bin.join("npm"), &format!("echo '{words}' >&2; exit 1"));
    project.node_bin = Some(bin);
    let why = unknown(project.audit(LIMIT, &Stop::after(LIMIT)).unwrap());
    assert!(why.ends_with("the heap is full"), "{why}");
    let why = project
        .outdated(LIMIT, &Stop::after(LIMIT))
        .unwrap()
        .unwrap_err();
    assert!(why.ends_with("the heap is full"), "{why}");
}

/// An empty lock file covers no package: nothing was looked up.
#[test]
fn a_lock_file_without_packages_is_unknown() {
    let registry = Registry::start();
    let (folder, project) = project(&registry.url);
    let lock = json!({"name": "app", "lockfileVersion": 3, "packages": {"": {"name": "app"}}});
    fs::write(folder.path().join("package-lock.json"), lock.to_string()).unwrap();
    let why = unknown(project.audit(LIMIT, &Stop::after(LIMIT)).unwrap());
    assert!(why.contains("no package"), "{why}");
}

#[test]
fn npm_runs_as_the_owner_of_the_project() {
    let registry = Registry::start();
    let (folder, mut project) = project(&registry.url);
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    crate::support::peers::script(
        &bin.join("npm"),
        "id -u >> seen; test -w \"$npm_config_cache\" && echo can write >> seen",
    );
    project.node_bin = Some(bin);
    let owner = 23_456;
    let given = std::process::Command::new("chown")
        .args(["-R", &owner.to_string()])
        .arg(folder.path())
        .output();
    if !given.unwrap().status.success() {
        return; // only root can give a folder away
    }
    unknown(project.audit(LIMIT, &Stop::after(LIMIT)).unwrap());
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    assert_eq!(seen, format!("{owner}\ncan write\n"));
}

/// Node's own idea of a range, which npm brings along.
#[test]
fn ranges_mean_what_they_mean_to_node() {
    use empire_maint::npm::{Version, satisfies};
    let versions = [
        "0.12.0", "6.14.4", "14.17.0", "16.20.2", "18.0.0", "18.12.1", "20.9.0", "20.20.2",
        "22.1.0", "24.4.1",
    ];
    let ranges = [
        "*",
        "",
        "x",
        ">=18",
        ">= 18",
        ">=18.0.0 <21",
        "^18.0.0 || ^20.9 || >=22",
        "18",
        "18.x",
        "18.12",
        "~18.12",
        "~18",
        "^20",
        "14 || 16 || 18",
        "14 - 18",
        "14.17.0 - 18.0.0",
        ">18",
        "<=18",
        "<18",
        "=18.0.0",
        ">=6.9.0",
        "^0.12.0",
        "^0",
        "~0.12",
        "^12.20.0 || ^14.13.1 || >=16.0.0",
        ">= 0.8.0",
        "v18.12.1",
        ">=18 || *",
        "^18.12.0 || >= 20.9.0",
    ];
    let root = std::process::Command::new("npm")
        .args(["root", "-g"])
        .output()
        .unwrap();
    let semver = format!(
        "{}/npm/node_modules/semver",
        String::from_utf8(root.stdout).unwrap().trim()
    );
    let code = format!(
        "const s = require({semver:?}); console.log(JSON.stringify({}.map(v => {}.map(r => s.satisfies(v, r)))))",
        json!(versions),
        json!(ranges)
    );
    let output = std::process::Command::new("node")
        .args(["-e", &code])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let theirs: Vec<Vec<bool>> = serde_json::from_slice(&output.stdout).unwrap();
    for (version, theirs) in versions.iter().zip(theirs) {
        for (range, theirs) in ranges.iter().zip(theirs) {
            let ours = satisfies(&Version::parse(version).unwrap(), range);
            assert_eq!(ours, Some(theirs), "{version} in '{range}'");
        }
    }
}
