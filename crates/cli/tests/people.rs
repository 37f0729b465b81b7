//! Projects, roles and keys with bounds, by the commands and by what the server then does.

mod harness;

use harness::{Madang, Place, chat_body};
use madang_testkit::{FakeEngine, http_post_json};
use serde_json::Value;

/// A running server with the tenant `acme` of the programme `ours`, and its admin's key in `admin.key`.
struct World {
    place: Place,
    madang: Madang,
    _engine: FakeEngine,
}

impl World {
    async fn start() -> Self {
        let place = Place::new();
        let engine = place.start_engine().await;
        let madang = place.up_with(&[]).await;
        let world = Self {
            place,
            madang,
            _engine: engine,
        };
        world.json("programme create ours").await;
        world.json("tenant create acme --programme ours").await;
        let admin = "key create --tenant acme --role tenant_admin";
        let key = text(&world.json(admin).await, "key");
        world.place.write("admin.key", key);
        world
    }

    async fn json(&self, command: &str) -> Value {
        let words: Vec<&str> = command.split(' ').collect();
        self.place.json(&words).await
    }

    /// What the command prints where it ends with this code.
    async fn run(&self, command: &str, code: i32) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        self.place.run(&words).await.expect_code(code).out
    }

    /// Status and code of a request with a key.
    async fn ask(&self, path: &str, key: &str) -> (u16, String) {
        let url = self.madang.at(path);
        let answer = http_post_json(&url, Some(key), chat_body("hi", 8, false)).await;
        let answer = answer.expect("the server answers");
        let json = answer.json().expect("with JSON");
        (answer.status, text(&json["error"], "code"))
    }
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap_or_default().to_owned()
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

const CHAT: &str = "/v1/chat/completions";
const BOUNDED: &str = "key create --role member --project web --models m --endpoints chat,messages --requests-per-min 1 \
    --tokens-per-min 100000 --limit-won 50000 --key-file admin.key";

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_gives_its_projects_keys_with_bounds() {
    let mut world = World::start().await;
    let made = "project create web --label 홈페이지 --key-file admin.key";
    assert_eq!(world.json(made).await["tenant"], "acme");
    let key = world.json(BOUNDED).await;
    assert_eq!(key["limit_micro_won"], 50_000_000_000_u64);
    let key = text(&key, "key");
    let door = refused(403, "endpoint_not_permitted");
    assert_eq!(world.ask("/v1/embeddings", &key).await, door);
    assert_eq!(world.ask(CHAT, &key).await, (200, String::new()));
    let limited = refused(429, "rate_limited");
    assert_eq!(world.ask(CHAT, &key).await, limited);

    let listed = world.run("key list --key-file admin.key", 0).await;
    for shown in [
        "acme/web",
        "m,chat,messages",
        "1 req 100000 tok",
        "50000",
        "tenant_admin",
    ] {
        assert!(listed.contains(shown), "{shown}: {listed}");
    }
    let by_project = "usage --by project --csv --key-file admin.key";
    let usage = world.run(by_project, 0).await;
    assert!(usage.contains("\nacme/web,3,1,"), "{usage}");
    let of_web = world.json("usage --project web --tenant acme").await;
    assert_eq!(of_web["data"][0]["requests"], 3);

    let disable = "project disable web --tenant acme --key-file admin.key";
    world.run(disable, 0).await;
    let revoked = refused(401, "key_revoked");
    assert_eq!(world.ask(CHAT, &key).await, revoked);
    let projects = world.run("project list --tenant acme", 0).await;
    assert!(projects.contains("홈페이지"), "{projects}");
    assert_eq!(world.madang.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_admins_or_is_not_there_is_refused() {
    let world = World::start().await;
    for command in [
        "tenant create other",
        "key create --role operator",
        "key create --tenant demo",
        "key create --role programme_manager --programme ours",
        "key create --role member --models n",
        "project disable app --tenant acme",
        "usage --tenant demo",
    ] {
        let command = format!("{command} --key-file admin.key");
        world.run(&command, 1).await;
    }
    for command in [
        "key create",
        "key create --role root",
        "key create --operator --role member",
        "key create --tenant acme --endpoints images",
        "key create --tenant acme --limit-won -1",
        "project disable web",
    ] {
        world.run(command, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_programme_grants_in_tranches_on_its_terms() {
    let mut world = World::start().await;
    world.json("budget set ours --won 1000").await;
    let granted = "allocation create acme-1 --tenant acme --won 1000 --until 2100-01-01T00:00:00+09:00 \
        --tranche 2026-01-01T00:00:00+09:00=250.5 --tranche 2099-01-01T00:00:00+09:00=749.5";
    let granted = granted.split_whitespace().collect::<Vec<_>>().join(" ");
    let row = world.json(&granted).await;
    assert_eq!(row["unreleased"], 749_500_000);
    let listed = world.run("allocation list", 0).await;
    for shown in ["1000 won", "749.5 won", "2098-12-31"] {
        assert!(listed.contains(shown), "{shown}: {listed}");
    }
    world
        .run("project create web --tenant acme --limit-won 50", 0)
        .await;
    let raised = world
        .json("project set web --tenant acme --limit-won 80")
        .await;
    assert_eq!(raised["limit_micro_won"], 80_000_000);
    assert!(world.run("project list", 0).await.contains("80"));
    let terms = "programme set ours --until 2026-01-02T00:00:00+09:00 --eligibility 7년 --residency-floor domestic_private";
    assert_eq!(
        world.json(terms).await["residency_floor"],
        "domestic_private"
    );
    let listed = world.run("programme list", 0).await;
    assert!(
        listed.contains("7년") && listed.contains("domestic_private"),
        "{listed}"
    );
    let key = text(&world.json("key create --tenant acme").await, "key");
    let closed = refused(403, "programme_closed");
    assert_eq!(world.ask(CHAT, &key).await, closed);
    for (command, code) in [
        ("project set web --tenant acme --limit-won 79", 1),
        ("programme set ours --from 2030-01-01T00:00:00Z", 1),
        (
            "allocation create b --tenant acme --won 1 --until 2100-01-01T00:00:00Z",
            1,
        ),
        (
            "allocation create b --tenant acme --won 1 --until 2026-01-01T00:00:00Z --tranche soon",
            1,
        ),
        ("project set web --tenant acme --limit-won 0", 2),
        ("programme set ours --residency-floor moon", 2),
    ] {
        world.run(command, code).await;
    }
    assert_eq!(world.madang.stop().await, 0);
}
