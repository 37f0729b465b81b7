//! The bench itself runs: upstream, load, tables and JSON, with as little load as there can be. Figures are not looked at.

use anyhow::ensure;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs it on these gateways; what it printed, and its JSON.
fn bench(gateways: &str, madang: &Path) -> anyhow::Result<(String, Value)> {
    let folder = tempfile::tempdir()?;
    let json = folder.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_madang-bench"))
        .args(["--gateways", gateways, "--peers", "none"])
        .args(["--rounds", "1", "--seconds", "0.05"])
        .args(["--only", "1 kB, 1 at once"])
        .arg("--folder")
        .arg(folder.path())
        .arg("--madang")
        .arg(madang)
        .arg("--json")
        .arg(&json)
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{printed}\n{errors}");
    let text = std::fs::read_to_string(json)?;
    Ok((printed, serde_json::from_str(&text)?))
}

/// What the workspace's tests have built, if they have.
fn madang() -> Option<PathBuf> {
    let given = std::env::var_os("MADANG_BIN").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_BIN_EXE_madang-bench")).with_file_name("madang");
    given.or(Some(beside)).filter(|path| path.exists())
}

#[test]
fn a_small_run_prints_tables_and_writes_figures() {
    let (gateways, path) = match madang() {
        Some(path) => ("direct,madang,madang-priced", path),
        None => ("direct", PathBuf::from("absent")),
    };
    let (printed, json) = bench(gateways, &path).unwrap();
    assert!(printed.contains("**plain, 1 kB, 1 at once**"), "{printed}");
    assert!(printed.contains("failed requests: none"), "{printed}");
    let booked = "madang-priced: the ledger follows its rules";
    assert_eq!(
        printed.contains(booked),
        gateways.contains("priced"),
        "{printed}"
    );
    let loads = json["loads"].as_array().unwrap();
    let names: Vec<&str> = loads
        .iter()
        .filter_map(|load| load["name"].as_str())
        .collect();
    assert_eq!(names, ["plain, 1 kB, 1 at once", "stream, 1 kB, 1 at once"]);
    for load in loads {
        let rows = load["rows"].as_array().unwrap();
        let found: Vec<&str> = rows
            .iter()
            .filter_map(|row| row["gateway"].as_str())
            .collect();
        let whole =
            |name: &str| load["name"] == "plain, 1 kB, 1 at once" || name != "madang-priced";
        let expected: Vec<&str> = gateways.split(',').filter(|name| whole(name)).collect();
        assert_eq!(found, expected);
        for row in rows {
            assert_eq!(row["rounds"][0]["failed"], 0, "{row}");
        }
    }
}

#[test]
fn a_gateway_that_nobody_knows_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_madang-bench"))
        .args(["--gateways", "direct", "--peers", "nobody"])
        .arg("--folder")
        .arg(tempfile::tempdir().unwrap().path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("no gateway is called 'nobody'"), "{errors}");
}
