//! Access logs in JSON: nginx with names of the operator's choice, pino-http, winston. Nothing is allocated for an ordinary line.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::clock;
use super::entry::{Entry, When};

/// One line; `None` where it is no request.
pub fn parse<'a>(line: &'a [u8]) -> Option<Entry<'a>> {
    let request: Request<'a> = serde_json::from_slice(line).ok()?;
    let status = match request.status? {
        Word::Number(number) => number as u16,
        Word::Text(text) => text.parse().ok()?,
    };
    (100..1000).contains(&status).then_some(())?;
    let at = request.time.and_then(|time| match time {
        Word::Number(number) => clock::since_1970(number),
        Word::Text(text) => clock::any(&text),
    });
    let bytes = |text: Cow<'a, str>| match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    Some(Entry {
        status,
        host: bytes(request.host.unwrap_or_default()),
        path: bytes(request.path?),
        at: at.map_or(When::Unsaid, When::At),
    })
}

/// A number, or a text that may hold one.
enum Word<'a> {
    Number(f64),
    Text(Cow<'a, str>),
}

/// What is wanted of a line, under any of its usual names.
#[derive(Default)]
struct Request<'a> {
    status: Option<Word<'a>>,
    time: Option<Word<'a>>,
    path: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Word<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word<'de>, E> {
                Ok(Word::Number(number as f64))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word<'de>, E> {
                Ok(Word::Number(number as f64))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Word<'de>, E> {
                Ok(Word::Number(number))
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Word<'de>, E> {
                Ok(Word::Text(text.into()))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word<'de>, E> {
                Ok(Word::Text(text.to_owned().into()))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Request<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Request<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Request<'de>, M::Error> {
                let mut found = Request::default();
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        "status" | "statusCode" | "status_code" => {
                            found.status = Some(map.next_value()?);
                        }
                        "time" | "timestamp" | "@timestamp" | "time_iso8601" | "time_local"
                        | "msec" => {
                            found.time = Some(map.next_value()?);
                        }
                        "url" | "uri" | "path" | "request_uri" => {
                            found.path = Some(text(map.next_value()?));
                        }
                        "remote_addr" | "remoteAddress" | "remoteaddr" | "client_ip"
                        | "clientIp" | "ip" | "remote_ip" | "remote" => {
                            found.host = Some(text(map.next_value()?));
                        }
                        "request" => {
                            let line = text(map.next_value()?);
                            found.path = found.path.or_else(|| path_of(line));
                        }
                        "req" | "res" => {
                            let inner: Request<'de> = map.next_value()?;
                            found.status = inner.status.or(found.status);
                            found.path = inner.path.or(found.path);
                            found.host = inner.host.or(found.host);
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A key, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(text(Word::deserialize(deserializer)?)))
    }
}

fn text(word: Word<'_>) -> Cow<'_, str> {
    match word {
        Word::Text(text) => text,
        Word::Number(number) => number.to_string().into(),
    }
}

/// `GET /path HTTP/1.1`.
fn path_of(line: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match line {
        Cow::Borrowed(line) => Some(line.split(' ').nth(1)?.into()),
        Cow::Owned(line) => Some(line.split(' ').nth(1)?.to_owned().into()),
    }
}
