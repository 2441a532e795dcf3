//! Is a certificate for a host? RFC 6125: the names that it lists, and never its common name; a star stands for one label.

use std::net::IpAddr;

use super::Certificate;

impl Certificate {
    /// True when it is for `host`, a name or an address.
    pub fn is_for(&self, host: &str) -> bool {
        match host.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.names.iter().any(|name| matches(name, host)),
        }
    }
}

fn matches(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_lowercase();
    let pattern = pattern.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        None => pattern == host,
        Some(parent) => host.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && rest == parent && parent.contains('.')
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label_and_the_common_name_does_not_count() {
        let certificate = Certificate {
            subject: "common.test".into(),
            names: vec![
                "example.test".into(),
                "*.example.test".into(),
                "*.test".into(),
            ],
            addresses: vec!["192.0.2.1".parse().expect("an address")],
            ..Certificate::default()
        };
        for (host, is_for) in [
            ("example.test", true),
            ("EXAMPLE.test.", true),
            ("www.example.test", true),
            ("a.b.example.test", false),
            (".example.test", false),
            ("other.test", false),
            ("common.test", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
        ] {
            assert_eq!(certificate.is_for(host), is_for, "{host}");
        }
    }
}
