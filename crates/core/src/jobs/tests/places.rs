//! On which machines jobs are.

use super::story::job;
use super::*;

/// All that those have who start.
fn given(effects: &[JobEffect]) -> impl Iterator<Item = &Placement> {
    effects.iter().flat_map(|effect| match effect {
        JobEffect::Start { placements, .. } => placements.as_slice(),
        JobEffect::Stop { .. } => &[],
    })
}

#[test]
fn a_job_goes_only_where_it_may() {
    let machine = |nodes| Machine {
        nodes: NodesKey(nodes),
        accelerators: 4,
        cpu_milli: 0,
        memory_mib: 0,
    };
    let mut jobs = Jobs::new(
        JobRule::Madang,
        JobTerms::default(),
        &[machine(0), machine(1)],
    );
    let mut check = |key, accelerators, ground, expected: &[u32]| {
        let need = Need {
            ground,
            ..Need::accelerators(accelerators)
        };
        let ask = Ask {
            need,
            ..job(key, 1, 10).ask()
        };
        jobs.apply(at(0), JobInput::Submitted(ask));
        let mut effects = Vec::new();
        jobs.pass(at(0), &mut effects);
        let on: Vec<u32> = given(&effects)
            .map(|placement| placement.machine.0)
            .collect();
        assert_eq!(on, expected, "job {key}");
    };
    check(1, 1, Ground::of([NodesKey(1)]), &[1]);
    check(2, 4, Ground::of([NodesKey(1)]), &[]);
    // A job is never on machines of two kinds.
    check(3, 5, Ground::ALL, &[]);
    check(4, 4, Ground::ALL, &[0, 0, 0, 0]);
    check(5, 1, Ground::of([NodesKey(9)]), &[]);
}

#[test]
fn parts_of_accelerators_fill_those_that_are_begun() {
    let mut jobs = Jobs::new(JobRule::Fifo, JobTerms::default(), &machines(&[2, 2]));
    let mut effects = Vec::new();
    for (key, share_milli) in [(1, 600), (2, 400), (3, 600), (4, 300)] {
        let piece = Piece {
            share_milli,
            ..Need::accelerators(1).piece
        };
        let need = Need {
            piece,
            ..Need::accelerators(1)
        };
        jobs.apply(
            at(0),
            JobInput::Submitted(Ask {
                need,
                ..job(key, 1, 10).ask()
            }),
        );
    }
    jobs.pass(at(0), &mut effects);
    let places: Vec<(u32, u16)> = given(&effects)
        .map(|placement| (placement.machine.0, placement.accelerators[0]))
        .collect();
    assert_eq!(places, [(0, 0), (0, 0), (0, 1), (0, 1)]);
}
