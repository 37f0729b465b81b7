//! The tiles' thread: brings what was confirmed into the tree, a checkpoint at a time.

use super::sequence::Tree;
use super::{RETRY_WAIT, Settings, Shared, State, wait};
use crate::AuditError;
use crate::tile::WIDTH;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The thread's own.
pub(super) struct Sequencer {
    shared: Arc<Shared>,
    tree: Tree,
    checkpoint_wait: Duration,
    checkpoint_leaves: usize,
    /// Taken from the backlog, and not yet in the tree.
    pending: Vec<Vec<u8>>,
}

impl Sequencer {
    pub(super) fn new(shared: Arc<Shared>, tree: Tree, settings: &Settings) -> Self {
        Self {
            shared,
            tree,
            checkpoint_wait: Duration::from_millis(settings.checkpoint_ms_max),
            checkpoint_leaves: settings.checkpoint_leaves,
            pending: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        while self.take() {
            let done = self.tree.extend(&self.pending);
            let mut state = self.shared.lock();
            let failed = done.is_err();
            match done {
                Ok(()) => {
                    self.pending.clear();
                    state.checkpoint_size = self.tree.size();
                    if state.tile_trouble.take().is_some() {
                        tracing::info!("the audit log's tiles are written again");
                    }
                }
                Err(error) => {
                    let trouble = reason(error);
                    if state.tile_trouble.is_none() {
                        tracing::error!(
                            error = trouble,
                            "the audit log's tiles cannot be written; tried again"
                        );
                    }
                    state.tile_trouble = Some(trouble);
                }
            }
            self.shared.progressed();
            if failed {
                if state.journal_ended {
                    // What is left stands in the journal, and the next start brings it into the tree.
                    break;
                }
                // Whoever hurries wakes this thread; the disk is left alone for the whole time.
                let waits = |state: &mut State| !state.journal_ended;
                drop(
                    self.shared
                        .sequencer
                        .wait_timeout_while(state, RETRY_WAIT, waits),
                );
            }
        }
    }

    /// Waits until a checkpoint is due and takes what it is to cover; `false` at the end.
    fn take(&mut self) -> bool {
        let mut due = None;
        let mut state = self.shared.lock();
        loop {
            let count = self.pending.len() + state.backlog.len();
            let ending = state.closed && state.journal_ended;
            if count == 0 {
                if ending {
                    return false;
                }
                state.hurry = false;
                due = None;
                state.backlog_due = 1;
                state = wait(&self.shared.sequencer, state, None);
                continue;
            }
            let now = Instant::now();
            let at = *due.get_or_insert(now + self.checkpoint_wait);
            let retry = !self.pending.is_empty();
            let all = ending || retry || state.hurry || at <= now;
            if all || count >= self.checkpoint_leaves {
                state.hurry = false;
                let count = match all {
                    true => state.backlog.len(),
                    false => self.whole_tiles(count),
                };
                self.pending.extend(state.backlog.drain(..count));
                return true;
            }
            // A retry waits for nothing: `pending` is empty here.
            state.backlog_due = self.checkpoint_leaves;
            state = wait(&self.shared.sequencer, state, Some(at - now));
        }
    }

    /// How many of the next `count` leaves to take where there are many: as far as they fill tiles, if they fill one. What is
    /// left of the last tile is not written out only to be removed with the next checkpoint, which is soon.
    fn whole_tiles(&self, count: usize) -> usize {
        let end = self.tree.size() + count as u64;
        let over = usize::try_from(end % WIDTH as u64).unwrap_or_default();
        if over < count { count - over } else { count }
    }
}

fn reason(error: AuditError) -> String {
    match error {
        AuditError::Unavailable(reason) => reason,
        other => other.to_string(),
    }
}
