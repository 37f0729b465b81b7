//! One input, one step. Each kind of input has its own file.

mod attempt_end;
mod fleet_apply;
mod replica_report;
mod request_submit;
mod serve;
mod tick;

use crate::effect::Effect;
use crate::input::Input;
use crate::state::Core;
use madang_types::Micros;

impl Core {
    /// Takes one input at `now` and appends what the driver must do to `effects`, in order.
    ///
    /// Inputs about requests or replicas that the core does not know change nothing: a driver may be late.
    pub fn apply(&mut self, now: Micros, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::FleetApply(view) => self.on_fleet_apply(now, view, effects),
            Input::ReplicaReport { replica, health } => {
                self.on_replica_report(now, &replica, health, effects);
            }
            Input::RequestSubmit(submit) => self.on_request_submit(now, submit, effects),
            Input::RequestCancel { request } => self.on_request_cancel(now, request, effects),
            Input::FirstByte { request, .. } => self.on_first_byte(request),
            Input::AttemptEnd {
                request,
                attempt,
                end,
                ..
            } => {
                self.on_attempt_end(now, (request, attempt), end, effects);
            }
            Input::SharesApply(_) | Input::ReplicaLoad { .. } | Input::Progress { .. } => {}
            Input::Drain => self.on_drain(effects),
            Input::Tick => self.on_tick(now, effects),
        }
    }
}
