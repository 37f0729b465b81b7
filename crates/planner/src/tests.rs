//! Plans of the goals that are built in, what is wrong with bad ones, and what holds for any.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn catalog() -> Catalog {
    Catalog::shipped().unwrap()
}

fn built_in(name: &str) -> &'static str {
    let found = BUILTIN.iter().find(|(known, _)| *known == name);
    found.unwrap().1
}

fn goal(name: &str) -> Goal {
    let parsed = parse(built_in(name), &Files::Builtin, &catalog());
    parsed
        .map_err(|problems| format!("{problems:?}"))
        .unwrap()
        .0
}

const CLOSED: Asked = Asked {
    confirm: false,
    threads: 1,
};

/// What is wrong with a built-in goal after one change of its text.
fn wrong(from: &str, to: &str) -> String {
    let text = built_in("single-node");
    assert!(text.contains(from), "{from}");
    let text = text.replacen(from, to, 1);
    match parse(&text, &Files::Builtin, &catalog()) {
        Ok((goal, _)) => match plan(&goal, CLOSED) {
            Ok(_) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(problems) => {
            let said = problems
                .iter()
                .map(|problem| format!("{}: {}", problem.code, problem.message));
            said.collect::<Vec<_>>().join("\n")
        }
    }
}

#[test]
fn each_machine_of_an_engine_reads_its_own_weights() {
    let load_s = |per_machine: u32| {
        let chip = format!("id = \"H100-SXM\"\nper_machine = {per_machine}");
        let text = built_in("single-node").replacen("id = \"H100-SXM\"", &chip, 1);
        let text = text.replacen("Qwen3-32B", "Qwen3-235B-A22B", 1);
        let text = text.replacen("power_cap_kw = 20", "power_cap_kw = 2000", 1);
        let goal = parse(&text, &Files::Builtin, &catalog()).unwrap().0;
        let plan = plan(&goal, CLOSED).unwrap();
        let line = plan.fleet[0].clone();
        let machines = line.accelerators_per_engine.div_ceil(per_machine.into());
        (machines, line.load_s)
    };
    let ((one, alone_s), (several, together_s)) = (load_s(8), load_s(1));
    assert!(one == 1 && several > 1, "{one} and {several} machines");
    // 58 s pass whatever is read.
    let times = (alone_s - 58.0) / (together_s - 58.0) / several as f64;
    assert!(
        (0.4..=2.1).contains(&times),
        "{alone_s} and {together_s} s: {times}"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let mut missed = Vec::new();
    for (from, to, expected) in [
        ("users = 20000", "users = 0", "nobody asks for anything"),
        ("users = 20000", "users = -1", "number_range"),
        (
            "users = 20000",
            "users = 9_000_000_000\npeak = 3",
            "unknown_key",
        ),
        (
            "input_tokens = 1200",
            "input_tokens = 9_000_000",
            "no chip of the goal serves Qwen3-32B",
        ),
        (
            "Qwen3-32B",
            "Kimi-K2.5",
            "no site has the power for one engine of Kimi-K2.5",
        ),
        (
            "id = \"H100-SXM\"",
            "id = \"ATOM\"\nper_machine = 1",
            "no chip of the goal serves Qwen3-32B",
        ),
        ("Qwen3-32B", "Qwen-32B", "there is no model"),
        ("H100-SXM", "TPU-v6e", "the power of `TPU-v6e`"),
        (
            "power_cap_kw = 20",
            "power_cap_kw = 0.5",
            "no site has the power for one engine",
        ),
        ("tpot_ms = 50", "tpot_ms = 1", "no chip of the goal serves"),
        (
            "kr-industrial-2026.csv",
            "solar-jeonnam.csv",
            "it has no column",
        ),
        (
            "peak_over_mean = 4",
            "peak_over_mean = 1",
            "more than the peak",
        ),
        (
            "power_cap_kw = 20",
            "power_cap_kw = 20\nrenewables = \"solar-jeonnam.csv\"",
            "`renewables` has no effect without `renewables_kw`",
        ),
        (
            "power_cap_kw = 20",
            "power_cap_kw = 20\nrenewables_kw = 5",
            "`renewables_kw` has no effect without `renewables`",
        ),
        ("hours = [1, ", "hours = [", "23 numbers"),
        ("share = 1", "share = 0", "no model has a share"),
        ("life_years = 5", "life_years = 0", "number_range"),
        ("country = \"KR\"", "country = \"KOR\"", "country"),
    ] {
        let said = wrong(from, to);
        if !said.contains(expected) {
            missed.push(format!("{to}: {said}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn one_problem_hides_no_other() {
    let mut text = built_in("single-node").to_owned();
    for (from, to) in [
        ("start_year = 2026", ""),
        ("Qwen3-32B", "Qwen-32B"),
        (
            "carbon_g",
            "renewables = \"none.csv\"\nrenewables_kw = 1\ncarbon_g",
        ),
        ("country = \"KR\"", "country = \"korea\""),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let problems = parse(&text, &Files::Builtin, &catalog()).unwrap_err();
    let mut codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    codes.sort_unstable();
    let expected = [
        "country_invalid",
        "missing_key",
        "path_invalid",
        "reference_unknown",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn hours_without_a_price_are_named() {
    let folder = std::env::temp_dir().join(format!("madang-planner-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tariff = "from,until,months,days,hours,won_per_kwh\n,2029-01-01,,,,100\n";
    std::fs::write(folder.join("short.csv"), tariff).unwrap();
    let text = built_in("single-node").replace("kr-industrial-2026.csv", "short.csv");
    let problems = parse(&text, &Files::Folder(folder.clone()), &catalog()).unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(
        problems[0].message.contains("2029-01-01, 0 to 1 h"),
        "{problems:?}"
    );
}

#[test]
fn built_in_goals_are_served_under_their_caps() {
    for (name, _) in BUILTIN {
        let goal = goal(name);
        let report = plan(&goal, CLOSED).unwrap();
        assert!(report.totals.served_part > 0.999, "{name}");
        for site in &report.sites {
            assert!(
                site.peak_kw <= site.cap_kw * 1.000_001,
                "{name} {}",
                site.id
            );
            assert_eq!((site.summer.len(), site.winter.len()), (24, 24));
        }
        let of_sites: u64 = report.sites.iter().map(|site| site.accelerators).sum();
        let of_lines: u64 = report.fleet.iter().map(|line| line.accelerators).sum();
        assert_eq!((of_sites, of_lines), (report.totals.accelerators, of_sites));
        assert_eq!(report.phases.len(), usize::try_from(goal.years).unwrap());
        let first = &report.phases[0];
        assert_eq!((first.accelerators, first.bought), (of_sites, of_sites));
        let (told, whole) = (first.won_per_m_tokens, report.totals.won_per_m_tokens);
        assert!((told / whole - 1.0).abs() < 1e-9, "{name}: {told} {whole}");
        let bare = report
            .inputs
            .iter()
            .find(|input| input.source.is_empty() && !input.key.ends_with(".id"));
        let bare = bare.filter(|input| {
            ![
                "about",
                "about_ko",
                "start_year",
                "country",
                "share",
                "precisions",
            ]
            .iter()
            .any(|key| input.key.ends_with(key))
        });
        assert!(bare.is_none(), "{name}: {bare:?} has no source beside it");
    }
}

/// What stands was paid for at the price of its year: cheaper chips make no token of theirs cheaper.
#[test]
fn servers_that_stand_cost_what_they_were_bought_for() {
    let mut goal = goal("single-node");
    goal.demand.growth_per_year = 0.0;
    goal.money.life_years = 3.0;
    let each = |goal: &Goal| -> Vec<(u64, f64)> {
        let phases = plan(goal, CLOSED).unwrap().phases;
        let phases = phases.iter();
        let of = |phase: &crate::report::PhaseLine| (phase.bought, phase.won_per_m_tokens);
        phases.map(of).collect()
    };
    let as_ever = {
        let mut goal = goal.clone();
        for chip in &mut goal.chips {
            chip.price_trend_per_year = 0.0;
        }
        each(&goal)
    };
    for chip in &mut goal.chips {
        chip.price_trend_per_year = -0.3;
    }
    let cheaper = each(&goal);
    for year in 0..3 {
        assert!(
            (cheaper[year].1 / as_ever[year].1 - 1.0).abs() < 1e-9,
            "{cheaper:?} {as_ever:?}"
        );
    }
    // In the fourth all is bought anew, for a third of the price.
    assert_eq!(cheaper[3].0, cheaper[0].0);
    assert!(cheaper[3].1 < 0.7 * as_ever[3].1, "{cheaper:?} {as_ever:?}");
}

#[test]
fn the_twin_confirms_what_is_planned_and_the_smaller_counts() {
    let goal = goal("single-node");
    let closed = plan(&goal, CLOSED).unwrap();
    // Four whole engines: one more of anything saves none of them, and the report says so.
    let told = |note: &Said| note.english.contains("no whole engine");
    assert!(closed.notes.iter().any(told), "{:?}", closed.shadows);
    let asked = |threads| Asked {
        confirm: true,
        threads,
    };
    let one = plan(&goal, asked(1)).unwrap();
    let ran = &one.confirmed[0];
    assert!(
        ran.ratio > 0.3 && ran.good_part >= goal.good_part,
        "{ran:?}"
    );
    assert!(one.totals.accelerators >= closed.totals.accelerators);
    let two = plan(&goal, asked(2)).unwrap();
    let text = |report: &Report| serde_json::to_string(report).unwrap();
    assert_eq!(text(&one), text(&two));
}

#[test]
fn tuned_engines_serve_what_rows_of_peaks_say_in_their_band() {
    use madang_catalog::EngineKind;
    use madang_twin::fidelity::{TunedRow, tuned};
    let line = |tuned: &str| {
        let model = format!("id = \"Llama-3.1-70B\"\nengine = \"trtllm\"\n{tuned}");
        let text = built_in("single-node").replacen("id = \"Qwen3-32B\"", &model, 1);
        let text = text.replacen("power_cap_kw = 20", "power_cap_kw = 2000", 1);
        let goal = parse(&text, &Files::Builtin, &catalog()).unwrap().0;
        plan(&goal, CLOSED).unwrap().fleet[0].clone()
    };
    let (plain, faster) = (line(""), line("tuned = true\n"));
    assert_eq!(plain.requests_per_s, line("tuned = false\n").requests_per_s);
    let place = (EngineKind::Trtllm, "Llama-3.1-70B", "H100-SXM");
    let expected = tuned(TunedRow::shipped(), place);
    assert!(expected.times < 0.8, "{expected:?}");
    assert_eq!(faster.band, expected.band);
    let each = |line: &Line| line.requests_per_s / line.accelerators_per_engine as f64;
    // Limits on times are kept by larger batches, too.
    assert!(each(&faster) > each(&plain) / expected.times * 0.95);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn more_demand_never_needs_fewer_accelerators(users in 100.0_f64..50_000.0, more in 1.0_f64..4.0) {
        let mut goal = goal("single-node");
        goal.sites[0].cap_watts = 1e9;
        goal.demand.users = users;
        let few = fleet::solve(&goal, &fleet::Options::of(&goal)).unwrap().accelerators();
        goal.demand.users = users * more;
        let many = fleet::solve(&goal, &fleet::Options::of(&goal)).unwrap().accelerators();
        prop_assert!(many >= few, "{users} users: {few}, {more} times as many: {many}");
    }

    #[test]
    fn a_higher_cap_never_costs_more(site in 0_usize..3, cap_kw in 20.0_f64..400.0, more in 1.0_f64..5.0) {
        let mut goal = goal("korea-2026");
        goal.models.truncate(1);
        goal.models[0].share = 1.0;
        // All of the demand takes about 590 kW: some draws do not hold it, and others do.
        goal.sites.iter_mut().for_each(|site| site.cap_watts = cap_kw * 1e3);
        let options = fleet::Options::of(&goal);
        let low = fleet::solve(&goal, &options).unwrap();
        goal.sites[site].cap_watts = cap_kw * 1e3 * more;
        let high = fleet::solve(&goal, &options).unwrap();
        prop_assert!(high.served >= low.served - 1e-9);
        if low.served > 0.999_999 {
            // Engines are placed in steps: a step's share of one site's price is the only slack.
            prop_assert!(high.cost.total() <= low.cost.total() * 1.000_1, "{} {}", high.cost.total(), low.cost.total());
        }
    }
}

#[test]
fn an_engine_that_has_room_is_found_where_a_cheaper_one_has_none() {
    let text = built_in("korea-2026").replace("power_cap_kw = 20000", "power_cap_kw = 4");
    let text = text.replace("power_cap_kw = 103000", "power_cap_kw = 4");
    let goal = parse(&text, &Files::Builtin, &catalog()).unwrap().0;
    let report = plan(&goal, CLOSED).unwrap();
    assert!(report.fleet.iter().all(|line| line.engines > 0));
    let four = |refused: &&Refused| refused.chip == "B200-SXM" && refused.division == "fp8 TP4";
    let four = report.refused.iter().find(four).unwrap();
    assert_eq!(four.reason, "power", "{four:?}");
}

#[test]
fn a_chip_that_cannot_be_had_makes_way_for_another() {
    // As many as are best; those of the larger model hold either; 16 hold none.
    let free = plan(&goal("korea-2026"), CLOSED).unwrap();
    let lines = free.fleet.iter().map(|line| line.accelerators);
    let (best, larger) = (lines.clone().sum::<u64>(), lines.max().unwrap());
    for (count, kept) in [(best, 2), (larger, 1), (16, 0)] {
        let text = format!("count_max = {count}\nprice_won = 56000000");
        let text = built_in("korea-2026").replace("price_won = 56000000", &text);
        let goal = parse(&text, &Files::Builtin, &catalog()).unwrap().0;
        let report = plan(&goal, CLOSED).unwrap();
        assert_eq!(report.totals.served_part.to_bits(), 1.0_f64.to_bits());
        let best = report.fleet.iter().filter(|line| line.chip == "B200-SXM");
        assert_eq!(best.clone().count(), kept, "{count}");
        assert!(best.map(|line| line.accelerators).sum::<u64>() <= count);
        let stock = report.refused.iter().any(|way| way.reason == "stock");
        let binds = report.binding.resource == "chips";
        assert_eq!((stock, binds), (kept < 2, kept < 2), "{count}");
    }
}

#[test]
fn shares_that_do_not_add_up_exactly_are_served_whole() {
    let mut goal = goal("single-node");
    goal.sites[0].cap_watts = 1e9;
    let mut model = goal.models[0].clone();
    model.share = 1.0 / 6.0;
    goal.models = vec![model; 6];
    assert!(goal.models.iter().map(|model| model.share).sum::<f64>() < 1.0);
    let report = plan(&goal, CLOSED).unwrap();
    assert_ne!(report.binding.resource, "power");
}

#[test]
fn what_the_twin_took_off_leaves_an_unchanged_goal_as_it_is() {
    let goal = goal("korea-2026");
    let mut options = fleet::Options::of(&goal);
    let mut ran = BTreeMap::new();
    let mut fleet = fleet::solve(&goal, &options).unwrap();
    // The kind that is best in closed form does half, the next one 0.99 of what was planned.
    for part in [0.5, 0.99] {
        let name = fleet::engine_name(&fleet.picks[0].engine);
        for option in &mut options.engines {
            if fleet::engine_name(option) == name {
                option.requests_per_s *= part;
            }
        }
        ran.insert(name, part);
        fleet = fleet::solve(&goal, &options).unwrap();
    }
    let taken = fleet::engine_name(&fleet.picks[0].engine);
    assert_eq!((ran.len(), ran.get(&taken)), (2, Some(&0.99)));
    let again = plan::Derate::of(ran, &fleet).solve(&goal).unwrap();
    assert_eq!(fleet::engine_name(&again.picks[0].engine), taken);
    assert_eq!(again.cost.total().to_bits(), fleet.cost.total().to_bits());
}

#[test]
fn the_page_needs_nothing_beside_it_and_its_links_lead_somewhere() {
    let report = plan(&goal("korea-2026"), CLOSED).unwrap();
    for (language, word) in [
        (Language::English, "What binds"),
        (Language::Korean, "제약 요인"),
    ] {
        let page = html(&report, language);
        assert!(page.contains(word) && page.contains("<svg"));
        assert!(
            !page.contains("<script") && !page.contains("http://") && !page.contains("https://")
        );
        assert!(!page.contains("NaN") && !page.contains(">inf"));
        let links: Vec<&str> = page
            .split("href=\"#")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(links.len() > 50);
        for link in links {
            assert!(
                page.contains(&format!("id=\"{link}\"")),
                "{link} leads nowhere"
            );
        }
    }
}

#[test]
fn the_korean_page_says_in_korean_all_but_what_the_goal_says() {
    for name in ["korea-2026", "single-node"] {
        let page = html(&plan(&goal(name), CLOSED).unwrap(), Language::Korean);
        let said = page.split("</style>").nth(1).unwrap();
        let said = said.split("<h2>입력값").next().unwrap();
        let texts = said.split(['<', '>']).step_by(2);
        let english = |text: &&str| {
            let words = text.split(|c: char| !c.is_ascii_alphabetic());
            let words = words.filter(|word| word.len() > 1 && word.chars().all(char::is_lowercase));
            words.count() > 1
        };
        let found: Vec<&str> = texts.filter(english).collect();
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn effects_spend_no_money_twice_and_say_what_they_are_without() {
    let folder = tempfile::tempdir().unwrap();
    let table = "sector,kind,coefficient,year,source\nbuild,production,2,2020,a test\nbuild,jobs,9,2020,a test\nsteel,production,3,2020,a test\n";
    std::fs::write(folder.path().join("table.csv"), table).unwrap();
    let files = Files::Folder(folder.path().to_owned());
    let planned = |parts: [f64; 2]| {
        let mut text = format!(
            "{}\n[effects]\ntable = \"table.csv\"\n",
            built_in("single-node")
        );
        for (sector, part) in ["build", "steel"].into_iter().zip(parts) {
            text.push_str(&format!("\n[[effects.spend]]\nof = \"facility\"\nsector = \"{sector}\"\npart = {part}\nimport_part = 0\n"));
        }
        match parse(&text, &files, &catalog()) {
            Ok((goal, _)) => Ok(plan(&goal, CLOSED).unwrap()),
            Err(problems) => Err(problems
                .into_iter()
                .map(|problem| problem.message)
                .collect::<Vec<String>>()),
        }
    };
    let report = planned([0.7, 0.3]).unwrap();
    let effects = report.effects.as_ref().unwrap();
    assert_eq!(effects.construction.value_added_won, None);
    let missing = effects
        .missing
        .iter()
        .map(|of| (of.kind, of.sector.as_str()));
    assert_eq!(missing.collect::<Vec<_>>(), [("jobs", "steel")]);
    let notes: Vec<&str> = report
        .notes
        .iter()
        .map(|note| note.english.as_str())
        .collect();
    let said = "effects on the economy: jobs is without what is spent on steel, of which the table has no such coefficient";
    assert!(notes.contains(&said), "{notes:?}");
    let problems = planned([0.7, 0.4]).unwrap_err();
    assert_eq!(problems, ["parts of the same money are 1.100 together"]);
}
