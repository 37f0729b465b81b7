//! Properties of lists of entries and balances.

use super::super::Failure;
use super::super::sample::{LEASE, SITE, entry, grant, won};
use super::{Fixture, seqs, spend};
use crate::{BalanceRow, ENTRIES_APPEND_COUNT_MAX, EntryFilter, LEDGER_LIST_COUNT_MAX, Ledger};
use madang_ledger::{Entry, Leg, Phase, Subject};
use madang_types::{Micros, RequestId, Unit};
use std::sync::Arc;

/// Whatever their own instants; pages meet.
pub async fn lists_are_last_written_first(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    ledger.entries_append(vec![grant(0, 1000)?]).await?;
    for id in 1..10 {
        let at = Micros(-i64::try_from(id)?);
        let spent = Entry {
            at,
            ..spend(id, 1)?
        };
        ledger.entries_append(vec![spent]).await?;
    }
    for size in [1, 3, 10] {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = ledger.entries(EntryFilter::default(), before, size).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.seq);
            seen.extend(seqs(&page));
        }
        assert_eq!(seen, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1], "pages of {size}");
    }
    Ok(())
}

/// A grant about a budget at 10 µs, then entries 2 to 4 about requests 2, 2 and 4 at 20, 30 and 40 µs.
async fn with_requests(fixture: &impl Fixture) -> Result<Arc<dyn Ledger>, Failure> {
    let ledger = fixture.open().await;
    let of = |id: u128, request, legs| Entry {
        at: Micros(10 * i64::try_from(id).unwrap_or(0)),
        subject: Subject::Request(RequestId(request)),
        ..entry(id, Phase::Direct, legs)
    };
    let grant = Entry {
        at: Micros(10),
        subject: Subject::Budget("startups".parse()?),
        ..grant(1, 100)?
    };
    let twice = vec![won(LEASE, SITE, 1)?, won(SITE, "project:hanbit:search", 1)?];
    let entries = vec![
        grant,
        of(2, 2, twice),
        of(3, 2, vec![won(LEASE, "upstream:openai", 1)?]),
        of(4, 4, vec![won(LEASE, SITE, 1)?]),
    ];
    ledger.entries_append(entries).await?;
    Ok(ledger)
}

/// By account (on either side of a leg, and once), by subject, by time with `from` and without `until`.
pub async fn lists_follow_one_filter(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = with_requests(fixture).await?;
    let account = |name: &str| -> Result<EntryFilter, Failure> {
        let account = Some(name.parse()?);
        Ok(EntryFilter {
            account,
            ..EntryFilter::default()
        })
    };
    let about = |subject| EntryFilter {
        subject: Some(subject),
        ..EntryFilter::default()
    };
    let request = |id| about(Subject::Request(RequestId(id)));
    let time = |from: Option<i64>, until: Option<i64>| EntryFilter {
        from: from.map(Micros),
        until: until.map(Micros),
        ..EntryFilter::default()
    };
    let cases: [(EntryFilter, &[u64]); 10] = [
        (account(SITE)?, &[4, 2]),
        (account(LEASE)?, &[4, 3, 2, 1]),
        (account("site:absent")?, &[]),
        (request(2), &[3, 2]),
        (request(3), &[]),
        (request(4), &[4]),
        (about(Subject::Budget("startups".parse()?)), &[1]),
        (about(Subject::Lease), &[]),
        (time(Some(20), Some(40)), &[3, 2]),
        (time(None, Some(20)), &[1]),
    ];
    for (filter, expected) in cases {
        let found = ledger.entries(filter.clone(), None, 10).await?;
        assert_eq!(seqs(&found), expected, "{filter:?}");
    }
    Ok(())
}

/// All that is given holds, and a page goes on within it.
pub async fn lists_follow_all_filters(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = with_requests(fixture).await?;
    let filter = EntryFilter {
        account: Some(LEASE.parse()?),
        subject: Some(Subject::Request(RequestId(2))),
        from: Some(Micros(20)),
        until: Some(Micros(40)),
    };
    for (before, expected) in [(None, vec![3, 2]), (Some(3), vec![2]), (Some(2), vec![])] {
        let found = ledger.entries(filter.clone(), before, 10).await?;
        assert_eq!(seqs(&found), expected, "{before:?}");
    }
    Ok(())
}

/// `count_max` bounds a list, and [`LEDGER_LIST_COUNT_MAX`] bounds `count_max`.
pub async fn lists_are_bounded(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    let most = usize::try_from(LEDGER_LIST_COUNT_MAX)?;
    let entries: Vec<Entry> = (0..u128::from(LEDGER_LIST_COUNT_MAX) + 5)
        .map(|id| {
            let leg = won("world", &format!("site:s{id}"), 1)?;
            Ok(entry(id, Phase::Direct, vec![leg]))
        })
        .collect::<Result<_, Failure>>()?;
    for part in entries.chunks(ENTRIES_APPEND_COUNT_MAX) {
        ledger.entries_append(part.to_vec()).await?;
    }
    let all = EntryFilter::default;
    for (count_max, expected) in [(0, 0), (2, 2), (u32::MAX, most)] {
        let found = ledger.entries(all(), None, count_max).await?;
        assert_eq!(found.len(), expected);
        let found = ledger.balances(String::new(), None, count_max).await?;
        assert_eq!(found.len(), expected);
    }
    Ok(())
}

fn names(rows: &[BalanceRow]) -> Vec<String> {
    rows.iter().map(|row| row.account.to_string()).collect()
}

/// By name and unit; a prefix narrows them; pages meet.
pub async fn balances_are_by_name(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    let tokens = Leg {
        unit: Unit::Tokens,
        ..won("world", "site:pohang", 5)?
    };
    let legs = vec![
        won("world", "site:pohang", 3)?,
        tokens,
        won("world", "site:busan", 4)?,
        won("world", "tenant:hanbit", 1)?,
    ];
    ledger
        .entries_append(vec![entry(1, Phase::Direct, legs)])
        .await?;
    for size in [1, 2, 9] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.balances("site:".into(), after, size).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.account.clone(), last.unit));
            seen.extend(page);
        }
        assert_eq!(names(&seen), ["site:busan", "site:pohang", "site:pohang"]);
        let amounts: Vec<i64> = seen.iter().map(|row| row.balance.available()).collect();
        assert_eq!(amounts, [4, 3, 5], "pages of {size}");
    }
    let rows = ledger.balances(String::new(), None, 9).await?;
    let world = "world";
    let expected = [
        "site:busan",
        "site:pohang",
        "site:pohang",
        "tenant:hanbit",
        world,
        world,
    ];
    assert_eq!(names(&rows), expected);
    let none = ledger.balances("site:pohang2".into(), None, 9).await?;
    assert_eq!(none, []);
    Ok(())
}
