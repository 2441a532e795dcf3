//! `[metrics]`: figures for Prometheus.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;

/// Figures for Prometheus' node_exporter.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// the textfile collector's folder: one file a task, written after each run; unset: off
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/var/lib/prometheus/node-exporter")]
    #[serde(deserialize_with = "super::values::path")]
    pub textfile_dir: Option<PathBuf>,
}

impl Section for Metrics {
    const NAME: &'static str = "metrics";
}
