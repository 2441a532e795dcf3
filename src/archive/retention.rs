//! Which backups stay and which go: a pure function of catalogue, policy and time, with a reason for each.
//! Counted from the newest backup, not from today, so that a job that stopped never ages everything out.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::catalogue::{AHEAD, Backup, Standing};
use super::name::Name;
use super::publish::{self, Published};
use crate::config::sections::Keep;
use crate::report::Permit;
use crate::units;

/// What retention needs to know of a backup.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The instant of its snapshot.
    pub created_at: Timestamp,
    /// Whose it is and whether it can be counted on.
    pub worth: Worth,
    /// Kept whatever the policy says.
    pub pinned: bool,
}

/// Whose a backup is and whether it can be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Verified, and not found bad since.
    Good,
    /// Ours, but damaged or never verified.
    Doubtful,
    /// Somebody else's: no readable manifest.
    Foreign,
}

/// What becomes of one backup, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep(String),
    /// It goes.
    Remove(String),
}

impl Verdict {
    /// True for a backup that stays.
    pub fn keeps(&self) -> bool {
        matches!(self, Self::Keep(_))
    }

    /// Why.
    pub fn reason(&self) -> &str {
        match self {
            Self::Keep(reason) | Self::Remove(reason) => reason,
        }
    }
}

impl From<&Backup> for Candidate {
    fn from(backup: &Backup) -> Self {
        Self {
            created_at: backup.created_at(),
            worth: match backup.standing {
                Standing::Known(_) if backup.is_good() => Worth::Good,
                Standing::Known(_) => Worth::Doubtful,
                Standing::Foreign | Standing::Unreadable(_) => Worth::Foreign,
            },
            pinned: backup.is_pinned(),
        }
    }
}

/// One verdict a candidate. Candidates come newest first.
pub fn plan(
    candidates: &[Candidate],
    policy: &Keep,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<Verdict> {
    let mut slots = Slots::new(policy, zone);
    let minimum = policy.minimum as usize;
    let mut good_so_far = 0;
    candidates
        .iter()
        .map(|candidate| {
            let ahead = candidate.created_at.duration_since(now) > AHEAD;
            let counted = candidate.worth == Worth::Good && !ahead;
            let reasons = if counted {
                slots.fill(candidate.created_at)
            } else {
                Vec::new()
            };
            let newer = good_so_far;
            good_so_far += usize::from(counted);
            match candidate.worth {
                Worth::Foreign => {
                    Verdict::Keep("has no readable manifest: not ours to remove".into())
                }
                _ if candidate.pinned => Verdict::Keep("pinned".into()),
                _ if ahead => Verdict::Keep("dated in the future: a clock was wrong".into()),
                Worth::Doubtful if newer < minimum => Verdict::Keep(format!(
                    "not verified, but fewer than {minimum} newer ones are"
                )),
                Worth::Doubtful => Verdict::Remove(format!(
                    "not verified or damaged, and {newer} newer ones are verified"
                )),
                Worth::Good if !reasons.is_empty() => Verdict::Keep(reasons.join(", ")),
                Worth::Good if newer < minimum => {
                    Verdict::Keep(format!("one of the newest {minimum} verified"))
                }
                Worth::Good => Verdict::Remove(format!("not among the newest {}", slots.policy())),
            }
        })
        .collect()
}

/// The days, weeks and months that already have their newest backup.
struct Slots<'a> {
    policy: &'a Keep,
    zone: &'a TimeZone,
    days: BTreeSet<(i16, i16)>,
    weeks: BTreeSet<(i16, i8)>,
    months: BTreeSet<(i16, i8)>,
}

impl<'a> Slots<'a> {
    fn new(policy: &'a Keep, zone: &'a TimeZone) -> Self {
        Self {
            policy,
            zone,
            days: BTreeSet::new(),
            weeks: BTreeSet::new(),
            months: BTreeSet::new(),
        }
    }

    /// The slots that a backup is the newest of, in words.
    fn fill(&mut self, at: Timestamp) -> Vec<String> {
        let date = at.to_zoned(self.zone.clone()).date();
        let week = date.iso_week_date();
        let mut reasons = Vec::new();
        if claim(
            &mut self.days,
            (date.year(), date.day_of_year()),
            self.policy.daily,
        ) {
            reasons.push(format!("newest of {date}"));
        }
        if claim(
            &mut self.weeks,
            (week.year(), week.week()),
            self.policy.weekly,
        ) {
            reasons.push(format!(
                "newest of week {}-W{:02}",
                week.year(),
                week.week()
            ));
        }
        if claim(
            &mut self.months,
            (date.year(), date.month()),
            self.policy.monthly,
        ) {
            reasons.push(format!(
                "newest of month {}-{:02}",
                date.year(),
                date.month()
            ));
        }
        reasons
    }

    fn policy(&self) -> String {
        let Keep {
            daily,
            weekly,
            monthly,
            ..
        } = self.policy;
        let kept: Vec<_> = [(daily, "day"), (weekly, "week"), (monthly, "month")]
            .into_iter()
            .filter(|(number, _)| **number > 0)
            .map(|(number, unit)| units::count(u64::from(*number), unit))
            .collect();
        match kept.is_empty() {
            true => "0 days, weeks and months".to_owned(),
            false => kept.join(", "),
        }
    }
}

fn claim<T: Ord>(taken: &mut BTreeSet<T>, slot: T, most: u32) -> bool {
    taken.len() < most as usize && taken.insert(slot)
}

/// Removes one backup. Asks for the new backup that makes it dispensable.
pub fn prune(
    permit: &Permit,
    folder: &Path,
    name: &Name,
    newest: &Published,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        newest.name.stem != name.stem,
        "the backup that was just published is never removed"
    );
    publish::remove(permit, folder, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    fn good(at: &str) -> Candidate {
        Candidate {
            created_at: at.parse().expect("a time"),
            worth: Worth::Good,
            pinned: false,
        }
    }

    fn kept(candidates: &[Candidate], policy: &Keep, now: &str, zone: &str) -> Vec<bool> {
        let zone = TimeZone::get(zone).expect("a zone");
        plan(candidates, policy, now.parse().expect("a time"), &zone)
            .iter()
            .map(Verdict::keeps)
            .collect()
    }

    #[test]
    fn a_year_of_daily_backups_leaves_seven_days_and_four_weeks() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let policy = Keep {
            monthly: 12,
            ..Keep::default()
        };
        let start: Timestamp = "2026-01-01T02:00:00Z".parse().expect("a time");
        let mut alive: Vec<Candidate> = Vec::new();
        for day in 0..365 {
            let now = start + SignedDuration::from_hours(24 * day);
            alive.insert(
                0,
                Candidate {
                    created_at: now,
                    worth: Worth::Good,
                    pinned: false,
                },
            );
            let verdicts = plan(&alive, &policy, now, &zone);
            let mut verdicts = verdicts.iter();
            alive.retain(|_| verdicts.next().is_some_and(Verdict::keeps));
        }
        // 31 December 2026 is a Thursday: 7 days, the Sundays before, the last days of the months before.
        let days: Vec<String> = alive
            .iter()
            .map(|c| c.created_at.strftime("%m-%d").to_string())
            .collect();
        assert_eq!(
            days,
            [
                "12-31", "12-30", "12-29", "12-28", "12-27", "12-26", "12-25", "12-20", "12-13",
                "11-30", "10-31", "09-30", "08-31", "07-31", "06-30", "05-31", "04-30", "03-31",
                "02-28", "01-31"
            ]
        );
    }

    #[test]
    fn a_day_is_a_day_of_the_configured_zone() {
        let policy = Keep {
            daily: 1,
            weekly: 0,
            monthly: 0,
            minimum: 1,
        };
        // 23:30 and 00:30 in Berlin are two days there and one day in UTC.
        let two = [good("2026-10-24T22:30:00Z"), good("2026-10-24T21:30:00Z")];
        assert_eq!(
            kept(
                &two,
                &Keep {
                    daily: 2,
                    ..policy.clone()
                },
                "2026-10-25T00:00:00Z",
                "Europe/Berlin"
            ),
            [true, true]
        );
        assert_eq!(
            kept(
                &two,
                &Keep { daily: 2, ..policy },
                "2026-10-25T00:00:00Z",
                "UTC"
            ),
            [true, false]
        );
    }

    #[test]
    fn a_job_that_stopped_ages_nothing_out() {
        let old = [good("2020-01-03T03:00:00Z"), good("2020-01-02T03:00:00Z")];
        assert_eq!(
            kept(&old, &Keep::default(), "2026-01-01T00:00:00Z", "UTC"),
            [true, true]
        );
    }

    #[test]
    fn what_cannot_be_counted_on_never_pushes_out_what_can() {
        let mut all = vec![good("2026-11-01T03:00:00Z")];
        for day in (2..20).rev() {
            all.insert(
                0,
                Candidate {
                    created_at: format!("2026-11-{:02}T03:00:00Z", 22 - day)
                        .parse()
                        .expect("a time"),
                    worth: Worth::Doubtful,
                    pinned: false,
                },
            );
        }
        let verdicts = kept(&all, &Keep::default(), "2026-11-24T00:00:00Z", "UTC");
        assert!(verdicts.iter().all(|kept| *kept));
    }

    fn history() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (
            1_500_000_000i64..2_500_000_000,
            prop_oneof![6 => Just(Worth::Good), 1 => Just(Worth::Doubtful), 1 => Just(Worth::Foreign)],
            prop::bool::weighted(0.05),
        );
        prop::collection::vec(one, 0..60).prop_map(|mut all| {
            all.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
            all.into_iter()
                .map(|(at, worth, pinned)| Candidate {
                    created_at: Timestamp::from_second(at).expect("in range"),
                    worth,
                    pinned,
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn random_histories_and_clocks_never_lose_what_counts(
            candidates in history(),
            now in 1_400_000_000i64..2_600_000_000,
            daily in 0u32..10, weekly in 0u32..6, monthly in 0u32..6, minimum in 1u32..5,
        ) {
            let policy = Keep { daily, weekly, monthly, minimum };
            let now = Timestamp::from_second(now).expect("in range");
            let zone = TimeZone::get("America/New_York").expect("a zone");
            let verdicts = plan(&candidates, &policy, now, &zone);
            prop_assert_eq!(verdicts.len(), candidates.len());
            let good = candidates.iter().filter(|c| c.worth == Worth::Good).count();
            let good_kept = candidates.iter().zip(&verdicts)
                .filter(|(c, v)| c.worth == Worth::Good && v.keeps()).count();
            prop_assert!(good_kept >= good.min(minimum as usize), "the minimum stays");
            for (candidate, verdict) in candidates.iter().zip(&verdicts) {
                if candidate.pinned || candidate.worth == Worth::Foreign {
                    prop_assert!(verdict.keeps(), "pinned and foreign ones stay");
                }
                if candidate.created_at.duration_since(now) > AHEAD {
                    prop_assert!(verdict.keeps(), "the future stays");
                }
            }
            if let Some(first) = candidates.iter().position(|c| c.worth == Worth::Good) {
                prop_assert!(verdicts[first].keeps(), "the newest good one stays");
            }
            let left: Vec<_> = candidates.iter().zip(&verdicts)
                .filter(|(_, v)| v.keeps()).map(|(c, _)| c.clone()).collect();
            prop_assert!(plan(&left, &policy, now, &zone).iter().all(Verdict::keeps), "a second time removes nothing");
        }
    }
}
