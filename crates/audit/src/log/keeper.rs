//! The journal's thread: writes what waits with one sync, and answers.

use super::journal::{self, Journal};
use super::{Appended, Entry, GATHER_WAIT, RETRY_WAIT, Shared, Sleep, wait};
use crate::AuditError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The thread's own.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    journal: Journal,
    /// How long what was confirmed may wait for a sync; `None` where nothing is confirmed before.
    sync_wait: Option<Duration>,
    /// When what was written must be synced.
    sync_at: Option<Instant>,
    /// Confirmed before its sync. It waits for that: were it in the tree first, a crash of the machine could leave a
    /// journal that ends before the tree does.
    unsynced: Vec<Vec<u8>>,
    /// Reused from batch to batch.
    frames: Vec<u8>,
    /// Leaves of the last batch that somebody waited for.
    served: usize,
}

/// What there is to do.
enum Task {
    Write(Vec<Entry>),
    Sync,
    Mend,
    End,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, journal: Journal, sync_wait: Option<Duration>) -> Self {
        Self {
            shared,
            journal,
            sync_wait,
            sync_at: None,
            unsynced: Vec::new(),
            frames: Vec::new(),
            served: 0,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            match self.next() {
                Task::Write(batch) => self.serve(batch),
                // `fail` has told of an error, and nobody waits for this sync.
                Task::Sync => drop(self.sync()),
                Task::Mend => self.mend(),
                Task::End => break,
            }
        }
        drop(self.sync());
        self.shared.lock().journal_ended = true;
        self.shared.sequencer.notify_one();
    }

    fn next(&mut self) -> Task {
        if self.served > 1 {
            // Under load whoever is about to hand a leaf over goes first, and the batch grows; where a processor is free
            // this costs nothing.
            std::thread::yield_now();
        }
        // How a request ended follows what was decided about it. This thread looks for that by itself, once, so that nobody
        // needs to wake it.
        let expects = std::mem::take(&mut self.served) > 0;
        let mut look_at = expects.then(|| Instant::now() + GATHER_WAIT);
        let mut state = self.shared.lock();
        loop {
            let now = Instant::now();
            let write_at = state.waiting_since.map(|since| since + GATHER_WAIT);
            let due = state.awaited || state.closed || write_at.is_some_and(|at| at <= now);
            if due && !state.waiting.is_empty() {
                return Task::Write(state.take_waiting());
            }
            if state.closed {
                return Task::End;
            }
            if self.sync_at.is_some_and(|at| at <= now) {
                return Task::Sync;
            }
            if state.journal_trouble.is_some() {
                if state.checkpoint_size == state.size {
                    return Task::Mend;
                }
                state.hurry = true;
                self.shared.sequencer.notify_one();
                state = wait(&self.shared.keeper, state, Some(RETRY_WAIT));
                continue;
            }
            look_at = look_at.filter(|at| *at > now);
            let soon = look_at.or(write_at);
            state.sleep = soon.map_or(Sleep::Sound, |_| Sleep::Short);
            let until = [self.sync_at, write_at, look_at]
                .into_iter()
                .flatten()
                .min();
            let most = until.map(|at| at.saturating_duration_since(now));
            state = wait(&self.shared.keeper, state, most);
            state.sleep = Sleep::Awake;
        }
    }

    fn serve(&mut self, batch: Vec<Entry>) {
        self.served = batch.iter().filter(|entry| entry.reply.is_some()).count();
        let state = self.shared.lock();
        let (first, trouble) = (state.size, state.journal_trouble.clone());
        drop(state);
        if let Some(trouble) = trouble {
            return refuse(batch, &AuditError::Unavailable(trouble));
        }
        self.frames.clear();
        for (index, entry) in (first..).zip(&batch) {
            journal::encode(&mut self.frames, index, &entry.leaf);
        }
        if let Err(error) = self.make_room().and_then(|()| self.write()) {
            return refuse(batch, &error);
        }
        let end = first + batch.len() as u64;
        let mut replies = Vec::with_capacity(self.served);
        for (index, entry) in (first..).zip(batch) {
            self.unsynced.push(entry.leaf);
            replies.extend(entry.reply.map(|reply| (reply, index)));
        }
        let mut state = self.shared.lock();
        state.size = end;
        state.half_ends[self.journal.half] = state.size;
        drop(state);
        if self.sync_at.is_none() {
            self.hand_on();
        }
        for (reply, index) in replies {
            // Nobody waits where the caller has left; its leaf is logged.
            reply.send(Ok(Appended { index })).ok();
        }
    }

    /// Waits until the batch has room, in the other half if need be: that is free once its leaves are in the tree.
    fn make_room(&mut self) -> Result<(), AuditError> {
        if self.frames.len() as u64 <= self.journal.room() {
            return Ok(());
        }
        // What the other half holds may still wait for it.
        self.sync()?;
        let mut state = self.shared.lock();
        while state.half_ends[1 - self.journal.half] > state.checkpoint_size {
            if let Some(trouble) = &state.tile_trouble {
                return Err(AuditError::Unavailable(trouble.clone()));
            }
            state.hurry = true;
            self.shared.sequencer.notify_one();
            state = wait(&self.shared.keeper, state, None);
        }
        drop(state);
        let turned = self.journal.turn();
        turned.map_err(|error| self.fail(&error))
    }

    fn write(&mut self) -> Result<(), AuditError> {
        let written = self
            .journal
            .write(&self.frames)
            .and_then(|()| match self.sync_wait {
                None => self.journal.sync(),
                Some(wait) => {
                    self.sync_at.get_or_insert_with(|| Instant::now() + wait);
                    Ok(())
                }
            });
        written.map_err(|error| self.fail(&error))
    }

    /// Syncs what was confirmed before, if anything was.
    fn sync(&mut self) -> Result<(), AuditError> {
        if self.sync_at.take().is_some() {
            self.journal.sync().map_err(|error| self.fail(&error))?;
            self.hand_on();
        }
        Ok(())
    }

    /// What stands in the journal, synced, may go into the tree.
    fn hand_on(&mut self) {
        let mut state = self.shared.lock();
        state.backlog.append(&mut self.unsynced);
        if state.backlog.len() >= state.backlog_due {
            // Once is enough.
            state.backlog_due = usize::MAX;
            drop(state);
            self.shared.sequencer.notify_one();
        }
    }

    /// After a failed write or sync nothing is known of the file: nothing more is put there before it is made anew.
    fn fail(&mut self, error: &io::Error) -> AuditError {
        let trouble = format!("its journal fails: {error}");
        tracing::error!(%error, "the audit log's journal fails; nothing is confirmed until it is mended");
        self.sync_at = None;
        // What was confirmed before its sync is safe in the tree alone.
        self.hand_on();
        self.shared.lock().journal_trouble = Some(trouble.clone());
        AuditError::Unavailable(trouble)
    }

    /// Makes the file anew; all that was confirmed is in the tree.
    fn mend(&mut self) {
        let begun = self.journal.begin();
        let mut state = self.shared.lock();
        match begun {
            Ok(()) => {
                tracing::info!("the audit log's journal is mended");
                state.half_ends = [0; 2];
                state.journal_trouble = None;
            }
            Err(_) if state.closed => {}
            Err(error) => {
                state.journal_trouble = Some(format!("its journal fails: {error}"));
                drop(wait(&self.shared.keeper, state, Some(RETRY_WAIT)));
            }
        }
    }
}

fn refuse(batch: Vec<Entry>, error: &AuditError) {
    for reply in batch.into_iter().filter_map(|entry| entry.reply) {
        // Nobody waits where the caller has left.
        reply.send(Err(error.clone())).ok();
    }
}
