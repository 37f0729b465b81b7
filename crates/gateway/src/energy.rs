//! What requests under way claim of engines' energy, as the core shares it ([`madang_core::power::share`]). Whoever measures says which
//! engines there are and what they draw, and takes what was claimed from time to time.

use crate::clock;
use madang_core::power::model::{PowerProfile, WHOLE_MILLI};
use madang_core::power::share::{Claim, EngineClaims, WorkPhase};
use madang_ledger::{Account, EngineClaimed};
use madang_types::{Micros, MilliJoules, ReplicaId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Nanojoules of a thousandth of a joule.
const MJ: u128 = 1_000_000;

/// Engines of whose draw something is known, and the requests that run on them.
#[derive(Default)]
pub struct EnergyClaims {
    engines: Mutex<BTreeMap<ReplicaId, Engine>>,
    /// Requests that have begun: also at an engine that left and came back no two have one number.
    numbered: AtomicU64,
}

/// How an engine draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineDraw {
    /// By what it does, as a model says.
    pub profile: PowerProfile,
    /// What it took beside that when it was last settled, in thousandths; cooling and losses are in it.
    pub told_milli: u64,
}

struct Engine {
    claims: EngineClaims,
    told_milli: u64,
    open: BTreeMap<u64, Open>,
    /// What was claimed since it was taken last, in nanojoules.
    by: BTreeMap<Account, u128>,
}

struct Open {
    claim: Claim,
    payer: Account,
    taken_nj: u128,
}

/// A request on an engine. Dropping it ends it.
pub struct Running {
    claims: Arc<EnergyClaims>,
    replica: ReplicaId,
    number: u64,
}

impl EnergyClaims {
    /// Which engines there are from now on.
    pub fn follow(&self, now: Micros, draws: &BTreeMap<ReplicaId, EngineDraw>) {
        let mut engines = self.lock();
        engines.retain(|id, _| draws.contains_key(id));
        for (id, draw) in draws {
            let engine = engines.entry(id.clone()).or_insert_with(|| Engine {
                claims: EngineClaims::new(draw.profile, now),
                told_milli: draw.told_milli,
                open: BTreeMap::new(),
                by: BTreeMap::new(),
            });
            engine.claims.profile(now, draw.profile);
            engine.told_milli = draw.told_milli;
        }
    }

    /// What was claimed of each engine since this was asked last.
    pub fn take(&self, now: Micros) -> BTreeMap<ReplicaId, EngineClaimed> {
        let mut taken = BTreeMap::new();
        for (id, engine) in self.lock().iter_mut() {
            engine.read(now);
            let claimed = engine.taken(now);
            if claimed.busy_us > 0 || !claimed.by.is_empty() {
                taken.insert(id.clone(), claimed);
            }
        }
        taken
    }

    /// A request begins on an engine; `None` where nobody says what that draws.
    pub(crate) fn begin(
        self: &Arc<Self>,
        replica: &ReplicaId,
        payer: Account,
        phase: WorkPhase,
    ) -> Option<Running> {
        let mut engines = self.lock();
        let engine = engines.get_mut(replica)?;
        let number = self.numbered.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            claim: engine.claims.begin(clock::now(), phase),
            payer,
            taken_nj: 0,
        };
        engine.open.insert(number, open);
        Some(Running {
            claims: Arc::clone(self),
            replica: replica.clone(),
            number,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, Engine>> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    fn read(&mut self, now: Micros) {
        for open in self.open.values_mut() {
            let nj = self.claims.read(now, &mut open.claim);
            open.take(nj, &mut self.by);
        }
    }

    fn taken(&mut self, now: Micros) -> EngineClaimed {
        let busy_us = self.claims.take_busy_us(now);
        let mut by = BTreeMap::new();
        for (payer, nj) in &mut self.by {
            // What is less than a thousandth of a joule stays for the next time.
            let mj = *nj / MJ;
            *nj %= MJ;
            if mj > 0 {
                by.insert(payer.clone(), u64::try_from(mj).unwrap_or(u64::MAX));
            }
        }
        self.by.retain(|_, nj| *nj > 0);
        EngineClaimed { busy_us, by }
    }

    fn told(&self, nj: u128) -> MilliJoules {
        let whole = MJ * u128::from(WHOLE_MILLI);
        let mj = nj.saturating_mul(u128::from(self.told_milli)) / whole;
        MilliJoules(i64::try_from(mj).unwrap_or(i64::MAX))
    }
}

impl Open {
    fn take(&mut self, nj: u128, by: &mut BTreeMap<Account, u128>) {
        self.taken_nj += nj;
        match by.get_mut(&self.payer) {
            Some(sum) => *sum += nj,
            None => drop(by.insert(self.payer.clone(), nj)),
        }
    }
}

impl Running {
    /// Its first token is there.
    pub fn first_token(&self) {
        let mut engines = self.claims.lock();
        let Some(engine) = engines.get_mut(&self.replica) else {
            return;
        };
        if let Some(open) = engine.open.get_mut(&self.number) {
            let nj = engine.claims.first_token(clock::now(), &mut open.claim);
            open.take(nj, &mut engine.by);
        }
    }

    /// What it has taken so far, as well as is known; `None` once its engine has left the fleet.
    pub fn so_far(&self) -> Option<MilliJoules> {
        let mut engines = self.claims.lock();
        let engine = engines.get_mut(&self.replica)?;
        let open = engine.open.get_mut(&self.number)?;
        let nj = engine.claims.read(clock::now(), &mut open.claim);
        open.take(nj, &mut engine.by);
        let taken_nj = open.taken_nj;
        Some(engine.told(taken_nj))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut engines = self.claims.lock();
        let Some(engine) = engines.get_mut(&self.replica) else {
            return;
        };
        if let Some(mut open) = engine.open.remove(&self.number) {
            let nj = engine.claims.end(clock::now(), open.claim);
            open.take(nj, &mut engine.by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payer(name: &str) -> Account {
        format!("tenant:{name}").parse().unwrap()
    }

    fn draws(told_milli: u64) -> BTreeMap<ReplicaId, EngineDraw> {
        let draw = EngineDraw {
            profile: PowerProfile::new(100, 400),
            told_milli,
        };
        [("e1".parse().unwrap(), draw)].into()
    }

    #[test]
    fn what_is_claimed_is_taken_once_and_each_request_knows_its_own() {
        let claims = Arc::<EnergyClaims>::default();
        let e1: ReplicaId = "e1".parse().unwrap();
        let begin = |who| claims.begin(&e1, payer(who), WorkPhase::Prompt);
        assert!(begin("a").is_none(), "nobody knows the engine yet");
        claims.follow(clock::now(), &draws(2_000));
        let (a, b) = (begin("a").unwrap(), begin("b").unwrap());
        let later = clock::now().plus_ms(10_000);
        let taken = claims.take(later);
        // Two prompts share 400 W: 2,000 J each in ten seconds.
        for who in ["a", "b"] {
            let mj = taken[&e1].by[&payer(who)];
            assert!((2_000_000..2_100_000).contains(&mj), "{who}: {mj} mJ");
        }
        assert!(taken[&e1].busy_us >= 10_000_000);
        a.first_token();
        let told = a.so_far().unwrap().0;
        let twice = 2 * i64::try_from(taken[&e1].by[&payer("a")]).unwrap();
        assert!((twice..twice + 10).contains(&told), "{told} mJ of {twice}");
        drop((a, b));
        // The clock has not reached what was read last: nothing is shared twice.
        assert_eq!(claims.take(later), BTreeMap::new());
        claims.follow(later, &BTreeMap::new());
        assert!(begin("a").is_none());
    }
}
