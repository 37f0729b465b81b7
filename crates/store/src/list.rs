//! Lists as a column holds them, in every database: words with commas between them.

use std::fmt::Display;
use std::str::FromStr;

/// The words of a list.
pub(crate) fn join<T: Display>(words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string()).collect();
    words.join(",")
}

/// The list of such words; the first that is none where there is one.
pub(crate) fn split<T: FromStr, C: FromIterator<T>>(text: &str) -> Result<C, &str> {
    let words = text.split_terminator(',');
    words.map(|word| word.parse().map_err(|_| word)).collect()
}
