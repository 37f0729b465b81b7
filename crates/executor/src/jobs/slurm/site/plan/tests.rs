use super::super::read;
use super::*;

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(ToString::to_string).collect()
}

fn minutes(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let pairs = pairs
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    pairs.collect()
}

/// As Slurm 22.05 prints it, with most of its TRES left out.
fn found() -> SlurmFound {
    let mut accounts = read::accounts("hanbit|madang\nphysics|physics\nroot|root\nfar|madang\n");
    let told = "hanbit||10|normal\nhanbit|madang|1|centre,normal\nhanbit|kim|1|normal\n";
    read::associations(told, "madang", &mut accounts);
    let mut qos = read::qos(
        "normal|Normal QOS default||\ncentre|madang|NoDecay|gres/gpu:h200=300,gres/gpu=600\n",
    );
    let told = "Current Association Manager state\nQOS Records\n\
        QOS=centre(2) UsageRaw=0.000000 GrpTRES=cpu=N(0),gres/gpu=N(0) GrpTRESMins=cpu=N(77),gres/gpu=600(40),gres/gpu:h200=300(40) \
        GrpTRESRunMins=cpu=N(0)\nQOS=normal(1) GrpTRESMins=cpu=N(0),gres/gpu=N(0),gres/gpu:h200=N(0)\n";
    read::used(told, &mut qos);
    SlurmFound {
        cluster: read::cluster("Configuration data\nClusterName             = pohang\n").unwrap(),
        accounts,
        qos,
        power: read::licence("12|busan|50\n12|pohang|100\n", "pohang"),
    }
}

fn centre(accounts: &[&str], left: &[(&str, u64)]) -> BTreeMap<String, SlurmQosWish> {
    let wish = SlurmQosWish {
        accounts: set(accounts),
        left_minutes: minutes(left),
    };
    BTreeMap::from([("centre".to_owned(), wish)])
}

#[track_caller]
fn check(wish: &SlurmWish, expected: &[&str]) {
    let steps = found().steps("madang", wish).into_iter();
    let told: Vec<String> = steps
        .map(|step| match step.words {
            Ok(words) => format!("{}: {}", step.of, words.join(" ")),
            Err(why) => format!("{}! {why}", step.of),
        })
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let wish = SlurmWish {
        accounts: BTreeMap::from([("hanbit".to_owned(), 10)]),
        qos: centre(&["hanbit"], &[("gres/gpu", 560), ("gres/gpu:h200", 250)]),
        power: Some(("kw@seoul".to_owned(), 12)),
    };
    check(&wish, &[]);
    check(&SlurmWish::default(), &[]);
}

#[test]
fn a_new_tenant_of_a_new_programme_is_made() {
    let wish = SlurmWish {
        accounts: BTreeMap::from([("daon".to_owned(), 3)]),
        qos: BTreeMap::from([(
            "startups".to_owned(),
            SlurmQosWish {
                accounts: set(&["daon"]),
                left_minutes: minutes(&[("gres/gpu", 6_000)]),
            },
        )]),
        power: None,
    };
    check(
        &wish,
        &[
            "account daon: add account daon description=madang organization=madang fairshare=3 cluster=pohang",
            "account daon: add user madang account=daon cluster=pohang",
            "QOS startups: add qos startups description=madang flags=NoDecay GrpTRESMins=gres/gpu=6144",
            "account daon: modify user where name=madang account=daon cluster=pohang set qos+=startups",
        ],
    );
}

#[test]
fn what_differs_is_changed_and_nothing_else() {
    let accounts = BTreeMap::from([("far".to_owned(), 1), ("hanbit".to_owned(), 20)]);
    let wish = SlurmWish {
        accounts,
        // Recalled: what was used stays.
        qos: centre(&["hanbit"], &[("gres/gpu", 0)]),
        power: Some(("kw@seoul".to_owned(), 9)),
    };
    check(
        &wish,
        &[
            "account far: add account far description=madang organization=madang fairshare=1 cluster=pohang",
            "account far: add user madang account=far cluster=pohang",
            "account hanbit: modify account where name=hanbit cluster=pohang set fairshare=20",
            "QOS centre: modify qos centre set GrpTRESMins=gres/gpu=40,gres/gpu:h200=-1",
            "licence kw@seoul: modify resource where name=kw server=seoul set count=9",
        ],
    );
}

#[test]
fn what_is_not_ours_stays_and_what_cannot_be_is_told() {
    let accounts = BTreeMap::from([("physics".to_owned(), 1)]);
    let normal = BTreeMap::from([("normal".to_owned(), SlurmQosWish::default())]);
    let wish = SlurmWish {
        accounts,
        qos: normal,
        power: Some(("kw".to_owned(), 1)),
    };
    check(
        &wish,
        &[
            "account physics! the account physics is there and is not Madang's, so it is left as it is: give it the organization madang, or \
             the tenant or programme another name",
            "QOS normal! the QOS normal is there and is not Madang's, so it is left as it is: give it the description madang, or the tenant \
             or programme another name",
            "licence kw! kw: a licence for power is name@server, such as kw@seoul",
        ],
    );
    let wish = SlurmWish {
        qos: centre(&[], &[("gres/npu", 1)]),
        ..SlurmWish::default()
    };
    check(
        &wish,
        &[
            "QOS centre! the cluster does not count gres/npu, by which the awards of centre are limited: add it to \
           AccountingStorageTRES in slurm.conf",
        ],
    );
}

#[test]
fn a_licence_is_made_once_and_given_to_the_cluster() {
    let wish = SlurmWish {
        power: Some(("kw@seoul".to_owned(), 12)),
        ..SlurmWish::default()
    };
    let mut site = found();
    site.power = None;
    let words = |site: &SlurmFound| match site.steps("madang", &wish).as_slice() {
        [step] => step.words.clone().unwrap().join(" "),
        other => panic!("{other:?}"),
    };
    let all =
        "add resource name=kw server=seoul type=license count=12 cluster=pohang percentallowed=100";
    assert_eq!(words(&site), all);
    site.power = read::licence("12|busan|50\n", "pohang");
    let own = "add resource name=kw server=seoul cluster=pohang percentallowed=100";
    assert_eq!(words(&site), own);
}

#[test]
fn limits_are_never_below_what_is_needed_and_little_above() {
    for minutes in [0, 1, 15, 16, 17, 600, 6_000, 123_456_789] {
        let limit = with_spare(minutes);
        assert!(
            limit >= minutes && limit <= minutes + minutes / 16 + 1,
            "{minutes}: {limit}"
        );
        assert_eq!(with_spare(limit), limit, "{minutes}");
    }
}
