//! Madang beside the others, as ratios with their goals.

use super::{Measured, Row};
use crate::gateways::{self, Kind};
use crate::load::Field;
use crate::scenario::Load;
use crate::stats::Spread;

const MADANG: &str = "madang";
const RELAXED: &str = "madang-relaxed";
const PRICED: &str = "madang-priced";
const NGINX: &str = "nginx";
const LITELLM: &str = "litellm";
/// Connections that keep a gateway busy.
const MANY: usize = 16;
const AT_ONCE: Load = Load::Closed { connections: MANY };
/// Times LiteLLM's throughput that Madang should have.
const OVER_LITELLM: f64 = 20.0;
/// What Madang may add to nginx's latency, µs.
const ADDED_P50_US: f64 = 150.0;
const ADDED_P99_US: f64 = 1000.0;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    Above(f64),
}

impl Goal {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Above(bound) => value > bound,
        }
    }

    /// The round that is furthest from it.
    fn worst(self, spread: Spread) -> f64 {
        match self {
            Self::AtMost(_) => spread.max,
            Self::AtLeast(_) | Self::Above(_) => spread.min,
        }
    }
}

/// How two figures are set beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// One divided by the other.
    Times,
    /// One less the other, µs.
    Micros,
}

/// One line.
#[derive(Debug)]
pub struct Ratio {
    /// What is compared, and under which load.
    pub what: String,
    /// How.
    pub unit: Unit,
    /// Over the rounds, each of them compared for itself.
    pub measured: Spread,
    /// What it should be, where anything is said of it.
    pub goal: Option<Goal>,
    /// Requests of both that failed: with any, the figure says nothing.
    pub bad: u64,
}

impl Ratio {
    /// Whether the goal is met, in words; empty without a goal.
    pub fn verdict(&self) -> String {
        if self.bad > 0 {
            return format!("void: {} requests failed", self.bad);
        }
        let Some(goal) = self.goal else {
            return String::new();
        };
        if self.measured.is_nothing() {
            return "not measured".into();
        }
        let rounds = goal.holds(goal.worst(self.measured));
        match (goal.holds(self.measured.median), rounds) {
            (true, true) => "met".into(),
            (true, false) => "met, not in every round".into(),
            (false, _) => "missed".into(),
        }
    }
}

/// Every line, in the order of the table; those without figures or goal are left out.
pub fn all(measured: &[Measured]) -> Vec<Ratio> {
    let mut lines = Vec::new();
    cpu_over_nginx(measured, &mut lines);
    added_over_nginx(measured, &mut lines);
    added_by_steps(measured, &mut lines);
    throughput(measured, &mut lines);
    cpu_of_litellm(measured, &mut lines);
    lines
}

/// What one line compares.
struct Question {
    what: String,
    ours: &'static str,
    other: String,
    field: Field,
    unit: Unit,
    goal: Option<Goal>,
}

impl Question {
    fn answer(self, measured: &Measured) -> Option<Ratio> {
        let rows = measured.row(self.ours).zip(measured.row(&self.other));
        let how: fn(f64, f64) -> f64 = match self.unit {
            Unit::Times => |own, other| own / other,
            Unit::Micros => |own, other| own - other,
        };
        let spread = rows.map_or(Spread::of([]), |(own, other): (&Row, &Row)| {
            own.beside(other, self.field, how)
        });
        (self.goal.is_some() || !spread.is_nothing()).then(|| Ratio {
            what: format!("{}: {}", self.what, measured.scenario.name),
            unit: self.unit,
            measured: spread,
            goal: self.goal,
            bad: rows.map_or(0, |(own, other)| own.bad() + other.bad()),
        })
    }
}

fn find(measured: &[Measured], body_kb: usize, stream: bool) -> Option<&Measured> {
    measured.iter().find(|m| m.is(body_kb, stream, AT_ONCE))
}

fn cpu_over_nginx(measured: &[Measured], lines: &mut Vec<Ratio>) {
    let goals = [
        (1, Some(Goal::AtMost(2.0))),
        (50, None),
        (400, Some(Goal::AtMost(1.5))),
    ];
    for stream in [false, true] {
        for (body_kb, goal) in goals {
            let question = Question {
                what: "CPU, Madang ÷ nginx".into(),
                ours: MADANG,
                other: NGINX.into(),
                field: |s| s.cpu_us,
                unit: Unit::Times,
                goal,
            };
            lines.extend(find(measured, body_kb, stream).and_then(|m| question.answer(m)));
        }
    }
}

fn added_over_nginx(measured: &[Measured], lines: &mut Vec<Ratio>) {
    let fields: [(&str, Field, f64); 2] = [
        ("p50", |s| s.p50_us, ADDED_P50_US),
        ("p99", |s| s.p99_us, ADDED_P99_US),
    ];
    let open =
        |m: &&Measured| matches!(m.scenario.load, Load::Open { .. }) && !m.scenario.suits_slow();
    for measured in measured.iter().filter(open) {
        for (name, field, most) in fields {
            let question = Question {
                what: format!("{name}, Madang over nginx"),
                ours: MADANG,
                other: NGINX.into(),
                field,
                unit: Unit::Micros,
                goal: Some(Goal::AtMost(most)),
            };
            lines.extend(question.answer(measured));
        }
    }
}

/// What the wait for the audit log's sync adds to a request, and what setting aside and settling do.
fn added_by_steps(measured: &[Measured], lines: &mut Vec<Ratio>) {
    let fields: [(&str, Field); 3] = [
        ("p50", |s| s.p50_us),
        ("p99", |s| s.p99_us),
        ("CPU", |s| s.cpu_us),
    ];
    let steps = [
        ("the audit log's sync", MADANG, RELAXED),
        ("reserve and post", PRICED, MADANG),
    ];
    for measured in measured {
        for (what, ours, other) in steps {
            for unit in [Unit::Micros, Unit::Times] {
                for (name, field) in fields {
                    let question = Question {
                        what: format!("{name}, {what}"),
                        ours,
                        other: other.into(),
                        field,
                        unit,
                        goal: None,
                    };
                    lines.extend(question.answer(measured));
                }
            }
        }
    }
}

/// Of the loads that ask as fast as they are answered, by many at once and without pauses: where one waits for another's sync, sixteen
/// may leave a processor idle that more would fill.
fn throughput(measured: &[Measured], lines: &mut Vec<Ratio>) {
    let many = |m: &&Measured| {
        matches!(m.scenario.load, Load::Closed { connections } if connections >= MANY)
            && m.scenario.gap_ms == 0
    };
    for measured in measured.iter().filter(many) {
        for row in &measured.rows {
            let goal = match gateways::kind(&row.gateway) {
                Kind::Bare | Kind::Ours => continue,
                Kind::Proxy => None,
                Kind::Gateway if row.gateway == LITELLM => Some(Goal::AtLeast(OVER_LITELLM)),
                Kind::Router | Kind::Gateway => Some(Goal::Above(1.0)),
            };
            let question = Question {
                what: format!("requests/s, Madang ÷ {}", row.gateway),
                ours: MADANG,
                other: row.gateway.clone(),
                field: |s| s.per_s,
                unit: Unit::Times,
                goal,
            };
            lines.extend(question.answer(measured));
        }
    }
}

fn cpu_of_litellm(measured: &[Measured], lines: &mut Vec<Ratio>) {
    for (body_kb, stream) in [(1, false), (1, true), (400, false)] {
        let question = Question {
            what: "CPU, LiteLLM ÷ Madang".into(),
            ours: LITELLM,
            other: MADANG.into(),
            field: |s| s.cpu_us,
            unit: Unit::Times,
            goal: None,
        };
        lines.extend(find(measured, body_kb, stream).and_then(|m| question.answer(m)));
    }
}

#[cfg(test)]
mod tests;
