use super::*;
use crate::jobs::slurm::ask::Ask;
use crate::jobs::slurm::job::SlurmState;
use crate::jobs::slurm::options::SlurmOptions;
use crate::jobs::slurm::transport::Transport;
use async_trait::async_trait;
use madang_types::{JobId, TaskId};
use std::sync::atomic::{AtomicU32, Ordering};

/// A cluster of paper: jobs 1 to 6 have completed, of which 2 cannot be read, and 3 to 5 are not known to the controller any more; nor is 7,
/// which its accounting has as one that runs.
struct Paper {
    accounting_is_there: bool,
    accounting_count: Arc<AtomicU32>,
}

fn run(number: u64) -> RunId {
    RunId {
        task: TaskId::from(JobId(number)),
        number: 1,
    }
}

fn done(id: u32, name: &str) -> SlurmJob {
    SlurmJob {
        id,
        name: name.to_owned(),
        state: SlurmState::Completed,
        reason: String::new(),
        submitted_s: 100,
        started_s: Some(110),
        ended_s: Some(120),
        had_nodes: true,
        exit: (0, 0),
    }
}

#[async_trait]
impl Transport for Paper {
    async fn submit(&self, _: &Ask) -> Result<u32, Fault> {
        Err(Fault::Refused("nothing is submitted here".to_owned()))
    }

    async fn live(&self, ids: &[u32]) -> Result<Live, Fault> {
        let known = ids.iter().filter(|id| [1, 6].contains(*id));
        let unread = Fault::Unknown("the job 2 cannot be read".to_owned());
        Ok(Live {
            jobs: known
                .map(|id| done(*id, &format!("madang-{id}-1")))
                .collect(),
            unread: BTreeMap::from([(2, unread)]),
        })
    }

    async fn accounted(&self, name: &str, _: u64) -> Result<Vec<SlurmJob>, Fault> {
        self.accounting_count.fetch_add(1, Ordering::Relaxed);
        match (name, self.accounting_is_there) {
            (_, false) => Err(Fault::Unknown("no answer".to_owned())),
            ("madang-7-1", true) => Ok(vec![SlurmJob {
                state: SlurmState::Running,
                ended_s: None,
                ..done(7, name)
            }]),
            ("madang-3-1", true) => Err(Fault::Refused("bad name".to_owned())),
            (name, true) => Ok(vec![done(name[7..8].parse().unwrap(), name)]),
        }
    }

    async fn signal(&self, id: u32, _: &str) -> Result<(), Fault> {
        match id {
            1 => Err(Fault::Refused("not this one".to_owned())),
            _ => Ok(()),
        }
    }

    async fn cancel(&self, _: u32) -> Result<(), Fault> {
        Ok(())
    }
}

/// It, and how often its accounting was asked.
async fn site(folder: &std::path::Path, accounting_is_there: bool) -> (Inner, Arc<AtomicU32>) {
    let options = SlurmOptions::here("paper", folder.join("book"), folder.join("runs"));
    let mut inner = Inner::open(options).unwrap();
    let accounting_count = Arc::new(AtomicU32::new(0));
    inner.transport = Box::new(Paper {
        accounting_is_there,
        accounting_count: Arc::clone(&accounting_count),
    });
    for number in 1..=6 {
        let mut entry = Entry::new(run(number), now_ms(), 1_000);
        entry.job = u32::try_from(number).ok();
        inner.book.put(entry).await.unwrap();
    }
    (inner, accounting_count)
}

fn ended(inner: &Inner) -> Vec<u64> {
    let known = inner.book.lock();
    let over = known.values().filter(|known| known.entry.end.is_some());
    over.map(|known| known.entry.run.task.job.0).collect()
}

#[tokio::test]
async fn one_that_fails_keeps_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, _) = site(folder.path(), true).await;
    // Its end cannot be written down.
    std::fs::create_dir(folder.path().join("book/1-1.new")).unwrap();
    let told = inner.refresh(&inner.open_runs()).await;
    assert!(
        matches!(&told, Err(JobsError::Unavailable(why)) if why.contains("1-1.json")),
        "{told:?}"
    );
    assert_eq!(ended(&inner), [4, 5, 6]);
    std::fs::remove_dir(folder.path().join("book/1-1.new")).unwrap();
    let told = inner.refresh(&inner.open_runs()).await;
    assert!(
        matches!(&told, Err(JobsError::Unavailable(why)) if why.contains("the job 2 cannot be read")),
        "{told:?}"
    );
    assert_eq!(ended(&inner), [1, 4, 5, 6]);
}

#[tokio::test]
async fn an_accounting_that_is_away_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, accounting_count) = site(folder.path(), false).await;
    assert!(inner.refresh(&inner.open_runs()).await.is_err());
    assert_eq!(ended(&inner), [1, 6]);
    assert_eq!(accounting_count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn force_goes_on_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, _) = site(folder.path(), true).await;
    for number in [1, 2] {
        let due = |entry: &mut Entry| {
            entry.stop = Some(crate::jobs::slurm::job::Stop {
                cancel: true,
                force_at_ms: 0,
                forced: false,
            });
        };
        inner.book.change(run(number), due).await.unwrap();
    }
    let told = inner.force().await;
    assert!(matches!(&told, Err(JobsError::Refused(_))), "{told:?}");
    let forced = |number| inner.book.get(run(number)).unwrap().stop.unwrap().forced;
    assert_eq!([forced(1), forced(2)], [false, true]);
}

#[tokio::test]
async fn a_run_that_the_accounting_never_heard_the_end_of_is_lost_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let (mut inner, _) = site(folder.path(), true).await;
    let mut entry = Entry::new(run(7), now_ms(), 1_000);
    entry.job = Some(7);
    inner.book.put(entry).await.unwrap();
    // The controller may be between two words: it is not lost at once.
    inner.refresh(&[run(7)]).await.unwrap();
    assert_eq!(inner.book.get(run(7)).unwrap().end, None);
    inner.options.lost_ms = 0;
    inner.refresh(&[run(7)]).await.unwrap();
    let end = inner.book.get(run(7)).unwrap().end.unwrap();
    assert!(matches!(end.outcome, RunOutcome::Lost { .. }), "{end:?}");
    assert_eq!(end.started_at, Some(micros(110)));
}
