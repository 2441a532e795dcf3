//! How good rankings are, by labels of people: the measures of TREC as trec_eval defines them, the files that hold labels and
//! rankings, and whether a drop is more than chance.

mod chance;
mod files;
mod measures;

pub use chance::chance_of_drop;
pub use files::{Query, Ranking, digest, read_labels, read_run};
pub use measures::{Grades, Measure, Scores, order, score};
