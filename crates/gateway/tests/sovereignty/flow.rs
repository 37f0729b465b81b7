//! A world with places of every kind, through which generated requests flow while policies and stops change; and all that
//! is known of it afterwards.

use crate::case::{Case, KEY_FLOORS, TENANTS, policy};
use crate::harness::{Plan, World, key_put, tenant_row, testdata, text_below};
use crate::random::Random;
use crate::upstream::{Seen, Upstream, Watch};
use futures_util::future::join_all;
use http::Method;
use madang_audit::Leaf;
use madang_audit::leaf::{Decision, Event};
use madang_core::{PolicyTable, ReplicaHealth};
use madang_gateway::clock;
use madang_gateway::snapshot::Snapshot;
use madang_store::Store;
use madang_testkit::{HttpAnswer, eventually, http_send};
use madang_types::{DataFlags, Role, Stop, StopScope, Tenant};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Places, with what the fleet file says of them. Of `vague` and `half` nobody says enough.
const SITES: [(&str, &str); 4] = [
    ("gov", "country = \"KR\"\nzone = \"gov_isolated\""),
    ("home", "country = \"KR\""),
    (
        "public",
        "country = \"KR\"\nzone = \"domestic_public\"\nassurance = [\"csap_mid\"]",
    ),
    ("abroad", "country = \"US\""),
];
const UPSTREAMS: [(&str, &str); 5] = [
    ("far", "country = \"US\"\noperator_country = \"US\""),
    (
        "near",
        "country = \"KR\"\noperator_country = \"KR\"\nzone = \"domestic_public\"\ninferred_in = [\"KR\"]\ntls_ends_in = [\"KR\"]\nzero_retention = true",
    ),
    ("vague", "operator_country = \"US\""),
    ("half", "country = \"KR\""),
    (
        MAPPED,
        "country = \"KR\"\noperator_country = \"KR\"\nzone = \"domestic_public\"\ninferred_in = [\"KR\"]\ntls_ends_in = [\"KR\"]\nzero_retention = true",
    ),
];
/// The service that speaks Anthropic's dialect over TLS, with a key.
pub const MAPPED: &str = "mapped";
/// All places.
pub const PLACES: usize = SITES.len() + UPSTREAMS.len();
/// The variable that its key is in: one that whoever runs the tests has set, since no test can set one.
const KEY_VARIABLE: &str = "CARGO_MANIFEST_DIR";

/// The key of [`MAPPED`].
pub fn provider_key() -> String {
    std::env::var(KEY_VARIABLE).unwrap()
}
/// Requests at once.
const AT_ONCE: usize = 6;
/// Requests of one world.
const WORLD_CASES: usize = 36;

/// A request that was sent, and what came back.
pub struct Sent {
    pub case: Case,
    pub id: String,
    pub answer: HttpAnswer,
    /// Policies put in force before it was sent, and when it had ended.
    pub epochs: (usize, usize),
    /// Leaves that were confirmed when the answer had come.
    pub log_size: u64,
    /// Whether a place was stopped meanwhile: an attempt in the log may have been called off before its first byte.
    pub stopped: bool,
}

/// A stop that was in force between these times.
pub struct Stopped {
    pub place: String,
    pub from: Instant,
    pub to: Instant,
}

/// All that is known of a world after its requests.
pub struct Evidence {
    pub seed: u64,
    pub sent: Vec<Sent>,
    pub seen: Vec<Seen>,
    pub leaves: Vec<Leaf>,
    pub policies: Vec<PolicyTable>,
    pub stops: Vec<Stopped>,
    pub metrics: String,
    /// Attempts that were made beside one whose first byte was late.
    pub hedges: u64,
    /// Every byte of the books and of the audit log.
    pub files: String,
}

/// A gateway with all places.
pub struct Flow {
    pub world: World,
    pub watch: Arc<Watch>,
    keys: Vec<[String; 2]>,
    upstreams: Vec<Upstream>,
    policies: Mutex<Vec<PolicyTable>>,
    stops: Vec<Stopped>,
}

impl Flow {
    pub async fn start(seed: u64, endless: bool) -> Self {
        let watch = Arc::new(Watch {
            seed,
            endless,
            ..Watch::default()
        });
        let mut upstreams = Vec::new();
        for (place, _) in SITES.iter().chain(&UPSTREAMS) {
            upstreams.push(Upstream::start(place, &watch).await);
        }
        let world = World::start(Plan {
            engines: 0,
            loading: true,
            roots_file: Some(testdata("ca.pem")),
            ..Plan::default()
        })
        .await;
        watch.gateway.get_or_init(|| Arc::clone(&world.gateway));
        let mut keys = Vec::new();
        for (tenant, floor, flags) in TENANTS {
            let mut pair = [String::new(), String::new()];
            for (key, class_floor) in pair.iter_mut().zip(KEY_FLOORS) {
                let edit = |row: &mut madang_types::KeyRecord| row.class_floor = class_floor;
                *key = key_put(&*world.store, Some(tenant), Role::Member, edit).await;
            }
            let row = Tenant {
                class_floor: floor,
                data_flags: flags.iter().copied().collect::<DataFlags>(),
                ..tenant_row(tenant)
            };
            world.store.tenant_put(row).await.unwrap();
            keys.push(pair);
        }
        world.gateway.people_refresh().await.unwrap();
        let flow = Self {
            world,
            watch,
            keys,
            upstreams,
            policies: Mutex::default(),
            stops: Vec::new(),
        };
        let text = policy(&mut Random::of(&[0, 3]));
        assert!(flow.policy_apply(&text), "{text}");
        flow
    }

    /// Puts a policy in force; false where it does not load, and the one before stays.
    pub fn policy_apply(&self, policy: &str) -> bool {
        let urls: Vec<String> = self
            .upstreams
            .iter()
            .map(|upstream| upstream.url.clone())
            .collect();
        let text = fleet(&urls, policy);
        let Ok(parsed) = madang_fleet::parse(&text, self.world.folder.path()) else {
            return false;
        };
        let Ok(snapshot) = Snapshot::build(Arc::new(parsed.fleet)) else {
            return false;
        };
        let replicas: Vec<_> = snapshot.targets.keys().cloned().collect();
        let mut policies = self.policies.lock().unwrap();
        policies.push(snapshot.policy_table.clone());
        self.watch.epoch.store(policies.len(), Ordering::SeqCst);
        drop(policies);
        self.world.gateway.publish(snapshot, &BTreeSet::new());
        for replica in replicas {
            self.world
                .gateway
                .replica_report(&replica, ReplicaHealth::Up);
        }
        true
    }

    pub async fn stop(&self, scope: &StopScope) {
        let stop = Stop {
            scope: scope.clone(),
            reason: "a test".into(),
            set_by: "k1".parse().unwrap(),
            set_at: clock::now(),
        };
        self.world.gateway.stop_set(stop).await.unwrap();
    }

    pub async fn send(&self, case: &Case) -> madang_testkit::HttpStream {
        let bearer = format!("Bearer {}", self.keys[case.tenant][case.key]);
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        if case.path == "/v1/messages" {
            headers.push(("anthropic-version", "2023-06-01"));
        }
        headers.extend(
            case.headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let url = format!("{}{}", self.world.url, case.path);
        http_send(Method::POST, &url, &headers, case.body.clone())
            .await
            .unwrap()
    }

    async fn ask(&self, case: Case) -> Sent {
        let epoch = || self.watch.epoch.load(Ordering::SeqCst);
        let before = epoch();
        let answer = self.send(&case).await.collect().await.unwrap();
        let id = answer.header("x-madang-request-id").unwrap().to_owned();
        Sent {
            case,
            id,
            epochs: (before, epoch()),
            log_size: self.world.gateway.audit.status().size,
            stopped: false,
            answer,
        }
    }

    /// Requests at once, while one thing changes in the middle.
    async fn round(&mut self, cases: Vec<Case>, random: &mut Random) -> Vec<Sent> {
        let (change, text) = (random.below(3), policy(random));
        let place = *random.pick(&["home", "public", "abroad", "gov"]);
        let scope = StopScope::Site(place.parse().unwrap());
        let flow = &*self;
        let changing = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match change {
                0 => drop(flow.policy_apply(&text)),
                1 => flow.stop(&scope).await,
                _ => {}
            }
            Instant::now()
        };
        let asking = join_all(cases.into_iter().map(|case| flow.ask(case)));
        let (mut sent, from) = tokio::join!(asking, changing);
        if change == 1 {
            sent.iter_mut().for_each(|sent| sent.stopped = true);
            let (place, to) = (place.to_owned(), Instant::now());
            self.stops.push(Stopped { place, from, to });
            let by = "k1".parse().unwrap();
            self.world.gateway.stop_lift(scope, &by).await.unwrap();
        }
        sent
    }

    /// All leaves, once a checkpoint covers them.
    pub async fn leaves(&self) -> Vec<Leaf> {
        let idle = || self.world.gateway.requests_count() == 0;
        assert!(
            eventually(idle).await,
            "requests are held still: {:?}",
            self.world.gateway.status()
        );
        self.world.leaves().await
    }
}

/// The fleet file with all places at these addresses, and that policy.
pub fn fleet(urls: &[String], policy: &str) -> String {
    let mut text = String::from(
        "[[model]]\nid = \"m\"\ncontext_tokens = 65536\n[limits]\nattempts_max = 4\nhedge_percent_max = 100\n",
    );
    for (url, (place, facts)) in urls.iter().zip(SITES) {
        text += &format!(
            "[[site]]\nid = \"{place}\"\n{facts}\n[[replica]]\nid = \"at-{place}\"\nsite = \"{place}\"\nmodel = \"m\"\n\
             url = \"{url}\"\nengine = \"vllm\"\nslots = 8\n"
        );
    }
    for (url, (place, facts)) in urls[SITES.len()..].iter().zip(UPSTREAMS) {
        let more = match place {
            "vague" | "half" => ", { id = \"v\" }",
            MAPPED => ", { id = \"x\", upstream_model = \"m\" }",
            _ => "",
        };
        let speaks = if place == MAPPED {
            format!("dialect = \"anthropic\"\nkey_env = \"{KEY_VARIABLE}\"")
        } else {
            "dialect = \"openai\"".to_owned()
        };
        text += &format!(
            "[[upstream]]\nid = \"{place}\"\n{speaks}\nurl = \"{url}\"\n{facts}\nmodels = [{{ id = \"m\" }}{more}]\n"
        );
    }
    text + policy
}

/// Sends so many requests through worlds of their own and gives what is known of each world.
pub async fn evidence(seed: u64, cases: u64) -> Vec<Evidence> {
    let mut all = Vec::new();
    let mut number = 1;
    while number <= cases {
        let seed = seed + number;
        let mut random = Random::of(&[seed]);
        let mut flow = Flow::start(seed, false).await;
        let mut sent = Vec::new();
        while sent.len() < WORLD_CASES && number <= cases {
            let numbers = number..(number + AT_ONCE as u64);
            number = numbers.end;
            let cases = numbers
                .map(|number| Case::new(number, &mut random))
                .collect();
            sent.extend(flow.round(cases, &mut random).await);
        }
        let leaves = flow.leaves().await;
        let files = text_below(flow.world.folder.path());
        let pools = flow.world.gateway.status();
        all.push(Evidence {
            seed,
            sent,
            leaves,
            seen: flow.watch.seen.lock().unwrap().clone(),
            policies: flow.policies.into_inner().unwrap(),
            stops: flow.stops,
            metrics: flow.world.gateway.metrics_text(),
            hedges: pools.iter().map(|pool| pool.attempts.hedges).sum(),
            files,
        });
    }
    all
}

impl Evidence {
    /// What was decided about attempts, each with its number in the log.
    pub fn decisions(&self) -> impl Iterator<Item = (u64, &Decision)> {
        (0..)
            .zip(&self.leaves)
            .filter_map(|(at, leaf)| match &leaf.event {
                Event::Decision(decision) => Some((at, &**decision)),
                _ => None,
            })
    }

    pub fn decisions_about(&self, id: &str) -> Vec<(u64, &Decision)> {
        let mut all: Vec<_> = self.decisions().collect();
        all.retain(|(_, decision)| decision.request.to_string() == id);
        all
    }

    /// The request that a place saw.
    pub fn request_of(&self, seen: &Seen) -> &Sent {
        let id = seen.header("x-request-id").unwrap();
        self.sent.iter().find(|sent| sent.id == id).unwrap()
    }

    /// The leaves about attempts of that request at that place.
    pub fn attempts_at(&self, seen: &Seen) -> Vec<(u64, &Decision)> {
        let mut all = self.decisions_about(seen.header("x-request-id").unwrap());
        all.retain(|(_, decision)| {
            decision
                .location
                .as_ref()
                .is_some_and(|at| at.id == seen.place)
        });
        all
    }

    /// The policy with that hash, which was in force at some time from one to another.
    pub fn policy(&self, hash: &str, (from, to): (usize, usize)) -> Option<&PolicyTable> {
        // One may be counted and not yet be in force.
        let from = from.saturating_sub(2);
        self.policies[from..to]
            .iter()
            .find(|table| table.hash().to_string() == hash)
    }
}
