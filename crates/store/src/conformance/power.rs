//! Properties of caps and events of power.

use super::Failure;
use crate::{EnergyRow, PowerBook, StoreError};
use async_trait::async_trait;
use madang_ledger::{EnergyNote, EnergySpan, EnergyStand, EngineClaimed, EngineEnergy};
use madang_types::{
    Micros, PowerAct, PowerActStand, PowerEvent, PowerEventKind, PowerStand, RunStood,
};
use std::sync::Arc;

/// What a property is tried on. Each test makes its own.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the books, empty the first time. A later call, made when the earlier ones have been dropped, finds what they wrote.
    async fn open(&self) -> Arc<dyn PowerBook>;
}

/// Expands to one `#[tokio::test]` for each property; `$make` is called without arguments and gives a [`Fixture`].
#[macro_export]
macro_rules! power_conformance_suite {
    ($make:path) => {
        $crate::power_conformance_suite! { @tests $make;
            events_are_numbered_and_survive, an_event_ends_once, a_baseline_is_noted_once_and_of_cuts_alone,
            what_is_not_there_is_said, extreme_numbers_are_kept_or_refused, notes_of_energy_are_kept_until_they_are_booked
        }
    };
    (@tests $make:path; $($property:ident),+) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let fixture = $make();
                let kept = $crate::conformance::power::$property(&fixture).await;
                kept.expect("the property holds");
            }
        )+
    };
}
pub use crate::power_conformance_suite as suite;

const CUT: PowerEventKind = PowerEventKind::Cut {
    milli: 250,
    baseline_watts: None,
};

/// An event as it is made; its number is the books' to give.
///
/// # Errors
/// Never, as its words are sound.
pub fn event(
    kind: PowerEventKind,
    (from, until): (i64, Option<i64>),
) -> Result<PowerEvent, Failure> {
    Ok(PowerEvent {
        id: 0,
        site: "pohang".parse()?,
        kind,
        from: Micros(from),
        until: until.map(Micros),
        reason: "전력 수급".to_owned(),
        set_by: "op".parse()?,
        set_at: Micros(1),
        order: None,
    })
}

/// Later ones have greater numbers; those that are over are not listed; all of it reads back from books that are opened anew.
pub async fn events_are_numbered_and_survive(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let cap = PowerEventKind::Cap { watts: 20_000_000 };
    let first = book.power_put(event(cap, (5, None))?).await?;
    let ordered = || -> Result<PowerEvent, Failure> {
        let order = Some("kpx/event-1/0/전력".to_owned());
        Ok(PowerEvent {
            order,
            ..event(CUT, (7, Some(9)))?
        })
    };
    let second = book.power_put(ordered()?).await?;
    assert!(first.id > 0 && second.id > first.id);
    let (one, other) = (event(cap, (5, None))?, ordered()?);
    let expected = [
        PowerEvent {
            id: first.id,
            ..one
        },
        PowerEvent {
            id: second.id,
            ..other
        },
    ];
    assert_eq!([first, second], expected);
    drop(book);
    let book = fixture.open().await;
    assert_eq!(book.power_list(Micros(8)).await?, expected);
    assert_eq!(book.power_list(Micros(9)).await?, expected[..1]);
    Ok(())
}

/// An end that was is not put off.
pub async fn an_event_ends_once(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let id = book.power_put(event(CUT, (1, Some(100)))?).await?.id;
    assert_eq!(
        book.power_end(id, Micros(50)).await?.until,
        Some(Micros(50))
    );
    assert_eq!(
        book.power_end(id, Micros(60)).await?.until,
        Some(Micros(50))
    );
    assert_eq!(book.power_list(Micros(50)).await?, []);
    Ok(())
}

/// What a cut is a part of does not change once it has begun.
pub async fn a_baseline_is_noted_once_and_of_cuts_alone(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let book = fixture.open().await;
    let cut = book.power_put(event(CUT, (1, None))?).await?.id;
    for watts in [1_000, 2_000] {
        let noted = book.power_baseline(cut, watts).await?;
        let expected = PowerEventKind::Cut {
            milli: 250,
            baseline_watts: Some(1_000),
        };
        assert_eq!(noted.kind, expected);
    }
    let kind = PowerEventKind::Cap { watts: 7 };
    let cap = book.power_put(event(kind, (1, None))?).await?.id;
    assert_eq!(book.power_baseline(cap, 9).await?.kind, kind);
    Ok(())
}

/// Nothing is made up for a number that nobody gave.
pub async fn what_is_not_there_is_said(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let absent = || Err(StoreError::Absent("the power event 7".into()));
    assert_eq!(book.power_end(7, Micros(1)).await, absent());
    assert_eq!(book.power_baseline(7, 1).await, absent());
    assert_eq!(book.power_list(Micros(0)).await?, []);
    Ok(())
}

/// What a column holds comes back; what it does not is refused.
pub async fn extreme_numbers_are_kept_or_refused(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let watts = i64::MAX.unsigned_abs();
    let kind = PowerEventKind::Cap { watts };
    let put = book.power_put(event(kind, (i64::MIN, None))?).await?;
    assert_eq!((put.kind, put.from), (kind, Micros(i64::MIN)));
    let kind = PowerEventKind::Cap { watts: watts + 1 };
    let refused = book.power_put(event(kind, (0, None))?).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "{refused:?}"
    );
    Ok(())
}

fn power_stand() -> Result<PowerStand, Failure> {
    let run = "1042.3-1".parse()?;
    let stood = RunStood {
        paused_us: 1,
        turns_us: u64::MAX,
        turn_left_us: Some(2),
    };
    let acts = [PowerAct::Slow(run), PowerAct::Clock(700), PowerAct::Divert];
    let stand = |act| PowerActStand {
        act,
        at: Micros(3),
        saves_watts: 4,
        bounds_watts: 5,
        takes_us: 6,
    };
    Ok(PowerStand {
        cap_watts: Some(7),
        fell_at: Some(Micros(8)),
        acts: acts.into_iter().map(stand).collect(),
        runs: [(run, stood)].into(),
    })
}

fn row(gateway: &str, (from, until): (i64, i64), rest_mj: u64) -> Result<EnergyRow, Failure> {
    let note = EnergyNote {
        measured_mj: u64::MAX,
        engines: [("e1".parse()?, EngineEnergy::default())].into(),
        rest_mj,
        returned_mj: i64::MIN,
        claims: [(
            "e1".parse()?,
            EngineClaimed {
                busy_us: 7,
                by: [("project:hanbit:search".parse()?, 9)].into(),
            },
        )]
        .into(),
        stand: Some(EnergyStand {
            at: Micros(from),
            loads: [("rest".to_owned(), 3)].into(),
            meters: [("피드".to_owned(), (5, Some(u64::MAX)))].into(),
            runs: [("1042.3-1".parse()?, 8)].into(),
            power: power_stand()?,
        }),
        ..EnergyNote::default()
    };
    Ok(EnergyRow {
        span: EnergySpan {
            site: "pohang".parse()?,
            from: Micros(from),
            until: Micros(until),
        },
        gateway: gateway.parse()?,
        note,
    })
}

/// The last note of a gateway and span stands, in books that are opened anew too, until the span is dropped with all that is noted of it.
pub async fn notes_of_energy_are_kept_until_they_are_booked(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let book = fixture.open().await;
    assert_eq!(book.energy_list().await?, []);
    book.energy_put(Vec::new()).await?;
    let later = row("gw-1", (60, 120), 1)?;
    book.energy_put(vec![later.clone(), row("gw-2", (0, 60), 2)?])
        .await?;
    let (one, two) = (row("gw-1", (0, 60), 3)?, row("gw-2", (0, 60), 4)?);
    book.energy_put(vec![two.clone()]).await?;
    book.energy_put(vec![one.clone()]).await?;
    // A span of another length that begins at the same time is another one.
    let short = row("gw-1", (0, 30), 5)?;
    book.energy_put(vec![short.clone()]).await?;
    drop(book);
    let book = fixture.open().await;
    let all = [short.clone(), one.clone(), two, later.clone()];
    assert_eq!(book.energy_list().await?, all);
    book.energy_drop(one.span.clone()).await?;
    book.energy_drop(one.span).await?;
    assert_eq!(book.energy_list().await?, [short, later]);
    Ok(())
}
