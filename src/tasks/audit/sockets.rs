//! `sockets`: what listens on this machine, and whether the firewall's rules are those of the last run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Looked;
use super::scene::Scene;
use crate::context::Context;
use crate::error::{self, Kind};
use crate::report::{Finding, Reporter, Severity};
use crate::sys::process;
use crate::sys::sockets::{self, Socket, State};
use crate::units;

const UNEXPECTED: &str = "sockets.unexpected";
const NEW: &str = "sockets.new";
const FIREWALL: &str = "firewall.changed";
const KEY: &str = "sockets";
const FIREWALL_KEY: &str = "firewall";
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: u64 = 64 << 20;

/// The sockets, then the firewall.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let listening: Vec<Socket> = sockets::sockets()?
        .into_iter()
        .filter(|socket| socket.state == State::Listening)
        .collect();
    report.examined_all(UNEXPECTED);
    report.examined_all(NEW);
    let open: Vec<&Socket> = listening
        .iter()
        .filter(|socket| !socket.local.ip().is_loopback())
        .collect();
    match scene.audit.allowed_sockets.is_empty() {
        true => compare(&open, context, report),
        false => {
            for socket in &open {
                if !is_allowed(&scene.audit.allowed_sockets, socket) {
                    report.find(unexpected(
                        UNEXPECTED,
                        socket,
                        "is not in [audit] allowed_sockets",
                    ));
                }
            }
        }
    }
    if !context.attended {
        let names: BTreeSet<String> = open.iter().map(|socket| socket.local.to_string()).collect();
        report.remember(KEY, json!(names));
    }
    report.measure("sockets_listening", listening.len() as f64, "", []);
    let firewall = firewall(context, report)?;
    let list: Vec<Value> = listening
        .iter()
        .map(|socket| json!({"address": socket.local.to_string(), "uid": socket.uid}))
        .collect();
    Ok(Looked::At(
        format!(
            "{}, {} of them open to others; {firewall}",
            units::count(listening.len() as u64, "listening socket"),
            open.len()
        ),
        json!({"listening": list, "firewall": firewall}),
    ))
}

/// `443`, `0.0.0.0:443`, `[::]:443`.
fn is_allowed(allowed: &[String], socket: &Socket) -> bool {
    allowed.iter().any(|one| {
        one.parse::<u16>()
            .is_ok_and(|port| port == socket.local.port())
            || one
                .parse()
                .is_ok_and(|address: std::net::SocketAddr| address == socket.local)
    })
}

fn unexpected(id: &'static str, socket: &Socket, why: &str) -> Finding {
    let port = socket.local.port();
    let owners = sockets::owners(&BTreeSet::from([socket.inode]));
    let owners: Vec<_> = owners.iter().map(ToString::to_string).collect();
    let by = match owners.is_empty() {
        true => format!("uid {}", socket.uid),
        false => owners.join(", "),
    };
    let subject = socket.local.to_string();
    Finding::new(
        id,
        Severity::Medium,
        &*subject,
        format!("{subject} listens ({by}) and {why}"),
    )
    .hint(format!("ss -ltnp 'sport = :{port}'"))
}

/// Without a list: what was not there the last time.
fn compare(open: &[&Socket], context: &Context, report: &Reporter) {
    let Some(Value::Array(before)) = context.recall(KEY) else {
        return; // the first look only learns
    };
    let before: BTreeSet<&str> = before.iter().filter_map(Value::as_str).collect();
    let mut told = BTreeMap::new();
    for socket in open {
        let name = socket.local.to_string();
        if !before.contains(name.as_str()) && told.insert(name, ()).is_none() {
            report.find(unexpected(
                NEW,
                socket,
                "did not when this was last looked at",
            ));
        }
    }
}

/// A word about it for people. Counters are left out: they change all the time.
fn firewall(context: &Context, report: &Reporter) -> anyhow::Result<String> {
    let Some(rules) = rules(context)? else {
        return Ok("no firewall rules that may be read".to_owned());
    };
    report.examined(FIREWALL, "firewall");
    let now = blake3::hash(without_counters(&rules).as_bytes()).to_hex()[..16].to_owned();
    let before = context.recall(FIREWALL_KEY);
    if let Some(before) = before.as_ref().and_then(Value::as_str)
        && before != now
    {
        report.find(
            Finding::new(
                FIREWALL,
                Severity::Medium,
                "firewall",
                format!("the firewall's rules are not those of the last run ({before}, now {now})"),
            )
            .hint("nft list ruleset, or iptables-save"),
        );
    }
    if !context.attended {
        report.remember(FIREWALL_KEY, now.as_str());
    }
    Ok(format!("firewall rules {now}"))
}

/// As nft prints them, else as iptables does; `None` where neither may be asked.
fn rules(context: &Context) -> anyhow::Result<Option<String>> {
    for line in [&["nft", "list", "ruleset"][..], &["iptables-save"][..]] {
        let mut command = process::command(Path::new(line[0]));
        command.args(&line[1..]);
        match process::run_keeping(command, context.stop.left(PATIENCE)?, LARGEST) {
            Ok(output) if output.status.success() => {
                return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
            }
            Ok(_) => {} // not root
            Err(error) if error::kind_of(&error) == Kind::Missing => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Without `packets 12 bytes 345`, `[12:345]` and comments, which hold the time.
fn without_counters(rules: &str) -> String {
    let mut kept = String::new();
    for line in rules.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ').peekable();
        while let Some(word) = words.next() {
            let counts = word.starts_with('[') && word.ends_with(']') && word.contains(':');
            if counts {
                continue;
            }
            if matches!(word, "packets" | "bytes")
                && words
                    .peek()
                    .is_some_and(|next| next.bytes().all(|byte| byte.is_ascii_digit()))
            {
                words.next();
                continue;
            }
            kept.push_str(word);
            kept.push(' ');
        }
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_no_change_of_the_rules() {
        let one = "# Generated at 3\n:INPUT ACCEPT [12:345]\n  tcp dport 22 counter packets 1 bytes 60 accept\n";
        let later = "# Generated at 4\n:INPUT ACCEPT [99:999]\n  tcp dport 22 counter packets 7 bytes 420 accept\n";
        assert_eq!(without_counters(one), without_counters(later));
        let other = later.replace("22", "23");
        assert_ne!(without_counters(one), without_counters(&other));
    }
}
