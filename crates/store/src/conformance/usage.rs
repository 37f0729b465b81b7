//! Properties of usage records.

use super::sample::{full, plain};
use super::{Failure, Fixture};
use crate::{Store, StoreError, USAGE_LIST_COUNT_MAX, UsageFilter};
use madang_types::{MicroWon, Micros, MilliJoules, RequestId, Tokens, UsageRecord};
use std::sync::Arc;

fn ids(records: &[UsageRecord]) -> Vec<u128> {
    records.iter().map(|record| record.id.0).collect()
}

async fn append_all(
    store: &Arc<dyn Store>,
    records: impl IntoIterator<Item = Result<UsageRecord, Failure>>,
) -> Result<(), Failure> {
    for record in records {
        store.usage_append(record?).await?;
    }
    Ok(())
}

/// A second write of an id changes nothing and is `Ok`.
pub async fn append_keeps_the_first(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let first = plain(1, Micros(10))?;
    store.usage_append(first.clone()).await?;
    store.usage_append(full(1, Micros(99))?).await?;
    store.usage_append(first.clone()).await?;
    assert_eq!(store.usage_get(RequestId(1)).await?, Some(first));
    assert_eq!(
        store
            .usage_list(UsageFilter::default(), None, 10)
            .await?
            .len(),
        1
    );
    Ok(())
}

/// An id that was never written reads as `None`.
pub async fn absent_is_none(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    assert_eq!(store.usage_get(RequestId(1)).await?, None);
    assert_eq!(
        store.usage_list(UsageFilter::default(), None, 10).await?,
        []
    );
    Ok(())
}

/// Every field comes back as it was given, with and without the optional ones.
pub async fn every_field_reads_back(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let mut bare = plain(2, Micros(20))?;
    bare.model = None;
    for record in [full(1, Micros(10))?, bare, full(u128::MAX, Micros(-1))?] {
        store.usage_append(record.clone()).await?;
        assert_eq!(store.usage_get(record.id).await?, Some(record));
    }
    Ok(())
}

/// The ends of every number are kept, and a count over [`i64::MAX`] is refused alone, not cut.
pub async fn extreme_numbers(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let greatest = i64::MAX.unsigned_abs();
    let mut high = full(1, Micros(i64::MAX))?;
    (high.status, high.attempts) = (u16::MAX, u32::MAX);
    (high.tokens.uncached, high.tokens.output) = (Tokens(greatest), Tokens(greatest));
    (high.bytes_in, high.total_us, high.first_token_us) = (greatest, greatest, Some(greatest));
    (high.cost, high.energy) = (Some(MicroWon(i64::MAX)), Some(MilliJoules(i64::MIN)));
    let mut low = plain(0, Micros(i64::MIN))?;
    (low.status, low.attempts, low.first_token_us) = (0, 0, Some(0));
    low.cost = Some(MicroWon(i64::MIN));
    for record in [high, low] {
        store.usage_append(record.clone()).await?;
        assert_eq!(store.usage_get(record.id).await?, Some(record));
    }
    let over: [fn(&mut UsageRecord); 4] = [
        |r| r.tokens.cached = Tokens(u64::MAX),
        |r| r.bytes_out = i64::MAX.unsigned_abs() + 1,
        |r| r.per_token_us = Some(u64::MAX),
        |r| r.queued_us = u64::MAX,
    ];
    for spoil in over {
        let mut record = plain(5, Micros(5))?;
        spoil(&mut record);
        let refused = store.usage_append(record).await;
        assert!(
            matches!(refused, Err(StoreError::Invalid(_))),
            "{refused:?}"
        );
        assert_eq!(store.usage_get(RequestId(5)).await?, None);
    }
    Ok(())
}

/// By arrival, then by id, whatever the order of writing.
pub async fn list_is_newest_first(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let rows = [(3, 10), (9, 5), (1, 10), (2, 30), (4, -7)];
    append_all(&store, rows.map(|(id, at)| plain(id, Micros(at)))).await?;
    let list = store.usage_list(UsageFilter::default(), None, 10).await?;
    assert_eq!(ids(&list), [2, 3, 1, 9, 4]);
    Ok(())
}

/// Pages of any size give every record once, in order, equal arrivals included.
pub async fn list_pages_meet(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    append_all(
        &store,
        (0..10).map(|id| plain(id, Micros(i64::from(id > 4)))),
    )
    .await?;
    for size in [1, 2, 3, 10] {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = store
                .usage_list(UsageFilter::default(), before, size)
                .await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            seen.extend(ids(&page));
        }
        assert_eq!(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], "pages of {size}");
    }
    Ok(())
}

/// `from` is part of the span, `until` is not; tenant and model narrow it; all together hold with a page.
pub async fn list_filters_at_both_ends(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    append_all(
        &store,
        (1..=6).map(|id| plain(id, Micros(10 * i64::try_from(id)?))),
    )
    .await?;
    append_all(
        &store,
        (7..=8).map(|id| full(id, Micros(10 * i64::try_from(id)?))),
    )
    .await?;
    let mut nameless = plain(9, Micros(90))?;
    nameless.model = None;
    store.usage_append(nameless).await?;
    let all = UsageFilter::default;
    let span = UsageFilter {
        from: Some(Micros(20)),
        until: Some(Micros(50)),
        ..all()
    };
    let kma = UsageFilter {
        tenant: Some("kma".parse()?),
        ..all()
    };
    let qwen = UsageFilter {
        model: Some("qwen".parse()?),
        ..all()
    };
    let every = UsageFilter {
        tenant: Some("demo".parse()?),
        model: qwen.model.clone(),
        ..span.clone()
    };
    let neither = UsageFilter {
        model: qwen.model.clone(),
        ..kma.clone()
    };
    for (filter, before, expected) in [
        (span, None, vec![4, 3, 2]),
        (kma, None, vec![8, 7]),
        (qwen, Some(RequestId(3)), vec![2, 1]),
        (every, Some(RequestId(4)), vec![3, 2]),
        (neither, None, vec![]),
        (
            UsageFilter {
                until: Some(Micros(20)),
                ..all()
            },
            None,
            vec![1],
        ),
        (
            UsageFilter {
                from: Some(Micros(90)),
                ..all()
            },
            None,
            vec![9],
        ),
    ] {
        let list = store.usage_list(filter.clone(), before, 10).await?;
        assert_eq!(ids(&list), expected, "{filter:?}");
    }
    Ok(())
}

/// `count_max` bounds a list, and [`USAGE_LIST_COUNT_MAX`] bounds `count_max`.
pub async fn list_is_bounded(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let rows = u128::from(USAGE_LIST_COUNT_MAX) + 5;
    let mut writes = tokio::task::JoinSet::new();
    for id in 0..rows {
        let (store, record) = (store.clone(), plain(id, Micros(i64::try_from(id)?))?);
        writes.spawn(async move { store.usage_append(record).await });
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    for (count_max, expected) in [
        (0, 0),
        (1, 1),
        (7, 7),
        (1000, 1000),
        (1001, 1000),
        (u32::MAX, 1000),
    ] {
        let list = store
            .usage_list(UsageFilter::default(), None, count_max)
            .await?;
        assert_eq!(list.len(), expected, "at most {count_max}");
    }
    Ok(())
}

/// A page cannot continue after a record that is not there.
pub async fn list_before_an_absent_record_is_refused(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let store = fixture.open().await;
    store.usage_append(plain(1, Micros(1))?).await?;
    let refused = store
        .usage_list(UsageFilter::default(), Some(RequestId(2)), 10)
        .await;
    assert!(matches!(refused, Err(StoreError::Absent(_))), "{refused:?}");
    Ok(())
}

/// Many writers of one id: all are answered `Ok`, one row stands and it is one of theirs.
pub async fn appends_of_one_id_leave_one_row(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    let mut writes = tokio::task::JoinSet::new();
    for at in 0..64 {
        let (store, record) = (store.clone(), plain(1, Micros(at))?);
        writes.spawn(async move { store.usage_append(record).await });
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    let list = store.usage_list(UsageFilter::default(), None, 100).await?;
    assert_eq!(ids(&list), [1]);
    assert!((0..64).contains(&list[0].arrived_at.0));
    Ok(())
}

/// After `Ok` every reader finds the record, at once and after the store was opened again.
pub async fn appends_are_visible_and_survive(fixture: &impl Fixture) -> Result<(), Failure> {
    let store = fixture.open().await;
    for id in 0..20 {
        let record = full(id, Micros(i64::try_from(id)?))?;
        store.usage_append(record.clone()).await?;
        assert_eq!(store.usage_get(record.id).await?, Some(record.clone()));
        assert_eq!(
            store.usage_list(UsageFilter::default(), None, 1).await?,
            [record]
        );
    }
    let before = store.usage_list(UsageFilter::default(), None, 100).await?;
    assert_eq!(before.len(), 20);
    drop(store);
    let store = fixture.open().await;
    assert_eq!(
        store.usage_list(UsageFilter::default(), None, 100).await?,
        before
    );
    Ok(())
}
