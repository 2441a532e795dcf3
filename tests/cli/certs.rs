//! `certs` on chains that openssl made and a live server shows: what is sound, what is wrong, what other people broke.

use std::fs;
use std::path::Path;

use empire_maint::x509::{Authorities, Certificate, flaws};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::peers::MailServer;
use crate::support::pki::{self, AUTHORITY, HOST, SERVER, TlsServer, bundle, issue, three};
use crate::support::services::{certificate, openssl};
use crate::support::{Server, finding, finding_ids};

/// A folder with [`three`] in it, in which nobody else's files lie.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    three(folder.path());
    folder
}

/// Watches these files and endpoints; `root.pem` of the folder is an authority.
fn watched(folder: &Path, files: &[&Path], endpoints: &[String]) -> Server {
    Server::empty().config(&format!(
        "[certs]\nfiles = {files:?}\nendpoints = {endpoints:?}\nroots = [{:?}]\n",
        folder.join("root.pem")
    ))
}

/// Moves the files of a chain where no other certificate lies beside it.
fn alone(folder: &Path, name: &str, of: &[&str]) -> std::path::PathBuf {
    let place = folder.join(name);
    fs::create_dir_all(&place).unwrap();
    let made = bundle(folder, "made", of);
    let path = place.join("site.pem");
    fs::rename(made, &path).unwrap();
    path
}

fn message(report: &Value, id: &str) -> String {
    finding(report, id)["message"].as_str().unwrap().to_owned()
}

fn severity(report: &Value, id: &str) -> String {
    finding(report, id)["severity"].as_str().unwrap().to_owned()
}

#[test]
fn a_sound_chain_in_a_file_and_as_it_is_served() {
    let folder = folder();
    let file = bundle(folder.path(), "site.pem", &["leaf", "middle"]);
    fs::copy(
        folder.path().join("leaf.key"),
        folder.path().join("site.key"),
    )
    .unwrap();
    let live = TlsServer::start(folder.path(), "site.pem", "site.key");
    let server = watched(folder.path(), &[&file], &[live.endpoint()]);
    let (code, report) = server.json("certs");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    let chains = report["data"]["chains"].as_array().unwrap();
    assert_eq!(chains.len(), 2);
    assert_eq!(chains[0]["key_matches"], true);
    for chain in chains {
        let certificates = chain["certificates"].as_array().unwrap();
        assert_eq!(certificates.len(), 2);
        assert_eq!(
            certificates[0]["names"],
            serde_json::json!([HOST, "192.0.2.7"])
        );
        assert_eq!(
            (&certificates[0]["key"], &certificates[1]["issuer"]),
            (&"P-256".into(), &"root".into())
        );
    }
    let text = server.run("certs").expect(0);
    assert!(
        text.out.contains("leaf by middle") && text.out.contains("2 chains"),
        "{}",
        text.out
    );
    let nagios = server.run("certs --format nagios").expect(0);
    assert!(
        nagios.out.starts_with("OK") || nagios.out.contains("OK"),
        "{}",
        nagios.out
    );
}

/// openssl's own figure is ours.
#[test]
fn the_fingerprint_is_the_one_that_openssl_shows() {
    let folder = folder();
    let file = bundle(folder.path(), "site.pem", &["leaf"]);
    let output = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(&file)
        .output()
        .unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs = theirs
        .split('=')
        .next_back()
        .unwrap()
        .trim()
        .replace(':', "")
        .to_lowercase();
    let (_, report) = watched(folder.path(), &[&file], &[]).json("certs");
    assert_eq!(
        report["data"]["chains"][0]["certificates"][0]["fingerprint"],
        theirs
    );
}

#[test]
fn nothing_to_look_at_is_unknown() {
    let server = Server::empty();
    let (code, report) = server.json("certs");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (3, vec!["task.failed".to_owned()])
    );
    let server = Server::empty().config("[certs]\nendpoints = [\"nowhere\"]\n");
    let ran = server.run("certs").expect(3);
    assert!(ran.err.contains("'nowhere' is no endpoint"), "{}", ran.err);
    let server = Server::empty().config("[certs]\nendpoint = []\n");
    let ran = server.run("certs").expect(3);
    assert!(
        ran.err.contains("endpoints"),
        "names the nearest key: {}",
        ran.err
    );
}

#[test]
fn a_chain_that_is_not_complete() {
    let folder = folder();
    let live = TlsServer::start(folder.path(), "leaf.pem", "leaf.key");
    let file = alone(folder.path(), "half", &["leaf"]);
    let server = watched(folder.path(), &[&file], &[live.endpoint()]);
    let (code, report) = server.json("certs");
    assert_eq!(code, 2);
    assert_eq!(
        finding_ids(&report, &live.endpoint()),
        ["cert.chain"],
        "{report:#}"
    );
    assert_eq!(
        finding_ids(&report, &file.display().to_string()),
        ["cert.chain"]
    );
    let findings = report["findings"].as_array().unwrap();
    let severities: Vec<_> = findings
        .iter()
        .map(|one| one["severity"].as_str().unwrap())
        .collect();
    assert_eq!(
        severities,
        ["medium", "high"],
        "what is served is all that a client gets"
    );
    assert!(
        findings[0]["message"].as_str().unwrap().contains("middle"),
        "{report:#}"
    );
    // certbot's own folder has the issuer in a file of its own.
    fs::copy(
        folder.path().join("middle.pem"),
        file.with_file_name("chain.pem"),
    )
    .unwrap();
    let (_, report) = server.json("certs");
    assert!(
        finding_ids(&report, &file.display().to_string()).is_empty(),
        "{report:#}"
    );
    // A root that nobody knows is not an authority, and a chain that ends there is not complete.
    let whole = alone(folder.path(), "whole", &["leaf", "middle"]);
    let stranger = Server::empty().config(&format!("[certs]\nfiles = [{whole:?}]\n"));
    let (code, report) = stranger.json("certs");
    assert_eq!(
        (code, severity(&report, "cert.chain")),
        (1, "medium".into())
    );
    assert!(
        message(&report, "cert.chain").contains("root"),
        "{report:#}"
    );
}

#[test]
fn a_chain_in_the_wrong_order() {
    let folder = folder();
    issue(folder.path(), "lower", "middle", 900, AUTHORITY, "");
    issue(folder.path(), "deep", "lower", 90, SERVER, "");
    for (of, why) in [
        (
            &["deep", "middle", "lower"][..],
            Some("each should stand before its issuer"),
        ),
        (
            &["middle", "lower", "deep"],
            Some("middle stands before deep"),
        ),
        (&["deep", "lower", "middle"], None),
        (&["deep", "lower", "middle", "root"], None),
    ] {
        let file = alone(folder.path(), "site", of);
        let (code, report) = watched(folder.path(), &[&file], &[]).json("certs");
        match why {
            Some(why) => {
                assert_eq!(
                    (code, severity(&report, "cert.chain")),
                    (1, "medium".into()),
                    "{of:?}"
                );
                assert!(message(&report, "cert.chain").contains(why), "{report:#}");
            }
            None => assert_eq!(
                (code, finding_ids(&report, "")),
                (0, vec![]),
                "{of:?} {report:#}"
            ),
        }
    }
    let file = alone(folder.path(), "site", &["leaf", "middle", "lower"]);
    let (code, report) = watched(folder.path(), &[&file], &[]).json("certs");
    assert_eq!((code, severity(&report, "cert.chain")), (0, "low".into()));
    assert!(
        message(&report, "cert.chain").contains("nobody needs lower"),
        "{report:#}"
    );
}

/// An authority of the same name with another key: the names fit, the signature does not.
#[test]
fn a_chain_whose_names_fit_and_whose_signatures_do_not() {
    let folder = folder();
    let real = fs::read_to_string(folder.path().join("leaf.pem")).unwrap();
    issue(folder.path(), "middle", "root", 1800, AUTHORITY, "");
    fs::write(folder.path().join("leaf.pem"), real).unwrap();
    let file = alone(folder.path(), "site", &["leaf", "middle"]);
    let (code, report) = watched(folder.path(), &[&file], &[]).json("certs");
    assert_eq!(
        (code, severity(&report, "cert.chain")),
        (2, "high".into()),
        "{report:#}"
    );
    assert!(
        message(&report, "cert.chain").contains("not signed by"),
        "{report:#}"
    );
}

#[test]
fn a_certificate_that_signs_although_it_may_not() {
    let folder = folder();
    issue(folder.path(), "child", "leaf", 80, SERVER, "");
    let file = alone(folder.path(), "site", &["child", "leaf", "middle"]);
    let (code, report) = watched(folder.path(), &[&file], &[]).json("certs");
    assert_eq!(
        (code, severity(&report, "cert.ca-flag")),
        (2, "high".into()),
        "{report:#}"
    );
    // And one that may sign, as it is served.
    let live = TlsServer::start(folder.path(), "middle.pem", "middle.key");
    let (code, report) =
        watched(folder.path(), &[], &[format!("127.0.0.1:{}", live.port)]).json("certs");
    assert_eq!(
        (code, severity(&report, "cert.ca-flag")),
        (2, "high".into()),
        "{report:#}"
    );
}

/// The plan's `openssl x509 -in FILE` looks at the first certificate only, and counts whole days.
#[test]
fn every_certificate_counts_and_every_second() {
    let folder = folder();
    issue(folder.path(), "middle", "root", 20, AUTHORITY, "");
    issue(folder.path(), "leaf", "middle", 90, SERVER, "");
    let file = alone(folder.path(), "site", &["leaf", "middle"]);
    let server = watched(folder.path(), &[&file], &[]);
    let (_, report) = server.json("certs");
    let ends = &report["data"]["chains"][0]["certificates"][1]["not_after"];
    let ends: jiff::Timestamp = ends.as_str().unwrap().parse().unwrap();
    let (code, report) = server.json(&format!("certs --now {ends}"));
    assert_eq!(
        (code, severity(&report, "cert.expiring")),
        (2, "high".into()),
        "{report:#}"
    );
    let (code, report) = server.json(&format!(
        "certs --now {}",
        ends + jiff::SignedDuration::from_secs(1)
    ));
    assert_eq!(
        (code, severity(&report, "cert.expired")),
        (2, "critical".into())
    );
    assert!(
        message(&report, "cert.expired").contains("middle expired 1.0 s ago"),
        "{report:#}"
    );
}

#[test]
fn a_certificate_for_another_host() {
    let folder = folder();
    bundle(folder.path(), "site.pem", &["leaf", "middle"]);
    let live = TlsServer::start(folder.path(), "site.pem", "leaf.key");
    let other = format!("www.example.test@127.0.0.1:{}", live.port);
    let local = format!("127.0.0.1:{}", live.port);
    let server = watched(folder.path(), &[], &[live.endpoint(), other.clone(), local]);
    let (code, report) = server.json("certs");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (2, vec!["cert.hostname".to_owned()]),
        "{report:#}"
    );
    assert_eq!(finding(&report, "cert.hostname")["subject"], other);
    let why = message(&report, "cert.hostname");
    assert!(
        why.contains("not for www.example.test but for app.example.test, 192.0.2.7"),
        "{why}"
    );
}

#[test]
fn a_key_that_belongs_to_another_certificate() {
    let folder = folder();
    let keys = [
        "-newkey rsa:2048 -nodes",
        "-newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -nodes",
        "-newkey ed25519 -nodes",
    ];
    for key in keys {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        for name in ["root.pem", "middle.pem", "middle.key"] {
            fs::copy(folder.path().join(name), path.join(name)).unwrap();
        }
        pki::issue_with_key(path, "cert", "middle", key, "-days 90", SERVER);
        pki::issue_with_key(path, "other", "middle", key, "-days 90", SERVER);
        let file = path.join("cert.pem");
        let server = watched(path, &[&file], &[]);
        let (code, report) = server.json("certs");
        assert_eq!(
            (code, &report["data"]["chains"][0]["key_matches"]),
            (0, &true.into()),
            "{key} {report:#}"
        );
        fs::copy(path.join("other.key"), path.join("cert.key")).unwrap();
        let (code, report) = server.json("certs");
        assert_eq!(
            (code, severity(&report, "cert.key")),
            (2, "high".into()),
            "{key}"
        );
        // A key in the file itself counts before any beside it.
        let both = fs::read_to_string(&file).unwrap()
            + &fs::read_to_string(path.join("other.key")).unwrap();
        fs::write(&file, both).unwrap();
        fs::rename(path.join("cert.key"), path.join("privkey.pem")).unwrap();
        let (_, report) = server.json("certs");
        assert_eq!(severity(&report, "cert.key"), "high", "{key}");
        let whole = serde_json::to_string(&report).unwrap() + &server.run("certs").out;
        assert!(!whole.contains("PRIVATE KEY"));
    }
}

#[test]
fn weak_keys_and_weak_signatures() {
    let folder = folder();
    pki::issue_with_key(
        folder.path(),
        "short",
        "middle",
        "-newkey rsa:1024 -nodes",
        "-days 90",
        SERVER,
    );
    issue(folder.path(), "old", "middle", 90, SERVER, "-sha1");
    let rsa = "-newkey rsa:2048 -nodes";
    pki::issue_with_key(folder.path(), "rsa", "root", rsa, "-days 900", AUTHORITY);
    issue(folder.path(), "older", "rsa", 90, SERVER, "-sha1");
    for (name, by, why) in [
        ("short", "middle", "RSA key has 1024 bits (limit 2048)"),
        ("old", "middle", "signed with ecdsa-with-SHA1"),
        ("older", "rsa", "signed with sha1WithRSA"),
    ] {
        let file = alone(folder.path(), name, &[name, by]);
        let (code, report) = watched(folder.path(), &[&file], &[]).json("certs");
        assert_eq!(
            (code, severity(&report, "cert.weak")),
            (2, "high".into()),
            "{report:#}"
        );
        assert!(message(&report, "cert.weak").contains(why), "{report:#}");
    }
}

#[test]
fn what_is_served_is_not_what_lies_in_the_file() {
    let folder = folder();
    let file = bundle(folder.path(), "site.pem", &["leaf", "middle"]);
    let live = TlsServer::start(folder.path(), "site.pem", "leaf.key");
    issue(folder.path(), "leaf", "middle", 90, SERVER, "");
    bundle(folder.path(), "site.pem", &["leaf", "middle"]);
    let local = format!("127.0.0.1:{}", live.port);
    let server = watched(folder.path(), &[&file], &[live.endpoint(), local.clone()]);
    let (code, report) = server.json("certs");
    assert_eq!(code, 1, "{report:#}");
    for endpoint in [&live.endpoint(), &local] {
        assert_eq!(
            finding_ids(&report, endpoint),
            ["cert.not-served"],
            "{report:#}"
        );
    }
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(70 * 24);
    let (_, report) = server.json(&format!("certs --now {later}"));
    let findings = report["findings"].as_array().unwrap();
    let mut stale = findings.iter().filter(|one| one["id"] == "cert.not-served");
    assert!(
        stale.all(|one| one["severity"] == "high"),
        "its end is near: {report:#}"
    );
    fs::write(folder.path().join("reload"), "").unwrap();
    let (code, report) = server.json("certs");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
}

#[test]
fn a_mail_server_shows_its_certificate_after_starttls() {
    let mail = MailServer::with_tls();
    let endpoint = format!("smtp:localhost:{}", mail.port);
    let server = Server::empty().config(&format!(
        "[certs]\nfiles = []\nendpoints = [{endpoint:?}]\n"
    ));
    let (_, report) = server.json("certs");
    let shown = &report["data"]["chains"][0];
    assert_eq!(
        (&shown["subject"], &shown["served"]),
        (&endpoint.clone().into(), &true.into())
    );
    assert_eq!(shown["certificates"][0]["subject"], "localhost");
    // Two days of life, of which it has less than none behind it: nothing to say.
    assert!(finding_ids(&report, "").is_empty(), "{report:#}");
    let plain = server.json(&format!(
        "certs --now {}",
        jiff::Timestamp::now() + jiff::SignedDuration::from_hours(30)
    ));
    assert_eq!(finding_ids(&plain.1, &endpoint), ["cert.expiring"]);
}

/// Whole, `/etc/letsencrypt/live` is a folder of folders of links.
#[test]
fn a_folder_as_certbot_keeps_it() {
    let folder = folder();
    let (live, archive) = (
        folder.path().join("live/site"),
        folder.path().join("archive"),
    );
    fs::create_dir_all(&live).unwrap();
    fs::create_dir_all(&archive).unwrap();
    for (name, of) in [
        ("cert", &["leaf"][..]),
        ("chain", &["middle"]),
        ("fullchain", &["leaf", "middle"]),
    ] {
        let made = bundle(folder.path(), "made", of);
        fs::rename(made, archive.join(format!("{name}1.pem"))).unwrap();
        std::os::unix::fs::symlink(
            archive.join(format!("{name}1.pem")),
            live.join(format!("{name}.pem")),
        )
        .unwrap();
    }
    fs::copy(folder.path().join("leaf.key"), live.join("privkey.pem")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("live"), folder.path().join("live/loop"))
        .unwrap();
    let server = watched(folder.path(), &[&folder.path().join("live")], &[]);
    let (code, report) = server.json("certs");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    let chains = report["data"]["chains"].as_array().unwrap();
    assert_eq!(
        chains.len(),
        1,
        "one certificate is one subject: {chains:#?}"
    );
    assert_eq!(chains[0]["key_matches"], true);
    fs::remove_file(archive.join("fullchain1.pem")).unwrap();
    let (code, report) = server.json("certs");
    assert_eq!(
        (code, severity(&report, "cert.unreadable")),
        (2, "high".into()),
        "a link to nothing: {report:#}"
    );
}

/// One path that cannot be looked at is a finding, and the others are judged.
#[test]
fn a_bad_path_takes_nothing_else_down() {
    let folder = folder();
    let path = folder.path();
    let good = bundle(path, "site.pem", &["leaf", "middle"]);
    let (circle, empty, absent) = (
        path.join("circle"),
        path.join("empty"),
        path.join("absent.pem"),
    );
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("leaf.key"), "x").unwrap();
    let files = [&circle, &empty, &absent, &good];
    let server = Server::empty().config(&format!(
        "[certs]\nfiles = {files:?}\nroots = [{:?}, {:?}]\n",
        path.join("root.pem"),
        path.join("no-root.pem")
    ));
    let (code, report) = server.json("certs");
    assert_eq!(code, 2, "{report:#}");
    for bad in [&circle, &empty, &absent, &path.join("no-root.pem")] {
        let subject = bad.display().to_string();
        assert_eq!(
            finding_ids(&report, &subject),
            ["cert.unreadable"],
            "{report:#}"
        );
        let all = report["findings"].as_array().unwrap();
        let one = all.iter().find(|one| one["subject"] == *subject).unwrap();
        assert!(
            one["message"].as_str().unwrap().contains(&subject),
            "{one:#}"
        );
    }
    assert!(
        finding_ids(&report, &good.display().to_string()).is_empty(),
        "{report:#}"
    );
    assert_eq!(report["data"]["chains"].as_array().unwrap().len(), 1);
    for line in ["audit --only certs", "health --check certs"] {
        let (_, theirs) = server.json(line);
        assert_eq!(theirs["findings"], report["findings"], "{line}");
    }
}

#[test]
fn a_folder_below_that_is_closed_is_told() {
    let folder = folder();
    let place = folder.path().join("all");
    fs::create_dir_all(place.join("closed")).unwrap();
    fs::copy(folder.path().join("leaf.pem"), place.join("site.pem")).unwrap();
    let server = watched(folder.path(), &[&place], &[]);
    let user = 23_456;
    if !server.give_to(user) {
        return;
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
    };
    mode(folder.path(), 0o755);
    mode(&place.join("closed"), 0o700);
    let mut command = server.command_as(user, ["certs", "--json"]);
    let report = crate::support::Ran::of(command.env("STATE_DIRECTORY", server.state())).json();
    let closed = place.join("closed").display().to_string();
    assert_eq!(
        finding_ids(&report, &closed),
        ["cert.unreadable"],
        "{report:#}"
    );
    assert_eq!(
        report["data"]["chains"].as_array().unwrap().len(),
        1,
        "{report:#}"
    );
}

/// Servers read what stands between the marks, wherever those stand; so an expired one in it is seen.
#[test]
fn no_form_of_pem_hides_a_certificate() {
    let folder = folder();
    let path = folder.path();
    let text = |name: &str| fs::read_to_string(path.join(format!("{name}.pem"))).unwrap();
    let (leaf, middle) = (text("leaf"), text("middle"));
    let old = |text: &str| {
        text.replace("BEGIN CERT", "BEGIN X509 CERT")
            .replace("END CERT", "END X509 CERT")
    };
    let indented: String = leaf.lines().map(|line| format!("  {line}\r\n")).collect();
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(100 * 24);
    for (what, content) in [
        ("an old label", old(&leaf) + &middle),
        ("a byte order mark", format!("\u{feff}{leaf}{middle}")),
        ("a blank", format!(" {leaf} {middle}")),
        ("indented", format!("{indented}{middle}")),
        ("joined", format!("{}{middle}", leaf.trim_end())),
    ] {
        let file = path.join("site.pem");
        fs::write(&file, content).unwrap();
        let (_, report) = watched(path, &[&file], &[]).json(&format!("certs --now {later}"));
        let certificates = &report["data"]["chains"][0]["certificates"];
        assert_eq!(
            certificates.as_array().map(Vec::len),
            Some(2),
            "{what}: {report:#}"
        );
        assert!(message(&report, "cert.expired").contains("leaf"), "{what}");
    }
    // One whose end is missing is not passed over.
    let file = path.join("site.pem");
    fs::write(&file, format!("{middle}{}", &leaf[..leaf.len() - 40])).unwrap();
    let (_, report) = watched(path, &[&file], &[]).json("certs");
    assert_eq!(severity(&report, "cert.unreadable"), "high", "{report:#}");
}

/// What a client that knows neither refuses is said of what is served under a name; `[certs] roots` is the way out.
#[test]
fn a_root_that_nobody_knows_is_told_of_what_is_served() {
    let folder = folder();
    let path = folder.path();
    pki::issue(path, "own", "root", 90, SERVER, "");
    openssl(
        path,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout self.key -out self.pem -days 90 -subj /CN=self -addext subjectAltName=DNS:{HOST} -addext basicConstraints=critical,CA:FALSE"
        ),
    );
    bundle(path, "whole.pem", &["own", "root"]);
    for (chain, key, root) in [
        ("self.pem", "self.key", "self.pem"),
        ("whole.pem", "own.key", "root.pem"),
    ] {
        let live = TlsServer::start(path, chain, key);
        let config = |roots: &str, endpoint: &str| {
            Server::empty().config(&format!(
                "[certs]\nfiles = [{:?}]\nendpoints = [{endpoint:?}]\n{roots}",
                path.join(chain)
            ))
        };
        let (code, report) = config("", &live.endpoint()).json("certs");
        assert_eq!(
            (code, finding_ids(&report, "")),
            (1, vec!["cert.chain".to_owned()]),
            "{report:#}"
        );
        assert_eq!(
            finding(&report, "cert.chain")["subject"],
            live.endpoint(),
            "not of the file"
        );
        assert!(message(&report, "cert.chain").contains("no client knows"));
        let roots = format!("roots = [{:?}]\n", path.join(root));
        let (code, report) = config(&roots, &live.endpoint()).json("certs");
        assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
        let (code, report) = config("", &format!("127.0.0.1:{}", live.port)).json("certs");
        assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    }
}

#[test]
fn a_file_whose_name_is_no_text_is_looked_at_like_any_other() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder();
    let place = folder.path().join("all");
    fs::create_dir(&place).unwrap();
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let whole = text("leaf.pem") + &text("middle.pem") + &text("leaf.key");
    fs::write(
        place.join(std::ffi::OsStr::from_bytes(b"caf\xe9.pem")),
        whole,
    )
    .unwrap();
    let (code, report) = watched(folder.path(), &[&place], &[]).json("certs");
    assert_eq!(code, 0, "{report:#}");
    let key = report["data"]["chains"][0]["key_file"].as_str().unwrap();
    assert!(key.ends_with("caf\u{fffd}.pem"), "{key}");
}

/// What was accepted in an audit is no news from here.
#[test]
fn an_accepted_finding_is_accepted_everywhere() {
    let folder = folder();
    let file = alone(folder.path(), "half", &["leaf"]);
    let accepted = folder.path().join("accepted.toml");
    fs::write(
        &accepted,
        "[[accept]]\nid = \"cert.chain\"\nsubject = \"*\"\nwho = \"jo\"\nwhy = \"the client has it\"\nuntil = \"2999-01-31\"\n",
    )
    .unwrap();
    let server = watched(folder.path(), &[&file], &[])
        .config(&format!("[audit]\nbaseline = {accepted:?}\n"));
    for line in ["certs", "health --check certs", "audit --only certs"] {
        let (code, report) = server.json(line);
        assert_eq!(
            (code, severity(&report, "cert.chain")),
            (0, "info".into()),
            "{line}: {report:#}"
        );
    }
}

/// Certificates that other people broke: each is a finding, none is a panic, and the sound one beside them is still looked at.
#[test]
fn certificates_that_other_people_broke() {
    let folder = folder();
    let path = folder.path();
    let broken = path.join("broken");
    fs::create_dir(&broken).unwrap();
    // 10,000 names.
    let names: Vec<_> = (0..10_000)
        .map(|number| format!("DNS:host{number}.example.test"))
        .collect();
    let extensions = format!("subjectAltName={}\n", names.join(","));
    issue(path, "many", "root", 365, &extensions, "");
    fs::copy(path.join("many.pem"), broken.join("many.pem")).unwrap();
    // An RSA key of 16,384 bits, which nobody has to know for that.
    let modulus = "c7".repeat(2048);
    fs::write(path.join("big.asn"), format!("asn1=SEQUENCE:info\n[info]\nalg=SEQUENCE:alg\nkey=BITWRAP,SEQUENCE:rsa\n[alg]\noid=OID:rsaEncryption\nnull=NULL\n[rsa]\nn=INTEGER:0x{modulus}\ne=INTEGER:0x10001\n")).unwrap();
    openssl(path, "asn1parse -genconf big.asn -noout -out big.der");
    openssl(path, "rsa -pubin -inform DER -in big.der -out big.pub");
    issue(path, "big", "root", 365, SERVER, "-force_pubkey big.pub");
    fs::copy(path.join("big.pem"), broken.join("big.pem")).unwrap();
    // A NUL in a name, and one in the subject.
    for (name, from, to) in [
        ("nul", "app.example.test", "app\0example.test"),
        ("sub", HOST, HOST),
    ] {
        issue(path, name, "root", 365, SERVER, "");
        openssl(
            path,
            &format!("x509 -in {name}.pem -outform DER -out {name}.der"),
        );
        let mut der = fs::read(path.join(format!("{name}.der"))).unwrap();
        let at = memchr::memmem::find(&der, from.as_bytes()).unwrap();
        der[at..at + to.len()].copy_from_slice(to.as_bytes());
        if name == "sub" {
            let at = memchr::memmem::rfind(&der, b"sub").unwrap();
            der[at + 1] = 0;
        }
        fs::write(broken.join(format!("{name}.cer")), &der).unwrap();
    }
    // DER that ends early, lies about its length, or is something else.
    let der = fs::read(path.join("nul.der")).unwrap();
    fs::write(broken.join("cut.cer"), &der[..der.len() - 9]).unwrap();
    fs::write(
        broken.join("long.cer"),
        [&der[..2], &[0xff, 0xff], &der[4..]].concat(),
    )
    .unwrap();
    fs::write(broken.join("zero.cer"), vec![0u8; 4096]).unwrap();
    fs::write(broken.join("deep.cer"), vec![0x30u8; 100_000]).unwrap();
    fs::write(
        broken.join("none.pem"),
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    fs::write(
        broken.join("junk.pem"),
        "-----BEGIN CERTIFICATE-----\n".repeat(30_000),
    )
    .unwrap();
    std::process::Command::new("mkfifo")
        .arg(broken.join("fifo.pem"))
        .status()
        .unwrap();
    fs::copy(path.join("leaf.pem"), broken.join("sound.pem")).unwrap();

    let server = watched(path, &[&broken], &[]);
    let ran = server.run("certs --json").expect(2);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    let report = ran.json();
    let at = |name: &str| finding_ids(&report, &broken.join(name).display().to_string());
    for name in [
        "cut.cer", "long.cer", "zero.cer", "deep.cer", "none.pem", "junk.pem", "fifo.pem",
    ] {
        assert_eq!(at(name), ["cert.unreadable"], "{name}");
    }
    for name in ["many.pem", "big.pem", "nul.cer", "sub.cer"] {
        assert!(
            at(name).contains(&"cert.odd".to_owned()),
            "{name}: {:?}",
            at(name)
        );
    }
    let odd = |name: &str| {
        let subject = broken.join(name).display().to_string();
        let findings = report["findings"].as_array().unwrap();
        let found = findings
            .iter()
            .find(|one| one["subject"] == subject.as_str() && one["id"] == "cert.odd");
        found.unwrap()["message"].as_str().unwrap().to_owned()
    };
    assert!(odd("many.pem").contains("10000 names (limit 1000)"));
    assert!(odd("big.pem").contains("16384 bits (limit 8192)"));
    assert!(odd("nul.cer").contains("no host and no address"));
    assert!(odd("sub.cer").contains("control character"));
    assert!(!ran.out.contains("\\u0000"), "no NUL comes out");
    assert!(
        report["data"]["chains"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["subject"] == broken.join("sound.pem").display().to_string())
    );
}

/// Every byte of a real certificate, changed in three ways: read or refused, and never a panic.
#[test]
fn no_changed_byte_of_a_certificate_is_a_panic() {
    let folder = folder();
    openssl(
        folder.path(),
        "x509 -in leaf.pem -outform DER -out leaf.der",
    );
    let der = fs::read(folder.path().join("leaf.der")).unwrap();
    let issuer = Certificate::read(&{
        openssl(
            folder.path(),
            "x509 -in middle.pem -outform DER -out middle.der",
        );
        fs::read(folder.path().join("middle.der")).unwrap()
    });
    let (issuer, roots) = (issuer.unwrap(), Authorities::new(Vec::new()));
    let (mut read, mut refused) = (0, 0);
    for at in 0..der.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = der.clone();
            changed[at] ^= change;
            match Certificate::read(&changed) {
                Ok(certificate) => {
                    read += 1;
                    let _ = (certificate.weakness(), certificate.is_for(HOST));
                    let _ = flaws(&[certificate, issuer.clone()], &[], &roots);
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        read > 100 && refused > 100,
        "{read} read, {refused} refused"
    );
}

/// One judgement: what the one says of a certificate, the other says too.
#[test]
fn health_says_the_same() {
    let folder = folder();
    let live = TlsServer::start(folder.path(), "leaf.pem", "leaf.key");
    let short = certificate(folder.path(), "short", 1);
    fs::copy(
        folder.path().join("leaf.key"),
        folder.path().join("short.key"),
    )
    .unwrap();
    let server = watched(
        folder.path(),
        &[&short],
        &[live.endpoint(), format!("w.test@127.0.0.1:{}", live.port)],
    );
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(13);
    let (_, ours) = server.json(&format!("certs --now {later}"));
    let (_, theirs) = server.json(&format!("health --check certs --now {later}"));
    assert_eq!(
        finding_ids(&ours, ""),
        [
            "cert.expiring",
            "cert.key",
            "cert.chain",
            "cert.chain",
            "cert.hostname"
        ],
        "{ours:#}"
    );
    assert_eq!(ours["findings"], theirs["findings"]);
}

#[test]
fn a_folder_is_looked_through_for_der_too_and_what_cannot_be_read_is_no_chain() {
    let folder = folder();
    let place = folder.path().join("several");
    std::fs::create_dir(&place).unwrap();
    let made = std::process::Command::new("openssl")
        .args(["x509", "-outform", "der", "-in"])
        .arg(folder.path().join("leaf.pem"))
        .arg("-out")
        .arg(place.join("leaf.der"))
        .output();
    assert!(made.unwrap().status.success());
    std::fs::write(place.join("broken.pem"), "nothing").unwrap();
    let (_, report) = watched(folder.path(), &[&place], &[]).json("certs");
    let summary = report["summary"].as_str().unwrap();
    assert!(summary.starts_with("1 chain, "), "{summary}");
    assert!(summary.contains("; 1 cannot be read"), "{summary}");
}
