//! Which of several machines a job is given: by what its run, its data and the wait for it cost, and by the power there is.

use super::*;
use crate::jobs::WAIT_HOUR;
use madang_types::{MicroWon, RunCandidate, RunLack};

pub(super) fn won(won: i64) -> MicroWon {
    MicroWon(won * 1_000_000)
}

pub(super) fn site(id: &str) -> SiteId {
    id.parse().unwrap()
}

fn named<K: std::str::FromStr<Err: std::fmt::Debug> + Ord, V>(
    pairs: impl IntoIterator<Item = (&'static str, V)>,
) -> BTreeMap<K, V> {
    let pairs = pairs.into_iter();
    pairs.map(|(id, v)| (id.parse().unwrap(), v)).collect()
}

/// A desk with machines `a` at `pohang` and `b` at `busan`, of four accelerators each.
pub(super) struct Two {
    pub(super) desk: Desk,
    sites: DeskSites,
    pub(super) begun: Vec<RunRecord>,
}

impl Two {
    pub(super) fn new(worth: [u32; 2]) -> Self {
        let mut two = ["a", "b"].map(|id| nodes(id, "h200", 1, 4));
        for (nodes, worth) in two.iter_mut().zip(worth) {
            nodes.worth_milli = worth;
        }
        two[1].site = site("busan");
        Self {
            desk: Desk::new(JobTerms::default(), two.to_vec()),
            sites: DeskSites::default(),
            begun: Vec::new(),
        }
    }

    pub(super) fn priced(hours: [Option<i64>; 2]) -> Self {
        let mut two = Self::new([1_000, 1_000]);
        two.tell(|sites| sites.hours = hours_of(hours));
        two
    }

    pub(super) fn tell(&mut self, change: impl FnOnce(&mut DeskSites)) {
        change(&mut self.sites);
        self.desk.sites(at(0), self.sites.clone());
    }

    /// A job comes; where it begins at once, if it does.
    pub(super) fn comes(&mut self, now: i64, job: Job) -> Option<String> {
        self.desk.apply(at(now), arrival(job));
        self.pass(now)
    }

    pub(super) fn pass(&mut self, now: i64) -> Option<String> {
        let mut effects = Vec::new();
        self.desk.pass(at(now), &mut effects);
        let begun = effects.into_iter().filter_map(|effect| match effect {
            DeskEffect::Begin(run) => Some(*run),
            _ => None,
        });
        let before = self.begun.len();
        self.begun.extend(begun);
        Some(self.begun[before..].last()?.nodes.to_string())
    }

    pub(super) fn ends(&mut self, now: i64, run: &str) -> &mut Self {
        let end = end(RunOutcome::Completed, 0, now);
        self.desk
            .apply(at(now), DeskInput::Ended(run.parse().unwrap(), end));
        self
    }

    /// What the last run could have had instead.
    pub(super) fn last(&self) -> &[RunCandidate] {
        &self.begun.last().unwrap().candidates
    }
}

fn hours_of(hours: [Option<i64>; 2]) -> BTreeMap<NodesId, MicroWon> {
    let each = ["a", "b"].into_iter().zip(hours);
    named(each.filter_map(|(id, hour)| Some((id, won(hour?)))))
}

/// A job of so many accelerators that runs for so many minutes at most.
pub(super) fn of(id: u64, count: u32, minutes: u64) -> Job {
    let mut job = job(id, count);
    job.spec.time_limit_ms = minutes * 60_000;
    job
}

#[test]
fn of_machines_with_room_those_are_taken_that_are_cheapest_for_the_same_work() {
    let check = |worth, hours: [Option<i64>; 2], expected: &str| {
        let mut two = Two::new(worth);
        two.tell(|sites| sites.hours = hours_of(hours));
        assert_eq!(
            two.comes(0, of(1, 4, 60)).as_deref(),
            Some(expected),
            "{worth:?} {hours:?}"
        );
    };
    let same = [1_000, 1_000];
    check(same, [None, None], "a");
    check(same, [Some(5_000), Some(5_000)], "a");
    check(same, [Some(5_600), Some(5_000)], "b");
    check(same, [Some(0), Some(5_000)], "a");
    // Twice the price for twice the work is the same.
    check([1_000, 2_000], [Some(5_000), Some(10_000)], "a");
    check([1_000, 2_000], [Some(5_000), Some(7_500)], "b");
    // What has no price counts as the cheapest.
    check(same, [Some(5_000), None], "a");
    check(same, [None, Some(5_000)], "a");
}

#[test]
fn a_run_keeps_what_each_of_its_machines_would_have_cost() {
    let mut two = Two::priced([Some(10_000), Some(5_000)]);
    two.comes(0, of(1, 3, 120));
    let told: Vec<_> = two
        .last()
        .iter()
        .map(|one| (one.nodes.as_str(), one.lacks, one.run, one.wait))
        .collect();
    let (none, nothing) = (None, MicroWon(0));
    assert_eq!(
        told,
        [
            ("b", none, won(30_000), nothing),
            ("a", none, won(60_000), nothing)
        ]
    );
    // The next one finds two accelerators at `a` alone, and nothing is cheap enough to be waited for.
    assert_eq!(two.comes(0, of(2, 2, 120)).as_deref(), Some("a"));
    let told: Vec<_> = two
        .last()
        .iter()
        .map(|one| (one.nodes.as_str(), one.lacks))
        .collect();
    assert_eq!(told, [("a", None), ("b", Some(RunLack::Room))]);
}

#[test]
fn one_waits_for_cheaper_machines_as_long_as_they_save_more_than_the_wait_is_worth() {
    // At `b` an hour costs 5,000 won less: a job of ten hours saves 50,000 for each accelerator, the worth of ten hours.
    let begins = |hours: i64, minutes| {
        let mut two = Two::priced([Some(10_000), Some(5_000)]);
        assert_eq!(two.comes(0, of(1, 4, minutes)).as_deref(), Some("b"));
        two.comes(0, of(2, 4, 60 * u64::try_from(hours).unwrap()))
    };
    assert_eq!(WAIT_HOUR, won(5_000), "the figures count on it");
    assert_eq!(begins(10, 599), None);
    assert_eq!(begins(10, 600).as_deref(), Some("a"));
    assert_eq!(begins(1, 61).as_deref(), Some("a"));
}

#[test]
fn who_waits_for_cheaper_machines_is_told_so_and_gets_them() {
    let mut two = Two::priced([Some(10_000), Some(5_000)]);
    two.comes(0, of(1, 4, 60));
    assert_eq!(two.comes(0, of(2, 4, 600)), None);
    let waits = two.desk.waits(at(0), JobId(2)).unwrap();
    assert_eq!(
        waits.why,
        "there is room, and it waits for b, where it costs less with the wait"
    );
    assert_eq!(waits.starts_at, Some(at(3_600)));
    let told: Vec<_> = waits
        .candidates
        .iter()
        .map(|one| (one.nodes.as_str(), one.wait_ms, one.total()))
        .collect();
    assert_eq!(
        told,
        [
            ("b", Some(3_600_000), won(220_000)),
            ("a", Some(0), won(400_000))
        ]
    );
    // Others who save nothing by it take what is free meanwhile.
    assert_eq!(two.comes(60, of(3, 2, 10)).as_deref(), Some("a"));
    two.ends(1_800, "1-1");
    assert_eq!(two.pass(1_800).as_deref(), Some("b"));
}

#[test]
fn nobody_waits_for_more_than_is_saved_however_often_the_wait_grows() {
    let mut two = Two::priced([Some(10_000), Some(5_000)]);
    two.comes(0, of(1, 4, 600));
    // It was thought to end within ten hours, and runs on: what was waited counts as well.
    assert_eq!(two.comes(3_600, of(2, 4, 600)), None);
    let until = two.desk.wake_at(at(3_600)).unwrap();
    assert_eq!(until, at(3_600 + 36_000));
    assert_eq!(two.pass(3_600 + 17_000), None);
    assert_eq!(two.pass(3_600 + 36_000).as_deref(), Some("a"));
}

#[test]
fn what_waiting_is_worth_may_be_another_thing_for_a_programme() {
    let begins = |hour: i64| {
        let mut two = Two::priced([Some(10_000), Some(5_000)]);
        two.tell(|sites| sites.wait_hours = named([("disaster", won(hour))]));
        let of_programme = |id, minutes| Job {
            programme: Some("disaster".parse().unwrap()),
            ..of(id, 4, minutes)
        };
        two.comes(0, of_programme(1, 60));
        two.comes(0, of_programme(2, 600))
    };
    assert_eq!(begins(49_000), None);
    assert_eq!(begins(50_000).as_deref(), Some("a"));
}

#[test]
fn a_line_of_those_who_wait_counts_on_those_before() {
    let mut two = Two::priced([Some(10_000), Some(5_000)]);
    two.comes(0, of(1, 4, 240));
    // The second would begin after four hours, the third after eight: a job of six hours saves the worth of six. Both want `b` for longer
    // than the wait is worth: one takes what is free, and the other has nothing else to wait for.
    assert_eq!(two.comes(0, of(2, 4, 360)), None);
    assert_eq!(two.comes(0, of(3, 4, 360)).as_deref(), Some("a"));
    assert_eq!(two.begun.last().unwrap().run.to_string(), "2-1");
    two.ends(14_400, "1-1");
    assert_eq!(two.pass(14_400).as_deref(), Some("b"));
}

#[test]
fn nobody_waits_for_what_others_would_save_there_as_well() {
    // So many others want machines too, for ten hours each: after an hour the first would have the cheaper ones, and save the worth of ten.
    let begins = |others: u64, minutes| {
        let mut two = Two::priced([Some(10_000), Some(5_000)]);
        two.comes(0, of(1, 4, 60));
        for id in 2..3 + others {
            two.desk.apply(at(0), arrival(of(id, 4, minutes)));
        }
        two.pass(0);
        two.begun.last().unwrap().run.to_string()
    };
    assert_eq!(begins(0, 600), "1-1");
    // They fill all machines for half an hour and for five of the ten.
    assert_eq!(begins(1, 600), "3-1");
    assert_eq!(begins(2, 600), "2-1");
}

#[test]
fn what_others_would_save_is_told_with_the_other_terms_and_all_add_up() {
    let mut two = Two::priced([Some(10_000), Some(5_000)]);
    // Both are busy for ten hours, and two more wait: who comes last saves nothing that another would not.
    two.comes(0, of(1, 4, 600));
    two.desk.apply(at(0), arrival(of(2, 4, 600)));
    two.desk.apply(at(0), arrival(of(3, 4, 600)));
    two.desk.apply(at(0), arrival(of(4, 2, 600)));
    two.pass(0);
    let waits = two.desk.waits(at(0), JobId(4)).unwrap();
    let told: Vec<_> = waits
        .candidates
        .iter()
        .map(|one| (one.nodes.as_str(), one.run, one.congestion))
        .collect();
    // Two accelerators for ten hours: at `b` for 100,000 won less, and others have all of that.
    let [a, b] = [
        ("a", won(200_000), won(0)),
        ("b", won(100_000), won(100_000)),
    ];
    assert!(told == [a, b] || told == [b, a], "{told:?}");
    for one in &waits.candidates {
        assert_eq!(Some(one.starts_ms), one.wait_ms, "{}", one.nodes);
        let hours = i64::try_from(one.starts_ms / 3_600_000).unwrap();
        assert_eq!(one.wait, won(2 * 5_000 * hours), "{}", one.nodes);
        let sum = one.run.0 + one.energy.0 + one.data.0 + one.wait.0 + one.congestion.0;
        assert_eq!(one.total(), MicroWon(sum), "{}", one.nodes);
    }
    let totals: Vec<_> = waits.candidates.iter().map(RunCandidate::total).collect();
    assert!(totals.is_sorted(), "{totals:?}");
    // While there is enough for all nobody else would have them.
    let mut two = Two::priced([Some(10_000), Some(5_000)]);
    two.comes(0, of(1, 4, 600));
    assert!(two.last().iter().all(|one| one.congestion == won(0)));
}

#[test]
fn where_a_job_may_not_be_is_told_with_the_reason() {
    let mut two = Two::priced([Some(10_000), Some(5_000)]);
    let mut one = arrival(of(1, 4, 60));
    if let DeskInput::Came(came) = &mut one {
        came.allowed.remove(&"b".parse::<NodesId>().unwrap());
    }
    two.desk.apply(at(0), one);
    two.pass(0);
    let closed = |desk: &Desk, id| -> Vec<String> {
        let closed = desk.closed(JobId(id)).into_iter();
        closed.map(|lack| lack.to_string()).collect()
    };
    let away = ["b at busan: policy keeps its data away"];
    assert_eq!(closed(&two.desk, 1), away);
    two.desk.apply(at(0), arrival(of(2, 5, 60)));
    assert!(closed(&two.desk, 2)[0].starts_with("a at pohang: 1 machines"));
    assert_eq!(closed(&two.desk, 2).len(), 2);
    assert_eq!(closed(&two.desk, 9), [""; 0]);
}

#[test]
fn a_site_without_power_is_passed_by_while_another_has_it() {
    let powered = |headroom: [u64; 2]| {
        let mut two = Two::priced([Some(5_000), Some(9_000)]);
        two.tell(|sites| sites.watts = named([("a", 700), ("b", 700)]));
        let headroom = ["pohang", "busan"].into_iter().zip(headroom);
        two.desk.headroom(at(0), named(headroom));
        two
    };
    let mut two = powered([2_799, 2_800]);
    assert_eq!(two.comes(0, of(1, 4, 60)).as_deref(), Some("b"));
    let told: Vec<_> = two
        .last()
        .iter()
        .map(|one| (one.nodes.as_str(), one.lacks))
        .collect();
    assert_eq!(told, [("b", None), ("a", Some(RunLack::Power))]);
    assert_eq!(
        powered([2_800, 2_800]).comes(0, of(1, 4, 60)).as_deref(),
        Some("a")
    );
    // Where none has it, its governor says so.
    assert_eq!(powered([0, 0]).comes(0, of(1, 4, 60)).as_deref(), Some("a"));
    // Those of one pass share it.
    let mut two = powered([1_400, 1_400]);
    two.desk.apply(at(0), arrival(of(1, 2, 60)));
    two.desk.apply(at(0), arrival(of(2, 2, 60)));
    two.pass(0);
    let on: Vec<&str> = two.begun.iter().map(|run| run.nodes.as_str()).collect();
    assert_eq!(on, ["a", "b"]);
}

#[test]
fn what_runs_waited_in_a_sites_own_queue_counts_and_fades() {
    let mut two = Two::priced([Some(5_000), Some(6_000)]);
    let mut machines = two.desk.nodes().to_vec();
    machines[0].has_queue = true;
    two.desk.machines(machines);
    assert_eq!(two.comes(0, of(1, 2, 60)).as_deref(), Some("a"));
    // While it has not begun there, nobody knows that the next one would begin sooner.
    assert_eq!(two.comes(1_200, of(2, 2, 60)).as_deref(), Some("b"));
    let run = |id: &str| DeskInput::Began(id.parse().unwrap(), at(1_200));
    two.desk.apply(at(1_200), run("1-1"));
    two.ends(1_201, "2-1").ends(1_201, "1-1");
    assert_eq!(two.comes(1_201, of(3, 2, 60)).as_deref(), Some("b"));
    two.ends(1_202, "3-1");
    assert_eq!(
        two.comes(1_200 + 3 * 3_600, of(4, 3, 60)).as_deref(),
        Some("a")
    );
}

#[test]
fn the_electricity_of_a_run_counts_by_the_hours_in_which_it_would_run() {
    use crate::flex::{EnergyHour, EnergyOutlook, EnergyTerms};
    let outlook = |hours: &[i64]| {
        let hour = |price: &i64| EnergyHour {
            grid_per_kwh: won(*price),
            ..EnergyHour::default()
        };
        EnergyOutlook::new(at(0), hours.iter().map(hour).collect())
    };
    // Dear now and cheap later; the same all day.
    let day = [200, 200, 20, 20];
    let check = |b: Option<&[i64]>, minutes: u64, expected: &str, energy: i64| {
        let mut two = Two::new([1_000, 1_000]);
        let mut electricity = DeskElectricity {
            terms: EnergyTerms::default(),
            sites: [(site("pohang"), outlook(&day))].into(),
            watts_each: named([("a", 1_000), ("b", 1_000)]),
        };
        electricity
            .sites
            .extend(b.map(|hours| (site("busan"), outlook(hours))));
        two.desk.electricity(electricity);
        assert_eq!(two.comes(0, of(1, 2, minutes)).as_deref(), Some(expected));
        assert_eq!(two.last()[0].energy, won(energy), "{b:?} {minutes} min");
    };
    check(Some(&[150; 4]), 60, "b", 2 * 150);
    check(Some(&[150; 4]), 240, "a", 2 * 440);
    // Whose site says nothing counts as the cheapest of those that do.
    check(None, 60, "a", 2 * 200);
}
