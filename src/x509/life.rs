//! When a certificate's end is near: a share of its life, as a fixed number of days alarms for most of a short one.

use super::Certificate;
use crate::report::Severity;

const DAY: i64 = 86_400;

/// Where in its life a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing to do.
    Fine,
    /// Its time has not come.
    NotYetValid,
    /// So many seconds left, under the limit of so many.
    Expiring {
        /// Seconds to its end.
        left: i64,
        /// From here on it is a finding.
        limit: i64,
        /// Medium, or high in the second half.
        severity: Severity,
    },
    /// Its end was so many seconds ago.
    Expired(i64),
}

/// The stage at `now` (seconds since 1970). Where something renews certificates by itself it gets its chance first: three days,
/// or a tenth of the life where that is less.
pub fn stage(certificate: &Certificate, now: i64, renewed: bool) -> Stage {
    let left = certificate.not_after.saturating_sub(now);
    if left < 0 {
        return Stage::Expired(left.saturating_neg());
    }
    if now < certificate.not_before {
        return Stage::NotYetValid;
    }
    let life = certificate
        .not_after
        .saturating_sub(certificate.not_before)
        .max(0);
    let mut limit = match life < 10 * DAY {
        true => life / 2,
        false => (life / 3).min(30 * DAY),
    };
    if renewed {
        limit -= (life / 10).min(3 * DAY);
    }
    match left {
        left if left <= limit / 2 => Stage::Expiring {
            left,
            limit: limit / 2,
            severity: Severity::High,
        },
        left if left <= limit => Stage::Expiring {
            left,
            limit,
            severity: Severity::Medium,
        },
        _ => Stage::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(life_days: i64, left_hours: i64, renewed: bool) -> Option<Severity> {
        let certificate = Certificate {
            not_before: 0,
            not_after: life_days * DAY,
            ..Certificate::default()
        };
        match stage(&certificate, life_days * DAY - left_hours * 3600, renewed) {
            Stage::Fine => None,
            Stage::Expiring { severity, .. } => Some(severity),
            Stage::NotYetValid | Stage::Expired(_) => Some(Severity::Critical),
        }
    }

    #[test]
    fn the_limit_is_a_share_of_the_life() {
        use Severity::{Critical, High, Medium};
        for (life, left, renewed, wanted) in [
            (365, 31 * 24, false, None),
            (365, 29 * 24, false, Some(Medium)),
            (365, 14 * 24, false, Some(High)),
            (365, 28 * 24, true, None),
            (365, 26 * 24, true, Some(Medium)),
            (47, 16 * 24, false, None),
            (47, 15 * 24, false, Some(Medium)),
            (47, 7 * 24, false, Some(High)),
            (6, 73, false, None),
            (6, 71, false, Some(Medium)),
            (6, 60, true, None),
            (6, 56, true, Some(Medium)),
            (6, 28, true, Some(High)),
            (365, -1, false, Some(Critical)),
            (365, 366 * 24, false, Some(Critical)),
        ] {
            assert_eq!(
                at(life, left, renewed),
                wanted,
                "{life} d, {left} h left, renewed {renewed}"
            );
        }
    }

    #[test]
    fn absurd_dates_do_not_overflow() {
        for (not_before, not_after) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (5, 5)] {
            let certificate = Certificate {
                not_before,
                not_after,
                ..Certificate::default()
            };
            for now in [i64::MIN, 0, i64::MAX] {
                let _ = stage(&certificate, now, true);
            }
        }
    }
}
