//! A policy file: the keys of the fleet file's `[policy]` in a text of their own.

use crate::check::{Known, policy_spans, read_policy};
use crate::problem::{Problem, Report};
use crate::{Fleet, shape};
use madang_types::Policy;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;

/// A policy without errors, and what an operator should still be told.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedPolicy {
    /// The policy, without its hash.
    pub policy: Policy,
    /// Problems of severity [`crate::Severity::Warning`], by position.
    pub warnings: Vec<Problem>,
    /// Bytes of the ids of its rules and statements.
    pub spans: BTreeMap<String, Range<usize>>,
}

/// Reads the text of a policy file for that fleet, whose rows it may speak of.
///
/// # Errors
/// Every problem of the text, as [`crate::parse`] reports them.
pub fn parse_policy(source: &str, fleet: &Fleet) -> Result<ParsedPolicy, Vec<Problem>> {
    let mut report = Report::new(source);
    let shaped = shape::read_policy(source, &mut report);
    let spans = shaped.as_ref().map(|shaped| policy_spans(&shaped.raw));
    let policy = shaped.and_then(|shaped| {
        if let Some(file) = &shaped.raw.file {
            report
                .error("choose_one", &file.span, "a policy file names no other one")
                .help("take `file` out");
        }
        let policy = read_policy(&shaped.raw, &known(fleet), &mut report)?;
        let home = policy.home.or(fleet.policy.home);
        if home.is_none() && !fleet.sites.is_empty() {
            report
                .error(
                    "home_missing",
                    &(0..0),
                    "the sites are in several countries: which is home?",
                )
                .help("add home = \"KR\" at the top: what is domestic is seen from there");
        }
        Some(Policy { home, ..policy })
    });
    let (problems, has_error) = report.finish();
    match policy {
        Some(policy) if !has_error => Ok(ParsedPolicy {
            policy,
            warnings: problems,
            spans: spans.unwrap_or_default(),
        }),
        _ => Err(problems),
    }
}

fn known(fleet: &Fleet) -> Known {
    fn names<'n, T: Display + 'n>(ids: impl Iterator<Item = &'n T>) -> BTreeSet<String> {
        ids.map(ToString::to_string).collect()
    }
    let upstream_models = fleet
        .upstreams
        .values()
        .flat_map(|upstream| &upstream.models);
    let adapters = fleet
        .replicas
        .values()
        .flat_map(|replica| &replica.adapters);
    let models = fleet.models.keys().chain(adapters);
    Known {
        locations: Some(
            &(&names(fleet.sites.keys()) | &names(fleet.upstreams.keys()))
                | &names(fleet.origins.keys()),
        ),
        models: Some(names(models.chain(upstream_models.map(|model| &model.id)))),
        programmes: Some(names(fleet.programmes.keys())),
        tenants: Some(names(fleet.tenants.keys())),
    }
}
