//! The engines of an experiment, and the fleet as the core sees it.

use crate::engine::Profile;
use madang_core::{
    CoreLimits, CreditRow, CreditTerms, FleetView, PoolMember, ReplicaHealth, Rules, Shares,
};
use madang_types::{Country, Endpoint, ModelId, NameError, Place, Policy, ReplicaId, SiteId};
use std::collections::BTreeSet;

/// Engines that serve one model at one site.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// One for each engine.
    pub profiles: Vec<Profile>,
    /// The core's bounds.
    pub limits: CoreLimits,
    /// The core's rules.
    pub rules: Rules,
    /// Weights of those who ask.
    pub shares: Shares,
    /// How credit lives.
    pub credit: CreditTerms,
    /// What they have beside their shares at the start.
    pub credits: Vec<CreditRow>,
}

impl Fleet {
    /// The bounds of the live gateway's defaults, but for the length of the queue.
    pub fn default_limits() -> CoreLimits {
        CoreLimits {
            queue_length_max: 4_096,
            attempts_max: 2,
            retry_percent_max: 20,
            hedge_percent_max: 2,
            tpot_ms_target: 100,
            ttft_ms_max: 0,
        }
    }

    /// `count` engines of one kind under those rules.
    pub fn new(profile: &Profile, count: usize, rules: Rules) -> Self {
        Self::of(vec![profile.clone(); count], rules)
    }

    /// These engines under those rules. Whoever asks weighs 1 and has nothing beside its share.
    pub fn of(profiles: Vec<Profile>, rules: Rules) -> Self {
        Self {
            profiles,
            limits: Self::default_limits(),
            rules,
            shares: Shares::default(),
            credit: CreditTerms::default(),
            credits: Vec::new(),
        }
    }

    /// The model that they serve.
    ///
    /// # Errors
    /// None: the name is a name.
    pub fn model() -> Result<ModelId, NameError> {
        ModelId::new("model")
    }

    /// As the core sees it.
    ///
    /// # Errors
    /// None: all names are names.
    pub fn view(&self) -> Result<FleetView, NameError> {
        let mut members = Vec::new();
        for (index, profile) in (0..).zip(&self.profiles) {
            members.push(member(index, profile)?);
        }
        Ok(FleetView {
            members,
            origins: BTreeSet::new(),
            limits: self.limits.clone(),
            rules: self.rules,
            credit: self.credit,
            policy: home().map(Policy::of_home).unwrap_or_default(),
            virtuals: Vec::new(),
        })
    }
}

fn home() -> Option<Country> {
    "KR".parse().ok()
}

fn member(index: usize, profile: &Profile) -> Result<PoolMember, NameError> {
    Ok(PoolMember {
        replica: ReplicaId::new(&format!("engine-{index}"))?,
        site: SiteId::new("site")?,
        model: Fleet::model()?,
        adapters: Vec::new(),
        endpoints: vec![Endpoint::Chat],
        slots: profile.slots,
        kv_tokens: Some(profile.kv_tokens),
        host_tokens: profile.host_tokens,
        costs: profile.costs,
        place: home().map(Place::own).unwrap_or_default(),
        health: ReplicaHealth::Up,
        held_back: false,
    })
}
