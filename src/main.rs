//! Everything is in the library; see `app::run`.

use std::process::ExitCode;

fn main() -> ExitCode {
    empire_maint::app::run(std::env::args_os().collect()).into()
}
