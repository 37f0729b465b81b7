//! Bounds that contradict each other.

use super::Check;
use crate::model::{Limits, Probe};
use std::collections::BTreeMap;
use std::ops::Range;

impl Check<'_, '_> {
    /// A wait that is longer than what it is part of is never reached.
    pub(super) fn limits(
        &mut self,
        limits: &Limits,
        probe: &Probe,
        spans: &BTreeMap<String, Range<usize>>,
    ) {
        let whole = ("request_ms_max", limits.request_ms_max);
        let parts = [
            ("queue_wait_ms_max", limits.queue_wait_ms_max),
            ("first_byte_ms_max", limits.first_byte_ms_max),
            ("stream_idle_ms_max", limits.stream_idle_ms_max),
            ("body_read_ms_max", limits.body_read_ms_max),
            ("connect_ms_max", limits.connect_ms_max),
        ];
        for (name, value) in parts {
            // Only what the file itself says is held against it; defaults give way.
            let part = spans.get(&format!("limits.{name}"));
            let bound = spans.get(&format!("limits.{}", whole.0));
            if let (Some(span), true) = (part.or(bound), value > whole.1) {
                let message = format!(
                    "{name} ({value} ms) is longer than {} ({} ms), which ends the request before",
                    whole.0, whole.1
                );
                self.report
                    .warning("limits_conflict", span, message)
                    .help(format!("lower {name}, or raise {}", whole.0));
            }
        }
        let slow = probe.timeout_ms > probe.interval_ms.saturating_mul(30);
        let at = spans
            .get("probe.timeout_ms")
            .or_else(|| spans.get("probe.interval_ms"));
        if let (Some(span), true) = (at, slow) {
            let message = format!(
                "a probe may take {} ms, but one is due each {} ms",
                probe.timeout_ms, probe.interval_ms
            );
            self.report
                .warning("limits_conflict", span, message)
                .help("lower timeout_ms, or raise interval_ms");
        }
    }
}
