//! What a command is: arguments as typed, and the resolved task that they become. Two small traits and no macro.

use std::time::Duration;

use clap::{ArgMatches, Args, Command};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::config::Config;
use crate::context::Context;
use crate::report::Reporter;
use crate::sys::lock::Lock;

/// Typed on the command line: everything optional.
pub trait Arguments: Args + 'static {
    /// The command's name.
    const NAME: &'static str;
    /// How long the whole run may take, unless `--timeout` says otherwise.
    const LIMIT: Duration = Duration::from_secs(2 * 3600);
    /// True when a run of it that fails leaves data at risk: its `task.failed` is then critical, otherwise high.
    const GUARDS_DATA: bool = false;
    /// What it becomes.
    type Task: Task;
    /// The layout of the report's `data`.
    type Detail: JsonSchema;

    /// True for what only reads: it leaves no trace, not even in the journal, and makes do with a broken configuration.
    fn reads_only(&self) -> bool {
        false
    }

    /// True when a run of it does all that a run of `other` would: `health` by itself covers `health --check disk`, and not the
    /// other way round. By it a run is known for the lines of the plan that it answers, before anything else can go wrong.
    fn covers(&self, _other: &Self) -> bool {
        true
    }

    /// Defaults and range checks; nothing is looked at yet.
    fn resolve(self, config: &Config) -> anyhow::Result<Self::Task>;
}

/// Resolved: nothing optional, ready to run.
pub trait Task: Send + 'static {
    /// The locks that it wants before it starts; none for a task that only reads.
    fn locks(&self, context: &Context) -> Vec<Lock> {
        vec![context.task_lock()]
    }

    /// How long it waits for them, unless `--lock-wait` says otherwise.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// True for what runs every few minutes: a run without anything to say takes the place of the one before it in the journal.
    fn fleeting(&self) -> bool {
        false
    }

    /// Does the work. Never prints, exits, mails, or reads clock and environment by itself.
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()>;
}

/// One line of the registry.
pub struct Entry {
    /// The command's name.
    pub name: &'static str,
    /// See [`Arguments::LIMIT`].
    pub limit: Duration,
    /// See [`Arguments::GUARDS_DATA`].
    pub guards_data: bool,
    /// Its part of the command line.
    pub command: fn() -> Command,
    /// See [`Arguments::reads_only`].
    pub reads_only: fn(&ArgMatches) -> bool,
    /// See [`Arguments::covers`].
    pub covers: fn(&ArgMatches, &ArgMatches) -> bool,
    /// From what was typed to what will run.
    pub resolve: fn(&ArgMatches, &Config) -> anyhow::Result<Box<dyn Task>>,
    /// The layout of its `data`.
    pub detail: fn(&mut SchemaGenerator) -> Schema,
}

/// The entry of one command.
pub const fn entry<A: Arguments>() -> Entry {
    Entry {
        name: A::NAME,
        limit: A::LIMIT,
        guards_data: A::GUARDS_DATA,
        command: || A::augment_args(Command::new(A::NAME)),
        reads_only: |matches| {
            A::from_arg_matches(matches).is_ok_and(|arguments| arguments.reads_only())
        },
        covers: |matches, others| match (A::from_arg_matches(matches), A::from_arg_matches(others))
        {
            (Ok(arguments), Ok(other)) => arguments.covers(&other),
            _ => false,
        },
        resolve: |matches, config| {
            let arguments = A::from_arg_matches(matches)
                .map_err(|error| crate::error::usage(error.to_string()))?;
            Ok(Box::new(arguments.resolve(config)?))
        },
        detail: |generator| generator.subschema_for::<A::Detail>(),
    }
}

/// The layout of a task without detail of its own.
#[derive(serde::Serialize, JsonSchema)]
pub struct NoDetail {}
