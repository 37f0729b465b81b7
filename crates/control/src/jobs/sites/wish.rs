//! How a cluster should be, as our own books have it.

use super::JobsPlane;
use madang_core::Shares;
use madang_executor::jobs::slurm::{
    SlurmFound, SlurmOptions, SlurmQosWish, SlurmWish, minutes_asked,
};
use madang_gateway::clock;
use madang_ledger::{AcceleratorCard, AcceleratorPrice, MinutesLeft, Purse, minutes_left};
use madang_store::StoreError;
use madang_types::{
    Allocation, Class, MILLI, MicroWon, Micros, NodesId, ProgrammeBudget, ProgrammeId, RunId,
    SiteId, TenantId, Unit,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a cluster is set up for. While it is the same, and the cluster too, nothing need be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Runs there that are not over.
    runs: BTreeMap<RunId, RunClaim>,
    /// Machines of the cluster: where they are, and of which kind.
    nodes: BTreeMap<NodesId, (SiteId, String)>,
    books: Arc<Books>,
    power_tokens: Option<u64>,
}

/// What our own books say, for all clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// What jobs may be paid from: allocations of accelerator time and of won.
    allocations: Vec<Allocation>,
    prices: Vec<AcceleratorPrice>,
    /// Programmes that have a budget: their tenants have what they are granted, and nothing else.
    funded: BTreeSet<ProgrammeId>,
    /// Tenants and programmes in force, with their weights.
    people: Shares,
}

/// What a run needs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunClaim {
    tenant: TenantId,
    programme: Option<ProgrammeId>,
    nodes: NodesId,
    /// Accelerators times minutes.
    minutes: u64,
}

impl Claims {
    pub(super) fn is_busy(&self) -> bool {
        !self.runs.is_empty()
    }
}

impl JobsPlane {
    pub(super) async fn site_books(&self) -> Result<Arc<Books>, StoreError> {
        let bank = self.gateway.purses.bank();
        let mut allocations = bank.allocation_list((None, None)).await?;
        allocations.retain(|row| matches!(row.unit, Unit::AcceleratorMs | Unit::MicroWon));
        Ok(Arc::new(Books {
            allocations,
            people: self.gateway.keyring.shares(),
            prices: bank.accelerator_price_list().await?,
            funded: funded(bank.budget_list().await?),
        }))
    }

    /// What that cluster is needed for now.
    pub(super) fn claims(&self, cluster: &str, books: Arc<Books>) -> Claims {
        let snapshot = self.gateway.snapshot();
        let nodes = snapshot.fleet.nodes_of_cluster(cluster);
        let nodes: BTreeMap<_, _> = nodes
            .map(|(id, row, _)| (id.clone(), (row.site.clone(), row.accelerator.clone())))
            .collect();
        let terms = snapshot
            .fleet
            .jobs
            .slurm
            .iter()
            .find(|row| row.id == cluster);
        Claims {
            runs: self.run_claims(&nodes),
            nodes,
            books,
            power_tokens: terms.and_then(|terms| terms.power_tokens),
        }
    }

    fn run_claims(&self, nodes: &BTreeMap<NodesId, (SiteId, String)>) -> BTreeMap<RunId, RunClaim> {
        let desk = self.lock();
        let runs = desk.as_ref().into_iter().flat_map(|desk| {
            let here = desk.runs().filter(|run| nodes.contains_key(&run.nodes));
            here.filter_map(|run| {
                let job = desk.job(run.run.task.job)?;
                let stages = !job.spec.inputs.is_empty() || !job.spec.outputs.is_empty();
                let minutes = minutes_asked(job.spec.time_limit_ms, stages);
                let accelerators = run.accelerator_milli.div_ceil(u64::from(MILLI));
                let claim = RunClaim {
                    tenant: job.tenant.clone(),
                    programme: job.programme.clone(),
                    nodes: run.nodes.clone(),
                    minutes: minutes.saturating_mul(accelerators),
                };
                Some((run.run, claim))
            })
        });
        runs.collect()
    }

    /// How a cluster should be that was found so: what Madang made there before is kept up too.
    pub(super) async fn site_wish(
        &self,
        options: &SlurmOptions,
        claims: &Claims,
        found: &SlurmFound,
    ) -> Result<SlurmWish, StoreError> {
        let accounts: BTreeSet<&str> = found.accounts().collect();
        let named: BTreeSet<&str> = found.qos().collect();
        let Shares {
            programmes: of_programmes,
            tenants: of_tenants,
            ..
        } = &claims.books.people;
        let there = of_tenants
            .iter()
            .filter(|row| accounts.contains(row.tenant.as_str()));
        let there = there.map(|row| (row.tenant.clone(), row.programme.clone()));
        let mut tenants: BTreeMap<TenantId, Option<ProgrammeId>> = there.collect();
        let there = of_programmes
            .iter()
            .filter(|(id, _)| named.contains(id.as_str()));
        let mut programmes: BTreeSet<ProgrammeId> = there.map(|(id, _)| id.clone()).collect();
        for run in claims.runs.values() {
            tenants.insert(run.tenant.clone(), run.programme.clone());
            programmes.extend(run.programme.clone());
        }
        let mut wish = SlurmWish::default();
        if options.account.is_none() {
            let weight = |tenant: &TenantId| {
                let row = of_tenants.iter().find(|row| row.tenant == *tenant);
                row.map_or(1, |row| row.weight)
            };
            let weights = tenants.keys().map(|id| (id.to_string(), weight(id)));
            wish.accounts = weights.collect();
        }
        if options.qos.is_none() {
            for programme in programmes {
                let of = tenants
                    .iter()
                    .filter(|(_, of)| of.as_ref() == Some(&programme));
                let accounts = of.map(|(id, _)| match &options.account {
                    Some(account) => account.clone(),
                    None => id.to_string(),
                });
                let qos = SlurmQosWish {
                    accounts: accounts.collect(),
                    left_minutes: self.left_minutes((&programme, options), claims).await?,
                };
                wish.qos.insert(programme.to_string(), qos);
            }
        }
        let licence = options.power.as_ref().map(|power| power.licence.clone());
        wish.power = licence.zip(claims.power_tokens);
        Ok(wish)
    }

    /// The minutes that a programme's runs may still take of each of a cluster's TRES: what is left of what it granted, and what its runs
    /// hold of that already.
    async fn left_minutes(
        &self,
        (programme, options): (&ProgrammeId, &SlurmOptions),
        claims: &Claims,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        if !claims.books.funded.contains(programme) {
            return Ok(BTreeMap::new());
        }
        let bank = self.gateway.purses.bank();
        let mut grants = Vec::new();
        for row in claims
            .books
            .allocations
            .iter()
            .filter(|row| row.programme == *programme)
        {
            let left = bank
                .purse_left(Purse::Allocation(row.id.clone()), row.unit)
                .await?;
            grants.push((row.clone(), left));
        }
        Ok(tres_minutes(
            claims,
            (programme, &grants),
            options,
            clock::now(),
        ))
    }
}

fn funded(budgets: Vec<ProgrammeBudget>) -> BTreeSet<ProgrammeId> {
    budgets.into_iter().map(|budget| budget.programme).collect()
}

/// Kinds of accelerators that Slurm counts together too.
#[derive(Default)]
struct Sort {
    /// The price of an hour of each kind.
    hours: BTreeMap<Class, MicroWon>,
    /// What each of their own TRES stands for.
    names: BTreeMap<String, Class>,
}

/// Limits by kinds become limits by TRES: `gres/gpu:h200` for a kind, and `gres/gpu` for all kinds that count there too.
fn tres_minutes(
    claims: &Claims,
    (programme, grants): (&ProgrammeId, &[(Allocation, i64)]),
    options: &SlurmOptions,
    at: Micros,
) -> BTreeMap<String, u64> {
    let card = AcceleratorCard::new(claims.books.prices.clone());
    // By the name that all kinds of a sort share.
    let mut sorts: BTreeMap<String, Sort> = BTreeMap::new();
    let mut held: BTreeMap<String, u64> = BTreeMap::new();
    for (id, (site, accelerator)) in &claims.nodes {
        let Ok(kind) = accelerator.parse::<Class>() else {
            continue;
        };
        let gres = options.gres(id, accelerator);
        let sort = gres.split(':').next().unwrap_or_default().to_owned();
        let runs = claims
            .runs
            .values()
            .filter(|run| run.nodes == *id && run.programme.as_ref() == Some(programme));
        let minutes = runs.fold(0, |sum: u64, run| sum.saturating_add(run.minutes));
        for name in BTreeSet::from([&gres, &sort]) {
            let sum = held.entry(format!("gres/{name}")).or_default();
            *sum = sum.saturating_add(minutes);
        }
        let Sort { hours, names } = sorts.entry(sort).or_default();
        // Of a kind without a price no run is begun.
        if let Ok(hour) = card.hour(&kind, site, at) {
            let least = hours.entry(kind.clone()).or_insert(hour);
            *least = hour.min(*least);
            names.insert(format!("gres/{gres}"), kind);
        }
    }
    let mut limits = BTreeMap::new();
    for (sort, Sort { hours, names }) in sorts {
        let MinutesLeft { all, of } = minutes_left(grants, &hours, at);
        let mut limit = |tres: String, left: Option<u64>| {
            let held = held.get(&tres).copied().unwrap_or(0);
            limits.extend(left.map(|left| (tres, left.saturating_add(held))));
        };
        for (tres, kind) in names {
            limit(tres, of.get(&kind).copied().flatten());
        }
        limit(format!("gres/{sort}"), all);
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{AllocationId, JobId, TaskId};

    fn nodes(name: &str) -> NodesId {
        NodesId::new(name).unwrap()
    }

    fn programme(name: &str) -> ProgrammeId {
        ProgrammeId::new(name).unwrap()
    }

    fn run(number: u64, whose: &str, at: &str, minutes: u64) -> (RunId, RunClaim) {
        let run = RunId {
            task: TaskId::from(JobId(number)),
            number: 1,
        };
        let claim = RunClaim {
            tenant: TenantId::new("hanbit").unwrap(),
            programme: Some(programme(whose)),
            nodes: nodes(at),
            minutes,
        };
        (run, claim)
    }

    /// Two kinds of GPUs, one of which the cluster calls otherwise, and NPUs.
    fn claims() -> (Claims, SlurmOptions) {
        let mut options = SlurmOptions::here("pohang", "/state".into(), "/runs".into());
        options.gres = BTreeMap::from([
            (nodes("b"), "gpu:b200-nvl".to_owned()),
            (nodes("n"), "npu:atom".to_owned()),
        ]);
        let site = SiteId::new("pohang").unwrap();
        let kinds = [("b", "b200"), ("h", "h200"), ("n", "atom")];
        let there = kinds.map(|(id, kind)| (nodes(id), (site.clone(), kind.to_owned())));
        let claims = Claims {
            runs: BTreeMap::from([run(1, "centre", "h", 88), run(2, "other", "h", 1_000)]),
            nodes: there.into(),
            ..Claims::default()
        };
        (claims, options)
    }

    fn grant(unit: Unit, kind: Option<&str>, amount: i64) -> (Allocation, i64) {
        let allocation = Allocation {
            id: AllocationId::new("a").unwrap(),
            programme: programme("centre"),
            tenant: TenantId::new("hanbit").unwrap(),
            unit,
            class: kind.map(|kind| kind.parse().unwrap()),
            amount,
            hard: true,
            from: Micros(0),
            tranches: Vec::new(),
            until: Micros(100),
            created_at: Micros(0),
            recalled_at: None,
        };
        (allocation, amount)
    }

    #[track_caller]
    fn check(grants: &[(Allocation, i64)], prices: &[(&str, i64)], expected: &[(&str, u64)]) {
        let (mut claims, options) = claims();
        let prices = prices.iter().map(|(kind, won)| AcceleratorPrice {
            accelerator: kind.parse().unwrap(),
            site: None,
            from: Micros(0),
            hour: MicroWon(won * 1_000_000),
        });
        claims.books = Arc::new(Books {
            prices: prices.collect(),
            ..Books::default()
        });
        let centre = programme("centre");
        let found = tres_minutes(&claims, (&centre, grants), &options, Micros(50));
        let found: Vec<(&str, u64)> = found
            .iter()
            .map(|(tres, left)| (tres.as_str(), *left))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn awards_are_limits_of_what_slurm_counts() {
        // Nothing is granted: what runs may end.
        let none = [
            ("gres/gpu", 88),
            ("gres/gpu:b200-nvl", 0),
            ("gres/gpu:h200", 88),
            ("gres/npu", 0),
            ("gres/npu:atom", 0),
        ];
        check(&[], &[], &none);
        let hour_ms = 3_600_000;
        let any = grant(Unit::AcceleratorMs, None, 10 * hour_ms);
        let own = grant(Unit::AcceleratorMs, Some("h200"), 100 * hour_ms);
        let granted = [
            ("gres/gpu", 6_688),
            ("gres/gpu:b200-nvl", 600),
            ("gres/gpu:h200", 6_688),
            ("gres/npu", 600),
            ("gres/npu:atom", 600),
        ];
        check(&[any.clone(), own], &[], &granted);
        // Won without a price bound nothing; of a kind without a price nothing is begun.
        let won = grant(Unit::MicroWon, None, 600 * 1_000_000);
        check(&[any.clone(), won.clone()], &[], &[]);
        let priced = [
            ("gres/gpu", 600 + 61 + 88),
            ("gres/gpu:b200-nvl", 600 + 31),
            ("gres/gpu:h200", 600 + 61 + 88),
            ("gres/npu", 600),
        ];
        check(&[any, won], &[("h200", 600), ("b200", 1_200)], &priced);
    }
}
