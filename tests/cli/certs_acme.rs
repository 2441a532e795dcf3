//! `certs --renew` with real certbot against a real ACME server on loopback: issue, renew, a hook that fails, a server that is not
//! reloaded.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::peers::wait_until;
use crate::support::pki::{HOST, TlsServer};
use crate::support::services::{Peer, free_port, openssl};
use crate::support::{Server, finding, finding_ids};

/// Debian's pebble with a name server of its own, and certbot's folders.
struct Acme {
    folder: TempDir,
    http: u16,
    directory: String,
    peers: [Peer; 2],
}

impl Acme {
    /// Certificates live ninety days.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        openssl(
            path,
            "req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE",
        );
        let [acme, management, http, tls, dns, names] = [(); 6].map(|()| free_port());
        let settings = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"), "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": "c.pem", "privateKey": "k.pem", "httpPort": http, "tlsPort": tls,
            "certificateValidityPeriod": 90 * 86_400}});
        fs::write(path.join("settings.json"), settings.to_string()).unwrap();
        let mut command = Command::new("pebble-challtestsrv");
        command
            .args(["-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-dns01", &format!("127.0.0.1:{dns}")])
            .args(["-management", &format!("127.0.0.1:{names}")]);
        let names = Peer::start(names, &mut command);
        let mut command = Command::new("pebble");
        command
            .current_dir(path)
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .args([
                "-config",
                "settings.json",
                "-dnsserver",
                &format!("127.0.0.1:{dns}"),
            ]);
        let acme_server = Peer::start(acme, &mut command);
        wait_until(|| TcpStream::connect(("127.0.0.1", management)).is_ok());
        let root = empire_maint::sys::http::send(&empire_maint::sys::http::Request {
            url: &format!("https://localhost:{management}/roots/0"),
            name: "pebble",
            ca_file: Some(&path.join("c.pem")),
            limit: Duration::from_secs(10),
            wanted: 1 << 20,
            ..Default::default()
        });
        fs::write(path.join("root.pem"), root.unwrap().body).unwrap();
        Self {
            http,
            directory: format!("https://localhost:{acme}/dir"),
            folder,
            peers: [names, acme_server],
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The argument list of certbot; what a crontab's environment lacks comes through `env`.
    fn certbot(&self, arguments: &[&str]) -> Vec<String> {
        let path = self.path();
        let mut list = vec![
            "env".to_owned(),
            format!("REQUESTS_CA_BUNDLE={}", path.join("c.pem").display()),
            "certbot".to_owned(),
        ];
        list.extend(arguments.iter().map(|&word| word.to_owned()));
        list.extend(["--non-interactive", "--server", &self.directory].map(str::to_owned));
        for (option, name) in [
            ("--config-dir", "D"),
            ("--work-dir", "W"),
            ("--logs-dir", "L"),
        ] {
            list.extend([option.to_owned(), path.join(name).display().to_string()]);
        }
        list
    }

    /// A first certificate for [`HOST`].
    fn issue(&self) {
        let port = self.http.to_string();
        let list = self.certbot(&[
            "certonly",
            "--agree-tos",
            "-m",
            "a@example.test",
            "--standalone",
            "--http-01-port",
            &port,
            "-d",
            HOST,
        ]);
        let output = Command::new(&list[0]).args(&list[1..]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn live(&self) -> PathBuf {
        self.path().join("D/live").join(HOST)
    }

    fn server(&self, renew: &[&str], reload: &[&str], live: &TlsServer) -> Server {
        let renew = self.certbot(&[&["renew", "--no-random-sleep-on-renew"], renew].concat());
        Server::empty().config(&format!(
            "[certs]\nfiles = [{:?}]\nendpoints = [{:?}]\nroots = [{:?}]\nproof_timeout = \"2s\"\nrenew_command = {renew:?}\nreload_command = {reload:?}\n",
            self.path().join("D/live"),
            live.endpoint(),
            self.path().join("root.pem"),
        ))
    }
}

/// What certbot itself has to renew it by: its clock is the machine's.
const FORCE: &str = "--force-renewal";

fn later() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(62 * 24)).to_string()
}

fn fingerprint(report: &Value, chain: usize) -> String {
    report["data"]["chains"][chain]["certificates"][0]["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn certbot_renews_and_the_new_one_is_served() {
    let acme = Acme::start();
    acme.issue();
    let live = TlsServer::start(&acme.live(), "fullchain.pem", "privkey.pem");
    let touch = acme.live().join("reload").display().to_string();
    let reload = ["touch", touch.as_str()];

    // Issued: one chain in a file, one served, the same, and nothing to say.
    let server = acme.server(&[], &reload, &live);
    let (code, report) = server.json("certs --renew");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("no renewal is due"),
        "{report:#}"
    );
    assert_eq!(fingerprint(&report, 0), fingerprint(&report, 1));
    assert_eq!(report["data"]["chains"][0]["key_matches"], true);
    let first = fingerprint(&report, 0);

    // Due by our clock and not by certbot's: it ends 0 and renews nothing, which is critical.
    let later = later();
    let (code, report) = server.json(&format!("certs --renew --now {later}"));
    assert_eq!(code, 2, "{report:#}");
    let found = finding(&report, "cert.renewal-failed");
    assert_eq!(found["severity"], "critical");
    assert!(
        found["message"]
            .as_str()
            .unwrap()
            .contains("has not changed the file"),
        "{found}"
    );

    // Renewed. The new one begins by the machine's clock, so it lives to the same second or later.
    std::thread::sleep(Duration::from_millis(1100));
    let server = acme.server(&[FORCE], &reload, &live);
    let (_, report) = server.json(&format!("certs --renew --now {later}"));
    assert!(
        !finding_ids(&report, "").contains(&"cert.renewal-failed".to_owned()),
        "{report:#}"
    );
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("renewed, and the new one is served"),
        "{report:#}"
    );
    let second = fingerprint(&report, 1);
    assert!(second != first && second == fingerprint(&report, 0));
}

/// certbot ends 0 although the deploy hook has failed (it only says so): what is served tells.
#[test]
fn a_hook_that_fails_and_a_server_that_is_not_reloaded() {
    let acme = Acme::start();
    acme.issue();
    let live = TlsServer::start(&acme.live(), "fullchain.pem", "privkey.pem");
    let server = acme.server(&[FORCE, "--deploy-hook", "false"], &["true"], &live);
    std::thread::sleep(Duration::from_millis(1100));
    let (code, report) = server.json(&format!("certs --renew --now {}", later()));
    assert_eq!(code, 2, "{report:#}");
    let found = finding(&report, "cert.renewal-failed");
    assert_eq!(found["subject"], live.endpoint());
    assert!(
        found["message"]
            .as_str()
            .unwrap()
            .contains("still serves the old certificate"),
        "{found}"
    );
    let ended = &report["data"]["renewal"]["command_ended_well"];
    assert_eq!(ended, true, "certbot itself is content");

    // The next run needs no renewal, only a reload.
    let touch = acme.live().join("reload").display().to_string();
    let server = acme.server(&[], &["touch", &touch], &live);
    let (code, report) = server.json("certs --renew");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    assert_eq!(fingerprint(&report, 0), fingerprint(&report, 1));
}

/// The ACME server is gone: certbot fails, and says why.
#[test]
fn an_authority_that_does_not_answer() {
    let acme = Acme::start();
    acme.issue();
    let live = TlsServer::start(&acme.live(), "fullchain.pem", "privkey.pem");
    let server = acme.server(&[FORCE], &["true"], &live);
    drop(acme.peers);
    let (code, report) = server.json(&format!("certs --renew --now {}", later()));
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(
        finding(&report, "cert.renewal-failed")["severity"],
        "critical"
    );
}
