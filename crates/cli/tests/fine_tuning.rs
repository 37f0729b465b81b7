//! Fine-tuning jobs through kill -9: the job goes on, each event is told once, what it made is there; others do not see it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::fleet::{HEAD, url_replica};
use harness::{Madang, Place, wait_for};
use http::Method;
use madang_testkit::{FakeEngine, FakeEngineOptions, HttpAnswer};
use serde_json::{Value, json};

const TEMPLATE: &str = r#"
[[nodes]]
id = "here"
site = "here"
accelerator = "cpu"
per_node = 1
count = 1
jobs = { executor = "local" }

[[fine_tuning]]
id = "shell"
models = ["tiny"]
results = ["model.txt"]
hyperparameter = [{ name = "n_epochs", default = 2, min = 1, max = 9, whole = true }]
command = ["sh", "-c", '''
mkdir -p "$1"
step() {
    echo "{\"event\":\"metrics\",\"step\":$1,\"train_loss\":0.$((9 - $1)),\"trained_tokens\":${1}0}"
    echo "{\"event\":\"checkpoint\",\"step\":$1,\"path\":\"$1\"}"
}
step 1
echo '{"event":"metrics",'
echo "begun $(wc -l <"$2") $3 $4"
while ! test -e go; do sleep 0.05; done
step 2
echo "weights of $3" >"$1/model.txt"
printf '{"event":"message","message":"done"}'
''', "train", "{output_dir}", "{training_file}", "{model}", "{n_epochs}"]

[[fine_tuning]]
id = "boxed"
models = ["boxed"]
image = "registry.example.kr/tune:3"
command = ["true"]
"#;

const LINE: &str =
    r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#;

async fn up() -> (Place, Madang, FakeEngine) {
    let place = Place::new();
    let engine = FakeEngine::start(FakeEngineOptions::default()).await;
    place.write(
        "fleet.toml",
        HEAD.to_owned() + TEMPLATE + &url_replica("a", engine.url()),
    );
    let madang = place.up_with(&[]).await;
    (place, madang, engine)
}

async fn get(madang: &Madang, path: &str) -> Value {
    let path = format!("/v1/fine_tuning/jobs{path}");
    let answer = madang
        .call(&madang.key, (Method::GET, &path), ("", String::new()))
        .await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json().unwrap()
}

async fn post(madang: &Madang, path: &str, body: Value) -> HttpAnswer {
    let path = format!("/v1/fine_tuning/jobs{path}");
    let body = ("application/json", body.to_string());
    madang.call(&madang.key, (Method::POST, &path), body).await
}

async fn begin(madang: &Madang) -> String {
    let file = madang
        .upload("fine-tune", &format!("{LINE}\n{LINE}\n"))
        .await;
    let asked = json!({"model": "tiny", "training_file": file, "suffix": "one", "seed": 7,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}});
    let made = post(madang, "", asked).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json().unwrap();
    assert_eq!(made["hyperparameters"], json!({"n_epochs": 3}));
    made["id"].as_str().unwrap().to_owned()
}

async fn until(madang: &Madang, id: &str, status: &str) -> Value {
    wait_for(&format!("{id} is {status}"), async || {
        let found = get(madang, &format!("/{id}")).await;
        (found["status"] == status).then_some(found)
    })
    .await
}

/// Sentences of all events, oldest first, by pages of three.
async fn told(madang: &Madang, id: &str) -> Vec<String> {
    let (mut told, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(madang, &format!("/{id}/events?limit=3{after}")).await;
        for event in page["data"].as_array().unwrap() {
            told.push(event["message"].as_str().unwrap().to_owned());
            after = format!("&after={}", event["id"].as_str().unwrap());
        }
        if page["has_more"] == false {
            told.reverse();
            return told;
        }
    }
}

/// Events, checkpoints and results of the job that was killed again and again.
async fn all_is_there(madang: &Madang, done: &Value) {
    let id = done["id"].as_str().unwrap();
    let expected = [
        &format!("Created fine-tuning job: {id}"),
        "Fine-tuning job started",
        "Step 1: train_loss=0.8000, trained_tokens=10.0000",
        "Checkpoint at step 1",
        "A line of progress cannot be read; the job goes on",
        "Step 2: train_loss=0.7000, trained_tokens=20.0000",
        "Checkpoint at step 2",
        "done",
        "The program ended well",
        "The job has successfully completed",
    ];
    assert_eq!(told(madang, id).await, expected);
    assert_eq!(
        (&done["trained_tokens"], &done["error"]),
        (&json!(20), &Value::Null)
    );
    let name = done["fine_tuned_model"].as_str().unwrap();
    assert!(name.starts_with("ft:tiny:demo:one:"), "{name}");
    let checkpoints = get(madang, &format!("/{id}/checkpoints")).await;
    let steps: Vec<&Value> = checkpoints["data"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&steps[0]["step_number"], &steps[1]["step_number"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        steps[0]["fine_tuned_model_checkpoint"],
        format!("{name}:ckpt-step-2")
    );

    let file = done["result_files"][0].as_str().unwrap();
    let content = format!("/v1/files/{file}/content");
    let content = madang
        .call(&madang.key, (Method::GET, &content), ("", String::new()))
        .await;
    assert_eq!(content.text(), "weights of tiny\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn fine_tuning_goes_on_through_kill_9_and_tells_all_once() {
    let (place, mut madang, _engine) = up().await;
    let id = begin(&madang).await;
    let is_first_told = async |madang: &Madang| {
        wait_for("what it printed first is told", async || {
            let told = told(madang, &id).await;
            (told.len() >= 5).then_some(told)
        })
        .await
    };
    let first = is_first_told(&madang).await;
    for _ in 0..2 {
        madang.kill().await;
        madang = place.up_with(&[]).await;
        assert_eq!(is_first_told(&madang).await, first);
    }
    // The last words come while nobody reads.
    madang.kill().await;
    let work = wait_for("the folder of the run", async || {
        let runs = std::fs::read_dir(place.data().join("jobs")).ok()?.flatten();
        runs.map(|entry| entry.path().join("work"))
            .find(|work| work.is_dir())
    })
    .await;
    std::fs::write(work.join("go"), "").unwrap();
    wait_for("it has ended", async || {
        work.join("output/model.txt").exists().then_some(())
    })
    .await;
    madang = place.up_with(&[]).await;
    let done = until(&madang, &id, "succeeded").await;
    all_is_there(&madang, &done).await;
    // It is an ordinary job, of its tenant's.
    let number = done["madang_job"].as_str().unwrap();
    let log = place.run(&["job", "logs", number]).await.expect_code(0);
    assert!(log.out.contains("begun 2 tiny 3\n"), "{}", log.out);
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fine_tuning_is_its_tenants_and_is_cancelled_and_paused() {
    let (place, mut madang, _engine) = up().await;
    let running = begin(&madang).await;
    until(&madang, &running, "running").await;
    let waiting = begin(&madang).await;
    until(&madang, &waiting, "queued").await;
    let refused = post(&madang, &format!("/{running}/pause"), json!({})).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    for (act, status) in [
        ("pause", "paused"),
        ("resume", "queued"),
        ("cancel", "cancelled"),
    ] {
        let done = post(&madang, &format!("/{waiting}/{act}"), json!({})).await;
        assert_eq!(done.status, 200, "{act}: {}", done.text());
        until(&madang, &waiting, status).await;
    }
    let first = get(&madang, "?limit=1").await;
    assert_eq!(
        (&first["data"][0]["id"], &first["has_more"]),
        (&json!(waiting), &json!(true))
    );
    let next = get(&madang, &format!("?limit=1&after={waiting}")).await;
    assert_eq!(
        (&next["data"][0]["id"], &next["has_more"]),
        (&json!(running), &json!(false))
    );

    place.json(&["tenant", "create", "other"]).await;
    let key = place.json(&["key", "create", "--tenant", "other"]).await;
    let key = key["key"].as_str().unwrap();
    let job = format!("/v1/fine_tuning/jobs/{running}");
    for (method, path, expected) in [
        (Method::GET, job.clone(), 404),
        (Method::GET, format!("{job}/events"), 404),
        (Method::GET, format!("{job}/checkpoints"), 404),
        (Method::POST, format!("{job}/cancel"), 404),
        (Method::GET, "/v1/fine_tuning/jobs".to_owned(), 200),
    ] {
        let answer = madang.call(key, (method, &path), ("", String::new())).await;
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
        assert!(!answer.text().contains("madang_job"), "{}", answer.text());
    }
    let cancelled = post(&madang, &format!("/{running}/cancel"), json!({})).await;
    assert_eq!(cancelled.json().unwrap()["status"], "cancelled");
    wait_for("it is taken in", async || {
        let found = get(&madang, &format!("/{running}")).await;
        (!found["finished_at"].is_null()).then_some(())
    })
    .await;
    let again = post(&madang, &format!("/{running}/cancel"), json!({})).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let told = told(&madang, &running).await;
    assert_eq!(told.last().unwrap(), "The job was cancelled");
    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_fine_tuning_is_told_before_there_is_a_job() {
    let (place, mut madang, _engine) = up().await;
    let good = madang.upload("fine-tune", LINE).await;
    let bad = madang
        .upload("fine-tune", &format!("{LINE}\n{{\"prompt\": \"x\"}}\n"))
        .await;
    let check = async |more: Value, (status, code, param, words): (u16, &str, &str, &str)| {
        let mut asked = json!({"model": "tiny", "training_file": good});
        asked
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = post(&madang, "", asked).await;
        let found = answer.json().unwrap()["error"].clone();
        let shown = answer.text();
        assert_eq!(
            (answer.status, &found["code"], &found["param"]),
            (status, &json!(code), &json!(param)),
            "{shown}"
        );
        assert!(
            found["message"].as_str().unwrap().contains(words),
            "{shown}"
        );
    };
    for (field, words) in [
        (
            "training_file",
            "line 2 of the training file: it has no `messages`",
        ),
        (
            "validation_file",
            "line 2 of the validation file: it has no `messages`",
        ),
    ] {
        let unsound = (400, "training_file_invalid", field, words);
        check(json!({field: bad}), unsound).await;
    }
    let none = (404, "not_found", "training_file", "purpose 'fine-tune'");
    check(json!({"training_file": "file-x"}), none).await;
    let unknown = (404, "model_not_found", "model", "these can be: tiny, boxed");
    check(json!({"model": "gpt"}), unknown).await;
    for (more, field, words) in [
        (
            json!({"hyperparameters": {"beta": 1}}),
            "hyperparameters.beta",
            "there are: n_epochs",
        ),
        (
            json!({"hyperparameters": {"n_epochs": 99}}),
            "hyperparameters.n_epochs",
            "from 1 to 9",
        ),
        (json!({"suffix": "a b"}), "suffix", "letters"),
        (
            json!({"method": {"type": "dpo"}}),
            "method.type",
            "supervised",
        ),
    ] {
        check(more, (400, "field_invalid", field, words)).await;
    }
    // No machine runs its template's image.
    let words = "runs no container images";
    let nowhere = (422, "job_impossible", "resources", words);
    check(json!({"model": "boxed"}), nowhere).await;
    assert_eq!(get(&madang, "").await["data"], json!([]));
    let left = std::fs::read_dir(place.data().join("fine-tuning/.new")).unwrap();
    assert_eq!(left.count(), 0, "what was refused leaves nothing");

    assert_eq!(madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_template_it_is_said_so() {
    let (place, mut madang, _engine) = up().await;
    let good = madang.upload("fine-tune", LINE).await;
    let fleet = std::fs::read_to_string(place.path("fleet.toml")).unwrap();
    let without = fleet.split("[[fine_tuning]]").next().unwrap().to_owned();
    let rest = fleet.split("command = [\"true\"]\n").nth(1).unwrap();
    place.write("fleet.toml", without + rest);
    place.run(&["reload"]).await.expect_code(0);
    let asked = json!({"model": "tiny", "training_file": good});
    let answer = post(&madang, "", asked).await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.json().unwrap()["error"]["code"],
        "fine_tuning_unconfigured"
    );
    assert_eq!(madang.stop().await, 0);
}
