//! The guard as a program of its own, for tests; the `madang` binary has it as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    madang_executor::guard::main(std::env::args_os().skip(1).collect())
}
