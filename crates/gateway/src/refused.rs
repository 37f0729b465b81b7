//! A refusal that a client sees: a stable code, a sentence, and OpenAI's error shape.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use madang_core::{Denial, Refusal};
use madang_types::{Endpoint, ErrorCode, RequestId};
use madang_wire::PolicyReason;
use madang_wire::error::error_body;
use madang_wire::{ErrorFields, anthropic};

/// Where the page of a code is, relative to the project.
pub fn doc_page(code: ErrorCode) -> String {
    format!("docs/errors/{code}.md")
}

/// The code of a refusal of the core's.
pub fn code_of(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::ModelUnknown => ErrorCode::ModelNotFound,
        Refusal::EndpointUnsupported => ErrorCode::ModelEndpointUnsupported,
        Refusal::PolicyDenied => ErrorCode::PolicyDenied,
        Refusal::NoReplica => ErrorCode::NoReplica,
        Refusal::QueueFull => ErrorCode::QueueFull,
        Refusal::QueueTimeout => ErrorCode::QueueTimeout,
        Refusal::Overloaded => ErrorCode::Overloaded,
        Refusal::PowerShort => ErrorCode::PowerShort,
        Refusal::Shed => ErrorCode::Shed,
        Refusal::AttemptsExhausted => ErrorCode::EngineUnreachable,
        Refusal::Draining => ErrorCode::Draining,
    }
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Stable code; decides the status.
    pub code: ErrorCode,
    /// What is wrong and where, in one sentence. Never content, never a key.
    pub message: String,
    /// The message has an engine's own words, which may quote the prompt: they are the caller's, and in no log.
    pub quotes: bool,
    /// The field or header at fault.
    pub param: Option<String>,
    /// When trying again makes sense.
    pub retry_after_ms: Option<u64>,
    /// Why policy denies it, by place.
    pub denials: Vec<Denial>,
    /// What to do, where that is something else than the code's own remedy.
    pub remedy: Option<&'static str>,
}

impl Refused {
    /// A refusal with a code and a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            quotes: false,
            param: None,
            retry_after_ms: None,
            denials: Vec::new(),
            remedy: None,
        }
    }

    /// Its message has an engine's own words.
    #[must_use]
    pub fn quoting(mut self) -> Self {
        self.quotes = true;
        self
    }

    /// The reason as a log may have it.
    pub fn reason(&self) -> &str {
        match self.quotes {
            true => "the caller was told the engine's own words",
            false => &self.message,
        }
    }

    /// Names the field or header at fault.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: Option<u64>) -> Self {
        self.retry_after_ms = ms;
        self
    }

    /// Says why policy denies it.
    #[must_use]
    pub fn denied(mut self, denials: Vec<Denial>) -> Self {
        self.denials = denials;
        self
    }

    /// Says what to do, in place of the code's own remedy.
    #[must_use]
    pub fn remedied(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// The answer in OpenAI's error shape.
    pub fn into_response(self, request: Option<RequestId>) -> Response {
        self.shaped(error_body, request)
    }

    /// The answer in the shape that callers of this door know.
    pub fn into_response_of(self, endpoint: Endpoint, request: Option<RequestId>) -> Response {
        if endpoint != Endpoint::Messages {
            return self.into_response(request);
        }
        let mut response = self.shaped(anthropic::error_body, request);
        let headers = response.headers_mut();
        if let Some(id) = headers.get(crate::headers::REQUEST_ID).cloned() {
            headers.insert(crate::headers::ANTHROPIC_REQUEST_ID, id);
        }
        response
    }

    fn shaped(
        self,
        body_of: fn(&ErrorFields<'_>) -> String,
        request: Option<RequestId>,
    ) -> Response {
        let request_text = request.map(|id| id.to_string()).unwrap_or_default();
        let reasons = self.reasons();
        let body = body_of(&self.facts((&request_text, &doc_page(self.code)), &reasons));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Ok(value) = HeaderValue::from_str(&request_text)
            && request.is_some()
        {
            headers.insert(crate::headers::REQUEST_ID, value);
        }
        if let Some(ms) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
            headers.insert(crate::headers::RETRY_AFTER_MS, HeaderValue::from(ms));
        }
        if self.code.status() == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// The same, as the wire crate wants it.
    pub(crate) fn facts<'a>(
        &'a self,
        (request, doc): (&'a str, &'a str),
        reasons: &'a [PolicyReason],
    ) -> ErrorFields<'a> {
        ErrorFields {
            message: &self.message,
            kind: self.code.kind(),
            param: self.param.as_deref(),
            code: self.code.as_str(),
            request_id: request,
            remedy: Some(self.remedy.unwrap_or(self.code.remedy())),
            doc,
            retry_after_ms: None,
            reasons,
        }
    }

    /// Why policy denies it, as the wire crate wants it.
    pub(crate) fn reasons(&self) -> Vec<PolicyReason> {
        self.denials.iter().map(reason).collect()
    }
}

fn reason(denial: &Denial) -> PolicyReason {
    let Denial { location, decision } = denial;
    let unmet = decision.unmet.iter().map(|unmet| {
        let kinds: Vec<&str> = unmet.conditions.iter().map(|kind| kind.as_str()).collect();
        format!("{}({})", unmet.rule, kinds.join(","))
    });
    PolicyReason {
        location: location.to_string(),
        rules: decision.rules.iter().map(ToString::to_string).collect(),
        unmet: unmet.collect(),
        text: decision.text.clone(),
        text_ko: decision.text_ko.clone(),
        reroute: decision.reroute.as_ref().map(ToString::to_string),
    }
}
