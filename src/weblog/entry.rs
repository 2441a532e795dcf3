//! What of a line counts.

use std::borrow::Cow;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// 100-999.
    pub status: u16,
    /// Who asked; empty where the line does not say.
    pub host: Cow<'a, [u8]>,
    /// With its query; empty where the request was none.
    pub path: Cow<'a, [u8]>,
    /// When.
    pub at: When,
}

/// The time that a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Seconds since 1970.
    At(i64),
    /// Some forms have no time.
    Unsaid,
}
