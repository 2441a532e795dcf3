//! Open alerts: what is known, who knows of it, what waits to be sent. Closes what no run will look at again. Sends notices and what an earlier run could not send.
//! Changes the journal's own tables only. Never loses an alert: what is not taken by a channel waits.

mod list;

use std::time::Duration;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use crate::alert::store::{self, Incident, Mute, News, Queue};
use crate::alert::{self, Desk, Sent};
use crate::config::Config;
use crate::config::sections::{Alerts, ChannelKind, Zone, known_channels};
use crate::context::Context;
use crate::error::{Failure, missing, usage};
use crate::journal;
use crate::report::{Reporter, Severity, Step};
use crate::sys::lock::Lock;
use crate::sys::machine;
use crate::task;
use crate::text;
use crate::units::{self, Length};

/// Show, acknowledge, close, silence, test and send alerts
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// What is open, what is muted, what waits to be sent
    List,
    /// Say that you know of one: no repeats and no escalation until it gets worse
    Ack {
        /// Its number, as `alerts list` shows it
        #[arg(required = true)]
        number: Vec<i64>,
    },
    /// Close one whose subject is gone for good, such as a database that was removed: no run will find it well
    Close {
        /// Its number, as `alerts list` shows it
        #[arg(required = true)]
        number: Vec<i64>,
    },
    /// Send nothing about some findings for a while
    Silence {
        /// The finding, as in disk.usage; * stands for any text
        #[arg(required_unless_present = "end")]
        finding: Option<String>,
        /// About which subject; * stands for any text
        #[arg(long, default_value = "*")]
        subject: String,
        /// For how long, as in 2h; at most 30d
        #[arg(long = "for", value_name = "DURATION", default_value = "2h")]
        length: Length,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// End the silence of this number instead
        #[arg(long, value_name = "NUMBER", conflicts_with = "finding")]
        end: Option<i64>,
    },
    /// Send a test message now and say what became of it
    Test {
        /// The channel; all without it
        channel: Vec<String>,
    },
    /// Send what waits, and what became due: run by cron every five minutes
    Flush,
    /// Send a notice, such as that of a deployment; text from standard input is not read
    Send {
        /// How urgent
        #[arg(long, default_value = "info", value_parser = severity)]
        severity: Severity,
        /// What it is about
        #[arg(long, default_value = "notice")]
        subject: String,
        /// To these channels; without it to every chat, and to everything from medium up
        #[arg(long)]
        channel: Vec<String>,
        /// What to say
        message: String,
    },
}

fn severity(word: &str) -> Result<Severity, String> {
    Severity::from_word(word).ok_or_else(|| "info, low, medium, high or critical".to_owned())
}

/// What `alerts` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// What is open, most urgent first; then what is well and not yet said to be, since it comes and goes.
    incidents: Vec<Incident>,
    /// What is muted.
    mutes: Vec<Mute>,
    /// What waits to be sent.
    queues: Vec<Queue>,
}

/// Resolved.
pub struct Task {
    command: Command,
    desk: Desk,
}

/// The page that explains each finding, and so names them all.
const FINDINGS: &str = include_str!("../../../docs/findings.md");

/// A silence for longer than this is a route to be changed.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

impl task::Arguments for Arguments {
    const NAME: &'static str = "alerts";
    const LIMIT: Duration = Duration::from_secs(300);
    type Task = Task;
    type Detail = Detail;

    fn reads_only(&self) -> bool {
        matches!(self.command, Command::List)
    }

    fn covers(&self, other: &Self) -> bool {
        matches!(
            (&self.command, &other.command),
            (Command::Flush, Command::Flush)
        )
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let settings = match &self.command {
            Command::List => Alerts::default(),
            _ => config.get()?,
        };
        let desk = Desk::new(settings, config.peek::<Zone>().unwrap_or_default().zone());
        let named = match &self.command {
            Command::Test { channel } | Command::Send { channel, .. } => channel.as_slice(),
            _ => &[],
        };
        for name in named {
            if desk.channel(name).is_none() {
                return Err(usage(format!("there is no channel '{name}'"))
                    .hint(known_channels(desk.channels()))
                    .into());
            }
        }
        if let Command::Silence {
            finding, subject, ..
        } = &self.command
            && (finding.as_deref().is_some_and(is_blank) || is_blank(subject))
        {
            return Err(usage("no finding has an empty id or subject")
                .hint("as in disk.usage; * stands for any text")
                .into());
        }
        if let Command::Silence { length, .. } = &self.command
            && (length.0 > LONGEST || length.0.is_zero())
        {
            return Err(usage(format!("a silence of {length} is not possible"))
                .hint("at most 30d; change the route for good")
                .into());
        }
        Ok(Task {
            command: self.command,
            desk,
        })
    }
}

impl task::Task for Task {
    fn locks(&self, _: &Context) -> Vec<Lock> {
        Vec::new()
    }

    fn fleeting(&self) -> bool {
        matches!(self.command, Command::Flush)
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        match &self.command {
            Command::List => list::run(context, report),
            Command::Ack { number } => acknowledge(context, report, number),
            Command::Close { number } => close(context, report, number),
            Command::Silence {
                finding,
                subject,
                length,
                reason,
                end,
            } => match (finding, end) {
                (_, Some(number)) => end_silence(context, report, *number),
                (Some(finding), _) => silence(context, report, finding, subject, *length, reason),
                (None, None) => Err(usage("which finding?").into()),
            },
            Command::Test { channel } => self.test(context, report, channel),
            Command::Flush => self.flush(context, report),
            Command::Send {
                severity,
                subject,
                channel,
                message,
            } => self.send(context, report, *severity, subject, channel, message),
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn acknowledge(context: &Context, report: &Reporter, numbers: &[i64]) -> anyhow::Result<()> {
    let who = machine::user();
    for number in numbers {
        let step = Step {
            kind: "acknowledge",
            target: format!("alert {number}"),
            reason: format!("{who} knows of it"),
        };
        report.act(step, |_| {
            let connection = journal::open_for_writing(&context.state)?;
            let known = store::acknowledge(&connection, *number, &who, context.now)?;
            known.ok_or_else(|| not_open(*number))
        })?;
    }
    let many = units::count(numbers.len() as u64, "alert");
    report.summarise(match context.dry_run {
        true => format!("{many} would be acknowledged"),
        false => format!("{many} acknowledged"),
    });
    Ok(())
}

/// Who was told of it hears at the end of this run that it is resolved.
fn close(context: &Context, report: &Reporter, numbers: &[i64]) -> anyhow::Result<()> {
    let who = machine::user();
    for number in numbers {
        let step = Step {
            kind: "close",
            target: format!("alert {number}"),
            reason: format!("{who} says that it is over"),
        };
        report.act(step, |_| {
            let connection = journal::open_for_writing(&context.state)?;
            let closed = store::close(&connection, *number, context.now)?;
            closed.ok_or_else(|| not_open(*number))
        })?;
    }
    let many = units::count(numbers.len() as u64, "alert");
    report.summarise(match context.dry_run {
        true => format!("{many} would be closed"),
        false => format!("{many} closed; a run that finds the same again opens a new one"),
    });
    Ok(())
}

fn not_open(number: i64) -> anyhow::Error {
    usage(format!("there is no open alert {number}"))
        .hint("empire-maint alerts list")
        .into()
}

fn silence(
    context: &Context,
    report: &Reporter,
    finding: &str,
    subject: &str,
    length: Length,
    reason: &str,
) -> anyhow::Result<()> {
    let open = alert::open(&context.state);
    let is_open = || open.iter().any(|(id, _)| text::fits(finding, id));
    if !known_ids().any(|id| text::fits(finding, id)) && !is_open() {
        return Err(unknown(finding).into());
    }
    let mute = Mute {
        id: 0,
        kind: "silence".into(),
        finding: finding.into(),
        subject: subject.into(),
        from: context.now,
        until: context.now.checked_add(length.0)?,
        who: machine::user(),
        reason: reason.into(),
    };
    let step = Step {
        kind: "silence",
        target: format!("{finding} {subject}"),
        reason: format!("for {length}"),
    };
    let number = report.act(step, |_| {
        store::mute(&journal::open_for_writing(&context.state)?, &mute)
    })?;
    report.summarise(match number {
        Some(number) => format!(
            "{finding} {subject} is silent for {length}; empire-maint alerts silence --end {number} ends that"
        ),
        None => format!("{finding} {subject} would be silent for {length}"),
    });
    Ok(())
}

fn known_ids() -> impl Iterator<Item = &'static str> {
    let id = |line: &'static str| Some(line.strip_prefix("| `")?.split_once('`')?.0);
    FINDINGS
        .lines()
        .filter_map(id)
        .filter(|id| id.contains('.'))
}

/// A silence for what is never found would be taken for one.
fn unknown(finding: &str) -> Failure {
    let (room, _) = finding.split_once('.').unwrap_or((finding, ""));
    let near: Vec<_> = known_ids()
        .filter(|id| id.split_once('.').is_some_and(|(of, _)| of == room))
        .collect();
    usage(format!("there is no finding '{finding}'")).hint(match near.is_empty() {
        true => "as in disk.usage; * stands for any text".to_owned(),
        false => format!("one of {}", near.join(", ")),
    })
}

fn end_silence(context: &Context, report: &Reporter, number: i64) -> anyhow::Result<()> {
    let step = Step {
        kind: "end",
        target: format!("silence {number}"),
        reason: "as asked".into(),
    };
    report.act(step, |_| {
        let connection = journal::open_for_writing(&context.state)?;
        match store::unmute(&connection, "silence", Some(number), context.now)? {
            0 => Err(usage(format!("there is no silence {number}"))
                .hint("empire-maint alerts list")
                .into()),
            _ => Ok(()),
        }
    })?;
    report.summarise(match context.dry_run {
        true => format!("silence {number} would end"),
        false => format!("silence {number} ended"),
    });
    Ok(())
}

impl Task {
    /// Decisions and sending are what the end of every run does; here they are all that is done.
    fn flush(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let waiting = |context: &Context| -> anyhow::Result<u64> {
            let connection = journal::open_for_writing(&context.state)?;
            let queues = store::queues(&connection)?;
            Ok(queues.iter().map(|queue| u64::from(queue.waiting)).sum())
        };
        if context.dry_run {
            report.summarise("would send what waits");
            return Ok(());
        }
        let before = waiting(context)?;
        let delivery = alert::deliver(
            &context.state,
            &self.desk,
            &context.host,
            &context.stop,
            context.now,
        )?;
        let left = waiting(context)?;
        for finding in delivery.findings {
            report.find(finding);
        }
        for examined in delivery.examined {
            report.examined(examined.id, examined.subject.unwrap_or_default());
        }
        let sent = before.saturating_sub(left);
        report.summarise(match (sent, left) {
            (0, 0) => "nothing waits".to_owned(),
            (sent, left) => format!("{sent} sent, {left} waiting"),
        });
        Ok(())
    }

    fn test(&self, context: &Context, report: &Reporter, only: &[String]) -> anyhow::Result<()> {
        let wanted: Vec<_> = self
            .desk
            .channels()
            .iter()
            .filter(|channel| only.is_empty() || only.contains(&channel.name))
            .collect();
        if wanted.is_empty() {
            return Err(missing("no channel is configured")
                .hint("[[alerts.channel]]; empire-maint config init shows the keys")
                .into());
        }
        let mut taken = 0;
        for channel in &wanted {
            let news = self.notice(context, "test", Severity::Info, "alerts", "this is a test");
            let step = Step {
                kind: "send",
                target: channel.name.clone(),
                reason: "a test".into(),
            };
            let mut sent = None;
            // Why it was not taken is a finding, and the next channel is tried.
            let took = report.act(step, |_| {
                sent = alert::try_channel(&self.desk, &channel.name, &context.host, news);
                match &sent {
                    Some(Sent::Delivered | Sent::Partly(_)) => Ok(()),
                    _ => Err(anyhow::anyhow!("it was not taken")),
                }
            });
            let Some(sent) = sent else { continue };
            taken += u64::from(took.is_ok());
            for finding in alert::complaints(sent, &channel.name) {
                report.find(finding.hint(format!(
                    "[[alerts.channel]] {}: is the address right, does its server run, is each file that it names there?",
                    channel.name
                )));
            }
        }
        let wanted = units::count(wanted.len() as u64, "channel");
        report.summarise(match context.dry_run {
            true => format!("would send a test message to {wanted}"),
            false => format!("{taken} of {wanted} took the test message"),
        });
        Ok(())
    }

    fn send(
        &self,
        context: &Context,
        report: &Reporter,
        severity: Severity,
        subject: &str,
        only: &[String],
        message: &str,
    ) -> anyhow::Result<()> {
        if message.trim().is_empty() {
            return Err(usage("an empty message is not sent").into());
        }
        let channels: Vec<_> = self
            .desk
            .channels()
            .iter()
            .filter(|channel| match only.is_empty() {
                true => channel.kind == ChannelKind::Slack || severity >= Severity::Medium,
                false => only.contains(&channel.name),
            })
            .map(|channel| channel.name.clone())
            .collect();
        if channels.is_empty() {
            return Err(missing("no channel takes this notice")
                .hint("--channel NAME, or a channel of kind slack")
                .into());
        }
        let news = self.notice(context, "notice", severity, subject, message);
        let step = Step {
            kind: "send",
            target: channels.join(", "),
            reason: "a notice".into(),
        };
        report.act(step, |_| {
            let mut connection = journal::open_for_writing(&context.state)?;
            let transaction = connection.transaction()?;
            for channel in &channels {
                store::spool(&transaction, channel, &news, context.now, context.now)?;
            }
            transaction.commit()?;
            Ok(())
        })?;
        let channels = channels.join(", ");
        report.summarise(match context.dry_run {
            true => format!("would send a notice to {channels}"),
            false => format!("a notice for {channels}"),
        });
        Ok(())
    }

    fn notice(
        &self,
        context: &Context,
        event: &str,
        severity: Severity,
        subject: &str,
        message: &str,
    ) -> News {
        News {
            event: event.into(),
            incident: None,
            finding: event.into(),
            subject: subject.into(),
            severity,
            message: message.into(),
            hint: None,
            task: "alerts".into(),
            since: context.now,
            at: context.now,
        }
    }
}
