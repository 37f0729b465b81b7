//! `madang twin`: what it prints for programs and for people, and what it refuses.

mod harness;

use harness::Place;
use serde_json::Value;

async fn json(place: &Place, args: &[&str]) -> Value {
    place.json(&[&["twin"], args].concat()).await
}

#[tokio::test]
async fn a_flood_hardly_hurts_the_others_and_the_same_seed_gives_the_same_report() {
    let place = Place::new();
    let args = [
        "noisy",
        "--flood",
        "6,30000,50",
        "--policy",
        "madang",
        "--seed",
        "7",
    ];
    let report = json(&place, &args).await;
    assert_eq!(report["policy"], "madang");
    assert_eq!(report["unserved"], 0);
    for (side, field) in [
        ("alone", "p50_ms"),
        ("alone", "p99_ms"),
        ("flooded", "p50_ms"),
        ("flooded", "p99_ms"),
    ] {
        assert!(
            report[side][field].as_f64().unwrap() > 0.0,
            "{side} {field}"
        );
    }
    assert!(report["inflation_p99"].as_f64().unwrap() <= 1.5, "{report}");
    assert!(report["total_tokens"].as_u64().unwrap() > 0);
    assert_eq!(report, json(&place, &args).await);
}

#[tokio::test]
async fn rules_are_printed_side_by_side() {
    let place = Place::new();
    let args = [
        "noisy",
        "--flood",
        "6,30000,50",
        "--policy",
        "madang",
        "--policy",
        "rr",
    ];
    let reports = json(&place, &args).await;
    let inflation = |at: usize| reports[at]["inflation_p99"].as_f64().unwrap();
    assert_eq!(reports[1]["policy"], "round_robin");
    assert!(inflation(1) > 10.0 * inflation(0), "{reports}");
}

#[tokio::test]
async fn a_trace_is_routed_and_a_wrong_one_is_named() {
    let place = Place::new();
    let trace = place.path("trace.csv");
    let mut text = String::from("arrival_ms,input_tokens,output_tokens,prefix_block_ids_512\n");
    for at in 0..200 {
        text.push_str(&format!(
            "{},4096,20,0-3 {}-{}\n",
            at * 100,
            10 * at + 4,
            10 * at + 7
        ));
    }
    std::fs::write(&trace, text).unwrap();
    let file = trace.to_str().unwrap();
    let base = ["route", "--trace", file, "--replicas", "2"];
    let report = json(
        &place,
        &[
            &base[..],
            &["--policy", "predicted_ttft", "--host-tier", "100000"],
        ]
        .concat(),
    )
    .await;
    assert_eq!(report["requests"], 200);
    assert_eq!(report["within_5s"], 1.0);
    assert!(report["prefix_hit"].as_f64().unwrap() > 0.3, "{report}");
    let all = json(&place, &base).await;
    assert_eq!(all.as_array().unwrap().len(), 10);

    std::fs::write(&trace, "arrival_ms,input_tokens\n1,2\n").unwrap();
    for (args, code, words) in [
        (
            vec!["route", "--trace", file],
            1,
            "has no column 'output_tokens'",
        ),
        (
            vec!["route", "--trace", "nowhere.csv"],
            1,
            "nowhere.csv cannot be read",
        ),
        (
            vec!["route", "--trace", file, "--speed", "0"],
            2,
            "a number from 0.01 to 1000 is wanted",
        ),
        (
            vec!["noisy", "--flood", "0,1,1"],
            2,
            "a flood is RATE,IN,OUT",
        ),
        (vec!["noisy", "--policy", "best"], 2, "madang"),
        (
            vec!["power", "--rate", "NaN"],
            2,
            "'NaN' for '--rate <N>': a number from 0.01 to 1000 is wanted",
        ),
        (
            vec!["overload", "--step", "100"],
            2,
            "a number from 0.1 to 20 is wanted",
        ),
    ] {
        let ended = place.run(&[&["twin"], &args[..]].concat()).await;
        assert_eq!(ended.code, code, "{args:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{args:?}: {}", ended.err);
    }
}

#[tokio::test]
async fn overload_is_refused_early_and_ends_with_its_cause() {
    let place = Place::new();
    let report = json(&place, &["overload", "--step", "1.4", "--policy", "madang"]).await;
    assert!(report["goodput"].as_f64().unwrap() >= 0.9, "{report}");
    assert!(report["recovery_s"].as_u64().unwrap() <= 5, "{report}");
    assert!(report["amplification"].as_f64().unwrap() <= 1.1, "{report}");
}

#[tokio::test]
async fn over_a_month_credit_gives_each_what_it_was_promised_and_the_queue_gives_it_by_the_minute()
{
    let place = Place::new();
    let args = ["month", "--seed", "2"];
    let report = json(&place, &args).await;
    let of = |field: &str| report[field].as_f64().unwrap();
    assert!(of("credit_min_ratio") >= 0.95, "{report}");
    assert!(of("max_min_min_ratio") < 0.8, "{report}");
    assert!(
        (of("credit_used_ratio") - of("max_min_used_ratio")).abs() < 0.001,
        "{report}"
    );
    for (side, least) in [("minutes", 0.8), ("minutes_credit", 0.8)] {
        let within = report[side]["within_5_percent_ratio"].as_f64().unwrap();
        assert!(within >= least, "{side}: {within}");
    }
    let small = &report["minutes_credit"]["tenants"][2];
    assert_eq!(small["tenant"], "small");
    assert!(small["lean"].as_f64().unwrap() > 3.9 * small["share"].as_f64().unwrap());
    let short = ["month", "--days", "2", "--cap-days", "0", "--replicas", "1"];
    let report = json(&place, &short).await;
    assert_eq!(report["credit_min_ratio"], report["max_min_min_ratio"]);
    assert_eq!(report, json(&place, &short).await);
}

#[tokio::test]
async fn credit_hardly_hurts_even_debtors_that_ask_for_no_more_than_their_parts() {
    let place = Place::new();
    let floods: [&[&str]; 3] = [
        &["6,30000,50"],
        &["120,1155,211", "60,200,2000"],
        &["60,200,2000", "120,1155,211"],
    ];
    for floods in floods {
        let mut args = vec!["noisy", "--policy", "madang", "--credit"];
        args.extend(floods.iter().flat_map(|flood| ["--flood", flood]));
        let report = json(&place, &args).await;
        assert_eq!(report["unserved"], 0);
        assert!(report["inflation_p99"].as_f64().unwrap() <= 1.5, "{report}");
    }
}

#[tokio::test]
async fn what_is_below_zero_is_refused_with_what_may_be() {
    let place = Place::new();
    let two = "whole numbers from 1 to 1000000000, from 1 to 1000000000";
    for (line, words) in [
        ("power --cut -5%", "a whole number from 1 to 99 is wanted"),
        ("power --slow -1", "a whole number from 0 to 100 is wanted"),
        ("power --rate -1", "a number from 0.01 to 1000 is wanted"),
        ("power --minutes -3h", "a whole number from 1 to 1440"),
        ("noisy --flood -1,5,5", "a flood is RATE,IN,OUT"),
        ("route --speed -.5", "a number from 0.01 to 1000"),
        (
            "route --host-tier -1",
            "a whole number from 0 to 10000000000",
        ),
        ("overload --step -1.4", "a number from 0.1 to 20 is wanted"),
        ("month --days -7d", "a whole number from 1 to 366 is wanted"),
        ("jobs t --other -1,500", "N,MILLI is wanted: whole numbers"),
        ("jobs t --won -5,-4", two),
        ("jobs t --data -200,1000", two),
        ("jobs t --maintenance -8,0,1", "N,FROM_H,SPAN_H is wanted"),
        ("jobs t --restore-s -3s", "a whole number from 0 to 86400"),
        ("place t --nodes n --asked -5%", "a number from 0.01 to 10"),
        (
            "run single-node --hours -3h",
            "a whole number from 1 to 8784",
        ),
        ("run single-node --seed -1", "a whole number from 0 to"),
    ] {
        let args: Vec<&str> = ["twin"].into_iter().chain(line.split(' ')).collect();
        let ended = place.run(&args).await;
        assert_eq!(ended.code, 2, "{line}: {}", ended.err);
        assert!(ended.err.contains(words), "{line}: {}", ended.err);
    }
    // What is no plain number is read later, and no server is needed to say what is wrong with it.
    for (line, words) in [
        (
            "event s --for 3h --cut -5%",
            "'-5%' is no part: write 25%, from 0.1% to 99.9%",
        ),
        (
            "event s --cut 5% --for -3h",
            "'-3h' is no time for an event: write 90s, 30m, 3h or 2d, from 1s to 30d",
        ),
        (
            "event s --for 3h --to -15MW",
            "'-15MW' is no power: write 20MW, 150kW or 900, up to 10000MW",
        ),
        ("event s --for 3h --to 1MW --at -3h", "'-3h' is no instant"),
        ("cap s -15MW", "'-15MW' is no power"),
        ("cap s -15", "'-15' is no power"),
    ] {
        let args: Vec<&str> = ["power"].into_iter().chain(line.split(' ')).collect();
        let ended = place.run(&args).await;
        assert_eq!(ended.code, 1, "{line}: {}", ended.err);
        assert!(ended.err.contains(words), "{line}: {}", ended.err);
    }
}

/// Jobs on eight accelerators of which six have power.
const SHIFTED: &str = r#"
[run]
start = "2026-07-15"
hours = 24

[[site]]
id = "here"
country = "KR"
power_cap_kw = 6
tariff = "kr-industrial-2026.csv"
carbon_g_per_kwh = 400

[[jobs]]
id = "nightly"
site = "here"
accelerator = "h100"
accelerators = 8
trace = "jobs.csv"
shift_h = 1
"#;

#[tokio::test]
async fn what_becomes_of_each_job_that_may_be_put_off_is_said() {
    let place = Place::new();
    let mut rows = "submit_s,vc,gpus,duration_s\n0,a,9,60\n0,a,9,60\n0,a,8,60\n".to_owned();
    rows.push_str(&"0,a,4,7200\n".repeat(4));
    place.write("jobs.csv", rows);
    let file = place.write("shifted.toml", SHIFTED);
    let file = file.to_str().unwrap();
    let report = json(&place, &["run", file]).await;
    let shift = &report["shift"];
    assert_eq!(
        (&shift["jobs"], &shift["late_min"]),
        (&4.into(), &2.into()),
        "{shift}"
    );
    let left_out = shift["left_out"].as_array().unwrap();
    let left_out: Vec<_> = left_out
        .iter()
        .map(|of| (of["reason"].as_str().unwrap(), of["jobs"].as_u64().unwrap()))
        .collect();
    assert_eq!(left_out, [("wider_than_group", 2), ("no_power", 1)]);
    let ended = place.run(&["twin", "run", file]).await.expect_code(0);
    for words in [
        "4 jobs that may be put off",
        "not run: 2 jobs of nightly: each asks for more accelerators than its group has",
        "not run: 1 jobs of nightly: each asks for more accelerators than ever have power",
        "note: no plan keeps the time of every job: at least 2 of 4 are late",
    ] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
}

#[tokio::test]
async fn times_in_another_unit_and_rows_that_say_nothing_are_told() {
    let place = Place::new();
    let log = |name: &str, times: f64| {
        let mut text =
            "hardware,model,request,arrival_s,input_tokens,output_tokens,ttft_s,e2e_s\n".to_owned();
        for at in 0..12 {
            let (arrival, ttft, e2e) = (f64::from(at) * 0.5 * times, 0.1 * times, 1.1 * times);
            text.push_str(&format!(
                "RTXPRO6000,Llama-3.1-8B,{at},{arrival},300,51,{ttft},{e2e}\n"
            ));
        }
        text.push_str(&format!(
            "RTXPRO6000,Llama-3.1-8B,x,{},300,51,NaN,1\n",
            6.0 * times
        ));
        place.write(name, text).to_str().unwrap().to_owned()
    };
    let (seconds, milliseconds) = (log("s.csv", 1.0), log("ms.csv", 1_000.0));
    let args =
        |log: &str| ["twin", "requests", "--calibrate", log, "--run", log].map(str::to_owned);
    let run = async |args: [String; 6]| place.run(&args.each_ref().map(String::as_str)).await;
    let ended = run(args(&seconds)).await.expect_code(0);
    assert!(
        ended
            .err
            .contains("1 of 13 requests have no ttft_s or no e2e_s"),
        "{}",
        ended.err
    );
    let ended = run(args(&milliseconds)).await.expect_code(1);
    assert!(
        ended
            .err
            .contains("divide both by 1,000 where they are in milliseconds"),
        "{}",
        ended.err
    );
    let rows = "id,system,backend,model_path,precision,isl,osl,batch_size,tp_size\nsmall,h100_sxm,vllm,Llama-3.1-70B,bf16,1024,1024,8,1\nenough,h100_sxm,vllm,Llama-3.1-70B,bf16,1024,1024,8,4\n";
    let rows = place.write("rows.csv", rows);
    let said = json(&place, &["predict", "--rows", rows.to_str().unwrap()]).await;
    assert_eq!(
        (&said[0]["fits"], &said[1]["fits"]),
        (&false.into(), &true.into()),
        "{said}"
    );
    assert!(
        said[0]["note"]
            .as_str()
            .unwrap()
            .contains("take more of them"),
        "{said}"
    );
    let ended = place
        .run(&["twin", "predict", "--rows", rows.to_str().unwrap()])
        .await
        .expect_code(0);
    let unfit: Vec<&str> = ended
        .out
        .lines()
        .filter(|line| line.contains("it has no room: "))
        .collect();
    assert!(
        unfit.len() == 1 && unfit[0].contains("small"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_plan_tells_its_effects_as_text_too() {
    let place = Place::new();
    let goal = include_str!("../../../examples/plans/single-node.toml");
    let effects = "\n[effects]\ntable = \"table.csv\"\n\n[[effects.spend]]\nof = \"facility\"\nsector = \"building\"\npart = 1\nimport_part = 0.1\n";
    let file = place.write("goal.toml", format!("{goal}{effects}"));
    let table = "sector,kind,coefficient,year,source\nbuilding,production,1.9,2020,a test\nbuilding,value_added,0.8,2020,a test\n";
    place.write("table.csv", table);
    let ended = place
        .run(&["plan", file.to_str().unwrap(), "--no-confirm"])
        .await
        .expect_code(0);
    let line = |begin: &str| {
        ended
            .out
            .lines()
            .find(|line| line.starts_with(begin))
            .unwrap()
            .to_owned()
    };
    let building = line("building, once");
    let cells: Vec<&str> = building.split_whitespace().skip(2).collect();
    assert_eq!(cells.len(), 5, "{building}");
    let [spent, home, production, value_added] =
        [0, 1, 2, 3].map(|at| cells[at].parse::<f64>().unwrap());
    assert!(
        (home - spent * 0.9).abs() <= 1.0 && (production - home * 1.9).abs() <= 2.0,
        "{building}"
    );
    assert!(
        (value_added - home * 0.8).abs() <= 2.0 && cells[4] == "-",
        "{building}"
    );
    assert!(
        ended
            .out
            .contains("building value_added: 0.8 (a test, 2020)"),
        "{}",
        ended.out
    );
}
