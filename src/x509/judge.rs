//! The one judgement of what was seen: `health` and `certs` say the same of the same certificate.

use std::time::Duration;

use super::{Authorities, Certificate, Defect, Endpoint, Place, Seen, Stage, flaws, stage};
use crate::report::{Finding, Reporter, Severity};
use crate::text;
use crate::units::Length;

const EXPIRING: &str = "cert.expiring";
const EXPIRED: &str = "cert.expired";
const NOT_YET: &str = "cert.not-yet-valid";
const UNREADABLE: &str = "cert.unreadable";
const CHAIN: &str = "cert.chain";
const HOSTNAME: &str = "cert.hostname";
const KEY: &str = "cert.key";
const WEAK: &str = "cert.weak";
const AUTHORITY: &str = "cert.ca-flag";
const ODD: &str = "cert.odd";
const NOT_SERVED: &str = "cert.not-served";

const LONGEST: usize = 500;

/// Judges all, and returns the seconds to the first end of any.
pub fn judge(
    report: &Reporter,
    seen: &[Seen],
    roots: &Authorities,
    now: i64,
    renewed: bool,
) -> Option<i64> {
    let mut soonest = None;
    for one in seen {
        report.examined(UNREADABLE, &*one.subject);
        let chain = match &one.chain {
            Ok(chain) => chain,
            Err(error) => {
                let message = text::shorten(&text::clean(&format!("{error:#}")), LONGEST);
                report.find(
                    Finding::new(UNREADABLE, Severity::High, &*one.subject, message)
                        .hint("[certs] says what to look at"),
                );
                continue;
            }
        };
        let left = life(report, &one.subject, chain, now, renewed);
        soonest = Some(soonest.map_or(left, |before: i64| before.min(left)));
        of_chain(report, one, chain, roots);
        of_each(report, &one.subject, chain);
        match &one.place {
            Place::File(_) => of_file(report, one),
            Place::Endpoint(endpoint) => of_endpoint(report, one, endpoint, chain, seen, now),
        }
    }
    soonest
}

/// The worst certificate of a chain; returns the seconds to the first end.
fn life(report: &Reporter, subject: &str, chain: &[Certificate], now: i64, renewed: bool) -> i64 {
    for id in [EXPIRING, EXPIRED, NOT_YET] {
        report.examined(id, subject);
    }
    let first = chain.iter().map(|one| one.not_after).min().unwrap_or(now);
    report.measure(
        "cert_not_after_timestamp_seconds",
        first as f64,
        "s",
        [("certificate", subject)],
    );
    let worst = chain
        .iter()
        .filter_map(|one| ending(one, stage(one, now, renewed), subject))
        .max_by_key(|finding| finding.severity);
    if let Some(finding) = worst {
        report.find(finding);
    }
    first.saturating_sub(now)
}

fn ending(certificate: &Certificate, stage: Stage, subject: &str) -> Option<Finding> {
    let name = &certificate.subject;
    let made = |id, severity, message| Some(Finding::new(id, severity, subject, message));
    match stage {
        Stage::Fine => None,
        Stage::NotYetValid => made(
            NOT_YET,
            Severity::Critical,
            format!("the certificate {name} is not valid yet: is the clock right?"),
        ),
        Stage::Expired(ago) => made(
            EXPIRED,
            Severity::Critical,
            format!("the certificate {name} expired {} ago", span(ago)),
        ),
        Stage::Expiring {
            left,
            limit,
            severity,
        } => made(
            EXPIRING,
            severity,
            format!(
                "the certificate {name} expires in {} (limit {})",
                span(left),
                span(limit)
            ),
        )
        .map(|finding| finding.measured(left as f64, "s", limit as f64)),
    }
    .map(|finding| match finding.id == NOT_YET {
        true => finding.hint("timedatectl says whether the clock is right; if it is, serve the one before it until then"),
        false => finding.hint("empire-maint certs --renew"),
    })
}

/// Order and completeness, where there is a certificate for a server at all: a list of authorities has no order.
fn of_chain(report: &Reporter, one: &Seen, chain: &[Certificate], roots: &Authorities) {
    let (subject, is_served) = (&*one.subject, matches!(one.place, Place::Endpoint(_)));
    // Whoever has a name is asked by others; what lies in a file may be for clients that know its root.
    let is_named = match &one.place {
        Place::Endpoint(endpoint) => endpoint.name().is_some(),
        Place::File(_) => false,
    };
    report.examined(CHAIN, subject);
    if !is_served && chain.iter().all(|certificate| certificate.authority) {
        return;
    }
    let mut found = flaws(chain, &one.beside, roots);
    found.retain(|(defect, _)| is_named || *defect != Defect::Unknown);
    let Some(worst) = found.iter().map(|(defect, _)| *defect).max() else {
        return;
    };
    // What lies in a file may be meant for a server that has the rest elsewhere; what is served is all that a client gets.
    let (severity, what, hint) = match (worst, is_served) {
        (Defect::Surplus, _) => (Severity::Low, "has more than it needs", "remove it"),
        (Defect::Unknown, _) => (
            Severity::Medium,
            "ends where no client knows it",
            "have it issued by an authority that clients know; [certs] roots names authorities of your own",
        ),
        (Defect::Order, _) => (
            Severity::Medium,
            "is not in order",
            "put the server's own certificate first, then each issuer",
        ),
        (Defect::Incomplete, false) => (Severity::Medium, "is not complete", INCOMPLETE),
        (Defect::Incomplete, true) => (Severity::High, "is not complete", INCOMPLETE),
        (Defect::Signature, _) => (
            Severity::High,
            "does not hold together",
            "get the issuer's certificate anew",
        ),
    };
    let why: Vec<_> = found.iter().map(|(_, why)| why.as_str()).collect();
    let message = format!("the chain {what}: {}", why.join("; "));
    report
        .find(Finding::new(CHAIN, severity, subject, text::shorten(&message, LONGEST)).hint(hint));
}

const INCOMPLETE: &str = "append the issuer's certificate (certbot: use fullchain.pem); [certs] roots names authorities of your own";

/// What any certificate of a chain may have: a weak key or signature, a flag that is missing, something odd.
fn of_each(report: &Reporter, subject: &str, chain: &[Certificate]) {
    for id in [WEAK, AUTHORITY, ODD] {
        report.examined(id, subject);
    }
    let all = |what: &dyn Fn(&Certificate) -> Vec<String>| -> Option<String> {
        let found: Vec<_> = chain
            .iter()
            .flat_map(|one| {
                what(one)
                    .into_iter()
                    .map(|why| format!("{}: {why}", one.subject))
            })
            .collect();
        (!found.is_empty()).then(|| text::shorten(&found.join("; "), LONGEST))
    };
    if let Some(message) = all(&|one| one.weakness().into_iter().collect()) {
        report.find(
            Finding::new(WEAK, Severity::High, subject, message)
                .hint("have it issued anew: RSA from 2048 bits or P-256, SHA-256"),
        );
    }
    if let Some(message) = all(&|one| one.odd.clone()) {
        report.find(
            Finding::new(ODD, Severity::Medium, subject, message)
                .hint("have it issued anew by somebody who checks it"),
        );
    }
    let signs = |issuer: &Certificate| {
        let others = chain.iter().filter(|other| *other != issuer);
        others
            .into_iter()
            .any(|other| other.names_as_issuer(issuer))
    };
    let wrong = chain
        .iter()
        .find(|one| !one.authority && !one.is_self_issued() && signs(one));
    if let Some(wrong) = wrong {
        let message = format!(
            "{} signs another certificate and is not allowed to (CA flag)",
            wrong.subject
        );
        report.find(
            Finding::new(AUTHORITY, Severity::High, subject, message)
                .hint("clients refuse the chain: have it issued by a real authority"),
        );
    }
}

fn of_file(report: &Reporter, one: &Seen) {
    report.examined(KEY, &*one.subject);
    if let (Some((key, false)), Some(leaf)) = (&one.key, one.leaf()) {
        let message = format!("{} is not the key of {}", key.display(), leaf.subject);
        report.find(
            Finding::new(KEY, Severity::High, &*one.subject, message)
                .hint("a server that reads both will not start: put the right pair there"),
        );
    }
}

fn of_endpoint(
    report: &Reporter,
    one: &Seen,
    endpoint: &Endpoint,
    chain: &[Certificate],
    seen: &[Seen],
    now: i64,
) {
    let (subject, Some(leaf)) = (&*one.subject, chain.first()) else {
        return;
    };
    for id in [HOSTNAME, NOT_SERVED] {
        report.examined(id, subject);
    }
    // One that somebody made for himself has the flag by openssl's default; who trusts it does so by name.
    if leaf.authority && !leaf.is_self_issued() {
        let message = format!(
            "{} is served although it is an authority's (CA flag): clients refuse it",
            leaf.subject
        );
        report.find(
            Finding::new(AUTHORITY, Severity::High, subject, message)
                .hint("serve a certificate that was issued for a server"),
        );
    }
    if let Some(name) = endpoint.name().filter(|name| !leaf.is_for(name)) {
        let message = format!(
            "{} is not for {name} but for {}",
            leaf.subject,
            listed(leaf)
        );
        report.find(
            Finding::new(
                HOSTNAME,
                Severity::High,
                subject,
                text::shorten(&message, LONGEST),
            )
            .hint("every client that checks refuses it: serve the certificate of that name"),
        );
    }
    if let Some(file) = file_not_served(endpoint, leaf, seen) {
        // As long as what is served has some life left, there is time to find out why.
        let severity = match stage(leaf, now, false) {
            Stage::Fine => Severity::Medium,
            _ => Severity::High,
        };
        let held = file.leaf().map_or("", |leaf| &leaf.fingerprint[..16]);
        let message = format!(
            "serves another certificate ({}…) than {} holds ({held}…)",
            &leaf.fingerprint[..16.min(leaf.fingerprint.len())],
            file.subject
        );
        report.find(
            Finding::new(NOT_SERVED, severity, subject, message)
                .hint("has the server been reloaded? empire-maint certs --renew does it"),
        );
    }
}

/// The file that is meant for an endpoint, where the endpoint serves none of those that may be meant.
pub fn file_not_served<'a>(
    endpoint: &Endpoint,
    served: &Certificate,
    seen: &'a [Seen],
) -> Option<&'a Seen> {
    let meant: Vec<_> = seen
        .iter()
        .filter(|file| matches!(file.place, Place::File(_)))
        .filter(|file| {
            file.leaf()
                .is_some_and(|leaf| is_meant(endpoint, served, leaf))
        })
        .collect();
    let same = |file: &&Seen| {
        file.leaf()
            .is_some_and(|leaf| leaf.fingerprint == served.fingerprint)
    };
    match meant.iter().any(same) {
        true => None,
        false => meant.first().copied(),
    }
}

/// True when the certificate of a file is meant for an endpoint: by the endpoint's name; where it has none, by that of the
/// certificate that it serves.
pub fn is_meant(endpoint: &Endpoint, served: &Certificate, file: &Certificate) -> bool {
    match endpoint.name() {
        Some(name) => file.is_for(name),
        None => file.subject == served.subject,
    }
}

fn listed(certificate: &Certificate) -> String {
    let addresses = certificate.addresses.iter().map(ToString::to_string);
    let all: Vec<_> = certificate.names.iter().cloned().chain(addresses).collect();
    match all.as_slice() {
        [] => "no host at all (a common name does not count)".to_owned(),
        few if few.len() <= 5 => few.join(", "),
        many => format!("{} and {} others", many[..5].join(", "), many.len() - 5),
    }
}

fn span(seconds: i64) -> Length {
    Length(Duration::from_secs(seconds.unsigned_abs()))
}
