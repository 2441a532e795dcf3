//! An endpoint that makes vectors of texts, in the two shapes that servers speak: OpenAI's `/v1/embeddings` and Ollama's
//! `/api/embed`. What it cannot do now is tried again for a while; an answer that is not exactly what was asked for is none.

mod answer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::sys::{Stop, http};

/// The first wait before another try; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Nobody is told to stop later than this.
const SLICE: Duration = Duration::from_millis(100);
/// A larger answer is none to a bounded number of texts.
const LARGEST: u64 = 256 << 20;
/// Characters of a refusal that are worth showing.
const SHOWN: usize = 200;

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/embeddings`.
    OpenAi,
    /// `/api/embed`.
    Ollama,
}

/// Where texts become vectors.
#[derive(Clone)]
pub struct Endpoint {
    /// Its address, which holds no secret.
    pub url: String,
    /// The model.
    pub model: String,
    /// What it speaks.
    pub api: Api,
    /// Its key.
    pub key: Option<String>,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// For one request.
    pub timeout: Duration,
    /// How long one that failed is tried again.
    pub patience: Duration,
}

/// Why there are no vectors.
#[derive(Debug)]
pub enum Trouble {
    /// It did not answer, or said that it cannot now, for as long as was tried.
    Away(String),
    /// It answered that it will not do this.
    Refused(u16, String),
    /// It answered something else than was asked for.
    Wrong(String),
    /// The run ends.
    Stopped(anyhow::Error),
    /// Somebody waits for us.
    GaveWay,
}

impl Endpoint {
    /// The vectors of these texts in their order: 32-bit floats, little-endian, all of one dimension. `gives_way` is asked before
    /// each try and while it waits for the next one.
    pub fn embed(
        &self,
        texts: &[&str],
        stop: &Stop,
        gives_way: &dyn Fn() -> bool,
    ) -> Result<Vec<Vec<u8>>, Trouble> {
        let body = match self.api {
            Api::OpenAi => json!({"model": self.model, "input": texts, "encoding_format": "float"}),
            Api::Ollama => json!({"model": self.model, "input": texts}),
        }
        .to_string();
        let (started, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            if gives_way() {
                return Err(Trouble::GaveWay);
            }
            let limit = stop.left(self.timeout).map_err(Trouble::Stopped)?;
            let answer = http::send(&http::Request {
                url: &self.url,
                name: &self.url,
                body: Some(("application/json", body.as_bytes())),
                bearer: self.key.as_deref(),
                ca_file: self.ca_file.as_deref(),
                limit,
                wanted: LARGEST,
                proxied: true,
            });
            let (why, asked) = match answer {
                Ok(answer) if answer.status == 200 => {
                    return answer::read(self.api, &answer.body, texts.len())
                        .map_err(Trouble::Wrong);
                }
                Ok(answer) if matches!(answer.status, 408 | 429 | 500..) => {
                    let why = format!(
                        "{} answered {}{}",
                        self.url,
                        answer.status,
                        self.said(&answer.body)
                    );
                    (why, answer.retry_after)
                }
                Ok(answer) => return Err(Trouble::Refused(answer.status, self.said(&answer.body))),
                Err(error) => (format!("{error:#}"), None),
            };
            stop.check().map_err(Trouble::Stopped)?;
            let pause = asked.unwrap_or(wait);
            if started.elapsed() + pause > self.patience {
                return Err(Trouble::Away(why));
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            rest(pause, stop, gives_way)?;
        }
    }

    /// What a refusal says, shortly, and without our key, which some repeat.
    fn said(&self, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body).into_owned();
        if let Some(key) = self.key.as_deref().filter(|key| !key.is_empty()) {
            text = text.replace(key, "(the key)");
        }
        let text: String = text.trim().chars().take(SHOWN).collect();
        match text.is_empty() {
            true => String::new(),
            false => format!(": {text}"),
        }
    }
}

fn rest(pause: Duration, stop: &Stop, gives_way: &dyn Fn() -> bool) -> Result<(), Trouble> {
    let began = Instant::now();
    while let Some(left) = pause
        .checked_sub(began.elapsed())
        .filter(|left| !left.is_zero())
    {
        if gives_way() {
            return Err(Trouble::GaveWay);
        }
        std::thread::sleep(stop.left(left.min(SLICE)).map_err(Trouble::Stopped)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_repeats_our_key_is_shown_without_it() {
        let endpoint = Endpoint {
            url: "https://host.test".to_owned(),
            model: "m".to_owned(),
            api: Api::OpenAi,
            key: Some("sk-verysecret".to_owned()),
            ca_file: None,
            timeout: Duration::from_secs(1),
            patience: Duration::from_secs(1),
        };
        let said = endpoint.said(b" {\"error\": \"bad key sk-verysecret\"}\n");
        assert_eq!(said, ": {\"error\": \"bad key (the key)\"}");
        assert_eq!(endpoint.said(b" \n"), "");
    }
}
