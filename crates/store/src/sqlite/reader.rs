//! The threads that read. Look-ups have their own, so that a long report never delays the check of a key; neither
//! ever waits for the writer.

use crate::StoreError;
use rusqlite::Connection;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Reads that may wait for one reader.
const QUEUE_READS_MAX: usize = 256;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// One reading thread and its connection.
pub(super) struct Reader {
    queue: Option<mpsc::Sender<Read>>,
    thread: Option<JoinHandle<()>>,
    wait_max: Duration,
}

impl Reader {
    pub(super) fn start(
        name: &str,
        conn: Connection,
        wait_max: Duration,
    ) -> Result<Self, StoreError> {
        let (queue, mut reads) = mpsc::channel::<Read>(QUEUE_READS_MAX);
        let run = move || {
            while let Some(read) = reads.blocking_recv() {
                read(&conn);
            }
        };
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|e| StoreError::Unavailable(format!("cannot start the thread {name}: {e}")))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            wait_max,
        })
    }

    /// Runs `read` on the reader's thread. Where the caller has left before its turn, it is not run.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Read = Box::new(move |conn| {
            if !reply.is_closed() {
                // Nobody waits where the caller has left meanwhile.
                drop(reply.send(read(conn)));
            }
        });
        let asked = async {
            let queue = self.queue.as_ref().ok_or_else(stopped)?;
            queue.send(job).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        timeout(self.wait_max, asked).await.map_err(|_| {
            let seconds = self.wait_max.as_secs_f64();
            StoreError::Unavailable(format!(
                "the read was not answered within {seconds} s; ask for a shorter span"
            ))
        })?
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a reader of the store had panicked");
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("a reader of the store has stopped".into())
}
