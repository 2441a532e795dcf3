//! Who may read what is made, whom it belongs to, and whose configuration root believes. What needs several users needs root, and is
//! passed over where the tests run as somebody else.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

use crate::support::{BINARY, Paused, Ran, Server, beside, finding, users};

/// The application's user and somebody else; neither needs a name.
const APP: u32 = 12_345;
const THIRD: u32 = 54_321;

fn without_root() -> bool {
    !rustix::process::geteuid().is_root()
}

/// Everything below, the folder itself included.
fn everything(below: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let mut found = vec![(below.to_owned(), fs::symlink_metadata(below).unwrap())];
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        match meta.is_dir() {
            true => found.extend(everything(&path)),
            false => found.push((path, meta)),
        }
    }
    found
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn assert_private(below: &Path) {
    for (path, meta) in everything(below) {
        let most = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(
            meta.mode() & 0o777 & !most,
            0,
            "{} has mode {:o}",
            path.display(),
            meta.mode()
        );
    }
}

#[test]
fn nothing_that_is_made_can_be_read_by_others_whatever_the_umask() {
    let server = Server::new();
    Connection::open(server.root().join("data/old.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        .unwrap();
    let server = server.config("[[database]]\nname = \"old\"\npath = \"data/old.db\"");
    // Each test is a process of its own (nextest); a child inherits this.
    rustix::process::umask(rustix::fs::Mode::empty());
    let copy = server.path().join("copy");
    fs::create_dir(&copy).unwrap();
    mode(&copy, 0o700);
    let to = copy.join("restored.db").display().to_string();
    let moments: [(&[&str], &str, &str); 6] = [
        (&["backup"], "write", "/copy.db"),
        (&["backup"], "write", ".db.gz.part"),
        (&["backup"], "rename", ".json.part"),
        (&["verify-backup"], "write", ".json.part"),
        (&["restore", "app_db", "--to", &to], "write", "restore.part"),
        (
            &["restore", "app_db", "--to", &to, "--force"],
            "rename",
            "restore.part",
        ),
    ];
    for (line, op, end) in moments {
        let mut command = server.command(line);
        let run = Paused::before(op, end, server.path(), &mut command);
        assert_private(&server.backups());
        assert_private(&server.state());
        assert_private(&copy);
        run.resume().expect(0);
    }
    assert_private(&server.backups());
    assert_private(&server.state());
    assert_private(&copy);
}

#[test]
fn root_leaves_the_application_its_files() {
    if without_root() {
        return;
    }
    let server = Server::new();
    let data = server.root().join("data");
    fs::create_dir(server.backups()).unwrap();
    for (path, _) in everything(&server.root()) {
        chown(&path, Some(APP), Some(APP)).unwrap();
    }
    mode(&server.database(), 0o640);
    // Closed by its last user: whoever opens it next makes the side files anew.
    assert!(!beside(&server.database(), "-wal").exists());
    let belongs = |folder: &Path| {
        for (path, meta) in everything(folder) {
            assert_eq!((meta.uid(), meta.gid()), (APP, APP), "{}", path.display());
        }
    };
    let mut command = server.command(["backup"]);
    let run = Paused::before("rename", ".db.gz.part", &server.backups(), &mut command);
    assert!(beside(&server.database(), "-shm").exists());
    belongs(&server.root());
    run.resume().expect(0);
    belongs(&server.root());
    server.run("verify-backup").expect(0);
    let copy = data.join("copy.db");
    server
        .run(&format!("restore app_db --to {}", copy.display()))
        .expect(0);
    server.run("restore app_db --force").expect(0);
    belongs(&server.root());
    let mode = fs::metadata(server.database()).unwrap().mode();
    assert_eq!(mode & 0o777, 0o640, "as the old one had it");
    let mut command = as_user(&server, APP, &["backup", "list"]);
    let listed = Ran::of(&mut command);
    assert!(listed.out.contains("restored"), "{listed:?}");
}

#[test]
fn root_believes_no_configuration_that_somebody_else_can_change() {
    if without_root() {
        return;
    }
    type Break = fn(&Path, &Path);
    let cases: [(&str, Break); 7] = [
        ("a file of somebody else", |_, file| {
            chown(file, Some(THIRD), None).unwrap();
        }),
        ("a file that its group can write", |_, file| {
            mode(file, 0o620)
        }),
        ("a file that everybody can write", |_, file| {
            mode(file, 0o602)
        }),
        ("a folder of somebody else", |folder, _| {
            chown(folder, Some(THIRD), None).unwrap();
        }),
        ("a folder that its group can write", |folder, _| {
            mode(folder, 0o770);
        }),
        ("a sticky folder of somebody else", |folder, _| {
            mode(folder, 0o1777);
            chown(folder, Some(THIRD), None).unwrap();
        }),
        ("a link in a folder of somebody else", |folder, file| {
            let away = folder.parent().unwrap().join("real.toml");
            fs::rename(file, &away).unwrap();
            symlink(&away, file).unwrap();
            chown(folder, Some(THIRD), None).unwrap();
        }),
    ];
    for (what, spoil) in cases {
        let server = Server::new();
        spoil(&server.path().join("etc"), &server.config_path());
        let before = server.fingerprint(&server.root());
        let ran = server.run("backup").expect(3);
        assert!(
            ran.err
                .contains("belongs to somebody else or can be written by others")
                && ran.err.contains("hint: chown root"),
            "{what}: {}",
            ran.err
        );
        assert_eq!(server.fingerprint(&server.root()), before, "{what}");
        assert!(!server.state().join("journal.db").exists() || server.list("app_db").is_empty());
    }
    // A link of root's own, and /tmp, in which nobody can replace what is root's.
    let server = Server::new();
    let away = server.path().join("real.toml");
    fs::rename(server.config_path(), &away).unwrap();
    symlink(&away, server.config_path()).unwrap();
    mode(&server.path().join("etc"), 0o1777);
    server.run("backup").expect(0);
}

#[test]
fn a_link_to_a_database_is_followed_when_the_right_people_made_it() {
    if without_root() {
        return;
    }
    let server = Server::new();
    let real = server.root().join("data/real.db");
    fs::rename(server.database(), &real).unwrap();
    symlink(&real, server.database()).unwrap();
    chown(server.root(), Some(APP), None).unwrap();
    for (owner, code) in [(0, 0), (APP, 0), (THIRD, 2)] {
        lchown(server.database(), Some(owner), None).unwrap();
        for line in ["backup --database app_db", "access-audit", "query-review"] {
            let ran = server.run(line).expect(code);
            let said = ran.out + &ran.err;
            assert_eq!(
                said.contains("is a link that somebody else made"),
                code != 0,
                "{line}: {said}"
            );
        }
    }
    assert_eq!(server.list("app_db").len(), 2);
}

/// What is archived would be in the hands of whom the folder, or a link to it, belongs to. A dry run says so too.
#[test]
fn rows_are_archived_into_a_folder_of_the_right_people() {
    if without_root() {
        return;
    }
    let server = Server::new().config(
        "[[data_clean.rule]]\nname = \"old\"\ndatabase = \"app_db\"\ntable = \"logs\"\ncolumn = \"at\"\nolder_than = \"90d\"\n\
         action = \"archive\"\ninto = \"file:archive\"\nmax_fraction = 1.0\n",
    );
    let database = Connection::open(server.database()).unwrap();
    let fill = "CREATE TABLE IF NOT EXISTS logs (id INTEGER PRIMARY KEY, at TEXT); INSERT OR IGNORE INTO logs VALUES (1, '2020-01-01')";
    database.execute_batch(fill).unwrap();
    let (folder, away) = (server.root().join("archive"), server.root().join("away"));
    let again = || {
        let _ = fs::remove_file(&folder);
        let _ = fs::remove_dir_all(&folder);
        let _ = fs::remove_dir_all(&away);
        fs::create_dir(&away).unwrap();
        database.execute_batch(fill).unwrap();
    };
    type Spoil = fn(&Path, &Path, u32);
    let cases: [(&str, u32, Spoil); 3] = [
        (
            "is a link that somebody else made",
            THIRD,
            |folder, away, owner| {
                symlink(away, folder).unwrap();
                lchown(folder, Some(owner), None).unwrap();
            },
        ),
        ("belongs to somebody else", THIRD, |folder, _, owner| {
            fs::create_dir(folder).unwrap();
            chown(folder, Some(owner), None).unwrap();
        }),
        ("is writable by everybody", APP, |folder, _, owner| {
            fs::create_dir(folder).unwrap();
            chown(folder, Some(owner), None).unwrap();
            mode(folder, 0o777);
        }),
    ];
    chown(server.root(), Some(APP), None).unwrap();
    for (told, owner, spoil) in cases {
        again();
        spoil(&folder, &away, owner);
        for line in ["--dry-run", ""] {
            let (code, report) = server.json(&format!("data-clean --no-backup-check {line}"));
            assert_eq!(code, 2, "{told} {line}: {report:#}");
            let refused = finding(&report, "data-clean.refused");
            assert!(
                refused["message"].as_str().unwrap().contains(told),
                "{refused}"
            );
            assert!(
                refused["hint"].as_str().unwrap().starts_with("ch"),
                "{refused}"
            );
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        }
        let (code, report) = server.json("data-clean restore-archive old");
        assert_eq!(code, 3, "{report:#}");
        assert!(report["failure"].to_string().contains(told), "{report:#}");
        // The same of the application's own user is fine.
        again();
        spoil(&folder, &away, APP);
        mode(if folder.is_symlink() { &away } else { &folder }, 0o755);
        let (code, report) = server.json("data-clean --no-backup-check");
        assert_eq!(
            (code, fs::read_dir(&folder).unwrap().count()),
            (0, 1),
            "{report:#}"
        );
    }
    // Where only the database is the application's, so may the folder be.
    again();
    chown(server.root(), Some(0), None).unwrap();
    chown(server.database(), Some(APP), None).unwrap();
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(APP), None).unwrap();
    let (code, report) = server.json("data-clean --no-backup-check");
    assert_eq!(code, 0, "{report:#}");
}

/// The binary as another user, who can reach it whatever folder it was built in.
fn as_user(server: &Server, user: u32, arguments: &[&str]) -> Command {
    let binary = server.path().join("empire-maint");
    if !binary.exists() {
        fs::copy(BINARY, &binary).unwrap();
    }
    mode(&binary, 0o755);
    mode(server.path(), 0o755);
    mode(&server.path().join("etc"), 0o755);
    mode(&server.config_path(), 0o644);
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={user}"))
        .arg("--clear-groups")
        .arg(binary)
        .arg("-c")
        .arg(server.config_path())
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(std::process::Stdio::null());
    command
}

#[test]
fn the_application_s_user_can_do_it_all() {
    if without_root() {
        return;
    }
    let server = Server::new();
    fs::create_dir(server.state()).unwrap();
    for folder in [server.root(), server.state()] {
        for (path, _) in everything(&folder) {
            chown(&path, Some(APP), Some(APP)).unwrap();
        }
    }
    let run = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        Ran::of(&mut as_user(&server, APP, &words))
    };
    run("backup").expect(0);
    run("verify-backup").expect(0);
    run("backup list").expect(0);
    run("restore app_db --force").expect(0);
    let history = run("history").expect(0);
    assert!(history.out.contains("restore"), "{}", history.out);
    assert_eq!(users(&server.database()), 500);
    for (path, meta) in everything(&server.root()) {
        assert_eq!(meta.uid(), APP, "{}", path.display());
    }
    // Root may do the next one, and the user the one after that.
    server.run("backup").expect(0);
    run("backup").expect(0);
    assert_eq!(server.list("app_db").len(), 3);
}

#[test]
fn somebody_else_gets_one_clear_error_and_changes_nothing() {
    if without_root() {
        return;
    }
    let server = Server::new();
    server.run("backup").expect(0);
    mode(&server.root(), 0o755);
    mode(&server.root().join("data"), 0o755);
    mode(&server.database(), 0o600);
    let before = server.fingerprint(&server.root());
    for (line, code, word) in [
        ("backup list", 3, "cannot read"),
        ("history", 3, "cannot read"),
        ("restore app_db", 3, "cannot read"),
        ("verify-backup", 3, "cannot read"),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let ran = Ran::of(&mut as_user(&server, THIRD, &words));
        assert_eq!(ran.code, code, "{line}: {ran:?}");
        assert_eq!(
            ran.err.matches("error:").count(),
            1,
            "one error, {line}: {ran:?}"
        );
        assert!(ran.err.contains(word), "{line}: {ran:?}");
        assert!(ran.err.contains("hint: run as root"), "{line}: {ran:?}");
        assert!(!ran.err.contains("panicked"), "{line}: {ran:?}");
    }
    let ran = Ran::of(&mut as_user(&server, THIRD, &["backup"]));
    assert!(ran.code >= 2, "{ran:?}");
    Ran::of(&mut as_user(&server, THIRD, &["config", "show"])).expect(0);
    assert_eq!(server.fingerprint(&server.root()), before);
}

#[test]
fn lists_can_be_read_without_root_where_the_files_can() {
    if without_root() {
        return;
    }
    let server = Server::new();
    server.run("backup").expect(0);
    mode(&server.root(), 0o755);
    for (path, meta) in [everything(&server.backups()), everything(&server.state())].concat() {
        mode(&path, if meta.is_dir() { 0o755 } else { 0o644 });
    }
    let before = server.fingerprint(server.path());
    let ran = Ran::of(&mut as_user(&server, THIRD, &["backup", "list"])).expect(0);
    assert!(ran.out.contains("app_db_"), "{ran:?}");
    let ran = Ran::of(&mut as_user(&server, THIRD, &["history"])).expect(0);
    assert!(ran.out.contains("backed up and verified"), "{ran:?}");
    fs::remove_file(server.path().join("empire-maint")).unwrap();
    assert_eq!(server.fingerprint(server.path()), before);
}

#[test]
fn who_may_not_read_the_state_is_told_who_may() {
    let server = Server::new();
    if !server.give_to(APP) {
        return; // only root can
    }
    fs::set_permissions(server.state(), fs::Permissions::from_mode(0o700)).unwrap();
    for line in [
        ["alerts", "list"],
        ["schedule", "check"],
        ["history", "--findings"],
    ] {
        let ran = Ran::of(&mut server.command_as(THIRD, line)).expect(3);
        assert!(
            ran.err.contains("run as root or as the owner"),
            "{line:?}: {}",
            ran.err
        );
    }
}

#[test]
fn a_runbook_that_may_not_be_read_is_exit_code_3() {
    let server = Server::new();
    let pages = server.path().join("pages");
    fs::create_dir(&pages).unwrap();
    fs::write(pages.join("own.md"), "# Own\n").unwrap();
    fs::set_permissions(pages.join("own.md"), fs::Permissions::from_mode(0o600)).unwrap();
    let server = server.config(&format!("[runbooks]\ndir = {pages:?}\n"));
    server.run("runbook show own").expect(0);
    if !server.give_to(APP) {
        return; // only root can
    }
    fs::set_permissions(pages.join("own.md"), fs::Permissions::from_mode(0o600)).unwrap();
    let ran = Ran::of(&mut server.command_as(THIRD, ["runbook", "show", "own"])).expect(3);
    assert!(ran.err.contains("own.md"), "{}", ran.err);
}
