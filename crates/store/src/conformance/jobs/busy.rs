//! Properties of what is noted of how busy runs and machines were.

use super::{Failure, Fixture, drive, job, run, run_id, write};
use crate::{BusyFilter, BusyRun, HELD_KEPT_HOURS};
use madang_types::{BusySource, Job, Micros, NodesHeld, RunBusy, RunRecord};

const HOUR: i64 = 3_600_000_000;

fn busy(record: &RunRecord, at: i64, [measured_ms, busy_ms]: [u64; 2]) -> RunBusy {
    RunBusy {
        run: record.run,
        began_at: Micros(-7),
        measured_at: Micros(at),
        at_work_at: (busy_ms > 0).then_some(Micros(at - 1)),
        measured_ms,
        busy_ms,
        samples: u32::MAX,
        source: (busy_ms > 0).then_some(BusySource::SlurmGpu),
    }
}

/// What is noted of a run replaces what was; runs are found by whose they are and when they were last measured.
pub async fn how_busy_runs_were_is_noted_and_found(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let mut other = job("other")?;
    (other.programme, other.project) = (Some("open".parse()?), Some("web".parse()?));
    let jobs = [
        book.job_insert(job("demo")?).await?,
        book.job_insert(other).await?,
    ];
    let term = drive(&book).await?;
    let records = [
        run(run_id(jobs[0].id, None, 1))?,
        run(run_id(jobs[0].id, None, 2))?,
        run(run_id(jobs[1].id, Some(7), 1))?,
    ];
    write(&book, term, vec![], records.to_vec()).await?;
    let [first, second, third] = &records;
    let noted = [
        busy(first, 10, [100, 90]),
        busy(second, 20, [u64::MAX >> 1, 0]),
        busy(third, 30, [500, 100]),
    ];
    let stale = vec![busy(first, 1, [1, 0]), noted[2].clone()];
    book.busy_write(Micros(0), stale, vec![]).await?;
    book.busy_write(Micros(0), noted.to_vec(), vec![]).await?;
    let asked = vec![third.run, first.run, run_id(jobs[1].id, Some(7), 2)];
    let expected = [noted[0].clone(), noted[2].clone()];
    assert_eq!(book.busy_of(asked).await?, expected);

    let row = |of: &Job, at: usize| BusyRun {
        programme: of.programme.clone(),
        tenant: of.tenant.clone(),
        project: of.project.clone(),
        record: records[at].clone(),
        busy: noted[at].clone(),
    };
    let all = [row(&jobs[0], 1), row(&jobs[1], 2), row(&jobs[0], 0)];
    let filter = |from, until, programme: Option<&str>, tenant: Option<&str>| {
        let programme = programme.map(str::parse).transpose()?;
        let tenant = tenant.map(str::parse).transpose()?;
        let span = (Micros(from), Micros(until));
        Ok::<_, Failure>(BusyFilter {
            span,
            programme,
            tenant,
        })
    };
    for (filter, expected) in [
        (filter(10, 31, None, None)?, &all[..]),
        (filter(11, 30, None, None)?, &all[..1]),
        (filter(0, 99, Some("open"), None)?, &all[1..2]),
        (
            filter(0, 99, None, Some("demo"))?,
            &[all[0].clone(), all[2].clone()],
        ),
        (filter(0, 99, Some("open"), Some("demo"))?, &[]),
    ] {
        assert_eq!(
            book.busy_list(filter.clone()).await?,
            expected,
            "{filter:?}"
        );
    }
    Ok(())
}

/// What was held is summed by hour, asked for by the hours that begin in a span, and dropped in the end.
pub async fn what_was_held_is_summed_by_hour(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let held = |nodes: &str, capacity_ms, held_ms| {
        let nodes = nodes.parse()?;
        Ok::<_, Failure>(NodesHeld {
            nodes,
            capacity_ms,
            held_ms,
        })
    };
    for at in [HOUR, HOUR + 1, 2 * HOUR - 1, 2 * HOUR] {
        let two = vec![held("a", 10, 4)?, held("b", 7, 0)?];
        book.busy_write(Micros(at), vec![], two).await?;
    }
    let of = async |from, until| book.nodes_held((Micros(from), Micros(until))).await;
    assert_eq!(
        of(HOUR, 2 * HOUR).await?,
        [held("a", 30, 12)?, held("b", 21, 0)?]
    );
    assert_eq!(
        of(HOUR, 2 * HOUR + 1).await?,
        [held("a", 40, 16)?, held("b", 28, 0)?]
    );
    assert_eq!(of(HOUR + 1, 2 * HOUR).await?, []);
    let later = Micros((2 + HELD_KEPT_HOURS) * HOUR);
    book.busy_write(later, vec![], vec![held("c", 1, 1)?])
        .await?;
    let expected = [held("a", 10, 4)?, held("b", 7, 0)?, held("c", 1, 1)?];
    assert_eq!(of(0, i64::MAX).await?, expected);
    Ok(())
}
