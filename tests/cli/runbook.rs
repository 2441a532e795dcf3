//! The procedures: filled in with this server's own words, and nothing in them that cannot be typed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use crate::docs::lines_of;
use crate::support::{Ran, Server};

const NAMES: [&str; 8] = [
    "start-stop",
    "restore",
    "certificates",
    "rollback",
    "incident",
    "performance",
    "escalation",
    "without-empire-maint",
];

fn show(server: &Server, name: &str) -> String {
    server.run(&format!("runbook show {name}")).expect(0).out
}

#[test]
fn every_procedure_of_the_plan_is_listed() {
    let server = Server::new();
    let (code, report) = server.json("runbook list");
    assert_eq!(code, 0, "{report:#}");
    let names: Vec<_> = report["data"]["runbooks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, NAMES);
    let text = server.run("runbook").expect(0).out;
    assert!(text.contains("Restore a database"), "{text}");
    assert!(!server.state().exists(), "looking leaves no trace");
}

#[test]
fn no_hole_is_left_and_every_command_can_be_typed() {
    let server = Server::new();
    let mut seen = 0;
    for name in NAMES {
        let text = show(&server, name);
        assert!(text.starts_with("# "), "{text}");
        assert!(
            !text.contains("{{") && !text.contains("}}"),
            "{name}: {text}"
        );
        for line in lines_of(&text) {
            let words: Vec<_> = line.iter().map(Into::into).collect();
            if let Err(error) = empire_maint::cli::parse(&words) {
                panic!("{name}: {}\n{error}", line.join(" "));
            }
            // What a page sends people to is there.
            if line.iter().any(|word| word == "runbook") {
                assert!(NAMES.contains(&line.last().unwrap().as_str()), "{line:?}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} commands were found");
}

#[test]
fn pages_say_this_configurations_own_words() {
    let server = Server::new().raw_config(
        "[app]\nroot = \"/srv/my shop\"\nlisten = \"127.0.0.1:4711\"\nservice = \"shop\"\nuser = \"shopper\"\nhealth_url = \"https://shop.example/up\"\nreload = [\"/usr/bin/kick\", \"it now\"]\n[backup]\ndir = \"/mnt/safe\"\n[[database]]\nname = \"orders\"\npath = \"db/orders.sqlite\"\n",
    );
    let start = show(&server, "start-stop");
    for word in [
        "'/srv/my shop'",
        "sport = :4711",
        "sudo systemctl stop shop",
        "https://shop.example/up",
        "'/srv/my shop/db/orders.sqlite'",
    ] {
        assert!(start.contains(word), "{word}: {start}");
    }
    assert!(show(&server, "certificates").contains("sudo /usr/bin/kick 'it now'"));
    let hand = show(&server, "without-empire-maint");
    for word in [
        "cd '/srv/my shop/db'",
        "/mnt/safe/orders_????????T??????Z.db.gz",
        "orders.sqlite-wal",
        "chown shopper: orders.sqlite.new",
    ] {
        assert!(hand.contains(word), "{word}: {hand}");
    }
    assert!(
        !hand.contains("agentic-empire") && !hand.contains("app.db"),
        "{hand}"
    );
    let restore = show(&server, "restore");
    let options = format!(
        "empire-maint --config {} restore orders --force --stop-app",
        server.config_path().display()
    );
    assert!(restore.contains(&options), "{restore}");
}

/// The page for the day without this program, run by a plain shell: the rows are back.
#[test]
fn the_recovery_by_hand_recovers() {
    let others = ["app_db_1", "app_db_other"]
        .map(|name| format!("[[database]]\nname = \"{name}\"\npath = \"data/{name}.db\"\n"));
    let server = Server::new().config(&others.concat());
    for name in ["app_db_1", "app_db_other"] {
        let other = server.root().join(format!("data/{name}.db"));
        crate::support::sql(&other, "CREATE TABLE not_this_one (x)");
    }
    server.run("backup").expect(0);
    let page = show(&server, "without-empire-maint");
    fs::write(server.database(), "rubbish").unwrap();
    fs::write(
        crate::support::beside(&server.database(), "-wal"),
        "of another time",
    )
    .unwrap();
    let section = page
        .split("### app_db\n")
        .nth(1)
        .unwrap()
        .split("\n###")
        .next()
        .unwrap();
    let script: String = section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(script.lines().count() >= 7, "{script}");
    let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("\nok\n"),
        "{output:?}\n{script}"
    );
    assert_eq!(crate::support::users(&server.database()), 500);
    assert!(!crate::support::beside(&server.database(), "-wal").exists());
    assert!(crate::support::beside(&server.database(), ".broken").exists());
}

#[test]
fn ones_own_beat_the_built_in_ones() {
    let server = Server::new().config("[runbooks]\ndir = \"books\"");
    let folder = server.root().join("books");
    assert!(
        show(&server, "restore").contains("Restore a database"),
        "a folder that is not there is empty"
    );
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("restore.md"),
        "# Ours\n\nin {{root}}, {{whatever}}\u{1b}[2J\n",
    )
    .unwrap();
    fs::write(folder.join("coffee.md"), "# Coffee\n").unwrap();
    fs::write(folder.join("notes.txt"), "no").unwrap();
    fs::write(folder.join("b ad.md"), "no").unwrap();
    let secret = server.path().join("secret");
    fs::write(&secret, "# secret\n").unwrap();
    std::os::unix::fs::symlink(&secret, folder.join("link.md")).unwrap();
    fs::write(folder.join("large.md"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let text = show(&server, "restore");
    assert!(
        text.contains(&format!(
            "in {}, {{{{whatever}}}}?[2J",
            server.root().display()
        )),
        "{text:?}"
    );
    let list = server.run("runbook list").expect(0).out;
    assert!(
        list.contains("coffee") && list.contains("Ours") && list.contains("books/restore.md"),
        "{list}"
    );
    let rows: Vec<_> = list.lines().filter(|line| line.starts_with("  ")).collect();
    let rows = rows.join("\n");
    assert!(
        !rows.contains("link")
            && !list.contains("notes")
            && !rows.contains("b ad")
            && !list.contains("secret"),
        "{list}"
    );
    assert!(list.contains("left out: b ad.md, link.md"), "{list}");
    assert!(
        list.contains("large") && list.contains("larger than 1048576 bytes"),
        "{list}"
    );
    for (name, code) in [
        ("link", 3),
        ("large", 3),
        ("nothing", 3),
        ("../secret", 3),
        ("/etc/passwd", 3),
        (".", 3),
    ] {
        let ran = server.run(&format!("runbook show {name}")).expect(code);
        assert!(
            ran.out.is_empty() && !ran.err.contains("# secret"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_wrong_configuration_is_refused() {
    let server = Server::new().config("[runbooks]\ndirectory = \"books\"");
    let ran = server.run("runbook list").expect(3);
    assert!(
        ran.err.contains("'directory'") && ran.err.contains("[runbooks]"),
        "{}",
        ran.err
    );
}

/// Root does not use a configuration that belongs to somebody else, and that somebody needs no root.
#[test]
fn whose_configuration_it_is_runs_the_commands() {
    const USER: u32 = 23_456;
    let server = Server::new();
    let shown = server.run("runbook show restore").expect(0).out;
    let owner = std::fs::metadata(server.config_path()).unwrap().uid();
    assert_eq!(shown.contains("sudo empire-maint"), owner == 0, "{shown}");
    if !server.give_to(USER) {
        return;
    }
    std::os::unix::fs::chown(server.config_path(), Some(USER), None).unwrap();
    let mut command = server.command_as(USER, ["runbook", "show", "restore"]);
    let shown = Ran::of(&mut command).expect(0).out;
    assert!(!shown.contains("sudo empire-maint"), "{shown}");
    assert!(shown.contains(" empire-maint --config "), "{shown}");
}

#[test]
fn what_is_left_out_is_said() {
    let server = Server::new().config("[runbooks]\ndir = \"nix\"");
    let listed = server.run("runbook list").expect(0).out;
    assert!(
        listed.contains("there is no ") && listed.contains("/nix"),
        "{listed}"
    );
    let folder = server.root().join("nix");
    std::fs::create_dir(&folder).unwrap();
    for name in ["own.md", "a b.md", "ITSELF.MD"] {
        std::fs::write(folder.join(name), "# Own\n").unwrap();
    }
    let listed = server.run("runbook list").expect(0).out;
    assert!(listed.contains("left out: ITSELF.MD, a b.md"), "{listed}");
}
