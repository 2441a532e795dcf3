//! `deps` with real npm on a real project, and a registry of ours behind it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::faults::{Faults, Kind};
use crate::support::peers::{script, wait_until};
use crate::support::registry::{Registry, project};
use crate::support::{Ran, Server, actions, finding, finding_ids, send};

/// The day on which all this happens, and the Node that says it runs here.
const NOW: &str = "2026-11-24T12:00:00Z";
const NODE: &str = "v24.4.1";

struct Scene {
    registry: Registry,
    server: Server,
}

impl Scene {
    /// A project with `left` 1.0.0, which it asks for as `left` says.
    fn new(left: &str) -> Self {
        let registry = Registry::start();
        let server = Server::empty();
        project(&server.root(), &registry, left);
        let bin = server.path().join("bin");
        fs::create_dir(&bin).unwrap();
        script(
            &bin.join("node"),
            &format!("[ \"$*\" = --version ] && echo {NODE} && exit\nexec /usr/bin/node \"$@\""),
        );
        let server = server.config(&format!(
            "[audit]\nregistry = {:?}\nnode_bin = {bin:?}\n[deps]\nscratch_dir = {:?}\n",
            registry.url,
            bin.with_file_name("scratch"),
        ));
        fs::create_dir(server.path().join("scratch")).unwrap();
        Self { registry, server }
    }

    fn run(&self, line: &str) -> (i32, Value) {
        self.server.json(&format!("{line} --now {NOW}"))
    }

    fn reports(&self) -> PathBuf {
        self.server.root().join("reports")
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.reports()) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.server.root().join(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.server.root().join(name), text).unwrap();
    }

    /// What must never change: everything under the live node_modules.
    fn installed(&self) -> Vec<(PathBuf, String)> {
        self.server
            .fingerprint(&self.server.root().join("node_modules"))
    }

    /// Nothing of a copy is left behind.
    fn no_scratch(&self) {
        assert_eq!(
            fs::read_dir(self.server.path().join("scratch"))
                .unwrap()
                .count(),
            0
        );
    }
}

fn message(report: &Value, id: &str) -> String {
    finding(report, id)["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_project_without_anything_to_say_but_a_new_major_version() {
    let scene = Scene::new("^1.0.0");
    let (code, report) = scene.run("deps");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (0, vec!["deps.major".to_owned()]),
        "{report:#}"
    );
    assert_eq!(finding(&report, "deps.major")["severity"], "low");
    assert!(message(&report, "deps.major").contains("left 1.0.0 to 2.0.0"));
    assert_eq!(report["data"]["verdict"], "clean");
    assert_eq!(report["data"]["node"]["version"], NODE);
    assert_eq!(
        scene.names(),
        ["npm_audit_20261124.json", "outdated_deps_20261124.json"]
    );
    let kept: Value = serde_json::from_str(&scene.read("reports/npm_audit_20261124.json")).unwrap();
    assert_eq!(kept["auditReportVersion"], 2, "what npm itself has printed");
    let text = scene.server.run(&format!("deps --now {NOW}")).expect(0);
    assert!(
        text.out.contains("no known advisory; 1 package outdated"),
        "{}",
        text.out
    );
}

#[test]
fn advisories_by_their_severity_and_each_once() {
    let scene = Scene::new("^1.0.0");
    for (word, severity, code) in [
        ("low", "low", 0),
        ("moderate", "medium", 1),
        ("high", "high", 2),
        ("critical", "critical", 2),
    ] {
        scene.registry.warns_of_left(word, "1.0.1");
        let (ended, report) = scene.run("deps");
        assert_eq!(ended, code, "{report:#}");
        assert_eq!(report["data"]["advisories"].as_array().unwrap().len(), 1);
        let found = finding_ids(&report, "left GHSA-aaaa-bbbb-cccc");
        match word {
            "low" => assert!(found.is_empty(), "under [audit] npm_level"),
            _ => {
                assert_eq!(found, ["npm.vulnerable"]);
                assert_eq!(finding(&report, "npm.vulnerable")["severity"], severity);
            }
        }
    }
}

/// npm ends 1 when the registry refuses, as it does for advisories; offline it would end 0 with none.
#[test]
fn what_nobody_knows_is_not_green() {
    let scene = Scene::new("^1.0.0");
    scene.registry.refuses_audits();
    let (code, report) = scene.run("deps");
    assert_eq!(
        (code, &finding(&report, "npm.unknown")["severity"]),
        (1, &"medium".into()),
        "{report:#}"
    );
    assert_eq!(report["data"]["verdict"], "unknown");
    assert!(report["summary"].as_str().unwrap().contains("UNKNOWN"));
    let nobody = Scene::new("^1.0.0");
    let text = fs::read_to_string(nobody.server.config_path()).unwrap();
    let server = nobody
        .server
        .raw_config(&text.replace(&nobody.registry.url, "http://127.0.0.1:9"));
    fs::write(server.root().join(".npmrc"), "fetch-retries=0\n").unwrap();
    let (code, report) = server.json(&format!("deps --now {NOW}"));
    assert_eq!(code, 1);
    let ids = finding_ids(&report, "");
    assert!(
        ids.contains(&"npm.unknown".to_owned()) && ids.contains(&"deps.unknown".to_owned()),
        "{report:#}"
    );
}

/// A file that cannot be read is not one without packages.
#[test]
fn broken_files_of_the_project_are_unknown_and_say_what_to_do() {
    let scene = Scene::new("^1.0.0");
    let root = scene.server.root();
    let open = || {
        let (_, list) = scene.run("alerts list");
        list["data"]["incidents"].to_string()
    };
    let installed = root.join("node_modules/.package-lock.json");
    let whole = fs::read_to_string(&installed).unwrap();
    fs::write(&installed, whole.replace("1.0.0", "0.9.0")).unwrap();
    scene.run("deps");
    assert!(open().contains("deps.deploy-due"));
    fs::write(&installed, "{\"packages\": {").unwrap();
    let (code, report) = scene.run("deps");
    assert_eq!(code, 1, "{report:#}");
    assert!(message(&report, "deps.unknown").contains(".package-lock.json"));
    assert!(open().contains("deps.deploy-due"), "nobody has looked");
    fs::write(&installed, &whole).unwrap();
    scene.run("deps");
    assert!(!open().contains("deps.deploy-due"));

    let lock = root.join("package-lock.json");
    let locked = fs::read_to_string(&lock).unwrap();
    fs::write(&lock, format!("<<<<<<< HEAD\n{locked}")).unwrap();
    let (code, report) = scene.run("deps");
    assert_eq!(code, 1, "{report:#}");
    for id in ["npm.unknown", "deps.unknown"] {
        let hint = finding(&report, id)["hint"].as_str().unwrap();
        assert!(hint.contains("npm install --package-lock-only"), "{hint}");
    }
    fs::remove_file(&lock).unwrap();
    let (_, report) = scene.run("deps");
    let hint = finding(&report, "npm.unknown")["hint"].as_str().unwrap();
    assert!(hint.contains("npm install --package-lock-only"), "{hint}");

    fs::write(root.join("package.json"), "{\"name\": ").unwrap();
    let (code, report) = scene.run("deps");
    assert_eq!(code, 3, "{report:#}");
    assert!(report["failure"]["hint"].is_string(), "{report:#}");
}

#[test]
fn an_end_of_life_and_a_node_that_is_not_wanted() {
    let scene = Scene::new("^1.0.0");
    let package = scene.read("package.json").replace(
        "\"private\"",
        "\"engines\": {\"node\": \">=26 || ^22.1\"}, \"private\"",
    );
    scene.write("package.json", &package);
    let mut lock: Value = serde_json::from_str(&scene.read("package-lock.json")).unwrap();
    lock["packages"]["node_modules/left"]["deprecated"] = "use right".into();
    lock["packages"]["node_modules/outer"]["engines"] = json!({"node": "< 20"});
    scene.write("package-lock.json", &lock.to_string());
    let (code, report) = scene.run("deps");
    assert_eq!(code, 1, "{report:#}");
    assert!(
        message(&report, "deps.engines")
            .contains("the project itself (>=26 || ^22.1), outer 1.0.0 (< 20)")
    );
    assert!(message(&report, "deps.deprecated").contains("left 1.0.0 (use right)"));
    assert_eq!(finding(&report, "deps.deprecated")["severity"], "medium");
    let (_, report) = scene.server.json("deps --now 2028-05-01T12:00:00Z");
    assert_eq!(finding(&report, "deps.node-eol")["severity"], "medium");
    let (_, report) = scene.server.json("deps --now 2028-03-01T12:00:00Z");
    assert_eq!(finding(&report, "deps.node-eol")["severity"], "low");
}

#[test]
fn reports_are_kept_for_their_time_and_a_dry_run_writes_none() {
    let scene = Scene::new("^1.0.0");
    fs::create_dir(scene.reports()).unwrap();
    for name in [
        "npm_audit_20240101.json",
        "outdated_deps_20251019.json",
        "outdated_deps_20251020.json",
        "mine_20200101.json",
        "npm_audit_20200101.txt",
    ] {
        fs::write(scene.reports().join(name), "old").unwrap();
    }
    let before = scene.server.fingerprint(&scene.server.root());
    let (_, dry) = scene.run("deps --dry-run");
    assert_eq!(scene.server.fingerprint(&scene.server.root()), before);
    let (_, real) = scene.run("deps");
    let planned = |report: &Value| {
        actions(report)
            .into_iter()
            .map(|(kind, target, _)| (kind, target))
            .collect::<Vec<_>>()
    };
    assert_eq!(planned(&dry), planned(&real));
    assert_eq!(
        scene.names(),
        [
            "mine_20200101.json",
            "npm_audit_20200101.txt",
            "npm_audit_20261124.json",
            "outdated_deps_20251020.json",
            "outdated_deps_20261124.json"
        ]
    );
}

#[test]
fn a_server_without_a_project_and_a_configuration_that_is_wrong() {
    let (code, report) = Server::empty().json("deps");
    assert_eq!(code, 3);
    assert!(
        report["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("package.json"),
        "{report:#}"
    );
    for (lines, why) in [
        ("[deps]\ntest_command = []\n", "test_command is empty"),
        ("[deps]\nnode_end_of_life = \"soon\"\n", "is no date"),
        ("[audit]\nnpm_level = \"medium\"\n", "moderate"),
    ] {
        let ran = Server::empty().config(lines).run("deps").expect(3);
        assert!(ran.err.contains(why), "{}", ran.err);
    }
    let broken = Server::empty();
    fs::write(broken.root().join("package.json"), "{").unwrap();
    let (code, report) = broken.json("deps");
    assert_eq!(code, 3, "{report:#}");
}

/// The whole way: fixed in a copy, tested there, handed over, put in place; and the live node_modules is what it was.
#[test]
fn a_fix_is_tested_in_a_copy_and_put_in_place() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    // What must not get into a copy: a database, links that lead out.
    fs::write(scene.server.database(), "not to be opened").unwrap();
    fs::write(scene.server.root().join("stray.db"), "as it is").unwrap();
    std::os::unix::fs::symlink(
        scene.server.root().join("node_modules"),
        scene.server.root().join("node_modules/live"),
    )
    .unwrap();
    std::os::unix::fs::symlink("../root/data", scene.server.root().join("above")).unwrap();
    std::os::unix::fs::symlink("node_modules/left", scene.server.root().join("inside")).unwrap();
    // Beside the folder of that name, which is left out.
    scene.write("reports.js", "");
    let here = scene.server.root();
    scene.write("test.js", &format!(
        "const fs = require('fs'); require('left'); require('outer');\n\
         if (fs.existsSync('script-has-run')) throw new Error('a script has run');\n\
         const is = (path) => fs.lstatSync(path, {{throwIfNoEntry: false}});\n\
         if (is('node_modules/live') || is('above') || is('data')) throw new Error('a way out');\n\
         if (!is('inside') || !is('reports.js')) throw new Error('not all of it');\n\
         if (process.cwd() === {here:?} || process.env.NODE_ENV !== 'test') throw new Error('not a copy');\n\
         fs.writeFileSync('node_modules/left/index.js', 'broken');\n"
    ));
    let (before, installed) = (
        scene.server.fingerprint(&scene.server.root()),
        scene.installed(),
    );
    let (code, report) = scene.run("deps --fix");
    assert_eq!(
        code, 2,
        "the live project is as vulnerable as before: {report:#}"
    );
    assert_eq!(finding_ids(&report, ""), ["npm.vulnerable"], "{report:#}");
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("1 advisory fixed in a copy and tested, 0 left"),
        "{report:#}"
    );
    let folder = scene.reports().join("deps_fix_20261124T120000Z");
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["fixed"], json!(["left GHSA-aaaa-bbbb-cccc"]));
    let mut after = scene.server.fingerprint(&scene.server.root());
    after.retain(|(path, _)| !path.starts_with(scene.reports()));
    assert_eq!(after, before, "nothing but the hand-over");
    scene.no_scratch();

    // The patch says the same as the files.
    let patched = tempfile::tempdir().unwrap();
    for name in ["package.json", "package-lock.json"] {
        fs::copy(scene.server.root().join(name), patched.path().join(name)).unwrap();
    }
    let patch = Command::new("patch")
        .args(["-p1", "-i"])
        .arg(folder.join("fix.patch"))
        .current_dir(patched.path())
        .output()
        .unwrap();
    assert!(patch.status.success(), "{patch:?}");
    for name in ["package.json", "package-lock.json"] {
        assert_eq!(
            fs::read(patched.path().join(name)).unwrap(),
            fs::read(folder.join(name)).unwrap(),
            "{name}"
        );
    }

    // In place.
    let old = scene.read("package-lock.json");
    let (code, dry) = scene.run("deps --apply --dry-run");
    assert_eq!((code, scene.read("package-lock.json")), (0, old.clone()));
    let (code, report) = scene.run("deps --apply");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(actions(&dry).len(), actions(&report).len());
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .contains("a deployment must follow")
    );
    assert!(
        message(&report, "deps.deploy-due").contains("left 1.0.0 instead of 1.0.1"),
        "{report:#}"
    );
    assert_eq!(
        scene.read("package-lock.json"),
        fs::read_to_string(folder.join("package-lock.json")).unwrap()
    );
    assert_eq!(
        scene.read("package-lock.json.before-deps-20261124T120000Z"),
        old
    );
    assert_eq!(
        scene.installed(),
        installed,
        "the live node_modules is never touched"
    );
    let (code, report) = scene.run("deps");
    assert_eq!(
        (code, report["data"]["verdict"].as_str()),
        (0, Some("clean")),
        "{report:#}"
    );
    assert_eq!(finding(&report, "deps.deploy-due")["severity"], "low");
    // Once more changes nothing.
    let before = scene.server.fingerprint(&scene.server.root());
    let (code, report) = scene.run("deps --apply");
    assert_eq!(
        (code, report["summary"].as_str()),
        (0, Some("what was handed over is in place already"))
    );
    assert_eq!(scene.server.fingerprint(&scene.server.root()), before);
}

/// The tests are the project's own code: what they leave where the lock file was is not read again.
#[test]
fn no_link_that_a_test_leaves_in_the_copy_gets_into_the_patch() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    let secret = scene.server.path().join("secret");
    fs::write(&secret, "root:$6$of-nobody-else\n").unwrap();
    scene.write(
        "test.js",
        &format!(
            "const fs = require('fs');\n\
             if (require('left/package.json').version === '1.0.1')\n\
               for (const name of ['package.json', 'package-lock.json']) {{\n\
                 fs.rmSync(name); fs.symlinkSync({secret:?}, name);\n\
               }}\n"
        ),
    );
    let (_, report) = scene.run("deps --fix");
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("1 advisory fixed"),
        "{report:#}"
    );
    let patch = scene.read("reports/deps_fix_20261124T120000Z/fix.patch");
    assert!(
        patch.contains("+      \"version\": \"1.0.1\"") || patch.contains("1.0.1"),
        "{patch}"
    );
    assert!(!patch.contains("of-nobody-else"), "{patch}");
}

/// The way to the copy is in its owner's hands too: whatever he puts there, nothing runs as root.
#[test]
fn a_copy_that_becomes_a_link_makes_nothing_run_as_root() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    let (rooted, seen) = (
        scene.server.path().join("rooted"),
        scene.server.path().join("seen"),
    );
    fs::create_dir(&rooted).unwrap();
    fs::create_dir(&seen).unwrap();
    let who = seen.join("who");
    script(
        &scene.server.path().join("bin/npm"),
        &format!("id -u >>{who:?}\nexec /usr/bin/npm \"$@\""),
    );
    scene.write(
        "test.js",
        &format!(
            "const fs = require('fs'); const here = process.cwd();\n\
             process.chdir('..'); fs.renameSync(here, here + '-'); fs.symlinkSync({rooted:?}, here);"
        ),
    );
    for name in ["package.json", "package-lock.json"] {
        fs::copy(scene.server.root().join(name), rooted.join(name)).unwrap();
    }
    let owner = 23_456;
    if !scene.server.give_to(owner) {
        return; // only root can give a project away
    }
    for (program, what, path) in [
        ("chown", "23456", &seen),
        ("chmod", "755", &scene.server.path().to_owned()),
        ("chmod", "755", &scene.server.path().join("scratch")),
    ] {
        Command::new(program).arg(what).arg(path).status().unwrap();
    }
    let (code, report) = scene.run("deps --fix");
    assert_eq!(code, 2, "{report:#}");
    let who = fs::read_to_string(who).unwrap();
    assert!(who.lines().count() >= 2, "{who}");
    assert!(who.lines().all(|user| user == "23456"), "{who}");
    assert_eq!(scene.names(), Vec::<String>::new());
}

/// What the run has started ends with it, and the copy goes.
#[test]
fn a_signal_ends_the_tests_too_and_leaves_no_copy() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    let pid = scene.server.path().join("pid");
    scene.write(
        "test.js",
        &format!("require('fs').writeFileSync({pid:?}, process.pid + '\\n'); setInterval(() => {{}}, 1000);"),
    );
    let started = scene
        .server
        .command(["deps", "--fix", "--json", "--now", NOW])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let number = || fs::read_to_string(&pid).unwrap_or_default();
    wait_until(|| number().ends_with('\n'));
    send(started.id(), Signal::TERM);
    let ran = Ran::from(started.wait_with_output().unwrap());
    assert_eq!(ran.code, 143, "{ran:?}");
    assert_eq!(ran.json()["failure"]["kind"], "interrupted");
    scene.no_scratch();
    wait_until(|| !Path::new("/proc").join(number().trim()).exists());
}

/// One file of accepted findings for all who make them.
#[test]
fn what_an_audit_accepts_is_no_news_here() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    let text = fs::read_to_string(scene.server.config_path()).unwrap();
    let named = text.replace("[audit]\n", "[audit]\nbaseline = \"accepted.toml\"\n");
    fs::write(scene.server.config_path(), named).unwrap();
    scene.write(
        "accepted.toml",
        "[[accept]]\nid = \"npm.vulnerable\"\nsubject = \"left *\"\nwho = \"jo\"\nwhy = \"never called\"\nuntil = \"2030-01-31\"\n",
    );
    for line in ["deps", "audit --only npm"] {
        let (code, report) = scene.run(line);
        assert_eq!(code, 0, "{line}: {report:#}");
        assert_eq!(
            finding(&report, "npm.vulnerable")["severity"],
            "info",
            "{line}"
        );
    }
    scene.write("accepted.toml", "nonsense");
    let (code, report) = scene.run("deps");
    assert_eq!(code, 2, "nothing is accepted: {report:#}");
    finding(&report, "baseline.unreadable");
}

#[test]
fn a_dry_run_of_a_fix_speaks_of_no_files_that_are_not_there() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    let (_, report) = scene.run("deps --fix --dry-run");
    let summary = report["summary"].as_str().unwrap();
    assert!(summary.contains("nothing was handed over"), "{summary}");
    assert!(!summary.contains("puts them in place"), "{summary}");
    assert_eq!(scene.names(), Vec::<String>::new());
}

/// Killed while the project is copied, while npm fixes the copy, while the tests run, while it is handed over.
#[test]
fn a_fix_that_is_killed_leaves_the_project_as_it_was_and_the_next_one_cleans_up() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    let bin = scene.server.path().join("bin");
    let live = |scene: &Scene| {
        let mut all = scene.server.fingerprint(&scene.server.root());
        all.retain(|(path, _)| !path.starts_with(scene.reports()));
        all
    };
    let before = live(&scene);
    let left = || {
        fs::read_dir(scene.server.path().join("scratch"))
            .unwrap()
            .count()
    };
    let killed = |mut command: Command| {
        use std::os::unix::process::ExitStatusExt as _;
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{output:?}");
        assert_eq!(live(&scene), before);
        assert!(left() > 0, "nothing to clean up");
        let (code, report) = scene.run("deps --apply");
        assert_eq!(code, 3, "nothing was handed over: {report:#}");
    };
    for (program, when) in [("cp", "*"), ("npm", "'audit fix'*"), ("npm", "test*")] {
        let path = bin.join(program);
        script(
            &path,
            &format!(
                "case \"$*\" in {when}) [ {program} = cp ] && /bin/cp \"$@\"; kill -9 $PPID; exit 1;; esac\nexec /usr/bin/{program} \"$@\""
            ),
        );
        killed(scene.server.command(["deps", "--fix", "--now", NOW]));
        fs::remove_file(path).unwrap();
    }
    fs::create_dir_all(scene.reports()).unwrap();
    let trash = tempfile::tempdir().unwrap();
    let faults = Faults::new([scene.reports()], &trash.path().join("t"));
    let mut command = scene.server.command(["deps", "--fix", "--now", NOW]);
    faults.inject(&mut command, Kind::Kill, 6);
    killed(command);

    let (code, report) = scene.run("deps --fix");
    assert_eq!(code, 2, "{report:#}");
    let summary = report["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("1 advisory fixed in a copy"),
        "{summary}"
    );
    assert!(actions(&report).iter().any(|(kind, ..)| kind == "sweep"));
    assert_eq!(live(&scene), before);
    scene.no_scratch();
    let (code, report) = scene.run("deps --apply");
    assert_eq!(code, 0, "{report:#}");
}

#[test]
fn what_its_tests_refuse_is_not_handed_over() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    for (test, why) in [
        (
            "if (require('left') !== '1.0.0') throw new Error('only the old one works');",
            "do not pass after the fix",
        ),
        ("throw new Error('only the old one works');", "as it is"),
        (
            "setTimeout(() => {}, 60000); 'only the old one works was stopped';",
            "was stopped after 3.0 s",
        ),
    ] {
        scene.write("test.js", test);
        let text = fs::read_to_string(scene.server.config_path()).unwrap();
        if !text.contains("test_timeout") {
            fs::write(
                scene.server.config_path(),
                text.replace("[deps]\n", "[deps]\ntest_timeout = \"3s\"\n"),
            )
            .unwrap();
        }
        let (code, report) = scene.run("deps --fix");
        assert_eq!(code, 2);
        let told = message(&report, "deps.not-fixed");
        assert!(
            told.contains(why)
                && (told.contains("only the old one works") || told.contains("stopped")),
            "{told}"
        );
        assert_eq!(scene.names(), Vec::<String>::new());
        scene.no_scratch();
    }
    let package = scene
        .read("package.json")
        .replace("\"test\": \"node test.js\"", "\"start\": \"node test.js\"");
    scene.write("package.json", &package);
    let (_, report) = scene.run("deps --fix");
    assert!(
        message(&report, "deps.not-fixed").contains("has no npm test"),
        "{report:#}"
    );
}

#[test]
fn nothing_to_fix_and_nothing_that_can_be_fixed() {
    let scene = Scene::new("^1.0.0");
    let (code, report) = scene.run("deps --fix");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("nothing to fix")
    );
    // Only the next major version is free of it: npm would need to be forced.
    scene.registry.warns_of_left("high", "2.0.0");
    let (code, report) = scene.run("deps --fix");
    assert_eq!(code, 2);
    assert!(
        message(&report, "deps.not-fixed").contains("removed none of left GHSA-aaaa-bbbb-cccc"),
        "{report:#}"
    );
    scene.registry.refuses_audits();
    let (_, report) = scene.run("deps --fix");
    assert!(
        message(&report, "deps.not-fixed").contains("nothing was tried"),
        "{report:#}"
    );
    assert_eq!(scene.names(), Vec::<String>::new());
    fs::remove_file(scene.server.root().join("package-lock.json")).unwrap();
    assert_eq!(scene.run("deps --fix").0, 3);
    scene.server.run("deps --fix --apply").expect(3);
}

#[test]
fn a_fix_runs_as_the_owner_of_the_project() {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    let seen = scene.server.path().join("seen");
    fs::create_dir(&seen).unwrap();
    scene.write("test.js", &format!(
        "require('fs').appendFileSync({:?}, process.getuid() + ' ' + process.getgroups().join() + '\\n');", seen.join("who")
    ));
    let secret = scene.server.path().join("secret");
    fs::write(&secret, "of root").unwrap();
    let owner = 23_456;
    if !scene.server.give_to(owner) {
        return; // only root can give a project away
    }
    Command::new("chown")
        .arg(owner.to_string())
        .arg(&seen)
        .status()
        .unwrap();
    Command::new("chmod")
        .args(["755"])
        .arg(scene.server.path())
        .arg(scene.server.path().join("scratch"))
        .status()
        .unwrap();
    let (code, report) = scene.run("deps --fix");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (2, vec!["npm.vulnerable".to_owned()]),
        "{report:#}"
    );
    assert_eq!(
        fs::read_to_string(seen.join("who")).unwrap(),
        format!("{owner} {owner}\n").repeat(2)
    );
    assert_eq!(scene.run("deps --apply").0, 0);
    use std::os::unix::fs::MetadataExt as _;
    for name in ["package.json", "package-lock.json"] {
        assert_eq!(
            fs::metadata(scene.server.root().join(name)).unwrap().uid(),
            owner,
            "{name}"
        );
    }
    // What the owner cannot read does not get into a copy by our hands.
    let hidden = scene.server.root().join("hidden");
    fs::copy(&secret, &hidden).unwrap();
    Command::new("chmod")
        .arg("600")
        .arg(&hidden)
        .status()
        .unwrap();
    scene.registry.warns_of_left("high", "1.0.2");
    let (code, report) = scene.run("deps --fix");
    assert_eq!(code, 2);
    assert!(
        report["failure"]["causes"].to_string().contains("hidden")
            || report["failure"]["message"]
                .as_str()
                .unwrap()
                .contains("hidden"),
        "{report:#}"
    );
}

#[test]
fn what_was_not_tested_is_not_put_in_place() {
    let scene = Scene::new("^1.0.0");
    let ran = scene.server.run("deps --apply").expect(3);
    assert!(ran.err.contains("nothing was handed over"), "{}", ran.err);
    scene.registry.warns_of_left("high", "1.0.1");
    assert_eq!(scene.run("deps --fix").0, 2);
    let folder = scene.reports().join("deps_fix_20261124T120000Z");
    let (lock, live) = (folder.join("package-lock.json"), scene.read("package.json"));
    // Somebody has changed the project since.
    scene.write("package.json", &live.replace("1.0.0\"", "1.0.9\""));
    let ran = scene.server.run("deps --apply").expect(3);
    assert!(
        ran.err.contains("package.json has changed since"),
        "{}",
        ran.err
    );
    scene.write("package.json", &live);
    // Somebody has changed what was handed over.
    let tested = fs::read_to_string(&lock).unwrap();
    fs::write(&lock, tested.replace("1.0.1", "1.0.2")).unwrap();
    let ran = scene.server.run("deps --apply").expect(2);
    assert!(
        ran.err.contains("not those that were tested"),
        "{}",
        ran.err
    );
    assert_eq!(scene.read("package.json"), live);
    // Without its manifest it is nothing.
    fs::remove_file(folder.join("manifest.json")).unwrap();
    scene.server.run("deps --apply").expect(3);
}

/// A scene in which something is ready to be put in place, and both files differ.
fn handed_over() -> Scene {
    let scene = Scene::new("^1.0.0");
    scene.registry.warns_of_left("high", "1.0.1");
    assert_eq!(scene.run("deps --fix").0, 2);
    let folder = scene.reports().join("deps_fix_20261124T120000Z");
    let changed = scene.read("package.json").replace("\"1.0.0\"", "\"1.0.1\"");
    fs::write(folder.join("package.json"), &changed).unwrap();
    let manifest = folder.join("manifest.json");
    let mut text: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    text["after"][0] = sha256(&folder.join("package.json")).into();
    fs::write(&manifest, text.to_string()).unwrap();
    scene
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned()
}

/// At every file operation: a full disk, a kill, a loss of power. Each file is the old or the new one, whole; where it is the new one,
/// the old one is kept; and the next run ends what was begun.
#[test]
fn no_fault_leaves_half_a_file() {
    const NAMES: [&str; 2] = ["package.json", "package-lock.json"];
    let scene = handed_over();
    let old = NAMES.map(|name| scene.read(name));
    let folder = scene.reports().join("deps_fix_20261124T120000Z");
    let new = NAMES.map(|name| fs::read_to_string(folder.join(name)).unwrap());
    let kept = |name: &str| {
        scene
            .server
            .root()
            .join(format!("{name}.before-deps-20261124T120000Z"))
    };
    let trash = tempfile::tempdir().unwrap();
    let faults = Faults::new([scene.server.root()], &trash.path().join("t"));
    for kind in [Kind::Enospc { sticky: true }, Kind::Kill, Kind::PowerCut] {
        let mut points = 0;
        loop {
            for (name, old) in NAMES.iter().zip(&old) {
                scene.write(name, old);
                let _ = fs::remove_file(kept(name));
            }
            points += 1;
            let mut command = scene.server.command(["deps", "--apply", "--now", NOW]);
            faults.inject(&mut command, kind, points);
            let code = command.output().unwrap().status.code();
            for (index, name) in NAMES.iter().enumerate() {
                let live = scene.read(name);
                assert!(
                    live == old[index] || live == new[index],
                    "{name} is neither, {kind:?} {points}"
                );
                if live == new[index] {
                    assert_eq!(
                        fs::read_to_string(kept(name)).unwrap(),
                        old[index],
                        "{kind:?} {points}"
                    );
                }
            }
            if code == Some(0) {
                break;
            }
            let (code, report) = scene.run("deps --apply");
            assert!(code < 2, "{report:#}");
            assert_eq!(NAMES.map(|name| scene.read(name)), new, "{kind:?} {points}");
            assert!(points < 60, "it never ends well");
        }
        assert!(points > 4, "{kind:?} met {points} points");
    }
}

/// The plan's crontab never fixes anything by itself.
#[test]
fn no_line_of_the_crontab_fixes_or_applies() {
    let text = include_str!("../../crontab.example");
    let line = text.lines().find(|line| line.contains("empire-maint deps"));
    assert!(line.is_some(), "deps has its line");
    for word in ["--fix", "--apply", "--force", "--renew"] {
        assert!(!text.contains(word), "{word}");
    }
}
