//! `uptime`: how often the application answered, out of the journal, with as much certainty as the samples give.

use jiff::Timestamp;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::journal::{self, Sample};
use crate::report::{Finding, Reporter, Severity};
use crate::units;

const LOW: &str = "uptime.low";
const DAYS: i64 = 30;
/// The normal distribution's 97.5%: an interval that holds the true value in 95 of 100 cases.
const Z: f64 = 1.959_964;

/// Counts what `http` saw in the last 30 days.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    // A little more than the 30 days, or the first sample would always be a moment too young.
    let since = jiff::SignedDuration::from_hours((DAYS + 1) * 24);
    let since = context.now.checked_sub(since)?;
    let samples = journal::samples(&context.state, "http_up", None, since)?;
    let number = samples.len() as u64;
    let days = samples.first().map_or(0.0, |first| {
        context.now.duration_since(first.at).as_secs_f64() / 86_400.0
    });
    if days < DAYS as f64 {
        return Ok(Looked::Nothing(format!(
            "too little data for availability: {} over {days:.0} days, {DAYS} are needed",
            units::count(number, "sample")
        )));
    }
    let up = samples.iter().filter(|sample| sample.value >= 1.0).count() as u64;
    let share = units::percent(up, number);
    let (low, high) = wilson(up, number);
    report.examined(LOW, "application");
    report.measure("uptime_percent", share, "%", []);
    report.measure("uptime_low_percent", low, "%", []);
    report.measure("uptime_high_percent", high, "%", []);
    let measured = measured(&samples, context.now);
    report.measure("uptime_measured_percent", measured, "%", []);
    let told = format!(
        "{share:.2}% of {} in {DAYS} days were well (95% sure: {low:.2}% to {high:.2}%); {measured:.1}% of the time was measured",
        units::count(number, "sample")
    );
    // Under the target only where even the kinder end of the interval is.
    let target = scene.limits.uptime_pct;
    if high < target {
        report.find(
            Finding::new(
                LOW,
                Severity::Medium,
                "application",
                format!("{told}; the target is {target}%"),
            )
            .measured(share, "%", target)
            .hint("empire-maint history --task health --findings"),
        );
    }
    Ok(Looked::At(told))
}

/// The share of the time that samples speak for, %: each for as long as it usually is to the next one. Who was switched off has
/// measured nothing, which is neither well nor not.
fn measured(samples: &[Sample], now: Timestamp) -> f64 {
    let ends = samples.iter().skip(1).map(|sample| sample.at).chain([now]);
    let gaps: Vec<f64> = samples
        .iter()
        .zip(ends)
        .map(|(sample, end)| end.duration_since(sample.at).as_secs_f64().max(0.0))
        .collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    // Runs are not on the second, and the hourly one comes between two others.
    let known: f64 = gaps
        .iter()
        .map(|gap| if *gap > usual * 2.0 { usual } else { *gap })
        .sum();
    let all: f64 = gaps.iter().sum();
    match all > 0.0 {
        true => known / all * 100.0,
        false => 100.0,
    }
}

/// Wilson's interval for a share, %: sound for few samples and for shares near 0 or 1, where the usual one is not.
fn wilson(up: u64, number: u64) -> (f64, f64) {
    let n = number.max(1) as f64;
    let share = up as f64 / n;
    let middle = share + Z * Z / (2.0 * n);
    let spread = Z * ((share * (1.0 - share) + Z * Z / (4.0 * n)) / n).sqrt();
    let all = 1.0 + Z * Z / n;
    let percent = |value: f64| (value / all * 100.0).clamp(0.0, 100.0);
    (percent(middle - spread), percent(middle + spread))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_was_off_has_measured_nothing() {
        let at = |minute: i64| Timestamp::from_second(minute * 60).expect("a time");
        let every = |minutes: std::ops::Range<i64>| {
            minutes.step_by(5).map(|minute| Sample {
                at: at(minute),
                value: 1.0,
            })
        };
        let all: Vec<_> = every(0..1000).collect();
        assert_eq!(measured(&all, at(1000)), 100.0);
        let half: Vec<_> = every(0..500).chain(every(1000..1500)).collect();
        let share = measured(&half, at(2000));
        assert!((share - 50.0).abs() < 1.0, "{share}");
    }

    #[test]
    fn the_interval_is_wilsons() {
        // Reference values: statsmodels' proportion_confint(…, method="wilson").
        for (up, number, low, high) in [
            (50, 100, 40.383, 59.617),
            (720, 720, 99.469, 100.0),
            (8635, 8640, 99.865, 99.975),
            (0, 10, 0.0, 27.753),
        ] {
            let (found_low, found_high) = wilson(up, number);
            assert!((found_low - low).abs() < 0.01, "{up}/{number}: {found_low}");
            assert!(
                (found_high - high).abs() < 0.01,
                "{up}/{number}: {found_high}"
            );
        }
    }
}
