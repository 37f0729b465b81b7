//! The gateway that drives jobs is killed in an event of the grid, and another one drives: each has a machine of its own at the site.

use super::gateways::Pair;
use super::{acts, goes_on, job_of, state_of, submit, submit_only, until};
use crate::harness::{Place, json_of, sees_run, wait_for};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Four jobs' machine of the first one, and one job's of the other, of 10 to 150 W for each job.
fn two_machines(text: String) -> String {
    let four = text.replace("per_node = 2", "per_node = 4");
    four + "\n[[nodes]]\nid = \"there\"\nsite = \"here\"\naccelerator = \"cpu\"\nper_node = 1\ncount = 1\n\
            jobs = { executor = \"local\", gateway = \"other\" }\npower = { idle_watts = 10, full_watts = 150 }\n"
}

/// How many of some jobs went on at once at most, as the kernel says, from one word of how many may to the next.
struct GoOn {
    most: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl GoOn {
    fn watch(marks: &[String]) -> Self {
        let (most, marks) = (Arc::new(AtomicUsize::new(0)), marks.to_vec());
        let mut task = JoinSet::new();
        let told = Arc::clone(&most);
        task.spawn(async move {
            loop {
                let going = marks.iter().filter(|mark| goes_on(mark)).count();
                told.fetch_max(going, Ordering::Relaxed);
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self { most, _task: task }
    }

    #[track_caller]
    fn at_most(&self, count: usize) {
        let most = self.most.swap(0, Ordering::Relaxed);
        assert!(most <= count, "{most} went on at once, and {count} may");
    }
}

/// Gateways whose site has three jobs that stand by an event, one that may not and one that waits.
struct Short {
    pair: Pair,
    bends: Vec<String>,
    rigid: String,
    /// Its mark, and its number.
    later: (String, String),
    event: u64,
}

fn is_met(power: &Value) -> bool {
    acts(power) == ["pause"; 3] && power["watts"] == 390 && power["cap_watts"] == 400
}

impl Short {
    async fn up() -> Self {
        let pair = Pair::up_on(two_machines).await;
        let place = &pair.place;
        let mut bends = Vec::new();
        for name in ["fails-one", "fails-two", "fails-three"] {
            bends.push(submit(place, name, "[flex]\npause = \"1h\"").await);
        }
        let rigid = submit(place, "fails-rigid", "").await;
        // There is no machine for it yet.
        let later = submit_only(place, "fails-later", "").await;
        let are_seen = |power: &Value| power["watts"] == 810;
        until(place, "all jobs are seen", are_seen).await;
        // Of both the lower one counts: three of four stand by the event, two by the cap.
        json_of(place, "power cap here 560").await;
        let event = json_of(place, "power event here --to 400 --for 1h").await;
        until(place, "the event is met", is_met).await;
        for mark in &bends {
            let stands = async || (state_of(mark) == Some('T')).then_some(());
            wait_for("it stands", stands).await;
        }
        let knows = |power: &Value| acts(power).len() == 3;
        pair.other_until("the other one knows", knows).await;
        Self {
            pair,
            bends,
            rigid,
            later,
            event: event["id"].as_u64().unwrap(),
        }
    }

    /// Nobody drives for half a minute: what is drawn that the other one does not see counts there all the while.
    async fn other_drives(&self) {
        let other = &self.pair.other_place;
        wait_for("the other one drives", async || {
            let power = json_of(other, "power status here").await;
            let found = (&power["watts"], &power["over_watts"]);
            assert_eq!(found, (&json!(390), &json!(0)), "{power}");
            sees_run(&power).then_some(())
        })
        .await;
        until(other, "what was in force still is", is_met).await;
        // It has a machine for it, and no power.
        wait_for("it says why the job waits", async || {
            let shown = job_of(other, &self.later.1).await;
            assert_eq!(shown["state"], "pending", "{shown}");
            shown.to_string().contains("power is short").then_some(())
        })
        .await;
    }

    /// The event is over, and the cap is not.
    async fn eased(&self) {
        let other = &self.pair.other_place;
        json_of(other, &format!("power cancel here {}", self.event)).await;
        let is_eased = |power: &Value| acts(power) == ["pause"; 2] && power["watts"] == 530;
        until(other, "one has power again", is_eased).await;
        let goes = async || self.bends.iter().any(|mark| goes_on(mark)).then_some(());
        wait_for("it goes on", goes).await;
        let says_so = |power: &Value| acts(power) == ["pause"; 2];
        until(&self.pair.place, "the first one says so too", says_so).await;
    }

    /// Nothing bounds the site any more.
    async fn over(&self) {
        let other = &self.pair.other_place;
        json_of(other, "power cap here none").await;
        for mark in &self.bends {
            wait_for("all go on", async || goes_on(mark).then_some(())).await;
        }
        let is_over = |power: &Value| acts(power).is_empty();
        check_return(&until(other, "all comes back", is_over).await);
        let begins = async || goes_on(&self.later.0).then_some(());
        wait_for("the one that waited begins", begins).await;
        check_jobs(other, self.bends.len() + 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drives_next_in_an_event_keeps_the_cap_and_lets_each_job_go_on_once_there_is_room() {
    let mut short = Short::up().await;
    let went_on = GoOn::watch(&short.bends);
    short.pair.first.kill().await;
    short.other_drives().await;
    went_on.at_most(0);
    assert!(goes_on(&short.rigid));
    // Back, the first one does with its own machine what the other one says.
    short.pair.first_again().await;
    until(&short.pair.place, "the first one follows", is_met).await;
    went_on.at_most(0);
    short.eased().await;
    went_on.at_most(1);
    assert_eq!(state_of(&short.later.0), None);
    short.over().await;
    assert!(goes_on(&short.rigid));
    short.pair.stop().await;
}

/// Whoever was asked to stand went on one after the other, each so long after the one before as the fleet file has it (`return_ms`).
#[track_caller]
fn check_return(power: &Value) {
    let lines = power["log"].as_array().unwrap();
    let gave = lines.iter().filter(|line| line["deed"] == "gave");
    let at = |line: &Value| line["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let times: Vec<Timestamp> = gave.map(at).collect();
    assert_eq!(times.len(), 3, "{power}");
    let gaps = times.windows(2).map(|pair| pair[1].duration_since(pair[0]));
    let least = gaps.min().unwrap();
    assert!(least.as_millis() >= 500, "{least}: {power}");
}

/// So many jobs there are, each in its first run.
async fn check_jobs(place: &Place, count: usize) {
    let key = place.data().join("operator.key");
    let listed = json_of(place, &format!("job list --key-file {}", key.display())).await;
    let listed = listed["data"].as_array().unwrap();
    assert_eq!(listed.len(), count, "{listed:?}");
    for one in listed {
        let shown = job_of(place, one["id"].as_str().unwrap()).await;
        let runs = shown["runs"].as_array().unwrap();
        let outcomes: Vec<&Value> = runs.iter().map(|run| &run["outcome"]).collect();
        assert_eq!(outcomes, [&Value::Null], "{shown}");
    }
}
