//! The engines of an experiment or a scenario, and the fleet as the core sees it.

use crate::engine::Profile;
use madang_core::{
    CoreLimits, CreditRow, CreditTerms, FleetView, PoolMember, ReplicaHealth, Rules, Shares,
};
use madang_types::{Country, Endpoint, ModelId, NameError, Place, Policy, ReplicaId, SiteId};
use std::collections::BTreeSet;

/// One engine of a fleet.
#[derive(Clone, Debug)]
pub struct FleetEngine {
    /// What it can do.
    pub profile: Profile,
    /// Where it stands.
    pub site: SiteId,
    /// Where its bytes go, for the policy.
    pub place: Place,
}

/// Engines that serve one model.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The model.
    pub model: ModelId,
    /// Each engine.
    pub engines: Vec<FleetEngine>,
    /// What may go where.
    pub policy: Policy,
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

    /// `count` engines of one kind under those rules, at one site.
    ///
    /// # Errors
    /// None: the names are names.
    pub fn new(profile: &Profile, count: usize, rules: Rules) -> Result<Self, NameError> {
        Self::at_home(vec![profile.clone(); count], rules)
    }

    /// These engines under those rules, at one site.
    ///
    /// # Errors
    /// None: the names are names.
    pub fn at_home(profiles: Vec<Profile>, rules: Rules) -> Result<Self, NameError> {
        let site = SiteId::new("site")?;
        let engines = profiles.into_iter().map(|profile| FleetEngine {
            profile,
            site: site.clone(),
            place: home().map(Place::own).unwrap_or_default(),
        });
        Ok(Self::of(ModelId::new("model")?, engines.collect(), rules))
    }

    /// These engines under those rules. Whoever asks weighs 1 and has nothing beside its share.
    pub fn of(model: ModelId, engines: Vec<FleetEngine>, rules: Rules) -> Self {
        Self {
            model,
            engines,
            policy: home().map(Policy::of_home).unwrap_or_default(),
            limits: Self::default_limits(),
            rules,
            shares: Shares::default(),
            credit: CreditTerms::default(),
            credits: Vec::new(),
        }
    }

    /// As the core sees it.
    ///
    /// # Errors
    /// None: all names are names.
    pub fn view(&self) -> Result<FleetView, NameError> {
        let mut members = Vec::new();
        for (index, engine) in (0..).zip(&self.engines) {
            members.push(self.member(index, engine)?);
        }
        Ok(FleetView {
            members,
            origins: BTreeSet::new(),
            limits: self.limits.clone(),
            rules: self.rules,
            credit: self.credit,
            policy: self.policy.clone(),
            virtuals: Vec::new(),
        })
    }

    fn member(&self, index: usize, engine: &FleetEngine) -> Result<PoolMember, NameError> {
        let profile = &engine.profile;
        Ok(PoolMember {
            replica: ReplicaId::new(&format!("engine-{index}"))?,
            site: engine.site.clone(),
            model: self.model.clone(),
            adapters: Vec::new(),
            endpoints: vec![Endpoint::Chat],
            slots: profile.slots,
            kv_tokens: Some(profile.kv_tokens),
            host_tokens: profile.tier_tokens(),
            costs: profile.costs,
            place: engine.place.clone(),
            health: ReplicaHealth::Up,
            held_back: false,
        })
    }
}

/// The country of experiments.
pub(crate) fn home() -> Option<Country> {
    "KR".parse().ok()
}
