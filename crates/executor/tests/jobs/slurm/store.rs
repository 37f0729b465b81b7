//! Files of runs in a store that verifies each signature: the cluster's machines reach it, and no key to it goes there.

use super::*;
use crate::conformance::{output, run, until_ended, until_file};
use crate::object_store::{HALF, ObjectStore};
use madang_executor::jobs::JobsError;
use madang_types::{JobStage, RunOutcome};
use std::fs;

of_each_release!(
    objects_are_brought_and_kept_by_addresses_of_their_own,
    who_runs_for_longer_than_an_address_is_good_for_is_given_another,
);

fn stage(from: &str, to: &str, sha256: Option<&str>) -> JobStage {
    JobStage {
        from: from.to_owned(),
        to: to.to_owned(),
        sha256: sha256.map(str::to_owned),
        bytes: None,
    }
}

/// A run that brings an object, and keeps another.
fn copies(site: &Site, job: u64, input: JobStage, to: &str) -> RunSpec {
    let mut spec = site.script(job, "cat in in > out; cat out; env");
    spec.inputs = vec![input];
    spec.outputs = vec![stage("out", to, None)];
    spec
}

/// Files with addresses that are left on the cluster.
fn addresses(site: &Site) -> usize {
    let folder = fs::read_dir(&site.options.folder).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".urls")).count()
}

async fn objects_are_brought_and_kept_by_addresses_of_their_own(release: SlurmRelease) {
    for shape in [daemon, programs] {
        let store = ObjectStore::start().await;
        store.put("hanbit/a b", "half ");
        let Some(mut site) = Site::shared(release, shape) else {
            return;
        };
        site.options.buckets = vec![store.bucket("sesame-7f3a")];
        site.restart();
        let input = |sha256| stage("s3://jobs/hanbit/a b", "in", sha256);
        let spec = copies(&site, 1, input(Some(HALF)), "s3://jobs/hanbit/deep/out");
        let end = run(&site, spec.clone()).await;
        let told = output(&site, spec.run).await;
        assert_eq!(end.outcome, RunOutcome::Completed, "{told}");
        assert!(told.starts_with("half half "), "{told}");
        assert!(
            !told.contains("X-Amz") && !told.contains("sesame"),
            "{told}"
        );
        assert_eq!(
            fs::read_to_string(store.object("hanbit/deep/out")).unwrap(),
            "half half "
        );
        // Another checksum; an object that is not there.
        let other = HALF.replace('e', "f");
        let missing = stage("s3://jobs/hanbit/missing", "in", None);
        for (job, input, why) in [
            (2, input(Some(&other)), "does not have the SHA-256"),
            (3, missing, "cannot be had: its store answered 404"),
        ] {
            let end = run(&site, copies(&site, job, input, "s3://jobs/hanbit/no")).await;
            let RunOutcome::NotStarted { why: told } = end.outcome else {
                panic!("{end:?}");
            };
            assert!(told.contains(why), "{told}");
        }
        // What it may not have is refused before it is submitted.
        let refused = site
            .executor()
            .start(copies(&site, 4, input(None), "s3://jobs/daon/no"))
            .await;
        assert!(
            matches!(&refused, Err(JobsError::Refused(why)) if why.contains("no bucket that is open")),
            "{refused:?}"
        );
        // The store itself knows who may.
        site.options.buckets = vec![store.bucket("sesame-0000")];
        site.restart();
        let end = run(&site, copies(&site, 5, input(None), "s3://jobs/hanbit/no")).await;
        assert!(
            matches!(&end.outcome, RunOutcome::NotStarted { why } if why.contains("answered 403")),
            "{end:?}"
        );
        assert!(!store.object("hanbit/no").exists());
        assert_eq!(addresses(&site), 0);
    }
}

async fn who_runs_for_longer_than_an_address_is_good_for_is_given_another(release: SlurmRelease) {
    let store = ObjectStore::start().await;
    let Some(mut site) = Site::shared(release, programs) else {
        return;
    };
    // What was signed with at first is taken away meanwhile.
    site.options.buckets = vec![store.bucket("sesame-0000")];
    site.restart();
    let mut spec = site.script(
        1,
        "echo on > $SITE/on; while [ ! -e $SITE/go ]; do sleep 0.1; done; echo made > out",
    );
    spec.outputs = vec![stage("out", "s3://jobs/hanbit/late", None)];
    site.executor().start(spec.clone()).await.unwrap();
    // Its script has taken the first ones by then.
    until_file(site.site.path().join("on")).await;
    site.executor.take();
    let file = site.options.state.join("1-1.json");
    let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    entry["signed"]["at_ms"] = 1.into();
    fs::write(&file, entry.to_string()).unwrap();
    site.options.buckets = vec![store.bucket("sesame-7f3a")];
    site.restart();
    crate::conformance::until("addresses are there again", || {
        (addresses(&site) == 1).then_some(())
    })
    .await;
    fs::write(site.site.path().join("go"), "").unwrap();
    let end = until_ended(&site, spec.run).await;
    assert_eq!(
        end.outcome,
        RunOutcome::Completed,
        "{}",
        output(&site, spec.run).await
    );
    let made = fs::read_to_string(store.object("hanbit/late")).unwrap();
    assert_eq!(made, "made\n");
}
