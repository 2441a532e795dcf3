//! `certs --renew`: what counts is what lies in the file and what the server shows, not how the command ended.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::peers::{script, wait_until};
use crate::support::pki::{SERVER, TlsServer, bundle, issue, three};
use crate::support::{Server, actions, finding, finding_ids, send};

/// A server that shows `site.pem` with 90 days, looked at 61 days later, when that is due; `new.pem` lies ready with 365 days.
struct Site {
    folder: TempDir,
    live: TlsServer,
    later: String,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        three(path);
        bundle(path, "site.pem", &["leaf", "middle"]);
        fs::rename(path.join("leaf.key"), path.join("site.key")).unwrap();
        issue(path, "leaf", "middle", 365, SERVER, "");
        bundle(path, "new.bundle", &["leaf", "middle"]);
        fs::remove_file(path.join("leaf.pem")).unwrap();
        let live = TlsServer::start(path, "site.pem", "site.key");
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(61 * 24);
        Self {
            live,
            later: later.to_string(),
            folder,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("site.pem")
    }

    fn subject(&self) -> String {
        self.file().display().to_string()
    }

    /// What the commands do, with `$here` for the folder.
    fn server(&self, renew: &str, reload: &str, endpoints: &[String]) -> Server {
        let here = self.folder.path();
        let commands = [("renew", renew), ("reload-it", reload)];
        for (name, text) in commands {
            let text = format!("here={here:?}; echo {name} >> \"$here/ran\"\n{text}");
            script(&here.join(name), &text);
        }
        Server::empty().config(&format!(
            "[certs]\nfiles = [{:?}]\nendpoints = {endpoints:?}\nroots = [{:?}]\nproof_timeout = \"1s\"\n\
             renew_timeout = \"5s\"\nrenew_command = [{:?}]\nreload_command = [{:?}]\n",
            self.file(),
            here.join("root.pem"),
            here.join("renew"),
            here.join("reload-it"),
        ))
    }

    /// The commands that were run, in order.
    fn ran(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("ran")).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn renew(&self, server: &Server) -> (i32, Value) {
        server.json(&format!("certs --renew --now {}", self.later))
    }
}

/// As certbot does it: the new file takes the old one's place whole.
const GOOD: &str = "cp \"$here/new.bundle\" \"$here/next\"; cp \"$here/leaf.key\" \"$here/site.key\"; mv \"$here/next\" \"$here/site.pem\"";
const RELOAD: &str = "touch \"$here/reload\"";

fn severity(report: &Value, id: &str) -> String {
    finding(report, id)["severity"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_due_is_renewed_reloaded_and_proved() {
    let site = Site::new();
    let server = site.server(GOOD, RELOAD, &[site.live.endpoint()]);
    let (code, report) = site.renew(&server);
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    let renewal = &report["data"]["renewal"];
    assert_eq!(renewal["renewed"], serde_json::json!([site.subject()]));
    assert_eq!(renewal["proven"], serde_json::json!([site.live.endpoint()]));
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("renewed, and the new one is served")
    );
    assert_eq!(site.ran(), "renew reload-it");
    let outcomes: Vec<_> = actions(&report)
        .into_iter()
        .map(|(kind, _, outcome)| format!("{kind} {outcome}"))
        .collect();
    assert_eq!(outcomes, ["renew done", "reload done"]);
    // The next night there is nothing to do.
    let (code, report) = site.renew(&server);
    assert_eq!((code, site.ran().as_str()), (0, "renew reload-it"));
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("no renewal is due"),
        "{report:#}"
    );
}

#[test]
fn what_is_not_due_is_left_alone_unless_it_is_forced() {
    let site = Site::new();
    let server = site.server(GOOD, RELOAD, &[site.live.endpoint()]);
    let (code, report) = server.json("certs --renew");
    assert_eq!(
        (code, site.ran().as_str(), actions(&report).len()),
        (0, "", 0),
        "{report:#}"
    );
    // A dry run that lists nothing does not speak of a list.
    let (_, report) = server.json("certs --renew --dry-run");
    let summary = report["summary"].as_str().unwrap();
    assert!(summary.starts_with("no renewal is due; "), "{summary}");
    // certbot ends 0 and does nothing where nothing is due: so it does here when forced.
    let lazy = site.server("true", RELOAD, &[site.live.endpoint()]);
    let (code, report) = lazy.json("certs --renew --force");
    assert_eq!((code, site.ran().as_str()), (0, "renew"), "{report:#}");
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("nothing was renewed")
    );
    let server = site.server(GOOD, RELOAD, &[site.live.endpoint()]);
    let (code, _) = server.json("certs --renew --force");
    assert_eq!((code, site.ran().as_str()), (0, "renew renew reload-it"));
    server.run("certs --force").expect(3);
}

#[test]
fn a_command_that_ends_well_and_renews_nothing_is_critical() {
    let site = Site::new();
    let server = site.server(
        "echo no renewals were attempted",
        RELOAD,
        &[site.live.endpoint()],
    );
    let (code, report) = site.renew(&server);
    assert_eq!(
        (code, severity(&report, "cert.renewal-failed")),
        (2, "critical".into()),
        "{report:#}"
    );
    let found = finding(&report, "cert.renewal-failed");
    assert_eq!(found["subject"], site.subject());
    assert!(
        found["message"]
            .as_str()
            .unwrap()
            .contains("has not changed the file")
    );
    assert_eq!(site.ran(), "renew", "there is nothing to reload");
}

#[test]
fn a_command_that_puts_the_same_life_there_again_is_critical() {
    let site = Site::new();
    let path = site.folder.path();
    issue(path, "again", "middle", 30, SERVER, "");
    let all = bundle(path, "again.bundle", &["again", "middle"]);
    assert!(all.exists());
    fs::remove_file(path.join("again.pem")).unwrap();
    let server = site.server("cp \"$here/again.bundle\" \"$here/site.pem\"", RELOAD, &[]);
    let (code, report) = site.renew(&server);
    assert_eq!(code, 2);
    let found = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == "cert.renewal-failed");
    assert!(
        found.unwrap()["message"]
            .as_str()
            .unwrap()
            .contains("ends no later"),
        "{report:#}"
    );
}

#[test]
fn a_command_that_fails_is_critical_and_told() {
    let site = Site::new();
    for (renew, why) in [
        (
            "echo the challenge failed >&2; exit 1",
            "the challenge failed",
        ),
        ("sleep 30", "was stopped after 5.0 s"),
        ("kill -9 $$", "signal: 9"),
    ] {
        let server = site.server(renew, RELOAD, &[]);
        let (code, report) = site.renew(&server);
        let found = finding(&report, "cert.renewal-failed");
        assert_eq!(
            (code, &found["severity"]),
            (2, &"critical".into()),
            "{report:#}"
        );
        assert!(found["message"].as_str().unwrap().contains(why), "{found}");
        assert_eq!(actions(&report)[0].2, "failed");
    }
    let server = site.server("", "", &[]);
    let text = fs::read_to_string(server.config_path()).unwrap();
    let renew = site.folder.path().join("renew").display().to_string();
    let server = server.raw_config(&text.replace(&renew, "/nonexistent/certbot"));
    let (code, report) = site.renew(&server);
    assert_eq!(code, 2);
    assert!(
        finding(&report, "cert.renewal-failed")["message"]
            .as_str()
            .unwrap()
            .contains("is not installed")
    );
}

/// The file is new, but the command says that something went wrong: a hook, most often.
#[test]
fn a_hook_that_fails_after_the_renewal_is_critical() {
    let site = Site::new();
    let server = site.server(
        &format!("{GOOD}; echo hook failed >&2; exit 1"),
        RELOAD,
        &[site.live.endpoint()],
    );
    let (code, report) = site.renew(&server);
    assert_eq!(code, 2, "{report:#}");
    let found = finding(&report, "cert.renewal-failed");
    assert_eq!(
        (&found["subject"], &found["severity"]),
        (&"renew_command".into(), &"critical".into())
    );
    assert!(found["message"].as_str().unwrap().contains("hook failed"));
    assert_eq!(
        report["data"]["renewal"]["proven"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "served it is nevertheless"
    );
}

#[test]
fn a_server_that_is_not_reloaded_is_critical_and_the_next_run_heals_it() {
    let site = Site::new();
    let server = site.server(GOOD, "true", &[site.live.endpoint()]);
    let (code, report) = site.renew(&server);
    assert_eq!(code, 2, "{report:#}");
    let found = finding(&report, "cert.renewal-failed");
    assert_eq!(
        (&found["subject"], &found["severity"]),
        (&site.live.endpoint().into(), &"critical".into())
    );
    assert!(
        found["message"]
            .as_str()
            .unwrap()
            .contains("still serves the old certificate"),
        "{found}"
    );
    let server = site.server(
        GOOD,
        "echo unit not found >&2; exit 5",
        &[site.live.endpoint()],
    );
    let (code, report) = site.renew(&server);
    assert_eq!(
        (code, severity(&report, "cert.reload-failed")),
        (2, "high".into()),
        "{report:#}"
    );
    let server = site.server(GOOD, RELOAD, &[site.live.endpoint()]);
    let (code, report) = site.renew(&server);
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("the server now serves")
    );
    assert_eq!(
        site.ran(),
        "renew reload-it reload-it reload-it",
        "renewed once"
    );
}

/// The new certificate has another subject and another name: who served the old one must serve it all the same.
#[test]
fn a_renewal_under_another_name_that_is_not_served_is_critical() {
    for endpoint in [None, Some("127.0.0.1")] {
        let site = Site::new();
        let path = site.folder.path();
        let others = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:other.test\n";
        issue(path, "other", "middle", 365, others, "");
        bundle(path, "new.bundle", &["other", "middle"]);
        fs::copy(path.join("other.key"), path.join("leaf.key")).unwrap();
        let endpoint = match endpoint {
            None => site.live.endpoint(),
            Some(host) => format!("{host}:{}", site.live.port),
        };
        let server = site.server(GOOD, "true", std::slice::from_ref(&endpoint));
        let (code, report) = site.renew(&server);
        assert_eq!(code, 2, "{report:#}");
        let found = finding(&report, "cert.renewal-failed");
        assert_eq!(
            (&found["subject"], &found["severity"]),
            (&endpoint.into(), &"critical".into())
        );
        assert!(
            !finding_ids(&report, "").contains(&"cert.not-proven".to_owned()),
            "{report:#}"
        );
    }
}

/// Both are over once somebody sees the endpoint serve what the file holds, by whatever means that came about.
#[test]
fn a_reload_that_failed_is_over_when_the_new_certificate_is_served() {
    let site = Site::new();
    let server = site.server(GOOD, "exit 5", &[site.live.endpoint()]);
    let channel = "[[alerts.channel]]\nname = \"log\"\nkind = \"command\"\ncommand = [\"tee\", \"-a\", \"LOG\"]\n[[alerts.route]]\nmin_severity = \"medium\"\nchannels = [\"log\"]\n";
    let log = site.folder.path().join("log");
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&(text + &channel.replace("LOG", &log.display().to_string())));
    site.renew(&server);
    let over = || {
        let told = fs::read_to_string(&log).unwrap().to_lowercase();
        told.lines()
            .any(|line| line.contains("cert.reload-failed") && line.contains("resolved"))
    };
    assert!(!over());
    fs::write(site.folder.path().join("reload"), "").unwrap();
    let (code, report) = server.json(&format!("certs --now {}", site.later));
    assert_eq!(code, 0, "{report:#}");
    assert!(over());
}

/// What it has started ends with it.
#[test]
fn a_signal_ends_the_command_too() {
    let site = Site::new();
    let server = site.server(
        "echo $$ >\"$here/pid\"; sleep 300 & wait; wait",
        RELOAD,
        &[site.live.endpoint()],
    );
    let line = ["certs", "--renew", "--now", &site.later];
    let mut first = server.command(line).spawn().unwrap();
    let number = || fs::read_to_string(site.folder.path().join("pid")).unwrap_or_default();
    wait_until(|| number().ends_with('\n'));
    send(first.id(), Signal::HUP);
    assert_eq!(first.wait().unwrap().code(), Some(129));
    wait_until(|| !std::path::Path::new("/proc").join(number().trim()).exists());
    let server = site.server(GOOD, RELOAD, &[site.live.endpoint()]);
    assert_eq!(site.renew(&server).0, 0, "the lock was let go");
}

#[test]
fn without_an_endpoint_it_is_renewed_and_not_proven() {
    let site = Site::new();
    let server = site.server(GOOD, RELOAD, &[]);
    let (code, report) = site.renew(&server);
    assert_eq!(
        (code, severity(&report, "cert.not-proven")),
        (1, "medium".into()),
        "{report:#}"
    );
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .starts_with("renewed, not proven")
    );
    assert_eq!(site.ran(), "renew reload-it");
    // An endpoint of another site proves nothing.
    let site = Site::new();
    let other = Site::new();
    let elsewhere = format!("other.test@127.0.0.1:{}", other.live.port);
    let server = site.server(GOOD, RELOAD, &[elsewhere]);
    let (_, report) = site.renew(&server);
    assert_eq!(severity(&report, "cert.not-proven"), "medium");
}

#[test]
fn an_endpoint_without_a_file_must_show_another_certificate() {
    let site = Site::new();
    let endpoint = site.live.endpoint();
    let without_file = |server: Server| {
        let text = fs::read_to_string(server.config_path()).unwrap();
        let files = format!("files = [{:?}]", site.file());
        server.raw_config(&text.replace(&files, "files = []"))
    };
    let server = without_file(site.server("true", RELOAD, std::slice::from_ref(&endpoint)));
    let (code, report) = site.renew(&server);
    assert_eq!(
        (code, &finding(&report, "cert.renewal-failed")["subject"]),
        (2, &endpoint.clone().into()),
        "{report:#}"
    );
    let reloading = format!("{GOOD}; {RELOAD}");
    let server = without_file(site.server(&reloading, RELOAD, &[endpoint]));
    let (code, report) = site.renew(&server);
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
}

#[test]
fn a_dry_run_lists_and_runs_nothing() {
    let site = Site::new();
    let server = site.server(GOOD, RELOAD, &[site.live.endpoint()]);
    let before = server.fingerprint(site.folder.path());
    let (code, report) = server.json(&format!("certs --renew --dry-run --now {}", site.later));
    let planned: Vec<_> = actions(&report)
        .into_iter()
        .map(|(kind, _, outcome)| format!("{kind} {outcome}"))
        .collect();
    assert_eq!(
        (planned.join(", ").as_str(), code),
        ("renew planned, reload planned", 0),
        "{report:#}"
    );
    assert_eq!(server.fingerprint(site.folder.path()), before);
    let (_, real) = site.renew(&server);
    let targets = |report: &Value| {
        actions(report)
            .into_iter()
            .map(|(kind, target, _)| (kind, target))
            .collect::<Vec<_>>()
    };
    assert_eq!(targets(&report), targets(&real));
}

/// Two at once, and one that is killed in the midst of it: the command may still put its file there, and the next run goes on.
#[test]
fn one_at_a_time_and_a_killed_run_is_taken_up() {
    let site = Site::new();
    let slow = format!("while [ ! -e \"$here/go\" ]; do sleep 0.1; done; {GOOD}");
    let server = site.server(&slow, RELOAD, &[site.live.endpoint()]);
    let line = ["certs", "--renew", "--now", &site.later];
    let mut first = server.command(line).spawn().unwrap();
    wait_until(|| site.ran() == "renew");
    let second = server.run_args(line).expect(3);
    assert!(
        second.err.contains("the task certs is in use by"),
        "{}",
        second.err
    );
    send(first.id(), Signal::KILL);
    first.wait().unwrap();
    fs::write(site.folder.path().join("go"), "").unwrap();
    let new = fs::read(site.folder.path().join("new.bundle")).unwrap();
    wait_until(|| fs::read(site.file()).unwrap() == new);
    let (_, report) = site.renew(&server);
    assert_eq!(site.ran(), "renew reload-it", "{report:#}");
    assert_eq!(finding_ids(&report, ""), ["task.interrupted"]);
    assert_eq!(site.renew(&server).0, 0);
}

/// A finding about a renewal goes away with the next run that finds nothing due.
#[test]
fn a_failed_renewal_is_resolved_by_a_later_run() {
    let site = Site::new();
    let server = site.server("exit 1", RELOAD, &[]);
    let channel = "[[alerts.channel]]\nname = \"log\"\nkind = \"command\"\ncommand = [\"tee\", \"-a\", \"LOG\"]\n[[alerts.route]]\nmin_severity = \"medium\"\nchannels = [\"log\"]\n";
    let log = site.folder.path().join("log");
    let text = fs::read_to_string(server.config_path()).unwrap();
    let server = server.raw_config(&(text + &channel.replace("LOG", &log.display().to_string())));
    site.renew(&server);
    let told = fs::read_to_string(&log).unwrap();
    assert!(
        told.contains("renewal is due and has not changed the file"),
        "{told}"
    );
    // The operator renews by hand.
    fs::copy(site.folder.path().join("new.bundle"), site.file()).unwrap();
    fs::copy(
        site.folder.path().join("leaf.key"),
        site.folder.path().join("site.key"),
    )
    .unwrap();
    let (code, _) = server.json(&format!("certs --now {}", site.later));
    assert_eq!(code, 0);
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.to_lowercase().contains("resolved"), "{told}");
}
