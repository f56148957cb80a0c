//! The `reptile` program: `src/cli/` is all of it.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

fn main() -> ExitCode {
    reptile::cli::main()
}
