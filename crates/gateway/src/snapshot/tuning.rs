//! The fleet file's words for costs and rules, as the core has them.

use madang_core::{CreditTerms, EngineCosts, RouteRule, Rules, ShareRule};
use madang_fleet::{Fleet, Replica};

/// What a replica says, else what its model says, else the core's own.
pub(super) fn costs(fleet: &Fleet, replica: &Replica) -> EngineCosts {
    let of_model = fleet.models.get(&replica.model).map(|model| model.costs);
    let said = replica.costs.or(of_model.unwrap_or_default());
    let own = EngineCosts::default();
    EngineCosts {
        step_us: said.step_us.unwrap_or(own.step_us),
        uncached_ns: said.uncached_ns.unwrap_or(own.uncached_ns),
        cached_ns: said.cached_ns.unwrap_or(own.cached_ns),
        output_ns: said.output_ns.unwrap_or(own.output_ns),
        kv_ps: said.kv_ps.unwrap_or(own.kv_ps),
        context_double_tokens: said
            .context_double_tokens
            .unwrap_or(own.context_double_tokens),
    }
}

/// Months begin where those of the audit log's keys do.
pub(super) fn credit(fleet: &Fleet) -> CreditTerms {
    CreditTerms {
        half_life_days: fleet.credit.half_life_days,
        cap_days: fleet.credit.cap_days,
        factor_max: fleet.credit.factor_max,
        month_offset_s: fleet.audit.offset_s,
    }
}

pub(super) fn rules(rules: madang_fleet::Rules) -> Rules {
    use madang_fleet::{RouteRule as Route, ShareRule as Share};
    Rules {
        share: match rules.share {
            Share::Madang => ShareRule::Madang,
            Share::Vtc => ShareRule::Vtc,
            Share::Drr => ShareRule::Drr,
            Share::RoundRobin => ShareRule::RoundRobin,
            Share::Fcfs => ShareRule::Fcfs,
        },
        route: match rules.route {
            Route::PredictedTtft => RouteRule::PredictedTtft,
            Route::PredictedTtftNoCache => RouteRule::PredictedTtftNoCache,
            Route::Random => RouteRule::Random,
            Route::RoundRobin => RouteRule::RoundRobin,
            Route::LeastRequest => RouteRule::LeastRequest,
            Route::PowerOfTwo => RouteRule::PowerOfTwo,
            Route::PrefixHash => RouteRule::PrefixHash,
            Route::Chwbl => RouteRule::Chwbl,
            Route::CacheAware => RouteRule::CacheAware,
            Route::BlockCost => RouteRule::BlockCost,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_says_first_then_its_model_then_the_core() {
        let text = "
            [[site]]\nid = \"s\"\ncountry = \"KR\"
            [[model]]\nid = \"m\"\ncontext_tokens = 1\ncosts = { step_us = 1, kv_ps = 2 }
            [[replica]]\nid = \"r\"\nsite = \"s\"\nmodel = \"m\"\nengine = \"vllm\"\nslots = 1
            url = \"http://10.0.0.1\"\ncosts = { step_us = 3 }\nhost_kv_tokens = 4\nadapters = [\"a\"]
            [rules]\nroute = \"chwbl\"\nshare = \"fcfs\"
            [limits]\nhedge_percent_max = 5";
        let parsed = madang_fleet::parse(text, std::path::Path::new("")).expect("it is sound");
        let snapshot = super::super::Snapshot::build(std::sync::Arc::new(parsed.fleet));
        let snapshot = snapshot.expect("no key file is read");
        let view = snapshot.view(&std::collections::BTreeSet::new());
        let expected = EngineCosts {
            step_us: 3,
            kv_ps: 2,
            ..EngineCosts::default()
        };
        let member = &view.members[0];
        assert_eq!((member.costs, member.host_tokens), (expected, 4));
        assert_eq!(member.adapters.len(), 1);
        let limits = &view.limits;
        assert_eq!(
            (limits.hedge_percent_max, limits.retry_percent_max),
            (5, 20)
        );
        assert_eq!(view.rules.route, RouteRule::Chwbl);
        assert_eq!(view.rules.share, ShareRule::Fcfs);
        let names: Vec<&str> = snapshot.models.keys().map(|id| id.as_str()).collect();
        assert_eq!(names, ["a", "m"]);
    }
}
