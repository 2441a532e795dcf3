//! What real pnpm and real yarn say about a project, with a registry of ours behind them. `./test` puts them under target/.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use empire_maint::npm::{Advisory, Fix, Manager, Project, Verdict};
use empire_maint::report::Severity;
use empire_maint::sys::Stop;
use tempfile::TempDir;

use crate::support::peers::script;
use crate::support::registry::Registry;

const LIMIT: Duration = Duration::from_secs(120);

/// A folder with the manager's programs.
fn installed(folder: &str) -> PathBuf {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target")
        .join(folder)
        .join("node_modules/.bin");
    assert!(
        bin.is_dir(),
        "{} is not there: ./test installs it",
        bin.display()
    );
    bin
}

/// `left` 1.0.0, which the project asks for through `outer` only, locked as the manager locks it.
fn project(registry: &Registry, bin: PathBuf, lock: &str, text: &str) -> (TempDir, Project) {
    let folder = tempfile::tempdir().unwrap();
    let package = r#"{"name": "app", "version": "1.0.0", "dependencies": {"outer": "^1.0.0"}}"#;
    fs::write(folder.path().join("package.json"), package).unwrap();
    fs::write(folder.path().join(lock), text).unwrap();
    let project = Project {
        path: folder.path().to_owned(),
        registry: Some(registry.url.clone()),
        node_bin: Some(bin),
        work_of: None,
    };
    (folder, project)
}

/// Clean, then vulnerable, then refused: what a manager has to say of each.
fn all_three(manager: Manager, registry: &Registry, project: &Project) -> Advisory {
    assert_eq!(project.manager().unwrap(), manager);
    assert_eq!(
        project.audit(LIMIT, &Stop::after(LIMIT)).unwrap(),
        Verdict::Clean
    );
    registry.warns_of_left("high", "1.0.1");
    let found = match project.audit(LIMIT, &Stop::after(LIMIT)).unwrap() {
        Verdict::Vulnerable(found) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(found.len(), 1, "{found:?}");
    let asked = registry.asked();
    assert!(
        asked.iter().any(|line| line.starts_with("POST")),
        "{asked:?}"
    );
    registry.refuses_audits();
    match project.audit(LIMIT, &Stop::after(LIMIT)).unwrap() {
        // yarn 4 prints its errors where its JSON would be, and not as JSON.
        Verdict::Unknown(why) => {
            let said = if manager == Manager::YarnBerry {
                "no JSON"
            } else {
                "405"
            };
            assert!(why.contains(said), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let one = found[0].clone();
    assert_eq!(
        (one.package.as_str(), one.title.as_str(), one.severity),
        ("left", "Bad pad", Severity::High)
    );
    one
}

/// `left` asked for itself, so that it is outdated.
fn require_outdated(folder: &Path, project: &Project) {
    let package = r#"{"name": "app", "version": "1.0.0", "dependencies": {"left": "^1.0.0"}}"#;
    fs::write(folder.join("package.json"), package).unwrap();
    let (found, _) = project
        .outdated(LIMIT, &Stop::after(LIMIT))
        .unwrap()
        .unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|one| (&*one.package, &*one.latest))
        .collect();
    assert_eq!(names, [("left", "2.0.0")]);
}

#[test]
fn pnpm() {
    let registry = Registry::start();
    let lock = "lockfileVersion: '6.0'\n\ndependencies:\n  outer:\n    specifier: ^1.0.0\n    version: 1.0.0\n\npackages:\n\n  /left@1.0.0:\n    resolution: {integrity: sha512-AAAA}\n    dev: false\n\n  /outer@1.0.0:\n    resolution: {integrity: sha512-AAAA}\n    dependencies:\n      left: 1.0.0\n    dev: false\n";
    let (folder, project) = project(&registry, installed("managers"), "pnpm-lock.yaml", lock);
    let found = all_three(Manager::Pnpm, &registry, &project);
    assert_eq!((found.direct, &found.fix), (false, &Fix::Available));
    let lock = lock.replace("outer", "left").replacen(
        "  /left@1.0.0:\n    resolution: {integrity: sha512-AAAA}\n    dev: false\n\n",
        "",
        1,
    );
    let lock = lock.replace("    dependencies:\n      left: 1.0.0\n", "");
    fs::write(folder.path().join("pnpm-lock.yaml"), lock).unwrap();
    require_outdated(folder.path(), &project);
}

/// Its audit always asks registry.yarnpkg.com, whatever is configured: here its own program, with that one address replaced.
#[test]
fn yarn_1() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().unwrap();
    let theirs = installed("managers").with_file_name("yarn");
    let ours = folder.path().join("yarn");
    fs::create_dir_all(ours.join("lib")).unwrap();
    fs::create_dir_all(folder.path().join("bin")).unwrap();
    fs::copy(theirs.join("package.json"), ours.join("package.json")).unwrap();
    let program = fs::read_to_string(theirs.join("lib/cli.js")).unwrap();
    let address = "YARN_REGISTRY = 'https://registry.yarnpkg.com'";
    assert_eq!(program.matches(address).count(), 1);
    let program = program.replace(address, &format!("YARN_REGISTRY = '{}'", registry.url));
    fs::write(ours.join("lib/cli.js"), program).unwrap();
    fs::create_dir(ours.join("bin")).unwrap();
    fs::copy(theirs.join("bin/yarn.js"), ours.join("bin/yarn.js")).unwrap();
    script(
        &folder.path().join("bin/yarn"),
        &format!("exec node {}/bin/yarn.js \"$@\"", ours.display()),
    );
    let entry = |name: &str, more: &str| {
        format!(
            "{name}@^1.0.0:\n  version \"1.0.0\"\n  resolved \"{}/{name}/-/{name}-1.0.0.tgz#a3873994dce48b263f8533bde0dec4962b694470\"\n  integrity sha512-{}==\n{more}\n",
            registry.url,
            "A".repeat(86)
        )
    };
    let lock = format!(
        "# yarn lockfile v1\n\n\n{}{}",
        entry("left", ""),
        entry("outer", "  dependencies:\n    left \"^1.0.0\"\n")
    );
    let (place, project) = project(&registry, folder.path().join("bin"), "yarn.lock", &lock);
    let found = all_three(Manager::Yarn, &registry, &project);
    require_outdated(place.path(), &project);
    assert_eq!(
        (found.through, found.fix),
        (vec!["outer".to_owned()], Fix::Available)
    );
}

#[test]
fn yarn_4() {
    let registry = Registry::start();
    let lock = "__metadata:\n  version: 10\n  cacheKey: 10c0\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n  dependencies:\n    outer: \"npm:^1.0.0\"\n  languageName: unknown\n  linkType: soft\n\n\"left@npm:^1.0.0\":\n  version: 1.0.0\n  resolution: \"left@npm:1.0.0\"\n  languageName: node\n  linkType: hard\n\n\"outer@npm:^1.0.0\":\n  version: 1.0.0\n  resolution: \"outer@npm:1.0.0\"\n  dependencies:\n    left: \"npm:^1.0.0\"\n  languageName: node\n  linkType: hard\n";
    let lock = format!("# a lock file\n\n{lock}");
    let (folder, project) = project(&registry, installed("berry"), "yarn.lock", &lock);
    fs::write(
        folder.path().join(".yarnrc.yml"),
        "unsafeHttpWhitelist: [\"127.0.0.1\"]\n",
    )
    .unwrap();
    let found = all_three(Manager::YarnBerry, &registry, &project);
    assert_eq!(found.through, ["outer".to_owned()]);
}
