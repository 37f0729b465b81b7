//! Between rows and the plain structs.

use super::connect::medium;
use crate::{StoreError, list};
use deadpool_postgres::GenericClient;
use std::fmt::Display;
use std::str::FromStr;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql};

/// What a statement is given.
pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// Reads columns from left to right, in the order of the SELECT.
pub(super) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn new(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    /// The next column as it is.
    pub(super) fn get<T: FromSqlOwned>(&mut self) -> Result<T, StoreError> {
        let column = self.next;
        self.next += 1;
        let damaged = |e| StoreError::Damaged(format!("cannot read a row: {e}"));
        self.row.try_get(column).map_err(damaged)
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

    /// The next column as so many bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let bytes: Vec<u8> = self.get()?;
        let length = bytes.len();
        bytes
            .try_into()
            .map_err(|_| self.damaged(format!("{length} bytes")))
    }

    fn damaged(&self, value: impl Display) -> StoreError {
        let column = self.row.columns().get(self.next - 1);
        let column = column.map_or("?", |column| column.name());
        StoreError::Damaged(format!(
            "column {column} holds '{value}', which is not allowed there"
        ))
    }
}

/// One column of all rows.
pub(super) fn column<R, T>(rows: impl IntoIterator<Item = R>, get: impl Fn(R) -> T) -> Vec<T> {
    rows.into_iter().map(get).collect()
}

/// The rows of a query.
pub(super) async fn rows<T>(
    client: &impl GenericClient,
    (what, sql): (&str, &str),
    params: &[Param<'_>],
    read: impl Fn(&mut Columns<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let failed = |e: tokio_postgres::Error| medium(what, &e);
    let statement = client.prepare_cached(sql).await.map_err(failed)?;
    let found = client.query(&statement, params).await.map_err(failed)?;
    found
        .iter()
        .map(|row| read(&mut Columns::new(row)))
        .collect()
}

/// Runs a statement that gives no rows; returns how many it touched.
pub(super) async fn execute(
    client: &impl GenericClient,
    (what, sql): (&str, &str),
    params: &[Param<'_>],
) -> Result<u64, StoreError> {
    let failed = |e: tokio_postgres::Error| medium(what, &e);
    let statement = client.prepare_cached(sql).await.map_err(failed)?;
    client.execute(&statement, params).await.map_err(failed)
}
