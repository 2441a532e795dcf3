//! `audit` on the machine itself, in a namespace of its own: a real firewall whose rules change, sockets that listen, a real journal.
//! Only root can make such a namespace; for anybody else these tests pass without having looked.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Ran, Server, finding, finding_ids};

/// Runs a script with `audit` as a command in it, which writes its report into `$1.json`; `None` where there is no such namespace.
fn within(namespace: &str, server: &Server, script: &str) -> Option<()> {
    let can = Command::new("unshare").args([namespace, "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        return None;
    }
    let ours = server.command(["audit", "--json"]);
    let words: Vec<_> = [ours.get_program()]
        .into_iter()
        .chain(ours.get_args())
        .map(|word| format!("'{}'", word.display()))
        .collect();
    let folder = server.path().display();
    let script = format!(
        "set -e\ncd '{folder}'\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin\naudit() {{ name=$1; shift; {} \"$@\" >'{folder}'/$name.json || true; }}\n{script}",
        words.join(" ")
    );
    let ran = Ran::of(Command::new("unshare").args([namespace, "sh", "-c", &script]));
    assert_eq!(ran.code, 0, "{ran:?}");
    Some(())
}

fn report(server: &Server, name: &str) -> Value {
    let text = fs::read(server.path().join(format!("{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn a_changed_firewall_is_told_once_and_its_counters_are_no_change() {
    let server = Server::empty();
    let looked = within(
        "--net",
        &server,
        "ip link set lo up
         nft 'add table inet guard; add chain inet guard in { type filter hook input priority 0; }; add rule inet guard in udp dport 9 counter accept'
         audit first --only sockets
         echo x | timeout 1 bash -c 'cat >/dev/udp/127.0.0.1/9'
         nft list ruleset | grep -q 'packets [1-9]'
         audit counted --only sockets
         nft 'add rule inet guard in tcp dport 22 drop'
         audit changed --only sockets
         audit after --only sockets
         nft flush ruleset
         audit gone --only sockets",
    );
    if looked.is_none() {
        return;
    }
    for name in ["first", "counted", "after"] {
        let report = report(&server, name);
        assert_eq!(
            finding_ids(&report, "firewall"),
            Vec::<String>::new(),
            "{name}: {report:#}"
        );
        let said = report["data"]["details"]["sockets"]["firewall"].as_str();
        assert!(said.unwrap().starts_with("firewall rules "), "{said:?}");
    }
    for name in ["changed", "gone"] {
        let report = report(&server, name);
        assert_eq!(finding(&report, "firewall.changed")["severity"], "medium");
        assert_eq!(report["exit_code"], 1);
    }
}

/// That the next run knows the new rules is no reason to call it over.
#[test]
fn a_changed_firewall_is_over_when_the_rules_are_what_they_were() {
    let server = Server::empty();
    let log = server.path().join("told");
    let server = server.config(&format!(
        "[[alerts.channel]]\nname = \"log\"\nkind = \"command\"\ncommand = [\"tee\", \"-a\", {log:?}]\n[[alerts.route]]\nmin_severity = \"medium\"\nchannels = [\"log\"]\n"
    ));
    let looked = within(
        "--net",
        &server,
        "ip link set lo up
         nft 'add table inet guard; add chain inet guard in { type filter hook input priority 0; }'
         nft list ruleset >saved
         audit first --only sockets
         nft 'add rule inet guard in tcp dport 22 drop'
         audit changed --only sockets
         audit known --only sockets
         cp told told-so-far
         nft flush ruleset; nft -f saved
         audit back --only sockets
         audit settled --only sockets",
    );
    if looked.is_none() {
        return;
    }
    let is_over = |name: &str| {
        let text = fs::read_to_string(server.path().join(name))
            .unwrap()
            .to_lowercase();
        text.lines()
            .any(|line| line.contains("firewall.changed") && line.contains("resolved"))
    };
    assert!(!is_over("told-so-far"));
    finding(&report(&server, "back"), "firewall.changed");
    assert!(is_over("told"));
}

#[test]
fn a_server_of_datagrams_listens_and_a_client_of_one_does_not() {
    let server = Server::empty();
    let looked = within(
        "--net",
        &server,
        "audit first --only sockets
         python3 -c '
import socket, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind((\"0.0.0.0\", 53))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.bind((\"0.0.0.0\", 0))
print(\"bound\", flush=True)
time.sleep(60)' >bound &
         until grep -q bound bound 2>/dev/null; do sleep 0.05; done
         audit new --only sockets
         audit known --only sockets
         kill $!",
    );
    if looked.is_none() {
        return;
    }
    let new = report(&server, "new");
    let found = new["findings"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{new:#}");
    let found = finding(&new, "sockets.new");
    assert_eq!(found["subject"], "udp:0.0.0.0:53");
    assert!(found["message"].as_str().unwrap().contains("python3"));
    let hint = found["hint"].as_str().unwrap();
    assert!(hint.starts_with("ss -lnup 'sport = :53'"), "{hint}");
    let listening = &new["data"]["details"]["sockets"]["listening"];
    assert_eq!(listening.as_array().unwrap().len(), 2, "{listening:#}");
    for name in ["first", "known"] {
        assert_eq!(report(&server, name)["exit_code"], 0, "{name}");
    }
}

/// Written by systemd's own program, read by its own journalctl; no auth.log beside it.
#[test]
fn without_a_log_file_the_journal_is_read() {
    let remote = "/lib/systemd/systemd-journal-remote";
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let machine = machine.trim();
    if machine.is_empty() || !fs::exists(remote).unwrap() {
        return;
    }
    let server = Server::empty();
    let now: i64 = 1_795_604_400; // 2026-11-25T11:00:00Z
    let entry = |before: i64, program: &str, message: &str| {
        format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP=1\n_BOOT_ID=11111111111111111111111111111111\n_MACHINE_ID={machine}\n_HOSTNAME=web\n_COMM={program}\nSYSLOG_IDENTIFIER={program}\n_PID=7\nMESSAGE={message}\n\n",
            (now - before) * 1_000_000
        )
    };
    let mut export = entry(
        30 * 86_400,
        "sshd",
        "Failed password for root from 192.0.2.1 port 1 ssh2",
    );
    for second in 0..11 {
        let failed = "Failed password for root from 203.0.113.5 port 1 ssh2";
        export += &entry(600 - second, "sshd", failed);
    }
    let accepted = "Accepted password for deploy from 203.0.113.5 port 1 ssh2";
    export += &entry(500, "sshd", accepted);
    // Another program may write what it likes.
    export += &entry(
        400,
        "app",
        "sshd[1]: Failed password for root from 192.0.2.7 port 1",
    );
    fs::write(server.path().join("export"), export).unwrap();
    let looked = within(
        "--mount",
        &server,
        &format!(
            "folder='{folder}'
             mount -t tmpfs none /var/log; mkdir -p /var/log/journal/{machine}
             {remote} -o /var/log/journal/{machine}/system.journal $folder/export 2>/dev/null
             mount -t tmpfs none /run/systemd 2>/dev/null || {{ mkdir -p /run/systemd; mount -t tmpfs none /run/systemd; }}
             mkdir /run/systemd/journal; touch /run/systemd/journal/socket
             audit found --only auth-log --now 2026-11-25T11:00:00Z
             rm /run/systemd/journal/socket
             audit nothing --only auth-log --now 2026-11-25T11:00:00Z",
            folder = server.path().display()
        ),
    );
    if looked.is_none() {
        return;
    }
    let found = report(&server, "found");
    let failures = finding(&found, "auth.failures");
    assert_eq!(
        (&failures["subject"], &failures["value"]),
        (&Value::from("journal"), &Value::from(11.0))
    );
    assert_eq!(finding(&found, "auth.breach")["subject"], "203.0.113.5");
    assert_eq!(found["data"]["details"]["auth-log"]["failures"], 11);
    assert_eq!(report(&server, "nothing")["exit_code"], 3);
}
