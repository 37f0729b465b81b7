//! A thread with an event loop of its own, apart from those of connections: what waits for the disk there keeps nobody waiting here.

use std::io;
use std::thread::{Builder, JoinHandle};
use tokio::runtime;
use tokio::sync::watch;

/// Works until it is stopped or dropped.
pub struct Worker {
    name: &'static str,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts `work` on a thread of that name. What it is given turns true once it shall end.
    ///
    /// # Errors
    /// The thread or its event loop cannot be had.
    pub(crate) fn start<F: Future<Output = ()>>(
        name: &'static str,
        work: impl FnOnce(watch::Receiver<bool>) -> F + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopping) = watch::channel(false);
        let event_loop = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = Builder::new().name(name.into()).spawn(move || {
            event_loop.block_on(work(stopping));
            event_loop.shutdown_background();
        })?;
        Ok(Self {
            name,
            stop,
            thread: Some(thread),
        })
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let Some(thread) = self.thread.take() else {
            return;
        };
        let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
        if !matches!(joined, Ok(true)) {
            tracing::error!("the thread {} had panicked", self.name);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// What came of it; what went wrong is logged, by whom, and tried again later.
pub(crate) fn logged<T>((who, what): (&str, &str), result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "{who}: cannot {what}, trying again later");
            None
        }
    }
}
