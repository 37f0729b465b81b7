//! Predictions by example, and coefficients found again in what they made.

use super::requests::{LearnError, Learnt, RequestRun, learn, request_runs, scores};
use super::{Calibration, EngineRow, RowsError, calibrate, engine_rows, predict};
use madang_catalog::Catalog;
use std::fmt::Write;

/// Measured rows of the public set that ships as coefficients: crates/twin/data/README.md.
const HEADER: &str = "system,backend,backend_version,model_path,precision,gemm_quant_mode,mode,isl,osl,batch_size,tp_size,\
    attention_dp_size,moe_tp_size,moe_ep_size,ttft_ms,tpot_ms,id";
const MEASURED: &str = "\
b200_sxm,vllm,0.19.0,MiniMaxAI/MiniMax-M2.5,fp4,nvfp4,agg,8192,1024,4,4,1,4,1,138.1878,6.4241,minimaxm2_5_b200_vllm_fp4_agg_8192x1024_c4_cfg702
h100_sxm,trtllm,1.0.0rc3,Qwen/Qwen3-32B,fp8,fp8,agg,4096,256,8,2,,1,1,670.9287,13.9166,qwen3_32b_h100_sxm_trtllm_agg_4096x256_c8_tp2_epnone_50";

fn rows(lines: &str) -> Vec<EngineRow> {
    engine_rows(format!("{HEADER}\n{lines}\n").as_bytes()).unwrap()
}

#[test]
fn what_ships_knows_what_it_was_fitted_on() {
    let catalog = Catalog::shipped().unwrap();
    let calibration = Calibration::shipped().unwrap();
    for row in rows(MEASURED) {
        let said = predict(&calibration, &catalog, &row);
        let measured = row.tpot_ms.unwrap();
        assert!((said.tpot_ms / measured - 1.0).abs() < 0.08, "{said:?}");
        assert!(
            (said.tpot_low_ms..said.tpot_high_ms).contains(&measured),
            "{said:?}"
        );
        let measured = row.ttft_ms.unwrap();
        assert!(
            (said.ttft_low_ms..said.ttft_high_ms).contains(&measured),
            "{said:?}"
        );
    }
}

/// The time of a token that is said of a row of DeepSeek on eight cards: version and day, tokens guessed ahead, requests.
fn guessed((version, measured): (&str, &str), draft_tokens: &str, requests: u32) -> f64 {
    let text = format!(
        "system,backend,backend_version,measured,model_path,precision,mode,isl,osl,batch_size,tp_size,attention_dp_size,moe_tp_size,moe_ep_size,draft_tokens\n\
         b200_sxm,trtllm,{version},{measured},deepseek-ai/DeepSeek-R1,fp8,agg,1024,8192,{requests},64,1,8,8,{draft_tokens}\n"
    );
    let row = &engine_rows(text.as_bytes()).unwrap()[0];
    let (calibration, catalog) = (Calibration::shipped(), Catalog::shipped());
    predict(&calibration.unwrap(), &catalog.unwrap(), row).tpot_ms
}

#[test]
fn rows_of_runs_that_guess_ahead_are_known_by_their_version_and_day() {
    let (before, from) = ("2025-12-15", "2026-01-14");
    let check = |run, drafts| {
        let (own, said) = (guessed(run, "", 8), guessed(run, drafts, 8));
        assert_eq!(own.to_bits(), said.to_bits(), "{run:?}");
    };
    check(("1.2.0rc6.post3", from), "3");
    check(("1.2.0rc6.post2", from), "0");
    check(("1.1.0rc2.post2", before), "0");
    check(("1.1.0rc2.post2", from), "3");
    // Measured: 14.7 and 25.6 ms without, 6.8 and 16.2 with three guesses, for 4 and 64 requests.
    for (requests, without, with) in [(4, 14.7, 6.8), (64, 25.6, 16.2)] {
        for (day, measured) in [(before, without), (from, with)] {
            let said = guessed(("1.1.0rc2.post2", day), "", requests);
            let off: f64 = said / measured - 1.0;
            assert!(off.abs() < 0.25, "{requests} on {day}: {said} ms");
        }
    }
}

#[test]
fn measured_times_are_not_looked_at() {
    let catalog = Catalog::shipped().unwrap();
    let calibration = Calibration::shipped().unwrap();
    for row in rows(MEASURED) {
        let mut blind = row.clone();
        (blind.ttft_ms, blind.tpot_ms) = (None, None);
        let (seen, blind) = (
            predict(&calibration, &catalog, &row),
            predict(&calibration, &catalog, &blind),
        );
        assert_eq!(seen.tpot_ms, blind.tpot_ms);
        assert_eq!(seen.ttft_ms, blind.ttft_ms);
    }
}

#[test]
fn what_is_not_known_is_guessed_said_and_less_sure() {
    let catalog = Catalog::shipped().unwrap();
    let calibration = Calibration::shipped().unwrap();
    let lines = "b200_sxm,vllm,1,meta-llama/Llama-3.1-70B,fp8,fp8,agg,1024,1024,8,4,1,4,1,,,x_c8\n\
        b200_sxm,vllm,1,somebody/other-70b,fp8,fp8,agg,1024,1024,8,4,1,4,1,,,x_c8\n\
        new_chip,other,1,somebody/other-70b,,,agg,1024,1024,8,4,1,4,1,,,x_c8";
    let said: Vec<_> = rows(lines)
        .iter()
        .map(|row| predict(&calibration, &catalog, row))
        .collect();
    let guesses: Vec<usize> = said.iter().map(|said| said.guessed.len()).collect();
    assert_eq!(guesses, [0, 1, 3]);
    let widths: Vec<f64> = said
        .iter()
        .map(|said| said.tpot_high_ms / said.tpot_low_ms)
        .collect();
    assert!(widths.is_sorted() && widths[0] < widths[2], "{widths:?}");
    for said in said {
        assert!((1.0..100.0).contains(&said.tpot_ms), "{said:?}");
    }
}

#[test]
fn a_calibration_is_what_was_written() {
    let catalog = Catalog::shipped().unwrap();
    let calibration = Calibration::shipped().unwrap();
    // Rows made by the shipped coefficients at other concurrencies: a new fit must say what they say.
    let mut lines = String::new();
    for requests in [1, 2, 4, 8, 16, 32, 64, 128] {
        for (model, tensor) in [("Llama-3.1-70B", 4), ("Qwen3-32B", 2), ("Llama-3.1-8B", 1)] {
            let asked = format!(
                "h100_sxm,vllm,1,{model},fp8,fp8,agg,1024,1024,{requests},{tensor},1,1,1,,,x"
            );
            let row = rows(&asked).remove(0);
            let said = predict(&calibration, &catalog, &row);
            let times = format!(",{},{},x", said.ttft_ms, said.tpot_ms);
            writeln!(lines, "{}", asked.replace(",,,x", &times)).unwrap();
        }
    }
    let made = rows(&lines);
    let fitted = calibrate(&catalog, &made, "a test").unwrap();
    let again = Calibration::of_bytes(&fitted.to_bytes().unwrap()).unwrap();
    for row in &made {
        let said = predict(&again, &catalog, row);
        assert_eq!(said.tpot_ms, predict(&fitted, &catalog, row).tpot_ms);
        let error = (said.tpot_ms / row.tpot_ms.unwrap() - 1.0).abs();
        assert!(error < 0.05, "{said:?}: {error}");
    }
    assert!(calibrate(&catalog, &made[..5], "").is_err());
    assert!(Calibration::of_bytes(b"{}").is_err());
}

#[test]
fn a_broken_table_is_refused_with_its_line() {
    for (text, says) in [
        ("system,backend\nx,y\n", "line 1: no column model_path"),
        ("system,backend,model_path,isl,osl\n", "no rows"),
        (
            "system,backend,model_path,isl,osl\na,b,c,1024,-3\n",
            "line 2: osl is \"-3\"",
        ),
        (
            "system,backend,model_path,isl,osl\na,b,c,1024\n",
            "line 2: ",
        ),
        (
            "system,backend,model_path,isl,osl,draft_tokens\na,b,c,8,8,\na,b,c,8,8,64\na,b,c,8,8,65\n",
            "line 4: draft_tokens is \"65\"",
        ),
        (
            "system,backend,model_path,isl,osl,draft_tokens\na,b,c,8,8,three\n",
            "line 2: draft_tokens is \"three\": a whole number from 0 to 64",
        ),
        (
            "system,backend,model_path,isl,osl,batch_size\r\na,b,c,8,8,2\r\n\r\na,b,c,8,8,-3\r\n",
            "line 4: batch_size is \"-3\": a number from 0 to 1000000 is wanted, or nothing",
        ),
        (
            "system,backend,model_path,isl,osl,batch_size\na,b,c,8,8,0\n",
            "line 2: batch_size is \"0\": a number from 1 to 1000000 is wanted; leave the cell empty",
        ),
        (
            "system,backend,model_path,isl,osl,decode_tp_size\na,b,c,8,8,0.0\n",
            "line 2: decode_tp_size is \"0.0\": a number from 1 to 1000000 is wanted; leave the cell",
        ),
        (
            "system,backend,model_path,isl,osl,tp_size\na,b,c,8,8,inf\n",
            "line 2: tp_size is \"inf\": a number from 0 to 1000000 is wanted, or nothing",
        ),
        (
            "system,backend,model_path,isl,osl,tpot_ms\na,b,c,8,8,25\na,b,c,8,8,0.0096\n",
            "line 3: tpot_ms is \"0.0096\": milliseconds for each token are wanted, from 0.02 to 10000; multiply by 1,000",
        ),
        (
            "system,backend,model_path,isl,osl,tpot_ms\na,b,c,8,8,25000\n",
            "line 2: tpot_ms is \"25000\": milliseconds for each token are wanted, from 0.02 to 10000; divide by 1,000",
        ),
        (
            "system,backend,model_path,isl,osl\r\na,b,c,8,8\r\na,b,c,8\r\n",
            "line 3: it has 4 cells, and the header 5",
        ),
        (
            "system,backend,model_path,isl,osl,tp_size\na,b,c,8,8,1e18\n",
            "line 2: tp_size is \"1e18\": a number from 0 to 1000000 is wanted, or nothing",
        ),
        (
            "system,backend,model_path,isl,osl,prefill_num_workers\na,b,c,8,8,four\n",
            "line 2: prefill_num_workers is \"four\": a number",
        ),
        (
            "system,backend,model_path,isl,osl,mode\na,b,c,8,8,disag\n",
            "line 2: mode is \"disag\": agg or disagg is wanted, or nothing",
        ),
    ] {
        let error: RowsError = engine_rows(text.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
    }
}

#[test]
fn what_a_row_leaves_out_is_guessed_and_said() {
    let text = "\u{feff}system,backend,model_path,precision,isl,osl,batch_size,tp_size\n\
         h100_sxm,vllm,Qwen/Qwen3-32B,fp99,8,8,nan,\n";
    let rows = engine_rows(text.as_bytes()).unwrap();
    assert!(rows[0].own.batch.is_none() && rows[0].own.tensor.is_none());
    let (calibration, catalog) = (Calibration::shipped(), Catalog::shipped());
    let said = predict(&calibration.unwrap(), &catalog.unwrap(), &rows[0]);
    let guess = "precision fp99 is not known: fp8".to_owned();
    assert!(said.guessed.contains(&guess), "{:?}", said.guessed);
}

/// A model whose weights have no room on the chips that a row names is predicted as if they had, and that is said.
#[test]
fn what_has_no_room_is_said_and_less_sure() {
    let (calibration, catalog) = (Calibration::shipped().unwrap(), Catalog::shipped().unwrap());
    let said = |chip: &str, ranks: u32| {
        let line = format!(
            "{chip},vllm,1,meta-llama/Llama-3.1-70B,bf16,,agg,1024,1024,8,{ranks},1,1,1,,,x_c8"
        );
        predict(&calibration, &catalog, &rows(&line)[0])
    };
    let (one, four) = (said("h100_sxm", 1), said("h100_sxm", 4));
    assert!(four.fits && four.note.is_none(), "{four:?}");
    let note = one.note.as_deref().unwrap_or_default();
    assert!(!one.fits && note.contains("H100-SXM, which have"), "{note}");
    assert!(
        note.ends_with("take more of them, or smaller weights"),
        "{note}"
    );
    let wide = |said: &super::Prediction| said.tpot_high_ms / said.tpot_low_ms;
    assert!(wide(&one) > 1.5 * wide(&four), "{one:?} {four:?}");
}

#[test]
fn rows_that_say_no_times_are_counted_as_such() {
    let lines = "h100_sxm,vllm,1,Qwen3-32B,fp8,,agg,8,8,8,2,1,1,1,NaN,9,x\n\
        h100_sxm,vllm,1,Qwen3-32B,fp8,,agg,8,8,8,2,1,1,1,80,0,x\n\
        h100_sxm,vllm,1,Qwen3-32B,fp8,,agg,8,8,8,2,1,1,1,80,,x\n\
        h100_sxm,vllm,1,Qwen3-32B,fp8,,agg,8,8,8,2,1,1,1,80,9,x";
    let rows = rows(lines);
    let measured: Vec<bool> = rows.iter().map(EngineRow::is_measured).collect();
    assert_eq!(measured, [false, false, false, true]);
}

/// A log of the given length without measured times: requests of uneven sizes, a few of which begin alike.
fn log(hardware: &str, count: u64) -> String {
    let mut text = "hardware,model,request,arrival_s,input_tokens,output_tokens,ttft_s,e2e_s,prefix_block_ids_16\n".to_owned();
    for at in 0..count {
        let (input, output) = (200 + at * 7919 % 1_500, 50 + at * 6_007 % 400);
        let blocks: Vec<String> = (0..input / 16)
            .map(|block| {
                (if at % 5 == 0 {
                    block
                } else {
                    at * 1_000 + block
                })
                .to_string()
            })
            .collect();
        writeln!(
            text,
            "{hardware},Llama-3.1-8B,{at},{:.3},{input},{output},,,{}",
            at as f64 * 0.11,
            blocks.join(" ")
        )
        .unwrap();
    }
    text
}

fn measured(run: &RequestRun, catalog: &Catalog) -> RequestRun {
    // The engine that is looked for is slower than engines are.
    let mut other = Learnt::usual();
    other.coefficients.step_us *= 2.0;
    other.coefficients.weights *= 1.3;
    other.answer_s = 0.01;
    let said = other.carry(catalog, run, None).unwrap();
    let mut run = run.clone();
    for (request, said) in run.requests.iter_mut().zip(&said.requests) {
        request.ttft_s = Some(said.ttft_s);
        request.e2e_s = Some(said.e2e_s);
    }
    run
}

#[test]
fn an_engine_is_learnt_from_a_log_and_carried_to_another_chip() {
    let catalog = Catalog::shipped().unwrap();
    let runs = request_runs(log("RTXPRO6000", 60).as_bytes()).unwrap();
    let run = measured(&runs[0], &catalog);
    let learnt = learn(&catalog, std::slice::from_ref(&run), None).unwrap();
    assert!(
        learnt.scores[0].e2e_mean_error < 0.05,
        "{:?}",
        learnt.scores
    );
    let said = learnt.carry(&catalog, &run, None).unwrap();
    assert_eq!(said.accelerators, 1);
    let score = scores(&run, &said.requests);
    assert_eq!(score.e2e_mean_error, learnt.scores[0].e2e_mean_error);
    // Another chip: slower memory, slower answers, and a wider band.
    let other = request_runs(log("RTX4090", 60).as_bytes()).unwrap();
    let other = learnt.carry(&catalog, &other[0], None).unwrap();
    let (here, there) = (&said.requests[30], &other.requests[30]);
    assert!(there.e2e_s > 1.2 * here.e2e_s, "{here:?} {there:?}");
    assert!(there.e2e_high_s / there.e2e_s > here.e2e_high_s / here.e2e_s);
}

#[test]
fn nothing_is_learnt_where_nothing_is_measured() {
    let catalog = Catalog::shipped().unwrap();
    let run = request_runs(log("RTXPRO6000", 3).as_bytes())
        .unwrap()
        .remove(0);
    let learnt = |runs: &[RequestRun]| learn(&catalog, runs, None);
    for runs in [vec![], vec![run.clone()]] {
        assert_eq!(learnt(&runs).unwrap_err(), LearnError::NothingMeasured);
    }
    // Beside a run that is measured one that is not says nothing: neither of errors nor of what is known.
    let mut short = measured(&run, &catalog);
    let learnt = learnt(&[run, short.clone()]).unwrap();
    assert_eq!((learnt.scores.len(), learnt.runs.len()), (1, 1));
    // Answers of one token have no time between tokens.
    for request in &mut short.requests {
        request.output_tokens = 1;
        request.e2e_s = request.ttft_s;
    }
    let learnt = learn(&catalog, &[short], None).unwrap();
    assert!(learnt.scores[0].aggregates_worst.is_finite());
}

#[test]
fn a_chip_that_nobody_knows_is_said_and_widens_the_band() {
    let catalog = Catalog::shipped().unwrap();
    let learnt = Learnt::usual();
    let wide = |hardware| {
        let run = request_runs(log(hardware, 2).as_bytes()).unwrap().remove(0);
        let said = learnt.carry(&catalog, &run, Some(1)).unwrap();
        let first = &said.requests[0];
        (first.e2e_high_s / first.e2e_s, first.guessed.len())
    };
    let (known, unknown) = (wide("RTX4090"), wide("ZX99"));
    assert_eq!((known.1, unknown.1), (0, 1));
    assert!(unknown.0 > 1.9 * known.0, "{known:?} {unknown:?}");
}

#[test]
fn what_is_learnt_from_a_request_or_two_is_said_to_be_little() {
    let catalog = Catalog::shipped().unwrap();
    let all = request_runs(log("RTXPRO6000", 60).as_bytes())
        .unwrap()
        .remove(0);
    let all = measured(&all, &catalog);
    let wide = |count| {
        let mut run = all.clone();
        run.requests.truncate(count);
        let learnt = learn(&catalog, &[run], None).unwrap();
        let said = learnt.carry(&catalog, &all, None).unwrap();
        said.requests[0].e2e_high_s / said.requests[0].e2e_s
    };
    assert!(wide(1) > 2.0 && wide(60) < 1.2);
}

#[test]
fn a_log_is_sorted_by_run_and_what_is_no_number_is_refused() {
    let head = "hardware,model,arrival_s,input_tokens,output_tokens,ttft_s,tp\n";
    let read = |rows: &str| request_runs(format!("{head}{rows}").as_bytes());
    // Two runs, one of which stands in another order than its requests came.
    let runs = read("a,m,5,9,9,nan,2\n\nb,m,1,9,9,,\na,m,4,9,9,0.5,2\nb,m,2,9,9,0,\n").unwrap();
    let told = |run: &RequestRun| run.unordered.map(|told| (told.rows, told.first_line));
    assert_eq!((told(&runs[0]), told(&runs[1])), (Some((1, 5)), None));
    let first: Vec<f64> = runs.iter().map(|run| run.requests[0].arrival_s).collect();
    assert_eq!(first, [4.0, 1.0]);
    assert_eq!((runs[0].tensor, runs[1].tensor), (Some(2), None));
    assert_eq!(runs[0].requests[0].ttft_s, Some(0.5));
    assert!(
        runs[1]
            .requests
            .iter()
            .all(|request| request.ttft_s.is_none())
    );
    for (row, says) in [
        ("a,m,-1,9,9,,", "line 2: arrival_s is \"-1\""),
        ("a,m,1,9,9,-1,", "line 2: ttft_s is \"-1\": a number from 0"),
        ("a,m,1,9,9,soon,", "line 2: ttft_s is \"soon\": a number"),
        (
            "a,m,1,9,9,,2000",
            "line 2: tp is \"2000\": a number from 0 to 1024",
        ),
        (
            "a,m,1,9,9,,2.5",
            "line 2: tp is \"2.5\": a whole number up to 1024",
        ),
    ] {
        let error = read(&format!("{row}\n")).unwrap_err().to_string();
        assert!(error.starts_with(says), "{row}: {error}");
    }
    let error = read("a,m,1,9,9,,\r\n\r\na,m,1,9,9,,0\r\n").unwrap_err();
    let says = "line 4: tp is \"0\": a number from 1 to 1024 is wanted; leave the cell empty";
    assert!(error.to_string().starts_with(says), "{error}");
}

/// Requests a tenth of a second apart, of 100 tokens that take 20 ms each, in the unit of so many a second.
fn timed(arrival: f64, times: f64) -> Result<Vec<RequestRun>, RowsError> {
    let mut text = "hardware,model,arrival_s,input_tokens,output_tokens,ttft_s,e2e_s\n".to_owned();
    for at in 0..40 {
        let (ttft, e2e) = (0.2 * times, 2.2 * times);
        let arrival = f64::from(at) * 0.1 * arrival;
        writeln!(text, "h100,m,{arrival},500,101,{ttft},{e2e}").unwrap();
    }
    request_runs(text.as_bytes())
}

#[test]
fn times_in_another_unit_than_seconds_are_refused_with_what_to_do() {
    let runs = timed(1.0, 1.0).unwrap();
    assert!((runs[0].gap_s().unwrap() - 0.1).abs() < 1e-9);
    let milliseconds = timed(1e3, 1e3).unwrap_err().to_string();
    assert!(
        milliseconds.starts_with("line ")
            && milliseconds.contains("ttft_s and e2e_s say 20.0 s for each token")
            && milliseconds.contains("divide both by 1,000 where they are in milliseconds"),
        "{milliseconds}"
    );
    // Arrivals alone: in milliseconds they may be those of a quiet day, in microseconds of none.
    assert!((timed(1e3, 1.0).unwrap()[0].gap_s().unwrap() - 100.0).abs() < 1e-6);
    let microseconds = timed(1e6, 1.0).unwrap_err().to_string();
    assert!(
        microseconds.starts_with("line 41: arrival_s says")
            && microseconds.contains("100000 s apart"),
        "{microseconds}"
    );
    let head = "hardware,model,arrival_s,input_tokens,output_tokens,ttft_s,e2e_s\n";
    let read = |row: &str| request_runs(format!("{head}h,m,0,9,9,0.1,0.5\n{row}\n").as_bytes());
    let error = read("h,m,1,9,9,0.5,0.1").unwrap_err().to_string();
    assert!(
        error.starts_with(
            "line 3: e2e_s is 0.1, ttft_s 0.5: the last token cannot come before the first"
        ),
        "{error}"
    );
    // One token ends when it comes, whatever was rounded.
    assert!(read("h,m,1,9,1,0.5004,0.5").is_ok());
}
