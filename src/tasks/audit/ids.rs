//! `ids`: an intrusion test of the operator's choice. What it looks for is its own business; that it found something is ours.

use std::time::Duration;

use serde_json::json;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::process;
use crate::text::{clean, shorten};

const ALERT: &str = "ids.alert";
const PATIENCE: Duration = Duration::from_secs(3600);

/// Runs the command.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let Some(list) = &scene.audit.ids_command else {
        return Ok(Looked::Nothing(
            "[audit] ids_command is not set: an intrusion test is done by hand".into(),
        ));
    };
    let name = list.first().map_or("", String::as_str);
    let output = process::run(process::from_list(list)?, PATIENCE, &context.stop)?;
    report.examined(ALERT, name);
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it printed nothing");
    let last = shorten(&clean(last.trim()), 300);
    if !output.status.success() {
        report.find(
            Finding::new(
                ALERT,
                Severity::High,
                name,
                format!("{name} ended with {}: {last}", output.status),
            )
            .hint(format!("run it by hand: {}", list.join(" "))),
        );
    }
    Ok(Looked::At(
        format!("{name}: {}", output.status),
        json!({"ended_well": output.status.success(), "last_line": last}),
    ))
}
