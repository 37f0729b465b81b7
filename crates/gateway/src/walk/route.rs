//! Steps 3 to 5 as the core decides them: may it go anywhere, must it wait, where does it go?

use crate::refused::{Refused, code_of};
use crate::walk::classify::{Ask, answer_kind};
use crate::walk::flight::Flight;
use madang_core::{Denial, PREFIX_BLOCKS_MAX, Payer, Prefix, Refusal, RequestSubmit};
use madang_fleet::{Limits, PrefixCache};
use madang_types::{ErrorCode, RuleId};
use madang_wire::prefix::prompt_blocks;

/// Hands the request to the core; its word comes by the flight's ticket.
pub(super) fn submit(flight: &mut Flight, ask: &Ask) {
    let about = (answer_kind(ask.endpoint), ask.model.as_str());
    // What another tenant's prompt began with is not told, neither by a header nor by where a request goes.
    let owner =
        (ask.entry.prefix_cache == PrefixCache::ByTenant).then(|| flight.record.tenant.as_str());
    let blocks = prompt_blocks(&ask.body, owner, about, PREFIX_BLOCKS_MAX);
    let submit = RequestSubmit {
        request: flight.record.id,
        payer: Payer {
            tenant: flight.record.tenant.clone(),
            project: flight.record.project.clone(),
            key: flight.record.key.clone(),
        },
        model: ask.model.clone(),
        endpoint: ask.endpoint,
        data_class: ask.facts.mark.class,
        flags: ask.facts.mark.flags,
        maskable: ask.is_maskable(),
        priority: ask.priority,
        streamed: ask.features.stream,
        prompt_tokens: ask.prompt_tokens,
        output_tokens_max: ask.output_tokens_max,
        wait_ms_max: ask.snapshot.fleet.limits.queue_wait_ms_max,
        prefix: Prefix {
            block_tokens: blocks.block_tokens(ask.prompt_tokens),
            blocks: blocks.hashes,
        },
        session: ask.session,
    };
    let ticket = flight.gateway.driver.submit(submit);
    flight.ticket = Some(ticket);
}

/// The core's refusal as the caller sees it: what stands in the way, and which limit says so.
pub(super) fn refused(refusal: Refusal, retry_after_ms: Option<u64>, ask: &Ask) -> Refused {
    let model = &ask.model;
    let limits = &ask.snapshot.fleet.limits;
    let message = match refusal {
        Refusal::ModelUnknown => format!("the model '{model}' is no longer served here"),
        Refusal::EndpointUnsupported => {
            format!("the model '{model}' does not serve {}", ask.endpoint)
        }
        Refusal::PolicyDenied => format!(
            "data of class {} may not go to any place that serves '{model}'",
            ask.facts.mark.class
        ),
        Refusal::NoReplica => format!("the model '{model}' has no healthy replica now"),
        Refusal::QueueFull => format!(
            "{} requests wait for '{model}' already (limits.queue_length_max)",
            limits.queue_length_max
        ),
        Refusal::QueueTimeout => format!(
            "no replica of '{model}' was free within limits.queue_wait_ms_max = {} ms",
            limits.queue_wait_ms_max
        ),
        Refusal::Overloaded => format!(
            "'{model}' is overloaded: it would wait for longer than {}",
            useful(limits)
        ),
        Refusal::PowerShort => format!(
            "power is short wherever '{model}' is served, and requests of priority {} wait until it is not",
            ask.priority.as_str()
        ),
        Refusal::Shed => format!(
            "the queue of '{model}' is full (limits.queue_length_max = {}), and this request gave its place to a \
                 more urgent one, or to one of a tenant that has had less",
            limits.queue_length_max
        ),
        Refusal::AttemptsExhausted => format!(
            "no replica of '{model}' answered (limits.attempts_max = {}, limits.retry_percent_max = {})",
            limits.attempts_max, limits.retry_percent_max
        ),
        Refusal::Draining => "Madang is stopping".into(),
    };
    Refused::new(code_of(refusal), message).retry_after_ms(retry_after_ms)
}

/// A request that may go there masked only, and was not masked. The core sends none there that cannot be: nothing leaves should
/// it be mistaken.
pub(super) fn unmasked() -> Refused {
    Refused::new(
        ErrorCode::PolicyDenied,
        "personal data may go there masked only, and it could not be masked",
    )
}

/// The end of an answer whose place was stopped while it came.
pub(super) fn stopped(denial: &Denial) -> Refused {
    let rule = denial.decision.rule().map_or("stop", RuleId::as_str);
    let message = format!(
        "'{}' was stopped while it answered ({rule})",
        denial.location
    );
    Refused::new(ErrorCode::PolicyDenied, message).denied(vec![denial.clone()])
}

/// The shortest of the bounds on a wait, by its name.
fn useful(limits: &Limits) -> String {
    let (ttft, wait) = (limits.ttft_ms_max, limits.queue_wait_ms_max);
    if ttft > 0 && ttft < wait {
        format!("limits.ttft_ms_max = {ttft} ms")
    } else {
        format!("limits.queue_wait_ms_max = {wait} ms")
    }
}
