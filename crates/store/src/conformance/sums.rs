//! Properties of sums over usage records.

use super::sample::{SEOUL_MIDNIGHT, SEOUL_OFFSET_S, full, plain, tenant};
use super::{Failure, Fixture};
use crate::{UsageFilter, UsageGroup, UsageSum};
use madang_types::{Micros, Outcome, Tokens};

/// What [`plain`] adds to its group's sum.
fn plain_sum(group: &str, requests: u64) -> UsageSum {
    UsageSum {
        group: group.into(),
        requests,
        finished: requests,
        uncached_tokens: 10 * requests,
        cached_tokens: 3 * requests,
        output_tokens: 7 * requests,
        estimated: 0,
        bytes_in: 100 * requests,
        bytes_out: 200 * requests,
    }
}

/// What [`full`] alone sums to.
fn full_sum(group: &str) -> UsageSum {
    UsageSum {
        group: group.into(),
        requests: 1,
        finished: 0,
        uncached_tokens: 11,
        cached_tokens: 12,
        output_tokens: 13,
        estimated: 1,
        bytes_in: 14,
        bytes_out: 15,
    }
}

/// One row even over nothing; what did not finish is counted and not called finished.
pub async fn all_is_one_row(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let all = || store.usage_sum(UsageFilter::default(), UsageGroup::All);
    assert_eq!(all().await?, [UsageSum::default()]);
    store.usage_append(plain(1, Micros(1))?).await?;
    let mut gone = plain(2, Micros(2))?;
    gone.outcome = Outcome::ClientGone;
    store.usage_append(gone).await?;
    assert_eq!(
        all().await?,
        [UsageSum {
            finished: 1,
            ..plain_sum("", 2)
        }]
    );
    Ok(())
}

/// Records without a model have the group `-`; no group without records.
pub async fn by_model_counts_records_without_one(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let by_model = || store.usage_sum(UsageFilter::default(), UsageGroup::Model);
    assert_eq!(by_model().await?, []);
    for id in 1..=3 {
        store.usage_append(plain(id, Micros(1))?).await?;
    }
    let mut nameless = plain(4, Micros(1))?;
    nameless.model = None;
    store.usage_append(nameless).await?;
    store.usage_append(full(5, Micros(1))?).await?;
    let expected = [
        plain_sum("-", 1),
        full_sum("LGAI/EXAONE-4.0:32b"),
        plain_sum("qwen", 3),
    ];
    assert_eq!(by_model().await?, expected);
    Ok(())
}

/// Sums keep to the filter, at both ends.
pub async fn by_tenant_within_a_filter(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    for id in 1..=5 {
        store
            .usage_append(plain(id, Micros(i64::try_from(id)?))?)
            .await?;
    }
    store.usage_append(full(6, Micros(4))?).await?;
    let span = UsageFilter {
        from: Some(Micros(2)),
        until: Some(Micros(5)),
        ..UsageFilter::default()
    };
    let demo = UsageFilter {
        tenant: Some("demo".parse()?),
        ..span.clone()
    };
    let sums = store.usage_sum(span, UsageGroup::Tenant).await?;
    assert_eq!(sums, [plain_sum("demo", 3), full_sum("kma")]);
    let sums = store.usage_sum(demo, UsageGroup::Tenant).await?;
    assert_eq!(sums, [plain_sum("demo", 3)]);
    let qwen = UsageFilter {
        model: Some("qwen".parse()?),
        ..UsageFilter::default()
    };
    let sums = store.usage_sum(qwen, UsageGroup::All).await?;
    assert_eq!(sums, [plain_sum("", 5)]);
    Ok(())
}

/// Projects of one name are told apart by their tenants; records without one have the group `tenant/-`.
pub async fn by_project_within_its_tenant(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    store.usage_append(full(1, Micros(1))?).await?;
    store.usage_append(plain(2, Micros(1))?).await?;
    let mut same_name = plain(3, Micros(1))?;
    same_name.project = Some("forecast".parse()?);
    store.usage_append(same_name).await?;
    let all = store.usage_sum(UsageFilter::default(), UsageGroup::Project);
    let expected = [
        plain_sum("demo/-", 1),
        plain_sum("demo/forecast", 1),
        full_sum("kma/forecast"),
    ];
    assert_eq!(all.await?, expected);
    let of_one = UsageFilter {
        tenant: Some("demo".parse()?),
        project: Some("forecast".parse()?),
        ..UsageFilter::default()
    };
    let sums = store.usage_sum(of_one.clone(), UsageGroup::All).await?;
    assert_eq!(sums, [plain_sum("", 1)]);
    let list = store.usage_list(of_one, None, 10).await?;
    assert!(list.iter().map(|record| record.id.0).eq([3]), "{list:?}");
    Ok(())
}

/// Models are told apart by whose use they were, in the filter's span; records without one have the group `tenant/-`.
pub async fn by_tenant_and_model(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    store.usage_append(full(1, Micros(1))?).await?;
    store.usage_append(plain(2, Micros(1))?).await?;
    store.usage_append(plain(3, Micros(9))?).await?;
    let mut nameless = plain(4, Micros(1))?;
    nameless.model = None;
    store.usage_append(nameless).await?;
    let span = UsageFilter {
        until: Some(Micros(9)),
        ..UsageFilter::default()
    };
    let expected = [
        plain_sum("demo/-", 1),
        plain_sum("demo/qwen", 1),
        full_sum("kma/LGAI/EXAONE-4.0:32b"),
    ];
    let sums = store.usage_sum(span, UsageGroup::TenantModel).await?;
    assert_eq!(sums, expected);
    Ok(())
}

/// A programme's records are those of the tenants that it has now.
pub async fn of_a_programmes_tenants(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    store.tenant_put(tenant("demo", 1)?).await?;
    store.usage_append(plain(1, Micros(1))?).await?;
    store.usage_append(full(2, Micros(1))?).await?;
    let of = |programme: &str| -> Result<UsageFilter, Failure> {
        Ok(UsageFilter {
            programme: Some(programme.parse()?),
            ..UsageFilter::default()
        })
    };
    let by_tenant = |filter| store.usage_sum(filter, UsageGroup::Tenant);
    assert_eq!(by_tenant(of("open")?).await?, [plain_sum("demo", 1)]);
    assert_eq!(by_tenant(of("other")?).await?, []);
    let mut moved = tenant("demo", 1)?;
    moved.programme = Some("other".parse()?);
    store.tenant_put(moved).await?;
    assert_eq!(by_tenant(of("open")?).await?, []);
    let list = store.usage_list(of("other")?, None, 10).await?;
    assert!(list.iter().map(|record| record.id.0).eq([1]), "{list:?}");
    Ok(())
}

/// The last microsecond before midnight at Seoul is the day before, and the offset decides which midnight.
pub async fn by_day_follows_the_offset(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let midnight = SEOUL_MIDNIGHT.0;
    let arrivals = [
        midnight - 1,
        midnight,
        midnight + 1,
        midnight + 86_400_000_000,
        -1,
    ];
    for (id, at) in (1..).zip(arrivals) {
        store.usage_append(plain(id, Micros(at))?).await?;
    }
    let days = async |offset_s| -> Result<Vec<(String, u64)>, Failure> {
        let sums = store
            .usage_sum(UsageFilter::default(), UsageGroup::Day { offset_s })
            .await?;
        Ok(sums
            .into_iter()
            .map(|sum| (sum.group, sum.requests))
            .collect())
    };
    let expected = |days: &[(&str, u64)]| -> Vec<(String, u64)> {
        days.iter()
            .map(|(day, requests)| ((*day).to_owned(), *requests))
            .collect()
    };
    assert_eq!(
        days(SEOUL_OFFSET_S).await?,
        expected(&[
            ("1970-01-01", 1),
            ("2026-02-28", 1),
            ("2026-03-01", 2),
            ("2026-03-02", 1)
        ])
    );
    assert_eq!(
        days(0).await?,
        expected(&[("1969-12-31", 1), ("2026-02-28", 3), ("2026-03-01", 1)])
    );
    assert_eq!(
        days(-18_000).await?,
        expected(&[("1969-12-31", 1), ("2026-02-28", 3), ("2026-03-01", 1)])
    );
    Ok(())
}

/// Sums of the greatest counts are exact as far as they go and stand at [`u64::MAX`] after that.
pub async fn sums_never_overflow(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    for (id, at) in [(1, i64::MAX), (2, i64::MIN), (3, 0)] {
        let mut record = plain(id, Micros(at))?;
        record.tokens.output = Tokens(i64::MAX.unsigned_abs());
        record.bytes_in = if id == 3 { 1 } else { i64::MAX.unsigned_abs() };
        store.usage_append(record).await?;
    }
    let sums = store
        .usage_sum(UsageFilter::default(), UsageGroup::All)
        .await?;
    assert_eq!(
        (sums[0].output_tokens, sums[0].bytes_in),
        (u64::MAX, u64::MAX)
    );
    for offset_s in [i32::MIN, 0, i32::MAX] {
        let sums = store
            .usage_sum(UsageFilter::default(), UsageGroup::Day { offset_s })
            .await?;
        assert_eq!(sums.len(), 3, "{sums:?}");
    }
    Ok(())
}
