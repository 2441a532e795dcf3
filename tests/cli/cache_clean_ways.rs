//! The ways into a Redis: TLS, a user of its own, a password file, a socket. And that no secret is seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::Server;
use crate::support::keys::{Keys, rule};
use crate::support::services::{Peer, append, certificate, free_port, openssl};

/// What the manual says that a user of its own needs.
const COMMANDS: &str = "+ping +info +dbsize +select +scan +randomkey +eval +time +pttl +memory|usage +unlink +pexpire +object|idletime";

fn password(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("password");
    fs::write(&file, format!("{text}\n")).unwrap();
    file
}

fn removed(report: &Value) -> u64 {
    let rules = report["data"]["rules"].as_array();
    let rules = rules.unwrap_or_else(|| panic!("{report:#}"));
    rules
        .iter()
        .map(|rule| rule["keys"].as_u64().unwrap())
        .sum()
}

#[test]
fn a_user_of_its_own_with_a_password_file() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 300);
    keys.fill("session", 200);
    let mut words = vec![
        "ACL",
        "SETUSER",
        "maint",
        "on",
        ">hunter2",
        "~cache:*",
        "~session:*",
        "-@all",
    ];
    words.extend(COMMANDS.split(' '));
    keys.ask::<()>(&words);
    let file = password(keys.folder.path(), "hunter2");
    let port = keys.port;
    let lines = |user: &str| {
        format!(
            "[redis]\nurl = \"redis://{user}@127.0.0.1:{}/0\"\npassword_file = {file:?}\n",
            port
        )
    };
    let every = [
        rule("cache:*", "always", "unlink"),
        rule("session:1*", "no-ttl", "expire:1h"),
        rule("session:*", "idle>7d", "unlink"),
    ]
    .concat();
    let server = Server::empty().config(&(lines("maint") + &every));
    for line in ["cache-clean --dry-run", "cache-clean"] {
        let (code, report) = server.json(line);
        assert_eq!((code, removed(&report)), (0, 411), "{line}: {report:#}");
    }
    let (_, report) = server.json("cache-clean");
    assert!(
        report["findings"].as_array().unwrap().is_empty(),
        "{report:#}"
    );
    // What it may not do is said, with what it would need.
    keys.ask::<()>(&["ACL", "SETUSER", "maint", "-unlink"]);
    keys.fill("cache", 300);
    let (code, report) = server.json("cache-clean");
    assert_eq!(code, 2, "{report:#}");
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .contains("does not allow it"),
        "{report:#}"
    );
    assert_eq!(keys.count("cache:*"), 300);
    keys.ask::<()>(&["ACL", "SETUSER", "maint", "+unlink", "-memory"]);
    let (code, report) = server.json("cache-clean");
    assert_eq!(
        (code, removed(&report)),
        (0, 300),
        "who may not look may still clean: {report:#}"
    );
    crate::support::finding(&report, "cache.unsampled");
    // Keys that are not its own.
    keys.fill("deal", 10);
    let server = Server::empty().config(&(lines("maint") + &rule("deal:*", "always", "unlink")));
    let (code, _) = server.json("cache-clean");
    assert_eq!((code, keys.count("deal:*")), (2, 10));
    // The wrong password, and the wrong name.
    fs::write(&file, "sesame\n").unwrap();
    for user in ["maint", "nobody"] {
        let server = Server::empty().config(&lines(user));
        let ran = server.run("cache-clean --json").expect(3);
        assert_eq!(ran.json()["failure"]["kind"], "config");
        assert!(!ran.out.contains("sesame") && !ran.err.contains("sesame"));
    }
}

#[test]
fn a_password_in_the_address_is_seen_by_nobody() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 30);
    keys.ask::<()>(&["ACL", "SETUSER", "default", ">hunter2"]);
    keys.ask::<()>(&["ACL", "SETUSER", "default", "resetpass", ">hunter2"]);
    let lines = format!(
        "[redis]\nurl = \"redis://:hunter2@127.0.0.1:{}/0\"\n",
        keys.port
    );
    let server = Server::empty().config(&lines);
    for line in [
        "cache-clean --json",
        "cache-clean -v",
        "config show",
        "config show --json",
        "config check",
    ] {
        let ran = server.run(line).expect(0);
        assert!(
            !ran.out.contains("hunter2") && !ran.err.contains("hunter2"),
            "{line}: {ran:?}"
        );
    }
    // Without it, it is the password that is asked for, and not the service.
    let none = keys.server("");
    let (code, report) = none.json("cache-clean");
    let hint = report["failure"]["hint"].as_str().unwrap_or_default();
    assert!(code == 3 && hint.contains("password_file"), "{report:#}");
    let (_, report) = none.json("health --check redis");
    let hint = crate::support::finding(&report, "redis.down")["hint"].as_str();
    assert!(hint.unwrap().contains("password_file"), "{report:#}");
    let journal = fs::read(server.state().join("journal.db")).unwrap();
    assert!(!journal.windows(7).any(|word| word == b"hunter2"));
}

/// A certificate authority, and what it says about 127.0.0.1 and about us.
fn certificates(folder: &Path) {
    certificate(folder, "ca", 30);
    for (name, names) in [
        ("server", "-addext subjectAltName=IP:127.0.0.1"),
        ("client", "-addext subjectAltName=DNS:client"),
    ] {
        openssl(
            folder,
            &format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} {names}"
            ),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -copy_extensions copy -out {name}.pem"
            ),
        );
    }
}

fn tls_redis(folder: &Path, clients: &str) -> Peer {
    let port = free_port();
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        "0",
        "--tls-port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
    ]);
    command.args([
        "--save",
        "",
        "--tls-auth-clients",
        clients,
        "--enable-debug-command",
        "yes",
    ]);
    for (name, file) in [
        ("--tls-cert-file", "server.pem"),
        ("--tls-key-file", "server.key"),
        ("--tls-ca-cert-file", "ca.pem"),
    ] {
        command.arg(name).arg(folder.join(file));
    }
    command.arg("--dir").arg(folder);
    Peer::start(port, &mut command)
}

fn tls_cli(folder: &Path, port: u16, words: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .current_dir(folder)
        .args([
            "-p",
            &port.to_string(),
            "--tls",
            "--cacert",
            "ca.pem",
            "--cert",
            "client.pem",
            "--key",
            "client.key",
        ])
        .args(words)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn tls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    certificates(path);
    let file = |name: &str| format!("{:?}", path.join(name));
    for clients in ["no", "yes"] {
        let peer = tls_redis(path, clients);
        tls_cli(
            path,
            peer.port,
            &["DEBUG", "POPULATE", "500", "cache", "50"],
        );
        let url = format!("[redis]\nurl = \"rediss://127.0.0.1:{}/0\"\n", peer.port);
        let ca = format!("ca_file = {}\n", file("ca.pem"));
        let own = format!(
            "cert_file = {}\nkey_file = {}\n",
            file("client.pem"),
            file("client.key")
        );
        let run = |lines: &[&str]| Server::empty().config(&lines.concat()).json("cache-clean");
        // Each with the setting that is to be looked at.
        let refused = |lines: &[&str], hint: &str| {
            let (code, report) = run(lines);
            let failure = &report["failure"];
            let told = failure["hint"].as_str().unwrap_or_default();
            assert!(code == 3 && told.contains(hint), "{hint}: {report:#}");
        };
        refused(&[&url], "ca_file");
        refused(&[&url.replace("127.0.0.1", "localhost"), &ca], "url");
        if clients == "yes" {
            refused(&[&url, &ca], "cert_file");
            let mixed = own.replace("client.key", "server.key");
            refused(&[&url, &ca, &mixed], "belong together");
        }
        for (setting, wrong) in [
            ("ca_file", format!("ca_file = {}\n", file("server.key"))),
            ("cert_file", own.replace("client.pem", "client.key")),
            ("key_file", own.replace("client.key", "client.pem")),
        ] {
            let (code, report) = run(&[&url, &wrong]);
            assert_eq!((code, &report["failure"]["kind"]), (3, &"config".into()));
            let message = report["failure"]["message"].as_str().unwrap();
            assert!(
                message.contains(setting) && message.contains("holds no"),
                "{message}"
            );
        }
        assert_eq!(tls_cli(path, peer.port, &["DBSIZE"]), "500");
        let lines: &[&str] = if clients == "yes" {
            &[&url, &ca, &own]
        } else {
            &[&url, &ca]
        };
        let (code, report) = run(lines);
        assert_eq!((code, removed(&report)), (0, 500), "{report:#}");
        let plain = url.replace("rediss", "redis");
        assert_eq!(run(&[&plain]).0, 3, "no TLS where TLS is asked for");
    }
}

#[test]
fn a_socket() {
    let mut keys = Keys::start(&["--unixsocket redis.sock"]);
    keys.fill("cache", 500);
    let socket = keys.folder.path().join("redis.sock");
    let lines = format!("[redis]\nurl = \"redis+unix://{}\"\n", socket.display());
    let server = Server::empty().config(&lines);
    let (code, report) = server.json("cache-clean");
    assert_eq!(
        (code, removed(&report), keys.size()),
        (0, 500, 0),
        "{report:#}"
    );
    // The crontab knows that there is something to do.
    let shown = server.run("schedule crontab").expect(0).out;
    assert!(
        shown.lines().any(|line| line.starts_with("41 */6 * * *")
            && line.contains(" cache-clean --over 10m --quiet ")),
        "{shown}"
    );
    append(&server.config_path(), "\n");
    let text = fs::read_to_string(server.config_path()).unwrap();
    fs::write(
        server.config_path(),
        text.replace("redis.sock", "gone.sock"),
    )
    .unwrap();
    assert_eq!(server.json("cache-clean").0, 3);
    let shown = server.run("schedule crontab").expect(0).out;
    assert!(
        shown.contains("nothing to do here, no Redis answers at"),
        "{shown}"
    );
}
