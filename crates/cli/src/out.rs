//! What the program says: results to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

/// Whether messages may be coloured.
pub fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether results go to a terminal, where they may be drawn anew.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether results may be coloured.
pub fn result_color() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Writes a result. A reader that went away (`madang usage | head`) is not an error.
pub fn result(text: &str) {
    let mut out = io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        tracing::debug!("standard output is closed");
    }
}

/// Writes a line of a result.
pub fn line(text: &str) {
    result(&format!("{text}\n"));
}

/// Writes a note for the person at the terminal.
pub fn note(text: &str) {
    if writeln!(io::stderr().lock(), "{text}").is_err() {
        tracing::debug!("standard error is closed");
    }
}

/// Says why a command failed, cause by cause.
pub fn failure(error: &anyhow::Error, color: bool) {
    let (open, close) = if color {
        ("\x1b[31;1m", "\x1b[0m")
    } else {
        ("", "")
    };
    let mut text = format!("{open}error{close}: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
    }
    note(&text);
}
