//! Services run by others: whose key goes where, and over what. A recording upstream stands behind each TLS socket.

use crate::harness::{CHAT, Plan, World, chat, code, testdata, tls_acceptor};
use madang_testkit::{FakeEngine, FakeEngineOptions, Recorded};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const FILE_KEY: &str = "canary-file-5d1e";
/// A variable that whoever runs the tests has set: no test can set one.
const VARIABLE: &str = "CARGO_MANIFEST_DIR";

fn variable() -> String {
    std::env::var(VARIABLE).unwrap()
}

/// An engine that writes down what it gets, behind a socket that speaks TLS as `localhost`.
struct Upstream {
    engine: FakeEngine,
    port: u16,
    front: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.front.abort();
    }
}

impl Upstream {
    async fn start(dialect: &str) -> Self {
        let engine = FakeEngine::start(FakeEngineOptions {
            engine: dialect.into(),
            ..FakeEngineOptions::default()
        })
        .await;
        let acceptor = tls_acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inside = engine.url().trim_start_matches("http://").to_owned();
        let front = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, inside) = (acceptor.clone(), inside.clone());
                tokio::spawn(async move {
                    let mut outer = acceptor.accept(tcp).await?;
                    let mut inner = TcpStream::connect(inside).await?;
                    copy_bidirectional(&mut outer, &mut inner).await
                });
            }
        });
        Self {
            engine,
            port,
            front,
        }
    }

    fn table(&self, id: &str, dialect: &str, key: &str) -> String {
        format!(
            "[[upstream]]\nid = \"{id}\"\ndialect = \"{dialect}\"\nurl = \"https://localhost:{}\"\ncountry = \"US\"\n\
             operator_country = \"US\"\n{key}\nmodels = [{{ id = \"{id}\", upstream_model = \"m\" }}]\n",
            self.port
        )
    }
}

fn seen(requests: &[Recorded]) -> String {
    let one = |request: &Recorded| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        format!("{} {:?} {body}\n", request.path, request.headers)
    };
    requests.iter().map(one).collect()
}

async fn ask(world: &World, model: &str) -> (u16, Value) {
    let answer = world.post(CHAT, &chat(json!({"model": model}))).await;
    (answer.status, answer.json().unwrap())
}

#[tokio::test]
async fn invariant_17_a_key_goes_to_its_own_host_alone_over_verified_tls() {
    let (far, near) = (
        Upstream::start("anthropic").await,
        Upstream::start("openai").await,
    );
    let fleet = |world: &World| {
        std::fs::write(world.folder.path().join("near.key"), FILE_KEY).unwrap();
        let far = far.table("far", "anthropic", &format!("key_env = \"{VARIABLE}\""));
        let near = near.table("near", "openai", "key_file = \"near.key\"");
        format!("{}\n{far}{near}", world.fleet())
    };
    let world = World::start(Plan {
        roots_file: Some(testdata("ca.pem")),
        ..Plan::default()
    })
    .await;
    world.fleet_apply(&fleet(&world));
    for behaviour in [
        "normal",
        "status:400",
        "status:401",
        "status:500",
        "wrong-json",
    ] {
        for engine in [&far.engine, &near.engine, &world.engines[0]] {
            engine.set_behaviour(behaviour.parse().unwrap());
        }
        for model in ["far", "near", "m"] {
            let (status, answer) = ask(&world, model).await;
            assert_eq!(
                status == 200,
                behaviour == "normal",
                "{model} {behaviour} {answer}"
            );
            let text = answer.to_string();
            assert!(
                !text.contains(FILE_KEY) && !text.contains(&variable()),
                "{text}"
            );
        }
    }
    let (far_saw, near_saw) = (seen(&far.engine.requests()), seen(&near.engine.requests()));
    let own_saw = seen(&world.engines[0].requests());
    let first = |upstream: &Upstream| upstream.engine.requests().remove(0).headers;
    assert_eq!(first(&far)["x-api-key"], variable().as_str());
    assert_eq!(
        first(&near)["authorization"],
        format!("Bearer {FILE_KEY}").as_str()
    );
    for (text, foreign) in [
        (&far_saw, vec![FILE_KEY.to_owned(), world.key.clone()]),
        (&near_saw, vec![variable(), world.key.clone()]),
        (
            &own_saw,
            vec![FILE_KEY.to_owned(), variable(), world.key.clone()],
        ),
    ] {
        for canary in foreign {
            assert!(!text.contains(&canary), "{canary} in {text}");
        }
    }

    // Who does not trust the certificate sends nothing.
    let before = far.engine.requests().len();
    let world = World::start(Plan::default()).await;
    world.fleet_apply(&fleet(&world));
    let (status, answer) = ask(&world, "far").await;
    assert_eq!(
        (status, code(&answer)),
        (502, "engine_unreachable"),
        "{answer}"
    );
    assert_eq!(far.engine.requests().len(), before);
}

#[tokio::test]
async fn a_private_authority_counts_for_its_upstream_alone() {
    let [own, other, public] = [
        Upstream::start("openai").await,
        Upstream::start("openai").await,
        Upstream::start("openai").await,
    ];
    let world = World::start(Plan::default()).await;
    let file = |name: &str| format!("ca_file = \"{}\"", testdata(name).display());
    let tables = [
        own.table("own", "openai", &file("ca.pem")),
        // A certificate, but not the one that vouches for the server's.
        other.table("other", "openai", &file("engine.pem")),
        public.table("public", "openai", ""),
    ];
    world.fleet_apply(&format!("{}\n{}", world.fleet(), tables.concat()));
    for (model, expected) in [("own", 200), ("other", 502), ("public", 502), ("own", 200)] {
        let (status, answer) = ask(&world, model).await;
        assert_eq!(status, expected, "{model} {answer}");
    }
    assert_eq!(own.engine.requests().len(), 2);
    assert!(other.engine.requests().is_empty() && public.engine.requests().is_empty());

    // What cannot be used is said at the load, and the fleet stays as it was.
    for (name, expected) in [
        ("absent.pem", "absent.pem"),
        ("engine.key", "no certificate"),
    ] {
        let fleet = format!(
            "{}\n{}",
            world.fleet(),
            own.table("own", "openai", &file(name))
        );
        let parsed = madang_fleet::parse(&fleet, world.folder.path()).unwrap();
        let error = madang_gateway::snapshot::Snapshot::build(Arc::new(parsed.fleet)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("ca_file of 'own'") && text.contains(expected),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_pooled_connection_is_none_of_another_authoritys() {
    let upstream = Upstream::start("openai").await;
    let world = World::start(Plan::default()).await;
    let trusting = |name: &str| {
        let file = format!("ca_file = \"{}\"", testdata(name).display());
        format!(
            "{}\n{}",
            world.fleet(),
            upstream.table("own", "openai", &file)
        )
    };
    world.fleet_apply(&trusting("ca.pem"));
    assert_eq!(ask(&world, "own").await.0, 200);
    world.fleet_apply(&trusting("engine.pem"));
    assert_eq!(ask(&world, "own").await.0, 502);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let spy = FakeEngine::start(FakeEngineOptions::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/v1/chat/completions\r\ncontent-length: 0\r\n\r\n",
        spy.url()
    );
    let redirecting = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut head = [0; 4096];
            if tcp.read(&mut head).await.is_ok() && tcp.write_all(answer.as_bytes()).await.is_ok() {
                tcp.shutdown().await.ok();
            }
        }
    });
    let world = World::start(Plan::default()).await;
    std::fs::write(world.folder.path().join("near.key"), FILE_KEY).unwrap();
    let table = format!(
        "[[upstream]]\nid = \"near\"\ndialect = \"openai\"\nurl = \"{url}\"\ncountry = \"US\"\n\
         operator_country = \"US\"\nkey_file = \"near.key\"\nmodels = [{{ id = \"near\" }}]\n"
    );
    world.fleet_apply(&format!("{}\n{table}", world.fleet()));
    let (status, answer) = ask(&world, "near").await;
    assert_eq!((status, code(&answer)), (502, "engine_failed"));
    assert!(
        answer.to_string().contains("redirects are not followed"),
        "{answer}"
    );
    assert!(spy.requests().is_empty());
    redirecting.abort();
}

#[tokio::test]
async fn a_key_that_cannot_be_had_is_told_without_its_text() {
    let world = World::start(Plan::default()).await;
    for (key, expected) in [
        (
            "key_env = \"MADANG_NO_SUCH_VARIABLE\"",
            "$MADANG_NO_SUCH_VARIABLE cannot be used: it is not set",
        ),
        ("key_file = \"empty.key\"", "it is empty"),
        (
            "key_file = \"broken.key\"",
            "characters that no header may carry",
        ),
        ("key_file = \"absent.key\"", "absent.key"),
    ] {
        std::fs::write(world.folder.path().join("empty.key"), "\n").unwrap();
        std::fs::write(
            world.folder.path().join("broken.key"),
            format!("{FILE_KEY}\nmore"),
        )
        .unwrap();
        let fleet = format!(
            "[[upstream]]\nid = \"u\"\ndialect = \"openai\"\nurl = \"https://localhost\"\n{key}\nmodels = [{{ id = \"g\" }}]\n"
        );
        let parsed = madang_fleet::parse(&fleet, world.folder.path()).unwrap();
        let error = madang_gateway::snapshot::Snapshot::build(Arc::new(parsed.fleet)).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains(expected) && !text.contains(FILE_KEY),
            "{text}"
        );
    }
}
