//! stub

use std::path::Path;

use rusqlite::Connection;

use super::plan::Plan;
use super::run::{Done, Scene};
use crate::archive::Source;
use crate::config::sections::Rule;
use crate::context::Context;
use crate::report::{Permit, Reporter};
use crate::sqlite::Pace;

/// stub
pub fn finish(
    _context: &Context,
    _report: &Reporter,
    _rule: &Rule,
    _folder: &Path,
    _source: &Source,
    _reader: &Connection,
) -> anyhow::Result<()> {
    Ok(())
}

/// stub
pub fn archive(
    _permit: &Permit,
    _scene: &Scene<'_>,
    _plan: &Plan,
    _folder: &Path,
    _pace: &mut Pace,
    _done: &mut Done,
) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
