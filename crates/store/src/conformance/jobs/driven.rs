//! Who drives, and what it writes.

use super::{Failure, Fixture, drive, insert, over, run, run_id, term, write};
use crate::{JobFilter, JobTerm, JobWish, StoreError};
use madang_types::{
    Job, JobId, JobState, MicroWon, Micros, MilliJoules, RunEnd, RunOutcome, RunPiece, RunPlace,
    RunState, RunStop, StopWhy,
};

/// Whatever its end, a job leaves those that are open, and its runs with it.
pub async fn what_is_over_is_not_open(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let jobs = insert(&book, 7).await?;
    let term = drive(&book).await?;
    let states = [
        JobState::Pending,
        JobState::Completed,
        JobState::Held,
        JobState::Failed,
        JobState::Running,
        JobState::Cancelled,
        JobState::TimedOut,
    ];
    let mut changed = Vec::new();
    let mut runs = Vec::new();
    for (job, state) in jobs.iter().zip(states) {
        changed.push(Job {
            state,
            why: Some(format!("{state}")),
            ..job.clone()
        });
        runs.push(run(run_id(job.id, None, 1))?);
    }
    write(&book, term, changed.to_vec(), runs.to_vec()).await?;
    let open = [0, 2, 4].map(|at| changed[at].clone());
    assert_eq!(book.jobs_open(None).await?, open);
    assert_eq!(book.jobs_open(Some(JobId(1))).await?, open[1..]);
    assert_eq!(book.jobs_open(Some(JobId(u64::MAX))).await?, []);
    assert_eq!(
        book.runs_open(None).await?,
        [0, 2, 4].map(|at| runs[at].clone())
    );
    // After a run of a job that is over, and after one of none.
    assert_eq!(book.runs_open(Some(runs[3].run)).await?, [runs[4].clone()]);
    let beyond = run_id(JobId(u64::MAX), None, 1);
    assert_eq!(book.runs_open(Some(beyond)).await?, []);
    assert_eq!(book.run_list(JobId(2), None).await?, [runs[1].clone()]);
    Ok(())
}

/// One gateway drives at a time, until its time is over; each that takes over has a greater term.
pub async fn a_term_is_held_by_one(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    assert_eq!(term(&book, "gw-1", -100, 10).await?, Some(1));
    assert_eq!(term(&book, "gw-2", 9, 50).await?, None);
    assert_eq!(term(&book, "gw-1", 9, 20).await?, Some(1));
    assert_eq!(term(&book, "gw-2", 19, 50).await?, None);
    assert_eq!(term(&book, "gw-2", 20, 50).await?, Some(2));
    assert_eq!(term(&book, "gw-1", 21, 60).await?, None);
    // With a break of its own.
    assert_eq!(term(&book, "gw-2", 50, 60).await?, Some(3));
    // It leaves before its time.
    assert_eq!(term(&book, "gw-2", 51, 51).await?, Some(3));
    assert_eq!(term(&book, "gw-1", 52, i64::MAX).await?, Some(4));
    assert_eq!(term(&book, "gw-2", i64::MAX - 1, i64::MAX).await?, None);
    drop(book);
    let book = fixture.open().await;
    assert_eq!(term(&book, "gw-2", 53, 54).await?, None);
    assert_eq!(term(&book, "gw-1", 53, 54).await?, Some(4));
    Ok(())
}

/// Who has been replaced writes nothing, however late it finds out; who has not may write, also after its time.
pub async fn an_old_term_writes_nothing(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let one = insert(&book, 1).await?.remove(0);
    let running = Job {
        state: JobState::Running,
        ..one.clone()
    };
    let begun = run(run_id(one.id, None, 1))?;
    let attempt = async |term| {
        write(
            &book,
            JobTerm(term),
            vec![running.clone()],
            vec![begun.clone()],
        )
        .await
    };
    let refused = |last| Err(StoreError::Exists(format!("term {last} of driving jobs")));
    assert_eq!(attempt(1).await, refused(0));
    assert_eq!(term(&book, "gw-1", 0, 10).await?, Some(1));
    assert_eq!(term(&book, "gw-2", 10, 20).await?, Some(2));
    assert_eq!(attempt(1).await, refused(2));
    assert_eq!(attempt(u64::MAX).await, refused(2));
    assert_eq!(book.jobs_open(None).await?, [one]);
    assert_eq!(book.runs_open(None).await?, []);
    attempt(2).await?;
    assert_eq!(book.jobs_open(None).await?, [running]);
    assert_eq!(book.runs_open(None).await?, [begun]);
    Ok(())
}

/// Of a job its state, why and end are written and no more; a change that names a job that is not there is not written at all.
pub async fn a_change_is_written_whole(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let jobs = insert(&book, 2).await?;
    let term = drive(&book).await?;
    let expected = Job {
        why: Some("끝".into()),
        ..over(&jobs[0], JobState::Failed)
    };
    let mut told = expected.clone();
    (told.tenant, told.spec.name) = ("other".parse()?, "other".into());
    (told.held, told.cancelled_at) = (true, Some(Micros(1)));
    let begun = run(run_id(jobs[1].id, Some(3), 1))?;
    for (id, lost) in [(9, "9".to_owned()), (u64::MAX, u64::MAX.to_string())] {
        let lost = Err(StoreError::Absent(format!("the job {lost}")));
        let mut absent = told.clone();
        absent.id = JobId(id);
        let jobs = [told.clone(), absent];
        assert_eq!(
            write(&book, term, jobs.to_vec(), vec![begun.clone()]).await,
            lost
        );
        let runs = [begun.clone(), run(run_id(JobId(id), None, 1))?];
        assert_eq!(
            write(&book, term, vec![told.clone()], runs.to_vec()).await,
            lost
        );
    }
    assert_eq!(book.jobs_open(None).await?, jobs);
    assert_eq!(book.runs_open(None).await?, []);
    // Of two of one number the last counts.
    let (first, mut last) = (begun.clone(), begun);
    last.state = RunState::Running;
    let twice = [over(&jobs[0], JobState::Completed), told];
    write(&book, term, twice.into(), vec![first, last.clone()]).await?;
    assert_eq!(book.job_get(jobs[0].id).await?, Some(expected));
    assert_eq!(book.jobs_open(None).await?, jobs[1..]);
    assert_eq!(book.runs_open(None).await?, [last]);
    write(&book, term, vec![], vec![]).await?;
    Ok(())
}

/// A run is replaced as a whole, and every field of it reads back, also at its ends.
pub async fn extreme_runs_read_back(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let job = insert(&book, 1).await?.remove(0);
    let term = drive(&book).await?;
    let mut one = run(run_id(job.id, Some(u32::MAX), u32::MAX))?;
    write(&book, term, vec![], vec![one.clone()]).await?;
    one.pieces = vec![RunPiece {
        node: u32::MAX,
        accelerators: vec![0, u16::MAX],
        share_milli: u32::MAX,
        cpu_milli: u64::MAX,
        memory_mib: u64::MAX,
    }];
    one.accelerator_milli = u64::MAX;
    one.place = Some(RunPlace {
        site: "pohang".parse()?,
        accelerator: "가속기 1".to_owned(),
    });
    one.stop = Some(RunStop {
        why: StopWhy::Room,
        at: Micros(i64::MAX),
    });
    (one.created_at, one.started_at) = (Micros(i64::MIN), Some(Micros(i64::MAX)));
    one.charge = Some(MicroWon(i64::MIN));
    let why = || "\u{0} 기계가 사라짐".to_owned();
    for outcome in [
        RunOutcome::Completed,
        RunOutcome::Failed {
            exit_code: i32::MIN,
        },
        RunOutcome::TimedOut,
        RunOutcome::Stopped,
        RunOutcome::Cancelled,
        RunOutcome::NotStarted { why: why() },
        RunOutcome::Lost { why: why() },
        RunOutcome::Refused { why: why() },
    ] {
        one.state = RunState::Ended;
        one.end = Some(RunEnd {
            outcome,
            started_at: Some(Micros(i64::MIN)),
            ended_at: Micros(i64::MAX),
            energy: Some(MilliJoules(i64::MAX)),
        });
        write(&book, term, vec![], vec![one.clone()]).await?;
        assert_eq!(book.run_list(job.id, None).await?, [one.clone()]);
    }
    Ok(())
}

/// A job's own task comes before those of an array; tasks and their runs are numbers and not text.
pub async fn runs_are_by_task_and_number(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let jobs = insert(&book, 2).await?;
    let term = drive(&book).await?;
    let order = [
        (None, 1),
        (None, 2),
        (Some(0), 1),
        (Some(2), 9),
        (Some(2), 10),
        (Some(10), 1),
    ];
    let runs = |job: JobId| {
        let runs = order.map(|(index, number)| run(run_id(job, index, number)));
        runs.into_iter().collect::<Result<Vec<_>, _>>()
    };
    let mut all = [runs(jobs[0].id)?, runs(jobs[1].id)?].concat();
    all.reverse();
    write(&book, term, vec![], all.to_vec()).await?;
    let expected = runs(jobs[1].id)?;
    assert_eq!(book.run_list(jobs[1].id, None).await?, expected);
    for (at, after) in expected.iter().enumerate() {
        let rest = book.run_list(jobs[1].id, Some(after.run)).await?;
        assert_eq!(rest, expected[at + 1..]);
    }
    all.reverse();
    assert_eq!(book.runs_open(None).await?, all);
    assert_eq!(book.run_list(JobId(9), None).await?, []);
    Ok(())
}

/// Wherever a page of runs ends, the next goes on there.
pub async fn runs_of_open_jobs_meet(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let jobs = insert(&book, 3).await?;
    let term = drive(&book).await?;
    let mut runs = Vec::new();
    for job in &jobs {
        for (index, number) in [(0, 1), (0, 2), (1, 1)] {
            runs.push(run(run_id(job.id, Some(index), number))?);
        }
    }
    write(&book, term, vec![], runs.to_vec()).await?;
    for (at, after) in runs.iter().enumerate() {
        let rest = book.runs_open(Some(after.run)).await?;
        assert_eq!(rest, runs[at + 1..], "{}", after.run);
    }
    Ok(())
}

/// Who was given up is found until it is told how it ended, also where its job is over; wherever a page ends, the next goes on there.
pub async fn runs_that_were_given_up_are_found(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let jobs = insert(&book, 2).await?;
    let term = drive(&book).await?;
    let end = RunEnd {
        outcome: RunOutcome::Lost { why: "away".into() },
        started_at: Some(Micros(3)),
        ended_at: Micros(5),
        energy: None,
    };
    let mut given_up = Vec::new();
    for (job, index) in [(0, None), (0, Some(2)), (0, Some(10)), (1, Some(0))] {
        let mut one = run(run_id(jobs[job].id, index, 1))?;
        one.unseen_since = Some(Micros(5));
        let away = one.clone();
        one.end = Some(end.clone());
        let mut lost = one.clone();
        (lost.run.number, lost.unseen_since) = (2, None);
        let mut told = one.clone();
        (told.run.number, told.unseen_until) = (3, Some(Micros(7)));
        write(&book, term, vec![], vec![away, lost, told]).await?;
        given_up.push(one);
    }
    assert_eq!(book.runs_untold(None).await?, []);
    let over = over(&jobs[0], JobState::Failed);
    write(&book, term, vec![over], given_up.clone()).await?;
    drop(book);
    let book = fixture.open().await;
    assert_eq!(book.runs_untold(None).await?, given_up);
    for (at, after) in given_up.iter().enumerate() {
        let rest = book.runs_untold(Some(after.run)).await?;
        assert_eq!(rest, given_up[at + 1..], "{}", after.run);
    }
    given_up[0].unseen_until = Some(Micros(9));
    write(&book, term, vec![], vec![given_up.remove(0)]).await?;
    assert_eq!(book.runs_untold(None).await?, given_up);
    Ok(())
}

/// Everything stands after the books were opened again, and numbers go on.
pub async fn jobs_survive(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let jobs = insert(&book, 3).await?;
    let term = drive(&book).await?;
    let ended = over(&jobs[2], JobState::Completed);
    let begun = run(run_id(jobs[0].id, None, 1))?;
    write(&book, term, vec![ended.clone()], vec![begun.clone()]).await?;
    let held = book.job_wish(jobs[0].id, JobWish::Hold).await?;
    drop(book);
    let book = fixture.open().await;
    let all = book.job_list(JobFilter::default(), None, 9).await?;
    assert_eq!(all, [ended, jobs[1].clone(), held]);
    let open = book.jobs_open_count(jobs[0].tenant.clone()).await?;
    assert_eq!(open, 2);
    assert_eq!(book.jobs_open_count("nobody".parse()?).await?, 0);
    // However they stand, and however often that is written: whoever is open counts once, and nobody else does.
    for (state, expected) in [
        (JobState::Held, 2),
        (JobState::Running, 2),
        (JobState::Running, 2),
        (JobState::Failed, 1),
        (JobState::Failed, 1),
    ] {
        let mut job = jobs[1].clone();
        job.state = state;
        write(&book, term, vec![job], vec![]).await?;
        let open = book.jobs_open_count(jobs[0].tenant.clone()).await?;
        assert_eq!(open, expected, "{state}");
    }
    assert_eq!(book.runs_open(None).await?, [begun]);
    let next = insert(&book, 1).await?.remove(0);
    assert!(next.id > jobs[2].id, "{}", next.id);
    // Whoever drove goes on within its time.
    assert_eq!(drive(&book).await?, term);
    Ok(())
}
