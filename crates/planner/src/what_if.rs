//! The same goal with one thing changed: shadow values, sensitivity, years to come. Each is solved anew.

use crate::fleet::{Fleet, Options, YearCost, engine_won, solve};
use crate::goal::{Goal, Money};
use crate::inputs::is_one_of;
use crate::plan::Derate;
use crate::report::{PhaseLine, ShadowLine, TornadoLine};
use crate::said::{self, Said};

/// How far the tornado goes, down and up.
const FIFTH: f64 = 0.2;

/// One input: its name, its keys, and how it is changed by a factor.
struct Knob {
    what: &'static str,
    keys: &'static [&'static str],
    turn: fn(&mut Goal, f64),
}

const KNOBS: &[Knob] = &[
    Knob {
        what: "users",
        keys: &["demand.users"],
        turn: |goal, factor| goal.demand.users *= factor,
    },
    Knob {
        what: "prompt tokens",
        keys: &["demand.input_tokens"],
        turn: |goal, factor| goal.demand.input_tokens *= factor,
    },
    Knob {
        what: "output tokens",
        keys: &["demand.output_tokens"],
        turn: |goal, factor| goal.demand.output_tokens *= factor,
    },
    Knob {
        what: "peak over mean",
        keys: &["demand.peak_over_mean"],
        turn: |goal, factor| {
            goal.demand.peak_over_mean = (goal.demand.peak_over_mean * factor).max(1.0)
        },
    },
    Knob {
        what: "first-token SLO",
        keys: &["slo.ttft_ms"],
        turn: |goal, factor| goal.ttft_ms *= factor,
    },
    Knob {
        what: "per-token SLO",
        keys: &["slo.tpot_ms"],
        turn: |goal, factor| goal.tpot_ms *= factor,
    },
    Knob {
        what: "utilisation at the peak",
        keys: &["plan.utilisation"],
        turn: |goal, factor| goal.utilisation = (goal.utilisation * factor).min(1.0),
    },
    Knob {
        what: "price of chips",
        keys: &["chip.*.price_won"],
        turn: |goal, factor| {
            goal.chips
                .iter_mut()
                .for_each(|chip| chip.price_won *= factor)
        },
    },
    Knob {
        what: "price of servers beside chips",
        keys: &["money.server_price_factor"],
        turn: |goal, factor| goal.money.server_price_factor *= factor,
    },
    Knob {
        what: "life of servers",
        keys: &["money.life_years"],
        turn: |goal, factor| goal.money.life_years *= factor,
    },
    Knob {
        what: "interest",
        keys: &["money.discount_per_year"],
        turn: |goal, factor| goal.money.discount_per_year *= factor,
    },
    Knob {
        what: "staff and repair",
        keys: &["money.opex_part_per_year"],
        turn: |goal, factor| goal.money.opex_part_per_year *= factor,
    },
    Knob {
        what: "price of buildings",
        keys: &["money.facility_won_per_kw"],
        turn: |goal, factor| goal.money.facility_won_per_kw *= factor,
    },
    Knob {
        what: "price of electricity",
        keys: &["site.*.tariff"],
        turn: |goal, factor| {
            goal.sites
                .iter_mut()
                .for_each(|site| site.tariff_factor *= factor)
        },
    },
    Knob {
        what: "PUE",
        keys: &["site.*.pue"],
        turn: |goal, factor| {
            goal.sites
                .iter_mut()
                .for_each(|site| site.pue = (site.pue * factor).max(1.0))
        },
    },
    Knob {
        what: "power of servers",
        keys: &["power.server_power_factor"],
        turn: |goal, factor| goal.server_power_factor *= factor,
    },
    Knob {
        what: "power caps",
        keys: &["site.*.power_cap_kw"],
        turn: |goal, factor| {
            goal.sites
                .iter_mut()
                .for_each(|site| site.cap_watts *= factor)
        },
    },
    Knob {
        what: "memory bandwidth of chips",
        keys: &["chip.*.id"],
        turn: |goal, factor| {
            goal.chips
                .iter_mut()
                .for_each(|chip| chip.chip.memory_gb_s *= factor)
        },
    },
    Knob {
        what: "memory of chips",
        keys: &["chip.*.id"],
        turn: |goal, factor| {
            goal.chips
                .iter_mut()
                .for_each(|chip| chip.chip.memory_gb *= factor)
        },
    },
    Knob {
        what: "arithmetic of chips",
        keys: &["chip.*.id"],
        turn: compute,
    },
];

fn compute(goal: &mut Goal, factor: f64) {
    for chip in &mut goal.chips {
        chip.chip.bf16_tflops *= factor;
        for tflops in [&mut chip.chip.fp8_tflops, &mut chip.chip.fp4_tflops]
            .into_iter()
            .flatten()
        {
            *tflops *= factor;
        }
    }
}

/// The goal's own keys for a pattern such as `site.*.pue`.
fn keys(goal: &Goal, patterns: &[&str]) -> Vec<String> {
    let inputs = goal.inputs.iter().map(|input| &input.key);
    inputs
        .filter(|key| is_one_of(key, patterns))
        .cloned()
        .collect()
}

/// Won per million tokens where each input in turn is a fifth less and a fifth more; the widest first.
pub(crate) fn tornado(goal: &Goal, derate: &Derate) -> Vec<TornadoLine> {
    let mut lines: Vec<TornadoLine> = KNOBS
        .iter()
        .map(|knob| {
            let at = |factor: f64| {
                let mut changed = goal.clone();
                (knob.turn)(&mut changed, factor);
                let fleet = derate.solve(&changed).ok()?;
                Some((fleet.won_per_m_tokens(&changed), fleet.accelerators()))
            };
            let (less, more) = (at(1.0 - FIFTH), at(1.0 + FIFTH));
            TornadoLine {
                what: knob.what,
                inputs: keys(goal, knob.keys),
                less: less.map(|(won, _)| won),
                more: more.map(|(won, _)| won),
                accelerators_less: less.map(|(_, count)| count),
                accelerators_more: more.map(|(_, count)| count),
            }
        })
        .collect();
    let width = |line: &TornadoLine| match (line.less, line.more) {
        (Some(less), Some(more)) => (more - less).abs(),
        _ => f64::INFINITY,
    };
    lines.sort_by(|one, other| width(other).total_cmp(&width(one)));
    lines
}

/// Of what one per cent more is asked: in English, in Korean, and whose knob it is.
const PERCENTS: [(&str, &str, &str); 6] = [
    (
        "1 % of memory of each chip",
        "칩 메모리 용량 1 %",
        "memory of chips",
    ),
    (
        "1 % of memory bandwidth",
        "칩 메모리 대역폭 1 %",
        "memory bandwidth of chips",
    ),
    (
        "1 % of arithmetic",
        "칩 연산 성능 1 %",
        "arithmetic of chips",
    ),
    (
        "1 % of time for each token",
        "토큰당 시간 1 %",
        "per-token SLO",
    ),
    (
        "1 % of time to the first token",
        "첫 토큰 시간 1 %",
        "first-token SLO",
    ),
    (
        "1 % of utilisation at the peak",
        "첨두 이용률 1 %",
        "utilisation at the peak",
    ),
];

/// What one more of each would change: solved anew with one more; the greatest saving first.
pub(crate) fn shadows(goal: &Goal, fleet: &Fleet, derate: &Derate) -> Vec<ShadowLine> {
    let mut lines = Vec::new();
    let mut ask = |what: Said, patterns: &[&str], turn: &dyn Fn(&mut Goal)| {
        let mut changed = goal.clone();
        turn(&mut changed);
        // What serves nothing is no purchase.
        let Ok(new) = derate.solve(&changed) else {
            return;
        };
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        lines.push(ShadowLine {
            what,
            inputs: keys(goal, patterns),
            saved_won_per_year: fleet.cost.total() - new.cost.total(),
            saved_accelerators: signed(fleet.accelerators()) - signed(new.accelerators()),
            more_served_part: new.served - fleet.served,
        });
    };
    for (at, site) in goal.sites.iter().enumerate() {
        let key = format!("site.{}.power_cap_kw", site.id);
        let what = said::power_at(&site.id);
        ask(what, &[&key], &|goal| {
            goal.sites[at].cap_watts += 1e6;
        });
        if site.renewables.is_some() {
            let key = format!("site.{}.renewables_kw", site.id);
            let what = said::renewables_at(&site.id);
            ask(what, &[&key], &|goal| {
                goal.sites[at].renewables_watts += 1e6;
            });
        }
    }
    for (english, korean, name) in PERCENTS {
        if let Some(knob) = KNOBS.iter().find(|knob| knob.what == name) {
            ask(Said::new(english, korean), knob.keys, &|goal| {
                (knob.turn)(goal, 1.01)
            });
        }
    }
    lines.sort_by(|one, other| {
        let served = other.more_served_part.total_cmp(&one.more_served_part);
        served.then(other.saved_won_per_year.total_cmp(&one.saved_won_per_year))
    });
    lines
}

/// Engines that were bought in one year.
struct Cohort {
    year: u32,
    engines: u64,
    /// What the servers of one cost then, in won.
    each_won: f64,
}

/// What a year costs with servers as they were bought, in won.
fn year_cost(
    money: &Money,
    owned: &[Vec<Cohort>],
    (facility_won, energy_won): (f64, f64),
) -> YearCost {
    let cohorts = owned.iter().flatten();
    let servers_won: f64 = cohorts
        .map(|cohort| cohort.engines as f64 * cohort.each_won)
        .sum();
    YearCost {
        servers_won: servers_won * money.annuity(money.life_years),
        facility_won: facility_won * money.annuity(money.facility_life_years),
        opex_won: servers_won * money.opex_part_per_year,
        energy_won,
    }
}

/// Year by year with the first year's kinds of engines: what demand and prices become, what is bought, what runs.
pub(crate) fn phases(goal: &Goal, fleet: &Fleet) -> Vec<PhaseLine> {
    let options = Options {
        engines: fleet.picks.iter().map(|pick| pick.engine.clone()).collect(),
        refused: Vec::new(),
    };
    let mut owned: Vec<Vec<Cohort>> = fleet.picks.iter().map(|_| Vec::new()).collect();
    let mut built_kw: f64 = 0.0;
    let mut lines = Vec::new();
    for year in 0..goal.years {
        let then = at_year(goal, year);
        let Ok(now) = solve(&then, &options) else {
            break;
        };
        let (mut bought, mut capex) = (0, 0.0);
        for (pick, owned) in now.picks.iter().zip(&mut owned) {
            owned.retain(|cohort| f64::from(year - cohort.year) < goal.money.life_years);
            let stands: u64 = owned.iter().map(|cohort| cohort.engines).sum();
            let more = pick.engines().saturating_sub(stands);
            let each_won = engine_won(&then, &pick.engine);
            owned.push(Cohort {
                year,
                engines: more,
                each_won,
            });
            bought += more * pick.accelerators();
            capex += more as f64 * each_won;
        }
        let peak_kw: f64 = now
            .site_watts
            .iter()
            .zip(&then.sites)
            .map(|(watts, site)| watts * site.pue / 1e3)
            .sum();
        capex += (peak_kw - built_kw).max(0.0) * goal.money.facility_won_per_kw;
        built_kw = built_kw.max(peak_kw);
        let facility_won = built_kw * goal.money.facility_won_per_kw;
        let cost = year_cost(&goal.money, &owned, (facility_won, now.cost.energy_won));
        let m_tokens = (then.demand.year_tokens() * now.served / 1e6).max(1e-6);
        lines.push(PhaseLine {
            year: then.start_year,
            peak_per_s: then.demand.peak_per_s(),
            served_part: now.served,
            accelerators: now.accelerators(),
            bought,
            peak_kw,
            capex_won: capex,
            running_won: cost.opex_won + cost.energy_won,
            won_per_m_tokens: cost.total() / m_tokens,
            gco2: now.energy.iter().map(|energy| energy.gco2).sum(),
        });
    }
    lines
}

/// The goal as it is so many years later: demand has grown, prices have moved.
fn at_year(goal: &Goal, year: u32) -> Goal {
    let mut then = goal.clone();
    let years = f64::from(year);
    then.start_year += i16::try_from(year).unwrap_or(0);
    then.demand.users *= (1.0 + goal.demand.growth_per_year).powf(years);
    for chip in &mut then.chips {
        chip.price_won *= (1.0 + chip.price_trend_per_year).powf(years);
    }
    then
}
