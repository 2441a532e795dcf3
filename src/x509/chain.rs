//! A chain: who signed whom, in which order, and whether the way ends at an authority that others know.

use std::path::Path;
use std::sync::OnceLock;

use super::Certificate;

/// Where systems keep the authorities that everybody trusts.
const SYSTEM: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// Certificates that nobody needs.
    Surplus,
    /// It ends in a root that nobody here knows, or is signed by itself.
    Unknown,
    /// All are there, but not each behind the one that it has signed.
    Order,
    /// An issuer is missing.
    Incomplete,
    /// One is not signed by the key that it should be.
    Signature,
}

/// A defect, in a sentence.
pub type Flaw = (Defect, String);

/// The authorities of this system, and those of the configuration.
pub struct Authorities(Vec<Certificate>);

impl Authorities {
    /// The system's list, and further ones.
    pub fn new(further: Vec<Certificate>) -> Self {
        let mut all = further;
        all.extend_from_slice(system());
        Self(all)
    }

    /// True when a certificate is one of them, under whatever signature, or one of them has signed it.
    fn vouch_for(&self, certificate: &Certificate) -> bool {
        self.0.iter().any(|root| {
            (root.subject_der == certificate.subject_der && root.spki == certificate.spki)
                || (certificate.names_as_issuer(root)
                    && certificate.is_signed_by(root) != Some(false))
        })
    }
}

/// Read once: some hundred certificates.
fn system() -> &'static [Certificate] {
    static FOUND: OnceLock<Vec<Certificate>> = OnceLock::new();
    FOUND.get_or_init(|| {
        SYSTEM
            .iter()
            .find_map(|path| super::authorities_of(Path::new(path)).ok())
            .unwrap_or_default()
    })
}

/// What is wrong with `chain`, whose first is the one that matters. `beside` are certificates that whoever uses it will find too.
pub fn flaws(chain: &[Certificate], beside: &[Certificate], roots: &Authorities) -> Vec<Flaw> {
    let mut found = Vec::new();
    let Some(leaf) = chain.first() else {
        return found;
    };
    if leaf.authority
        && let Some(other) = chain.iter().find(|other| !other.authority)
    {
        let why = format!("{} stands before {}", leaf.subject, other.subject);
        found.push((Defect::Order, why));
        return found;
    }
    let mut unused: Vec<usize> = (1..chain.len()).collect();
    let (mut at, mut here) = (leaf, 0);
    let mut ordered = true;
    loop {
        if at.is_self_issued() || roots.vouch_for(at) {
            break;
        }
        let next = unused
            .iter()
            .position(|index| at.names_as_issuer(&chain[*index]));
        let Some(next) = next else {
            let elsewhere = beside.iter().find(|issuer| {
                at.names_as_issuer(issuer) && at.is_signed_by(issuer) != Some(false)
            });
            if elsewhere.is_none() {
                let why = format!(
                    "{}, which has signed {}, is neither in it nor an authority that this system knows",
                    at.issuer, at.subject
                );
                found.push((Defect::Incomplete, why));
            }
            break;
        };
        let index = unused.remove(next);
        ordered &= index == here + 1;
        here = index;
        let issuer = &chain[index];
        if at.is_signed_by(issuer) == Some(false) {
            let why = format!(
                "{} is not signed by the {} in it",
                at.subject, issuer.subject
            );
            found.push((Defect::Signature, why));
            break;
        }
        at = issuer;
    }
    let complete = found.is_empty();
    if complete && at.is_self_issued() && !roots.vouch_for(at) {
        let why = match here {
            0 => format!("{} is signed by itself and by nobody else", at.subject),
            _ => format!("{} is no authority that this system knows", at.subject),
        };
        found.push((Defect::Unknown, why));
    }
    if complete && !ordered {
        let names: Vec<_> = chain.iter().map(|one| one.subject.as_str()).collect();
        let why = format!("each should stand before its issuer: {}", names.join(", "));
        found.push((Defect::Order, why));
    }
    // The root behind an authority that is known already does no harm.
    unused.retain(|index| !at.names_as_issuer(&chain[*index]) && !chain[*index].is_self_issued());
    if complete && !unused.is_empty() {
        let names: Vec<_> = unused
            .iter()
            .map(|index| chain[*index].subject.as_str())
            .collect();
        found.push((
            Defect::Surplus,
            format!("nobody needs {}", names.join(", ")),
        ));
    }
    found
}
