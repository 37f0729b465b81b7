//! A second reading of what the core says: who waits and who runs.

use madang_core::{AttemptEnd, Effect, Input, Via, VirtualCandidate};
use madang_types::{DataClass, ModelId, ReplicaId, RequestId, TenantId, Zone};
use std::collections::{BTreeMap, BTreeSet};

/// What each request was told: the attempts that run; none where it waits.
#[derive(Default)]
pub struct Ledger {
    pub requests: BTreeMap<RequestId, Told>,
    own: BTreeSet<ReplicaId>,
    /// Tenants whose programme lets nothing go abroad.
    at_home: BTreeSet<TenantId>,
    virtuals: BTreeMap<ModelId, Vec<VirtualCandidate>>,
}

pub struct Told {
    open: bool,
    tenant: TenantId,
    maskable: bool,
    asked: ModelId,
    /// Where its name leads, if it leads to several.
    leads_to: Option<Vec<VirtualCandidate>>,
    waits: bool,
    attempts: u32,
    running: BTreeSet<u32>,
}

impl Ledger {
    pub fn step(&mut self, input: &Input, effects: &[Effect]) {
        self.input(input);
        for effect in effects {
            self.effect(effect);
        }
        for (id, told) in &self.requests {
            assert_eq!(
                told.waits,
                told.running.is_empty(),
                "{id} is forgotten, or does both"
            );
        }
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::FleetApply(view) => {
                let own = view.members.iter().filter(|member| member.place.own);
                self.own = own.map(|member| member.replica.clone()).collect();
                let names = view.virtuals.iter().cloned();
                self.virtuals = names.map(|name| (name.id, name.candidates)).collect();
            }
            Input::SharesApply(shares) => {
                let floors: BTreeMap<_, _> = shares.floors.iter().cloned().collect();
                let programmes = shares.tenants.iter();
                let programmes: BTreeMap<_, _> = programmes
                    .map(|share| (&share.tenant, &share.programme))
                    .collect();
                let bound = programmes.into_iter().filter(|(_, programme)| {
                    let floor = programme.as_ref().and_then(|id| floors.get(id));
                    floor.is_some_and(|floor| *floor < Zone::Foreign)
                });
                self.at_home = bound.map(|(tenant, _)| tenant.clone()).collect();
            }
            Input::RequestSubmit(submit) => {
                let leads_to = self.virtuals.get(&submit.model).cloned();
                self.requests.entry(submit.request).or_insert(Told {
                    open: submit.data_class == DataClass::Open,
                    tenant: submit.payer.tenant.clone(),
                    maskable: submit.maskable,
                    asked: submit.model.clone(),
                    leads_to,
                    waits: false,
                    attempts: 0,
                    running: BTreeSet::new(),
                });
            }
            Input::RequestCancel { request } => {
                self.requests.remove(request);
            }
            Input::AttemptEnd {
                request,
                attempt,
                end,
                ..
            } => {
                if let Some(told) = self.requests.get_mut(request) {
                    let known = told.running.remove(attempt);
                    // Whatever else ends, ends the request; its other attempt may still be called off.
                    let ends = *end != AttemptEnd::FailedRetryable;
                    if ends && (!known || told.running.is_empty()) {
                        self.requests.remove(request);
                    } else if ends {
                        told.attempts = u32::MAX;
                    }
                }
            }
            _ => {}
        }
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Start {
                request,
                attempt,
                replica,
                model,
                masked,
                decision,
                ..
            } => {
                let told = self
                    .requests
                    .get_mut(request)
                    .expect("what starts was submitted");
                told.check_model(model, decision.via.as_ref());
                assert!(*attempt == told.attempts + 1, "{request} #{attempt}");
                let free = told.open && !self.at_home.contains(&told.tenant);
                assert!(
                    free || self.own.contains(replica),
                    "{request} left our own ground"
                );
                assert!(told.maskable || !masked, "{request} cannot be masked");
                told.attempts = *attempt;
                told.waits = false;
                told.running.insert(*attempt);
            }
            Effect::CallOff { request, attempt } => {
                let told = self
                    .requests
                    .get_mut(request)
                    .expect("what is called off runs");
                assert!(told.running.remove(attempt), "{request} #{attempt}");
                if told.attempts == u32::MAX {
                    self.requests.remove(request);
                }
            }
            Effect::Queued { request, .. } => {
                let told = self
                    .requests
                    .get_mut(request)
                    .expect("what waits was submitted");
                assert!(told.running.is_empty(), "{request} waits and runs");
                told.waits = true;
            }
            Effect::Refuse { request, .. } => {
                let told = self
                    .requests
                    .remove(request)
                    .expect("what is refused was there");
                assert!(told.running.is_empty(), "{request} is refused and runs");
            }
            Effect::Cut {
                request, attempt, ..
            } => {
                let told = self.requests.remove(request).expect("what is cut runs");
                assert!(told.running.contains(attempt), "{request} #{attempt}");
            }
            Effect::Drained { .. } => {}
        }
    }
}

impl Told {
    /// It is served by what it asked for, by what its name leads to, or by a substitute of what it asked for.
    fn check_model(&self, model: &ModelId, via: Option<&Via>) {
        let leads_to = self.leads_to.as_ref();
        let fits = match via {
            None => leads_to.is_none() && self.asked == *model,
            Some(Via::Virtual(asked)) => {
                self.asked == *asked
                    && leads_to.is_some_and(|to| to.iter().any(|to| to.model == *model))
            }
            Some(Via::Reroute(asked)) => leads_to.is_none() && self.asked == *asked,
        };
        assert!(fits, "{} is served by {model}, {via:?}", self.asked);
    }
}
