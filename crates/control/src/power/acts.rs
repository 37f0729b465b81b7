//! What a governor orders is done, again where it was in vain: each order is the whole of what is wanted.

use super::{BendingRun, PowerPlane};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use madang_core::power::caps::Cap;
use madang_core::power::governor::{Load, LoadId, Orders, PauseHow, PowerTerms};
use madang_executor::jobs::JobsError;
use madang_fleet::Fleet;
use madang_gateway::clock;
use madang_types::{Micros, PowerEvent, ReplicaId, RunId, SiteId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// A limit is told again after so long: an engine that began anew has none.
const AGAIN_MS: u64 = 30_000;
/// The time of one such word, and the bytes of its answer.
const LIMIT_TIME_MAX: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What was done, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Applied {
    terms: BTreeMap<SiteId, PowerTerms>,
    /// Limits of engines in watts, and when they were told.
    limits: BTreeMap<ReplicaId, (Option<u64>, Micros)>,
    /// Engines that did not take the last one.
    unlimited: BTreeSet<ReplicaId>,
    /// Runs that stand still; before the first look nobody knows which do.
    frozen: BTreeSet<RunId>,
    /// Runs that cannot be made to.
    cannot: BTreeSet<RunId>,
    known: BTreeSet<RunId>,
    stopped: BTreeSet<RunId>,
}

impl Applied {
    /// These stand still, as whoever governed before left them; they are told again all the same.
    pub(super) fn stand_still(&mut self, runs: impl Iterator<Item = RunId>) {
        self.frozen.extend(runs);
    }
}

/// Terms that are narrower than ever, and until when.
fn ending(terms: PowerTerms, until: Option<Micros>) -> PowerTerms {
    match terms == PowerTerms::default() {
        true => terms,
        false => PowerTerms { until, ..terms },
    }
}

fn until_of(cap: Option<&Cap>, events: &[PowerEvent]) -> Option<Micros> {
    let id = cap?.event?;
    events.iter().find(|event| event.id == id)?.until
}

impl PowerPlane {
    /// Runs that stand still, and those that cannot.
    pub(super) fn frozen(&self) -> (BTreeSet<RunId>, BTreeSet<RunId>) {
        let state = self.lock();
        (state.applied.frozen.clone(), state.applied.cannot.clone())
    }

    /// Does what the governor of a site orders.
    pub(super) async fn act(&self, fleet: &Fleet, site: &SiteId, runs: &[BendingRun]) {
        let Some((orders, loads)) = self.ordered(site) else {
            return;
        };
        let terms = ending(orders.terms, self.short_until(site));
        self.tell_terms(site, terms);
        self.limit_engines(fleet, (&orders, &loads)).await;
        // All at once: an executor that does not answer keeps no other waiting.
        let stands = runs.iter().map(async |run| {
            let pause = loads.iter().find(|load| load.id.run() == Some(run.run));
            let how = pause.and_then(Load::pause).map(|pause| pause.how);
            let wanted = orders.paused.contains(&run.run);
            if !run.is_reached {
                let stands = wanted || orders.slowed.contains(&run.run);
                return self.stands_elsewhere(run.run, stands);
            }
            match how {
                _ if orders.slowed.contains(&run.run) => self.freeze(run.run, true).await,
                Some(PauseHow::Checkpoint { .. }) if wanted => self.stop_run(run.run),
                Some(PauseHow::Freeze { .. }) => self.freeze(run.run, wanted).await,
                _ => self.freeze(run.run, false).await,
            }
        });
        join_all(stands).await;
    }

    fn ordered(&self, site: &SiteId) -> Option<(Orders, Vec<Load>)> {
        let state = self.lock();
        let power = state.sites.get(site)?;
        Some((power.orders.clone(), power.scene_loads.clone()))
    }

    /// When the event ends whose cap holds, where one's does and says so.
    fn short_until(&self, site: &SiteId) -> Option<Micros> {
        let state = self.lock();
        until_of(state.sites.get(site)?.cap.as_ref(), &state.events)
    }

    pub(super) fn tell_terms(&self, site: &SiteId, terms: PowerTerms) {
        let before = self.lock().applied.terms.insert(site.clone(), terms);
        if before.unwrap_or_default() != terms {
            self.gateway.power_set(site.clone(), terms);
        }
    }

    fn stop_run(&self, run: RunId) {
        // A run that was told so is not told again.
        if self.lock().applied.stopped.insert(run) {
            self.jobs.power_short(run);
        }
    }

    /// A run on another gateway's machine, which has it go on once it sees that nothing is in its way: from then on it may draw.
    fn stands_elsewhere(&self, run: RunId, still: bool) {
        if !still {
            self.lock().applied.frozen.remove(&run);
        }
    }

    pub(super) async fn freeze(&self, run: RunId, still: bool) {
        {
            let state = self.lock();
            let applied = &state.applied;
            let is_so = applied.frozen.contains(&run) == still && applied.known.contains(&run);
            if is_so || (still && applied.cannot.contains(&run)) {
                return;
            }
        }
        let frozen = self.jobs.freeze(run, still).await;
        let mut state = self.lock();
        let applied = &mut state.applied;
        match frozen {
            Ok(()) => {
                applied.known.insert(run);
                match still {
                    true => applied.frozen.insert(run),
                    false => applied.frozen.remove(&run),
                };
            }
            Err(JobsError::Unsupported(why)) => {
                tracing::warn!(%run, why, "a run cannot stand still");
                applied.known.insert(run);
                applied.cannot.insert(run);
            }
            // It is told again at the next look.
            Err(JobsError::Absent(_)) => {}
            Err(error) => tracing::warn!(%run, %error, "a run does not stand as it should yet"),
        }
    }

    /// Runs that are over are forgotten.
    pub(super) fn forget_runs(&self, live: &BTreeSet<RunId>) {
        let mut state = self.lock();
        let applied = &mut state.applied;
        for runs in [
            &mut applied.frozen,
            &mut applied.cannot,
            &mut applied.known,
            &mut applied.stopped,
        ] {
            runs.retain(|run| live.contains(run));
        }
    }

    /// Tells engines their limits, all at once: one that does not answer keeps no other waiting.
    async fn limit_engines(&self, fleet: &Fleet, (orders, loads): (&Orders, &[Load])) {
        let limit_path = |id| {
            let power = fleet.replicas.get(id)?.power.as_ref()?;
            power.limit_path.as_deref()
        };
        let engines = loads.iter().filter_map(|load| match &load.id {
            LoadId::Replica(id) => {
                let wanted = load.limit_watts(orders.level_milli);
                Some(self.limit_engine(id, limit_path(id)?, wanted))
            }
            LoadId::Run(_) | LoadId::Rest => None,
        });
        join_all(engines).await;
    }

    async fn limit_engine(&self, id: &ReplicaId, path: &str, wanted: Option<u64>) {
        let now = clock::now();
        let is_told = |(told, at): &(Option<u64>, Micros)| {
            *told == wanted && (wanted.is_none() || now < at.plus_ms(AGAIN_MS))
        };
        if self.lock().applied.limits.get(id).is_some_and(is_told) {
            return;
        }
        let told = timeout(LIMIT_TIME_MAX, self.limit(id, path, wanted)).await;
        let told = told.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let mut state = self.lock();
        let applied = &mut state.applied;
        match told {
            Ok(()) => {
                applied.limits.insert(id.clone(), (wanted, now));
                applied.unlimited.remove(id);
            }
            Err(why) => {
                // Told when it begins, not at each look.
                if applied.unlimited.insert(id.clone()) {
                    tracing::warn!(replica = %id, why, "an engine is not limited as it should be yet");
                }
            }
        }
    }

    async fn limit(&self, id: &ReplicaId, path: &str, watts: Option<u64>) -> Result<(), String> {
        let address = self.gateway.address(id).ok_or("it is not there")?;
        let body = serde_json::json!({ "limit_watts": watts }).to_string();
        let mut request = Request::new(vec![Bytes::from(body)]);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().map_err(|_| "its path is none".to_owned())?;
        let snapshot = self.gateway.snapshot();
        let target = snapshot.targets.get(id);
        if let Some((name, key)) = target.and_then(|target| target.credential.clone()) {
            request.headers_mut().insert(name, key);
        }
        let answer = self.gateway.client.request(&address, request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        drop(body);
        if status.is_success() {
            return Ok(());
        }
        Err(format!("{path} answers {}", status.as_u16()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{PowerEventKind, Priority};

    #[test]
    fn requests_are_told_until_when_the_event_lasts_whose_cap_holds() {
        let event = |id, until: Option<i64>| PowerEvent {
            id,
            site: SiteId::new("pohang").unwrap(),
            kind: PowerEventKind::Cap { watts: 500 },
            from: Micros(0),
            until: until.map(Micros),
            reason: String::new(),
            set_by: "op".parse().unwrap(),
            set_at: Micros(0),
            order: None,
        };
        let events = [event(1, Some(70)), event(2, None), event(3, Some(90))];
        let cap = |event| Cap { watts: 500, event };
        for (cap, expected) in [
            (None, None),
            (Some(cap(None)), None),
            (Some(cap(Some(1))), Some(Micros(70))),
            (Some(cap(Some(2))), None),
            (Some(cap(Some(3))), Some(Micros(90))),
            (Some(cap(Some(4))), None),
        ] {
            assert_eq!(until_of(cap.as_ref(), &events), expected, "{cap:?}");
        }
        let whole = PowerTerms::default();
        assert_eq!(ending(whole, Some(Micros(70))), whole);
        let shed = PowerTerms {
            shed: Some(Priority::Batch),
            ..whole
        };
        assert_eq!(ending(shed, Some(Micros(70))).until, Some(Micros(70)));
    }
}
