//! Jobs: numbers, fields, lists, wishes.

use super::{Failure, Fixture, drive, insert, job, list, over, run, run_id, write};
use crate::{JobFilter, JobWish, StoreError};
use madang_types::{Job, JobId, JobResources, JobState, Micros, RunRecord};
use std::sync::Arc;

/// Numbers grow in the order of coming, from 1, whatever the caller's job says; and those who ask at once have one each.
pub async fn jobs_are_numbered_as_they_come(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let mut sent = job("demo")?;
    sent.id = JobId(77);
    let first = book.job_insert(sent.clone()).await?;
    sent.id = JobId(1);
    assert_eq!(first, sent);
    assert_eq!(book.job_get(first.id).await?, Some(first));
    let many = (0..20).map(|_| {
        let (book, sent) = (Arc::clone(&book), sent.clone());
        tokio::spawn(async move { book.job_insert(sent).await })
    });
    let mut ids = Vec::new();
    for inserted in many.collect::<Vec<_>>() {
        ids.push(inserted.await??.id.0);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(ids[0] > 1);
    for absent in [0, 1_000, u64::MAX] {
        assert_eq!(book.job_get(JobId(absent)).await?, None);
    }
    Ok(())
}

/// Every field reads back, also at its ends and with text of every kind.
pub async fn extreme_jobs_read_back(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let mut one = job("demo")?;
    (one.project, one.programme) = (Some("web".parse()?), Some("open".parse()?));
    one.key = Some("k1".parse()?);
    (one.state, one.held) = (JobState::Held, true);
    (one.submitted_at, one.ended_at) = (Micros(i64::MIN), Some(Micros(i64::MAX)));
    one.cancelled_at = Some(Micros(i64::MIN));
    one.why = Some("입력이 없음: a'b\"c\\d;--\n\t%_".into());
    one.spec.script = Some("#!/bin/sh\necho '안녕' \"\u{0}\" 🧑‍🚀\n".into());
    one.spec.env = [("A".to_owned(), "가".repeat(4_000))].into();
    one.spec.time_limit_ms = u64::MAX;
    one.spec.resources = JobResources {
        accelerator: vec!["h200".into()],
        count: u32::MAX,
        per_node: Some(u32::MAX),
        share_milli: u32::MAX,
        accelerator_memory_mib_min: Some(u64::MAX),
        cpu_milli: u64::MAX,
        memory_mib: u64::MAX,
    };
    let inserted = book.job_insert(one.clone()).await?;
    one.id = inserted.id;
    assert_eq!(inserted, one);
    assert_eq!(book.job_get(one.id).await?, Some(one.clone()));
    assert_eq!(book.job_list(JobFilter::default(), None, 9).await?, [one]);
    Ok(())
}

/// Pages follow each other without a gap and without one job twice.
pub async fn lists_are_newest_first_and_meet(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let mut expected = insert(&book, 5).await?;
    expected.reverse();
    let page = async |before: Option<&Job>, count| {
        let before = before.map(|job| job.id);
        book.job_list(JobFilter::default(), before, count).await
    };
    let first = page(None, 2).await?;
    let second = page(first.last(), 2).await?;
    let third = page(second.last(), 2).await?;
    assert_eq!(page(third.last(), 2).await?, []);
    assert_eq!([first, second, third].concat(), expected);
    let beyond = Some(JobId(u64::MAX));
    let all = book.job_list(JobFilter::default(), beyond, 9).await?;
    assert_eq!(all, expected);
    let none = book
        .job_list(JobFilter::default(), Some(JobId(0)), 9)
        .await?;
    assert_eq!(none, []);
    Ok(())
}

/// What is asked for must all hold.
pub async fn lists_follow_all_filters(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    for (tenant, project, programme, state) in [
        ("demo", Some("web"), Some("open"), JobState::Pending),
        ("demo", None, None, JobState::Completed),
        ("kma", Some("web"), Some("open"), JobState::Running),
        ("kma", Some("app"), Some("open"), JobState::Failed),
    ] {
        let mut one = job(tenant)?;
        one.project = project.map(str::parse).transpose()?;
        one.programme = programme.map(str::parse).transpose()?;
        one.state = state;
        book.job_insert(one).await?;
    }
    let check = async |filter: JobFilter, expected: &[u64]| -> Result<(), Failure> {
        assert_eq!(list(&book, filter.clone()).await?, expected, "{filter:?}");
        Ok(())
    };
    let all = JobFilter::default;
    check(all(), &[4, 3, 2, 1]).await?;
    let programme = Some("open".parse()?);
    check(JobFilter { programme, ..all() }, &[4, 3, 1]).await?;
    let tenant = Some("demo".parse()?);
    check(JobFilter { tenant, ..all() }, &[2, 1]).await?;
    let (tenant, project) = (Some("kma".parse()?), Some("web".parse()?));
    check(
        JobFilter {
            project: project.clone(),
            ..all()
        },
        &[3, 1],
    )
    .await?;
    check(
        JobFilter {
            tenant: tenant.clone(),
            project,
            ..all()
        },
        &[3],
    )
    .await?;
    let states = vec![JobState::Pending, JobState::Running];
    check(
        JobFilter {
            states: states.clone(),
            ..all()
        },
        &[3, 1],
    )
    .await?;
    check(
        JobFilter {
            tenant,
            states,
            ..all()
        },
        &[3],
    )
    .await?;
    let states = vec![JobState::Completed, JobState::Running, JobState::Failed];
    check(JobFilter { states, ..all() }, &[4, 3, 2]).await?;
    let tenant = Some("none".parse()?);
    check(JobFilter { tenant, ..all() }, &[]).await
}

/// No list is longer than the most of a page; open jobs and runs go on after it.
pub async fn lists_are_bounded(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let inserted = insert(&book, 1001).await?;
    assert_eq!(list(&book, JobFilter::default()).await?.len(), 1000);
    let first = book.jobs_open(None).await?;
    assert_eq!(first, inserted[..1000]);
    let rest = book.jobs_open(Some(first[999].id)).await?;
    assert_eq!(rest, inserted[1000..]);
    let runs: Vec<RunRecord> = (0..1001)
        .map(|index| run(run_id(inserted[0].id, Some(index), 1)))
        .collect::<Result<_, _>>()?;
    write(&book, drive(&book).await?, vec![], runs.to_vec()).await?;
    let first = book.run_list(inserted[0].id, None).await?;
    assert_eq!(first, runs[..1000]);
    assert_eq!(book.runs_open(None).await?, first);
    let last = Some(runs[999].run);
    assert_eq!(book.run_list(inserted[0].id, last).await?, runs[1000..]);
    assert_eq!(book.runs_open(last).await?, runs[1000..]);
    Ok(())
}

/// A job is held, released and withdrawn, the last once; one that is over changes no more.
pub async fn wishes_are_kept_until_the_end(fixture: &impl Fixture) -> Result<(), Failure> {
    let book = fixture.open().await;
    let inserted = insert(&book, 2).await?;
    let (mut one, other) = (inserted[0].clone(), inserted[1].clone());
    for (wish, held, cancelled_at) in [
        (JobWish::Hold, true, None),
        (JobWish::Hold, true, None),
        (JobWish::Cancel(Micros(5)), true, Some(Micros(5))),
        (JobWish::Cancel(Micros(4)), true, Some(Micros(5))),
        (JobWish::Release, false, Some(Micros(5))),
    ] {
        (one.held, one.cancelled_at) = (held, cancelled_at);
        assert_eq!(book.job_wish(one.id, wish).await?, one, "{wish:?}");
        assert_eq!(book.job_get(one.id).await?, Some(one.clone()));
    }
    assert_eq!(book.job_get(other.id).await?, Some(other.clone()));
    let ended = over(&other, JobState::TimedOut);
    let term = drive(&book).await?;
    write(&book, term, vec![ended.clone()], vec![]).await?;
    for wish in [JobWish::Hold, JobWish::Cancel(Micros(6)), JobWish::Release] {
        assert_eq!(book.job_wish(ended.id, wish).await?, ended, "{wish:?}");
    }
    for id in [9, u64::MAX] {
        let absent = book.job_wish(JobId(id), JobWish::Hold).await;
        assert_eq!(absent, Err(StoreError::Absent(format!("the job {id}"))));
    }
    Ok(())
}
