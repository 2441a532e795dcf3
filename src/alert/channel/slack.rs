//! An incoming webhook that takes Slack's JSON; Mattermost, Rocket.Chat and others take the same.
//! The URL is a secret and in no message of ours.

use serde_json::json;

use super::Sent;
use crate::alert::message::Message;
use crate::config::Secret;
use crate::config::sections::Channel;
use crate::sys::http::{self, Request};
use crate::text::shorten;

/// Slack cuts texts of more than 40000 characters and refuses long ones in some places: stay far below.
const LONGEST: usize = 8000;

pub(super) fn send(channel: &Channel, message: &Message) -> Sent {
    let url = match Secret::read("url", channel.url.as_ref(), channel.url_file.as_deref()) {
        Ok(url) => url.unwrap_or_default(),
        Err(error) => return Sent::rejected(format!("{error:#}")),
    };
    let body = json!({ "text": shorten(&escape(&message.text()), LONGEST) }).to_string();
    let request = Request {
        url: &url,
        name: "the webhook",
        body: Some(("application/json", body.as_bytes())),
        bearer: None,
        ca_file: channel.ca_file.as_deref(),
        limit: channel.timeout.0,
        wanted: 200,
        proxied: true,
    };
    let answer = match http::send(&request) {
        Ok(answer) => answer,
        Err(error) => return Sent::later(format!("{error:#}")),
    };
    let error = format!(
        "the webhook answered {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body).replace(&url, "***")
    );
    match answer.status {
        200..=299 => Sent::Delivered,
        408 | 425 | 429 | 500..=599 => Sent::Later {
            error: shorten(&error, 300),
            after: answer.retry_after,
        },
        _ => Sent::rejected(error),
    }
}

/// Slack's own three.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
