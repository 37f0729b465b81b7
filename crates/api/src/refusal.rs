//! Refusals as handlers return them.

use crate::views::{ErrorBody, ProblemView};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use madang_control::power::ChangeError;
use madang_gateway::audit::AuditError;
use madang_gateway::refused::Refused;
use madang_store::{GrantError, StoreError};
use madang_types::ErrorCode;

/// Why a call is not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    refused: Box<Refused>,
    /// A fleet file's name and its problems.
    problems: Option<(String, Vec<ProblemView>)>,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refused::new(code, message).into()
    }

    /// Names the parameter at fault.
    pub fn at(mut self, param: &str) -> Self {
        self.refused.param = Some(param.into());
        self
    }

    /// A fleet file that cannot be used, problem by problem.
    pub fn fleet(message: String, file: String, problems: Vec<ProblemView>) -> Self {
        Self {
            refused: Box::new(Refused::new(ErrorCode::FleetInvalid, message)),
            problems: Some((file, problems)),
        }
    }

    /// There is no such thing, or none that this caller may know of.
    pub fn absent(what: &str, id: &str) -> Self {
        let shown: String = id.chars().take(100).collect();
        Self::new(ErrorCode::NotFound, format!("there is no {what} '{shown}'"))
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self {
            refused: Box::new(refused),
            problems: None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Unavailable(_) => ErrorCode::StoreUnavailable,
            StoreError::Exists(_) => ErrorCode::Conflict,
            StoreError::Absent(_) => ErrorCode::NotFound,
            StoreError::Invalid(_) => ErrorCode::FieldInvalid,
            StoreError::Damaged(_) => ErrorCode::Internal,
        };
        if code == ErrorCode::Internal {
            tracing::error!(%error, "the books gave what was never written");
        }
        Self::new(code, error.to_string())
    }
}

impl From<AuditError> for Refusal {
    fn from(error: AuditError) -> Self {
        Self::new(ErrorCode::AuditUnavailable, error.to_string())
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Store(error) => error.into(),
            ChangeError::Audit(error) => error.into(),
        }
    }
}

impl From<GrantError> for Refusal {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Store(error) => error.into(),
            GrantError::Refused(why) => Self::conflict(why),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Some((file, problems)) = self.problems else {
            return self.refused.into_response(None);
        };
        let status = StatusCode::from_u16(self.refused.code.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ErrorBody::with_problems(&self.refused, file, problems);
        (status, Json(body)).into_response()
    }
}
