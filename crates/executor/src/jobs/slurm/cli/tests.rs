use super::*;
use crate::jobs::slurm::ask::tests::{ask, spec};

#[test]
fn lines_are_read() {
    let job = squeue_line("1042|madang-7-1|PENDING|1795748873|1795749173||Resources").unwrap();
    assert_eq!(
        (job.id, job.state, job.had_nodes),
        (1042, SlurmState::Waiting, false)
    );
    assert_eq!(
        (job.submitted_s, job.started_s),
        (1_795_748_873, Some(1_795_749_173))
    );
    assert_eq!(job.reason, "Resources");
    let job = squeue_line("1043|madang-8-1|RUNNING|5|N/A|n[1,3]|None").unwrap();
    assert_eq!((job.started_s, job.had_nodes), (None, true));
    let job = sacct_line("3|madang-3-1|CANCELLED by 0|10|11|14|n1|0:15|None").unwrap();
    assert_eq!((job.state, job.exit), (SlurmState::Cancelled, (0, 15)));
    assert_eq!(
        (job.started_s, job.ended_s, job.had_nodes),
        (Some(11), Some(14), true)
    );
    let job = sacct_line("4|madang-4-1|FAILED|10|10|10|None assigned|1:0|None").unwrap();
    assert!(!job.had_nodes);
    let job = sacct_line("5|madang-5-1|PENDING|10|Unknown|Unknown|None assigned|0:0|").unwrap();
    assert_eq!((job.started_s, job.ended_s), (None, None));
    for broken in [
        "",
        "x|y",
        "1|n|ODD|1|1|1|n1|0:0|",
        "1|n|FAILED|1|1|1|n1|00|",
    ] {
        assert_eq!(sacct_line(broken), None, "{broken:?}");
    }
}

#[test]
fn complaints_are_told_apart() {
    let check = |code, complaint: &str, expected: Fault| {
        let answer = Answer {
            code,
            bytes: Vec::new(),
            complaint: complaint.to_owned(),
        };
        assert_eq!(fault(&answer), expected, "{complaint}");
    };
    let failed = "sbatch: error: Batch job submission failed: ";
    let account = "Invalid account or account/partition combination specified";
    let told = format!("Batch job submission failed: {account}");
    check(1, &format!("{failed}{account}"), Fault::Refused(told));
    let away = "Unable to contact slurm controller (connect failure)";
    let told = format!("Batch job submission failed: {away}");
    check(1, &format!("{failed}{away}"), Fault::NotSent(told));
    let late = "Socket timed out on send/recv operation";
    let told = format!("Batch job submission failed: {late}");
    check(1, &format!("{failed}{late}"), Fault::Unknown(told));
    let asked = format!("sbatch: error: here\nallocation failure: {account}");
    check(1, &asked, Fault::Refused(account.to_owned()));
    let missing = "sh: 1: sbatch: not found";
    check(
        127,
        missing,
        Fault::NotSent(format!("exit code 127: {missing}")),
    );
}

#[test]
fn when_it_would_begin_is_read() {
    let said =
        "sbatch: Job 7 to start at 1795804814 using 8 processors on nodes n1 in partition batch";
    assert_eq!(foretold(said), Some(1_795_804_814));
    for broken in ["", "sbatch: Job 7 to start at N/A using", " to start at "] {
        assert_eq!(foretold(broken), None, "{broken:?}");
    }
}

#[test]
fn a_run_in_the_words_of_sbatch() {
    let mut spec = spec();
    spec.checkpoint = Some(madang_types::JobCheckpoint {
        signal: madang_types::StopSignal::Usr1,
        grace_ms: 90_000,
    });
    let words = sbatch(&ask(&spec)).join(" ");
    let expected = "sbatch --parsable --no-requeue --export=NIL --job-name=madang-1042-1 --comment=hanbit/a_test \
        --account=hanbit --ntasks=1 --cpus-per-task=16 --time=61 --nice=1000 --output=/scratch/madang/1042-1.%j.log \
        --open-mode=append --chdir=/scratch/madang --qos=ai-centre --gres=gpu:h200:8 --ntasks-per-node=1 --nodes=1 \
        --mem=64000M --signal=B:XCPU@90";
    assert_eq!(words, expected);
    spec.checkpoint = None;
    spec.pieces.push(spec.pieces[0].clone());
    let words = sbatch(&ask(&spec)).join(" ");
    assert!(words.contains("--ntasks=2 "), "{words}");
    assert!(
        words.contains("--gpus-per-task=h200:8 --mem-per-cpu=4000M"),
        "{words}"
    );
    assert!(
        !words.contains("--nodes") && !words.contains("--gres"),
        "{words}"
    );
}
