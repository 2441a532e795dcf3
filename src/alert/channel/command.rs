//! Any program: the message as JSON on standard input, exit code 0 for "taken".

use super::Sent;
use crate::alert::message::Message;
use crate::config::sections::Channel;
use crate::error::{self, Kind};
use crate::sys::{Stop, process};

pub(super) fn send(channel: &Channel, message: &Message) -> Sent {
    let command = match process::from_list(&channel.command) {
        Ok(command) => command,
        Err(error) => return Sent::rejected(error),
    };
    let input = format!("{}\n", message.json()).into_bytes();
    // What a signal has ended is what has to be told: it does not end the telling.
    let stop = Stop::after(channel.timeout.0);
    match process::run_with_input(command, input, channel.timeout.0, &stop) {
        Ok(output) if output.status.success() => Sent::Delivered,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or_default();
            Sent::later(format!(
                "{} ended with {}: {said}",
                channel.command[0], output.status
            ))
        }
        Err(error) if error::kind_of(&error) == Kind::Missing => {
            Sent::rejected(format!("{error:#}"))
        }
        Err(error) => Sent::later(format!("{error:#}")),
    }
}
