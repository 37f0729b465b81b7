//! Counts as columns hold them: 64 bits with a sign, in every database.

use crate::StoreError;
use madang_types::UsageRecord;

/// A count as a column holds it.
pub(crate) fn count(column: &str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value)
        .map_err(|_| StoreError::Invalid(format!("{column} {value} is over {}", i64::MAX)))
}

/// An optional count.
pub(crate) fn count_opt(column: &str, value: Option<u64>) -> Result<Option<i64>, StoreError> {
    value.map(|value| count(column, value)).transpose()
}

/// Whether a record's counts can be kept exactly.
///
/// # Errors
/// [`StoreError::Invalid`], naming the count that is too great.
pub(crate) fn check(record: &UsageRecord) -> Result<(), StoreError> {
    count("uncached_tokens", record.tokens.uncached.0)?;
    count("cached_tokens", record.tokens.cached.0)?;
    count("output_tokens", record.tokens.output.0)?;
    count("bytes_in", record.bytes_in)?;
    count("bytes_out", record.bytes_out)?;
    count("queued_us", record.queued_us)?;
    count_opt("first_token_us", record.first_token_us)?;
    count_opt("per_token_us", record.per_token_us)?;
    count("total_us", record.total_us).map(drop)
}
