//! What a leaf says: one JSON object with its fields in a fixed order, whole numbers only, and no field that is absent.
//!
//! Never content: texts are names, ids and words of the fleet and the policy; of content there are counts, and hashes under
//! a key that can be destroyed ([`crate::Keyring`]).

mod acts;

pub use acts::{
    FloorChange, GatewayEnd, JobDecision, KeyChange, KeyErased, Note, PolicyLoad, PowerChange,
    ProgrammeChange, Recall, SecretChange, SignIn, StopSwitch, TenantChange,
};

use crate::{AuditError, LEAF_BYTES_MAX};
use madang_types::{
    DataClass, DataFlags, Endpoint, ErrorCode, Hex, KeyId, Micros, ModelId, Outcome, PiiKind,
    PolicyEffect, ProgrammeId, RequestId, TenantId, TokenUse,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The version of the format that this program writes.
const VERSION: u32 = 1;
/// A leaf's usual length, set aside before it is written.
const USUAL_BYTES: usize = 1024;

/// A leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// The version of the format.
    v: u32,
    /// When it happened.
    pub time_us: Micros,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Policy decided about one attempt of a request.
    Decision(Box<Decision>),
    /// Policy decided about one run of a batch job.
    Job(Box<JobDecision>),
    /// A request ended.
    Outcome(Box<RequestEnd>),
    /// A policy was loaded.
    Policy(PolicyLoad),
    /// A stop switch was set or lifted.
    Stop(StopSwitch),
    /// A cap or an event of a site's power was set or ended.
    Power(PowerChange),
    /// A person signed in, or a sign-in was ended.
    SignIn(SignIn),
    /// A key was made, or revoked.
    Key(KeyChange),
    /// A programme's residency floor or what it says of batch jobs was set or changed, or it was removed.
    Programme(ProgrammeChange),
    /// A tenant was made, changed in what decides where its data may go, or removed.
    Tenant(TenantChange),
    /// A secret of jobs was put or deleted.
    Secret(SecretChange),
    /// An allocation was recalled.
    Recall(Recall),
    /// A gateway was given up, or what waited of it was released.
    Gateway(GatewayEnd),
    /// A key of the hashes was destroyed.
    KeyErased(KeyErased),
    /// Something about the log itself.
    Note(Note),
}

/// What policy decided about one attempt; with no location, about the request as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The request.
    pub request: RequestId,
    /// Who is billed.
    pub tenant: TenantId,
    /// The tenant's programme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programme: Option<ProgrammeId>,
    /// The key that was shown, by its public part.
    pub key: KeyId,
    /// Which door the request came through.
    pub door: Endpoint,
    /// The model that was asked for; absent where the request named none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_asked: Option<ModelId>,
    /// The model that this attempt is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// The class that the request claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_claimed: Option<DataClass>,
    /// The class that counted.
    pub class: DataClass,
    /// What raised the class to that.
    pub class_from: ClassSource,
    /// Facts about the data.
    pub flags: DataFlags,
    /// Findings of each kind of personal data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pii: BTreeMap<PiiKind, u32>,
    /// Ids of the legal bases that counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basis: Vec<String>,
    /// The attempt, from 1; 0 for the request as a whole.
    pub attempt: u32,
    /// Where the attempt goes, or would have gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The origin that a URL of the request leads to, where not the request goes there but the URL is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The decision.
    pub effect: PolicyEffect,
    /// Why it was refused, by the error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
    /// Ids of the rules that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Conditions that were not met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
    /// The policy in force, by its hash.
    pub policy_hash: String,
    /// Bytes of the request's body, or of the URL.
    pub bytes: u64,
    /// Tokens of the prompt, estimated.
    pub prompt_tokens: u64,
    /// The hash of the request's body under the key of its tenant and month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_hmac: Option<Hmac>,
}

/// What raised a request's class; where several did, the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassSource {
    /// Nothing: it is the least.
    Default,
    /// The tenant's floor.
    TenantFloor,
    /// The key's floor.
    KeyFloor,
    /// The request's header.
    Header,
    /// What the scanner found.
    Scanner,
}

/// A place, with what the fleet file says of it at that time; what it does not say is absent, and counts as unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// The site's or the upstream's id.
    pub id: String,
    /// Whether it is a site of the operator's own.
    pub own: bool,
    /// Where it computes, as ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Whose law its operator is under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_country: Option<String>,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Who receives what is sent there, with a way to reach them (PIPA art. 28-8 para. 2 no. 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What for (no. 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// How long it is kept there (no. 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
    /// How to refuse, and what follows (no. 5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestEnd {
    /// The request.
    pub request: RequestId,
    /// Who is billed.
    pub tenant: TenantId,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status that was sent.
    pub status: u16,
    /// Why it did not end well, by the error's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
    /// Attempts that were made.
    pub attempts: u32,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// The place that answered, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// The hash of the answer's body under the key of its tenant and month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_hmac: Option<Hmac>,
}

/// Tokens of a request, as in the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Of the prompt.
    pub prompt: u64,
    /// Of the answer.
    pub output: u64,
}

/// HMAC-SHA-256, in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hmac(pub [u8; 32]);

impl fmt::Display for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hmac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hmac {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let mut bytes = [0; 32];
        let (digits, rest) = text.as_bytes().as_chunks::<2>();
        if digits.len() != 32 || !rest.is_empty() {
            return Err(serde::de::Error::custom(
                "a keyed hash has 64 hexadecimal digits",
            ));
        }
        for (byte, digits) in bytes.iter_mut().zip(digits) {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).map_err(serde::de::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}

impl From<TokenUse> for Tokens {
    fn from(used: TokenUse) -> Self {
        let TokenUse {
            uncached,
            cached,
            output,
            estimated: _,
        } = used;
        Self {
            prompt: uncached.0 + cached.0,
            output: output.0,
        }
    }
}

impl Leaf {
    /// A leaf of today's version.
    pub fn new(time_us: Micros, event: Event) -> Self {
        Self {
            v: VERSION,
            time_us,
            event,
        }
    }

    /// The request that it is about.
    pub fn request(&self) -> Option<RequestId> {
        match &self.event {
            Event::Decision(decision) => Some(decision.request),
            Event::Outcome(end) => Some(end.request),
            Event::Job(_)
            | Event::Policy(_)
            | Event::Stop(_)
            | Event::Power(_)
            | Event::SignIn(_)
            | Event::Programme(_)
            | Event::Tenant(_)
            | Event::Key(_)
            | Event::Secret(_)
            | Event::Recall(_)
            | Event::Gateway(_)
            | Event::KeyErased(_)
            | Event::Note(_) => None,
        }
    }

    /// The leaf's bytes: the same for the same leaf, always.
    ///
    /// # Errors
    /// [`AuditError::LeafTooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, AuditError> {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut bytes, self)
            .map_err(|e| AuditError::Invalid(format!("the leaf has no JSON: {e}")))?;
        match bytes.len() {
            length if length > LEAF_BYTES_MAX => Err(AuditError::LeafTooLong(length)),
            _ => Ok(bytes),
        }
    }

    /// Reads [`Leaf::encode`].
    ///
    /// # Errors
    /// [`AuditError::Invalid`]: it is of another version, or not written as this program writes it.
    pub fn decode(bytes: &[u8]) -> Result<Self, AuditError> {
        let invalid = |what: String| AuditError::Invalid(format!("the leaf {what}"));
        let leaf: Self = serde_json::from_slice(bytes)
            .map_err(|e| invalid(format!("is not one of this version: {e}")))?;
        if leaf.v != VERSION {
            return Err(invalid(format!(
                "is of version {}, this program reads version {VERSION}",
                leaf.v
            )));
        }
        Ok(leaf)
    }
}

#[cfg(test)]
mod tests;
