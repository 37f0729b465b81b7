//! What whoever governs a site has in force, as the books have it. A gateway that does not drive jobs sees no runs, and by itself would ask
//! people for what runs save; one that begins anew knows nothing of what is in force at all. Both do as the one who governs does.

use super::PowerPlane;
use madang_ledger::EnergyStand;
use madang_store::EnergyRow;
use madang_types::{Micros, PowerStand, SiteId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// Whoever governs writes where it stands every two seconds: one that has written nothing new for so long governs no more.
const SILENT_MS_MAX: u64 = 10_000;
/// At a start the books are waited for no longer than that.
const START_TIME_MAX: Duration = Duration::from_secs(3);

/// Where those stand who govern, by site.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<SiteId, KeptStand>);

#[derive(Debug)]
struct KeptStand {
    /// When whoever governs stood so, by its own clock.
    at: Micros,
    /// When that was read first, by this one's.
    read_at: Micros,
    power: PowerStand,
}

impl Kept {
    /// The books as they are now.
    fn read(&mut self, now: Micros, rows: Vec<EnergyRow>) {
        for EnergyRow { span, note, .. } in rows {
            let Some(EnergyStand { at, power, .. }) = note.stand else {
                continue;
            };
            if self.0.get(&span.site).is_none_or(|known| at > known.at) {
                let read_at = now;
                let stand = KeptStand { at, read_at, power };
                self.0.insert(span.site, stand);
            }
        }
    }

    /// Where whoever governs a site stands; `None` where nobody has told that for a while.
    fn of(&self, now: Micros, site: &SiteId) -> Option<&PowerStand> {
        let kept = self.0.get(site)?;
        (now < kept.read_at.plus_ms(SILENT_MS_MAX)).then_some(&kept.power)
    }
}

impl PowerPlane {
    /// Before anything is served: what was in force at the last stand in the books is in force.
    pub(super) async fn resume(&self, now: Micros) {
        let read = timeout(START_TIME_MAX, self.book.energy_list()).await;
        match read {
            Ok(Ok(rows)) => self.lock().kept.read(now, rows),
            Ok(Err(error)) => {
                tracing::warn!(%error, "what is in force against power that is short is not known before the first look")
            }
            Err(_) => tracing::warn!(
                "what is in force against power that is short is not known before the first look: the books do not answer"
            ),
        }
        let stands: Vec<(SiteId, Micros, PowerStand)> = {
            let kept = &self.lock().kept.0;
            let stands = kept.iter();
            stands
                .map(|(site, stand)| (site.clone(), stand.at, stand.power.clone()))
                .collect()
        };
        for (site, at, power) in stands {
            self.governors.go_on(now, (&site, at), power);
            self.tell_terms(&site, self.governors.request_terms(&site));
        }
    }

    /// Where those stand who govern, where another gateway does: where the books cannot be read, what is known of it ages.
    pub(super) async fn follow_kept(&self, now: Micros) {
        // That they cannot be is told with the events, which are in them too.
        if let Ok(rows) = self.book.energy_list().await {
            self.lock().kept.read(now, rows);
        }
    }

    /// What whoever governs a site in another gateway has in force.
    pub(super) fn kept(&self, now: Micros, site: &SiteId) -> Option<PowerStand> {
        let state = self.lock();
        let follows = !state.energies.measures();
        follows.then(|| state.kept.of(now, site).cloned())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_ledger::{EnergyNote, EnergySpan};
    use madang_types::{PowerAct, PowerActStand};

    fn site() -> SiteId {
        SiteId::new("a").unwrap()
    }

    /// What a gateway noted that stood so at that second.
    fn row(gateway: &str, at_s: i64, level_milli: u32) -> EnergyRow {
        let act = PowerActStand {
            act: PowerAct::Clock(level_milli),
            at: Micros(0),
            saves_watts: 100,
            bounds_watts: 0,
            takes_us: 0,
        };
        let power = PowerStand {
            acts: vec![act],
            ..PowerStand::default()
        };
        let stand = EnergyStand {
            at: Micros(at_s * 1_000_000),
            power,
            ..EnergyStand::default()
        };
        EnergyRow {
            span: EnergySpan {
                site: site(),
                from: Micros(0),
                until: Micros(60_000_000),
            },
            gateway: gateway.parse().unwrap(),
            note: EnergyNote {
                stand: Some(stand),
                ..EnergyNote::default()
            },
        }
    }

    #[test]
    fn the_newest_stand_counts_for_as_long_as_somebody_writes_new_ones() {
        let mut kept = Kept::default();
        let now = |second: i64| Micros(second * 1_000_000);
        let level = |kept: &Kept, second| match kept.of(now(second), &site())?.acts[..] {
            [
                PowerActStand {
                    act: PowerAct::Clock(level),
                    ..
                },
            ] => Some(level),
            _ => None,
        };
        assert_eq!(level(&kept, 0), None);
        // One that governed before has left its last note; clocks differ by minutes.
        kept.read(now(300), vec![row("b", 20, 900), row("c", 10, 800)]);
        assert_eq!(level(&kept, 309), Some(900));
        kept.read(now(302), vec![row("b", 22, 850), row("c", 10, 800)]);
        assert_eq!(level(&kept, 311), Some(850));
        // It writes nothing new: who follows governs for itself.
        kept.read(now(311), vec![row("b", 22, 850)]);
        assert_eq!(level(&kept, 312), None);
        kept.read(now(312), vec![row("c", 40, 700)]);
        assert_eq!(level(&kept, 312), Some(700));
    }

    #[test]
    fn a_gateway_that_has_noted_nothing_of_power_says_nothing() {
        let mut none = row("b", 5, 900);
        none.note.stand = None;
        let mut kept = Kept::default();
        kept.read(Micros(0), vec![none]);
        assert!(kept.of(Micros(0), &site()).is_none());
    }
}
