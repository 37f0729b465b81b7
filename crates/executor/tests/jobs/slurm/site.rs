//! A cluster is set up as a site.

use super::*;
use crate::conformance::{run, until_status};
use madang_executor::jobs::slurm::{SlurmPower, SlurmReservation, SlurmSite};
use madang_executor::jobs::{RunStatus, StopHow};
use madang_types::{ProgrammeId, RunOutcome, TenantId};
use std::collections::BTreeMap;

/// Names of this test's own in the books that all tests share.
fn named(what: &str) -> String {
    format!("{what}{}", std::process::id())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_programmes_and_awards_become_accounts_and_limits() {
    let Some(mut site) = Site::shared(programs) else {
        return;
    };
    let (tenant, programme) = (named("hanbit"), named("centre"));
    let setup = SlurmSite::new(&site.options, "root").unwrap();
    // Twice: a call may be made again.
    for weight in [10, 30] {
        setup.account(&tenant, weight).await.unwrap();
        setup.programme(&programme, 100, &[&tenant]).await.unwrap();
        setup.award(&programme, 60).await.unwrap();
    }
    let told = |line: String| site.cluster.run(&line).unwrap();
    let share = told(format!(
        "sacctmgr -n -P show assoc account={tenant} user= format=fairshare"
    ));
    assert_eq!(share.lines().next(), Some("30"));
    let limit = told(format!(
        "sacctmgr -n -P show qos {programme} format=priority,grptresmins,flags"
    ));
    assert_eq!(limit, "100|gres/gpu=60|NoDecay");
    site.options.account = None;
    site.restart();
    let mut spec = site.script(1, "exit 0");
    spec.owner = (
        Some(ProgrammeId::new(&programme).unwrap()),
        TenantId::new(&tenant).unwrap(),
        None,
    );
    assert_eq!(
        run(&site, spec.clone()).await.outcome,
        RunOutcome::Completed
    );
    let line = format!(
        "sacct -X -n -P -D -o Account,QOS -S now-1hours --name={}-1-1",
        site.options.prefix
    );
    until_told(&site.cluster, &line, &format!("{tenant}|{programme}")).await;
    // 8 accelerators for an hour are more than is left.
    spec.run = run_id(2);
    spec.time_limit_ms = 3_600_000;
    spec.pieces[0].accelerators = (0..8).collect();
    site.executor().start(spec.clone()).await.unwrap();
    until_status(&site, spec.run, |status| match status {
        RunStatus::Preparing { why } => why.contains("QOSGrpGRESMinutes"),
        _ => false,
    })
    .await;
    site.executor()
        .stop(spec.run, StopHow::Cancel)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_is_a_licence_whose_count_changes_live() {
    let Some(mut site) = Site::shared(daemon) else {
        return;
    };
    let (licence, server) = (named("kw"), "seoul");
    let licence = format!("{licence}@{server}");
    site.options.shell = Some(words(&site.cluster));
    let setup = SlurmSite::new(&site.options, "root").unwrap();
    setup.power(&licence, 1).await.unwrap();
    let watts = BTreeMap::from([("h200".to_owned(), 1_500)]);
    site.options.power = Some(SlurmPower {
        licence: licence.clone(),
        watts,
    });
    site.restart();
    let mut spec = site.script(1, "exit 0");
    spec.pieces[0].accelerators = vec![0];
    // Two kilowatts where there is one can never be.
    let refused = site.executor().start(spec.clone()).await;
    assert!(refused.is_err(), "{refused:?}");
    setup.power(&licence, 5).await.unwrap();
    assert_eq!(run(&site, spec).await.outcome, RunOutcome::Completed);
    assert!(
        SlurmSite::new(&site.options, "root")
            .unwrap()
            .power("kw", 1)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_are_kept_for_accounts() {
    let Some(site) = Site::shared(programs) else {
        return;
    };
    let setup = SlurmSite::new(&site.options, "root").unwrap();
    let reservation = SlurmReservation {
        name: named("kept"),
        accounts: vec!["root".to_owned()],
        nodes: 1,
        // In 2033: it keeps nobody out here.
        from_s: 2_000_000_000,
        minutes: 60,
    };
    setup.reserve(&reservation).await.unwrap();
    let longer = SlurmReservation {
        minutes: 120,
        ..reservation.clone()
    };
    setup.reserve(&longer).await.unwrap();
    let told = site
        .cluster
        .run(&format!(
            "scontrol -o show reservation {}",
            reservation.name
        ))
        .unwrap();
    assert!(
        told.contains("Accounts=root") && told.contains("Duration=02:00:00"),
        "{told}"
    );
    for _ in 0..2 {
        setup.release(&reservation.name).await.unwrap();
    }
}
