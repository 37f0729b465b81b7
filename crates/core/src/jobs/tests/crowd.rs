//! What cheaper machines are worth to one job that others want too.

use super::story::{Story, job};
use super::*;
use crate::jobs::crowd::Crowd;
use proptest::prelude::*;

const HOUR_US: u64 = 3_600 * SECOND_US;
/// One accelerator for an hour.
const HOUR: u128 = 1000 * HOUR_US as u128;

fn crowd(accelerators: u64, wanted: u64, hours: u128) -> Crowd {
    Crowd {
        load_milli: 0,
        all_milli: accelerators * 1000,
        wanted_milli: wanted * 1000,
        work: hours * HOUR,
    }
}

#[test]
fn others_have_what_is_saved_for_as_long_as_they_fill_all_machines() {
    // A job of two accelerators that runs for ten hours and would save 600; its own twenty hours are among the work.
    let part = |accelerators, wanted, hours| {
        crowd(accelerators, wanted, hours).others_part(600, (2_000, 10 * HOUR_US))
    };
    assert_eq!(part(8, 8, 1_000), 0, "there is enough for all");
    assert_eq!(part(8, 9, 20), 0, "nobody else has any work");
    assert_eq!(part(8, 9, 20 + 8), 60, "for one hour of ten");
    assert_eq!(part(8, 9, 20 + 40), 300);
    assert_eq!(part(8, 9, 20 + 80), 600);
    assert_eq!(part(8, 9, 1_000_000), 600, "no more than all of it");
    assert_eq!(part(0, 1, 1_000), 600, "where there are none");
    // Where so much comes that a part of all machines is in use, those that are left do what there is in so much more time.
    let part = |load_milli| {
        let crowd = Crowd {
            load_milli,
            ..crowd(8, 9, 20 + 8)
        };
        crowd.others_part(600, (2_000, 10 * HOUR_US))
    };
    assert_eq!(
        [0, 500, 900, 999, 1_000].map(part),
        [60, 120, 600, 600, 600]
    );
}

#[test]
fn who_runs_and_who_waits_wants_machines_where_it_may_be() {
    let mut story = Story::new(JobRule::Madang, &[8]);
    story.comes(job(1, 6, 7_200)).check("+1");
    // Of whose like nothing is known, its limit counts, at most a day.
    story.at(3_600).comes(job(2, 4, 3_600).rigid());
    story.comes(job(3, 3, 10_000_000).rigid());
    let now = at(3_600);
    // Six of eight were in use for an hour of the ten days whose use counts.
    let expected = Crowd {
        load_milli: 3,
        ..crowd(8, 13, 6 + 4 + 3 * 24)
    };
    assert_eq!(story.jobs.crowd(now, Ground::ALL), expected);
    let elsewhere = Ground::of([NodesKey(1)]);
    let other = story.jobs.crowd(now, elsewhere);
    assert_eq!((other.all_milli, other.wanted_milli, other.work), (0, 0, 0));
}

proptest! {
    /// The longer the others' work, the more they have of it, and never more than all.
    #[test]
    fn the_part_of_others_grows_with_their_work(
        all in 0u64..10_000,
        wanted in 0u64..20_000,
        works in [0u128..10_000, 0u128..10_000],
        saved in 0u128..u128::MAX,
        run in (1u64..100_000, 1u64..1_000 * HOUR_US),
        load_milli in 0u64..=1_000,
    ) {
        let [less, more] = [works[0].min(works[1]), works[0].max(works[1])];
        let part = |hours| Crowd { load_milli, ..crowd(all, wanted, hours) }.others_part(saved, run);
        prop_assert!(part(less) <= part(more) && part(more) <= saved);
        prop_assert!(wanted > all || part(more) == 0);
    }
}
