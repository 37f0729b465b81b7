//! What must hold between two inputs. Broken: a fault in the core, never in its caller.

use crate::member::Member;
use crate::request::{MemberIndex, Request, RequestIndex};
use crate::state::Core;

impl Core {
    /// Breaks down where a rule of the books inside the core is broken. Cheap enough for tests and samples.
    ///
    /// # Errors
    /// Names the first broken rule.
    pub fn check_invariants(&self) -> Result<(), String> {
        for (index, member) in (0..).zip(&self.members) {
            if let Some(member) = member {
                self.check_member(index, member)?;
            }
        }
        for (index, request) in self.requests.iter() {
            self.check_request(index, request)?;
        }
        for pool in self.pools.iter().flatten() {
            let waiting = usize::try_from(pool.tree.waiting()).unwrap_or(usize::MAX);
            if waiting != pool.deadlines.len() || waiting != pool.tree.all().len() {
                return Err(format!("the pool {} counts {waiting} waiting", pool.model));
            }
        }
        Ok(())
    }

    fn check_member(&self, index: MemberIndex, member: &Member) -> Result<(), String> {
        let id = &member.view.replica;
        let (mut kv_tokens, mut unanswered) = (0_u64, 0_u32);
        for request in &member.running {
            let request = self
                .requests
                .get(*request)
                .ok_or_else(|| format!("{id} runs a request that is unknown"))?;
            let run = request
                .runs
                .iter()
                .find(|run| run.member == index)
                .ok_or_else(|| {
                    format!(
                        "{} does not know that it runs at {id}",
                        request.submit.request
                    )
                })?;
            kv_tokens = kv_tokens.saturating_add(run.kv_tokens);
            unanswered += u32::from(!request.prompt_done);
        }
        let account = &member.account;
        if (kv_tokens, unanswered) != (account.kv_tokens, account.unanswered) {
            return Err(format!(
                "{id} counts {account:?}, not {kv_tokens} tokens and {unanswered} unanswered"
            ));
        }
        if member.leaving && member.running.is_empty() {
            return Err(format!("{id} left, holds nothing and is still here"));
        }
        Ok(())
    }

    fn check_request(&self, index: RequestIndex, request: &Request) -> Result<(), String> {
        let id = request.submit.request;
        let at_members = request.runs.iter().all(|run| {
            self.member(run.member)
                .is_some_and(|member| member.running.contains(&index))
        });
        let running = !request.runs.is_empty();
        if !at_members || request.waiting == running {
            let waiting = request.waiting;
            return Err(format!(
                "{id} must either wait or run (waiting {waiting}, running {running})"
            ));
        }
        if request.runs.len() > 2 {
            return Err(format!("{id} has more than two attempts under way"));
        }
        Ok(())
    }
}
