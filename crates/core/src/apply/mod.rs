//! One input at a time: each kind in its own file.

mod attempt_end;
mod course;
mod credit;
mod engine_load;
mod first_byte;
mod fleet_apply;
mod guard;
mod order;
mod policy;
mod power_set;
mod progress;
mod replica_report;
mod request_cancel;
mod request_submit;
mod serve;
mod stop_set;
mod tick;

pub(crate) use course::Prospect;

use crate::effect::Effect;
use crate::input::Input;
use crate::state::Core;
use madang_types::Micros;

impl Core {
    /// Takes one input at `now` and appends what the driver must do to `effects`, in order.
    ///
    /// Inputs about requests or replicas that the core does not know change nothing: a driver may be late.
    pub fn apply(&mut self, now: Micros, input: Input, effects: &mut Vec<Effect>) {
        self.policy_refresh(now, &input);
        match input {
            Input::FleetApply(view) => self.on_fleet_apply(now, view, effects),
            Input::SharesApply(shares) => self.shares_apply(shares),
            Input::CreditsRestore(rows) => self.on_credits_restore(rows),
            Input::ReplicaReport { replica, health } => {
                self.on_replica_report(now, &replica, health, effects);
            }
            Input::ReplicaLoad { replica, load } => self.on_replica_load(now, &replica, load),
            Input::RequestSubmit(submit) => self.on_request_submit(now, submit, effects),
            Input::RequestCancel { request } => self.on_request_cancel(now, request, effects),
            Input::FirstByte { request, attempt } => {
                self.on_first_byte(now, (request, attempt), effects);
            }
            Input::Progress {
                request,
                output_tokens,
            } => self.on_progress(now, request, output_tokens),
            Input::AttemptEnd {
                request,
                attempt,
                end,
                spent,
            } => {
                self.on_attempt_end(now, (request, attempt), (end, spent), effects);
            }
            Input::StopSet { scope, on } => self.on_stop_set(now, (scope, on), effects),
            Input::PowerSet { site, terms } => self.on_power_set(now, site, terms, effects),
            Input::Drain => self.on_drain(now, effects),
            Input::Tick => self.on_tick(now, effects),
        }
        self.go_on(now, effects);
    }
}
