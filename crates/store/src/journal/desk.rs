//! How answers reach those who wait: a batch at a time, through one task of their own event loop. Were each waiter woken
//! from the journal's thread, each would cost that thread a call into the kernel.

use super::Waiter;
use std::cell::RefCell;
use tokio::runtime::{self, Handle};
use tokio::sync::{mpsc, oneshot};

/// Who waits, and what it is told.
type Answer = (oneshot::Sender<bool>, bool);

/// Where the answers for one event loop are handed in. What waits there is bounded by those who wait for it.
#[derive(Clone)]
pub(super) struct Desk {
    runtime: runtime::Id,
    answers: mpsc::UnboundedSender<Vec<Answer>>,
}

thread_local! {
    static HERE: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

impl Desk {
    /// The desk of the event loop that this thread runs; `None` where it runs none.
    pub(super) fn here() -> Option<Self> {
        let handle = Handle::try_current().ok()?;
        HERE.with_borrow_mut(|here| {
            let sound = |desk: &Self| desk.runtime == handle.id() && !desk.answers.is_closed();
            if !here.as_ref().is_some_and(sound) {
                *here = Some(Self::open(&handle));
            }
            here.clone()
        })
    }

    /// Starts the task, which ends with its event loop or with the last who knows the desk.
    fn open(handle: &Handle) -> Self {
        let (answers, mut batches) = mpsc::unbounded_channel::<Vec<Answer>>();
        handle.spawn(async move {
            while let Some(batch) = batches.recv().await {
                batch.into_iter().for_each(tell);
            }
        });
        Self {
            runtime: handle.id(),
            answers,
        }
    }
}

/// Tells all the same, through their desks where they have one.
pub(super) fn answer(waiting: impl Iterator<Item = Waiter>, word: bool) {
    let mut batches: Vec<(Desk, Vec<Answer>)> = Vec::new();
    for (desk, reply) in waiting {
        let Some(desk) = desk else {
            tell((reply, word));
            continue;
        };
        let same = |(other, _): &&mut (Desk, _)| other.answers.same_channel(&desk.answers);
        match batches.iter_mut().find(same) {
            Some((_, batch)) => batch.push((reply, word)),
            None => batches.push((desk, vec![(reply, word)])),
        }
    }
    for (desk, batch) in batches {
        if let Err(mpsc::error::SendError(batch)) = desk.answers.send(batch) {
            batch.into_iter().for_each(tell);
        }
    }
}

fn tell((reply, word): Answer) {
    // Nobody waits where the caller has left: it hands its record over again.
    reply.send(word).ok();
}
