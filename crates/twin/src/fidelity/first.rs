//! The time to the first token in a closed loop: mostly waiting. A power law of what it depends on, fitted for engines that do
//! both and for those that do one.

use super::linear::{Cholesky, dot};
use super::physics::Times;
use super::setting::Setting;
use madang_catalog::EngineKind;
use serde::{Deserialize, Serialize};

const TERMS: usize = 10;
/// How firmly exponents are held to none where rows say nothing of them.
const HELD: f64 = 3.0;

/// Exponents, for engines that do both and for those that do one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct FirstToken {
    pub together: Vec<f64>,
    pub split: Vec<f64>,
}

impl FirstToken {
    /// Fitted on measured times to the first token, in milliseconds.
    pub fn fit(measured: &[(&Setting, Times, f64)]) -> Self {
        let of = |split: bool| {
            let rows = measured
                .iter()
                .filter(|(setting, ..)| setting.split == split)
                .map(|(setting, said, ttft_ms)| {
                    (terms(setting, said), (ttft_ms / said.ttft_ms).ln())
                });
            ridge(&rows.collect::<Vec<_>>())
        };
        Self {
            together: of(false),
            split: of(true),
        }
    }

    /// Time to the first token, in milliseconds.
    pub fn ttft_ms(&self, setting: &Setting, said: &Times) -> f64 {
        let own = if setting.split {
            &self.split
        } else {
            &self.together
        };
        said.ttft_ms * dot(own, &terms(setting, said)).clamp(-5.0, 5.0).exp()
    }
}

/// What it depends on: logarithms, about zero for usual sizes.
fn terms(setting: &Setting, said: &Times) -> [f64; TERMS] {
    let parallel = &setting.deployment.parallel;
    let engine = setting.engine();
    let is = |kind| f64::from(u8::from(engine == kind));
    let requests = setting.requests.ln() - 3.5;
    let prompt = said.prompt_ms.max(1e-3).ln() - 5.0;
    // How busy with prompts one engine is.
    let busy = said.prompt_ms * setting.concurrency / (setting.output_tokens * said.tpot_ms);
    [
        1.0,
        is(EngineKind::Sglang),
        is(EngineKind::Trtllm),
        prompt,
        requests,
        requests * requests / 4.0,
        setting.output_tokens.ln() - 7.0,
        f64::from(parallel.accelerators()).ln() - 1.4,
        (busy.max(1e-6)).ln_1p(),
        f64::from(parallel.data).ln(),
    ]
}

fn ridge(rows: &[([f64; TERMS], f64)]) -> Vec<f64> {
    let mut matrix = vec![0.0; TERMS * TERMS];
    let mut right = [0.0; TERMS];
    for (terms, left) in rows {
        for (row, term) in terms.iter().enumerate() {
            right[row] += term * left;
            for (column, other) in terms.iter().enumerate() {
                matrix[row * TERMS + column] += term * other;
            }
        }
    }
    for at in 0..TERMS {
        matrix[at * TERMS + at] += HELD;
    }
    Cholesky::of(matrix, TERMS).map_or_else(|| vec![0.0; TERMS], |solved| solved.solve(&right))
}
