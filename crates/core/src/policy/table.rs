//! The compiled policy. A decision is two indices into it.

use super::decision::{Denial, PolicyDecision};
use super::error::PolicyError;
use super::ground::zone_of;
use madang_types::{
    Country, DataClass, DataFlags, Micros, ModelId, Place, PolicyEffect, PolicyHash, ProgrammeId,
    RuleId, SiteId, StopScope, TenantId, Zone,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Greatest number of pairs of a subject and a place.
pub(super) const PAIRS_MAX: usize = 1 << 20;
/// Combinations of class and flags.
pub(super) const CONTENTS: usize = 3 * DataFlags::SETS as usize;

/// Who asks for what: the index of a tenant, its programme and a model as far as rules tell them apart, and the least ground of the
/// programme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    at: u32,
    floor: Option<Zone>,
}

/// A place of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceIndex(pub(super) u32);

impl PlaceIndex {
    /// In no table.
    pub const NOWHERE: Self = Self(u32::MAX);
}

/// A subject by its names; `None` stands for whoever no rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whom<'w> {
    /// The tenant.
    pub tenant: Option<&'w TenantId>,
    /// Its programme.
    pub programme: Option<&'w ProgrammeId>,
    /// The model asked for.
    pub model: Option<&'w ModelId>,
}

/// One place of a table.
#[derive(Clone, Debug)]
pub(super) struct PlaceRow {
    pub id: SiteId,
    pub place: Place,
    pub zone: Zone,
    /// The refusal of the stop switch that is set for it.
    pub stopped: Option<Box<PolicyDecision>>,
}

/// The names that rules tell apart, each with its index from 1; 0 is everybody else.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub tenants: BTreeMap<TenantId, u32>,
    pub programmes: BTreeMap<ProgrammeId, u32>,
    pub models: BTreeMap<ModelId, u32>,
}

impl Names {
    /// Every subject that they tell apart, in the order of indices.
    pub fn everybody(&self) -> impl Iterator<Item = Whom<'_>> {
        let Self {
            tenants,
            programmes,
            models,
        } = self;
        let tenants = std::iter::once(None).chain(tenants.keys().map(Some));
        tenants.flat_map(move |tenant| {
            let programmes = std::iter::once(None).chain(programmes.keys().map(Some));
            programmes.flat_map(move |programme| {
                let models = std::iter::once(None).chain(models.keys().map(Some));
                models.map(move |model| Whom {
                    tenant,
                    programme,
                    model,
                })
            })
        })
    }

    /// The names of both.
    pub fn union(&self, other: &Self) -> Self {
        Self {
            tenants: numbered(self.tenants.keys().chain(other.tenants.keys())),
            programmes: numbered(self.programmes.keys().chain(other.programmes.keys())),
            models: numbered(self.models.keys().chain(other.models.keys())),
        }
    }

    /// How many pairs of a subject and one of `places` there are.
    ///
    /// # Errors
    /// More than [`PAIRS_MAX`].
    pub fn pairs(&self, places: usize) -> Result<usize, PolicyError> {
        let sizes = [
            ("tenants", self.tenants.len() + 1),
            ("programmes", self.programmes.len() + 1),
            ("models", self.models.len() + 1),
            ("places", places),
        ];
        let pairs = sizes
            .iter()
            .fold(1_usize, |product, (_, size)| product.saturating_mul(*size));
        let most = sizes.into_iter().max_by_key(|(_, size)| *size);
        match most.filter(|_| pairs > PAIRS_MAX) {
            None => Ok(pairs),
            Some((dimension, count)) => Err(PolicyError::TooLarge {
                dimension,
                count,
                combinations: pairs.saturating_mul(CONTENTS),
            }),
        }
    }
}

pub(super) fn numbered<'n, T: Ord + Clone + 'n>(
    names: impl Iterator<Item = &'n T>,
) -> BTreeMap<T, u32> {
    let names: BTreeSet<&T> = names.collect();
    names.into_iter().cloned().zip(1..).collect()
}

/// A compiled policy over its places.
#[derive(Clone)]
pub struct PolicyTable {
    pub(super) hash: PolicyHash,
    pub(super) home: Option<Country>,
    pub(super) names: Names,
    pub(super) places: Vec<PlaceRow>,
    /// Of each subject and place: its row of decisions.
    pub(super) rows: Vec<u32>,
    /// Rows of [`CONTENTS`] indices of decisions.
    pub(super) entries: Vec<u32>,
    pub(super) decisions: Vec<PolicyDecision>,
    /// Of each decision: what it is for data that cannot be masked, where that differs.
    pub(super) unmaskable: Vec<Option<PolicyDecision>>,
    /// What is in no table is denied.
    pub(super) nothing: PolicyDecision,
    /// Ground below which the data of a programme's tenants is not served, whatever the rules permit; and how that is refused, zone by
    /// zone.
    pub(super) floors: BTreeMap<ProgrammeId, Zone>,
    pub(super) below: [PolicyDecision; 4],
    /// The latest expiry of a basis that it counts as expired; before that instant it was another table.
    pub(super) since: Micros,
    /// From then on another basis has expired, and the table is old.
    pub(super) expires_at: Micros,
}

impl Default for PolicyTable {
    /// The table of no policy: it denies everything.
    fn default() -> Self {
        Self {
            hash: PolicyHash::default(),
            home: None,
            names: Names::default(),
            places: Vec::new(),
            rows: Vec::new(),
            entries: Vec::new(),
            decisions: Vec::new(),
            unmaskable: Vec::new(),
            nothing: PolicyDecision::refusal(
                "no-policy",
                "No policy is in force.",
                "시행 중인 정책이 없습니다.",
            ),
            floors: BTreeMap::new(),
            below: Zone::ALL.map(below),
            since: Micros(i64::MIN),
            expires_at: Micros(i64::MAX),
        }
    }
}

/// The refusal of ground that is below a programme's floor.
fn below(floor: Zone) -> PolicyDecision {
    PolicyDecision::refusal(
        &format!("residency-floor:{floor}"),
        "The caller's programme has its data served on no ground below its residency floor.",
        "이 사업의 데이터는 정해진 등급 이상의 시설에서만 처리합니다.",
    )
}

impl fmt::Debug for PolicyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyTable")
            .field("hash", &self.hash)
            .field("places", &self.places.len())
            .field("combinations", &self.combinations())
            .field("decisions", &self.decisions.len())
            .finish_non_exhaustive()
    }
}

/// The rule that a refusal by a stop switch names: with the place's name, where a rule's has room for it.
fn stop_rule(stop: &StopScope) -> String {
    let named = format!("stop:{stop}");
    match RuleId::new(&named) {
        Ok(_) => named,
        Err(_) => format!("stop:{}", stop.kind()),
    }
}

pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What data is to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its class.
    pub class: DataClass,
    /// What else it is.
    pub flags: DataFlags,
    /// Placeholders can stand for all personal data in it. Where policy has data masked, one that is not is denied.
    pub maskable: bool,
}

impl From<(DataClass, DataFlags)> for Content {
    fn from((class, flags): (DataClass, DataFlags)) -> Self {
        Self {
            class,
            flags,
            maskable: true,
        }
    }
}

impl Content {
    /// Where its class and flags stand in a row.
    fn at(self) -> usize {
        self.class as usize * usize::from(DataFlags::SETS) + usize::from(self.flags.bits())
    }
}

/// The class and flags at a place of a row.
pub(super) fn content_at(at: usize) -> (DataClass, DataFlags) {
    let sets = usize::from(DataFlags::SETS);
    let class = match at / sets {
        0 => DataClass::Open,
        1 => DataClass::Sensitive,
        _ => DataClass::Classified,
    };
    let bits = u8::try_from(at % sets).unwrap_or(u8::MAX);
    (class, DataFlags::from_bits(bits))
}

impl PolicyTable {
    /// What the policy says of sending such data there for them. Called for every attempt.
    pub fn decide(
        &self,
        subject: Subject,
        content: impl Into<Content>,
        place: PlaceIndex,
    ) -> &PolicyDecision {
        let Some(row) = self.places.get(index(place.0)) else {
            return &self.nothing;
        };
        if let Some(stopped) = &row.stopped {
            return stopped;
        }
        let zone = row.zone;
        let decision = self.row(subject, place).and_then(|row| {
            let content = content.into();
            let entry = index(*self.entries.get(row * CONTENTS + content.at())?);
            let unmaskable = self.unmaskable.get(entry).filter(|_| !content.maskable);
            let denied = unmaskable.and_then(Option::as_ref);
            denied.or_else(|| self.decisions.get(entry))
        });
        let decision = decision.unwrap_or(&self.nothing);
        match subject.floor {
            // What the rules refuse stays theirs: they may name another model.
            Some(floor) if floor < zone && decision.effect != PolicyEffect::Deny => {
                &self.below[floor as usize]
            }
            _ => decision,
        }
    }

    /// The row of a subject and a place.
    pub(super) fn row(&self, subject: Subject, place: PlaceIndex) -> Option<usize> {
        let at = index(subject.at) * self.places.len() + index(place.0);
        self.rows.get(at).map(|row| index(*row))
    }

    /// Who that is to the rules. Looked up once for each request.
    pub fn subject(&self, whom: Whom<'_>) -> Subject {
        let Names {
            tenants,
            programmes,
            models,
        } = &self.names;
        let of = |found: Option<&u32>| found.map_or(0, |at| index(*at));
        let tenant = of(whom.tenant.and_then(|id| tenants.get(id)));
        let programme = of(whom.programme.and_then(|id| programmes.get(id)));
        let model = of(whom.model.and_then(|id| models.get(id)));
        let at = (tenant * (programmes.len() + 1) + programme) * (models.len() + 1) + model;
        Subject {
            at: u32::try_from(at).unwrap_or(u32::MAX),
            floor: whom.programme.and_then(|id| self.floors.get(id).copied()),
        }
    }

    /// The place that goes by that id and is known as that.
    pub fn place(&self, id: &SiteId, place: &Place) -> Option<PlaceIndex> {
        self.place_where(|row| row.id == *id && row.place == *place)
    }

    /// The place that goes by that id.
    pub fn place_named(&self, id: &SiteId) -> Option<PlaceIndex> {
        self.place_where(|row| row.id == *id)
    }

    fn place_where(&self, fits: impl Fn(&PlaceRow) -> bool) -> Option<PlaceIndex> {
        let at = self.places.iter().position(fits)?;
        u32::try_from(at).ok().map(PlaceIndex)
    }

    /// What the ground of a place counts as.
    pub fn zone(&self, place: PlaceIndex) -> Option<Zone> {
        self.places.get(index(place.0)).map(|row| row.zone)
    }

    /// Its places: id, ground, what is known of each.
    pub fn places(&self) -> impl Iterator<Item = (PlaceIndex, &SiteId, Zone, &Place)> {
        (0..)
            .map(PlaceIndex)
            .zip(&self.places)
            .map(|(at, row)| (at, &row.id, row.zone, &row.place))
    }

    /// Why data may not go there; `None` where it may.
    pub fn denial(
        &self,
        subject: Subject,
        content: impl Into<Content>,
        place: PlaceIndex,
    ) -> Option<Denial> {
        let decision = self.decide(subject, content, place);
        let denied = decision.effect == PolicyEffect::Deny;
        Some(Denial {
            location: self
                .places
                .get(index(place.0))
                .filter(|_| denied)?
                .id
                .clone(),
            decision: decision.clone(),
        })
    }

    /// Names the policy and its places.
    pub fn hash(&self) -> PolicyHash {
        self.hash
    }

    /// The home country, where one is set.
    pub fn home(&self) -> Option<Country> {
        self.home
    }

    /// Combinations of subject, place, class and flags that it holds; each was enumerated.
    pub fn combinations(&self) -> u64 {
        let count = self.rows.len().saturating_mul(CONTENTS);
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// From then on it is old: a legal basis has expired.
    pub fn expires_at(&self) -> Micros {
        self.expires_at
    }

    /// Whether compiling the same policy at `now` would give the same table.
    pub(crate) fn stands_at(&self, now: Micros) -> bool {
        self.since <= now && now < self.expires_at
    }

    /// Whether it is compiled over these places and no others.
    pub(crate) fn covers(&self, places: &BTreeSet<(SiteId, Place)>) -> bool {
        let own = self.places.iter().map(|row| (&row.id, &row.place));
        own.eq(places.iter().map(|(id, place)| (id, place)))
    }

    /// Puts these stop switches, and no others, in force.
    pub fn stops_set(&mut self, stops: &BTreeSet<StopScope>) {
        for row in &mut self.places {
            let stop = stops.iter().find(|stop| stop.stops(&row.id, &row.place));
            row.stopped = stop.map(|stop| {
                Box::new(PolicyDecision::refusal(
                    &stop_rule(stop),
                    "The operator has stopped it (`madang stop`).",
                    "운영자가 사용을 중지한 곳입니다.",
                ))
            });
        }
    }

    /// The floors of programmes that are in force.
    pub fn floors(&self) -> &BTreeMap<ProgrammeId, Zone> {
        &self.floors
    }

    /// Puts the floors of these programmes, and no others, in force. They permit nothing. Whoever a [`Subject`] was looked up for
    /// before is looked up anew.
    pub fn floors_set(&mut self, floors: &BTreeMap<ProgrammeId, Zone>) {
        self.floors.clone_from(floors);
    }

    pub(super) fn ground_of(home: Option<Country>, id: SiteId, place: Place) -> PlaceRow {
        PlaceRow {
            zone: zone_of(&place, home),
            id,
            place,
            stopped: None,
        }
    }
}
