//! Work on several connections that see one state: each takes the next part.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rusqlite::Connection;

/// Does every part, one thread a connection; what each gave, in no order. The first error ends it: no further part is begun.
pub(super) fn at_once<P: Send, T: Send>(
    connections: &mut [&mut Connection],
    parts: impl IntoIterator<Item = P>,
    work: impl Fn(&Connection, P) -> rusqlite::Result<T> + Sync,
) -> rusqlite::Result<Vec<T>> {
    let parts = Mutex::new(parts.into_iter().collect::<VecDeque<_>>());
    let one = |connection: &Connection| -> rusqlite::Result<Vec<T>> {
        let mut done = Vec::new();
        loop {
            let Some(part) = locked(&parts).pop_front() else {
                return Ok(done);
            };
            let given = work(connection, part);
            if given.is_err() {
                locked(&parts).clear();
            }
            done.push(given?);
        }
    };
    let one = &one;
    thread::scope(|scope| {
        let threads: Vec<_> = connections
            .iter_mut()
            .map(|connection| scope.spawn(move || one(connection)))
            .collect();
        let mut done = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(own) => done.extend(own?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(done)
    })
}

/// What threads share.
pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
