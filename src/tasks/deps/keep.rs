//! What the package manager printed, kept as dated files, and removed when their time is over.

use std::path::PathBuf;

use jiff::civil::Date;

use super::Task;
use crate::context::Context;
use crate::report::{Reporter, Step};
use crate::sys::files;

/// How the files begin; a date and `.json` follow.
const NAMES: [&str; 2] = ["npm_audit", "outdated_deps"];

/// Writes `NAME_YYYYMMDD.json`, in place of one of the same day.
pub(super) fn keep(
    task: &Task,
    context: &Context,
    report: &Reporter,
    name: &str,
    content: &[u8],
) -> anyhow::Result<Option<PathBuf>> {
    let day = context.now.to_zoned(context.zone.clone()).date();
    let path = task
        .reports
        .join(format!("{name}_{}.json", day.strftime("%Y%m%d")));
    let step = Step {
        kind: "write",
        target: path.display().to_string(),
        reason: "what the package manager says today".to_owned(),
    };
    report.act(step, |permit| {
        files::create_directory(permit, &task.reports)?;
        files::require_trusted_directory(&task.reports)?;
        files::replace(permit, &path, content, 0o600)?;
        Ok(path)
    })
}

/// Removes those that are older than `[reports] keep`. Nobody else's files are looked at.
pub(super) fn expire(task: &Task, context: &Context, report: &Reporter) -> anyhow::Result<()> {
    let now = context.now.to_zoned(context.zone.clone());
    let oldest = task.keep.keep.before(&now)?.date();
    for entry in files::list(&task.reports)? {
        let name = entry.file_name();
        let day = name.to_str().and_then(day_of);
        if day.is_none_or(|day| day >= oldest) {
            continue;
        }
        let path = entry.path();
        let step = Step {
            kind: "remove",
            target: path.display().to_string(),
            reason: format!("older than {}", task.keep.keep),
        };
        report.act(step, |permit| files::remove(permit, &path))?;
    }
    Ok(())
}

fn day_of(name: &str) -> Option<Date> {
    let day = NAMES.iter().find_map(|start| {
        name.strip_prefix(start)?
            .strip_prefix('_')?
            .strip_suffix(".json")
    })?;
    let plain = day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| Date::strptime("%Y%m%d", day).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_dated_files_have_a_day() {
        let day = day_of("npm_audit_20261124.json").expect("a day");
        assert_eq!(day.to_string(), "2026-11-24");
        for other in [
            "npm_audit_.json",
            "npm_audit_20261324.json",
            "npm_audit_2026112.json",
            "npm_audit_20261124.json.bak",
            "audit_20261124.json",
        ] {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
