//! Arrays are cheap, however long: what stands on the desk at once does not grow with them.

use super::*;

/// As many tasks as an array may have, on 800 accelerators.
const TASKS: u32 = 100_000;
const ACCELERATORS: usize = 800;

fn array() -> Job {
    let mut array = job(1, 1);
    array.spec.array = Some(JobArray {
        tasks: TASKS,
        at_once_max: None,
    });
    array
}

/// What the desk holds of the one job that is on it: tasks that it knows one by one, and those that stand in the queue.
fn held(desk: &Desk) -> (usize, usize) {
    let open = desk.entries.values().map(|entry| entry.open.len());
    (open.sum(), desk.jobs.waiting() + desk.jobs.running())
}

#[test]
fn an_array_of_100_000_is_carried_out_with_few_tasks_on_the_desk_and_few_effects_in_a_pass() {
    let mut desk = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 100, 8)]);
    desk.apply(at(0), arrival(array()));
    let most = QUEUED_MAX + ACCELERATORS;
    let mut running: Vec<RunId> = Vec::new();
    let (mut begun, mut passes, mut now) = (0, 0, 0);
    loop {
        now += 1;
        for run in running.drain(..) {
            let end = end(RunOutcome::Completed, now - 1, now);
            desk.apply(at(now), DeskInput::Ended(run, end));
        }
        let mut effects = Vec::new();
        desk.pass(at(now), &mut effects);
        passes += 1;
        // Each run begins and is settled; how the job stands is said twice at most.
        assert!(
            effects.len() <= 2 * ACCELERATORS + 2,
            "{} effects",
            effects.len()
        );
        for effect in &effects {
            if let DeskEffect::Begin(run) = effect {
                running.push(run.run);
            }
        }
        begun += running.len();
        let (open, queued) = held(&desk);
        assert!(
            open <= most && queued <= most,
            "{open} tasks, {queued} in the queue"
        );
        if running.is_empty() {
            break;
        }
    }
    assert_eq!(begun, TASKS as usize);
    // All accelerators were held in each pass but the last.
    assert_eq!(passes, TASKS as usize / ACCELERATORS + 1);
    assert_eq!((desk.jobs().count(), held(&desk)), (0, (0, 0)));
}

#[test]
fn who_came_after_a_long_array_is_told_of_all_of_it() {
    let mut desk = Desk::new(JobTerms::default(), vec![nodes("a", "h200", 100, 8)]);
    desk.apply(at(0), arrival(array()));
    desk.apply(at(1), arrival(job(2, 1)));
    // Another account has its own share.
    let mut other = job(3, 1);
    other.tenant = "other".parse().unwrap();
    desk.apply(at(2), arrival(other));
    let mut effects = Vec::new();
    desk.pass(at(3), &mut effects);
    let told = desk.waits(at(4), JobId(2)).unwrap();
    let begun = effects
        .iter()
        .filter(|effect| matches!(effect, DeskEffect::Begin(_)));
    let before = TASKS as usize - begun.count();
    assert_eq!(told.ahead, Some(before + 1), "{told:?}");
    assert!(told.why.contains("not before the time"), "{told:?}");
}
