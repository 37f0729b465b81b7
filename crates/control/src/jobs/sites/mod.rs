//! Slurm clusters that are set up from here: their accounts are our tenants, their QOS our programmes, and the minutes of these what
//! is left of awards.
//!
//! One task of the gateway that drives keeps them: at the start, when somebody new needs a cluster, when what is granted changes, and
//! from time to time. A run that needs what is not there yet waits; after a bound it is not started.

mod wish;

use super::JobsPlane;
use futures_util::future::join_all;
use madang_executor::jobs::JobsError;
use madang_executor::jobs::slurm::{SlurmSite, SlurmWish, account_named, qos_named};
use madang_gateway::clock;
use madang_types::{Job, Micros};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;
use wish::{Books, Claims};

/// Longest time between two looks at what our own books say, and the shortest between two at one cluster.
const LOOK_MS: u64 = 5_000;
const REST_MS_MIN: u64 = 2_000;
/// Time between two looks at a cluster that has runs of ours, and at one that has none: somebody else may have changed it, and what it
/// has counted may have come near a limit.
const BUSY_MS: u64 = 60_000;
const IDLE_MS: u64 = 600_000;
/// Until what could not be done is tried again.
const FAULT_MS: u64 = 15_000;
/// After a look in vain: doubled up to the longest.
const AGAIN_MS: u64 = 1_000;
/// A run whose account, QOS or limits have not been there for so long is not started.
const WAIT_MS_MAX: u64 = 600_000;

/// How a cluster that is set up from here stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// Its name in the fleet file.
    pub id: String,
    /// When it was last looked at and set up; `None` where it never was.
    pub set_up_at: Option<Micros>,
    /// What is not as it should be, and why.
    pub faults: Vec<String>,
}

/// What was wished of a cluster, and what of it could not be done.
type Made = (SlurmWish, BTreeMap<String, String>);

/// All of them.
pub(super) struct Sites {
    by_name: BTreeMap<String, Site>,
    /// Something may be different.
    wake: Arc<Notify>,
}

struct Site {
    setup: SlurmSite,
    state: Mutex<State>,
}

/// Account and QOS of a run, as far as they are made from here.
type Payer = (Option<String>, Option<String>);

#[derive(Default)]
struct State {
    /// What was as it should be when it was last looked at.
    ready: BTreeSet<Payer>,
    /// What could not be done there, by account, QOS or licence.
    faults: BTreeMap<String, String>,
    /// Why nothing is known of it.
    away: Option<String>,
    /// For what it was last set up.
    claims: Option<Claims>,
    set_up_at: Option<Micros>,
    next_at: Micros,
    in_vain: u32,
}

impl Sites {
    pub(super) fn new(sites: BTreeMap<String, SlurmSite>) -> Self {
        let site = |setup| Site {
            setup,
            state: Mutex::default(),
        };
        let by_name = sites.into_iter().map(|(name, setup)| (name, site(setup)));
        Self {
            by_name: by_name.collect(),
            wake: Arc::default(),
        }
    }

    pub(super) fn are_none(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Something may be different: they are looked at soon.
    pub(super) fn changed(&self) {
        self.wake.notify_one();
    }

    /// Why a job's runs cannot begin on that cluster yet; `None` where they can.
    pub(super) fn lacks(&self, cluster: Option<&str>, job: &Job) -> Option<String> {
        let site = self.by_name.get(cluster?)?;
        let payer = site.payer(job);
        let state = site.lock();
        if payer == (None, None) || state.ready.contains(&payer) {
            return None;
        }
        let (account, qos) = payer;
        let named = [
            account.map(|account| account_named(&account)),
            qos.map(|qos| qos_named(&qos)),
        ];
        let fault = named.iter().flatten().find_map(|of| state.faults.get(of));
        let why = fault.or(state.away.as_ref()).cloned();
        let made = named
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" and ");
        Some(why.unwrap_or_else(|| format!("the {made} of its site are being set up")))
    }

    fn states(&self) -> Vec<ClusterState> {
        let state = |(id, site): (&String, &Site)| {
            let state = site.lock();
            let faults = state.away.iter().chain(state.faults.values());
            ClusterState {
                id: id.clone(),
                set_up_at: state.set_up_at,
                faults: faults.cloned().collect(),
            }
        };
        self.by_name.iter().map(state).collect()
    }
}

impl Site {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each field is whole after each statement that changes it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn payer(&self, job: &Job) -> Payer {
        let options = self.setup.options();
        let account = options.account.is_none().then(|| job.tenant.to_string());
        let programme = job.programme.as_ref().filter(|_| options.qos.is_none());
        (account, programme.map(ToString::to_string))
    }

    /// Who can pay there once a cluster is as it was wished, but for what could not be done.
    fn payers(&self, wish: &SlurmWish, faults: &BTreeMap<String, String>) -> BTreeSet<Payer> {
        let sound = |account: &String| !faults.contains_key(&account_named(account));
        let accounts = wish.accounts.keys().filter(|account| sound(account));
        let mut payers: BTreeSet<Payer> = accounts
            .map(|account| (Some(account.clone()), None))
            .collect();
        let is_ours = self.setup.options().account.is_none();
        for (qos, terms) in &wish.qos {
            if faults.contains_key(&qos_named(qos)) {
                continue;
            }
            let accounts = terms.accounts.iter().filter(|account| sound(account));
            payers.extend(
                accounts.map(|account| (is_ours.then(|| account.clone()), Some(qos.clone()))),
            );
        }
        payers
    }

    fn is_due(&self, claims: &Claims, now: Micros) -> bool {
        let state = self.lock();
        let rested = state
            .set_up_at
            .is_none_or(|at| now >= at.plus_ms(REST_MS_MIN));
        let differs = state.in_vain == 0 && rested && state.claims.as_ref() != Some(claims);
        differs || now >= state.next_at
    }

    fn done(&self, claims: Claims, (wish, faults): Made, now: Micros) {
        let ready = self.payers(&wish, &faults);
        let mut state = self.lock();
        state.ready = ready;
        for (of, why) in &faults {
            if state.faults.get(of) != Some(why) {
                let cluster = &self.setup.options().cluster;
                tracing::warn!(
                    cluster,
                    of,
                    why,
                    "a Slurm cluster is not set up as it should be"
                );
            }
        }
        let rest_ms = match (faults.is_empty(), claims.is_busy()) {
            (false, _) => FAULT_MS,
            (true, true) => BUSY_MS,
            (true, false) => IDLE_MS,
        };
        state.faults = faults;
        state.away = None;
        state.claims = Some(claims);
        state.set_up_at = Some(now);
        state.next_at = now.plus_ms(rest_ms);
        state.in_vain = 0;
    }

    fn in_vain(&self, why: String, now: Micros) {
        let mut state = self.lock();
        if state.away.is_none() {
            tracing::warn!(why, "a Slurm cluster is not set up");
        }
        let wait_ms = (AGAIN_MS << state.in_vain.min(10)).min(BUSY_MS);
        state.in_vain = state.in_vain.saturating_add(1);
        state.next_at = now.plus_ms(wait_ms);
        state.away = Some(why);
    }
}

/// Keeps clusters set up until the plane is gone.
pub(super) async fn keep(plane: Weak<JobsPlane>, wake: Arc<Notify>) {
    while let Some(plane) = plane.upgrade() {
        plane.keep_sites().await;
        // Whoever rests does not keep it.
        drop(plane);
        drop(timeout(Duration::from_millis(LOOK_MS), wake.notified()).await);
    }
}

impl JobsPlane {
    /// How the clusters stand that are set up from here; as this gateway last saw them, where another one drives now.
    pub fn clusters(&self) -> Vec<ClusterState> {
        self.sites.states()
    }

    /// Why a run cannot begin yet for what its cluster lacks, and whether it has waited for too long.
    pub(super) fn site_lacks(
        &self,
        cluster: Option<&str>,
        job: &Job,
        since: Micros,
    ) -> Option<(String, bool)> {
        let why = self.sites.lacks(cluster, job)?;
        self.sites.changed();
        Some((why, clock::now() >= since.plus_ms(WAIT_MS_MAX)))
    }

    async fn keep_sites(&self) {
        if self.lock().is_none() {
            return;
        }
        let books = match self.site_books().await {
            Ok(books) => books,
            Err(error) => {
                for site in self.sites.by_name.values() {
                    site.in_vain(format!("the books cannot be read: {error}"), clock::now());
                }
                return;
            }
        };
        let sites = self.sites.by_name.iter();
        let kept = sites.map(|(name, site)| self.keep_site(name, site, &books));
        join_all(kept).await;
    }

    async fn keep_site(&self, name: &str, site: &Site, books: &Arc<Books>) {
        let claims = self.claims(name, Arc::clone(books));
        if !site.is_due(&claims, clock::now()) {
            return;
        }
        match self.set_up(site, &claims).await {
            Ok(made) => site.done(claims, made, clock::now()),
            Err(error) => site.in_vain(error.to_string(), clock::now()),
        }
        // Whoever waited for it is begun.
        self.wake.notify_one();
    }

    async fn set_up(&self, site: &Site, claims: &Claims) -> Result<Made, JobsError> {
        let licence = site
            .setup
            .options()
            .power
            .as_ref()
            .map(|power| power.licence.as_str());
        let found = site.setup.look(licence).await?;
        let wish = self.site_wish(site.setup.options(), claims, &found).await;
        let wish = wish.map_err(|error| {
            JobsError::Unavailable(format!("the books cannot be read: {error}"))
        })?;
        let faults = site.setup.set_up(&found, &wish).await?;
        Ok((wish, faults))
    }
}
