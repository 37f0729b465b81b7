//! Runs of jobs, paid out of grants.

use super::{Books, Fixture};
use crate::conformance::Failure;
use crate::conformance::sample::tenant;
use crate::{EntryFilter, UsageFilter};
use madang_ledger::{
    Account, Applied, EnergyNote, EnergySpan, EngineClaimed, EngineEnergy, Entry, EntryId, Fault,
    JobPurses, JobRun, JobShort, JobUse, Phase, Purse, Subject, energy_entries,
};
use madang_types::{
    Allocation, Class, JobId, MicroWon, Micros, MilliJoules, ProgrammeBudget, Unit,
};
use std::sync::Arc;

const HOUR_US: u64 = 3_600_000_000;
const HOUR_MS: i64 = 3_600_000;

/// `hanbit` has ten hours of `h200` and 30 won, of `startups`.
struct World {
    books: Arc<dyn Books>,
}

impl World {
    async fn new(fixture: &impl Fixture) -> Result<Self, Failure> {
        let books = fixture.open().await;
        for (id, unit, class, amount) in [
            ("h200", Unit::AcceleratorMs, Some("h200"), 10 * HOUR_MS),
            ("won", Unit::MicroWon, None, 30_000_000),
        ] {
            let class: Option<Class> = class.map(str::parse).transpose()?;
            let budget = ProgrammeBudget {
                programme: "startups".parse()?,
                unit,
                class: class.clone(),
                amount,
                concentration_permille_max: 1_000,
            };
            books.budget_put(budget, Micros(1)).await?;
            let allocation = Allocation {
                id: id.parse()?,
                programme: "startups".parse()?,
                tenant: "hanbit".parse()?,
                unit,
                class,
                amount,
                hard: true,
                from: Micros(2),
                tranches: Vec::new(),
                until: Micros(100),
                created_at: Micros(2),
                recalled_at: None,
            };
            books.allocation_insert(allocation).await?;
        }
        Ok(Self { books })
    }

    /// Who drives jobs reads what there is, and writes.
    async fn reserve(&self, run: &JobRun, hours: u64) -> Result<Result<Entry, JobShort>, Failure> {
        let of = (None, Some("hanbit".parse()?));
        let mut grants = Vec::new();
        for grant in self.books.allocation_list(of).await? {
            let available = self.available(&grant).await?;
            grants.push((grant, available));
        }
        let purses = JobPurses {
            grants: Some(&grants),
            ceilings: &[],
        };
        Ok(match run.reserve(hours * HOUR_US, purses, Micros(10)) {
            Ok(entry) => Ok(entry.ok_or("it costs something")?),
            Err(short) => Err(short),
        })
    }

    async fn available(&self, grant: &Allocation) -> Result<i64, Failure> {
        let account = Account::Purse(Purse::Allocation(grant.id.clone()));
        let balances = self.books.balance(account).await?;
        let balance = balances.iter().find(|(unit, _)| *unit == grant.unit);
        Ok(balance.map_or(0, |(_, balance)| balance.available()))
    }

    async fn write(&self, entry: &Entry) -> Result<Result<Applied, Fault>, Failure> {
        let mut written = self.books.entries_append(vec![entry.clone()]).await?;
        Ok(written.remove(0))
    }

    /// What is available of both grants, and that the books are sound.
    async fn check(&self, h200_ms: i64, won: i64) -> Result<(), Failure> {
        let grants = self.books.allocation_list((None, None)).await?;
        let found = [
            self.available(&grants[0]).await?,
            self.available(&grants[1]).await?,
        ];
        assert_eq!(found, [h200_ms, won]);
        let report = self.books.ledger_verify().await?;
        assert!(report.findings.is_empty(), "{report:?}");
        Ok(())
    }
}

/// A run of eight accelerators, at two won an hour of each.
fn run(id: &str) -> Result<JobRun, Failure> {
    Ok(JobRun {
        run: id.parse()?,
        tenant: "hanbit".parse()?,
        project: Some("web".parse()?),
        site: "pohang".parse()?,
        kind: "h200".parse()?,
        accelerator_milli: 8_000,
        hour: MicroWon(2_000_000),
    })
}

/// What a run may need is set aside, of hours first and of won for the rest; what it used is taken once, however often it is written.
pub async fn a_run_is_paid_once_and_nothing_stays_set_aside(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let one = run("7.3-1")?;
    let reserve = world.reserve(&one, 2).await?.map_err(|e| e.to_string())?;
    assert!(matches!(world.write(&reserve).await?, Ok(Applied::New(_))));
    assert_eq!(world.write(&reserve).await?, Ok(Applied::Repeated));
    // Six hours of eight times two are for won.
    world.check(0, 18_000_000).await?;
    let of = JobUse {
        span_us: HOUR_US,
        energy: Some(MilliJoules(7)),
        charged: true,
    };
    let rows = world.books.entry(one.entry_id()).await?;
    assert_eq!(rows.len(), 1);
    let post = one.settle(Some(&rows[0].entry), Some(of), Micros(20));
    let post = post.ok_or("it used something")?;
    assert!(matches!(world.write(&post).await?, Ok(Applied::New(_))));
    assert_eq!(world.write(&post).await?, Ok(Applied::Repeated));
    assert_eq!(world.write(&reserve).await?, Ok(Applied::Repeated));
    world.check(2 * HOUR_MS, 30_000_000).await?;
    assert_eq!(post.subject, Subject::Job(JobId(7)));
    let project = world.books.balance("project:hanbit:web".parse()?).await?;
    let had: Vec<_> = project
        .iter()
        .map(|(unit, had)| (*unit, had.available()))
        .collect();
    let expected = [(Unit::AcceleratorMs, 8 * HOUR_MS), (Unit::MilliJoules, 7)];
    assert_eq!(had, expected);
    // Another, that never ran.
    let two = run("7.3-2")?;
    let reserve = world.reserve(&two, 1).await?.map_err(|e| e.to_string())?;
    assert!(world.write(&reserve).await?.is_ok());
    world.check(0, 18_000_000).await?;
    let void = two
        .settle(Some(&reserve), None, Micros(20))
        .ok_or("it was set aside")?;
    assert!(world.write(&void).await?.is_ok());
    world.check(2 * HOUR_MS, 30_000_000).await
}

/// What runs took is told apart from what requests did, by the span in which they ended.
pub async fn what_runs_took_is_in_its_programmes_extract(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let one = run("7-1")?;
    let reserve = world.reserve(&one, 2).await?.map_err(|e| e.to_string())?;
    assert!(world.write(&reserve).await?.is_ok());
    let of = JobUse {
        span_us: 2 * HOUR_US,
        energy: None,
        charged: true,
    };
    let post = one.settle(Some(&reserve), Some(of), Micros(20));
    let post = post.ok_or("it used something")?;
    for (programme, (from, until), taken) in [
        ("startups", (20, 21), [12_000_000, 10 * HOUR_MS].as_slice()),
        ("startups", (10, 20), &[]),
        ("others", (20, 21), &[]),
    ] {
        // What is only set aside has not moved.
        if from == 20 {
            world.write(&post).await?.map_err(|e| e.to_string())?;
        }
        let filter = UsageFilter {
            programme: Some(programme.parse()?),
            from: Some(Micros(from)),
            until: Some(Micros(until)),
            ..UsageFilter::default()
        };
        let extract = world.books.usage_extract(filter, 0).await?;
        let mut legs = extract.job_legs;
        legs.sort_by_key(|leg| leg.unit);
        let amounts: Vec<i64> = legs.iter().map(|leg| leg.amount).collect();
        assert_eq!(amounts, taken, "{programme} {from}");
        assert_eq!(extract.legs, []);
    }
    Ok(())
}

/// What was recalled or is lacking pays for no more runs, and for those that it was set aside for.
pub async fn a_run_that_lacks_is_not_set_aside(fixture: &impl Fixture) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    let short = world
        .reserve(&run("1-1")?, 4)
        .await?
        .err()
        .ok_or("22 hours cost 44 won")?;
    let told = "allocation:won has 30000000 micro_won left, 14000000 less than the run may need";
    assert_eq!(short.to_string(), told);
    let one = run("2-1")?;
    let reserve = world.reserve(&one, 1).await?.map_err(|e| e.to_string())?;
    assert!(world.write(&reserve).await?.is_ok());
    let recalled = world
        .books
        .allocation_recall("h200".parse()?, Micros(5), Micros(5));
    recalled.await?;
    world.check(0, 30_000_000).await?;
    let of = JobUse {
        span_us: HOUR_US / 2,
        energy: None,
        charged: true,
    };
    let post = one
        .settle(Some(&reserve), Some(of), Micros(20))
        .ok_or("it ran")?;
    assert!(world.write(&post).await?.is_ok());
    // What was freed goes back to the programme.
    world.check(4 * HOUR_MS, 30_000_000).await?;
    assert_eq!(world.books.allocations_sweep(Micros(50)).await?, 1);
    world.check(0, 30_000_000).await
}

/// An engine's 800 mJ, claimed by two, and 50 mJ of nobody's that a model says.
fn shared_note() -> Result<EnergyNote, Failure> {
    let claimed = EngineClaimed {
        busy_us: 10,
        by: [
            ("project:hanbit:search".parse()?, 3),
            ("tenant:haneul".parse()?, 1),
        ]
        .into(),
    };
    Ok(EnergyNote {
        measured_mj: 800,
        modelled_mj: 50,
        rest_mj: 50,
        engines: [(
            "e1".parse()?,
            EngineEnergy {
                mj: 800,
                span_us: 10,
                idle_watts: 100,
            },
        )]
        .into(),
        claims: [("e1".parse()?, claimed)].into(),
        ..EnergyNote::default()
    })
}

/// What a site drew reads back by who took it; where nobody's was asked for, by where it came from and what was idle too.
pub async fn energy_is_read_by_who_took_it_and_by_where_it_was_drawn(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let world = World::new(fixture).await?;
    world.books.tenant_put(tenant("hanbit", 1)?).await?;
    let span = EnergySpan {
        site: "pohang".parse()?,
        from: Micros(10),
        until: Micros(20),
    };
    let note = shared_note()?;
    let entries = energy_entries(&span, &note);
    for _ in 0..2 {
        for told in world.books.entries_append(entries.clone()).await? {
            told?;
        }
    }
    // What is about other things is none of it.
    let mut other = entries[0].clone();
    (other.id, other.subject, other.phase) = (EntryId(9), Subject::Lease, Phase::Direct);
    for told in world.books.entries_append(vec![other]).await? {
        told?;
    }
    let theirs = [("project:hanbit:search", 600)];
    let all = [
        ("idle:pohang", 50),
        ("project:hanbit:search", 600),
        ("site:pohang", 50),
        ("site:pohang", 800),
        ("tenant:haneul", 200),
    ];
    for (tenant, (from, until), expected) in [
        (None, (10, 20), &all[..]),
        (None, (11, 20), &[]),
        (None, (0, 10), &[]),
        (Some("hanbit"), (10, 11), &theirs),
    ] {
        let filter = UsageFilter {
            tenant: tenant.map(str::parse).transpose()?,
            from: Some(Micros(from)),
            until: Some(Micros(until)),
            ..UsageFilter::default()
        };
        let extract = world.books.usage_extract(filter, 0).await?;
        let legs = extract.energy_legs.iter();
        let mut legs: Vec<_> = legs.map(|leg| (leg.to.to_string(), leg.amount)).collect();
        legs.sort();
        let expected = expected.iter().map(|(to, mj)| ((*to).to_owned(), *mj));
        assert_eq!(legs, expected.collect::<Vec<_>>(), "{tenant:?} {from}");
    }
    let about = EntryFilter {
        subject: Some(Subject::Energy(span.site)),
        ..EntryFilter::default()
    };
    let found = world.books.entries(about, None, 10).await?;
    assert_eq!(found.len(), entries.len());
    Ok(())
}
