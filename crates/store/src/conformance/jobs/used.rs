//! Properties of what runs had of accelerators.

use super::{Failure, Fixture, drive, job, run, run_id, write};
use crate::{JobsUsed, USED_SPAN_US};
use madang_types::{MicroWon, Micros, RunEnd, RunOutcome, RunRecord, RunState};

/// A run that is over, from one instant to another.
fn ended(mut record: RunRecord, from: Option<i64>, until: i64) -> RunRecord {
    record.state = RunState::Ended;
    record.end = Some(RunEnd {
        outcome: RunOutcome::Failed { exit_code: 1 },
        started_at: from.map(Micros),
        ended_at: Micros(until),
        energy: None,
    });
    record.charge = Some(MicroWon(1));
    record
}

/// Runs that are over count for whoever answers for their jobs, each once, in the span of its middle; others do not.
pub async fn what_was_used_is_summed_by_owner_and_span(
    fixture: &impl Fixture,
) -> Result<(), Failure> {
    let book = fixture.open().await;
    let own = book.job_insert(job("demo")?).await?;
    let mut other = job("demo")?;
    (other.programme, other.project) = (Some("open".parse()?), Some("web".parse()?));
    let other = book.job_insert(other).await?;
    let term = drive(&book).await?;
    let (span, hour) = (USED_SPAN_US, 3_600_000_000);
    let of = |job: &madang_types::Job, number| run(run_id(job.id, None, number));
    let runs = vec![
        // Its middle is in the second span.
        ended(of(&own, 1)?, Some(span - hour), span + 2 * hour),
        ended(of(&own, 2)?, Some(span + hour), span + 2 * hour),
        // It never began.
        ended(of(&own, 3)?, None, span + hour),
        of(&own, 4)?,
        ended(of(&other, 1)?, Some(span), span + hour),
        ended(of(&other, 2)?, Some(3 * span), 3 * span + 2),
        ended(of(&other, 3)?, Some(0), hour),
    ];
    write(&book, term, vec![], runs.clone()).await?;
    write(&book, term, vec![], runs).await?;
    let row = |tenant_of: &madang_types::Job, spans: i64, accelerator_ms| JobsUsed {
        programme: tenant_of.programme.clone(),
        tenant: tenant_of.tenant.clone(),
        project: tenant_of.project.clone(),
        at: Micros(spans * span + span / 2),
        accelerator_ms,
    };
    let (eight_hours, last) = (8 * 3_600_000, row(&other, 3, 0));
    let mut found = book.jobs_used(Micros(hour)).await?;
    assert_eq!(found.remove(0), last, "the latest first");
    found.sort_by_key(|row| row.project.clone());
    let expected = [row(&own, 1, 4 * eight_hours), row(&other, 1, eight_hours)];
    assert_eq!(found, expected);
    assert_eq!(book.jobs_used(Micros(3 * span)).await?, [last]);
    Ok(())
}
