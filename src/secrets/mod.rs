//! Secrets in files: rules in gitleaks' format, ours or a team's own, and literals that are assigned to a telling name. What is
//! found is shown with at most its first four characters.

mod allow;
mod assigned;
mod decoy;
mod expression;
mod name;
mod place;
mod random;
mod rules;
mod scan;
mod tree;
mod value;
mod window;

pub use rules::Rules;
pub use scan::{ASSIGNED, Memory, Scanner, Secret};
pub use tree::{Found, LARGEST, Tree, Walk};
