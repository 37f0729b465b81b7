//! Between rows and the plain structs: what both `usage` and `people` need.

pub(super) use crate::count::{count, count_opt};

use crate::{StoreError, list};
use rusqlite::types::{FromSql, Value};
use rusqlite::{ErrorCode, Row, ToSql};
use std::fmt::Display;
use std::str::FromStr;

/// A failure of SQLite, in the store's words.
pub(super) fn medium(what: &str, error: &rusqlite::Error) -> StoreError {
    let text = format!("cannot {what}: {error}");
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Damaged(text),
            ErrorCode::TooBig => StoreError::Invalid(text),
            _ => StoreError::Unavailable(text),
        },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => StoreError::Damaged(text),
        _ => StoreError::Unavailable(text),
    }
}

/// Reads columns from left to right, in the order of the SELECT.
pub(super) struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn new(row: &'a Row<'a>) -> Self {
        Self { row, next: 0 }
    }

    /// The next column as it is.
    pub(super) fn get<T: FromSql>(&mut self) -> Result<T, StoreError> {
        let column = self.next;
        self.next += 1;
        self.row.get(column).map_err(|e| medium("read a row", &e))
    }

    /// The next column as an unsigned number of any width.
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, StoreError> {
        let value: i64 = self.get()?;
        T::try_from(value).map_err(|_| self.damaged(value))
    }

    /// The next column as an optional unsigned number.
    pub(super) fn number_opt<T: TryFrom<i64>>(&mut self) -> Result<Option<T>, StoreError> {
        let value: Option<i64> = self.get()?;
        value
            .map(|value| T::try_from(value).map_err(|_| self.damaged(value)))
            .transpose()
    }

    /// The next column as a name or a word.
    pub(super) fn word<T: FromStr<Err: Display>>(&mut self) -> Result<T, StoreError> {
        let text: String = self.get()?;
        text.parse().map_err(|_| self.damaged(text))
    }

    /// The next column as an optional name or word.
    pub(super) fn word_opt<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.get()?;
        text.map(|text| text.parse().map_err(|_| self.damaged(text)))
            .transpose()
    }

    /// The next column as what its number stands for.
    pub(super) fn code<T>(&mut self, meaning: impl Fn(i64) -> Option<T>) -> Result<T, StoreError> {
        let code: i64 = self.get()?;
        meaning(code).ok_or_else(|| self.damaged(code))
    }

    /// The next column as a list: words with commas between them.
    pub(super) fn list<T: FromStr, C: FromIterator<T>>(&mut self) -> Result<C, StoreError> {
        let text: String = self.get()?;
        list::split(&text).map_err(|word| self.damaged(word))
    }

    fn damaged(&self, value: impl Display) -> StoreError {
        let column = self.row.as_ref().column_name(self.next - 1);
        let column = column.unwrap_or("?");
        StoreError::Damaged(format!(
            "column {column} holds '{value}', which is not allowed there"
        ))
    }
}

/// The rows of a query.
pub(super) fn rows<T>(
    conn: &rusqlite::Connection,
    sql: &str,
    params: &[(&'static str, Value)],
    read: impl Fn(&mut Columns<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut out = Vec::new();
    each(conn, sql, params, |columns| {
        out.push(read(columns)?);
        Ok(())
    })?;
    Ok(out)
}

/// What a statement changes; how many rows.
pub(super) fn execute(
    conn: &rusqlite::Connection,
    (what, sql): (&str, &str),
    params: &[(&str, &dyn ToSql)],
) -> Result<usize, StoreError> {
    let failed = |e: rusqlite::Error| medium(what, &e);
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    statement.execute(params).map_err(failed)
}

/// The rows of a query that has more than memory should hold, one after the other.
pub(super) fn each(
    conn: &rusqlite::Connection,
    sql: &str,
    params: &[(&'static str, Value)],
    mut take: impl FnMut(&mut Columns<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| medium("read", &e);
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let params: Vec<(&str, &dyn ToSql)> = params
        .iter()
        .map(|(name, value)| (*name, value as &dyn ToSql))
        .collect();
    let mut rows = statement.query(params.as_slice()).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        take(&mut Columns::new(row))?;
    }
    Ok(())
}
