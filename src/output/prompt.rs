//! A person at a terminal: shown what was found so far, asked one question.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use jiff::tz::TimeZone;

use super::human;
use crate::report::{Ask, Document};

/// Asks on standard error, reads from standard input.
pub struct Terminal {
    color: super::Color,
}

impl Terminal {
    /// Somebody to ask, where both ends are a terminal.
    pub fn here(color: super::Color) -> Option<Self> {
        (io::stdin().is_terminal() && io::stderr().is_terminal()).then_some(Self { color })
    }
}

impl Ask for Terminal {
    fn ask(&self, documents: &[Document], zone: &TimeZone, question: &str) -> io::Result<String> {
        let mut err = anstream::AutoStream::new(io::stderr(), self.color.into());
        for document in documents {
            write!(err, "{}", human::document(document, zone))?;
        }
        write!(err, "{question} ")?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }
}
