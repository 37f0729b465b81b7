//! What the doctor finds on a machine whose faults are made here.
#![cfg(test)]

use madang_fleet::{Fleet, load, parse};
use madang_provision::{Cache, Check, DoctorOptions, Tools, Verdict, doctor, needs};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn find<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("no check {name} in {checks:#?}"))
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

const FLEET: &str = r#"
[[site]]
id = "here"
country = "KR"

[[model]]
id = "small"
context_tokens = 4096
[model.weights]
sha256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
bytes = 491400064
sources = [{ url = "https://mirror.example/model.gguf" }]

[[replica]]
id = "here-small"
site = "here"
model = "small"
engine = "llama.cpp"
slots = 4
launch = { builtin = "llama.cpp" }

[[model]]
id = "large"
context_tokens = 4096

[[replica]]
id = "here-large"
site = "here"
model = "large"
engine = "vllm"
slots = 4
launch = { command = ["no-such-engine", "--port", "{port}"] }

[[upstream]]
id = "frontier"
dialect = "openai"
url = "https://api.example"
country = "US"
operator_country = "US"
key_file = "frontier.key"
models = [{ id = "gpt", upstream_model = "gpt" }]
"#;

/// The fleet above in a folder of its own, with an empty cache and no engine on the path.
fn sample() -> (tempfile::TempDir, Fleet, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.toml");
    fs::write(&file, FLEET).unwrap();
    let fleet = load(&file)
        .unwrap_or_else(|error| panic!("{error}: {error:#?}"))
        .fleet;
    let tools = Tools {
        llama_server: None,
        search_path: "".into(),
        ..Tools::from_env()
    };
    let cache = Cache::at(folder.path().join("cache")).with_tools(tools);
    (folder, fleet, cache)
}

#[tokio::test]
async fn a_whole_machine_and_an_empty_cache() {
    let (folder, fleet, cache) = sample();
    let data_dir = &folder.path().join("data");
    let options = DoctorOptions {
        fleet: Some(&fleet),
        cache: &cache,
        data_dir,
        listen: free_address(),
        deep: true,
    };
    let checks = doctor(options).await;
    for name in [
        "python",
        "pip",
        "libgomp1",
        "processor",
        "cache folder",
        "data folder",
        "port",
        "disk",
    ] {
        assert_eq!(
            find(&checks, name).verdict,
            Verdict::Ok,
            "{}",
            find(&checks, name)
        );
    }
    let weights = find(&checks, "weights of small");
    assert_eq!(
        (weights.verdict, weights.found.as_str()),
        (Verdict::Warn, "491 MB to fetch")
    );
    assert_eq!(find(&checks, "llama.cpp's server").found, "34 MB to fetch");
    let program = find(&checks, "program of large");
    assert!(
        program.verdict == Verdict::Fail && program.found.contains("no-such-engine"),
        "{program}"
    );
    assert!(
        !cache.root().exists() && !data_dir.exists(),
        "the doctor changes nothing"
    );
    let total: u64 = needs(&cache, &fleet)
        .await
        .iter()
        .map(|need| need.fetch_bytes)
        .sum();
    assert_eq!(total, 491_400_064 + 34_000_000);
}

#[tokio::test]
async fn keys_are_files_for_their_owner_alone() {
    let (folder, fleet, cache) = sample();
    let key = folder.path().join("frontier.key");
    let data_dir = folder.path();
    let options = DoctorOptions {
        fleet: Some(&fleet),
        cache: &cache,
        data_dir,
        listen: free_address(),
        deep: false,
    };
    assert_eq!(
        find(&doctor(options).await, "key of upstream frontier").verdict,
        Verdict::Fail
    );
    fs::write(&key, "secret").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let checks = doctor(options).await;
    let shown = find(&checks, "key of upstream frontier");
    assert_eq!(shown.verdict, Verdict::Warn);
    assert_eq!(
        shown.remedy.as_deref(),
        Some(format!("chmod 600 {}", key.display()).as_str())
    );
    assert!(
        !checks
            .iter()
            .any(|check| check.to_string().contains("secret"))
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(
        find(&doctor(options).await, "key of upstream frontier").verdict,
        Verdict::Ok
    );
}

#[tokio::test]
async fn a_machine_with_faults() {
    let folder = tempfile::tempdir().unwrap();
    let a_file = folder.path().join("a-file");
    fs::write(&a_file, "").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let tools = Tools {
        python: "/nonexistent/python3".into(),
        ..Tools::from_env()
    };
    let cache = Cache::at(a_file.join("cache")).with_tools(tools);
    let options = DoctorOptions {
        fleet: None,
        cache: &cache,
        data_dir: Path::new("/proc/madang-data"),
        listen: taken.local_addr().unwrap(),
        deep: false,
    };
    let checks = doctor(options).await;
    for name in ["python", "cache folder", "data folder", "port"] {
        let check = find(&checks, name);
        assert!(
            check.verdict == Verdict::Fail && check.remedy.is_some(),
            "{check}"
        );
    }
    let json = serde_json::to_value(&checks).unwrap();
    assert_eq!(json[0]["verdict"], "fail");
}

#[tokio::test]
async fn a_fleet_of_urls_needs_no_python() {
    let text = "[[site]]\nid = \"a\"\ncountry = \"KR\"\n\n[[model]]\nid = \"m\"\ncontext_tokens = 4096\n\n[[replica]]\nid = \"r\"\n\
                site = \"a\"\nmodel = \"m\"\nurl = \"http://10.0.0.7:8000\"\nengine = \"vllm\"\nslots = 4\n";
    let fleet = parse(text, Path::new("fleet.toml"))
        .unwrap_or_else(|error| panic!("{error:#?}"))
        .fleet;
    let folder = tempfile::tempdir().unwrap();
    let tools = Tools {
        python: "/nonexistent/python3".into(),
        ..Tools::from_env()
    };
    let cache = Cache::at(folder.path()).with_tools(tools);
    let options = DoctorOptions {
        fleet: Some(&fleet),
        cache: &cache,
        data_dir: folder.path(),
        listen: free_address(),
        deep: true,
    };
    let checks = doctor(options).await;
    assert!(
        checks.iter().all(|check| check.verdict != Verdict::Fail),
        "{checks:#?}"
    );
    assert!(needs(&cache, &fleet).await.is_empty());
}

#[test]
fn the_laptop_example_names_the_catalogues_model() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/laptop.toml");
    let fleet = load(&example)
        .unwrap_or_else(|error| panic!("{error:#?}"))
        .fleet;
    let weights: Vec<_> = fleet
        .models
        .values()
        .filter_map(|model| model.weights.clone())
        .collect();
    assert_eq!(weights, [madang_provision::qwen25_coder_0_5b()]);
}
