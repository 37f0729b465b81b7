//! Who is next, and who gives way.

use super::*;
use madang_core::credit::Month;
use madang_core::{CreditRow, Holder, Shares, TenantShare};
use madang_types::ProgrammeId;
use std::collections::BTreeMap;

const DEEP: CoreLimits = CoreLimits {
    queue_length_max: 10_000,
    ..LIMITS
};

/// Deadlines are not what this is about.
const PATIENT_MS: u64 = 10_000_000;

fn patient(tenant: &str, id: u128) -> RequestSubmit {
    RequestSubmit {
        wait_ms_max: PATIENT_MS,
        ..of(tenant, id)
    }
}

fn weight(tenant: &str, programme: Option<&str>, weight: u32) -> TenantShare {
    TenantShare {
        tenant: TenantId::new(tenant).unwrap(),
        programme: programme.map(|id| ProgrammeId::new(id).unwrap()),
        weight,
    }
}

fn weights(programmes: &[(&str, u32)], tenants: Vec<TenantShare>) -> Input {
    let programmes = programmes
        .iter()
        .map(|(id, weight)| (ProgrammeId::new(id).unwrap(), *weight))
        .collect();
    Input::SharesApply(Shares {
        programmes,
        tenants,
        floors: Vec::new(),
    })
}

/// The running one ends after ten tokens; says which is next.
#[track_caller]
fn next(story: &mut Story, running: u128, prompt_tokens: u64) -> u128 {
    let input = Input::AttemptEnd {
        request: RequestId(running),
        attempt: 1,
        end: AttemptEnd::Done,
        spent: Some(Spent {
            prompt_tokens,
            cached_tokens: None,
            output_tokens: 10,
        }),
    };
    let lines = story.lines(input);
    let started = lines[0].split(' ').nth(1);
    started.expect("somebody starts").parse().unwrap()
}

/// Everybody named has that many requests waiting for one slot.
struct Backlog {
    story: Story,
    owners: BTreeMap<u128, String>,
    running: u128,
    next: u128,
}

impl Backlog {
    fn new(shares: Input, flows: &[(&str, &str)], each: usize) -> Self {
        let mut story = Story::under(DEEP, vec![member("a", 1)]);
        story.expect(shares, &[]);
        story.submit(1, &["start 1 #1 at a"]);
        let mut backlog = Self {
            story,
            owners: BTreeMap::new(),
            running: 1,
            next: 2,
        };
        for _ in 0..each {
            for flow in flows {
                backlog.add(flow);
            }
        }
        backlog
    }

    #[track_caller]
    fn add(&mut self, (tenant, key): &(&str, &str)) {
        let request = RequestSubmit {
            payer: payer(tenant, key),
            wait_ms_max: PATIENT_MS,
            ..submit(self.next)
        };
        self.owners.insert(self.next, format!("{tenant}/{key}"));
        self.story.lines(Input::RequestSubmit(request));
        self.next += 1;
    }

    /// The running one ends; says whose is next.
    #[track_caller]
    fn turn(&mut self) -> String {
        self.story.now = Micros(self.story.now.0 + 50_000);
        self.running = next(&mut self.story, self.running, 10);
        self.owners[&self.running].clone()
    }

    fn turns(&mut self, count: usize) -> BTreeMap<String, usize> {
        let mut served = BTreeMap::new();
        for _ in 0..count {
            *served.entry(self.turn()).or_default() += 1;
        }
        served
    }
}

/// Served so often, give or take one.
#[track_caller]
fn check(served: &BTreeMap<String, usize>, expected: &[(&str, usize)]) {
    for (flow, count) in expected {
        let got = served.get(*flow).copied().unwrap_or(0);
        assert!(got.abs_diff(*count) <= 1, "{served:?}, not {expected:?}");
    }
}

#[test]
fn service_follows_the_weights() {
    let shares = weights(
        &[],
        vec![
            weight("x", None, 4),
            weight("y", None, 2),
            weight("z", None, 1),
        ],
    );
    let mut backlog = Backlog::new(shares, &[("x", "k"), ("y", "k"), ("z", "k")], 100);
    check(
        &backlog.turns(140),
        &[("x/k", 80), ("y/k", 40), ("z/k", 20)],
    );
}

#[test]
fn programmes_tenants_and_keys_share_in_their_turn() {
    let tenants = vec![
        weight("x", Some("p"), 3),
        weight("y", Some("p"), 1),
        weight("z", Some("q"), 9),
    ];
    let flows = [("x", "k"), ("y", "k"), ("z", "k"), ("z", "l"), ("u", "k")];
    let shares = weights(&[("p", 2), ("q", 1)], tenants);
    let mut backlog = Backlog::new(shares, &flows, 200);
    // A tenant without a programme stands beside the programmes.
    let expected = [
        ("x/k", 120),
        ("y/k", 40),
        ("z/k", 40),
        ("z/l", 40),
        ("u/k", 80),
    ];
    check(&backlog.turns(320), &expected);
}

#[test]
fn the_dear_are_served_less_often_than_the_cheap() {
    let mut story = Story::under(DEEP, vec![member("a", 1)]);
    story.submit(1, &["start 1 #1 at a"]);
    for id in (10..400).step_by(2) {
        story.lines(Input::RequestSubmit(RequestSubmit {
            prompt_tokens: 2_000,
            ..patient("dear", id)
        }));
        story.lines(Input::RequestSubmit(patient("cheap", id + 1)));
    }
    let (mut running, mut cheap) = (1, 0);
    for _ in 0..99 {
        story.now = Micros(story.now.0 + 200_000);
        let prompt_tokens = if running % 2 == 1 { 10 } else { 2_000 };
        running = next(&mut story, running, prompt_tokens);
        cheap += u32::from(running % 2 == 1);
    }
    // A dear one takes twice the time.
    assert!((60..72).contains(&cheap), "{cheap}");
    let tenants = story.pool().tenants;
    let [cheap, dear] = ["cheap", "dear"].map(|name| {
        let tenant = tenants.iter().find(|tenant| tenant.tenant.as_str() == name);
        tenant.expect("it was served").service_us
    });
    // As much each, a dear one more or less.
    assert!(cheap.abs_diff(dear) < 300_000, "{cheap} {dear}");
}

#[test]
fn who_was_idle_does_not_come_back_with_a_claim() {
    let shares = weights(&[], vec![]);
    let mut backlog = Backlog::new(shares, &[("x", "k")], 200);
    backlog.turns(100);
    for _ in 0..50 {
        backlog.add(&("idle", "k"));
    }
    check(&backlog.turns(20), &[("x/k", 10), ("idle/k", 10)]);
}

#[test]
fn a_tenant_with_many_keys_gets_no_more() {
    let keys = ["k1", "k2", "k3", "k4"].map(|key| ("many", key));
    let flows: Vec<(&str, &str)> = keys.into_iter().chain([("one", "k")]).collect();
    let mut backlog = Backlog::new(weights(&[], vec![]), &flows, 60);
    check(&backlog.turns(80), &[("one/k", 40), ("many/k1", 10)]);
}

#[test]
fn new_weights_hold_from_the_next_request() {
    let flows = [("x", "k"), ("y", "k")];
    let mut backlog = Backlog::new(weights(&[], vec![]), &flows, 200);
    check(&backlog.turns(40), &[("x/k", 20), ("y/k", 20)]);
    let three = weights(&[], vec![weight("x", None, 3)]);
    backlog.story.expect(three, &[]);
    backlog.add(&("x", "k"));
    check(&backlog.turns(40), &[("x/k", 30), ("y/k", 10)]);
}

/// What a tenant had in the programme that it left is its own still: it is listed once.
#[test]
fn who_moves_to_another_programme_is_one_tenant() {
    let flows = [("x", "k"), ("y", "k")];
    let of = |programme| weights(&[("p", 1), ("q", 1)], vec![weight("x", Some(programme), 1)]);
    let mut backlog = Backlog::new(of("p"), &flows, 200);
    backlog.turns(40);
    let before = backlog.story.pool().tenants;
    backlog.story.expect(of("q"), &[]);
    for _ in 0..50 {
        backlog.add(&("x", "k"));
    }
    backlog.turns(40);
    let tenants = backlog.story.pool().tenants;
    let names: Vec<&str> = tenants
        .iter()
        .map(|tenant| tenant.tenant.as_str())
        .collect();
    assert_eq!(names, ["t", "x", "y"]);
    assert!(tenants[1].service_us > before[1].service_us);
    assert!(tenants[1].service_permille > 300, "{tenants:?}");
}

#[test]
fn the_least_urgent_gives_way_then_the_crowd() {
    let mut story = Story::new(vec![member("a", 1)]);
    story.ask(of("x", 1), &["start 1 #1 at a"]);
    story.ask(batch(2), &["queued 2 behind 0"]);
    story.submit(3, &["queued 3 behind 0"]);
    story.submit(4, &["refuse 2 Shed", "queued 4 behind 1"]);
    story.ask(batch(5), &["refuse 5 QueueFull"]);
    story.submit(6, &["refuse 6 QueueFull"]);
    // Of the tenant that has most waiting, the latest.
    story.ask(of("x", 7), &["refuse 4 Shed", "queued 7 behind 1"]);
    story.ask(of("x", 8), &["refuse 8 QueueFull"]);
    story.ask(critical(9), &["refuse 7 Shed", "queued 9 behind 0"]);
    story.ask(critical(10), &["refuse 3 Shed", "queued 10 behind 1"]);
    // The urgent give way to nobody of another lane.
    story.ask(of("x", 11), &["refuse 11 QueueFull"]);
    story.done(1, &["start 9 #1 at a"]);
}

/// `flood` asks for more than a member has, `small` for little; both wait.
fn flooded() -> Story {
    let mut story = Story::under(DEEP, vec![member("a", 8)]);
    for id in 1..=200 {
        let request = RequestSubmit {
            prompt_tokens: 4_000,
            ..patient("flood", id)
        };
        story.now = Micros(story.now.0 + 20_000);
        story.lines(Input::RequestSubmit(request));
        if id % 50 == 0 {
            story.lines(Input::RequestSubmit(of("small", 1_000 + id)));
        }
    }
    story
}

#[test]
fn who_asks_for_more_than_its_part_is_over_and_the_others_are_not() {
    let story = flooded();
    let over: Vec<(String, bool)> = story
        .pool()
        .tenants
        .iter()
        .map(|tenant| (tenant.tenant.to_string(), tenant.over_share))
        .collect();
    assert_eq!(over, [("flood".into(), true), ("small".into(), false)]);
    let reserve = story.pool().reserve_permille;
    assert!(reserve > 0, "part of each member is kept for the small one");
}

#[test]
fn urgent_is_who_is_under_its_share() {
    let mut story = flooded();
    let waiting = story.pool().waiting;
    let urgent = |tenant, id| RequestSubmit {
        payer: payer(tenant, "k"),
        wait_ms_max: PATIENT_MS,
        ..critical(id)
    };
    // The flood's own word that it is urgent puts it with its others.
    let lines = story.lines(Input::RequestSubmit(urgent("flood", 5_000)));
    let place: u32 = lines[0].split(' ').next_back().unwrap().parse().unwrap();
    assert!(place > waiting / 2, "{lines:?} of {waiting}");
    let lines = story.lines(Input::RequestSubmit(urgent("small", 5_001)));
    assert!(
        lines[0].starts_with("start 5001") || lines[0] == "queued 5001 behind 0",
        "{lines:?}"
    );
}

/// Hours of one accelerator that tenants have beside their shares, less than none being debt.
fn credits(hours: &[(&str, i64)]) -> Input {
    let row = |(tenant, hours): &(&str, i64)| CreditRow {
        holder: Holder::Tenant(TenantId::new(tenant).unwrap()),
        balance_us: hours * 3_600_000_000,
        month: Month::default(),
    };
    Input::CreditsRestore(hours.iter().map(row).collect())
}

/// Three tenants of equal weight, all with more waiting than is served; how often each is served while these hours stand.
#[track_caller]
fn check_credits(hours: &[(&str, i64)], expected: &[(&str, usize)]) {
    let shares = ["x", "y", "z"].map(|name| weight(name, (name != "z").then_some("p"), 1));
    let shares = weights(&[("p", 2)], shares.to_vec());
    let mut backlog = Backlog::new(shares, &[("x", "k"), ("y", "k"), ("z", "k")], 200);
    backlog.story.expect(credits(hours), &[]);
    check(&backlog.turns(120), expected);
}

#[test]
fn credit_is_served_out_of_the_debtors_shares() {
    let equal = [("x/k", 40), ("y/k", 40), ("z/k", 40)];
    check_credits(&[], &equal);
    // Nobody owes, or nobody is owed: the shares stand.
    check_credits(&[("x", 10)], &equal);
    check_credits(&[("z", -10)], &equal);
    // Inside a programme, and across programmes: a debtor keeps a quarter of its own, and who neither owes nor is owed all of it.
    check_credits(
        &[("x", 10), ("y", -10)],
        &[("x/k", 70), ("y/k", 10), ("z/k", 40)],
    );
    check_credits(
        &[("x", 10), ("z", -10)],
        &[("x/k", 70), ("y/k", 40), ("z/k", 10)],
    );
    check_credits(
        &[("z", 10), ("x", -10), ("y", -10)],
        &[("x/k", 10), ("y/k", 10), ("z/k", 100)],
    );
    // What suffices for one of two goes to the one whose programme's other tenants are not those who owe.
    check_credits(
        &[("x", 10), ("z", 10), ("y", -10)],
        &[("x/k", 40), ("y/k", 10), ("z/k", 70)],
    );
}
