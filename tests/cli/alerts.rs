//! The right person, once and in time: what is sent, when, to whom, and what happens when it cannot be.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::http;
use crate::support::peers::{MailServer, WebServer, script, wait_until};
use crate::support::{Ran, Server, actions, fill, finding, finding_ids};

/// A server whose alerts go to a mail server; a forgotten database is its medium trouble.
struct Watched {
    server: Server,
    mail: MailServer,
}

const FORGOTTEN: &str = "backup.unconfigured-database";

impl Watched {
    fn new(route: &str) -> Self {
        Self::with("", route)
    }

    /// With lines of `[alerts]` itself.
    fn with(lines: &str, route: &str) -> Self {
        let mail = MailServer::start();
        let server = Server::new().config(&format!(
            "[alerts]\n{lines}\n[[alerts.channel]]\nname = \"ops\"\nkind = \"mail\"\nsmtp_url = \"smtp://127.0.0.1:{}\"\nfrom = \"maint@luca.test\"\nto = [\"admin@luca.test\", \"second@luca.test\"]\ntimeout = \"2s\"\n[[alerts.route]]\nchannels = [\"ops\"]\n{route}",
            mail.port
        ));
        Self { server, mail }
    }

    fn break_it(&self) {
        fill(&self.server.root().join("data/forgotten.db"), 5);
    }

    fn mend_it(&self) {
        for side in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.server.root().join(format!("data/forgotten.db{side}")));
        }
    }

    fn backup(&self, at: &str) -> Ran {
        self.server.run(&format!("backup --quiet --now {at}"))
    }

    fn flush(&self, at: &str) -> Ran {
        self.server.run(&format!("alerts flush --quiet --now {at}"))
    }

    fn incidents(&self, at: &str) -> Vec<Value> {
        let (_, report) = self.server.json(&format!("alerts list --now {at}"));
        let mut incidents = report["data"]["incidents"].as_array().unwrap().clone();
        // Databases and backups of a test are on one device.
        incidents.retain(|incident| incident["finding"] != "backup.same-device");
        incidents
    }
}

fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("{name}: ");
    mail.lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(&start))
}

#[test]
fn one_mail_then_silence_then_one_that_it_is_over() {
    let watched = Watched::new("");
    watched.break_it();
    let ran = watched.backup("2026-11-20T03:00:00Z").expect(1);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", ""),
        "cron has nothing to repeat"
    );
    let mails = watched.mail.mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    let first = &mails[0];
    assert_eq!(
        header(first, "X-To"),
        Some("admin@luca.test second@luca.test")
    );
    assert_eq!(header(first, "Auto-Submitted"), Some("auto-generated"));
    assert!(
        header(first, "Subject").unwrap().contains("backup MEDIUM"),
        "{first}"
    );
    let body = first.lines().skip_while(|line| !line.is_empty()).nth(1);
    assert!(body.unwrap().contains(" backup MEDIUM: "), "{first}");
    for part in [
        "forgotten.db",
        FORGOTTEN,
        "since 2026-11-20 03:00:0",
        "alerts ack ",
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    for hour in ["04", "05", "09"] {
        watched
            .backup(&format!("2026-11-20T{hour}:00:00Z"))
            .expect(1);
    }
    assert_eq!(watched.mail.mails().len(), 1);
    watched.mend_it();
    let over = watched.backup("2026-11-20T10:00:00Z").expect(0);
    assert_eq!(over.out, "");
    let mails = watched.mail.mails();
    assert_eq!(mails.len(), 2, "{mails:#?}");
    assert!(
        mails[1].contains("RESOLVED") && mails[1].contains("(resolved)"),
        "{}",
        mails[1]
    );
    let root = header(first, "Message-ID").unwrap();
    assert_eq!(header(&mails[1], "References"), Some(root));
    assert_ne!(header(&mails[1], "Message-ID"), Some(root));
    watched.backup("2026-11-20T11:00:00Z").expect(0);
    assert_eq!(watched.mail.mails().len(), 2, "said once");
}

#[test]
fn a_week_of_hours_is_a_mail_a_day_at_most_and_cron_says_nothing() {
    let watched = Watched::new("");
    watched.break_it();
    let start: jiff::Timestamp = "2026-11-20T00:00:30Z".parse().unwrap();
    for hour in 0..7 * 24 {
        let now = start + jiff::SignedDuration::from_hours(hour);
        // The files alone: the findings are the same and the hours are cheap.
        let ran = watched
            .server
            .run(&format!("backup --quiet --database files --now {now}"));
        assert!(ran.code <= 1 && ran.out.is_empty(), "{ran:?}");
        if hour % 12 == 0 {
            let ran = watched.backup(&now.to_string()).expect(1);
            assert_eq!(ran.out, "");
        }
    }
    let mails = watched.mail.mails().len();
    assert!((6..=7).contains(&mails), "{mails} mails");
}

/// The first end is believed at once, and the next coming is told; from then on there is one message when it stays away.
#[test]
fn what_comes_and_goes_is_not_told_every_time() {
    let watched = Watched::new("");
    for (hour, mails) in [(0, [1, 2]), (1, [3, 3]), (2, [3, 3]), (3, [3, 3])] {
        watched.break_it();
        watched
            .backup(&format!("2026-11-20T0{hour}:00:00Z"))
            .expect(1);
        assert_eq!(watched.mail.mails().len(), mails[0], "{hour}");
        watched.mend_it();
        let over = watched.backup(&format!("2026-11-20T0{hour}:30:00Z"));
        assert_eq!(over.expect(0).out, "");
        assert_eq!(watched.mail.mails().len(), mails[1], "{hour}");
    }
    let listed = watched.incidents("2026-11-20T09:00:00Z");
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert_eq!(
        &listed[0]["resolved"].as_str().unwrap()[..16],
        "2026-11-20T03:30"
    );
    watched.flush("2026-11-20T09:29:00Z").expect(0);
    assert_eq!(watched.mail.mails().len(), 3);
    watched.flush("2026-11-20T09:31:00Z").expect(0);
    let mails = watched.mail.mails();
    assert!(
        mails.len() == 4 && mails[3].contains("(resolved)"),
        "{mails:#?}"
    );
    assert!(watched.incidents("2026-11-20T09:32:00Z").is_empty());
    // A week later it is an incident like any other.
    watched.break_it();
    watched.backup("2026-11-27T03:00:00Z").expect(1);
    watched.mend_it();
    watched.backup("2026-11-27T04:00:00Z").expect(0);
    assert_eq!(watched.mail.mails().len(), 6);
}

#[test]
fn what_is_held_is_sent_only_when_it_was_found_again_late_enough() {
    let watched = Watched::with(&format!("hold = [\"{FORGOTTEN}\"]"), "");
    watched.break_it();
    watched.backup("2026-11-20T10:17:00Z").expect(1);
    watched.flush("2026-11-20T10:49:00Z").expect(0);
    assert_eq!(watched.mail.mails().len(), 0, "nobody looked again");
    watched.backup("2026-11-20T11:17:00Z").expect(1);
    assert_eq!(watched.mail.mails().len(), 1);
}

#[test]
fn one_channel_that_took_it_is_enough_for_crons_mail_to_be_empty() {
    let watched = Watched::new(
        "[[alerts.channel]]\nname = \"broken\"\nkind = \"command\"\ncommand = [\"/bin/false\"]\n[[alerts.route]]\nchannels = [\"broken\"]",
    );
    watched.break_it();
    let ran = watched.backup("2026-11-20T03:00:00Z").expect(1);
    assert!(!ran.out.contains("forgotten.db"), "{}", ran.out);
    let mails = watched.mail.mails();
    let told = |what: &str| mails.iter().any(|mail| mail.contains(what));
    assert!(
        told("forgotten.db") && told("alert.undelivered"),
        "{mails:#?}"
    );
    watched.mail.fail("data 452");
    watched.mend_it();
    let ran = watched.backup("2026-11-20T04:00:00Z");
    assert!(ran.out.contains("(resolved)"), "{}", ran.out);
}

#[test]
fn a_silence_for_what_is_never_found_is_refused() {
    let server = Server::new();
    let ran = server.run("alerts silence disk.usge --for 1h").expect(3);
    assert!(
        ran.err.contains("there is no finding 'disk.usge'") && ran.err.contains("disk.usage"),
        "{}",
        ran.err
    );
    for known in ["disk.usage", "disk.*", "*"] {
        server
            .run(&format!("alerts silence {known} --for 1h"))
            .expect(0);
    }
}

#[test]
fn a_dry_run_does_not_read_as_done() {
    let watched = Watched::new("");
    watched.break_it();
    watched.backup("2026-11-20T03:00:00Z").expect(1);
    let backup = watched.server.list("app_db")[0].clone();
    let backup = backup.file_name().unwrap().to_str().unwrap().to_owned();
    for line in [
        "alerts ack 1 -n".to_owned(),
        "alerts test -n".to_owned(),
        "alerts send -n --severity high hello".to_owned(),
        "maintenance start -n".to_owned(),
        format!("backup pin {backup} -n"),
        format!("backup unpin {backup} -n"),
    ] {
        let (_, report) = watched.server.json(&line);
        let said = report["summary"].as_str().unwrap();
        assert!(said.contains("would "), "{line}: {said}");
    }
}

#[test]
fn worse_is_sent_at_once_and_undoes_the_acknowledgement() {
    let watched = Watched::new("");
    let database = watched.server.database();
    let other = watched.server.path().join("elsewhere.db");
    fs::rename(&database, &other).unwrap();
    watched.backup("2026-11-20T03:00:00Z").expect(2);
    assert_eq!(watched.mail.mails().len(), 1);
    let number = watched.incidents("2026-11-20T03:01:00Z")[0]["number"].clone();
    watched
        .server
        .run(&format!("alerts ack {number} --now 2026-11-20T03:05:00Z"))
        .expect(0);
    watched.backup("2026-11-22T03:00:00Z").expect(2);
    assert_eq!(watched.mail.mails().len(), 1, "known: no repeat");
    let incident = &watched.incidents("2026-11-22T03:01:00Z")[0];
    assert!(incident["acknowledged_by"].is_string(), "{incident}");
    watched.server.run("alerts ack 4711").expect(3);
}

#[test]
fn what_nobody_acknowledges_is_escalated_by_the_flush() {
    let watched = Watched::new(
        "escalate_after = \"1h\"\nescalate_to = [\"pager\"]\n[[alerts.channel]]\nname = \"pager\"\nkind = \"command\"\ncommand = [\"PAGER\"]",
    );
    let pager = watched.server.path().join("pager");
    let heard = watched.server.path().join("heard");
    script(&pager, &format!("cat >> {}", heard.display()));
    let text = fs::read_to_string(watched.server.config_path()).unwrap();
    fs::write(
        watched.server.config_path(),
        text.replace("PAGER", &pager.display().to_string()),
    )
    .unwrap();
    watched.break_it();
    watched.backup("2026-11-20T03:00:00Z").expect(1);
    watched.flush("2026-11-20T03:55:00Z").expect(0);
    assert!(!heard.exists());
    watched.flush("2026-11-20T04:00:10Z").expect(0);
    let said = fs::read_to_string(&heard).unwrap();
    let message: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(message["news"][0]["event"], "not acknowledged");
    assert_eq!(message["news"][0]["finding"], FORGOTTEN);
    watched.flush("2026-11-20T05:00:00Z").expect(0);
    assert_eq!(fs::read_to_string(&heard).unwrap(), said, "once");
}

#[test]
fn what_cannot_be_sent_waits_and_is_sent_later() {
    for stage in [
        "ehlo 421",
        "mail 451",
        "rcpt 550",
        "data 452",
        "data hang",
        "answer 451",
    ] {
        let watched = Watched::new("");
        watched.break_it();
        watched.mail.fail(stage);
        let ran = watched.backup("2026-11-20T03:00:00Z");
        assert!(
            ran.out.contains("forgotten.db"),
            "{stage}: cron says what the channel did not: {ran:?}"
        );
        assert!(
            ran.out.contains("ops") && ran.out.contains("not sent"),
            "{stage}: {ran:?}"
        );
        let sent_unheard = stage == "answer 451"; // taken, and the answer was no
        assert_eq!(
            watched.mail.mails().len(),
            usize::from(sent_unheard),
            "{stage}"
        );
        let (_, list) = watched
            .server
            .json("alerts list --now 2026-11-20T03:00:30Z");
        assert_eq!(
            list["data"]["queues"][0]["channel"], "ops",
            "{stage}: {list:#}"
        );
        if stage == "data hang" {
            let error = list["data"]["queues"][0]["error"].as_str().unwrap();
            assert!(error.ends_with(": no answer within 2.0 s"), "{error}");
        }
        watched.mail.fail("");
        watched.flush("2026-11-20T03:00:40Z");
        assert_eq!(
            watched.mail.mails().len(),
            usize::from(sent_unheard),
            "{stage}: not before its time"
        );
        let ran = watched.flush("2026-11-20T04:30:00Z").expect(0);
        assert!(
            ran.out.is_empty() || ran.out.contains("resolved"),
            "{ran:?}"
        );
        let mails = watched.mail.mails();
        let about = mails
            .iter()
            .filter(|mail| mail.contains("forgotten.db"))
            .count();
        assert_eq!(about, 1 + usize::from(sent_unheard), "{stage}: {mails:#?}");
        let (_, list) = watched
            .server
            .json("alerts list --now 2026-11-20T04:31:00Z");
        assert!(
            list["data"]["queues"].as_array().unwrap().is_empty(),
            "{stage}: {list:#}"
        );
    }
}

#[test]
fn mail_goes_through_starttls_with_a_password_and_neither_is_shown() {
    encrypted(&MailServer::with_tls(), "smtp");
}

#[test]
fn mail_goes_through_tls_from_the_first_byte() {
    encrypted(&MailServer::wrapped(), "smtps");
}

fn encrypted(mail: &MailServer, scheme: &str) {
    let server = Server::new();
    let password = server.path().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    let config = |more: &str| {
        format!(
            "[app]\nroot = {:?}\n[state]\ndir = {:?}\n[[alerts.channel]]\nname = \"ops\"\nkind = \"mail\"\nsmtp_url = \"{scheme}://localhost:{}\"\nfrom = \"maint@luca.test\"\nto = [\"admin@luca.test\"]\n{more}",
            server.root(),
            server.state(),
            mail.port
        )
    };
    let good = format!(
        "username = \"cron\"\npassword_file = {password:?}\nca_file = {:?}",
        mail.ca()
    );
    fs::write(server.config_path(), config(&good)).unwrap();
    let (code, report) = server.json("alerts test ops");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(header(&mail.mails()[0], "X-Tls"), Some("True"));
    let untrusted = format!("username = \"cron\"\npassword_file = {password:?}");
    fs::write(server.config_path(), config(&untrusted)).unwrap();
    let (code, report) = server.json("alerts test");
    assert_eq!(code, 2, "a certificate that nobody vouches for: {report:#}");
    fs::write(&password, "wrong-secret").unwrap();
    fs::write(server.config_path(), config(&good)).unwrap();
    let ran = server.run("alerts test -v");
    assert_eq!(ran.code, 2);
    assert!(!format!("{ran:?}").contains("wrong-secret"), "{ran:?}");
    let shown = server.run("config show");
    assert!(!shown.out.contains("hunter2"), "{}", shown.out);
    assert_eq!(mail.mails().len(), 1);
}

#[test]
fn a_local_server_whose_certificate_nobody_vouches_for_gets_its_mail() {
    let (mail, other) = (MailServer::with_tls_for_all(), MailServer::with_tls());
    let server = Server::new();
    let test = |more: &str| {
        let text = format!(
            "[app]\nroot = {:?}\n[state]\ndir = {:?}\n[[alerts.channel]]\nname = \"ops\"\nkind = \"mail\"\nsmtp_url = \"smtp://127.0.0.1:{}\"\nfrom = \"maint@luca.test\"\nto = [\"admin@luca.test\"]\n{more}",
            server.root(),
            server.state(),
            mail.port
        );
        fs::write(server.config_path(), text).unwrap();
        server.run("alerts test").code
    };
    assert_eq!(test(""), 0);
    assert_eq!(header(&mail.mails()[0], "X-Tls"), Some("True"));
    assert_eq!(test(&format!("ca_file = {:?}", mail.ca())), 0);
    assert_eq!(mail.mails().len(), 2);
    for strict in [
        "starttls = \"required\"".to_owned(),
        format!("ca_file = {:?}", other.ca()),
        "password = \"hunter2\"".to_owned(),
    ] {
        assert_eq!(test(&strict), 2, "{strict}");
    }
    assert_eq!(mail.mails().len(), 2);
}

fn about<'a>(mails: &'a [String], what: &str) -> Vec<&'a str> {
    let told = mails.iter().filter(|mail| mail.contains(what));
    told.filter_map(|mail| header(mail, "X-To")).collect()
}

#[test]
fn one_refused_receiver_keeps_the_mail_from_nobody_else() {
    let watched = Watched::new("");
    watched.break_it();
    watched.mail.fail("rcpt 550 second@luca.test");
    watched.backup("2026-11-20T03:00:00Z");
    let mails = watched.mail.mails();
    assert_eq!(about(&mails, "forgotten.db"), ["admin@luca.test"]);
    assert_eq!(about(&mails, "alert.undelivered"), ["admin@luca.test"]);
    let refused = watched.incidents("2026-11-20T03:01:00Z");
    let refused = refused
        .iter()
        .find(|one| one["finding"] == "alert.undelivered");
    assert_eq!(refused.unwrap()["subject"], "ops: second@luca.test");
    watched.flush("2026-11-20T05:00:00Z").expect(0);
    watched.backup("2026-11-20T06:00:00Z");
    assert_eq!(watched.mail.mails().len(), 2, "nobody hears it twice");
    watched.mail.fail("");
    watched.mend_it();
    watched.backup("2026-11-20T07:00:00Z").expect(0);
    let mails = watched.mail.mails();
    let both = "admin@luca.test second@luca.test";
    assert_eq!(about(&mails[2..], "RESOLVED"), [both, both]);
    assert!(watched.incidents("2026-11-20T07:01:00Z").is_empty());
}

#[test]
fn a_receiver_whose_server_asks_to_come_again_gets_it_later_and_alone() {
    let watched = Watched::new("");
    watched.break_it();
    watched.mail.fail("rcpt 451 second@luca.test");
    let ran = watched.backup("2026-11-20T03:00:00Z").expect(1);
    assert_eq!(ran.out, "", "the channel has it");
    let mails = watched.mail.mails();
    assert_eq!(about(&mails, "forgotten.db"), ["admin@luca.test"]);
    watched.flush("2026-11-20T03:03:00Z").expect(0);
    watched.mail.fail("");
    watched.flush("2026-11-20T03:30:00Z").expect(0);
    let mails = watched.mail.mails();
    assert_eq!(
        about(&mails, "forgotten.db"),
        ["admin@luca.test", "second@luca.test"]
    );
    watched.flush("2026-11-20T05:00:00Z").expect(0);
    assert_eq!(watched.mail.mails().len(), 2);
}

#[test]
fn what_is_gone_for_good_can_be_closed() {
    let watched = Watched::new("");
    watched.break_it();
    watched.backup("2026-11-20T03:00:00Z").expect(1);
    let number = watched.incidents("2026-11-20T03:01:00Z")[0]["number"].clone();
    let close = format!("alerts close {number}");
    let server = &watched.server;
    server
        .run(&format!("{close} -n --now 2026-11-20T03:02:00Z"))
        .expect(0);
    assert_eq!(watched.incidents("2026-11-20T03:03:00Z").len(), 1);
    server
        .run(&format!("{close} --now 2026-11-20T03:05:00Z"))
        .expect(0);
    let mails = watched.mail.mails();
    assert_eq!(mails.len(), 2, "{mails:#?}");
    assert!(mails[1].contains("RESOLVED"), "{}", mails[1]);
    assert!(watched.incidents("2026-11-20T03:06:00Z").is_empty());
    server
        .run(&format!("{close} --now 2026-11-20T03:07:00Z"))
        .expect(3);
    let (_, history) = server.json("history --task alerts");
    assert_eq!(history["data"]["runs"].as_array().unwrap().len(), 3);
    watched.backup("2026-11-20T04:00:00Z").expect(1);
    let again = watched.incidents("2026-11-20T04:01:00Z");
    assert_ne!(again[0]["number"], number, "found again, it is a new one");
}

/// Of a run that was about some of it nobody learns that all of it is well again.
#[test]
fn a_part_that_went_well_resolves_nothing_of_the_whole() {
    let server = Server::new();
    let open = || -> Vec<String> {
        let (_, list) = server.json("alerts list");
        let open = list["data"]["incidents"].as_array().unwrap().iter();
        let failed = open.filter(|one| one["finding"] == "task.failed");
        failed
            .map(|one| one["subject"].as_str().unwrap().to_owned())
            .collect()
    };
    fs::write(server.backups(), "a file where the folder should be").unwrap();
    assert!(server.run("backup").code >= 2);
    assert!(server.run("health --check jobs --timeout 1ms").code >= 2);
    assert_eq!(open(), ["backup", "health, in part"]);
    fs::remove_file(server.backups()).unwrap();
    server.run("backup --database app_db").expect(0);
    let name = server.list("app_db")[0].file_name().unwrap().to_owned();
    server
        .run(&format!("backup pin {}", name.display()))
        .expect(0);
    assert_eq!(open(), ["backup", "health, in part"]);
    server.run("backup").expect(0);
    assert_eq!(open(), ["health, in part"]);
    server.run("health --check disk");
    assert!(open().is_empty(), "{:?}", open());
}

fn hooked(web: &WebServer) -> Server {
    let server = Server::new();
    let url = server.path().join("hook");
    fs::write(&url, format!("{}/secret-token", web.url)).unwrap();
    server.config(&format!(
        "[[alerts.channel]]\nname = \"chat\"\nkind = \"slack\"\nurl_file = {url:?}\ntimeout = \"1s\"\n[[alerts.route]]\nchannels = [\"chat\"]"
    ))
}

#[test]
fn the_webhook_gets_its_json_and_its_url_stays_secret() {
    let web = WebServer::start();
    let server = hooked(&web);
    fill(&server.root().join("data/a <b> & c.db"), 5);
    server
        .run("backup --quiet --now 2026-11-20T03:00:00Z")
        .expect(1);
    let requests = web.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].line.starts_with("POST /secret-token "),
        "{requests:?}"
    );
    let body: Value = serde_json::from_str(&requests[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("a &lt;b&gt; &amp; c.db"), "{text}");
    for (answer, waits, severity) in [
        (
            "429 Slow Down\r\nRetry-After: 600\r\n",
            "10 minutes",
            "medium",
        ),
        ("503 No\r\n", "2 minutes", "medium"),
        ("404 Gone\r\n", "an hour", "high"),
        (
            "302 Found\r\nLocation: http://127.0.0.1:1/\r\n",
            "an hour",
            "high",
        ),
        ("hang", "2 minutes", "medium"),
    ] {
        let web = WebServer::start();
        let server = hooked(&web);
        web.answers(answer);
        fill(&server.root().join("data/forgotten.db"), 5);
        let (_, report) = server.json("backup --now 2026-11-20T03:00:00Z");
        let findings = report["findings"].as_array().unwrap();
        let failed = findings
            .iter()
            .find(|finding| finding["id"] == "alert.undelivered");
        let failed = failed.unwrap_or_else(|| panic!("{answer}: {report:#}"));
        assert_eq!(failed["severity"], severity, "{answer}: {failed}");
        assert!(!report.to_string().contains("secret-token"), "{report:#}");
        web.answers("200 OK\r\n");
        let before = web.requests().len();
        let early = if waits == "2 minutes" {
            "03:01:30"
        } else {
            "03:09:00"
        };
        server.run(&format!("alerts flush --now 2026-11-20T{early}Z"));
        assert_eq!(web.requests().len(), before, "{answer}: before {waits}");
        let late = if waits == "an hour" {
            "04:01:00"
        } else {
            "03:11:00"
        };
        server.run(&format!("alerts flush --now 2026-11-20T{late}Z"));
        let requests = web.requests();
        assert!(requests.len() > before, "{answer}: after {waits}");
        assert!(
            requests[before].body.contains("forgotten.db"),
            "{requests:?}"
        );
    }
}

#[test]
fn silences_and_maintenance_mute_and_end_by_themselves() {
    let watched = Watched::new("");
    watched.break_it();
    watched
        .server
        .run("maintenance start --reason deploy --now 2026-11-20T02:50:00Z")
        .expect(0);
    let ran = watched.backup("2026-11-20T03:00:00Z").expect(1);
    assert_eq!(ran.out, "");
    assert!(watched.mail.mails().is_empty());
    assert_eq!(watched.incidents("2026-11-20T03:01:00Z").len(), 1, "kept");
    watched.flush("2026-11-20T04:55:00Z").expect(0);
    assert_eq!(
        watched.mail.mails().len(),
        1,
        "two hours are over and it is still there"
    );
    let silence =
        format!("alerts silence {FORGOTTEN} --subject * --for 1d --now 2026-11-20T05:00:00Z");
    watched.server.run(&silence).expect(0);
    watched.mend_it();
    watched.backup("2026-11-20T06:00:00Z").expect(0);
    assert_eq!(watched.mail.mails().len(), 1);
    let (_, list) = watched
        .server
        .json("alerts list --now 2026-11-20T06:01:00Z");
    let number = list["data"]["mutes"][0]["id"].clone();
    watched
        .server
        .run(&format!(
            "alerts silence --end {number} --now 2026-11-20T07:00:00Z"
        ))
        .expect(0);
    assert_eq!(
        watched.mail.mails().len(),
        2,
        "that it is over is said after the silence"
    );
    watched.server.run("maintenance start --for 3d").expect(3);
    watched.server.run("alerts silence x --for 0s").expect(3);
    watched.server.run_args(["alerts", "silence", ""]).expect(3);
}

#[test]
fn a_clock_that_jumps_back_does_not_silence() {
    let watched = Watched::new("");
    watched.break_it();
    watched.backup("2027-11-20T03:00:00Z").expect(1);
    assert_eq!(watched.mail.mails().len(), 1);
    watched
        .server
        .run("maintenance start --now 2027-11-20T03:30:00Z")
        .expect(0);
    watched.backup("2026-11-20T04:00:00Z").expect(1);
    assert_eq!(
        watched.mail.mails().len(),
        2,
        "neither what was said nor what was muted in the future counts"
    );
}

#[test]
fn two_that_end_together_send_one_mail() {
    let watched = Watched::new("");
    watched.break_it();
    let mut first = watched
        .server
        .command(["backup", "--quiet", "--lock-wait", "60s"]);
    let mut second = watched
        .server
        .command(["backup", "--quiet", "--lock-wait", "60s"]);
    let (mut one, mut two) = (first.spawn().unwrap(), second.spawn().unwrap());
    assert_eq!(one.wait().unwrap().code(), Some(1));
    assert_eq!(two.wait().unwrap().code(), Some(1));
    let mails = watched.mail.mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
}

#[test]
fn a_kill_between_sending_and_recording_repeats_and_never_loses() {
    let watched = Watched::new("");
    watched.break_it();
    watched.mail.fail("answer hang");
    let mut running = watched
        .server
        .command(["backup", "--quiet"])
        .spawn()
        .unwrap();
    wait_until(|| !watched.mail.mails().is_empty());
    running.kill().unwrap();
    running.wait().unwrap();
    watched.mail.fail("");
    watched.server.run("alerts flush");
    let mails = watched.mail.mails();
    let about: Vec<_> = mails
        .iter()
        .filter(|mail| mail.contains("forgotten.db"))
        .collect();
    assert_eq!(about.len(), 2, "{mails:#?}");
    assert_eq!(
        header(about[0], "Message-ID"),
        header(about[1], "Message-ID"),
        "a copy can be seen to be one"
    );
    assert!(
        mails.iter().any(|mail| mail.contains("task.interrupted")),
        "{mails:#?}"
    );
}

#[test]
fn the_dead_man_switch_hears_start_and_end_and_never_holds_up() {
    let web = WebServer::start();
    let url = format!("{}/ping/{{task}}?create=1", web.url);
    let server = Server::new().config(&format!(
        "[alerts.ping]\nurl_template = {url:?}\ntimeout = \"1s\""
    ));
    let (_, report) = server.json("backup");
    let run = report["run_id"].as_str().unwrap();
    wait_until(|| web.requests().len() == 2);
    let requests = web.requests();
    let lines: Vec<_> = requests
        .iter()
        .map(|request| request.line.clone())
        .collect();
    assert!(
        lines.contains(&format!(
            "POST /ping/backup/start?create=1&rid={run} HTTP/1.1"
        )),
        "{lines:?}"
    );
    assert!(
        lines.contains(&format!("POST /ping/backup/0?create=1&rid={run} HTTP/1.1")),
        "{lines:?}"
    );
    fs::remove_file(server.database()).unwrap();
    server.json("backup");
    assert!(web.requests().iter().any(
        |request| request.line.contains("/backup/2?") && request.body.contains("backup.failed")
    ));
    web.answers("hang");
    let (_, report) = server.json("verify-backup");
    assert!(
        finding_ids(&report, "verify-backup").contains(&"alert.ping-failed".to_owned()),
        "{report:#}"
    );
    let failed = || {
        let (_, list) = server.json("alerts list");
        let incidents = list["data"]["incidents"].as_array().unwrap();
        let of_ping = |one: &&Value| one["finding"] == "alert.ping-failed";
        incidents.iter().filter(of_ping).count()
    };
    assert_eq!(failed(), 1);
    web.answers("200 OK\r\n");
    server.json("verify-backup");
    assert_eq!(failed(), 0);
}

/// Or whoever is outside would wait for the end of a run that is over.
#[test]
fn the_end_does_not_overtake_the_start() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let there = std::sync::Arc::clone(&heard);
    let address = http::serve(move |request| {
        if request.line.contains("/start") {
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        there.lock().unwrap().push(request.line);
        Some(http::Answer::new(200, ""))
    });
    let server = Server::new().config(&format!(
        "[alerts.ping]\nurl_template = \"http://{address}/{{task}}\""
    ));
    server.run("alerts flush").expect(0);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(
        heard[0].contains("/start") && heard[1].contains("/0"),
        "{heard:?}"
    );
}

#[test]
fn a_notice_goes_to_the_chat_and_other_peoples_scripts_choose() {
    let web = WebServer::start();
    let server = hooked(&web);
    server
        .run_args([
            "alerts",
            "send",
            "--subject",
            "deploy",
            "version 7 is out\u{1b}[2J",
        ])
        .expect(0);
    let body: Value = serde_json::from_str(&web.requests()[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(
        text.contains("version 7 is out") && !text.contains('\u{1b}'),
        "{text}"
    );
    server.run("alerts send --channel nowhere hello").expect(3);
    server.run("alerts send --severity loud hello").expect(3);
}

#[test]
fn without_a_channel_crons_mail_carries_the_news_once() {
    let server = Server::new();
    fill(&server.root().join("data/forgotten.db"), 5);
    let host = String::from_utf8(Command::new("hostname").output().unwrap().stdout).unwrap();
    let first = server
        .run("backup --quiet --now 2026-11-20T03:00:00Z")
        .expect(1);
    let mut lines = first.out.lines();
    let start = format!("{} backup WARNING: ", host.trim());
    assert!(lines.next().unwrap().starts_with(&start), "{}", first.out);
    assert!(lines.next().unwrap().starts_with("next: "), "{}", first.out);
    assert!(first.out.contains("(new)"), "{}", first.out);
    let again = server
        .run("backup --quiet --now 2026-11-20T04:00:00Z")
        .expect(1);
    assert_eq!(again.out, "", "the exit code still says it");
    let later = server
        .run("backup --quiet --now 2026-11-21T03:00:00Z")
        .expect(1);
    assert!(later.out.contains("(still there)"), "{}", later.out);
    fs::remove_file(server.root().join("data/forgotten.db")).unwrap();
    let over = server
        .run("backup --quiet --now 2026-11-21T04:00:00Z")
        .expect(0);
    assert!(over.out.contains("(resolved)"), "{}", over.out);
}

#[test]
fn dry_runs_and_no_alert_say_nothing_and_remember_nothing() {
    let watched = Watched::new("");
    watched.break_it();
    watched.server.run("backup --dry-run").expect(1);
    watched.server.run("backup --no-alert --quiet").expect(1);
    assert!(watched.mail.mails().is_empty());
    assert!(watched.incidents("2026-11-20T03:01:00Z").is_empty());
    let (code, report) = watched
        .server
        .json("alerts send --channel ops --dry-run hello");
    assert_eq!(
        (code, report["actions"][0]["outcome"].as_str()),
        (0, Some("planned"))
    );
    assert!(watched.mail.mails().is_empty());
}

#[test]
fn an_unwritable_journal_is_told_all_the_same() {
    let watched = Watched::new("");
    fs::create_dir_all(watched.server.state().join("journal.db")).unwrap();
    watched.backup("2026-11-20T03:00:00Z").expect(2);
    let mails = watched.mail.mails();
    assert!(mails[0].contains("journal.unwritable"), "{mails:#?}");
}

#[test]
fn an_unwritable_journal_makes_no_run_say_everything_again() {
    let watched = Watched::new("");
    watched.break_it();
    let journal = watched.server.state().join("journal.db");
    fs::create_dir_all(&journal).unwrap();
    for (at, mails) in [
        ("2026-11-20T03:00:00Z", 1),
        ("2026-11-20T04:00:00Z", 1),
        ("2026-11-21T03:00:00Z", 2),
    ] {
        let ran = watched.backup(at).expect(2);
        assert_eq!(ran.out, "", "{at}");
        assert_eq!(watched.mail.mails().len(), mails, "{at}");
    }
    // What no channel takes is printed, and that once.
    watched.mail.fail("data 452");
    fs::create_dir(watched.server.root().join("data/other")).unwrap();
    fill(&watched.server.root().join("data/other/new.db"), 5);
    let ran = watched.backup("2026-11-21T04:00:00Z").expect(2);
    assert!(
        ran.out.contains("new.db") && ran.out.contains("ops"),
        "{ran:?}"
    );
    assert!(!ran.out.contains("forgotten.db"), "{ran:?}");
    assert_eq!(watched.backup("2026-11-21T05:00:00Z").expect(2).out, "");
    watched.mail.fail("");
    fs::remove_dir(&journal).unwrap();
    watched.backup("2026-11-21T06:00:00Z").expect(1);
    let incidents = watched.incidents("2026-11-21T06:01:00Z");
    assert_eq!(incidents.len(), 2, "{incidents:#?}");
}

/// The journal of a newer version can be read, and not be written.
#[test]
fn what_was_said_without_a_journal_is_known_and_resolved_later() {
    let watched = Watched::new("");
    let layout = |number: u32| {
        crate::support::sql(
            &watched.server.state().join("journal.db"),
            &format!("PRAGMA user_version = {number}"),
        );
    };
    watched.break_it();
    watched.backup("2026-11-20T03:00:00Z").expect(1);
    let before: u32 = crate::support::number(
        &watched.server.state().join("journal.db"),
        "PRAGMA user_version",
    )
    .try_into()
    .unwrap();
    layout(99);
    watched.backup("2026-11-20T04:00:00Z").expect(1);
    let mails = watched.mail.mails();
    assert_eq!(mails.len(), 2, "{mails:#?}");
    assert!(mails[1].contains("journal.unwritable"), "{}", mails[1]);
    assert!(
        !mails[1].contains("forgotten.db"),
        "it is no news: {}",
        mails[1]
    );
    watched.backup("2026-11-20T05:00:00Z").expect(1);
    assert_eq!(watched.mail.mails().len(), 2);
    layout(before);
    watched.flush("2026-11-20T05:05:00Z").expect(0);
    let mails = watched.mail.mails();
    assert!(
        mails.len() == 3
            && mails[2].contains("journal.unwritable")
            && mails[2].contains("(resolved)"),
        "{mails:#?}"
    );
    let open = watched.incidents("2026-11-20T05:06:00Z");
    assert_eq!(open.len(), 1, "{open:#?}");
    // The last run of the line is no gap in the calendar.
    let (_, report) = watched.server.json("history --task backup");
    let runs = report["data"]["runs"].as_array().unwrap();
    let began = |at: &str| {
        runs.iter()
            .any(|run| run["started_at"].as_str().unwrap().starts_with(at))
    };
    assert!(
        began("2026-11-20T03:00") && began("2026-11-20T05:00"),
        "{runs:#?}"
    );
}

#[test]
fn a_full_disk_is_called_so() {
    let server = Server::new();
    fs::create_dir_all(server.state()).unwrap();
    let ours = server.command(["alerts", "flush", "--json"]);
    let mut command = Command::new("unshare");
    command
        .env("RUNTIME_DIRECTORY", server.path())
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg("mount -t tmpfs -o size=256k none \"$1\" || exit 77; dd if=/dev/zero of=\"$1/fill\" 2>&1 | true; shift; exec \"$@\"")
        .args(["sh".as_ref(), server.state().as_os_str(), ours.get_program()])
        .args(ours.get_args());
    let ran = Ran::of(&mut command);
    if ran.code == 77 || ran.err.contains("unshare") {
        return; // only root can mount
    }
    let report = ran.json();
    let text = report["findings"].to_string();
    assert!(
        text.contains("the disk is full") && text.contains("df -h"),
        "{text}"
    );
}

#[test]
fn low_ones_come_together_in_the_next_digest() {
    let watched = Watched::new("min_severity = \"low\"");
    // Databases and backups on one device: low, and said once.
    let ran = watched
        .server
        .run("backup --now 2026-11-20T03:00:00Z")
        .expect(0);
    assert!(ran.out.contains("low"), "{}", ran.out);
    assert!(watched.mail.mails().is_empty());
    watched.flush("2026-11-20T07:55:00Z").expect(0);
    assert!(watched.mail.mails().is_empty());
    watched.flush("2026-11-20T08:00:00Z").expect(0);
    assert_eq!(watched.mail.mails().len(), 1);
}

#[test]
fn a_channel_that_no_route_names_is_said() {
    let server = Server::new().config(
        "[[alerts.channel]]\nname = \"pager\"\nkind = \"command\"\ncommand = [\"/bin/true\"]",
    );
    let (code, report) = server.json("config check");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(
        finding_ids(&report, "pager"),
        ["config.unused-channel"],
        "{report:#}"
    );
}

#[test]
fn bad_configuration_names_line_and_what_to_do() {
    let mail = |line: &str| {
        format!("[[alerts.channel]]\nname = \"m\"\nkind = \"mail\"\nfrom = \"a@b.test\"\n{line}")
    };
    let slack = |line: &str| format!("[[alerts.channel]]\nname = \"m\"\nkind = \"slack\"\n{line}");
    for (text, said) in [
        ("[[alerts.route]]\nchannels = [\"nobody\"]", "nobody"),
        (
            "[[alerts.channel]]\nname = \"m\"\nkind = \"mail\"",
            "needs from and to",
        ),
        (
            "[[alerts.channel]]\nname = \"m\"\nkind = \"pigeon\"",
            "pigeon",
        ),
        ("[alerts]\ndigest_at = \"25:00\"", "25:00"),
        (&mail("to = [\"no at sign\"]"), "key to: 'no at sign'"),
        (
            &mail("to = [\"a@b.test\"]\nsmtp_url = \"smtp://127.0.0.1:99999\""),
            "key smtp_url: '99999' is no port",
        ),
        (
            &mail("to = [\"a@b.test\"]\nsmtp_url = \"http://127.0.0.1\""),
            "smtps://",
        ),
        (&mail("to = [\"a@b.test\"]\ntimeout = \"0s\""), "in no time"),
        (&slack("url = \"top-secret\""), "neither https://"),
        (
            "[[alerts.channel]]\nname = \"m\"\nkind = \"command\"\ncommand = [\"bin/page\"]",
            "whole path",
        ),
    ] {
        let server = Server::new().config(text);
        let ran = server.run("alerts test");
        assert_eq!(ran.code, 3, "{text}: {ran:?}");
        assert!(
            ran.err.contains(said) && ran.err.contains("config.toml:"),
            "{text}: {}",
            ran.err
        );
        assert!(!ran.err.contains("top-secret"), "{}", ran.err);
        server.run("config check").expect(3);
        let (code, report) = server.json("backup");
        assert_eq!(code, 2, "a typo there stops no backup");
        assert!(
            finding_ids(&report, "alerts").contains(&"config.invalid".to_owned()),
            "{report:#}"
        );
        assert_eq!(server.list("app_db").len(), 1);
    }
}

#[test]
fn frequent_runs_without_news_leave_one_row() {
    let server = Server::new();
    for _ in 0..5 {
        server.run("alerts flush --quiet").expect(0);
    }
    let (_, history) = server.json("history --task alerts");
    assert_eq!(
        history["data"]["runs"].as_array().unwrap().len(),
        1,
        "{history:#}"
    );
}

#[test]
fn a_test_that_was_not_taken_has_failed() {
    let mail = MailServer::start();
    let channel = |name: &str, port: u16| {
        format!(
            "[[alerts.channel]]\nname = {name:?}\nkind = \"mail\"\nsmtp_url = \"smtp://127.0.0.1:{port}\"\nfrom = \"a@luca.test\"\nto = [\"b@luca.test\"]\n"
        )
    };
    // Nobody listens on the first port.
    let server = Server::new().config(&(channel("gone", 1) + &channel("ops", mail.port)));
    let (code, report) = server.json("alerts test");
    assert_eq!(code, 2, "{report:#}");
    let outcomes: Vec<_> = actions(&report)
        .into_iter()
        .map(|(_, target, outcome)| (target, outcome))
        .collect();
    let expected = [("gone", "failed"), ("ops", "done")];
    assert_eq!(
        outcomes,
        expected.map(|(one, other)| (one.to_owned(), other.to_owned()))
    );
    let message = finding(&report, "alert.undelivered")["message"]
        .as_str()
        .unwrap();
    assert!(message.starts_with("127.0.0.1:1: "), "{message}");
    let ran = server.run("alerts test").expect(2);
    assert!(ran.out.contains("FAILED send gone (a test)"), "{ran:?}");
    let none = Server::new();
    let ran = none.run("alerts test nope").expect(3);
    assert!(
        ran.err.contains("no [[alerts.channel]] is configured"),
        "{ran:?}"
    );
}
