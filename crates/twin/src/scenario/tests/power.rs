//! Caps and events.

use super::{BUILTIN, DRAWN, Files, SMALL, problems, report, written};

/// A built-in scenario, with some of its text replaced.
fn changed(name: &str, changes: &[(&str, &str)]) -> String {
    let (_, text) = BUILTIN.iter().find(|(known, _)| *known == name).unwrap();
    let mut text = (*text).to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
fn a_quarter_less_for_three_hours_is_met_in_time_and_people_do_not_notice() {
    let text = changed("grid-event", &[]);
    let report = report(&text, &Files::Builtin, (2, false));
    let (event, power) = (&report.events[0], &report.power[0]);
    let all = format!(
        "{event:?} {:?} {:?}",
        power.acts,
        power.deeds.iter().take(40).collect::<Vec<_>>()
    );
    assert!(event.met_after_s.is_some_and(|s| s <= 30.0), "{all}");
    assert_eq!((event.over_cap_ms, power.over_cap_ms), (0, 0), "{all}");
    assert!(
        event.ttft_p99_ratio.is_some_and(|ratio| ratio <= 1.2),
        "{all}"
    );
    assert!(event.answered > 100_000 && event.refused == 0, "{all}");
    assert!(
        event.saved_kwh > 0.2 * event.baseline_kw.unwrap() * 3.0,
        "{all}"
    );
    // The way back is gradual: between two steps some time passes.
    assert!(event.back_after_s.is_some(), "{all}");
    let gave = power.deeds.iter().filter(|deed| deed.deed == "gave");
    let gave: Vec<&str> = gave.map(|deed| deed.at.as_str()).collect();
    assert!(gave.len() > 1, "{all}");
    assert!(gave.windows(2).all(|two| two[0] < two[1]), "{gave:?}");
}

#[test]
fn an_event_that_is_told_before_is_met_at_its_beginning() {
    let changes = [("cut_percent = 25", "cut_percent = 25\nnotice_min = 10")];
    let text = changed("grid-event", &[changes[0], ("hours = 5", "hours = 2")]);
    let report = report(&text, &Files::Builtin, (1, false));
    let event = &report.events[0];
    assert_eq!(event.told_at, "2026-07-15T00:50:00");
    assert_eq!(event.met_after_s, Some(0.0), "{event:?}");
    // It is a quarter less than before, not a quarter of a quarter.
    let (baseline, cap) = (event.baseline_kw.unwrap(), event.cap_kw.unwrap());
    assert!((cap / baseline - 0.75).abs() < 0.01, "{event:?}");
    assert!(event.mean_kw > 0.5 * cap, "{event:?}");
}

/// Where nothing else bends, engines are slowed and requests met: watts stay below the cap, and the run is the same on many threads.
#[test]
fn engines_at_their_cap_are_governed_and_the_same_on_many_threads() {
    let text = changed(
        "grid-event",
        &[
            ("hours = 5", "hours = 1\ncells = 2"),
            ("rise_milli_per_s = 40", "rise_milli_per_s = 60"),
            ("power_cap_kw = 80", "power_cap_kw = 15"),
            ("at = \"2026-07-15T01:00\"", "at = \"2026-07-15T00:30\""),
            ("for_h = 3\ncut_percent = 25", "for_h = 0.25\nto_kw = 14.4"),
        ],
    );
    let (engines, _) = text.split_once("# Jobs whose").unwrap();
    let (_, event) = text.split_once("[[event]]").unwrap();
    let text = format!("{engines}[[event]]{event}");
    let one = report(&text, &Files::Builtin, (1, false));
    let (power, line) = (&one.power[0], &one.events[0]);
    assert_eq!(power.over_cap_ms, 0, "{power:?}");
    assert!(power.acts["clock"] > 0, "{power:?}");
    assert!(line.met_after_s.is_some_and(|s| s <= 30.0), "{line:?}");
    let many = report(&text, &Files::Builtin, (4, false));
    assert!(written(&one) == written(&many));
    // Without a cap and an event nobody looks, and more is drawn.
    let free = text.replace("power_cap_kw = 15", "power_cap_kw = 80");
    let (free, _) = free.split_once("[[event]]").unwrap();
    let free = report(free, &Files::Builtin, (1, false));
    assert!(free.power.is_empty() && free.energy[0].peak_kw > one.energy[0].peak_kw);
}

/// An event at one of two sites that serve a model changes nothing of what the other one is said to draw.
#[test]
fn what_a_site_draws_is_the_same_beside_one_that_is_governed() {
    let more = "[[site]]\nid = \"there\"\ncountry = \"KR\"\n\n[[engine]]\nid = \"two\"\nsite = \"there\"\nmodel = \"m\"\ncount = 2\n\
         profile = \"h100-8b\"\naccelerator = \"h100\"\n";
    let free = format!("{SMALL}{DRAWN}\n{more}");
    let event = "[[event]]\nid = \"e\"\nsite = \"here\"\nat = \"2026-07-15T00:15\"\nfor_h = 0.5\nto_kw = 100\n";
    let there = |text: &str| {
        let report = report(text, &Files::Builtin, (1, false));
        let mut sites = report.energy.into_iter();
        sites.find(|site| site.site == "there").unwrap().kwh
    };
    let (free, beside) = (there(&free), there(&format!("{free}\n{event}")));
    assert!(
        (beside / free - 1.0).abs() < 0.01,
        "{free} kWh, {beside} kWh"
    );
}

/// A cap that idle engines are above already is met by nothing: the run ends all the same, and says for how long it was missed.
#[test]
fn a_cap_below_what_is_drawn_idle_is_missed_and_the_run_ends() {
    let text = format!("{SMALL}{DRAWN}");
    let text = text.replacen("pue = 1.5", "pue = 1.5\npower_cap_kw = 0.1", 1);
    let report = report(&text, &Files::Builtin, (1, false));
    let power = &report.power[0];
    assert!(power.over_cap_ms >= 3_600_000, "{power:?}");
}

/// Likewise one that idle engines hardly keep: nothing that was bent has room to come back, and nobody waits for it, jobs neither.
#[test]
fn a_cap_that_leaves_no_room_to_come_back_ends_the_run_too() {
    let jobs = "[[jobs]]\nid = \"night\"\nsite = \"here\"\naccelerator = \"h100\"\naccelerators = 8\nasks = 2\nasked_accelerators = 4\nrun_h = 1\n";
    let capped = |jobs: &str, cap_kw: f64| {
        let cap = format!("pue = 1.5\npower_cap_kw = {cap_kw}");
        let text = format!("{SMALL}{DRAWN}\n{jobs}").replacen("pue = 1.5", &cap, 1);
        report(&text, &Files::Builtin, (1, false))
    };
    for jobs in ["", jobs] {
        // Under a cap that nothing keeps all is refused, and what is drawn is what all draws where it does nothing.
        let none = capped(jobs, 0.1);
        let drawn = none.power[0].deeds.iter().map(|deed| deed.drawn_watts);
        let scarce = capped(jobs, drawn.min().unwrap() as f64 * 1.01 / 1e3);
        let power = &scarce.power[0];
        let (took, gave) = ["took", "gave"]
            .map(|deed| power.deeds.iter().filter(|line| line.deed == deed).count())
            .into();
        assert!(took > gave, "{power:?}");
        assert!(
            (scarce.jobs.iter())
                .all(|line| line.too_large == 2 && line.accelerator_h.is_sign_positive()),
            "{:?}",
            scarce.jobs
        );
    }
}

#[test]
fn what_is_wrong_with_events_is_said() {
    let whole = format!("{SMALL}{DRAWN}");
    let check = |event: &str, expected: &str| {
        let text = format!("{whole}\n[[event]]\nid = \"e\"\nsite = \"here\"\n{event}");
        assert_eq!(problems(&text), expected, "{event}");
    };
    check(
        "at = \"2026-07-15T00:30\"\nfor_h = 1\ncut_percent = 25\n",
        "",
    );
    check(
        "at = \"2026-07-15T00:30\"\nfor_h = 1\n",
        "32:1 choose_one exactly one of `cut_percent` and `to_kw` says what is left\n",
    );
    check(
        "at = \"2026-07-15T01:00\"\nfor_h = 1\nto_kw = 2\n",
        "35:6 date_invalid `2026-07-15T01:00` is no instant of the run\n",
    );
    let unknown = format!(
        "{whole}\n[[event]]\nid = \"e\"\nsite = \"here\"\nat = \"2026-07-15T00:30\"\nfor_h = 1\nto_kw = 2\n"
    );
    let unknown = unknown.replacen("accelerator = \"h100\"\n", "", 1);
    assert_eq!(
        problems(&unknown),
        "33:8 missing_key nothing says what this site draws\n"
    );
}
