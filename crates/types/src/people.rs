//! Programmes, tenants, their projects and their keys, as the store keeps them.

use crate::class::words;
use crate::{
    DataClass, DataFlags, Endpoint, KeyId, MicroWon, Micros, ModelId, ProgrammeId, ProjectId,
    TenantId, Zone,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Who owns a row: the fleet file (changed only there) or the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Written in the fleet file; a reload makes the store equal to the file.
    Fleet,
    /// Made by the API or the command line.
    Api,
}

words!(Origin, OriginError, "an origin is fleet or api", "fleet" => Origin::Fleet, "api" => Origin::Api);

/// Whose key it is. What each may do stands in [`crate::rights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the sites: everything but asking models.
    Operator,
    /// Runs one programme: its tenants and their keys.
    ProgrammeManager,
    /// Runs one tenant: its projects and keys, and `/v1/*`.
    TenantAdmin,
    /// A tenant's developer: `/v1/*`, and reads the tenant's own rows.
    Member,
    /// Reads everything and changes nothing.
    Auditor,
}

words!(Role, RoleError, "a role is operator, programme_manager, tenant_admin, member or auditor",
    "operator" => Role::Operator, "programme_manager" => Role::ProgrammeManager,
    "tenant_admin" => Role::TenantAdmin, "member" => Role::Member, "auditor" => Role::Auditor);

/// A programme that grants allocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programme {
    /// Its name.
    pub id: ProgrammeId,
    /// Its share beside the other programmes.
    pub weight: u32,
    /// On what terms its tenants are served.
    pub terms: ProgrammeTerms,
    /// Who owns the row.
    pub origin: Origin,
    /// When it was first written.
    pub created_at: Micros,
    /// Set once removed; its tenants' keys are refused.
    pub disabled_at: Option<Micros>,
}

/// A time with a beginning and an end, or without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// From when on; `None` for no beginning.
    pub from: Option<Micros>,
    /// Until when; `None` for no end.
    pub until: Option<Micros>,
}

impl Period {
    /// Whether it has begun and not ended.
    pub fn contains(self, now: Micros) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

/// What becomes of jobs that run when nothing pays for them any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenEnded {
    /// They run until their time limit, as so much was set aside for them.
    #[default]
    RunOn,
    /// They are stopped: by their checkpoint signal, with its grace, where they have one.
    Stop,
}

words!(WhenEnded, WhenEndedError, "what becomes of jobs at the end of their budget is run_on or stop",
    "run_on" => WhenEnded::RunOn, "stop" => WhenEnded::Stop);

/// What a job's stretch costs that was stopped for others, or by an operator, and left no checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preempted {
    /// What it used.
    #[default]
    Charged,
    /// Nothing: it is delivered, and nobody pays.
    Free,
}

words!(Preempted, PreemptedError, "a stretch that was stopped without a checkpoint is charged or free",
    "charged" => Preempted::Charged, "free" => Preempted::Free);

/// What a programme says of its tenants' batch jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgrammeJobs {
    /// What becomes of those that run when nothing pays for them any more.
    pub when_ended: WhenEnded,
    /// What a stretch costs that was stopped and left no checkpoint.
    pub preempted: Preempted,
}

/// On what terms a programme's tenants are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgrammeTerms {
    /// When.
    pub period: Period,
    /// Who may take part, in words for people.
    pub eligibility: String,
    /// Their data is served on this ground or a better one; `None` where the policy alone says where.
    pub residency_floor: Option<Zone>,
    /// What becomes of its tenants' batch jobs.
    pub jobs: ProgrammeJobs,
}

/// The longest text that says who may take part, in characters.
pub const ELIGIBILITY_CHARS_MAX: usize = 1_000;

/// What is wrong with a programme's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Its end is not after its beginning.
    #[error("the programme ends before it begins")]
    Reversed,
    /// More than [`ELIGIBILITY_CHARS_MAX`] characters.
    #[error(
        "the text on who may take part has {0} characters, and {ELIGIBILITY_CHARS_MAX} at most are kept"
    )]
    TooLong(usize),
    /// A control character that is no end of a line.
    #[error("the text on who may take part has characters that are not printed")]
    Unprintable,
}

impl ProgrammeTerms {
    /// Whether a programme may have them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), TermsError> {
        let Period { from, until } = self.period;
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            return Err(TermsError::Reversed);
        }
        let length = self.eligibility.chars().count();
        if length > ELIGIBILITY_CHARS_MAX {
            return Err(TermsError::TooLong(length));
        }
        let is_bad = |c: char| c.is_control() && c != '\n';
        if self.eligibility.chars().any(is_bad) {
            return Err(TermsError::Unprintable);
        }
        Ok(())
    }
}

/// Who is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// The programme that it belongs to.
    pub programme: Option<ProgrammeId>,
    /// Its share beside the programme's other tenants.
    pub weight: u32,
    /// No request of this tenant has a lower class.
    pub class_floor: DataClass,
    /// What all data of this tenant is.
    pub data_flags: DataFlags,
    /// Who owns the row.
    pub origin: Origin,
    /// When it was first written.
    pub created_at: Micros,
    /// Set once removed; its keys are refused.
    pub disabled_at: Option<Micros>,
}

impl Tenant {
    /// What of it decides where its data may go, and whether it is there: a change of that is in the audit log.
    pub fn ground(&self) -> (Option<&ProgrammeId>, DataClass, DataFlags, bool) {
        let Self {
            programme,
            class_floor,
            data_flags,
            disabled_at,
            ..
        } = self;
        let removed = disabled_at.is_some();
        (programme.as_ref(), *class_floor, *data_flags, removed)
    }
}

/// A tenant's working unit: what its usage is told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name, unique in its tenant.
    pub id: ProjectId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Words for people.
    pub label: String,
    /// Won that its keys may spend together, whoever pays; `None` for no bound.
    pub won_limit: Option<MicroWon>,
    /// When it was first written.
    pub created_at: Micros,
    /// Set once disabled; its keys are refused.
    pub disabled_at: Option<Micros>,
}

/// What a key may be used for, how fast and for how much.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTerms {
    /// Models that it may ask for; empty for all.
    pub models: BTreeSet<ModelId>,
    /// Doors that it may come through; empty for all.
    pub endpoints: BTreeSet<Endpoint>,
    /// Requests in a minute; `None` for no bound.
    pub rate_requests_per_min: Option<u32>,
    /// Tokens in a minute, of prompts and answers; `None` for no bound.
    pub rate_tokens_per_min: Option<u32>,
    /// Won that it may spend; `None` for no bound.
    pub won_limit: Option<MicroWon>,
}

impl KeyTerms {
    /// Whether it may ask for this model.
    pub fn permit_model(&self, model: &ModelId) -> bool {
        self.models.is_empty() || self.models.contains(model)
    }

    /// Whether it may come through this door.
    pub fn permit_endpoint(&self, endpoint: Endpoint) -> bool {
        self.endpoints.is_empty() || self.endpoints.contains(&endpoint)
    }
}

/// A key as stored: the secret's hash, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The public part.
    pub id: KeyId,
    /// Whose key, for the roles of a tenant.
    pub tenant: Option<TenantId>,
    /// Whose key, for a programme's manager.
    pub programme: Option<ProgrammeId>,
    /// The tenant's project that its usage counts for.
    pub project: Option<ProjectId>,
    /// What it may do.
    pub role: Role,
    /// What it may be used for, how fast and for how much.
    pub terms: Arc<KeyTerms>,
    /// No request with this key has a lower class.
    pub class_floor: DataClass,
    /// What all data sent with this key is.
    pub data_flags: DataFlags,
    /// A label for people.
    pub label: String,
    /// BLAKE3 in derive-key mode over the secret.
    pub secret_hash: [u8; 32],
    /// When it was made.
    pub created_at: Micros,
    /// Refused from this instant on.
    pub expires_at: Option<Micros>,
    /// Set once revoked.
    pub revoked_at: Option<Micros>,
}

impl KeyRecord {
    /// Whether it is neither revoked nor expired. What it belongs to may be withdrawn all the same.
    pub fn is_in_force(&self, now: Micros) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_make_no_sense_are_refused() {
        let check = |from: Option<i64>, until: Option<i64>, eligibility: &str, expected| {
            let terms = ProgrammeTerms {
                period: Period {
                    from: from.map(Micros),
                    until: until.map(Micros),
                },
                eligibility: eligibility.to_owned(),
                ..ProgrammeTerms::default()
            };
            assert_eq!(terms.check(), expected);
        };
        check(None, None, "", Ok(()));
        check(Some(1), Some(2), "창업 7년 이내\n기업", Ok(()));
        check(Some(i64::MIN), None, "", Ok(()));
        check(Some(2), Some(2), "", Err(TermsError::Reversed));
        check(Some(3), Some(2), "", Err(TermsError::Reversed));
        check(None, None, &"가".repeat(1_000), Ok(()));
        check(
            None,
            None,
            &"가".repeat(1_001),
            Err(TermsError::TooLong(1_001)),
        );
        check(None, None, "a\u{7}b", Err(TermsError::Unprintable));
    }

    #[test]
    fn a_period_has_its_first_instant_and_not_its_last() {
        let period = |from: Option<i64>, until: Option<i64>| Period {
            from: from.map(Micros),
            until: until.map(Micros),
        };
        for (from, until, now, expected) in [
            (None, None, 0, true),
            (Some(5), None, 4, false),
            (Some(5), Some(6), 5, true),
            (Some(5), Some(6), 6, false),
            (None, Some(6), i64::MIN, true),
        ] {
            let found = period(from, until).contains(Micros(now));
            assert_eq!(found, expected, "{from:?} {until:?} {now}");
        }
    }

    #[test]
    fn a_key_is_in_force_until_it_is_revoked_or_expires() {
        let key = |expires_at: Option<i64>, revoked_at: Option<i64>| KeyRecord {
            id: KeyId::new("k").unwrap(),
            tenant: None,
            programme: None,
            project: None,
            role: Role::Operator,
            terms: Arc::default(),
            class_floor: DataClass::default(),
            data_flags: DataFlags::NONE,
            label: String::new(),
            secret_hash: [0; 32],
            created_at: Micros(0),
            expires_at: expires_at.map(Micros),
            revoked_at: revoked_at.map(Micros),
        };
        for (expires_at, revoked_at, expected) in [
            (None, None, true),
            (Some(6), None, true),
            (Some(5), None, false),
            (None, Some(4), false),
            (None, Some(6), false),
            (Some(6), Some(4), false),
        ] {
            let found = key(expires_at, revoked_at).is_in_force(Micros(5));
            assert_eq!(found, expected, "{expires_at:?} {revoked_at:?}");
        }
    }
}
