//! Which process an engine is, so that one that began anew is known by it, and what the core is told of its load. Pure.
//!
//! Not every engine says when it began (llama.cpp does not, nor does SGLang): counters that fall say it as well.

use super::metrics::EngineLoad;

/// What is remembered of an engine's process from page to page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    started_s: Option<u64>,
    prompt_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Process {
    /// When the engine's process began, in seconds since 1970: what its supervisor knows, else what its page says, else
    /// when it was first seen with these counters. `None` where there is nothing to tell it by.
    pub fn started_s(
        &mut self,
        load: &EngineLoad,
        supervised_s: Option<u64>,
        now_s: u64,
    ) -> Option<u64> {
        let anew = fell(&mut self.prompt_tokens, load.prompt_tokens)
            | fell(&mut self.output_tokens, load.output_tokens);
        let counts = self.prompt_tokens.is_some() || self.output_tokens.is_some();
        // The supervisor comes first whatever the page says: a page that is missed once must look like no restart.
        self.started_s = match (supervised_s.or(load.started_s), self.started_s) {
            (Some(told), _) => Some(told),
            (None, Some(before)) if anew => Some(now_s.max(before.saturating_add(1))),
            (None, Some(before)) => Some(before),
            (None, None) => counts.then_some(now_s),
        };
        self.started_s
    }
}

/// Takes a counter's next value; whether it is less than the last one was.
fn fell(last: &mut Option<u64>, now: Option<u64>) -> bool {
    let fell = matches!((*last, now), (Some(last), Some(now)) if now < last);
    *last = now.or(*last);
    fell
}

/// The load in the core's words.
pub fn for_core(load: &EngineLoad, started_s: Option<u64>) -> madang_core::EngineLoad {
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    madang_core::EngineLoad {
        running: load.running.map(count),
        waiting: load.waiting.map(count),
        // Read as 0 to 1.
        kv_permille: load
            .kv_used_ratio
            .map(|ratio| (ratio * 1000.0).round() as u32),
        preemptions: load.preemptions,
        started_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one probe finds: prompt tokens, and the start as the page tells it.
    type Page = (Option<u64>, Option<u64>);

    /// Pages, one a second from 100 on, and the start that each stands for.
    fn check(supervised_s: Option<u64>, pages: &[Page], expected: &[Option<u64>]) {
        let mut process = Process::default();
        let starts: Vec<_> = (100..)
            .zip(pages)
            .map(|(now_s, (prompt_tokens, started_s))| {
                let load = EngineLoad {
                    prompt_tokens: *prompt_tokens,
                    started_s: *started_s,
                    ..EngineLoad::default()
                };
                process.started_s(&load, supervised_s, now_s)
            })
            .collect();
        assert_eq!(starts, expected, "{supervised_s:?} {pages:?}");
    }

    #[test]
    fn a_process_is_told_by_its_start_or_by_counters_that_fall() {
        let (nothing, page) = ((None, None), |tokens, at| (Some(tokens), Some(at)));
        let counted = |tokens| (Some(tokens), None);
        // Its page tells it; a page that is missed changes nothing.
        check(
            None,
            &[page(5, 50), nothing, page(6, 50), page(0, 103)],
            &[50, 50, 50, 103].map(Some),
        );
        // It does not: counters do.
        check(None, &[counted(5), counted(5), counted(9)], &[Some(100); 3]);
        check(
            None,
            &[counted(5), nothing, counted(4), counted(7)],
            &[100, 100, 102, 102].map(Some),
        );
        check(None, &[nothing, counted(5)], &[None, Some(101)]);
        // A supervisor knows better than either.
        check(
            Some(90),
            &[page(5, 50), nothing, counted(4)],
            &[Some(90); 3],
        );
        check(None, &[nothing, nothing], &[None, None]);
    }

    #[test]
    fn a_second_start_within_a_second_is_another_one() {
        let mut process = Process::default();
        let mut start = |output_tokens| {
            let load = EngineLoad {
                output_tokens: Some(output_tokens),
                ..EngineLoad::default()
            };
            process.started_s(&load, None, 100)
        };
        assert_eq!([start(5), start(3), start(2)], [100, 101, 102].map(Some));
    }

    #[test]
    fn the_core_is_told_what_was_told() {
        let load = EngineLoad {
            running: Some(u64::MAX),
            kv_used_ratio: Some(0.4567),
            preemptions: Some(3),
            ..EngineLoad::default()
        };
        let expected = madang_core::EngineLoad {
            running: Some(u32::MAX),
            waiting: None,
            kv_permille: Some(457),
            preemptions: Some(3),
            started_s: Some(7),
        };
        assert_eq!(for_core(&load, Some(7)), expected);
        assert_eq!(
            for_core(&EngineLoad::default(), None),
            madang_core::EngineLoad::default()
        );
    }
}
