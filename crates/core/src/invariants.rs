//! What must hold between two inputs. Broken: a fault in the core, never in its caller.

use crate::member::Member;
use crate::request::{FlowIndex, MemberIndex, Request, RequestIndex, Run};
use crate::share::RestUse;
use crate::state::{Core, Pool};
use std::collections::BTreeMap;

/// What runs and is held, as a sum over requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    running: u32,
    kv_tokens: u64,
    prefill_us: u64,
    over_us: u64,
    long: u32,
    rest: RestUse,
}

impl Sums {
    fn add(&mut self, request: &Request, run: &Run) {
        self.running += 1;
        self.kv_tokens += run.kv_tokens;
        if run.rest {
            self.rest.running += 1;
            self.rest.kv_tokens += run.kv_tokens;
        }
        if !request.prompt_done {
            self.prefill_us += run.work.prefill_us;
            self.over_us += run.over_us;
            self.long += u32::from(run.work.long);
        }
    }
}

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
        if !self.moving.is_empty() {
            return Err(format!("{:?} are at no model", self.moving));
        }
        for (index, pool) in (0..).zip(&self.pools) {
            if let Some(pool) = pool {
                self.check_pool(index, pool)?;
            }
        }
        Ok(())
    }

    fn check_member(&self, index: MemberIndex, member: &Member) -> Result<(), String> {
        let id = &member.view.replica;
        let mut sums = Sums::default();
        let mut unanswered = 0_u32;
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
            sums.add(request, run);
            unanswered += u32::from(!request.prompt_done);
        }
        let account = &member.account;
        let counted = (account.kv_tokens, account.prefill_us, account.long);
        if counted != (sums.kv_tokens, sums.prefill_us, sums.long)
            || account.unanswered != unanswered
        {
            return Err(format!(
                "{id} counts {account:?}, not {sums:?} and {unanswered} unanswered"
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
        let deadline = (request.wait_until, index);
        let timed = self
            .pool(request.pool)
            .map(|pool| pool.deadlines.contains(&deadline));
        if timed != Some(request.waiting) {
            return Err(format!(
                "{id} is in no pool, or its deadline is not where it is"
            ));
        }
        Ok(())
    }

    /// A pool's counts, and those of its tenants and leaves, are the sums over its requests.
    fn check_pool(&self, index: u32, pool: &Pool) -> Result<(), String> {
        let model = &pool.model;
        let waiting = usize::try_from(pool.tree.waiting()).unwrap_or(usize::MAX);
        if waiting != pool.deadlines.len() || waiting != pool.tree.all().len() {
            return Err(format!("the pool {model} counts {waiting} waiting"));
        }
        let of_pool = |request: &Request| request.waiting && request.pool == index;
        let here = self.requests.iter().filter(|(_, r)| of_pool(r)).count();
        if here != waiting {
            return Err(format!(
                "{here} requests wait for {model}, its queue holds {waiting}"
            ));
        }
        let mut sums = Sums::default();
        let mut tenants: BTreeMap<FlowIndex, Sums> = BTreeMap::new();
        let mut leaves: BTreeMap<FlowIndex, Sums> = BTreeMap::new();
        let own = |(_, request): &(RequestIndex, &Request)| request.pool == index;
        for (_, request) in self.requests.iter().filter(own) {
            let tenant = tenants
                .entry(pool.tree.tenant_of(request.leaf))
                .or_default();
            let leaf = leaves.entry(request.leaf).or_default();
            for run in &request.runs {
                for sums in [&mut sums, tenant, leaf] {
                    sums.add(request, run);
                }
            }
        }
        let counted = (pool.over_us, pool.tree.running());
        if counted != (sums.over_us, sums.running) {
            return Err(format!("the pool {model} counts {counted:?}, not {sums:?}"));
        }
        for (leaf, sums) in leaves {
            let running = pool.tree.node(leaf).map(|node| node.running);
            if running != Some(sums.running) {
                return Err(format!(
                    "a leaf of {model} counts {running:?}, not {sums:?}"
                ));
            }
        }
        for (tenant, node) in pool.tree.tenants() {
            let sums = tenants.get(&tenant).copied().unwrap_or_default();
            let usage = node.usage.as_deref();
            let counted =
                usage.map(|usage| (node.running, usage.kv_tokens, usage.prefill_us, usage.rest));
            if counted != Some((sums.running, sums.kv_tokens, sums.prefill_us, sums.rest)) {
                let name = &node.name;
                return Err(format!(
                    "{name:?} of {model} counts {counted:?}, not {sums:?}"
                ));
            }
        }
        Ok(())
    }
}
