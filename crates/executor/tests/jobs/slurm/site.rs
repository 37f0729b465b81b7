//! A cluster is set up as a site.

use super::*;
use crate::conformance::{run, until_status};
use madang_executor::jobs::slurm::{
    SlurmFound, SlurmPower, SlurmQosWish, SlurmReservation, SlurmSite, SlurmWish, account_named,
    qos_named,
};
use madang_executor::jobs::{RunStatus, StopHow};
use madang_types::{ProgrammeId, RunOutcome, TenantId};
use std::collections::{BTreeMap, BTreeSet};

of_each_release!(
    what_is_the_sites_own_is_not_touched,
    tenants_programmes_and_awards_become_accounts_and_limits,
    power_is_a_licence_whose_count_changes_live,
    an_administrator_of_the_accounting_may_set_it_up_and_nobody_less,
    machines_are_kept_for_accounts,
);

/// Names of this test's own in the books that all tests share.
fn named(what: &str) -> String {
    format!("{what}{}", std::process::id())
}

/// A tenant of a programme, whose awards have so many minutes left.
fn award((tenant, weight): (&str, u32), programme: &str, left: u64) -> SlurmWish {
    let qos = SlurmQosWish {
        accounts: BTreeSet::from([tenant.to_owned()]),
        left_minutes: BTreeMap::from([("gres/gpu".to_owned(), left)]),
    };
    SlurmWish {
        accounts: BTreeMap::from([(tenant.to_owned(), weight)]),
        qos: BTreeMap::from([(programme.to_owned(), qos)]),
        power: None,
    }
}

/// Sets it up; gives what was found before and what could not be.
async fn made(setup: &SlurmSite, wish: &SlurmWish) -> (SlurmFound, BTreeMap<String, String>) {
    let licence = wish.power.as_ref().map(|(licence, _)| licence.as_str());
    let found = setup.look(licence).await.unwrap();
    let faults = setup.set_up(&found, wish).await.unwrap();
    (found, faults)
}

async fn what_is_the_sites_own_is_not_touched(release: SlurmRelease) {
    let Some(site) = Site::shared(release, programs) else {
        return;
    };
    let programme = named("own");
    let mut wish = award(("root", 99), &programme, 60);
    wish.qos
        .insert("normal".to_owned(), SlurmQosWish::default());
    let qos = wish.qos.get_mut(&programme).unwrap();
    qos.left_minutes.insert("gres/none".to_owned(), 1);
    let root = || {
        let line = "sacctmgr -n -P show assoc account=root user=root format=user,fairshare,qos";
        site.cluster.run(line).unwrap()
    };
    let before = root();
    let setup = SlurmSite::new(&site.options).unwrap();
    let (found, faults) = made(&setup, &wish).await;
    assert!(found.qos().all(|qos| qos != "normal"));
    let mut expected = vec![
        account_named("root"),
        qos_named(&programme),
        qos_named("normal"),
    ];
    expected.sort();
    assert!(faults.keys().eq(&expected), "{faults:?}");
    assert_eq!(root(), before);
}

async fn tenants_programmes_and_awards_become_accounts_and_limits(release: SlurmRelease) {
    let Some(mut site) = Site::shared(release, programs) else {
        return;
    };
    let (tenant, programme) = (named("hanbit"), named("centre"));
    let setup = SlurmSite::new(&site.options).unwrap();
    // Twice: it may be done again.
    for (weight, left) in [(10, 600), (30, 60), (30, 60)] {
        let (_, faults) = made(&setup, &award((&tenant, weight), &programme, left)).await;
        assert_eq!(faults, BTreeMap::new());
    }
    let found = setup.look(None).await.unwrap();
    assert!(found.accounts().any(|account| account == tenant));
    assert!(found.qos().any(|qos| qos == programme));
    let told = |line: String| site.cluster.run(&line).unwrap();
    let share = told(format!(
        "sacctmgr -n -P show assoc account={tenant} user= format=fairshare"
    ));
    assert_eq!(share.lines().next(), Some("30"));
    let limit = told(format!(
        "sacctmgr -n -P show qos {programme} format=grptresmins,flags"
    ));
    assert_eq!(limit, "gres/gpu=60|NoDecay");
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

async fn power_is_a_licence_whose_count_changes_live(release: SlurmRelease) {
    let Some(mut site) = Site::shared(release, daemon) else {
        return;
    };
    let (licence, server) = (named("kw"), "seoul");
    let licence = format!("{licence}@{server}");
    site.options.shell = Some(site.cluster.shell(&[]).unwrap());
    let setup = SlurmSite::new(&site.options).unwrap();
    let set = async |count| {
        let wish = SlurmWish {
            power: Some((licence.clone(), count)),
            ..SlurmWish::default()
        };
        let (_, faults) = made(&setup, &wish).await;
        assert_eq!(faults, BTreeMap::new());
    };
    set(1).await;
    let mut spec = site.script(1, "exit 0");
    site.options.power = Some(SlurmPower {
        licence: licence.clone(),
        token_watts: 1_000,
        watts: BTreeMap::from([(spec.nodes.clone(), 1_500)]),
    });
    site.restart();
    spec.pieces[0].accelerators = vec![0];
    // Two kilowatts where there is one can never be.
    let refused = site.executor().start(spec.clone()).await;
    assert!(refused.is_err(), "{refused:?}");
    set(5).await;
    assert_eq!(run(&site, spec).await.outcome, RunOutcome::Completed);
}

async fn an_administrator_of_the_accounting_may_set_it_up_and_nobody_less(release: SlurmRelease) {
    // Its own: while others change its books, slurmdbd may forget what a user became, though it keeps and tells it.
    let Some(cluster) = Slurm::own(release).unwrap() else {
        return;
    };
    let site = Site::on(cluster, programs);
    let user = "games";
    let mut options = site.options.clone();
    let as_user = format!("setpriv --reuid={user} --regid=nogroup --clear-groups");
    let as_user: Vec<&str> = as_user.split(' ').collect();
    options.shell = Some(site.cluster.shell(&as_user).unwrap());
    let setup = SlurmSite::new(&options).unwrap();
    let account = named("operated");
    let wish = SlurmWish {
        accounts: BTreeMap::from([(account.clone(), 1)]),
        qos: BTreeMap::from([(named("limited"), SlurmQosWish::default())]),
        power: Some((format!("{}@busan", named("kw")), 3)),
    };
    let more = |what: &str| site.cluster.run(&format!("sacctmgr -i {what}"));
    let (_, faults) = made(&setup, &wish).await;
    assert_eq!(faults.len(), 3, "{faults:?}");
    more(&format!("add user {user} account=root adminlevel=Operator")).unwrap();
    // An operator makes accounts alone.
    let (_, faults) = made(&setup, &wish).await;
    let whys: Vec<&str> = faults.values().map(String::as_str).collect();
    assert_eq!(
        whys,
        [
            "the Slurm cluster madang: Problem adding QOS: Access/permission denied",
            "the Slurm cluster madang: Problem adding system resource: Access/permission denied"
        ]
    );
    more(&format!("modify user {user} set adminlevel=Admin")).unwrap();
    let (_, faults) = made(&setup, &wish).await;
    assert_eq!(faults, BTreeMap::new());
    let told = site
        .cluster
        .run(&format!(
            "sacctmgr -n -P show assoc account={account} user={user} format=qos"
        ))
        .unwrap();
    assert_eq!(told, "normal");
}

async fn machines_are_kept_for_accounts(release: SlurmRelease) {
    let Some(site) = Site::shared(release, programs) else {
        return;
    };
    let setup = SlurmSite::new(&site.options).unwrap();
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
