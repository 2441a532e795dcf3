//! `sockets`: what listens on this machine, and whether the firewall's rules are those of the last run.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::scene::{Looked, Scene};
use crate::config::sections::Allowed;
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
const NUMBER_KEY: &str = "firewall_rules";
/// The rules before they were changed.
const BEFORE_KEY: &str = "firewall_before";
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: u64 = 64 << 20;

/// A socket that others can reach, and how it is called: `0.0.0.0:443`, `udp:0.0.0.0:53`.
struct Open {
    name: String,
    udp: bool,
    socket: Socket,
}

/// The sockets, then the firewall.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let listening = listening()?;
    report.examined_all(UNEXPECTED);
    // A client that waits for an answer looks like a server of datagrams, on a port that the kernel gave it.
    let given = sockets::given_ports()?;
    let open: Vec<&Open> = listening
        .iter()
        .filter(|one| !one.socket.local.ip().is_loopback())
        .filter(|one| !(one.udp && given.contains(&one.socket.local.port())))
        .collect();
    match scene.audit.allowed_sockets.is_empty() {
        true => compare(&open, context, report),
        false => {
            // The list decides now.
            report.examined_all(NEW);
            let list = scene.audit.allowed_sockets.iter();
            let allowed: Vec<Allowed> = list.filter_map(|text| text.parse().ok()).collect();
            for one in &open {
                if !allowed.iter().any(|may| may.is(one.socket.local, one.udp)) {
                    report.find(unexpected(
                        UNEXPECTED,
                        one,
                        "is not in [audit] allowed_sockets",
                    ));
                }
            }
        }
    }
    if context.learns() {
        let names: BTreeSet<String> = open.iter().map(|one| one.name.clone()).collect();
        report.remember(KEY, json!(names));
    }
    report.measure("sockets_listening", listening.len() as f64, "", []);
    let firewall = firewall(context, report)?;
    let list: Vec<Value> = listening
        .iter()
        .map(|one| json!({"address": one.name, "uid": one.socket.uid}))
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

fn listening() -> anyhow::Result<Vec<Open>> {
    let streams = sockets::sockets()?;
    let streams = streams
        .into_iter()
        .filter(|socket| socket.state == State::Listening)
        .map(|socket| Open {
            name: socket.local.to_string(),
            udp: false,
            socket,
        });
    let datagrams = sockets::datagrams()?.into_iter().map(|socket| Open {
        name: format!("udp:{}", socket.local),
        udp: true,
        socket,
    });
    Ok(streams.chain(datagrams).collect())
}

fn unexpected(id: &'static str, one: &Open, why: &str) -> Finding {
    let port = one.socket.local.port();
    let owners = sockets::owners(&BTreeSet::from([one.socket.inode]));
    let owners: Vec<_> = owners.iter().map(ToString::to_string).collect();
    let by = match owners.is_empty() {
        true => format!("uid {}", one.socket.uid),
        false => owners.join(", "),
    };
    let kind = if one.udp { 'u' } else { 't' };
    Finding::new(
        id,
        Severity::Medium,
        &*one.name,
        format!("{} listens ({by}) and {why}", one.name),
    )
    .hint(format!(
        "ss -ln{kind}p 'sport = :{port}'; what may listen stands in [audit] allowed_sockets"
    ))
}

/// Without a list: what was not there the last time. Each is told once; that is over when it listens no more, and not because the
/// next run knows it.
fn compare(open: &[&Open], context: &Context, report: &Reporter) {
    let Some(Value::Array(before)) = context.recall(KEY) else {
        return; // the first look only learns
    };
    let before: BTreeSet<&str> = before.iter().filter_map(Value::as_str).collect();
    for gone in &before {
        if !open.iter().any(|one| one.name == *gone) {
            report.examined(NEW, *gone);
        }
    }
    let mut told = BTreeSet::new();
    for one in open {
        if !before.contains(&*one.name) && told.insert(&one.name) {
            report.find(unexpected(NEW, one, "did not when this was last looked at"));
        }
    }
}

/// A word about it for people. Counters are left out: they change all the time.
fn firewall(context: &Context, report: &Reporter) -> anyhow::Result<String> {
    let Some(rules) = rules(context)? else {
        return Ok("no firewall rules that may be read".to_owned());
    };
    let now = blake3::hash(without_counters(&rules).as_bytes()).to_hex()[..16].to_owned();
    let before = recalled(context, FIREWALL_KEY);
    // Told once; over when the rules are again what they were before the first change, and not because the next run knows the new
    // ones.
    let first = recalled(context, BEFORE_KEY);
    let number = count_rules(&rules);
    let number_before = context.recall(NUMBER_KEY).and_then(|value| value.as_u64());
    let changed = before.filter(|before| *before != now);
    if changed.is_none() && first.as_ref() == Some(&now) {
        report.examined(FIREWALL, "firewall");
        if context.learns() {
            report.remember(BEFORE_KEY, Value::Null);
        }
    }
    if let Some(before) = changed {
        let message = format!(
            "the firewall's rules are not those of the last run: {}",
            difference(number, number_before)
        );
        report.find(
            Finding::new(FIREWALL, Severity::Medium, "firewall", message)
                .hint("nft list ruleset, or iptables-save"),
        );
        if context.learns() && first.is_none() {
            report.remember(BEFORE_KEY, before);
        }
    }
    if context.learns() {
        report.remember(FIREWALL_KEY, now.as_str());
        report.remember(NUMBER_KEY, number);
    }
    Ok(format!("firewall rules {now}"))
}

fn recalled(context: &Context, key: &str) -> Option<String> {
    context.recall(key)?.as_str().map(str::to_owned)
}

/// As nft prints them, else as iptables does; `None` where neither may be asked.
fn rules(context: &Context) -> anyhow::Result<Option<String>> {
    for line in [&["nft", "list", "ruleset"][..], &["iptables-save"][..]] {
        let mut command = process::command(Path::new(line[0]));
        command.args(&line[1..]);
        match process::run_keeping(command, PATIENCE, LARGEST, &context.stop) {
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

/// As nft prints them inside a chain, or as iptables-save does.
fn count_rules(rules: &str) -> u64 {
    let (mut number, mut in_chain) = (0, false);
    for line in rules.lines().map(str::trim) {
        match line {
            "}" => in_chain = false,
            line if line.starts_with("chain ") => in_chain = true,
            line if line.starts_with("-A ") => number += 1,
            line if in_chain && !line.is_empty() && !line.starts_with("type ") => number += 1,
            _ => {}
        }
    }
    number
}

fn difference(now: u64, before: Option<u64>) -> String {
    let rules = match now {
        0 => "no rules any more".to_owned(),
        now => units::count(now, "rule"),
    };
    match before {
        Some(before) if before == now => format!("{rules} as before, but not the same"),
        Some(before) => format!("{rules}, were {before}"),
        None => rules,
    }
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

    #[test]
    fn rules_are_counted_in_both_forms() {
        let nft = "table inet guard {\n\tset bad {\n\t\ttype ipv4_addr\n\t}\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 22 accept\n\t\tudp dport 9 drop\n\t}\n}\n";
        assert_eq!(count_rules(nft), 2);
        assert_eq!(
            count_rules("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n"),
            1
        );
        for (now, before, said) in [
            (0, Some(14), "no rules any more, were 14"),
            (12, Some(14), "12 rules, were 14"),
            (14, Some(14), "14 rules as before, but not the same"),
            (12, None, "12 rules"),
        ] {
            assert_eq!(difference(now, before), said);
        }
    }
}
