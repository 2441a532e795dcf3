//! `certs`: does any certificate of a chain, in a file or as it is served, end soon? The judgement is that of the command `certs`.

use std::time::Duration;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::Reporter;
use crate::units::{self, Length};
use crate::x509;

const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at every file and every endpoint.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let seen = scene.certs.look(context.stop.left(PATIENCE)?);
    if seen.is_empty() {
        return Ok(Looked::Nothing(
            "there is no certificate at the default path, and [certs] names none".into(),
        ));
    }
    let roots = scene.certs.authorities();
    let now = context.now.as_second();
    let soonest = x509::judge(report, &seen, &roots, now, scene.certs.renewed);
    let chains = units::count(seen.len() as u64, "chain");
    Ok(Looked::At(match soonest {
        Some(left) if left >= 0 => {
            let left = Length(Duration::from_secs(left.unsigned_abs()));
            format!("{chains}, the first ends in {left}")
        }
        Some(_) => format!("{chains}, one has ended"),
        None => chains,
    }))
}
