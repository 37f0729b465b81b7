//! `madang policy check|diff|explain`: what may go where, from files alone.

use crate::commands::load_failure;
use crate::policy_args::{PolicyCheckArgs, PolicyCommand, PolicyDiffArgs, PolicyExplainArgs};
use crate::{diagnose, out};
use anyhow::{anyhow, bail};
use jiff::civil::Date;
use madang_control::FleetSource;
use madang_core::policy::{Breach, Change, Difference, PolicyError, Whom};
use madang_core::{PolicyDecision, PolicyTable};
use madang_fleet::{FileProblems, Fleet, Loaded, PolicyText, Problem, Severity};
use madang_gateway::policy::compile;
use madang_types::{DataFlags, PolicyEffect, SiteId, Zone};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

/// Facts of a place that nobody has verified for so long are reported, in days.
const VERIFIED_DAYS_MAX: i32 = 365;

/// Runs the command.
pub fn run(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check(args) => check(args),
        PolicyCommand::Diff(args) => diff(args),
        PolicyCommand::Explain(args) => explain(args),
    }
}

/// A fleet and the text that its policy stands in.
struct Source {
    fleet: Fleet,
    policy: PolicyText,
}

impl Source {
    fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let source = path.map_or_else(crate::up::default_source, |path| {
            FleetSource::File(path.into())
        });
        let Loaded {
            fleet,
            warnings,
            policy,
            sha256: _,
        } = source.read().map_err(load_failure)?;
        for file in &warnings {
            out::note(&diagnose::render(file, out::color()));
        }
        Ok(Self { fleet, policy })
    }

    fn compile(&self) -> anyhow::Result<PolicyTable> {
        compile(&self.fleet).map_err(|error| {
            let shown = diagnose::render(&refused(&self.policy, &error), out::color());
            let path = self.policy.path.display();
            anyhow!("the policy of {path} cannot be used\n{shown}")
        })
    }
}

/// Why a policy that was read cannot be used, in the text that it stands in.
pub fn refused(policy: &PolicyText, error: &PolicyError) -> FileProblems {
    let problems = match error {
        PolicyError::Broken(breaches) => breaches.iter().map(|b| broken(policy, b)).collect(),
        PolicyError::TooLarge { .. } => vec![Problem {
            code: "policy_too_large",
            severity: Severity::Error,
            span: 0..0,
            message: error.to_string(),
            remedy: None,
            related: Vec::new(),
        }],
    };
    FileProblems {
        path: policy.path.clone(),
        source: policy.source.clone(),
        problems,
    }
}

/// A broken statement, at the rule that breaks it.
fn broken(policy: &PolicyText, breach: &Breach) -> Problem {
    let mut spans = breach
        .rules
        .iter()
        .filter_map(|rule| policy.spans.get(rule.as_str()));
    let never = policy.spans.get(breach.never.as_str());
    let place = spans.next().or(never).cloned();
    Problem {
        code: "policy_broken",
        severity: Severity::Error,
        related: never
            .filter(|never| Some(*never) != place.as_ref())
            .map(|span| (span.clone(), "this statement".into()))
            .into_iter()
            .collect(),
        span: place.unwrap_or(0..0),
        message: breach.to_string(),
        remedy: Some("narrow the rule until the statement holds in every combination".into()),
    }
}

fn check(args: &PolicyCheckArgs) -> anyhow::Result<ExitCode> {
    let source = Source::read(args.source.fleet.as_deref())?;
    let table = source.compile()?;
    let stale = stale(&source.fleet, jiff::Zoned::now().date());
    if args.source.json {
        let places = table.places().map(|(_, id, zone, place)| {
            json!({ "location": id, "zone": zone, "place": place, "verified_on": verified_on(&source.fleet, id).map(|day| day.to_string()) })
        });
        let value = json!({
            "hash": table.hash(), "home": table.home(), "combinations": table.combinations(),
            "places": places.collect::<Vec<_>>(), "stale": stale,
        });
        out::line(&value.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let policy = &source.fleet.policy;
    let home = table.home().map_or("none".into(), |home| home.to_string());
    out::line(&format!("policy {}, home {home}", table.hash()));
    out::line(&format!(
        "of its own: rules {}, statements {}, bases {}{}",
        policy.rules.len(),
        policy.never.len(),
        policy.bases.len(),
        if policy.builtin {
            "; the built-in rules hold too"
        } else {
            ""
        }
    ));
    out::line(&format!(
        "{} combinations worked out: every statement holds",
        table.combinations()
    ));
    for (_, id, zone, place) in table.places() {
        let verified = verified_on(&source.fleet, id).map_or("never".into(), |day| day.to_string());
        let declared = place.zone.filter(|declared| *declared != zone);
        let declared = declared.map_or(String::new(), |zone| format!(" (declared {zone})"));
        out::line(&format!(
            "  {id}: counts as {zone}{declared}, verified {verified}"
        ));
    }
    for id in stale {
        out::note(&format!(
            "warning: what is known of {id} was verified more than {VERIFIED_DAYS_MAX} days ago"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn verified_on(fleet: &Fleet, id: &SiteId) -> Option<Date> {
    let site = fleet.sites.get(id).map(|site| &site.facts);
    let mut upstreams = fleet.upstreams.iter();
    let upstream = upstreams.find(|(upstream, _)| upstream.as_str() == id.as_str());
    let origin = fleet.origins.get(id).map(|origin| &origin.facts);
    site.or(upstream.map(|(_, upstream)| &upstream.facts))
        .or(origin)?
        .verified_on
}

fn stale(fleet: &Fleet, today: Date) -> Vec<SiteId> {
    let is_old = |id: &SiteId| {
        let day = verified_on(fleet, id);
        let age = day.and_then(|day| today.since(day).ok());
        age.is_some_and(|age| age.get_days() > VERIFIED_DAYS_MAX)
    };
    let places = madang_gateway::policy::places(fleet).map(|(id, _)| id);
    places.filter(is_old).collect()
}

fn diff(args: &PolicyDiffArgs) -> anyhow::Result<ExitCode> {
    let (old, new) = (
        Source::read(Some(&args.old))?,
        Source::read(Some(&args.new))?,
    );
    let (before, after) = (old.compile()?, new.compile()?);
    let difference = Difference::between(&before, &after)?;
    if args.json {
        let list = |changes: &[Change]| changes.iter().map(change_json).collect::<Vec<_>>();
        let value = json!({
            "before": before.hash(), "after": after.hash(), "combinations": difference.combinations,
            "gained": difference.gained, "lost": difference.lost,
            "gains": list(&difference.gains), "losses": list(&difference.losses),
        });
        out::line(&value.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    out::line(&format!(
        "{} combinations: {} gain, {} lose",
        difference.combinations, difference.gained, difference.lost
    ));
    for (word, changes) in [("gains", &difference.gains), ("loses", &difference.losses)] {
        for change in changes {
            out::line(&format!("  {word}: {}", change_line(change)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn change_json(change: &Change) -> Value {
    json!({
        "tenant": change.tenant, "programme": change.programme, "model": change.model, "location": change.location,
        "class": change.class, "flags": change.flags, "before": change.before, "after": change.after, "rules": change.rules,
    })
}

fn change_line(change: &Change) -> String {
    let Change {
        tenant,
        programme,
        model,
        location,
        class,
        flags,
        before,
        after,
        rules,
    } = change;
    let named = |what: &str, name: Option<String>| {
        name.map_or(String::new(), |name| format!("{what} {name}, "))
    };
    let who = [
        named("tenant", tenant.as_ref().map(ToString::to_string)),
        named("programme", programme.as_ref().map(ToString::to_string)),
        named("model", model.as_ref().map(ToString::to_string)),
    ]
    .concat();
    let who = if who.is_empty() {
        "everybody else, ".into()
    } else {
        who
    };
    let rules: Vec<&str> = rules.iter().map(|rule| rule.as_str()).collect();
    format!(
        "{who}{class}{} at {location}: {before} before, {after} now ({})",
        with(*flags),
        rules.join(", ")
    )
}

fn with(flags: DataFlags) -> String {
    if flags.is_empty() {
        String::new()
    } else {
        format!(" with {flags}")
    }
}

fn explain(args: &PolicyExplainArgs) -> anyhow::Result<ExitCode> {
    let source = Source::read(args.source.fleet.as_deref())?;
    let (table, fleet) = (source.compile()?, &source.fleet);
    let entry = match &args.tenant {
        None => None,
        Some(tenant) => match fleet.tenants.get(tenant) {
            Some(entry) => Some(entry),
            None => bail!(
                "the fleet file has no tenant '{tenant}'; one that the API made is explained by the running server"
            ),
        },
    };
    let floor = entry.map(|entry| entry.class_floor).unwrap_or_default();
    let class = args.class.max(floor);
    let flags = args.flags.unwrap_or_default();
    let subject = table.subject(Whom {
        tenant: args.tenant.as_ref(),
        programme: entry.and_then(|entry| entry.programme.as_ref()),
        model: args.model.as_ref(),
    });
    let serving = serving(fleet, args)?;
    let rows: Vec<(&SiteId, Zone, &PolicyDecision)> = table
        .places()
        .filter(|(_, id, ..)| serving.contains(*id))
        .map(|(at, id, zone, _)| (id, zone, table.decide(subject, (class, flags), at)))
        .collect();
    if args.source.json {
        let places = rows.iter().map(
            |(id, zone, decision)| json!({ "location": id, "zone": zone, "decision": decision }),
        );
        let value = json!({
            "class": class, "class_floor": floor, "flags": flags, "policy_hash": table.hash(),
            "places": places.collect::<Vec<_>>(),
        });
        out::line(&value.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let raised = if class > args.class {
        " (the tenant's floor)"
    } else {
        ""
    };
    out::line(&format!(
        "{class}{raised}{}, policy {}",
        with(flags),
        table.hash()
    ));
    for (id, zone, decision) in rows {
        out::line(&format!("  {}", decision_line(id, zone, decision)));
        if decision.effect != PolicyEffect::Allow {
            out::line(&format!("      {}", decision.text));
        }
        for unmet in &decision.unmet {
            let conditions: Vec<&str> = unmet.conditions.iter().map(|kind| kind.as_str()).collect();
            out::line(&format!(
                "      {} would permit it, but for: {}",
                unmet.rule,
                conditions.join(", ")
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn decision_line(id: &SiteId, zone: Zone, decision: &PolicyDecision) -> String {
    let rules: Vec<&str> = decision.rules.iter().map(|rule| rule.as_str()).collect();
    let mut line = format!("{}: {id} ({zone}) by {}", decision.effect, rules.join(", "));
    if !decision.bases.is_empty() {
        let bases: Vec<&str> = decision.bases.iter().map(|id| id.as_str()).collect();
        line.push_str(&format!(", basis {}", bases.join(", ")));
    }
    if let Some(model) = &decision.reroute {
        line.push_str(&format!(", instead: {model}"));
    }
    line
}

/// The places that serve the model, or all.
fn serving(fleet: &Fleet, args: &PolicyExplainArgs) -> anyhow::Result<BTreeSet<SiteId>> {
    let all: BTreeSet<SiteId> = madang_gateway::policy::places(fleet)
        .map(|(id, _)| id)
        .collect();
    let serving = match &args.model {
        None => all,
        Some(model) => {
            if let Some(name) = fleet.virtual_models.get(model) {
                let models: Vec<&str> = name.candidates.iter().map(|c| c.model.as_str()).collect();
                bail!(
                    "'{model}' leads to several models; ask for one of {}",
                    models.join(", ")
                );
            }
            let replicas = fleet
                .replicas
                .values()
                .filter(|replica| replica.model == *model || replica.adapters.contains(model));
            let upstreams = fleet
                .upstreams
                .iter()
                .filter(|(_, upstream)| upstream.models.iter().any(|served| served.id == *model));
            let upstreams = upstreams.filter_map(|(id, _)| SiteId::new(id.as_str()).ok());
            let found: BTreeSet<SiteId> = replicas
                .map(|replica| replica.site.clone())
                .chain(upstreams)
                .collect();
            if found.is_empty() {
                bail!("no place of the fleet serves the model '{model}'");
            }
            found
        }
    };
    match &args.location {
        None => Ok(serving),
        Some(location) if serving.contains(location) => Ok(BTreeSet::from([location.clone()])),
        Some(location) => bail!("'{location}' is no place of the fleet that serves it"),
    }
}
