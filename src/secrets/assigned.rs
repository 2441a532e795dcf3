//! A literal that is assigned to a name that says what it is: `password = "hunter2"`, `DB_PASSWORD=hunter2` in an .env file,
//! `<password>hunter2</password>`, `.setPassword("hunter2")`, `--password=hunter2`. What the name and the value must look like
//! so that it is a secret and no field name, message or reference is in `value`.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::name::kind_of;
use super::place::Place;
use super::value;

/// Names with these are looked at.
pub const KEYWORDS: [&str; 9] = [
    "pass", "pwd", "secret", "token", "key", "cred", "psw", "auth", "salt",
];

/// What is looked at of a line before and behind a name.
const BEFORE: usize = 120;
const BEHIND: usize = 400;

/// What was found.
pub struct Literal {
    /// Its place in the text.
    pub secret: Range<usize>,
    /// password, secret, token, key.
    pub kind: &'static str,
}

/// The literal that is assigned to the name with a keyword at `hit`.
pub fn at(text: &[u8], hit: usize, place: Place) -> Option<Literal> {
    if place == Place::Translation {
        return None;
    }
    let line_start = memrchr(b'\n', &text[..hit]).map_or(0, |at| at + 1);
    let floor = line_start.max(hit.saturating_sub(BEFORE));
    let line_end = memchr(b'\n', &text[hit..]).map_or(text.len(), |at| hit + at);
    let ceiling = line_end.min(hit + BEHIND);
    let line = &text[floor..ceiling];
    let (start, end) = name_around(line, hit - floor);
    let name = std::str::from_utf8(&line[start..end]).ok()?;
    let kind = kind_of(name)?;
    let found = Reader {
        line,
        start,
        end,
        place,
        cut: ceiling < line_end,
        begins: floor == line_start,
    }
    .read()?;
    let secret = &line[found.range.clone()];
    let context = value::Context {
        name,
        kind,
        line,
        quoted: found.quoted,
        config: !matches!(place, Place::Code),
    };
    value::is_secret(secret, &context).then(|| Literal {
        secret: floor + found.range.start..floor + found.range.end,
        kind: kind.word(),
    })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$')
}

/// The whole name around a keyword.
fn name_around(line: &[u8], at: usize) -> (usize, usize) {
    let mut start = at;
    while start > 0 && is_name(line[start - 1]) {
        start -= 1;
    }
    let mut end = at;
    while end < line.len() && is_name(line[end]) {
        end += 1;
    }
    (start, end)
}

struct Value {
    range: Range<usize>,
    quoted: bool,
}

struct Reader<'a> {
    line: &'a [u8],
    start: usize,
    end: usize,
    place: Place,
    cut: bool,
    begins: bool,
}

impl Reader<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.line.get(at).copied().unwrap_or(b'\n')
    }

    fn blanks(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t') {
            at += 1;
        }
        at
    }

    fn read(&self) -> Option<Value> {
        let before = self.start.checked_sub(1).map_or(b' ', |at| self.line[at]);
        let mut at = self.end;
        let quoted_name = matches!(before, b'"' | b'\'' | b'`') && self.byte(at) == before;
        if quoted_name {
            at += 1;
        }
        // \"name\" inside a string.
        let escaped_name = self.byte(at) == b'\\' && before == b'"' && self.byte(at + 1) == b'"';
        if escaped_name {
            at += 2;
        }
        // <password>value</password>
        if before == b'<' && self.byte(at) == b'>' {
            return self.element(at + 1);
        }
        // name="password" value="x", key="Password" value="x"
        if quoted_name && let Some(found) = self.attribute(at) {
            return Some(found);
        }
        // .setPassword("x"), password("x"), withPassword: "x" is below
        if self.byte(at) == b'(' && !quoted_name {
            return self.call(at + 1);
        }
        // define("DB_PASSWORD", "x"), put("password", "x")
        if quoted_name && self.byte(self.blanks(at)) == b',' {
            return self.pair(self.blanks(at) + 1);
        }
        // config["password"] = "x"
        if quoted_name && self.byte(at) == b']' {
            at += 1;
            return self.assigned(at, true);
        }
        // char password[] = "x"
        if self.byte(at) == b'[' && self.byte(at + 1) == b']' {
            at += 2;
        }
        // --password x
        if self.line[self.start..].starts_with(b"--")
            && self.byte(at) == b' '
            && !matches!(self.byte(at + 1), b'=' | b':' | b'-')
        {
            return match self.place {
                Place::Shell => self.word(at + 1),
                // "--password arguments": people write about it.
                Place::Prose => self.word(at + 1).filter(|found| {
                    self.line[found.range.clone()]
                        .iter()
                        .any(u8::is_ascii_digit)
                }),
                _ => None,
            };
        }
        self.assigned(at, quoted_name || escaped_name)
    }

    fn element(&self, at: usize) -> Option<Value> {
        let end = at + memchr(b'<', self.line.get(at..)?)?;
        (self.byte(end + 1) == b'/').then_some(Value {
            range: at..end,
            quoted: true,
        })
    }

    fn attribute(&self, at: usize) -> Option<Value> {
        let rest = self.line.get(at..)?;
        let blank = rest.first() == Some(&b' ');
        let rest = rest.trim_ascii_start();
        let behind = rest
            .strip_prefix(b"value=")
            .or_else(|| rest.strip_prefix(b"Value="))
            .filter(|_| blank)?;
        let at = self.line.len() - behind.len();
        self.string(at)
    }

    fn call(&self, at: usize) -> Option<Value> {
        let name = &self.line[self.start..self.end];
        let last = name.rsplit(|byte| *byte == b'.').next()?;
        let dotted = last.len() < name.len() || self.start > 0 && self.line[self.start - 1] == b'.';
        let starts = |verbs: &[&str]| verbs.iter().any(|verb| last.starts_with(verb.as_bytes()));
        let sets = starts(&["set", "with"]);
        // make_password("x", salt), verifyPassword('x', hash)
        let works = starts(&["make", "check", "hash", "verify", "encode", "validate"]);
        if !(sets || works || dotted) || starts(&["get"]) {
            return None;
        }
        let found = self.string(self.blanks(at))?;
        let behind = self.byte(self.blanks(found.range.end + 1));
        // checkpasswd("host", …) is about something else.
        let apart = last
            .iter()
            .skip(1)
            .any(|byte| *byte == b'_' || byte.is_ascii_uppercase());
        (behind == b')' || works && apart && behind == b',').then_some(found)
    }

    fn pair(&self, at: usize) -> Option<Value> {
        const CALLS: [&str; 16] = [
            "define",
            "put",
            "set",
            "setproperty",
            "env",
            "getenv",
            "putenv",
            "setenv",
            "setdefault",
            "add",
            "setattr",
            "addproperty",
            "withenv",
            "property",
            "append",
            "get",
        ];
        let open = self.line[..self.start.checked_sub(1)?].trim_ascii_end();
        let open = open.strip_suffix(b"(")?;
        let name_start = open
            .iter()
            .rposition(|byte| !is_name(*byte) || *byte == b'.')
            .map_or(0, |at| at + 1);
        let call = std::str::from_utf8(&open[name_start..]).ok()?;
        CALLS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(call))
            .then(|| self.string(self.blanks(at)))?
    }

    /// Behind a name: `=`, `:`, `:=`, `=>`, also with a type before it.
    fn assigned(&self, at: usize, quoted_name: bool) -> Option<Value> {
        let mut at = self.blanks(at);
        let tight = at == self.end;
        let sign = self.byte(at);
        match (sign, self.byte(at + 1)) {
            (b'=', b'=' | b'~') => return None,
            (b':', b':') => return None,
            (b':' | b'?' | b'|', b'=') | (b'=', b'>') => at += 2,
            (b'|', b'|') if self.byte(at + 2) == b'=' => at += 3,
            (b'=' | b':', _) => at += 1,
            _ => return None,
        }
        let spaced = self.byte(at) == b' ';
        at = self.blanks(at);
        // password: string = "x"
        if sign == b':' && !quoted_name && self.byte(at).is_ascii_alphabetic() {
            let (_, end) = name_around(self.line, at);
            let mut behind = end;
            while matches!(self.byte(behind), b'<' | b'>' | b'[' | b']' | b'?') {
                behind += 1;
            }
            let behind = self.blanks(behind);
            if self.byte(behind) == b'=' && self.byte(behind + 1) != b'=' {
                let value = self.blanks(behind + 1);
                if matches!(self.byte(value), b'"' | b'\'' | b'`') {
                    return self.string(value);
                }
            }
        }
        // password = os.environ.get("X") or "fallback" is left to what stands in the call.
        if let Some(found) = self.string(at) {
            return Some(found);
        }
        if self.byte(at) == b'\\' && matches!(self.byte(at + 1), b'"' | b'\'') {
            return self.escaped(at + 1);
        }
        if matches!(self.byte(at), b'"' | b'\'' | b'`') {
            return None;
        }
        // $name is somebody's variable: what stands behind it is compared or joined.
        if self.line[self.start] == b'$' && !matches!(self.place, Place::Code) {
            return None;
        }
        let plain = sign == b'=' && self.line[..at].trim_ascii_end().ends_with(b"=");
        if plain && let Some(found) = self.in_string(at) {
            return Some(found);
        }
        // { user: bob, password: hunter2 }
        if sign == b':'
            && spaced
            && matches!(self.place, Place::Yaml | Place::Prose)
            && let Some(found) = self.in_braces(at)
        {
            return Some(found);
        }
        match self.place {
            Place::Assignments => self.rest(at),
            // For people there is more than one word behind a colon, but not with a digit in it and nothing else.
            Place::Prose if sign == b':' && spaced => self.rest(at).filter(|found| {
                let word = &self.line[found.range.clone()];
                word.iter().any(u8::is_ascii_digit) && word.iter().any(u8::is_ascii_alphabetic)
            }),
            Place::Yaml if sign == b':' && (spaced || quoted_name) => self.rest(at),
            Place::Yaml if sign == b'=' && tight => self.word(at),
            Place::Shell if sign == b'=' && tight && !spaced => self.word(at),
            Place::Prose if sign == b'=' && tight && !spaced => self.word(at),
            Place::Code if self.line[self.start..].starts_with(b"--") && !spaced => self.word(at),
            _ => None,
        }
    }

    /// A connection string: `"…;Password=x;…"`, `"…?user=a&password=x"`: inside quotes that opened before the name.
    fn in_string(&self, at: usize) -> Option<Value> {
        // Whether quotes are open can only be told from the beginning of a line.
        if !self.begins {
            return None;
        }
        let before = self.start.checked_sub(1).map(|at| self.line[at])?;
        if !matches!(before, b';' | b'&' | b'?' | b' ' | b'"' | b'\'') {
            return None;
        }
        let quotes = |quote: u8| {
            let list = self.line[..self.start].iter();
            list.filter(|byte| **byte == quote).count() % 2 == 1
        };
        let quote = [b'"', b'\''].into_iter().find(|quote| quotes(*quote))?;
        let list = &self.line[..self.start];
        if matches!(self.byte(at), b'$' | b'%') {
            return None;
        }
        // A list of settings has more than this one.
        let many = list.contains(&b'=') || self.line.get(at..)?.contains(&b'=');
        if !many {
            return None;
        }
        let end = self.line[at..]
            .iter()
            .position(|byte| matches!(*byte, b';' | b'&' | b' ') || *byte == quote)?;
        Some(Value {
            range: at..at + end,
            quoted: true,
        })
    }

    /// One of several entries between braces on one line.
    fn in_braces(&self, at: usize) -> Option<Value> {
        let open = memrchr(b'{', &self.line[..self.start])?;
        if memchr(b'}', &self.line[open..at]).is_some() {
            return None;
        }
        let rest = self.line.get(at..)?;
        let end = rest
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'}'))?;
        let behind = rest[end..].trim_ascii_start().first()?;
        (end > 0 && matches!(behind, b',' | b'}')).then_some(Value {
            range: at..at + end,
            quoted: false,
        })
    }

    /// A string with its marks, and nothing added behind it.
    fn string(&self, mut at: usize) -> Option<Value> {
        // b"", r"", u"", @"", L"", and no f"" or $"": those have references in them.
        if matches!(
            self.byte(at),
            b'b' | b'r' | b'u' | b'B' | b'R' | b'U' | b'@' | b'L'
        ) && matches!(self.byte(at + 1), b'"' | b'\'')
        {
            at += 1;
        }
        let quote = self.byte(at);
        if !matches!(quote, b'"' | b'\'' | b'`') {
            return None;
        }
        let start = at + 1;
        let mut end = start;
        loop {
            match *self.line.get(end)? {
                b'\\' => end += 2,
                byte if byte == quote => break,
                _ => end += 1,
            }
        }
        let behind = self.blanks(end + 1);
        let joined = match self.byte(behind) {
            b'+' | b'%' => true,
            b'.' => self.byte(behind + 1) == b' ' || self.byte(behind + 1) == b'$',
            byte => byte == quote && end == start,
        };
        (!joined).then_some(Value {
            range: start..end.min(self.line.len()),
            quoted: true,
        })
    }

    /// `\"x\"` inside a string.
    fn escaped(&self, at: usize) -> Option<Value> {
        let quote = self.byte(at);
        let start = at + 1;
        let end = start + memchr(b'\\', self.line.get(start..)?)?;
        (self.byte(end + 1) == quote).then_some(Value {
            range: start..end,
            quoted: true,
        })
    }

    /// One word; what stands behind it is something else.
    fn word(&self, at: usize) -> Option<Value> {
        if matches!(self.byte(at), b'"' | b'\'') {
            return self.string(at);
        }
        let rest = self.line.get(at..)?;
        let stop = |byte: &u8| {
            byte.is_ascii_whitespace()
                || matches!(
                    *byte,
                    b'"' | b'\'' | b'`' | b';' | b'&' | b'|' | b',' | b')' | b'<' | b'>'
                )
        };
        let end = rest.iter().position(stop).unwrap_or(rest.len());
        (end > 0).then_some(Value {
            range: at..at + end,
            quoted: false,
        })
    }

    /// To the end of the line, without a comment; a sentence is none.
    fn rest(&self, at: usize) -> Option<Value> {
        if self.cut {
            return None;
        }
        let rest = self.line.get(at..)?.trim_ascii_end();
        let end = rest
            .windows(2)
            .position(|pair| pair[0].is_ascii_whitespace() && matches!(pair[1], b'#' | b';'))
            .unwrap_or(rest.len());
        let rest = rest[..end].trim_ascii_end();
        let rest = rest.strip_suffix(b",").unwrap_or(rest);
        if rest.is_empty() || rest.iter().any(u8::is_ascii_whitespace) {
            return None;
        }
        Some(Value {
            range: at..at + rest.len(),
            quoted: false,
        })
    }
}
