//! Orders of a grid: the gateway that governs asks each `[[vtn]]` again and again what it wants, and keeps that as power events.
//!
//! What the events come to and what of it is new is the core's to say ([`madang_core::power::orders`]). Where a server does not answer,
//! what it said last stands, as it is in the books.

mod vtn;
mod wire;

use super::{ChangeError, PowerPlane};
use madang_core::power::orders::{Order, OrderChange, changes};
use madang_fleet::{Fleet, Vtn};
use madang_gateway::client::EngineClient;
use madang_gateway::clock;
use madang_types::{KeyId, Micros, PowerEvent, SiteId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use vtn::{VtnClient, VtnError};
use wire::Understood;

/// Time between two looks at which servers are due.
const LOOK_TIME: Duration = Duration::from_millis(250);
/// Words on what is passed over that are shown of one server.
const PASSED_OVER_MAX: usize = 10;

/// How a grid's server stands, for people and for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VtnStatus {
    /// When it was asked last.
    pub asked_at: Option<Micros>,
    /// When it answered last, and all of that was understood or passed over knowingly.
    pub answered_at: Option<Micros>,
    /// Why it did not at the last try.
    pub error: Option<String>,
    /// What of its events limits nothing here, the first few.
    pub passed_over: Vec<String>,
}

impl VtnStatus {
    /// Whether it answered at the last try; `None` before there was one.
    pub fn answers(&self) -> Option<bool> {
        match (&self.error, self.answered_at) {
            (Some(_), _) => Some(false),
            (None, Some(_)) => Some(true),
            (None, None) => None,
        }
    }
}

/// Servers of a grid that are asked.
#[derive(Default)]
pub(super) struct Grid(Mutex<BTreeMap<String, Asked>>);

/// A server that is asked.
struct Asked {
    row: Vtn,
    status: VtnStatus,
    due_at: Micros,
    /// It is away from here while it is being asked.
    client: Option<Box<VtnClient>>,
}

impl Grid {
    /// Servers of a site, by name.
    pub(super) fn of(&self, site: &SiteId) -> BTreeMap<String, VtnStatus> {
        let asked = self.lock();
        let own = asked.values().filter(|one| one.row.site == site.as_str());
        own.map(|one| (one.row.id.clone(), one.status.clone()))
            .collect()
    }

    /// Servers that are due, with what asks them; those of the fleet file, as it is now.
    fn due(&self, now: Micros, fleet: &Fleet, client: &EngineClient) -> Vec<(Vtn, Box<VtnClient>)> {
        let mut asked = self.lock();
        asked.retain(|_, one| fleet.vtns.contains(&one.row));
        let mut due = Vec::new();
        for row in &fleet.vtns {
            let one = asked.entry(row.id.clone()).or_insert_with(|| Asked {
                row: row.clone(),
                status: VtnStatus::default(),
                due_at: now,
                client: Some(Box::new(VtnClient::new(row.clone(), client.clone()))),
            });
            if now < one.due_at {
                continue;
            }
            if let Some(client) = one.client.take() {
                one.due_at = now.plus_ms(row.poll_ms);
                one.status.asked_at = Some(now);
                due.push((row.clone(), client));
            }
        }
        due
    }

    fn is_followed(&self, row: &Vtn) -> bool {
        self.lock().get(&row.id).is_some_and(|one| one.row == *row)
    }

    /// Keeps how it went, and tells what is new of it.
    fn note(&self, row: &Vtn, client: Box<VtnClient>, went: Result<&[String], &str>) {
        let mut asked = self.lock();
        let Some(one) = asked.get_mut(&row.id).filter(|one| one.row == *row) else {
            return;
        };
        one.client = Some(client);
        let (vtn, site, status) = (&row.id, &row.site, &mut one.status);
        match went {
            Ok(passed_over) => {
                if status.error.take().is_some() || status.answered_at.is_none() {
                    tracing::info!(%site, vtn, "a grid's server answers");
                }
                let shown: Vec<String> =
                    passed_over.iter().take(PASSED_OVER_MAX).cloned().collect();
                for what in shown
                    .iter()
                    .filter(|what| !status.passed_over.contains(what))
                {
                    tracing::warn!(%site, vtn, what, "something of a grid's server limits nothing here");
                }
                status.passed_over = shown;
                status.answered_at = Some(clock::now());
            }
            Err(error) => {
                if status.error.as_deref() != Some(error) {
                    tracing::warn!(%site, vtn, error, "a grid's server is not followed; what it ordered before stands");
                }
                status.error = Some(error.to_owned());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks each server that is due, all at the same time. Where another gateway governs, that one asks.
pub(super) async fn ask(plane: Weak<PowerPlane>) {
    let mut asking = JoinSet::new();
    while let Some(plane) = plane.upgrade() {
        if plane.governs() {
            let fleet = Arc::clone(&plane.gateway.snapshot().fleet);
            let due = plane.grid.due(clock::now(), &fleet, &plane.gateway.client);
            for (row, mut client) in due {
                let plane = Arc::downgrade(&plane);
                asking.spawn(async move {
                    let said = orders(&row, &mut client).await;
                    if let Some(plane) = plane.upgrade() {
                        plane.told(&row, client, said).await;
                    }
                });
            }
        }
        // Whoever rests does not keep it.
        drop(plane);
        while asking.try_join_next().is_some() {}
        sleep(LOOK_TIME).await;
    }
}

async fn orders(row: &Vtn, client: &mut VtnClient) -> Result<Understood, VtnError> {
    let programs = client.programs().await?;
    let events = client.events().await?;
    Ok(wire::understand(row, programs.as_ref(), &events))
}

impl PowerPlane {
    /// This gateway sees all that draws, and so asks what grids want.
    fn governs(&self) -> bool {
        self.lock().energies.measures()
    }

    /// What a server said. One that has left the fleet file meanwhile is not followed.
    async fn told(&self, row: &Vtn, client: Box<VtnClient>, said: Result<Understood, VtnError>) {
        let understood = match said {
            Ok(understood) if self.grid.is_followed(row) => understood,
            Ok(_) => return,
            Err(VtnError(why)) => return self.grid.note(row, client, Err(&why)),
        };
        let went = match self.follow_orders(row, &understood).await {
            Ok(()) => Ok(understood.passed_over.as_slice()),
            Err(error) => Err(format!("its orders are not kept: {error}")),
        };
        self.grid
            .note(row, client, went.as_deref().map_err(String::as_str));
    }

    /// Makes the books' events of a server what it wants.
    async fn follow_orders(&self, row: &Vtn, understood: &Understood) -> Result<(), ChangeError> {
        let now = clock::now();
        let (Ok(site), Ok(set_by)) = (SiteId::new(&row.site), KeyId::new(&row.id)) else {
            // The check of the fleet file has seen to both.
            return Ok(());
        };
        let kept = self.book().power_list(now).await?;
        for change in changes((&row.id, &site), &understood.orders, &kept, now) {
            match change {
                OrderChange::Put(order) => {
                    let event = event_of((&site, &set_by), order, now);
                    self.event_put(event).await?;
                }
                OrderChange::End(id) => {
                    if let Some(event) = kept.iter().find(|event| event.id == id) {
                        self.event_end(event, &set_by, now).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn event_of((site, set_by): (&SiteId, &KeyId), order: Order, now: Micros) -> PowerEvent {
    PowerEvent {
        id: 0,
        site: site.clone(),
        kind: order.kind,
        from: order.from,
        until: order.until,
        reason: order.reason,
        set_by: set_by.clone(),
        set_at: now,
        order: Some(format!("{set_by}/{}", order.name)),
    }
}
