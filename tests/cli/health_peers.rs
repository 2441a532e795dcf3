//! `health` with a real Redis and real certificates, in files and served.

use std::fs;

use crate::health::{CALM, finding, metric, outcome, watched};
use crate::support::finding_ids;
use crate::support::services::{Web, append, certificate, openssl, redis, redis_cli, tls_server};

#[test]
fn redis_with_a_password() {
    let web = Web::start(200, "ok");
    let folder = tempfile::tempdir().unwrap();
    let peer = redis(folder.path(), &["--requirepass hunter2"]);
    let password = folder.path().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    let lines = format!(
        "[redis]\nurl = \"redis://127.0.0.1:{}/0\"\npassword_file = {password:?}\n",
        peer.port
    );
    let server = watched(&web, CALM, &lines);
    let (code, report) = server.json("health --check redis");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(metric(&report, "redis_up"), 1.0);
    assert!(metric(&report, "redis_used_memory_bytes") > 100_000.0);
    fs::write(&password, "sesame\n").unwrap();
    let ran = server.run("health --check redis --json").expect(2);
    let report = ran.json();
    assert_eq!(finding(&report, "redis.down")["severity"], "high");
    assert!(!ran.out.contains("sesame") && !ran.err.contains("sesame"));
    drop(peer);
    let (code, report) = server.json("health --check redis");
    assert_eq!(code, 2, "{report:#}");
    let told = finding(&report, "redis.down")["message"].as_str().unwrap();
    assert!(told.contains("nobody listens there"), "{told}");
    assert_eq!(metric(&report, "redis_up"), 0.0);
}

#[test]
fn redis_that_is_full_and_cannot_save() {
    let web = Web::start(200, "ok");
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let peer = redis(&gone, &["--maxmemory-policy noeviction"]);
    let lines = format!("[redis]\nurl = \"redis://127.0.0.1:{}\"\n", peer.port);
    let server = watched(&web, CALM, &lines);
    server.run("health --check redis").expect(0);
    redis_cli(peer.port, &["CONFIG", "SET", "maxmemory", "1mb"]);
    let (code, report) = server.json("health --check redis");
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "redis.memory");
    redis_cli(peer.port, &["CONFIG", "SET", "maxmemory", "0"]);
    fs::remove_dir(&gone).unwrap();
    redis_cli(peer.port, &["BGSAVE"]);
    while redis_cli(peer.port, &["INFO", "persistence"]).contains("rdb_bgsave_in_progress:1") {}
    let (code, report) = server.json("health --check redis");
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "redis.save");
}

#[test]
fn something_else_at_the_port_of_redis() {
    let web = Web::start(200, "ok");
    let lines = format!("[redis]\nurl = \"redis://127.0.0.1:{}\"\n", web.port);
    let (code, report) = watched(&web, CALM, &lines).json("health --check redis");
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "redis.down");
}

#[test]
fn certificates_by_the_share_of_their_life() {
    let web = Web::start(200, "ok");
    let folder = tempfile::tempdir().unwrap();
    let file = certificate(folder.path(), "leaf", 90);
    let lines = format!("[certs]\nfiles = [{file:?}]\n");
    let server = watched(&web, CALM, &lines);
    let now = jiff::Timestamp::now();
    let after = |days: i64, hours: i64| {
        let at = now + jiff::SignedDuration::from_hours(days * 24 + hours);
        server.json(&format!("health --check certs --now {at}"))
    };
    assert_eq!(after(59, 0).0, 0);
    let (code, report) = after(61, 0);
    assert_eq!(
        (code, &finding(&report, "cert.expiring")["severity"]),
        (1, &"medium".into())
    );
    let (code, report) = after(76, 0);
    assert_eq!(
        (code, &finding(&report, "cert.expiring")["severity"]),
        (2, &"high".into())
    );
    let (code, report) = after(90, 1);
    assert_eq!(
        (code, &finding(&report, "cert.expired")["severity"]),
        (2, &"critical".into())
    );
    let (code, report) = after(-1, 0);
    assert_eq!(
        (code, &finding(&report, "cert.not-yet-valid")["severity"]),
        (2, &"critical".into())
    );
    append(&server.config_path(), "\n");
    let text = fs::read_to_string(server.config_path()).unwrap();
    fs::write(
        server.config_path(),
        text.replace("[certs]", "[certs]\nrenew_command = [\"true\"]"),
    )
    .unwrap();
    assert_eq!(after(61, 0).0, 0, "renewal gets its chance first");
    assert_eq!(after(64, 0).0, 1);
}

#[test]
fn an_intermediate_that_has_expired_does_not_pass() {
    let web = Web::start(200, "ok");
    let folder = tempfile::tempdir().unwrap();
    let (path, chain) = (folder.path(), folder.path().join("chain.pem"));
    certificate(path, "root", 3650);
    for (name, by, days) in [("middle", "root", 10), ("leaf", "middle", 365)] {
        openssl(
            path,
            &format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ),
        );
        openssl(
            path,
            &format!(
                "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days {days} -out {name}.pem"
            ),
        );
    }
    for name in ["leaf", "middle", "root"] {
        append(
            &chain,
            &fs::read_to_string(path.join(format!("{name}.pem"))).unwrap(),
        );
    }
    let server = watched(&web, CALM, &format!("[certs]\nfiles = [{chain:?}]\n"));
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(11 * 24);
    let (code, report) = server.json(&format!("health --check certs --now {later}"));
    assert_eq!(code, 2, "{report:#}");
    let message = finding(&report, "cert.expired")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("middle"), "{message}");
}

#[test]
fn a_certificate_as_it_is_served() {
    let web = Web::start(200, "ok");
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "short", 6);
    let peer = tls_server(folder.path(), "short");
    let endpoint = format!("127.0.0.1:{}", peer.port);
    let lines = format!(
        "[certs]\nfiles = []\nendpoints = [{endpoint:?}, \"127.0.0.1:{}\"]\n",
        web.port
    );
    let server = watched(&web, CALM, &lines);
    let (code, report) = server.json("health --check certs");
    assert_eq!(code, 2, "{report:#}");
    let plain = finding(&report, "cert.unreadable");
    assert_eq!(
        plain["subject"],
        format!("127.0.0.1:{}", web.port),
        "no TLS there"
    );
    assert!(finding_ids(&report, &endpoint).is_empty(), "{report:#}");
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(4 * 24);
    let (_, report) = server.json(&format!("health --check certs --now {later}"));
    assert_eq!(finding_ids(&report, &endpoint), ["cert.expiring"]);
}

#[test]
fn files_that_are_no_certificates() {
    let web = Web::start(200, "ok");
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    fs::create_dir(&certs).unwrap();
    let server = watched(&web, CALM, &format!("[certs]\nfiles = [{certs:?}]\n"));
    let (code, report) = server.json("health --check certs");
    assert_eq!(code, 2, "an empty directory: {report:#}");
    finding(&report, "cert.unreadable");
    certificate(&certs, "good", 365);
    fs::rename(certs.join("good.key"), certs.join("good-key.pem")).unwrap();
    let (code, report) = server.json("health --check certs");
    assert_eq!(code, 0, "the key beside it is no certificate: {report:#}");
    assert_eq!(outcome(&report, "certs"), "well");
    let good = fs::read_to_string(certs.join("good.pem")).unwrap();
    fs::write(certs.join("cut.pem"), &good[..good.len() / 2]).unwrap();
    fs::write(certs.join("empty.pem"), "").unwrap();
    fs::write(certs.join("huge.pem"), vec![b'x'; 2 << 20]).unwrap();
    let (code, report) = server.json("health --check certs");
    assert_eq!(code, 2);
    assert_eq!(
        finding_ids(&report, ""),
        ["cert.unreadable"; 3],
        "{report:#}"
    );
}
