//! How long an engine takes from its start until it serves: its weights are read, and it gets ready.

use crate::deployment::Deployment;

/// Bytes a second that a machine reads weights with where nobody says it. Run:ai's Model Streamer read Llama-3-8B (16 × 10^9 bytes) from a
/// local SSD in 7.5 s ("Performance Benchmarks", October 2024); plain loaders took six times as long, and storage over a fast network gave
/// a machine of eight ranks some 15 × 10^9 (its issue 135).
const READ_BYTES_S: f64 = 2e9;
/// From the start of the process until it serves, beside reading, in seconds: 59 s until the first answer, of which 0.7 s were reading, for
/// vLLM with its compiled graphs kept (vLLM's issue 20264); 34 of them were profiling, making graphs and KV memory.
const START_S: f64 = 58.0;

/// Accelerators of a machine where nothing says it.
pub const MACHINE_ACCELERATORS: u32 = 8;

impl Deployment {
    /// Time from the start of an engine's process until it serves, in seconds. Each of its machines, with so many accelerators, reads
    /// their weights with so many 10^9 bytes a second, which is what is usual where nothing is said; all read at once.
    pub fn load_s(&self, per_machine: u32, storage_gb_s: Option<f64>) -> f64 {
        let machines = self.parallel.accelerators().div_ceil(per_machine.max(1));
        let bytes_s = storage_gb_s.map_or(READ_BYTES_S, |gb_s| gb_s * 1e9);
        START_S + self.weight_bytes() / f64::from(machines) / bytes_s
    }
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, EngineKind, MACHINE_ACCELERATORS, Parallel};

    #[test]
    fn an_engine_serves_when_its_weights_are_read() {
        let catalog = Catalog::shipped().unwrap();
        let load_s = |model: &str, accelerators, storage_gb_s| {
            let parallel = Parallel::tensor(accelerators);
            let deployment =
                catalog.deployment((model, "H200-SXM"), parallel, "fp8", EngineKind::Vllm);
            let deployment = deployment.unwrap();
            deployment.load_s(MACHINE_ACCELERATORS, storage_gb_s)
        };
        // 70.6 × 10^9 bytes at 2, and at 10, × 10^9 a second.
        assert!((load_s("Llama-3.1-70B", 2, None) - 93.3).abs() < 0.5);
        assert!((load_s("Llama-3.1-70B", 8, Some(10.0)) - 65.1).abs() < 0.5);
        // 671 × 10^9 bytes on two machines.
        assert!((load_s("DeepSeek-V3", 16, Some(10.0)) - 91.5).abs() < 1.0);
    }
}
