//! What people and the program did beside requests: policies, stops, sign-ins, keys, gateways.

use madang_types::{
    AllocationId, DataClass, DataFlags, GatewayId, KeyId, Micros, NodesId, PolicyEffect, Preempted,
    ProgrammeId, ProjectId, Role, RunId, SecretName, SiteId, TenantId, WhenEnded, Zone,
};
use serde::{Deserialize, Serialize};

/// A policy came into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyLoad {
    /// The hash of the one before; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its hash.
    pub after: String,
    /// Combinations that were enumerated.
    pub combinations: u64,
    /// Those that are allowed now and were not.
    pub gained: u64,
    /// Those that were allowed and are not any more.
    pub lost: u64,
    /// Programmes of the fleet file whose residency floor changed: floors are no part of the hash, and permit nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floors: Vec<FloorChange>,
}

/// A programme's residency floor was set, changed or taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorChange {
    /// Whose.
    pub programme: ProgrammeId,
    /// The one before; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Zone>,
    /// The one from now on, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Zone>,
}

/// Policy decided whether a run of a batch job may begin where its turn has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobDecision {
    /// The run.
    pub run: RunId,
    /// Who is billed.
    pub tenant: TenantId,
    /// The tenant's programme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programme: Option<ProgrammeId>,
    /// The key that submitted it, by its public part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// The class that counts.
    pub class: DataClass,
    /// Facts about the data.
    pub flags: DataFlags,
    /// The site.
    pub site: SiteId,
    /// The machines.
    pub nodes: NodesId,
    /// The decision.
    pub effect: PolicyEffect,
    /// Ids of the rules that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The policy in force, by its hash.
    pub policy_hash: String,
}

/// A stop switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopSwitch {
    /// What it stops: a country, an upstream or a site, as `country:US`.
    pub scope: String,
    /// Whether it was set; else it was lifted.
    pub set: bool,
    /// The key that was shown.
    pub key: KeyId,
}

/// A cap of a site's power, or an event in which it draws less, was set or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerChange {
    /// Its number in the books; absent where it was logged before it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
    /// The site.
    pub site: SiteId,
    /// What a cap leaves, in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_watts: Option<u64>,
    /// What a cut takes, in thousandths of what was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_milli: Option<u32>,
    /// From when on.
    pub from_us: Micros,
    /// Until when; absent until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<Micros>,
    /// Whether it was set; else it was ended.
    pub set: bool,
    /// The key that was shown.
    pub key: KeyId,
}

/// A person's sign-in began; or it ended as the person signed out, signed in anew or had no rule any more. The person's name
/// is in the books alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The key of the sign-in.
    pub key: KeyId,
    /// Whether it began; else it was ended before its time.
    pub begun: bool,
    /// What the person may do.
    pub role: Role,
    /// Whose, for the roles of a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Whose, for a programme's manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programme: Option<ProgrammeId>,
}

/// A key was made or revoked, also that of a sign-in; never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// Which, by its public part.
    pub key: KeyId,
    /// Whether it was made; else it was revoked.
    pub made: bool,
    /// What it may do.
    pub role: Role,
    /// Whose, for the roles of a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Whose, for a programme's manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programme: Option<ProgrammeId>,
    /// The key that was shown; absent of the first keys, which the program makes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<KeyId>,
}

/// A programme's residency floor or what it says of its tenants' batch jobs was set or changed, or it was removed, at the API, by the
/// command, or by the fleet file. Floors of the fleet file are in [`PolicyLoad`]: of it this tells what is said of batch jobs, and what was
/// taken out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgrammeChange {
    /// Which.
    pub programme: ProgrammeId,
    /// Whether it is removed; what follows holds until then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Its residency floor, from now on; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residency_floor: Option<Zone>,
    /// What becomes of those that run when nothing pays for them any more, from now on.
    pub jobs_when_ended: WhenEnded,
    /// What a stretch costs that was stopped and left no checkpoint, from now on.
    pub jobs_preempted: Preempted,
    /// The key that was shown; absent where the fleet file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<KeyId>,
    /// The SHA-256 of the fleet file that says so, in hexadecimal digits; absent where a key was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_sha256: Option<String>,
}

/// A tenant was made, changed in what decides where its data may go, or removed, at the API, by the command, or by the fleet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    /// Which.
    pub tenant: TenantId,
    /// Whether it is removed; what follows holds until then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Its programme, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programme: Option<ProgrammeId>,
    /// The least class of its requests, from now on.
    pub class_floor: DataClass,
    /// What counts of all its data, from now on.
    pub flags: DataFlags,
    /// The key that was shown; absent where the fleet file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<KeyId>,
    /// The SHA-256 of the fleet file that says so, in hexadecimal digits; absent where a key was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_sha256: Option<String>,
}

/// A secret of jobs was put or deleted; never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretChange {
    /// Whose.
    pub tenant: TenantId,
    /// Of which of its projects; absent where it is for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    /// Which.
    pub name: SecretName,
    /// Its version from now on; absent where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The key that was shown.
    pub key: KeyId,
}

/// An allocation was recalled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// Which.
    pub allocation: AllocationId,
    /// Whose budget it is of.
    pub programme: ProgrammeId,
    /// Whose it is.
    pub tenant: TenantId,
    /// When it ends, microseconds since 1970-01-01: now, or later where notice was given.
    pub ends_us: i64,
    /// The key that was shown.
    pub by: KeyId,
}

/// A gateway was given up, or what waited of one was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayEnd {
    /// Which.
    pub gateway: GatewayId,
    /// Whether what waited of it was released; else it was given up.
    pub released: bool,
    /// The key that was shown.
    pub key: KeyId,
}

/// A key of the hashes was destroyed: they confirm nothing from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyErased {
    /// Whose.
    pub tenant: TenantId,
    /// The month, as `2026-11`.
    pub month: String,
}

/// Something about the log itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// What: `start`, `stop`.
    pub what: String,
    /// The program's version.
    pub version: String,
}
