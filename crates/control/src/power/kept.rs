//! What whoever governs a site has in force, as the books have it. A gateway that does not drive jobs sees no runs, and by itself would ask
//! people for what runs save; one that begins anew knows nothing of what is in force at all. Both do as the one who governs does.

use super::PowerPlane;
use madang_core::power::governor::{FREEZES_US, LoadId};
use madang_fleet::Fleet;
use madang_ledger::EnergyStand;
use madang_store::EnergyRow;
use madang_types::{Micros, PowerStand, RunId, SiteId};
use std::collections::{BTreeMap, BTreeSet};
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
    machines: Machines,
}

/// What machines that take jobs draw, with what runs there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machines {
    /// What whoever governs saw, in watts.
    pub watts: u64,
    /// What of it those drew whom he had stand still thereupon, in watts at the site's meter.
    pub stood_watts: u64,
}

impl Kept {
    /// The books as they are now.
    fn read(&mut self, now: Micros, rows: Vec<EnergyRow>) {
        for EnergyRow { span, note, .. } in rows {
            let Some(stand) = note.stand else {
                continue;
            };
            let machines = Machines::of(&stand);
            let EnergyStand { at, power, .. } = stand;
            if self.0.get(&span.site).is_none_or(|known| at > known.at) {
                let read_at = now;
                let stand = KeptStand {
                    at,
                    read_at,
                    power,
                    machines,
                };
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

impl Machines {
    fn of(stand: &EnergyStand) -> Self {
        let rest = LoadId::Rest.to_string();
        let loads = stand.loads.iter();
        let of_machines = loads.filter(|(name, _)| **name == rest || name.starts_with("run:"));
        // They were told before the stand was written down.
        let acts = stand.power.acts.iter();
        let stood = acts.filter(|act| act.at >= stand.at && act.takes_us <= FREEZES_US);
        let stood = stood.filter(|act| act.act.run().is_some());
        Self {
            watts: of_machines.map(|(_, watts)| watts).sum(),
            stood_watts: stood.map(|act| act.saves_watts).sum(),
        }
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

    /// What machines that take jobs drew at a site when whoever governs it, or did so last, looked: who does not drive sees no runs, and
    /// would take it that these machines are idle.
    pub(super) fn machines(&self, site: &SiteId) -> Option<Machines> {
        let state = self.lock();
        let kept = state.kept.0.get(site);
        let kept = kept.filter(|_| !state.energies.measures());
        Some(kept?.machines)
    }

    /// Runs on this gateway's own machine stand as whoever governs has it, where another gateway does: that one cannot tell them. Gives
    /// these runs.
    pub(super) async fn follow_own(&self, now: Micros, fleet: &Fleet) -> BTreeSet<RunId> {
        let known = self.lock().own_runs.clone();
        let own = match known {
            Some(own) => own,
            None => match self.jobs.own_runs().await {
                Ok(own) => own.into_iter().collect(),
                Err(error) => {
                    tracing::warn!(%error, "how runs on this machine are to stand is not looked after yet");
                    return BTreeSet::new();
                }
            },
        };
        // None begins here before this gateway drives again.
        self.lock().own_runs = Some(own.clone());
        let sites = self.jobs.own_sites(fleet);
        let stands = sites.iter().map(|site| self.kept(now, site));
        // Where nobody governs they stand as they do.
        let Some(stands) = stands.collect::<Option<Vec<PowerStand>>>() else {
            return own;
        };
        let acts = stands.iter().flat_map(|stand| &stand.acts);
        let still: BTreeSet<RunId> = acts.filter_map(|stand| stand.act.run()).collect();
        for run in &own {
            self.freeze(*run, still.contains(run)).await;
        }
        own
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

    /// Two runs draw 150 W each, and what nobody uses 20: what is thought to be saved by whom is drawn until it stands.
    #[test]
    fn what_machines_draw_is_known_to_who_sees_no_runs_without_those_that_were_told_to_stand_then()
    {
        let run = |number: u64| format!("{number}-1").parse().unwrap();
        let act = |act, at, takes_us| PowerActStand {
            act,
            at: Micros(at),
            saves_watts: 140,
            bounds_watts: 0,
            takes_us,
        };
        let check = |acts: Vec<PowerActStand>, stood_watts| {
            let stand = EnergyStand {
                at: Micros(5),
                loads: [
                    ("replica:e", 400),
                    ("rest", 20),
                    ("run:1-1", 150),
                    ("run:2-1", 150),
                ]
                .map(|(name, watts)| (name.to_owned(), watts))
                .into(),
                power: PowerStand {
                    acts,
                    ..PowerStand::default()
                },
                ..EnergyStand::default()
            };
            let machines = Machines::of(&stand);
            assert_eq!((machines.watts, machines.stood_watts), (320, stood_watts));
        };
        check(Vec::new(), 0);
        check(vec![act(PowerAct::Pause(run(1)), 5, FREEZES_US)], 140);
        check(vec![act(PowerAct::Slow(run(1)), 5, FREEZES_US)], 140);
        // It stood before that look, it writes its checkpoint first, and it is an engine's.
        check(vec![act(PowerAct::Pause(run(1)), 4, FREEZES_US)], 0);
        check(vec![act(PowerAct::Pause(run(1)), 5, FREEZES_US + 1)], 0);
        check(vec![act(PowerAct::Clock(900), 5, 0)], 0);
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
