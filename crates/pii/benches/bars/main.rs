//! The bars of the scanner, measured.
#![expect(clippy::print_stdout, reason = "it prints a table")]
mod quality;
use std::path::Path;
fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    match quality::Quality::measure(Path::new(&path), true) {
        Ok(q) => {
            q.print();
            println!("{:?} {:?}", q.bars(), q.negatives());
        }
        Err(e) => println!("{e}"),
    }
}
