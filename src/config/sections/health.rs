//! `[health]`: where a figure starts to be a finding.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Section;
use crate::error::{self, Failure};
use crate::report::Severity;
use crate::units::{Bytes, Length};

/// What the health check expects, and from where on a figure is a finding.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// what the answer of [app] health_url must contain
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"\"status\":\"ok\"")]
    pub http_body: Option<String>,
    /// no answer within this is no answer
    #[serde(deserialize_with = "super::values::some_time")]
    pub http_timeout: Length,
    /// a write-ahead log larger than this is a finding
    pub max_wal: Bytes,
    /// availability under this over 30 days is a finding, %
    #[schemars(range(min = 0.0, max = 100.0))]
    pub uptime_pct: f64,
    /// requests whose path ends so are logins; refused ones (400, 401, 403, 422, 429) are counted
    #[serde(deserialize_with = "super::values::words")]
    pub login_paths: Vec<String>,
    /// requests whose path starts so belong to the API; answers from 400 on are counted
    #[serde(deserialize_with = "super::values::words")]
    pub api_paths: Vec<String>,
    /// fewer requests than this in an hour make no error rate
    pub error_rate_requests: u64,
    /// space and inodes in use, %
    #[serde(deserialize_with = "disk_pct")]
    pub disk_pct: Levels,
    /// 1 - MemAvailable/MemTotal, %
    #[serde(deserialize_with = "memory_pct")]
    pub memory_pct: Levels,
    /// load of the last five minutes for each core, %
    #[serde(deserialize_with = "cpu_pct")]
    pub cpu_pct: Levels,
    /// time to the whole answer of [app] health_url, ms
    #[serde(deserialize_with = "response_ms")]
    pub response_ms: Levels,
    /// answers from 500 on among the requests of the last hour, %
    #[serde(deserialize_with = "error_rate_pct")]
    pub error_rate_pct: Levels,
    /// refused logins in the worst minute of the last hour
    #[serde(deserialize_with = "failed_logins_per_minute")]
    pub failed_logins_per_minute: Levels,
    /// answers from 400 on to API requests in the worst minute of the last hour
    #[serde(deserialize_with = "api_errors_per_minute")]
    pub api_errors_per_minute: Levels,
    /// entries of the application's error logs in the worst minute of the last hour
    #[serde(deserialize_with = "app_errors_per_minute")]
    pub app_errors_per_minute: Levels,
    /// established TCP connections
    #[serde(deserialize_with = "connections")]
    pub connections: Levels,
    /// time to open a database and read a row of each expected table, ms
    #[serde(deserialize_with = "database_query_ms")]
    pub database_query_ms: Levels,
    /// limits of one mount; one that is named here is looked at whatever kind it is, and missed where it is gone or read-only
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mount: Vec<Mount>,
}

/// From which value on a figure has which severity; a level without a number is never reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Levels {
    /// from here on low
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1)]
    pub low: Option<f64>,
    /// from here on medium
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1)]
    pub medium: Option<f64>,
    /// from here on high
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1000)]
    pub high: Option<f64>,
    /// from here on critical
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 10_000)]
    pub critical: Option<f64>,
}

/// Limits of one mount, in place of `disk_pct`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// where it is mounted
    #[schemars(example = &"/data")]
    #[serde(deserialize_with = "super::values::path")]
    pub path: PathBuf,
    /// medium from here on, %
    #[serde(default)]
    #[schemars(example = 85)]
    pub medium: Option<f64>,
    /// high from here on, %
    #[serde(default)]
    #[schemars(example = 92)]
    pub high: Option<f64>,
    /// critical from here on, %
    #[serde(default)]
    #[schemars(example = 97)]
    pub critical: Option<f64>,
}

impl Levels {
    const fn of(
        low: Option<f64>,
        medium: Option<f64>,
        high: Option<f64>,
        critical: Option<f64>,
    ) -> Self {
        Self {
            low,
            medium,
            high,
            critical,
        }
    }

    /// These levels, with the other's where these have none.
    pub fn or(self, other: Self) -> Self {
        Self {
            low: self.low.or(other.low),
            medium: self.medium.or(other.medium),
            high: self.high.or(other.high),
            critical: self.critical.or(other.critical),
        }
    }

    /// The most urgent level that `value` reaches, with its limit.
    pub fn judge(&self, value: f64) -> Option<(Severity, f64)> {
        [
            (Severity::Critical, self.critical),
            (Severity::High, self.high),
            (Severity::Medium, self.medium),
            (Severity::Low, self.low),
        ]
        .into_iter()
        .find_map(|(severity, limit)| {
            let limit = limit.filter(|limit| value >= *limit)?;
            Some((severity, limit))
        })
    }

    /// Reads what the file says over the default, so that who changes one level keeps the others.
    fn over<'de, D: Deserializer<'de>>(deserializer: D, default: Self) -> Result<Self, D::Error> {
        let levels = Self::deserialize(deserializer)?.or(default);
        match levels.rise() {
            true => Ok(levels),
            false => Err(de::Error::custom(
                "the levels must rise from low to critical",
            )),
        }
    }

    fn rise(&self) -> bool {
        let all = [self.low, self.medium, self.high, self.critical];
        let numbers: Vec<f64> = all.into_iter().flatten().collect();
        numbers.iter().all(|number| *number >= 0.0) && numbers.is_sorted()
    }
}

/// The plan's limits (§6.1, §10), and the reader of each.
macro_rules! levels {
    ($($name:ident $constant:ident = $low:expr, $medium:expr, $high:expr, $critical:expr;)*) => {$(
        const $constant: Levels = Levels::of($low, $medium, $high, $critical);
        fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Levels, D::Error> {
            Levels::over(deserializer, $constant)
        }
    )*};
}

levels! {
    disk_pct DISK = None, Some(80.0), Some(90.0), Some(95.0);
    memory_pct MEMORY = None, Some(80.0), Some(85.0), Some(95.0);
    cpu_pct CPU = None, Some(80.0), Some(95.0), None;
    response_ms RESPONSE = Some(200.0), Some(500.0), Some(2000.0), None;
    error_rate_pct ERROR_RATE = Some(0.1), Some(1.0), Some(5.0), Some(10.0);
    failed_logins_per_minute LOGINS = None, Some(5.0), Some(10.0), None;
    api_errors_per_minute API_ERRORS = None, Some(100.0), None, None;
    app_errors_per_minute APP_ERRORS = None, Some(100.0), None, None;
    connections CONNECTIONS = None, Some(100.0), None, None;
    database_query_ms QUERY = None, Some(100.0), Some(1000.0), None;
}

impl Default for Health {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            http_body: None,
            http_timeout: Length::from_millis(10_000),
            max_wal: Bytes(1 << 30),
            uptime_pct: 99.9,
            login_paths: words(&["/login", "/signin", "/sign-in"]),
            api_paths: words(&["/api"]),
            error_rate_requests: 100,
            disk_pct: DISK,
            memory_pct: MEMORY,
            cpu_pct: CPU,
            response_ms: RESPONSE,
            error_rate_pct: ERROR_RATE,
            failed_logins_per_minute: LOGINS,
            api_errors_per_minute: API_ERRORS,
            app_errors_per_minute: APP_ERRORS,
            connections: CONNECTIONS,
            database_query_ms: QUERY,
            mount: Vec::new(),
        }
    }
}

impl Mount {
    /// Its own levels, with those of every disk where it has none.
    pub fn levels(&self, disk_pct: Levels) -> Levels {
        Levels::of(None, self.medium, self.high, self.critical).or(disk_pct)
    }
}

impl Section for Health {
    const NAME: &'static str = "health";

    fn check(&self) -> Result<(), Failure> {
        if !(0.0..=100.0).contains(&self.uptime_pct) {
            return Err(error::config(format!(
                "uptime_pct = {} is no availability: from 0 to 100",
                self.uptime_pct
            )));
        }
        for mount in &self.mount {
            let levels = mount.levels(self.disk_pct);
            if !levels.rise() {
                let shown = |level: Option<f64>| level.map_or("-".to_owned(), |at| at.to_string());
                return Err(error::config(format!(
                    "[[health.mount]] \"{}\": the levels must rise from medium to critical, with those of disk_pct where it has none: {}, {}, {}",
                    mount.path.display(),
                    shown(levels.medium),
                    shown(levels.high),
                    shown(levels.critical)
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_one_level_keeps_the_others() {
        let health: Health = toml::from_str("disk_pct = { high = 92 }").expect("reads");
        assert_eq!(health.disk_pct.medium, Some(80.0));
        assert_eq!(health.disk_pct.high, Some(92.0));
        assert_eq!(health.memory_pct, MEMORY);
    }

    #[test]
    fn levels_that_fall_are_refused() {
        for wrong in [
            "disk_pct = { high = 99 }",
            "cpu_pct = { medium = -1 }",
            "cpu_pct = { medium = nan }",
            "cpu_pct = { urgent = 1 }",
        ] {
            assert!(toml::from_str::<Health>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn impossible_values_are_refused() {
        for wrong in [
            "uptime_pct = nan",
            "uptime_pct = -1",
            "mount = [{path = '/', medium = nan}]",
            "mount = [{path = '/', medium = 95, high = 15, critical = -4}]",
            "mount = [{path = '/', medium = 92}]",
        ] {
            let health: Health = toml::from_str(wrong).expect(wrong);
            assert!(health.check().is_err(), "{wrong}");
        }
        let fine = "mount = [{path = '/', medium = 90, high = 95, critical = 98}]";
        let health: Health = toml::from_str(fine).expect("reads");
        assert!(health.check().is_ok());
        for wrong in [
            "http_timeout = '0s'",
            "login_paths = ['']",
            "mount = [{path = ''}]",
            "mount = [{path = \"/a\\nb\"}]",
        ] {
            assert!(toml::from_str::<Health>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_that_is_reached_counts() {
        assert_eq!(DISK.judge(79.9), None);
        assert_eq!(DISK.judge(80.0), Some((Severity::Medium, 80.0)));
        assert_eq!(DISK.judge(94.9), Some((Severity::High, 90.0)));
        assert_eq!(DISK.judge(100.0), Some((Severity::Critical, 95.0)));
        assert_eq!(RESPONSE.judge(200.0), Some((Severity::Low, 200.0)));
        assert_eq!(DISK.judge(f64::NAN), None);
    }
}
