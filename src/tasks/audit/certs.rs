//! `certs`: the certificates, as the command of that name judges them.

use std::time::Duration;

use serde_json::json;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::Reporter;
use crate::units;
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
    let note = units::count(seen.len() as u64, "chain");
    Ok(Looked::At(
        note,
        json!({"chains": seen.len(), "seconds_left": soonest}),
    ))
}
