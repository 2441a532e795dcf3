//! The task on its thread: its locks, its limit, and what becomes of a panic.

use std::any::Any;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::report::Reporter;
use crate::sys::lock::Held;
use crate::sys::machine;
use crate::task::Task;

/// How long a task may take to notice that it should stop, before the run is sealed without it.
const GRACE: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_millis(50);

/// All that the task wants before it starts.
pub fn take_locks(task: &dyn Task, context: &Context) -> anyhow::Result<Vec<Held>> {
    let locks = task.locks(context);
    let mut held = Vec::new();
    for lock in &locks {
        held.extend(context.take(lock, task.patience())?);
    }
    Ok(held)
}

/// Runs the task on a thread of its own and waits with a limit, so that what no flag can reach (name resolution, a dead mount)
/// cannot hold the run. A task inside publishing or swapping is waited for.
pub fn watch(task: Box<dyn Task>, context: &Context, reporter: &Reporter) -> anyhow::Result<()> {
    reporter.show_times_in(context.zone.clone());
    let (send, receive) = channel();
    let (context_there, reporter_there) = (context.clone(), reporter.clone());
    std::thread::Builder::new()
        .name(context.task.to_string())
        .spawn(move || {
            if !task.locks(&context_there).is_empty() {
                machine::be_polite(&context_there.stop);
            }
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                task.run(&context_there, &reporter_there)
            }));
            let _ = send.send(result.unwrap_or_else(|panic| Err(panicked(&*panic))));
        })
        .context("cannot start a thread")?;
    let mut asked = None;
    loop {
        match receive.recv_timeout(HEARTBEAT) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(panicked(&"the task's thread ended"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(error) = context.stop.check()
            && !context.stop.shielded()
            && asked.get_or_insert_with(Instant::now).elapsed() > GRACE
        {
            return Err(error.context("the task did not stop by itself"));
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> anyhow::Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Failure::new(Kind::Panic, format!("a defect of this program: {text}"))
        .hint("please report it with the output of the same command and --json")
        .into()
}
