//! The task behind a [`super::SupervisorHandle`].

use super::SupervisorOptions;
use super::status::{Publisher, State};
use crate::address::EngineAddress;
use crate::backoff::Backoff;
use crate::running::{Exit, Report, Running};
use crate::spec::{LaunchError, LaunchSpec};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// What the handle asks for. A handle that is gone asks for [`Order::Stop`].
#[derive(Debug)]
pub(super) enum Order {
    Restart(String),
    Stop,
}

pub(super) struct Task<S, R> {
    options: SupervisorOptions,
    spec_factory: S,
    ready_check: R,
    orders: mpsc::Receiver<Order>,
    publisher: Publisher,
    backoff: Backoff,
}

/// Why a phase of an engine's life is over.
enum Turn {
    Ready,
    Ended(Exit),
    Restart(String),
    TooSlow,
    Stop,
}

/// How a whole life went.
enum Life {
    Ended { reason: String, ready_for: Duration },
    Stopped,
}

impl<S, R, F> Task<S, R>
where
    S: FnMut() -> Result<LaunchSpec, LaunchError> + Send + 'static,
    R: Fn(EngineAddress) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    pub fn new(
        options: SupervisorOptions,
        (spec_factory, ready_check): (S, R),
        orders: mpsc::Receiver<Order>,
        publisher: Publisher,
    ) -> Self {
        let backoff = Backoff::new(options.backoff);
        Self {
            options,
            spec_factory,
            ready_check,
            orders,
            publisher,
            backoff,
        }
    }

    pub async fn run(mut self) {
        while let Life::Ended { reason, ready_for } = self.life().await {
            let wait = self.backoff.on_end(ready_for);
            let failures_count = self.backoff.failures_count();
            self.publisher.change(|status| {
                status.state = State::Exited;
                (status.address, status.pid) = (None, None);
                status.ready_error = None;
                status.failures_count = failures_count;
                status.reason = Some(reason);
            });
            self.publisher.change(|status| {
                status.state = State::Backoff;
                status.retry_in_ms = u64::try_from(wait.as_millis()).ok();
            });
            tokio::select! {
                order = self.orders.recv() => {
                    if matches!(order, None | Some(Order::Stop)) {
                        break;
                    }
                }
                () = sleep(wait) => {}
            }
        }
        self.publisher.change(|status| {
            status.state = State::Stopped;
            (status.address, status.pid) = (None, None);
            (status.ready_error, status.retry_in_ms) = (None, None);
        });
    }

    /// One engine from its start to its end.
    async fn life(&mut self) -> Life {
        self.publisher.change(|status| {
            status.state = State::Starting;
            status.starts_count += 1;
            status.retry_in_ms = None;
        });
        let started = (self.spec_factory)().and_then(|spec| {
            let running = Running::start(&self.options.guard, &spec, &self.options.log_dir)?;
            Ok((spec, running))
        });
        let (spec, mut running) = match started {
            Ok(started) => started,
            Err(error) => {
                let reason = error.to_string();
                let ready_for = Duration::ZERO;
                return Life::Ended { reason, ready_for };
            }
        };
        let address = spec.address.clone();
        self.publisher
            .change(|status| status.address = Some(address));
        let mut turn = self.until_ready(&mut running, &spec).await;
        let mut ready_at = None;
        if matches!(turn, Turn::Ready) {
            ready_at = Some(Instant::now());
            self.publisher.change(|status| {
                status.state = State::Ready;
                (status.reason, status.ready_error) = (None, None);
                status.last_lines.clear();
            });
            turn = self.until_turn(&mut running).await;
        }
        let ready_for = ready_at.map_or(Duration::ZERO, |at| at.elapsed());
        self.finish(running, &spec, turn, ready_for).await
    }

    async fn until_ready(&mut self, running: &mut Running, spec: &LaunchSpec) -> Turn {
        let deadline = Instant::now() + Duration::from_millis(spec.start_ms_max);
        let interval = Duration::from_millis(self.options.ready_interval_ms.max(1));
        let check = async {
            loop {
                match (self.ready_check)(spec.address.clone()).await {
                    Ok(()) => return,
                    Err(reason) => self.publisher.not_ready(reason),
                }
                sleep(interval).await;
            }
        };
        tokio::pin!(check);
        loop {
            tokio::select! {
                order = self.orders.recv() => return turn_of(order),
                report = running.next() => match report {
                    Report::Started(pid) => {
                        self.publisher.change(|status| status.pid = Some(pid));
                    }
                    Report::Ended(exit) => return Turn::Ended(exit),
                },
                () = &mut check => return Turn::Ready,
                () = sleep_until(deadline) => return Turn::TooSlow,
            }
        }
    }

    async fn until_turn(&mut self, running: &mut Running) -> Turn {
        loop {
            tokio::select! {
                order = self.orders.recv() => return turn_of(order),
                report = running.next() => match report {
                    // The first report may be overtaken by the ready check.
                    Report::Started(pid) => {
                        self.publisher.change(|status| status.pid = Some(pid));
                    }
                    Report::Ended(exit) => return Turn::Ended(exit),
                },
            }
        }
    }

    async fn finish(
        &mut self,
        mut running: Running,
        spec: &LaunchSpec,
        turn: Turn,
        ready_for: Duration,
    ) -> Life {
        let short_ms = spec.stop_ms_max.min(self.options.hung_stop_ms_max);
        let (exit, reason) = match turn {
            Turn::Ended(exit) => (exit, Some(ended_reason(exit, ready_for))),
            Turn::Restart(reason) => {
                self.publisher.change(|status| {
                    status.state = State::Hung;
                    status.reason = Some(reason.clone());
                });
                (running.stop(short_ms).await, Some(reason))
            }
            Turn::TooSlow => {
                let error = self.publisher.ready_error();
                let error = error.as_deref().unwrap_or("no answer to the ready check");
                let reason = format!("not ready within {} ms: {error}", spec.start_ms_max);
                (running.stop(short_ms).await, Some(reason))
            }
            Turn::Stop | Turn::Ready => {
                self.publisher.state(State::Stopping);
                (running.stop(spec.stop_ms_max).await, None)
            }
        };
        let last_lines = running.end(exit).await;
        self.publisher.change(|status| {
            status.last_exit = Some(exit);
            status.last_lines = last_lines;
        });
        match reason {
            Some(reason) if !self.stop_was_ordered() => Life::Ended { reason, ready_for },
            Some(_) | None => Life::Stopped,
        }
    }

    /// Takes the orders that came while the engine was being ended: further restarts are done with it.
    fn stop_was_ordered(&mut self) -> bool {
        while let Ok(order) = self.orders.try_recv() {
            if matches!(order, Order::Stop) {
                return true;
            }
        }
        false
    }
}

fn turn_of(order: Option<Order>) -> Turn {
    match order {
        Some(Order::Restart(reason)) => Turn::Restart(reason),
        Some(Order::Stop) | None => Turn::Stop,
    }
}

fn ended_reason(exit: Exit, ready_for: Duration) -> String {
    let when = if ready_for.is_zero() {
        "at start"
    } else {
        "while it served"
    };
    format!("the engine ended {when}: {exit}")
}
