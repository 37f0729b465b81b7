//! Programmes, tenants, and what these were granted.

use super::{Check, Names};
use crate::scenario::model::{Grant, Tenant};
use crate::scenario::raw::{RawDemand, RawProgramme, RawTenant, Rows};
use madang_core::{Payer, Shares, TenantShare};
use madang_fleet::text::At;
use madang_types::{KeyId, ProgrammeId, TenantId, Unit};
use std::collections::BTreeSet;

impl Check<'_, '_> {
    pub(super) fn programmes(
        &mut self,
        rows: Rows<RawProgramme>,
    ) -> (Vec<u32>, Vec<(ProgrammeId, u32)>) {
        self.names("programme", &rows, |row| &row.id);
        let mut programmes = Vec::new();
        for row in rows.into_iter().flatten() {
            let weight = row.value.weight.map_or(1, |weight| weight.value);
            let id = row
                .value
                .id
                .as_ref()
                .and_then(|id| self.name(id, ProgrammeId::new));
            programmes.extend(id.map(|id| (id, weight)));
        }
        (
            programmes.iter().map(|(_, weight)| *weight).collect(),
            programmes,
        )
    }

    /// Tenants that are named, and those that ask without a row of their own: they weigh 1.
    pub(super) fn tenants(
        &mut self,
        rows: Rows<RawTenant>,
        programmes: Vec<(ProgrammeId, u32)>,
        demands: Option<&Vec<At<RawDemand>>>,
    ) -> Option<(Vec<Tenant>, Shares)> {
        let names = Names(programmes.iter().map(|(id, _)| id.to_string()).collect());
        let mut shares = Shares {
            programmes,
            ..Shares::default()
        };
        let mut tenants: Vec<Tenant> = Vec::new();
        let mut add = |tenant: TenantId, programme: Option<usize>, (weight, grant)| {
            let key = KeyId::new(tenant.as_str()).ok()?;
            shares.tenants.push(TenantShare {
                tenant: tenant.clone(),
                programme: programme.and_then(|at| Some(shares.programmes.get(at)?.0.clone())),
                weight,
            });
            let payer = Payer {
                tenant,
                project: None,
                key,
            };
            tenants.push(Tenant {
                payer,
                programme,
                weight,
                grant,
            });
            Some(())
        };
        let mut known: BTreeSet<String> = BTreeSet::new();
        for row in rows.into_iter().flatten() {
            let row = row.value;
            let id = self.name(row.id.as_ref()?, TenantId::new)?;
            let programme = self.find(&row.programme, "programme", &names);
            known.insert(id.to_string());
            let grant = self.grant(&row);
            let weight = row.weight.map_or(1, |weight| weight.value);
            add(id, programme, (weight, grant))?;
        }
        for demand in demands.into_iter().flatten() {
            let asking = demand
                .value
                .tenants
                .iter()
                .flat_map(|tenants| tenants.value.keys().map(|name| (name, &tenants.span)));
            for (name, span) in asking {
                if known.insert(name.clone()) {
                    let text = At {
                        span: span.clone(),
                        value: name.clone(),
                    };
                    let id = self.name(&text, TenantId::new)?;
                    add(id, None, (1, None))?;
                }
            }
        }
        Some((tenants, shares))
    }

    /// What a tenant may spend in the whole run.
    fn grant(&mut self, raw: &RawTenant) -> Option<Grant> {
        let hard = raw.grant_hard.as_ref().is_none_or(|at| at.value);
        let (unit, amount) = match (&raw.grant_tokens, &raw.grant_won) {
            (None, None) => {
                if let Some(at) = &raw.grant_hard {
                    self.report
                        .error("missing_key", &at.span, "nothing is granted")
                        .help("say grant_tokens or grant_won, or leave it out");
                }
                return None;
            }
            (Some(tokens), None) => (Unit::Tokens, tokens.value),
            (None, Some(won)) => (Unit::MicroWon, (won.value * 1e6) as u64),
            (Some(_), Some(won)) => {
                let message = "a grant is counted in tokens or in won";
                self.report
                    .error("choose_one", &won.span, message)
                    .help("leave one of grant_tokens and grant_won out");
                return None;
            }
        };
        Some(Grant {
            unit,
            amount: i64::try_from(amount).unwrap_or(i64::MAX),
            hard,
        })
    }
}
