//! Stories: one thing after another, and what is said to be done.

use super::*;
use madang_types::Priority;

/// A job of whole accelerators.
#[derive(Clone, Copy)]
pub(super) struct J {
    key: u64,
    account: AccountKey,
    accelerators: u32,
    run_s_max: u64,
    preemptible: bool,
    priority: Priority,
    class: JobClass,
}

pub(super) fn job(key: u64, accelerators: u32, run_s_max: u64) -> J {
    J {
        key,
        account: Jobs::ROOT,
        accelerators,
        run_s_max,
        preemptible: true,
        priority: Priority::Standard,
        class: JobClass::default(),
    }
}

impl J {
    pub(super) fn of(self, account: AccountKey) -> Self {
        Self { account, ..self }
    }

    pub(super) fn in_class(self, class: JobClass) -> Self {
        Self { class, ..self }
    }

    pub(super) fn urgent(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    pub(super) fn rigid(self) -> Self {
        Self {
            preemptible: false,
            ..self
        }
    }

    pub(super) fn ask(self) -> Ask {
        Ask {
            job: JobKey(self.key),
            account: self.account,
            need: Need::accelerators(self.accelerators),
            run_us_max: self.run_s_max * SECOND_US,
            preemptible: self.preemptible,
            priority: self.priority,
            class: self.class,
        }
    }
}

/// A world, and what it says: `+1` starts job 1, `-1` stops it.
pub(super) struct Story {
    pub(super) jobs: Jobs,
    now: Micros,
}

impl Story {
    pub(super) fn new(rule: JobRule, accelerators: &[u16]) -> Self {
        Self {
            jobs: Jobs::new(rule, JobTerms::default(), &machines(accelerators)),
            now: at(0),
        }
    }

    pub(super) fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = at(seconds);
        self
    }

    pub(super) fn comes(&mut self, job: J) -> &mut Self {
        self.jobs.apply(self.now, JobInput::Submitted(job.ask()));
        self
    }

    pub(super) fn ends(&mut self, key: u64) -> &mut Self {
        self.jobs.apply(self.now, JobInput::Ended(JobKey(key)));
        self
    }

    pub(super) fn has_stopped(&mut self, key: u64) -> &mut Self {
        self.jobs.apply(self.now, JobInput::Stopped(JobKey(key)));
        self
    }

    /// What is to be done now.
    pub(super) fn pass(&mut self) -> Vec<JobEffect> {
        let mut effects = Vec::new();
        self.jobs.pass(self.now, &mut effects);
        effects
    }

    #[track_caller]
    pub(super) fn check(&mut self, expected: &str) -> &mut Self {
        let effects = self.pass();
        let said = effects.iter().map(|effect| match effect {
            JobEffect::Start { job, .. } => format!("+{}", job.0),
            JobEffect::Stop { job } => format!("-{}", job.0),
        });
        assert_eq!(said.collect::<Vec<_>>().join(" "), expected);
        self
    }
}
