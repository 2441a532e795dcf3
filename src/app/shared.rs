//! One state folder for two applications: the runs of one would end the alerts of the other.

use std::path::PathBuf;

use super::{Road, unwritable};
use crate::config::Config;
use crate::journal::{self, Claim};
use crate::report::{Examined, Finding, Report, Severity};

/// Finding id: runs of another application are written down here.
const SHARED: &str = "state.shared";

/// Whose run it is.
pub(super) struct Applicant {
    root: PathBuf,
    configuration: Option<PathBuf>,
    /// The root is that of the configuration.
    configured: bool,
}

impl Applicant {
    /// Nobody where the configuration does not say which root it is about.
    pub(super) fn of(config: &Config, configured: bool) -> Option<Self> {
        Some(Self {
            root: config.app_root().ok()?,
            configuration: config
                .source()
                .and_then(|path| std::path::absolute(path).ok()),
            configured,
        })
    }
}

impl Road<'_> {
    /// The run of another application than the one whose state this is resolves nothing.
    pub(super) fn judge_owner(&mut self, applicant: &Option<Applicant>, report: &mut Report) {
        let (Some(applicant), Some(_)) = (applicant, &self.journal) else {
            return;
        };
        if report.dry_run {
            return;
        }
        let claim = journal::claim(
            &self.state,
            &applicant.root,
            applicant.configuration.as_deref(),
            applicant.configured,
            self.now(),
        );
        let subject = self.state.display().to_string();
        match claim {
            Ok(Claim::Own) => report.examined.push(Examined {
                id: SHARED,
                subject: Some(subject),
            }),
            Ok(Claim::Shared) => {}
            Ok(Claim::Foreign(owner)) => {
                self.foreign = true;
                report.findings.push(
                    Finding::new(
                        SHARED,
                        Severity::Medium,
                        subject,
                        format!(
                            "the runs about {} are written down among those about {}, whose alerts they could end: they end none",
                            applicant.root.display(),
                            owner.display()
                        ),
                    )
                    .hint("give each configuration a [state] dir of its own"),
                );
            }
            Err(error) => report.findings.push(unwritable(&self.state, &error)),
        }
    }
}
