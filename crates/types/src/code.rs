//! The one list of error codes that a user can meet. Each has a page `docs/errors/<code>.md`; `xtask tidy` checks it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($variant:ident = $text:literal, $status:literal, $kind:literal, $remedy:literal;)+) => {
        /// A stable code. New ones are added, none is renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $(#[doc = $remedy] $variant),+
        }

        impl ErrorCode {
            /// Every code, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as it stands in `error.code`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The HTTP status it is sent with.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// OpenAI's `error.type`.
            pub fn kind(self) -> &'static str {
                match self { $(Self::$variant => $kind),+ }
            }

            /// One line: what the caller or the operator can do.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),+ }
            }
        }

        impl FromStr for ErrorCode {
            type Err = ErrorCodeError;
            fn from_str(text: &str) -> Result<Self, ErrorCodeError> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(ErrorCodeError) }
            }
        }
    };
}

/// The text is no known code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known error code")]
pub struct ErrorCodeError;

codes! {
    // identify
    KeyMissing = "key_missing", 401, "authentication_error", "Send the key as `Authorization: Bearer mdg_…` or `x-api-key: mdg_…`.";
    KeyInvalid = "key_invalid", 401, "authentication_error", "Check the key; `madang key list` shows which exist, `madang key create` makes a new one.";
    KeyExpired = "key_expired", 401, "authentication_error", "Ask for a new key: `madang key create --tenant …`.";
    KeyRevoked = "key_revoked", 401, "authentication_error", "Ask for a new key: `madang key create --tenant …`.";
    RoleForbidden = "role_forbidden", 403, "permission_error", "Use a key whose role may do this: docs/roles.md.";
    OriginForbidden = "origin_forbidden", 403, "permission_error", "Send it from Madang's own pages, or with a key in `Authorization` instead of the cookie.";
    SignInInvalid = "sign_in_invalid", 401, "authentication_error", "Begin again at /auth/login; the message says what was wrong.";
    SignInUnmapped = "sign_in_unmapped", 403, "permission_error", "Ask the operator for a rule that holds for you: `[[sign_in.rule]]` in the fleet file.";
    SignInUnavailable = "sign_in_unavailable", 503, "server_error", "Try again; keys go on working. The operator looks at the provider and at `[sign_in]` in the fleet file.";
    EndpointNotPermitted = "endpoint_not_permitted", 403, "permission_error", "Use an endpoint or a key that the message names; GET /v1/models shows what this key is for.";
    ProgrammeClosed = "programme_closed", 403, "permission_error", "Ask whoever runs the programme: its tenants are served within its period (`madang programme list`).";
    ModelNotPermitted = "model_not_permitted", 403, "permission_error", "Use a model that GET /v1/models lists for this key, or a key that is for the model.";
    // classify: what the request says
    HeadInvalid = "head_invalid", 400, "invalid_request_error", "Send HTTP/1.1: a request line, headers of one line each, an empty line; over HTTPS only where a proxy speaks it.";
    HeadTooLarge = "head_too_large", 431, "invalid_request_error", "Send fewer or shorter headers, or raise `limits.header_bytes_max`.";
    HeadTimeout = "head_timeout", 408, "invalid_request_error", "Send the headers without long pauses, or raise `limits.header_read_ms_max`.";
    BodyNotJson = "body_not_json", 400, "invalid_request_error", "Send one JSON object, UTF-8, with `content-type: application/json`.";
    BodyTooLarge = "body_too_large", 413, "invalid_request_error", "Send less, or raise `limits.body_bytes_max` in the fleet file.";
    BodyTooDeep = "body_too_deep", 400, "invalid_request_error", "Nest objects and arrays less deeply, or raise `limits.json_depth_max`.";
    BodyTimeout = "body_timeout", 408, "invalid_request_error", "Send the body without long pauses, or raise `limits.body_read_ms_max`.";
    FieldMissing = "field_missing", 400, "invalid_request_error", "Add the field that `error.param` names.";
    FieldInvalid = "field_invalid", 400, "invalid_request_error", "Correct the field that `error.param` names.";
    FieldDuplicate = "field_duplicate", 400, "invalid_request_error", "Give the field that `error.param` names once.";
    HeaderInvalid = "header_invalid", 400, "invalid_request_error", "Correct the header that `error.param` names.";
    UrlNotFound = "url_not_found", 404, "invalid_request_error", "See the list of endpoints in docs/api.md.";
    MethodNotAllowed = "method_not_allowed", 405, "invalid_request_error", "Use the method that the header `allow` names.";
    ModelNotFound = "model_not_found", 404, "invalid_request_error", "Use a model that GET /v1/models lists.";
    ModelEndpointUnsupported = "model_endpoint_unsupported", 400, "invalid_request_error", "Use a model that serves this endpoint; GET /v1/models lists them with `endpoints`.";
    FeatureUnsupported = "feature_unsupported", 400, "invalid_request_error", "Leave out the field that `error.param` names, or use a model whose engine has it.";
    NotFound = "not_found", 404, "invalid_request_error", "Check the id; an id of another tenant reads as absent.";
    // decide, queue, route
    PolicyDenied = "policy_denied", 403, "permission_error", "Lower no class: use a model served where this data class may go.";
    BudgetExhausted = "budget_exhausted", 402, "insufficient_quota", "Ask for less output (`max_tokens`), or for a further allocation; the message says what is left and when more comes.";
    AllocationMissing = "allocation_missing", 402, "insufficient_quota", "Ask the programme for an allocation that is valid today; `madang allocation list` shows what there is.";
    BudgetBusy = "budget_busy", 429, "rate_limit_error", "Try again after `retry-after` seconds: all that is left is set aside for requests under way.";
    BudgetUnreachable = "budget_unreachable", 503, "server_error", "Try again; this gateway has not reached the books for too long to know what may be spent.";
    PriceMissing = "price_missing", 503, "server_error", "The operator sets a price for the model (`madang price set`), or a rate for its currency (`madang exchange set`).";
    QueueFull = "queue_full", 429, "rate_limit_error", "Try again after `retry-after` seconds, or add replicas.";
    Overloaded = "overloaded", 429, "rate_limit_error", "Try again after `retry-after` seconds, or raise the limit that the message names.";
    PowerShort = "power_short", 503, "server_error", "Try again after `retry-after` seconds, or ask with a higher `x-madang-priority`; `madang power status` shows since when, and why.";
    Shed = "shed", 429, "rate_limit_error", "Try again after `retry-after` seconds, or ask with a higher `x-madang-priority`.";
    RateLimited = "rate_limited", 429, "rate_limit_error", "Try again after `retry-after` seconds, or use a key with a higher rate.";
    KeyBusy = "key_busy", 429, "rate_limit_error", "Wait until one of this key's requests has ended, or raise `limits.connections_key_max`.";
    QueueTimeout = "queue_timeout", 503, "server_error", "Try again, add replicas, or raise `limits.queue_wait_ms_max`.";
    NoReplica = "no_replica", 503, "server_error", "See `madang status` and `madang logs REPLICA`; the model has no healthy replica.";
    Draining = "draining", 503, "server_error", "Madang is stopping; try again shortly or another gateway.";
    ConnectionsExhausted = "connections_exhausted", 503, "server_error", "Close idle connections, or raise `limits.connections_max`.";
    // relay
    EngineUnreachable = "engine_unreachable", 502, "server_error", "See `madang status`; the engine could not be reached or broke off before its first byte.";
    EngineRefused = "engine_refused", 400, "invalid_request_error", "Change what the message says is wrong; where it says nothing, see `madang logs REPLICA`.";
    EngineFailed = "engine_failed", 502, "server_error", "The engine met an error of its own; try again, and see `madang logs REPLICA`.";
    EngineAnswerInvalid = "engine_answer_invalid", 502, "server_error", "The engine's answer was not what its protocol promises; see `madang logs REPLICA`.";
    EngineCut = "engine_cut", 502, "server_error", "The engine broke off in the middle; try again. What came before is incomplete.";
    EngineFirstByteTimeout = "engine_first_byte_timeout", 504, "server_error", "Try a shorter prompt, or raise `limits.first_byte_ms_max`.";
    EngineIdleTimeout = "engine_idle_timeout", 504, "server_error", "The stream stood still; try again, or raise `limits.stream_idle_ms_max`.";
    RequestTimeout = "request_timeout", 504, "server_error", "Ask for less output, or raise `limits.request_ms_max`.";
    AnswerTooLarge = "answer_too_large", 502, "server_error", "The engine's answer passed `limits.answer_bytes_max`, or as a stream `limits.stream_bytes_max`.";
    // settle, store
    JobImpossible = "job_impossible", 422, "invalid_request_error", "Ask for what the message says is there, or for less; `GET /api/v1/sites` shows all machines.";
    FineTuningUnconfigured = "fine_tuning_unconfigured", 404, "invalid_request_error", "Ask the operator for a template: `[[fine_tuning]]` in the fleet file, docs/fine-tuning.md.";
    TrainingFileInvalid = "training_file_invalid", 400, "invalid_request_error", "Mend the line that the message names, send the file again, and ask with its new id.";
    ExecutorUnavailable = "executor_unavailable", 503, "server_error", "Try again; the operator looks at what runs jobs on those machines. The job itself is not lost.";
    JobsTooMany = "jobs_too_many", 429, "rate_limit_error", "Wait until some of the tenant's jobs are over, or raise `jobs.open_tenant_max` in the fleet file.";
    SecretsUnavailable = "secrets_unavailable", 503, "server_error", "The operator looks at the key file of secrets (`jobs.secrets_key_file`); the message says what is wrong with it.";
    StoreUnavailable = "store_unavailable", 503, "server_error", "The books cannot be written (disk full or read-only?); see the server's log. No request is served unrecorded.";
    AuditUnavailable = "audit_unavailable", 503, "server_error", "The audit log cannot be written (disk full or read-only?); see the server's log. No request is served unlogged.";
    FilesFull = "files_full", 413, "invalid_request_error", "Delete files that nobody needs (`DELETE /v1/files/ID`), or raise the limit that the message names.";
    FilesUnavailable = "files_unavailable", 503, "server_error", "Files cannot be kept (disk full or read-only?); see the server's log. Nothing that was kept is lost.";
    Conflict = "conflict", 409, "invalid_request_error", "The message says what stands in the way; a row that the fleet file owns is changed there, then `madang reload`.";
    FleetInvalid = "fleet_invalid", 422, "invalid_request_error", "Mend the problems that the message lists (`madang check FILE`); the last good fleet goes on serving.";
    Internal = "internal", 500, "server_error", "A fault of Madang's own; please report it with the request id.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_read_back() {
        let texts: BTreeSet<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!((400..600).contains(&code.status()));
        }
    }
}
