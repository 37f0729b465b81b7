//! Properties of writing.

use super::super::Failure;
use super::super::sample::{LEASE, SITE, entry, grant, won};
use super::{Fixture, all, available, seqs, spend};
use crate::{ENTRIES_APPEND_COUNT_MAX, StoreError};
use madang_ledger::{
    Account, Applied, Entry, EntryError, EntryId, Fault, LEGS_COUNT_MAX, Leg, Phase, Subject,
};
use madang_types::{JobId, Micros, RequestId, Unit};

/// A refused entry takes none with it, a later one sees what an earlier one of the same call did, and a repeated one changes
/// nothing.
pub async fn each_entry_is_judged_by_itself(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    let reserve = entry(4, Phase::Reserve, vec![won(LEASE, SITE, 30)?]);
    let post = entry(4, Phase::Post, vec![won(LEASE, SITE, 20)?]);
    let told = ledger
        .entries_append(vec![
            spend(2, 1)?,
            grant(1, 100)?,
            spend(2, 80)?,
            spend(3, 21)?,
            spend(2, 80)?,
            spend(2, 79)?,
            spend(5, 0)?,
            reserve,
            post.clone(),
        ])
        .await?;
    let lease: Account = LEASE.parse()?;
    let short = |available, lacks| Fault::Short {
        account: lease.clone(),
        unit: Unit::MicroWon,
        available,
        lacks,
    };
    let told: Vec<Result<bool, Fault>> = told
        .into_iter()
        .map(|told| told.map(|applied| applied != Applied::Repeated))
        .collect();
    let expected = [
        Err(short(0, 1)),
        Ok(true),
        Ok(true),
        Err(short(20, 1)),
        Ok(false),
        Err(Fault::Conflict(Phase::Direct)),
        Err(Fault::Shape(EntryError::Amount(0))),
        Err(short(20, 10)),
        Err(Fault::NotReserved),
    ];
    assert_eq!(told, expected);
    assert_eq!(seqs(&all(&ledger).await?), [2, 1]);
    assert_eq!(available(&ledger, LEASE).await?, 20);
    assert_eq!(available(&ledger, SITE).await?, 80);
    assert_eq!(ledger.entries_append(Vec::new()).await?, []);
    Ok(())
}

/// As many legs as an entry may have: every unit, and most kinds of accounts.
fn wide() -> Result<Vec<Leg>, Failure> {
    let mut legs = vec![
        won(SITE, "suspense:allocation:hanbit", 1)?,
        won(SITE, "upstream:openai", 2)?,
    ];
    for unit in [
        Unit::MicroWon,
        Unit::Tokens,
        Unit::UncachedTokens,
        Unit::CachedTokens,
        Unit::OutputTokens,
        Unit::AcceleratorMs,
        Unit::MilliJoules,
    ] {
        for to in ["tenant:hanbit", "ceiling:key.k1.2026-11"] {
            let amount = i64::MAX / 4;
            legs.push(Leg {
                unit,
                ..won("world", to, amount)?
            });
        }
    }
    assert_eq!(legs.len(), LEGS_COUNT_MAX);
    Ok(legs)
}

/// Every kind of subject, phase and unit, and the ends of the numbers.
pub async fn every_word_reads_back(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    let about = |id, at, subject, phase, legs| Entry {
        at: Micros(at),
        subject,
        ..entry(id, phase, legs)
    };
    let one = || Ok::<_, Failure>(vec![won("tenant:hanbit", SITE, 1)?]);
    let budget = Subject::Budget("startups".parse()?);
    let allocation = Subject::Allocation("hanbit".parse()?);
    let job = Subject::Job(JobId(1042));
    let own = || Subject::Request(RequestId(u128::MAX));
    let other = Subject::Request(RequestId(7));
    let entries = vec![
        about(0, i64::MIN, budget, Phase::Direct, wide()?),
        about(1, i64::MAX, allocation, Phase::Direct, one()?),
        about(2, 0, job, Phase::Reserve, one()?),
        about(2, 1, Subject::Lease, Phase::Void, Vec::new()),
        about(u128::MAX, 2, own(), Phase::Reserve, one()?),
        about(u128::MAX, 3, own(), Phase::Post, one()?),
        about(3, 4, other, Phase::Direct, one()?),
    ];
    for told in ledger.entries_append(entries.clone()).await? {
        assert!(matches!(told, Ok(Applied::New(_))), "{told:?}");
    }
    let found = all(&ledger).await?;
    let found: Vec<Entry> = found.into_iter().rev().map(|row| row.entry).collect();
    assert_eq!(found, entries);
    let phases = ledger.entry(EntryId(2)).await?;
    assert_eq!(seqs(&phases), [3, 4]);
    let phases: Vec<Entry> = phases.into_iter().map(|row| row.entry).collect();
    assert_eq!(phases, entries[2..4]);
    assert_eq!(ledger.entry(EntryId(99)).await?, []);
    let many = [u128::MAX, 99, 2].map(EntryId).to_vec();
    assert_eq!(seqs(&ledger.entries_of(many).await?), [3, 4, 5, 6]);
    assert_eq!(ledger.entries_of(Vec::new()).await?, []);
    let many = vec![EntryId(2); ENTRIES_APPEND_COUNT_MAX + 1];
    let refused = ledger.entries_of(many).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "{refused:?}"
    );
    Ok(())
}

/// What was confirmed is there when the books are opened anew, and writing it again changes nothing.
pub async fn entries_survive_and_are_written_once(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    let entries = vec![
        grant(1, 100)?,
        spend(2, 30)?,
        entry(3, Phase::Reserve, vec![won(LEASE, SITE, 50)?]),
    ];
    ledger.entries_append(entries.clone()).await?;
    let before = all(&ledger).await?;
    drop(ledger);
    let ledger = fixture.open().await;
    assert_eq!(all(&ledger).await?, before);
    let again = ledger.entries_append(entries).await?;
    assert_eq!(
        again,
        [
            Ok(Applied::Repeated),
            Ok(Applied::Repeated),
            Ok(Applied::Repeated)
        ]
    );
    assert_eq!(all(&ledger).await?, before);
    assert_eq!(available(&ledger, LEASE).await?, 20);
    let post = entry(3, Phase::Post, vec![won(LEASE, SITE, 49)?]);
    let told = ledger.entries_append(vec![post]).await?;
    assert!(matches!(told[..], [Ok(Applied::New(_))]), "{told:?}");
    assert_eq!(available(&ledger, LEASE).await?, 21);
    Ok(())
}

/// [`ENTRIES_APPEND_COUNT_MAX`] are taken, one more is refused with all others.
pub async fn too_many_are_refused(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    ledger.entries_append(vec![grant(0, 1_000_000)?]).await?;
    let count = u128::try_from(ENTRIES_APPEND_COUNT_MAX)?;
    let entries: Vec<Entry> = (1..=count + 1)
        .map(|id| spend(id, 1))
        .collect::<Result<_, _>>()?;
    let refused = ledger.entries_append(entries.clone()).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "{refused:?}"
    );
    assert_eq!(all(&ledger).await?.len(), 1);
    let most = entries[..ENTRIES_APPEND_COUNT_MAX].to_vec();
    let told = ledger.entries_append(most).await?;
    assert!(told.iter().all(|told| matches!(told, Ok(Applied::New(_)))));
    Ok(())
}

/// Writers at once, each of which would take more than a fair part: what they are given is what there is.
pub async fn a_lease_is_never_overspent(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    ledger.entries_append(vec![grant(0, 1000)?]).await?;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 1..=8_u128 {
        let ledger = ledger.clone();
        writers.spawn(async move {
            let mut spent = 0;
            for number in 0..40_u128 {
                let told = ledger
                    .entries_append(vec![spend((writer << 32) + number, 7)?])
                    .await?;
                spent += 7 * i64::from(told[0].is_ok());
            }
            Ok::<i64, Failure>(spent)
        });
    }
    let mut spent = 0;
    while let Some(writer) = writers.join_next().await {
        spent += writer??;
    }
    assert_eq!(spent, 1000 / 7 * 7);
    assert_eq!(available(&ledger, LEASE).await?, 1000 - spent);
    assert_eq!(available(&ledger, SITE).await?, spent);
    Ok(())
}

/// A ledger that nobody touched has no findings, and its report counts what is there.
pub async fn what_stands_verifies(fixture: &impl Fixture) -> Result<(), Failure> {
    let ledger = fixture.open().await;
    let empty = ledger.ledger_verify().await?;
    assert_eq!((empty.entries, empty.findings), (0, Vec::new()));
    let reserve = |id| Ok::<_, Failure>(entry(id, Phase::Reserve, vec![won(LEASE, SITE, 10)?]));
    ledger
        .entries_append(vec![
            grant(1, 100)?,
            spend(2, 30)?,
            reserve(3)?,
            reserve(4)?,
            reserve(5)?,
        ])
        .await?;
    let post = entry(3, Phase::Post, vec![won(LEASE, SITE, 9)?]);
    let void = entry(4, Phase::Void, Vec::new());
    ledger.entries_append(vec![post, void]).await?;
    let report = ledger.ledger_verify().await?;
    assert_eq!(report.findings, []);
    assert_eq!((report.entries, report.legs), (7, 8));
    assert_eq!((report.accounts, report.open_reservations), (5, 1));
    Ok(())
}
