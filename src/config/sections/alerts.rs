//! `[alerts]`: who is told what, how, and how often.

use std::path::{Path, PathBuf};

use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::values::names_program;
use super::{Second, Section};
use crate::config::Secret;
use crate::error::{self, Failure};
use crate::report::Severity;
use crate::units::Length;

/// Who is told what. Without a channel, cron's own mail carries the news.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// how often cron's own mail repeats a finding that no channel has delivered
    pub repeat_every: Length,
    /// when findings of low severity are sent, together, HH:MM
    #[serde(deserialize_with = "clock_time")]
    pub digest_at: String,
    /// findings that are sent only if they are still there after hold_for: the plan's "within 1 hour"
    pub hold: Vec<String>,
    /// how long those are held
    pub hold_for: Length,
    /// where messages go
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channel: Vec<Channel>,
    /// which findings go to which channels
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<Route>,
    /// a dead-man switch: told when each task starts and ends, outside the routes
    pub ping: Ping,
}

/// Somewhere to send messages.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// routes name it
    #[schemars(example = &"ops-mail")]
    pub name: String,
    /// mail, slack (any webhook that takes the same JSON) or command
    #[schemars(example = &"mail")]
    pub kind: ChannelKind,
    /// mail: smtp://HOST:PORT, or smtps:// for TLS from the first byte
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "smtp_url"
    )]
    #[schemars(example = &"smtp://127.0.0.1:25")]
    pub smtp_url: Option<String>,
    /// mail: hand it to the local sendmail instead
    #[serde(default)]
    #[schemars(example = false)]
    pub sendmail: bool,
    /// mail: STARTTLS with smtp://: auto (where it is offered, and then any certificate will do, unless there is a ca_file; with a password as required), required (with a certificate that is proven, or no mail), never
    #[serde(default)]
    #[schemars(example = &"auto")]
    pub starttls: StartTls,
    /// mail: name to log in with
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"empire-maint")]
    pub username: Option<String>,
    /// mail: its password; better in password_file
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// mail: a file whose first line is the password; may begin with $CREDENTIALS_DIRECTORY
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "super::values::path")]
    #[schemars(example = &"/etc/empire-maint/mail-password")]
    pub password_file: Option<PathBuf>,
    /// mail: sender
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "sender"
    )]
    #[schemars(example = &"empire-maint@luca.local")]
    pub from: Option<String>,
    /// mail: receivers
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "receivers"
    )]
    #[schemars(example = ["admin@luca.local"])]
    pub to: Vec<String>,
    /// slack: the webhook, which is a secret; better in url_file
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "web_url"
    )]
    pub url: Option<Secret>,
    /// slack: a file whose first line is the webhook
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/empire-maint/slack-url")]
    #[serde(deserialize_with = "super::values::path")]
    pub url_file: Option<PathBuf>,
    /// command: an argument list; gets the message as JSON on standard input
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "program"
    )]
    #[schemars(example = ["/usr/local/bin/page"])]
    pub command: Vec<String>,
    /// certificates to trust instead of the system's
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "super::values::path")]
    #[schemars(example = &"/etc/empire-maint/ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// how long one attempt may take
    #[serde(default = "ten_seconds", deserialize_with = "super::values::some_time")]
    #[schemars(example = &"10s")]
    pub timeout: Length,
}

/// What a channel speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// SMTP or sendmail.
    Mail,
    /// A webhook that takes Slack's JSON.
    Slack,
    /// A program.
    Command,
}

/// When to encrypt a connection that begins in the clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartTls {
    /// Where it is offered; required where a password would be sent.
    #[default]
    Auto,
    /// Or no mail at all.
    Required,
    /// Never.
    Never,
}

/// Which findings go to which channels.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// from this severity up
    #[serde(default = "medium")]
    #[schemars(example = &"medium")]
    pub min_severity: Severity,
    /// of these tasks; * stands for any text
    #[serde(default = "everything")]
    #[schemars(example = ["*"])]
    pub tasks: Vec<String>,
    /// to these channels
    #[schemars(example = ["ops-mail"])]
    pub channels: Vec<String>,
    /// an unchanged finding is sent again after this time
    #[serde(default = "one_day")]
    #[schemars(example = &"24h")]
    pub repeat_every: Length,
    /// one that nobody acknowledged goes to escalate_to after this time; default: 15m critical, 1h high, 4h medium
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"1h")]
    pub escalate_after: Option<Length>,
    /// channels to escalate to
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["pager"])]
    pub escalate_to: Vec<String>,
}

/// The dead-man switch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ping {
    /// https://…/{task}: gets /start, then the exit code, with ?rid= the run's id; better in url_template_file
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "web_url")]
    pub url_template: Option<Secret>,
    /// a file whose first line is the template
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/empire-maint/ping-url")]
    #[serde(deserialize_with = "super::values::path")]
    pub url_template_file: Option<PathBuf>,
    /// for these tasks; * stands for any text
    pub tasks: Vec<String>,
    /// how long one ping may take
    #[serde(deserialize_with = "super::values::some_time")]
    pub timeout: Length,
}

fn ten_seconds() -> Length {
    Length::from_millis(10_000)
}

fn one_day() -> Length {
    Length::from_millis(24 * 3_600_000)
}

fn medium() -> Severity {
    Severity::Medium
}

fn everything() -> Vec<String> {
    vec!["*".into()]
}

fn clock_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<jiff::civil::Time>()
        .map_err(|_| de::Error::custom(format!("'{text}' is not a time of day, as 08:00 is")))?;
    Ok(text)
}

/// Does a mail library take it as an address?
fn mailbox<E: de::Error>(text: &str) -> Result<(), E> {
    let wrong = |why| {
        E::custom(format!(
            "'{}' is no mail address: {why}",
            text.escape_debug()
        ))
    };
    text.parse::<Mailbox>().map(drop).map_err(wrong)
}

fn sender<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    mailbox(&text)?;
    Ok(Some(text))
}

fn receivers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    list.iter().try_for_each(|text| mailbox(text))?;
    Ok(list)
}

fn smtp_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    smtp_server(&text).map_err(de::Error::custom)?;
    Ok(Some(text))
}

/// TLS from the first byte, host, port.
fn smtp_server(url: &str) -> Result<(bool, String, u16), String> {
    let (wrapped, rest) = match (url.strip_prefix("smtp://"), url.strip_prefix("smtps://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err("only smtp://HOST:PORT and smtps://HOST:PORT are possible".into()),
    };
    if rest.contains(['@', '/', '?']) {
        return Err("only smtp://HOST:PORT; use username and password_file".into());
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let number = port.parse().ok().filter(|number| *number > 0);
            (host, number.ok_or_else(|| format!("'{port}' is no port"))?)
        }
        _ if wrapped => (rest, 465),
        _ => (rest, 25),
    };
    match host.is_empty() {
        true => Err("it names no host".into()),
        false => Ok((wrapped, host.to_owned(), port)),
    }
}

/// The value is a secret, and in no message.
fn web_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let secret = Secret::deserialize(deserializer)?;
    match secret.is_web_url() {
        true => Ok(Some(secret)),
        false => Err(de::Error::custom("this is neither https://… nor http://…")),
    }
}

fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    match list.first() {
        Some(program) if program.contains('/') && !Path::new(program).is_absolute() => {
            Err(de::Error::custom(format!(
                "'{}' is found from one folder only: write its whole path",
                program.escape_debug()
            )))
        }
        _ => Ok(list),
    }
}

impl Default for Ping {
    fn default() -> Self {
        Self {
            url_template: None,
            url_template_file: None,
            tasks: everything(),
            timeout: ten_seconds(),
        }
    }
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            repeat_every: one_day(),
            digest_at: "08:00".into(),
            hold: vec!["http.slow".into(), "database.slow".into()],
            hold_for: Length::from_millis(30 * 60_000),
            channel: Vec::new(),
            route: Vec::new(),
            ping: Ping::default(),
        }
    }
}

impl Section for Alerts {
    const NAME: &'static str = "alerts";

    fn check(&self) -> Result<(), Failure> {
        for channel in &self.channel {
            channel.check()?;
        }
        for name in self
            .route
            .iter()
            .flat_map(|route| route.channels.iter().chain(&route.escalate_to))
        {
            if !self.channel.iter().any(|channel| channel.name == *name) {
                return Err(error::config(format!(
                    "a route names the channel '{name}', which is not there"
                ))
                .hint(known_channels(&self.channel)));
            }
        }
        Ok(())
    }

    fn second(&self) -> Option<Second> {
        self.channel.iter().enumerate().find_map(|(at, channel)| {
            let mut before = self.channel[..at].iter();
            let same = before.any(|other| other.name == channel.name);
            same.then(|| Second {
                place: vec!["channel".to_owned(), at.to_string(), "name".to_owned()],
                message: format!("two channels have the name '{}'", channel.name),
            })
        })
    }
}

/// What to say to a name that is none of these.
pub fn known_channels(channels: &[Channel]) -> String {
    let names: Vec<_> = channels.iter().map(|one| one.name.as_str()).collect();
    match names.is_empty() {
        true => "no [[alerts.channel]] is configured".to_owned(),
        false => format!("channels: {}", names.join(", ")),
    }
}

impl Alerts {
    /// Channels that no route names: nothing is sent there but notices.
    pub fn unused(&self) -> impl Iterator<Item = &Channel> {
        let named = |channel: &&Channel| {
            self.route.iter().any(|route| {
                let mut names = route.channels.iter().chain(&route.escalate_to);
                names.any(|name| *name == channel.name)
            })
        };
        self.channel.iter().filter(move |channel| !named(channel))
    }
}

impl Channel {
    /// Of `smtp_url`: whether TLS begins with the first byte, host, port.
    pub fn smtp_server(&self) -> Result<(bool, String, u16), Failure> {
        smtp_server(self.smtp_url.as_deref().unwrap_or_default())
            .map_err(|why| error::config(format!("smtp_url: {why}")))
    }

    fn check(&self) -> Result<(), Failure> {
        let wrong = |what: &str| {
            Err(error::config(format!(
                "the channel '{}' {what}",
                self.name.escape_debug()
            )))
        };
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return wrong("has no usable name");
        }
        match self.kind {
            ChannelKind::Mail if self.from.is_none() || self.to.is_empty() => {
                wrong("needs from and to")
            }
            ChannelKind::Mail if self.sendmail == self.smtp_url.is_some() => {
                wrong("needs either smtp_url or sendmail = true")
            }
            ChannelKind::Slack if self.url.is_none() && self.url_file.is_none() => {
                wrong("needs url_file (or url)")
            }
            ChannelKind::Command if !names_program(&self.command) => {
                wrong("needs command, an argument list")
            }
            _ => Ok(()),
        }
    }
}
