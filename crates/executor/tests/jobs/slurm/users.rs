//! Tenants that have users of their own on a cluster.

use super::*;
use crate::conformance::{output, run, until_running};
use madang_executor::jobs::{JobsError, StopHow};
use std::os::unix::fs::{PermissionsExt, chown};

of_each_release!(
    each_tenants_runs_are_its_own_users_and_no_other_reads_or_ends_them,
    a_tenant_without_a_user_is_refused_with_what_mends_it,
);

/// Users that each machine has, and their numbers.
const USERS: [(&str, u32); 2] = [("daemon", 1), ("bin", 2)];

/// A site where the tenants hanbit and daon have users of their own; by the REST daemon where `rest`.
fn site(release: SlurmRelease, rest: bool) -> Option<Site> {
    Site::shared(release, |cluster, options| {
        let own = [
            "setpriv",
            "--reuid={user}",
            "--regid={user}",
            "--clear-groups",
        ];
        options.shell = Some(cluster.shell(&own).unwrap());
        options.mounted = None;
        if rest {
            options.rest = Some(SlurmRest {
                url: cluster.rest().unwrap(),
                authority: None,
                user: "nobody".to_owned(),
                token: SlurmToken::Key(cluster.key()),
            });
        }
        let runs = Path::new(&options.folder);
        std::fs::set_permissions(runs.parent().unwrap(), PermissionsExt::from_mode(0o711)).unwrap();
        for ((user, id), tenant) in USERS.into_iter().zip(["hanbit", "daon"]) {
            let own = runs.join(user);
            std::fs::create_dir(&own).unwrap();
            std::fs::set_permissions(&own, PermissionsExt::from_mode(0o700)).unwrap();
            chown(&own, Some(id), Some(id)).unwrap();
            // It may be one of this account already.
            let add = format!("sacctmgr -i add user {user} account=root || true");
            cluster.run(&add).unwrap();
            let tenant = tenant.parse().unwrap();
            options.users.insert(tenant, user.to_owned());
        }
        options.folder.push_str("/{user}");
    })
}

fn of(site: &Site, tenant: &str, job: u64, text: &str) -> RunSpec {
    let mut spec = site.script(job, text);
    spec.owner.1 = tenant.parse().unwrap();
    spec
}

async fn each_tenants_runs_are_its_own_users_and_no_other_reads_or_ends_them(
    release: SlurmRelease,
) {
    for rest in [false, true] {
        let Some(mut site) = site(release, rest) else {
            return;
        };
        let mut first = of(&site, "hanbit", 1, "id -un; echo $TOKEN >kept; sleep 1000");
        let secret = madang_executor::jobs::SecretText("sesame".to_owned());
        first.secrets.insert("TOKEN".to_owned(), secret);
        site.executor().start(first.clone()).await.unwrap();
        until_running(&site, first.run).await;
        let there = site.options.folder.replace("{user}", "daemon");
        let name = format!("{}-{}", site.options.prefix, first.run);
        let looks = format!(
            "id -un; cat {there}/{}/kept 2>&1 | grep -c denied; ls {there} 2>&1 | grep -c denied\n\
             export SLURM_CONF={}; scancel --name={name} 2>&1 | grep -c denied; sleep 1; squeue -h -o '%u %T' --name={name}",
            first.run.task,
            site.cluster.conf().display()
        );
        let second = of(&site, "daon", 2, &looks);
        run(&site, second.clone()).await;
        let told = output(&site, second.run).await;
        assert_eq!(told, "bin\n1\n1\n1\ndaemon RUNNING\n", "rest: {rest}");
        // They are found again, each with its user.
        site.restart();
        assert_eq!(output(&site, first.run).await, "daemon\n");
        let known = site.executor().runs().await.unwrap();
        let known: Vec<_> = known.into_iter().map(|(run, _)| run).collect();
        assert_eq!(known, [first.run, second.run]);
        site.executor()
            .stop(first.run, StopHow::Cancel)
            .await
            .unwrap();
        crate::conformance::until_ended(&site, first.run).await;
        for run in [first.run, second.run] {
            site.executor().forget(run).await.unwrap();
            assert_eq!(site.executor().look(run).await, Ok(None));
        }
    }
}

async fn a_tenant_without_a_user_is_refused_with_what_mends_it(release: SlurmRelease) {
    let Some(site) = site(release, false) else {
        return;
    };
    let spec = of(&site, "nobody", 1, "true");
    let why = "the tenant nobody has no user of the Slurm cluster madang: `users` of its [[jobs.slurm]] names one for each tenant";
    assert_eq!(site.executor().never(&spec).as_deref(), Some(why));
    let refused = site.executor().start(spec.clone()).await;
    assert_eq!(refused, Err(JobsError::Refused(why.to_owned())));
    assert_eq!(site.executor().look(spec.run).await, Ok(None));
}
