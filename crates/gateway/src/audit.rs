//! The gateway's hold on the audit log: what it says of a request, and when it must have been said.
//!
//! A decision is durable before the first byte goes where it allows, or before the refusal is sent. How a request ended is
//! logged too, and nobody waits for that.

pub use madang_audit::leaf::{FloorChange, GatewayEnd, PolicyLoad, Recall, SecretChange};
pub use madang_audit::{AuditError, Settings};

use crate::clock;
use crate::walk::Facts;
use madang_audit::leaf::{
    Decision, Event, Hmac, JobDecision, KeyChange, Location, Note, PowerChange, ProgrammeChange,
    RequestEnd, SignIn, StopSwitch, TenantChange,
};
use madang_audit::{Appended, AuditLog, Keyring, Leaf, Month, Status};
use madang_core::{Denial, Grant, PolicyDecision};
use madang_types::{
    Endpoint, ErrorCode, Job, KeyId, KeyRecord, Micros, ModelId, NodesId, PolicyEffect, PolicyHash,
    Programme, RequestId, RuleId, RunId, SiteId, Tenant, TenantId, UsageRecord,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for the disk: who asks is told then.
const CONFIRM_WAIT_MAX: Duration = Duration::from_secs(10);

/// The audit log of a running gateway.
pub struct Audit {
    log: AuditLog,
    keys: Keyring,
    folder: PathBuf,
}

/// Whose request it is: what every leaf about it begins with.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The request.
    pub request: RequestId,
    /// Who is billed.
    pub tenant: TenantId,
    /// The key that was shown.
    pub key: KeyId,
    /// The door.
    pub endpoint: Endpoint,
    /// Bytes of its body.
    pub bytes_in: u64,
}

/// An attempt about to be made.
pub struct Going<'a> {
    /// Which, from 1.
    pub attempt: u32,
    /// The model that serves it.
    pub model: &'a ModelId,
    /// Where.
    pub location: Location,
    /// The URL that is asked for there; without one, the request itself goes.
    pub visit: Option<Visit<'a>>,
}

/// A URL of a request, about to be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The origin of the fleet that it leads to.
    pub origin: &'a SiteId,
    /// Bytes of the URL: all that goes there.
    pub bytes: u64,
}

/// Who says what is to hold from now on.
#[derive(Clone, Copy, Debug)]
pub enum SaidBy<'a> {
    /// Whoever showed this key.
    Key(&'a KeyId),
    /// The fleet file, by the SHA-256 of its text, in hexadecimal digits.
    FleetFile(&'a str),
}

impl SaidBy<'_> {
    /// The key and the file as leaves have them: one of the two.
    fn fields(self) -> (Option<KeyId>, Option<String>) {
        match self {
            Self::Key(key) => (Some(key.clone()), None),
            Self::FleetFile(sha256) => (None, Some(sha256.to_owned())),
        }
    }
}

/// Where a run of a batch job is to begin.
#[derive(Clone, Debug)]
pub struct JobPlace {
    /// The run.
    pub run: RunId,
    /// The site.
    pub site: SiteId,
    /// The machines.
    pub nodes: NodesId,
}

impl Whose {
    /// Of a request under way.
    pub fn of(record: &UsageRecord) -> Self {
        Self {
            request: record.id,
            tenant: record.tenant.clone(),
            key: record.key.clone(),
            endpoint: record.endpoint,
            bytes_in: record.bytes_in,
        }
    }
}

impl Audit {
    /// Opens the log in `folder`, or begins one there. Months of its keys begin `offset_s` seconds east of UTC.
    ///
    /// # Errors
    /// As [`AuditLog::open`].
    pub fn open(folder: &Path, settings: &Settings, offset_s: i32) -> Result<Self, AuditError> {
        Ok(Self {
            log: AuditLog::open(folder, settings)?,
            keys: Keyring::new(folder, offset_s),
            folder: folder.to_owned(),
        })
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it does.
    pub fn status(&self) -> Status {
        self.log.status()
    }

    /// Logs that an attempt may be made; durable when it returns `Ok`.
    ///
    /// # Errors
    /// The log cannot be written: the attempt must not be made.
    pub async fn allow(
        &self,
        about: (&Whose, &Facts),
        going: Going<'_>,
        grant: &Grant,
    ) -> Result<(), AuditError> {
        let mut decision = decision(about, grant.policy_hash);
        decision.attempt = going.attempt;
        decision.model = Some(going.model.clone());
        decision.location = Some(going.location);
        if let Some(Visit { origin, bytes }) = going.visit {
            decision.origin = Some(origin.to_string());
            (decision.bytes, decision.prompt_tokens) = (bytes, 0);
        }
        decision.effect = grant.effect;
        decision.rules = grant.rules.iter().map(ToString::to_string).collect();
        decision.basis = grant.bases.iter().map(ToString::to_string).collect();
        self.write(Event::Decision(Box::new(decision))).await
    }

    /// Logs that a request is refused, and by which rules where policy refuses it; durable when it returns `Ok`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn refuse(
        &self,
        about: (&Whose, &Facts),
        (code, denials): (ErrorCode, &[Denial]),
        policy_hash: PolicyHash,
    ) -> Result<(), AuditError> {
        let mut decision = decision(about, policy_hash);
        decision.effect = PolicyEffect::Deny;
        decision.error = Some(code);
        let rules = denials.iter().flat_map(|denial| &denial.decision.rules);
        let mut rules: Vec<String> = rules.map(RuleId::to_string).collect();
        rules.sort();
        rules.dedup();
        decision.rules = rules;
        decision.unmet = denials.iter().flat_map(unmet).collect();
        self.write(Event::Decision(Box::new(decision))).await
    }

    /// Logs what policy decided about a run of a batch job; durable when it returns `Ok`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn job(
        &self,
        job: &Job,
        place: JobPlace,
        decided: &PolicyDecision,
        policy_hash: PolicyHash,
    ) -> Result<(), AuditError> {
        let decision = JobDecision {
            run: place.run,
            tenant: job.tenant.clone(),
            programme: job.programme.clone(),
            key: job.key.clone(),
            class: job.spec.data_class,
            flags: job.spec.data_flags,
            site: place.site,
            nodes: place.nodes,
            effect: decided.effect,
            rules: decided.rules.iter().map(ToString::to_string).collect(),
            policy_hash: policy_hash.to_string(),
        };
        self.write(Event::Job(Box::new(decision))).await
    }

    /// Logs how a request that was tried somewhere ended; `digest` is BLAKE3 of all that was sent back. It is written with
    /// the next decision, a moment later at most; nobody waits.
    pub fn end(&self, record: &UsageRecord, digest: &[u8; 32]) {
        let hmac = self.keys.hmac(&record.tenant, record.arrived_at, digest);
        let end = RequestEnd {
            request: record.id,
            tenant: record.tenant.clone(),
            outcome: record.outcome,
            status: record.status,
            error: record.error,
            attempts: record.attempts,
            model: record.model.clone(),
            location: record.site.as_ref().map(ToString::to_string),
            bytes: record.bytes_out,
            tokens: record.tokens.into(),
            answer_hmac: hmac.ok(),
        };
        let leaf = Leaf::new(clock::now(), Event::Outcome(Box::new(end)));
        let logged = leaf.encode().and_then(|bytes| self.log.append_later(bytes));
        if let Err(error) = logged {
            tracing::error!(request = %record.id, %error, "the end of a request was not logged");
        }
    }

    /// Logs that a policy came into force.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn policy(&self, load: PolicyLoad) -> Result<(), AuditError> {
        self.write(Event::Policy(load)).await
    }

    /// Logs that a stop was set or lifted.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn stop(&self, switch: StopSwitch) -> Result<(), AuditError> {
        self.write(Event::Stop(switch)).await
    }

    /// Logs what somebody said of a site's power; durable when it returns `Ok`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn power(&self, change: PowerChange) -> Result<(), AuditError> {
        self.write(Event::Power(change)).await
    }

    /// Logs that the sign-in with this key begins, or is ended; durable when it returns `Ok`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn sign_in(&self, key: &KeyRecord, begun: bool) -> Result<(), AuditError> {
        let sign_in = SignIn {
            key: key.id.clone(),
            begun,
            role: key.role,
            tenant: key.tenant.clone(),
            programme: key.programme.clone(),
        };
        self.write(Event::SignIn(sign_in)).await
    }

    /// Logs what is to hold of a programme from now on, as `by` says; durable when it returns `Ok`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn programme(&self, row: &Programme, by: SaidBy<'_>) -> Result<(), AuditError> {
        let (by, fleet_sha256) = by.fields();
        let change = ProgrammeChange {
            programme: row.id.clone(),
            removed: row.disabled_at.is_some(),
            residency_floor: row.terms.residency_floor,
            jobs_when_ended: row.terms.jobs.when_ended,
            jobs_preempted: row.terms.jobs.preempted,
            by,
            fleet_sha256,
        };
        self.write(Event::Programme(change)).await
    }

    /// The same of a tenant.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn tenant(&self, row: &Tenant, by: SaidBy<'_>) -> Result<(), AuditError> {
        let (by, fleet_sha256) = by.fields();
        let change = TenantChange {
            tenant: row.id.clone(),
            removed: row.disabled_at.is_some(),
            programme: row.programme.clone(),
            class_floor: row.class_floor,
            flags: row.data_flags,
            by,
            fleet_sha256,
        };
        self.write(Event::Tenant(change)).await
    }

    /// Logs that a key is made, or was revoked, by whoever showed `by`; durable when it returns `Ok`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn key(
        &self,
        key: &KeyRecord,
        made: bool,
        by: Option<&KeyId>,
    ) -> Result<(), AuditError> {
        let change = KeyChange {
            key: key.id.clone(),
            made,
            role: key.role,
            tenant: key.tenant.clone(),
            programme: key.programme.clone(),
            by: by.cloned(),
        };
        self.write(Event::Key(change)).await
    }

    /// Logs that a secret of jobs was put or deleted.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn secret(&self, change: SecretChange) -> Result<(), AuditError> {
        self.write(Event::Secret(change)).await
    }

    /// Logs that an allocation was recalled.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn recall(&self, recall: Recall) -> Result<(), AuditError> {
        self.write(Event::Recall(recall)).await
    }

    /// Logs that a gateway was given up, or that what waited of it was released.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn gateway(&self, end: GatewayEnd) -> Result<(), AuditError> {
        self.write(Event::Gateway(end)).await
    }

    /// Logs that the program starts or stops.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn note(&self, what: &str) -> Result<(), AuditError> {
        let note = Note {
            what: what.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.write(Event::Note(note)).await
    }

    /// Destroys the key of a tenant's hashes of a month, and logs it. Waits for the disk: not for a thread that runs an event
    /// loop. Requests under way are logged with whichever key they had; the next that needs one of that month makes it anew.
    ///
    /// # Errors
    /// As [`Keyring::erase`].
    pub fn erase(&self, tenant: TenantId, month: Month) -> Result<Appended, AuditError> {
        self.keys.erase(&self.log, (tenant, month), clock::now())
    }

    /// The keyed hash of a request's body: HMAC-SHA-256 of its BLAKE3 digest, which nobody keeps. Large bodies are hashed fast
    /// that way.
    ///
    /// # Errors
    /// The key of the month cannot be read or made.
    pub fn hmac(&self, tenant: &TenantId, at: Micros, body: &[u8]) -> Result<Hmac, AuditError> {
        self.keys.hmac(tenant, at, blake3::hash(body).as_bytes())
    }

    async fn write(&self, event: Event) -> Result<(), AuditError> {
        let bytes = Leaf::new(clock::now(), event).encode()?;
        let confirmed = timeout(CONFIRM_WAIT_MAX, self.log.append(bytes)).await;
        confirmed.map_err(|_| slow())?.map(drop)
    }
}

/// The leaf may still be written: that of a decision after which nothing was sent.
fn slow() -> AuditError {
    let waited_s = CONFIRM_WAIT_MAX.as_secs();
    AuditError::Unavailable(format!("the disk has not taken a leaf for {waited_s} s"))
}

fn decision((whose, facts): (&Whose, &Facts), policy_hash: PolicyHash) -> Decision {
    Decision {
        request: whose.request,
        tenant: whose.tenant.clone(),
        programme: facts.programme.clone(),
        key: whose.key.clone(),
        door: whose.endpoint,
        model_asked: facts.model_asked.clone(),
        model: None,
        class_claimed: facts.class_claimed,
        class: facts.mark.class,
        class_from: facts.class_from,
        flags: facts.mark.flags,
        pii: facts.pii.clone(),
        basis: Vec::new(),
        attempt: 0,
        location: None,
        origin: None,
        effect: PolicyEffect::Allow,
        error: None,
        rules: Vec::new(),
        unmet: Vec::new(),
        policy_hash: policy_hash.to_string(),
        bytes: whose.bytes_in,
        prompt_tokens: facts.prompt_tokens,
        prompt_hmac: facts.prompt_hmac,
    }
}

/// What stands in the way at one place, as `openai: own-sites(own)`.
fn unmet(denial: &Denial) -> Vec<String> {
    let conditions = |unmet: &madang_core::policy::Unmet| {
        let kinds: Vec<&str> = unmet.conditions.iter().map(|kind| kind.as_str()).collect();
        format!("{}: {}({})", denial.location, unmet.rule, kinds.join(","))
    };
    denial.decision.unmet.iter().map(conditions).collect()
}
