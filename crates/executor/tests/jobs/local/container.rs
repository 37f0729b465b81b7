//! Jobs in containers of Podman and of Docker, each where it works here: the same suite.

use super::{Local, options};
use crate::conformance::{Fixture, output, run, script, suite, until_ended, until_running};
use async_trait::async_trait;
use madang_executor::jobs::local::ContainerEngine;
use madang_executor::jobs::{JobExecutor, RunProgram, RunSpec, StopHow};
use madang_types::RunOutcome;
use std::fs;
use std::marker::PhantomData;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const IMAGE: &str = "localhost/madang-conformance:1";
/// An image of a few of this machine's own programs: none is fetched.
const BUILD: &str = r#"set -e; ! "$@" image inspect $0 >/dev/null 2>&1 || exit 0; place=$(mktemp -d); trap 'rm -rf $place' EXIT; cd $place
for name in sh bash env cat sleep mkdir mv setsid printf head tr; do
    path=$(which $name); mkdir -p root/bin root/tmp; cp -L $path root/bin/
    ldd $path | grep -o '/[^ ]*' | while read library; do mkdir -p root$(dirname $library); cp -L $library root$library; done
done; tar -C root -cf image.tar . && "$@" import image.tar $0"#;

/// A kind of engine, and what all its tests hold.
trait Kind: Send + Sync + 'static {
    const NAME: &'static str;

    /// The words with which it makes containers on this machine; none where it does not.
    fn engine() -> Option<&'static ContainerEngine>;
}

struct Podman;

impl Kind for Podman {
    const NAME: &'static str = "Podman";

    fn engine() -> Option<&'static ContainerEngine> {
        static ENGINE: OnceLock<Option<ContainerEngine>> = OnceLock::new();
        ENGINE.get_or_init(|| find("podman", &[])).as_ref()
    }
}

struct Docker;

impl Kind for Docker {
    const NAME: &'static str = "Docker";

    fn engine() -> Option<&'static ContainerEngine> {
        // The daemon is held as long as this process is.
        static ENGINE: OnceLock<(Option<ContainerEngine>, Option<madang_testkit::Docker>)> =
            OnceLock::new();
        let held = ENGINE.get_or_init(|| {
            let daemon = madang_testkit::Docker::shared().unwrap();
            let args = daemon.as_ref().map(madang_testkit::Docker::args);
            (args.and_then(|args| find("docker", &args)), daemon)
        });
        held.0.as_ref()
    }
}

fn works(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn find(program: &str, own: &[String]) -> Option<ContainerEngine> {
    let mut build = Command::new("sh");
    if !works(build.args(["-c", BUILD, IMAGE, program]).args(own)) {
        return None;
    }
    let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];
    let engines = [
        (&[] as &[&str], &[] as &[&str]),
        (&["--runtime=runc"], &limits),
    ];
    let mut engines = engines.into_iter().map(|(args, limits)| {
        let create_args = [&["--init", "--network=host"], limits].concat();
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        ContainerEngine {
            program: program.into(),
            args: [own, &owned(args)].concat(),
            create_args: owned(&create_args),
            device_args: vec!["--label=device={device}".to_owned()],
            image_ms_max: 600_000,
        }
    });
    engines.find(|engine| {
        let mut command = Command::new(&engine.program);
        command
            .args(&engine.args)
            .args(["run", "--rm"])
            .args(&engine.create_args);
        works(command.args([
            "--cpus=0.1",
            "--memory=64m",
            IMAGE,
            "/bin/sh",
            "-c",
            "exit 0",
        ]))
    })
}

struct Contained<K>(Local, PhantomData<K>);

#[async_trait]
impl<K: Kind> Fixture for Contained<K> {
    async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut options = options(place.path());
        let mut engine = K::engine().unwrap().clone();
        let site = place.path().join("site").display().to_string();
        engine.create_args.push(format!("--volume={site}:{site}"));
        options.engine = Some(engine);
        Self(Local::with(place, options), PhantomData)
    }

    fn is_there() -> bool {
        if K::engine().is_none() {
            println!("skipped: {} makes no containers here", K::NAME);
        }
        K::engine().is_some()
    }

    fn executor(&self) -> &dyn JobExecutor {
        self.0.executor()
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    fn site(&self) -> &Path {
        self.0.site()
    }

    fn place(&self, spec: &mut RunSpec) {
        spec.image = Some(IMAGE.to_owned());
    }

    /// Processes have other numbers inside; each run's have its site in their variables.
    fn lives(&self, pid: &str) -> bool {
        let site = format!("SITE={}", self.site().display());
        fs::read_dir("/proc").unwrap().any(|entry| {
            let path = entry.unwrap().path();
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let inside = status.lines().find(|line| line.starts_with("NSpid:"));
            let numbers = inside.unwrap_or_default().split_whitespace().skip(2);
            let environ = fs::read(path.join("environ")).unwrap_or_default();
            let mut words = environ.split(|byte| *byte == 0);
            numbers.last() == Some(pid) && words.any(|word| word == site.as_bytes())
        })
    }
}

macro_rules! engine {
    ($name:ident, $kind:ident) => {
        mod $name {
            use super::*;

            type Site = Contained<$kind>;
            suite!(Site);

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn an_image_that_cannot_be_had_is_told() {
                super::an_image_that_cannot_be_had_is_told::<$kind>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_program_that_the_image_lacks_is_told() {
                super::a_program_that_the_image_lacks_is_told::<$kind>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_container_goes_with_its_runner() {
                super::a_container_goes_with_its_runner::<$kind>().await;
            }
        }
    };
}

engine!(podman, Podman);
engine!(docker, Docker);

async fn an_image_that_cannot_be_had_is_told<K: Kind>() {
    if !Contained::<K>::is_there() {
        return;
    }
    let site = Contained::<K>::new().await;
    let mut spec = script(&site, "exit 0");
    spec.image = Some("localhost/no-such-image:1".to_owned());
    let end = run(&site, spec).await;
    match &end.outcome {
        RunOutcome::NotStarted { why } => {
            assert!(
                why.starts_with("no container of the image localhost/no-such-image:1: "),
                "{why}"
            );
            assert!(why.len() > 70, "{why}");
        }
        other => panic!("{other:?}"),
    }
}

async fn a_program_that_the_image_lacks_is_told<K: Kind>() {
    if !Contained::<K>::is_there() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path());
    let mut engine = K::engine().unwrap().clone();
    engine.create_args.retain(|arg| arg != "--init");
    options.engine = Some(engine);
    let site = Local::with(place, options);
    let mut spec = script(&site, "");
    spec.image = Some(IMAGE.to_owned());
    spec.program = RunProgram::Command(vec!["/no/such/program".to_owned()]);
    let end = run(&site, spec).await;
    let told =
        matches!(&end.outcome, RunOutcome::NotStarted { why } if why.contains("/no/such/program"));
    assert!(told && end.started_at.is_none(), "{end:?}");
}

async fn a_container_goes_with_its_runner<K: Kind>() {
    if !Contained::<K>::is_there() {
        return;
    }
    let site = Contained::<K>::new().await;
    let mut spec = script(&site, "echo $MADANG_ACCELERATORS; exec sleep 1000");
    spec.pieces[0].accelerators = vec![2, 3];
    site.executor().start(spec.clone()).await.unwrap();
    until_running(&site, spec.run).await;
    while output(&site, spec.run).await != "2,3\n" {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let words = site.executor().shell(spec.run).await.unwrap();
    let name = words[words.len() - 2].clone();
    let engine = K::engine().unwrap();
    let there = || {
        let mut command = Command::new(&engine.program);
        works(
            command
                .args(&engine.args)
                .args(["container", "inspect", &name]),
        )
    };
    assert!(there(), "{words:?}");
    let claim = fs::read(site.0.options.folder.join("1042-1/claim.json")).unwrap();
    let claim: serde_json::Value = serde_json::from_slice(&claim).unwrap();
    let runner = claim["runner"]["pid"].to_string();
    assert!(works(Command::new("kill").args(["-KILL", &runner])));
    let end = until_ended(&site, spec.run).await;
    assert!(matches!(end.outcome, RunOutcome::Lost { .. }), "{end:?}");
    assert!(!there());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_engine_no_image_is_run() {
    let site = Local::new().await;
    let mut spec = script(&site, "exit 0");
    spec.image = Some(IMAGE.to_owned());
    let why = site.executor().never(&spec).unwrap();
    assert!(why.contains("runs no container images"), "{why}");
    let end = run(&site, spec).await;
    let told = matches!(&end.outcome, RunOutcome::NotStarted { why } if why.contains("no container engine"));
    assert!(told, "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_container_can_be_is_known_before_it_is_begun() {
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path());
    options.engine = Some(silent(place.path(), 1_000));
    let site = Local::with(place, options);
    let mut spec = script(&site, "exit 0");
    spec.image = Some(IMAGE.to_owned());
    assert_eq!(site.executor().never(&spec), None);
    let mut lines = spec.clone();
    lines.env.insert("TWO".to_owned(), "a\nb".to_owned());
    let why = site.executor().never(&lines).unwrap();
    assert!(why.contains("TWO has line breaks"), "{why}");
    // Without an image it is fine.
    lines.image = None;
    assert_eq!(site.executor().never(&lines), None);
    fs::remove_file(site.site().parent().unwrap().join("engine")).unwrap();
    let why = site.executor().never(&spec).unwrap();
    assert!(why.contains("is not on this machine"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_down_keeps_no_run() {
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path());
    let down = silent(place.path(), 60_000);
    let text = "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n";
    fs::write(&down.program, text).unwrap();
    options.engine = Some(down);
    let site = Local::with(place, options);
    let mut spec = script(&site, "exit 0");
    spec.image = Some(IMAGE.to_owned());
    let end = run(&site, spec).await;
    let told = matches!(&end.outcome, RunOutcome::NotStarted { why } if why.contains("Cannot connect to the Docker daemon"));
    assert!(told, "{end:?}");
}

/// A container engine whose registry does not answer.
fn silent(place: &Path, image_ms_max: u64) -> ContainerEngine {
    let program = place.join("engine");
    let text = "#!/bin/sh\n[ \"$1\" != create ] || exec sleep 98765\necho 'no such container' >&2; exit 1\n";
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    ContainerEngine {
        program,
        args: Vec::new(),
        create_args: Vec::new(),
        device_args: Vec::new(),
        image_ms_max,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_whose_registry_does_not_answer_is_waited_for_so_long_and_no_longer() {
    let with = |image_ms_max| {
        let place = tempfile::tempdir().unwrap();
        let mut options = options(place.path());
        options.engine = Some(silent(place.path(), image_ms_max));
        let site = Local::with(place, options);
        let mut spec = script(&site, "exit 0");
        spec.image = Some("registry.invalid/x:1".to_owned());
        (site, spec)
    };
    let (site, spec) = with(300);
    let end = run(&site, spec).await;
    let RunOutcome::NotStarted { why } = &end.outcome else {
        panic!("{end:?}");
    };
    let expected = "no container of the image registry.invalid/x:1: it was not had within 300ms";
    assert_eq!(why, expected);
    assert_eq!(end.started_at, None);
    // And whoever is withdrawn meanwhile goes at once.
    let (site, spec) = with(86_400_000);
    site.executor().start(spec.clone()).await.unwrap();
    let stopped = site.executor().stop(spec.run, StopHow::Cancel).await;
    stopped.unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(end.outcome, RunOutcome::Cancelled);
    assert_eq!(end.started_at, None);
}
