//! The step `changed`: marks documents whose file is another one, and gives texts without a vector of theirs one.

use anyhow::Context as _;

use super::changed;
use super::embed::{self, Ended};
use super::index;
use super::scene::Scene;
use super::{BUSY, Detail, FAILED, GAVE_WAY, word};
use crate::config::sections::RagStep;
use crate::embedding::Endpoint;
use crate::report::{Finding, Severity};
use crate::sqlite::{self, Pace};
use crate::units;

/// What is to be done.
#[derive(Default)]
pub struct Renewal {
    /// Documents that were compared with their files.
    pub documents: Option<changed::Looked>,
    /// Texts that were looked at, and who makes vectors.
    pub texts: Option<(embed::Looked, Option<Endpoint>)>,
}

impl Renewal {
    /// True when vectors come or change, so that an index has to follow.
    pub fn writes_vectors(&self) -> bool {
        matches!(&self.texts, Some((looked, Some(_))) if looked.due_rows() > 0)
    }
}

impl Scene<'_> {
    /// Marks, then embeds. What an endpoint does not do is a finding; what is committed stays.
    pub(super) fn renew(
        &self,
        renewal: Renewal,
        pace: &mut Pace,
        detail: &mut Detail,
    ) -> anyhow::Result<()> {
        let subject = word(RagStep::Changed);
        let mut gave_way = false;
        if let Some(looked) = renewal.documents {
            let mut marked = 0;
            let done = || self.mark(&looked, pace, &mut marked);
            gave_way = self.report.attempt(FAILED, subject, done)? == Some(true);
            detail.documents = Some(looked.tell(marked, self.report, self.source));
        }
        if let Some((mut looked, endpoint)) = renewal.texts {
            match endpoint {
                None => looked.tell_waiting(self.report, &self.source.name),
                Some(_) if gave_way => {}
                Some(endpoint) => gave_way = self.embed(&mut looked, &endpoint, pace)?,
            }
            looked.tell_refused(self.report, &self.source.name);
            self.report
                .measure("rag_clean_embedded", looked.outcome.done as f64, "", []);
            detail.embedded = Some(looked.outcome);
        }
        if gave_way {
            let message = format!(
                "stopped for a backup or restore of {} that waits; the next run goes on",
                self.source.name
            );
            self.report
                .find(Finding::new(GAVE_WAY, Severity::Low, subject, message));
        }
        Ok(())
    }

    /// True when a backup or restore waits.
    fn mark(
        &self,
        looked: &changed::Looked,
        pace: &mut Pace,
        marked: &mut u64,
    ) -> anyhow::Result<bool> {
        let Some(step) = looked.step(self.source) else {
            return Ok(false);
        };
        let done = self.report.act(step, |_| {
            let (path, stop) = (&self.source.path, &self.context.stop);
            let writer = sqlite::open_writer(path, stop, BUSY, false)?;
            let mut rest = looked.marks();
            while !rest.is_empty() {
                if self.wanted() {
                    return Ok(true);
                }
                let mut turn = 0;
                let worked = pace.turn(&writer, rest, |one| {
                    let one = looked.mark(&writer, self.rag, one);
                    turn += one.map_err(|error| self.explain(error))?;
                    Ok(())
                })?;
                *marked += turn;
                rest = &rest[worked..];
            }
            Ok(false)
        })?;
        Ok(done == Some(true))
    }

    /// True when a backup or restore waits.
    fn embed(
        &self,
        looked: &mut embed::Looked,
        endpoint: &Endpoint,
        pace: &mut Pace,
    ) -> anyhow::Result<bool> {
        let name = &self.source.name;
        for id in [embed::FAILED, embed::WRONG] {
            self.report.examined(id, name);
        }
        let Some(step) = looked.step(endpoint, name) else {
            return Ok(false);
        };
        let due = looked.due_rows();
        let done = self.report.act(step, |permit| {
            let (path, stop) = (&self.source.path, &self.context.stop);
            let writer = sqlite::open_writer(path, stop, BUSY, false)?;
            let marked = self.indices.mark(permit)?;
            let finished = looked.embed(self, endpoint, &writer, pace);
            // After another error it is not known what was committed.
            let is_known = finished
                .as_ref()
                .err()
                .is_none_or(|error| error.is::<Ended>());
            if looked.outcome.done == 0 && is_known {
                index::unmark(permit, &marked)?;
            }
            finished.with_context(|| {
                format!(
                    "after {} of {}",
                    looked.outcome.done,
                    units::count(due, "text")
                )
            })
        });
        match done {
            Ok(finished) => Ok(finished == Some(false)),
            Err(error) => match error.downcast_ref::<Ended>() {
                Some(ended) => {
                    let finding =
                        Finding::new(ended.id, Severity::High, name, format!("{error:#}"));
                    self.report.find(finding.hint(match ended.id {
                        embed::FAILED => "what has no vector yet gets it in the next run: empire-maint rag-clean --step changed",
                        _ => "is [rag.embedding] the endpoint and the model that the application uses?",
                    }));
                    Ok(false)
                }
                None => {
                    self.report.attempt(FAILED, word(RagStep::Changed), || {
                        anyhow::Result::<()>::Err(error)
                    })?;
                    Ok(false)
                }
            },
        }
    }
}
