//! Where messages go: one file a kind. Each tries once, within its time, and says what became of it.

mod command;
mod mail;
mod slack;

use std::time::Duration;

use super::message::Message;
use crate::config::sections::{Channel, ChannelKind};
use crate::text::shorten;

/// What became of an attempt.
#[derive(Debug)]
pub enum Sent {
    /// The other side has taken it.
    Delivered,
    /// Not now: no answer, busy, or asked to wait.
    Later {
        /// Why.
        error: String,
        /// Not before this time.
        after: Option<Duration>,
    },
    /// The other side will not take it as it is: somebody has to look at the configuration.
    Rejected(String),
    /// Some have it, and these do not.
    Partly(Vec<Unreached>),
}

/// One of several receivers, who did not get what the others got.
#[derive(Clone, Debug)]
pub struct Unreached {
    /// As the configuration writes it.
    pub receiver: String,
    /// Why.
    pub error: String,
    /// It is refused, not put off.
    pub for_good: bool,
}

impl Sent {
    fn later(error: impl std::fmt::Display) -> Self {
        Self::Later {
            error: shorten(&error.to_string(), 300),
            after: None,
        }
    }

    fn rejected(error: impl std::fmt::Display) -> Self {
        Self::Rejected(shorten(&error.to_string(), 300))
    }
}

/// Tries once to send; to `only` these of the channel's receivers, where the others have it already.
pub fn send(channel: &Channel, message: &Message, only: Option<&[String]>) -> Sent {
    match channel.kind {
        ChannelKind::Mail => mail::send(channel, message, only),
        ChannelKind::Slack => slack::send(channel, message),
        ChannelKind::Command => command::send(channel, message),
    }
}
