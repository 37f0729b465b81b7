//! Engines behind one gateway.

use super::{DRAWN, SMALL, problems};

#[test]
fn engines_behind_one_gateway_are_bounded() {
    let text = |count: u32, cells: u32| {
        format!("{SMALL}{DRAWN}")
            .replacen("count = 2", &format!("count = {count}"), 1)
            .replacen("hours = 1\n", &format!("hours = 1\ncells = {cells}\n"), 1)
    };
    for (count, cells) in [(10_000, 1), (100_000, 10)] {
        assert_eq!(problems(&text(count, cells)), "", "{count} {cells}");
    }
    assert_eq!(
        problems(&text(10_001, 1)),
        "22:9 limits_conflict `m` has 10001 engines behind 1 gateways\n"
    );
    let again = "[[engine]]\nid = \"two\"\nsite = \"here\"\nmodel = \"m\"\ncount = 60000\nprofile = \"h100-8b\"\n";
    assert_eq!(
        problems(&format!("{}{again}", text(40_001, 10))),
        "36:9 limits_conflict `m` has 100001 engines behind 10 gateways\n"
    );
}
