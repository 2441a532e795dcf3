//! One line of an access log: Apache's and nginx's common and combined form (also with a virtual host before it), morgan's own
//! short forms, JSON. The form is seen on each line, as a file may change its form in its middle.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memrchr};

use super::clock::Clock;
use super::entry::{Entry, When};
use super::json;

/// Reads a line without its line feed; `None` where it is no request.
pub fn parse<'a>(line: &'a [u8], clock: &mut Clock) -> Option<Entry<'a>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.first()? {
        b'{' => json::parse(line),
        _ => classic(line, clock).or_else(|| morgan(line)),
    }
}

/// `host ident user [time] "request" status bytes …`. Only the field at its place counts: what stands in the request, the
/// referrer or the user agent is somebody else's text.
fn classic<'a>(line: &'a [u8], clock: &mut Clock) -> Option<Entry<'a>> {
    let open = memchr(b'[', line)?;
    let rest = line.get(open + 1..)?;
    let at = clock.apache(rest)?;
    let rest = rest.get(26..)?.strip_prefix(b"] \"")?;
    let (request, rest) = quoted(rest)?;
    Some(Entry {
        status: status(rest.strip_prefix(b" ")?)?,
        host: Cow::Borrowed(host(&line[..open])),
        path: Cow::Borrowed(path(request)),
        at: When::At(at),
    })
}

/// The first word, or the second where a virtual host with its port stands before it.
fn host(before: &[u8]) -> &[u8] {
    let (first, rest) = before.split_at(memchr(b' ', before).unwrap_or(before.len()));
    let port = memrchr(b':', first).map(|at| &first[at + 1..]);
    let virtual_host =
        port.is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
    if virtual_host && !rest.starts_with(b" - ") {
        let rest = rest.trim_ascii_start();
        return &rest[..memchr(b' ', rest).unwrap_or(rest.len())];
    }
    first
}

/// What stands up to the closing quote; a backslash takes the next byte's meaning away.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        match text[at] {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            _ => at += 2,
        }
    }
}

fn path(request: &[u8]) -> &[u8] {
    let Some(start) = memchr(b' ', request) else {
        return b"";
    };
    let rest = &request[start + 1..];
    &rest[..memchr(b' ', rest).unwrap_or(rest.len())]
}

/// Three digits and a blank, or the end.
fn status(text: &[u8]) -> Option<u16> {
    let digits = text.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) || text.get(3).is_some_and(|byte| *byte != b' ') {
        return None;
    }
    let status = digits
        .iter()
        .fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    (status >= 100).then_some(status)
}

/// morgan's `tiny` and `dev` (`GET /path 200 …`, with colours) and `short` (`host user GET /path HTTP/1.1 200 …`).
fn morgan(line: &[u8]) -> Option<Entry<'_>> {
    let mut words = line
        .split(|byte| *byte == b' ')
        .map(without_colour)
        .filter(|word| !word.is_empty());
    let mut word = words.next()?;
    let mut host: &[u8] = b"";
    if !is_method(word) {
        host = word;
        words.next()?;
        word = words.next()?;
        is_method(word).then_some(())?;
    }
    let path = words.next()?;
    let mut word = words.next()?;
    if word.starts_with(b"HTTP/") {
        word = words.next()?;
    }
    Some(Entry {
        status: status(word)?,
        host: Cow::Borrowed(host),
        path: Cow::Borrowed(path),
        at: When::Unsaid,
    })
}

fn is_method(word: &[u8]) -> bool {
    const METHODS: [&[u8]; 8] = [
        b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"QUERY",
    ];
    METHODS.contains(&word)
}

/// Takes `ESC [ … m` away, before and behind.
fn without_colour(mut word: &[u8]) -> &[u8] {
    while let Some(rest) = word.strip_prefix(b"\x1b[") {
        let Some(end) = memchr(b'm', rest) else {
            return word;
        };
        word = &rest[end + 1..];
    }
    match memchr(b'\x1b', word) {
        Some(at) => &word[..at],
        None => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: When = When::At(971_211_336);

    fn read(line: &str) -> Option<(u16, String, When)> {
        let entry = parse(line.as_bytes(), &mut Clock::default())?;
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        Some((entry.status, path, entry.at))
    }

    #[test]
    fn every_form_is_read() {
        for (line, at) in [
            (
                r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b=500 HTTP/1.0" 404 2326"#,
                AT,
            ),
            (
                r#"::1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=500 HTTP/1.0" 404 - "http://x/\" 200 1" "agent [x] \"y\"""#,
                AT,
            ),
            (
                "shop.example:443 1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET /a?b=500 HTTP/1.0\" 404 12\r",
                AT,
            ),
            (
                r#"{"time_iso8601":"2000-10-10T20:55:36Z","request":"GET /a?b=500 HTTP/1.1","status":"404","ua":"\"x\""}"#,
                AT,
            ),
            (
                r#"{"@timestamp":971211336,"request_uri":"/a?b=500","status":404,"size":[1,{"status":200}]}"#,
                AT,
            ),
            (
                r#"{"level":30,"time":971211336250,"req":{"id":1,"method":"GET","url":"/a?b=500"},"res":{"statusCode":404},"msg":"x"}"#,
                AT,
            ),
            ("GET /a?b=500 404 12.3 ms - 45", When::Unsaid),
            (
                "\x1b[0mGET /a?b=500 \x1b[33m404\x1b[0m 12.3 ms - 45\x1b[0m",
                When::Unsaid,
            ),
            ("::1 - GET /a?b=500 HTTP/1.1 404 45 - 12.3 ms", When::Unsaid),
        ] {
            assert_eq!(read(line), Some((404, "/a?b=500".into(), at)), "{line}");
        }
    }

    #[test]
    fn what_is_somebody_elses_text_is_not_believed() {
        let line = r#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /\" 500 1 HTTP/1.1" 200 5 "-" "\" 500 \"""#;
        assert_eq!(read(line).map(|entry| entry.0), Some(200));
        let line = "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"\\x16\\x03\\x01\" 400 150";
        assert_eq!(read(line), Some((400, String::new(), AT)));
        for line in [
            "",
            "\r",
            "{}",
            "{\"status\":404}",
            "{\"status\":99999,\"url\":\"/\"}",
            "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.1 200 5",
            "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.1\\\" 200 5\\",
            "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.1\" 2000 5",
            "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.1\" 20",
            "Server listening on port 500",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line, &mut Clock::default());
            let mut classic = b"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"".to_vec();
            classic.extend(&line);
            let _ = parse(&classic, &mut Clock::default());
        }
    }
}
