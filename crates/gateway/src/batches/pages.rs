//! Pages of lists, as OpenAI's clients ask for them.

use super::not_found;
use crate::refused::Refused;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::str::FromStr;

/// What there is in one page of a list, and without a word about it.
const PAGE_MAX: usize = 100;
const PAGE: usize = 20;

/// What a list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PageQuery {
    pub after: Option<String>,
    limit: Option<usize>,
}

impl PageQuery {
    /// How many of the list are in the page at most.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)
    }

    /// The id behind which the page begins.
    ///
    /// # Errors
    /// It can name nothing.
    pub fn behind<T: FromStr>(&self, what: &str) -> Result<Option<T>, Refused> {
        let after = self.after.as_deref().map(str::parse);
        after.transpose().map_err(|_| not_found(what))
    }
}

/// What a page has, and one more: of ids from the newest on those behind `after`.
pub(crate) fn got<I: Ord, T>(
    ids: Vec<I>,
    (after, limit): (Option<I>, usize),
    get: impl Fn(I) -> io::Result<Option<T>>,
) -> io::Result<Vec<T>> {
    let is_behind = |id: &I| after.as_ref().is_none_or(|after| id < after);
    let behind = ids.into_iter().filter(is_behind);
    let found = behind.take(limit + 1).map(get);
    found.filter_map(Result::transpose).collect()
}

/// A page of a list, behind the one named `after`.
pub(crate) fn page(all: Vec<(String, Value)>, after: Option<&str>, limit: usize) -> Value {
    let skipped = after.map_or(0, |after| {
        all.iter()
            .position(|(id, _)| id == after)
            .map_or(all.len(), |place| place + 1)
    });
    let has_more = all.len() > skipped + limit;
    let (ids, data): (Vec<String>, Vec<Value>) = all.into_iter().skip(skipped).take(limit).unzip();
    json!({
        "object": "list", "data": data, "first_id": ids.first(), "last_id": ids.last(), "has_more": has_more,
    })
}
