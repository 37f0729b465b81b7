//! What this machine lacks for a run, as far as its settings tell: whoever submits a job hears of it then, and not days later.

use super::LocalOptions;
use super::container::passes;
use crate::jobs::RunSpec;

impl LocalOptions {
    /// Why a run would never begin here, or what it makes never be kept; `None` where nothing is known against it.
    pub(super) fn lacks(&self, spec: &RunSpec) -> Option<String> {
        if spec.image.is_some() {
            let lack = self.lacks_engine();
            let passed = || {
                spec.env
                    .iter()
                    .find_map(|(name, value)| passes((name, value)).err())
            };
            if let Some(why) = lack.or_else(passed) {
                return Some(why);
            }
        }
        let tenant = &spec.owner.1;
        let input = spec.inputs.iter().find_map(|stage| {
            let why = self.stages.opens(tenant, (&stage.from, false)).err()?;
            Some(format!("the input {}: {why}", stage.from))
        });
        input.or_else(|| {
            spec.outputs.iter().find_map(|stage| {
                let why = self.stages.opens(tenant, (&stage.to, true)).err()?;
                Some(format!("the output {} to {}: {why}", stage.from, stage.to))
            })
        })
    }

    fn lacks_engine(&self) -> Option<String> {
        let Some(engine) = &self.engine else {
            return Some(
                "this machine runs no container images (jobs.container_program, read at the start): leave out image, or run it elsewhere"
                    .to_owned(),
            );
        };
        (!engine.is_there()).then(|| {
            format!(
                "its container engine {} (jobs.container_program) is not on this machine: leave out image, or run it elsewhere",
                engine.program.display()
            )
        })
    }
}
