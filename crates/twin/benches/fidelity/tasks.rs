//! The benchmarks of MLPerf v5.1 that the knee is judged on.

use crate::mlperf::{Lengths, Task};

/// The benchmarks. Means, limits and sizes of data sets are MLPerf's; how lengths scatter is from memory of its data sets. Models are by the
/// names that the catalogue has for their forms.
pub const TASKS: [Task; 5] = [
    Task {
        name: "llama2-70b-99",
        model: "Llama-3.1-70B",
        samples: 24_576.0,
        input: Lengths::new(300.0, 0.8, 1_024.0),
        output: Lengths::new(294.45, 0.8, 1_024.0),
        server: (2_000.0, 200.0),
        interactive: Some((450.0, 40.0)),
    },
    Task {
        name: "llama3.1-405b",
        model: "Llama-3.1-405B",
        samples: 8_313.0,
        input: Lengths::new(9_428.0, 0.6, 20_000.0),
        output: Lengths::new(684.68, 0.8, 2_000.0),
        server: (6_000.0, 175.0),
        interactive: Some((4_500.0, 80.0)),
    },
    Task {
        name: "llama3.1-8b",
        model: "Llama-3.1-8B",
        samples: 13_368.0,
        input: Lengths::new(778.0, 0.5, 2_540.0),
        output: Lengths::new(128.0, 0.0, 128.0),
        server: (2_000.0, 100.0),
        interactive: Some((500.0, 30.0)),
    },
    Task {
        name: "deepseek-r1",
        model: "DeepSeek-V3",
        samples: 4_388.0,
        input: Lengths::new(800.0, 0.8, 3_136.0),
        output: Lengths::new(3_886.0, 0.9, 20_000.0),
        server: (2_000.0, 80.0),
        interactive: None,
    },
    Task {
        name: "mixtral-8x7b",
        model: "Mixtral-8x7B",
        samples: 15_000.0,
        input: Lengths::new(300.0, 0.8, 1_024.0),
        output: Lengths::new(144.84, 0.8, 1_024.0),
        server: (2_000.0, 200.0),
        interactive: None,
    },
];
