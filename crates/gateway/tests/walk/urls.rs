//! URLs in requests: whose hosts policy permits, what is fetched from them and how, and what never is.

mod host;
mod scene;

use crate::batches;
use crate::harness::{CHAT, code};
use host::Asked;
use madang_core::Refusal;
use madang_gateway::explain::ExplainAsk;
use madang_testkit::{HttpAnswer, eventually};
use madang_types::{DataClass, DataFlags, Endpoint, ModelId, PolicyEffect, SiteId, TenantId};
use scene::scene;
use serde_json::{Value, json};
use std::sync::Arc;

const IMAGE: &str = "data:image/png;base64,UE5H";

fn image(url: &str) -> Value {
    json!([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}])
}

/// It is refused with that code, and the reason holds the words.
fn refused(answer: &HttpAnswer, expected: &str, words: &str) {
    let json = answer.json().unwrap();
    assert_eq!(code(&json), expected, "{json}");
    let status = if expected == "policy_denied" {
        403
    } else {
        400
    };
    assert_eq!(answer.status, status, "{json}");
    assert!(json.to_string().contains(words), "{words}: {json}");
}

#[tokio::test]
async fn engines_get_the_image_and_never_its_url() {
    let scene = scene().await;
    let url = scene.home.url("/사진.png?size=1");
    for model in ["m", "near", "far"] {
        let answer = scene.ask(model, image(&url)).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
    }
    let body = json!({"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": url}}]}]});
    let answer = scene.world.post("/v1/messages", &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let part = |body: &Value, at: usize| body["messages"][0]["content"][at].clone();
    let (text, source) = (
        json!({"type": "image_url", "image_url": {"url": IMAGE}}),
        json!({"type": "base64", "media_type": "image/png", "data": "UE5H"}),
    );
    let near = serde_json::from_slice(&scene.upstreams[0].requests()[0].body).unwrap();
    let far = serde_json::from_slice(&scene.upstreams[1].requests()[0].body).unwrap();
    assert_eq!(part(&near, 1), text);
    assert_eq!(part(&far, 1)["source"], source);
    let sent = scene.sent();
    assert_eq!(sent.len(), 4);
    for body in &sent {
        let body = body.to_string();
        assert!(
            body.contains("UE5H") && !body.contains("127.0.0.1"),
            "{body}"
        );
    }
    // Nothing of the caller's goes along.
    for Asked { head, .. } in scene.home.asked() {
        let names: Vec<&str> = head
            .lines()
            .skip(1)
            .filter_map(|line| Some(line.split_once(':')?.0))
            .collect();
        assert!(
            head.starts_with("GET /%EC%82%AC%EC%A7%84.png?size=1 HTTP/1.1\r\n"),
            "{head}"
        );
        assert_eq!(
            names,
            [
                "accept",
                "accept-encoding",
                "connection",
                "user-agent",
                "host"
            ]
        );
    }
    assert_eq!(scene.asked().len(), 4);
}

/// Invariant 1: a URL's host is a place.
#[tokio::test]
async fn an_explanation_says_what_policy_says_of_each_url() {
    let scene = scene().await;
    let urls = [
        scene.home.url("/a.png"),
        scene.abroad.url("/a.png"),
        "http://example.org/a.png".into(),
        "file:///a.png".into(),
    ];
    let content: Vec<Value> = urls.iter().map(|url| image(url)[1].clone()).collect();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": content}]});
    let explain = |class: DataClass| {
        let ask = ExplainAsk {
            tenant: TenantId::new("demo").unwrap(),
            key: None,
            endpoint: Endpoint::Chat,
            model: ModelId::new("m").unwrap(),
            class: Some(class),
            flags: DataFlags::default(),
            body: Some(body.to_string().into()),
        };
        let explained = scene.world.gateway.explain(ask).unwrap();
        assert_eq!(explained.explanation.refusal, Some(Refusal::PolicyDenied));
        let said = explained.urls.into_iter().map(|url| {
            let named = |id: Option<SiteId>| id.map(|id| id.to_string()).unwrap_or_default();
            let rule = url.policy.rules.first().map(ToString::to_string);
            let effect = url.policy.effect.as_str();
            format!(
                "{} {} {effect} {}",
                named(url.origin),
                named(url.location),
                rule.unwrap_or_default()
            )
        });
        said.collect::<Vec<String>>()
    };
    let unlisted = "  deny unlisted-origin";
    let open = explain(DataClass::Open);
    assert!(open[0].starts_with("pics home allow "), "{open:?}");
    assert!(open[1].starts_with("pics-us there allow "), "{open:?}");
    assert_eq!(open[2..], [unlisted, unlisted]);
    let sensitive = explain(DataClass::Sensitive);
    assert!(
        sensitive[0].starts_with("pics home allow "),
        "{sensitive:?}"
    );
    assert_eq!(
        sensitive[1..],
        ["pics-us there deny default-deny", unlisted, unlisted]
    );
    assert!(scene.asked().is_empty() && scene.sent().is_empty());
}

#[tokio::test]
async fn i01_a_host_is_asked_only_where_policy_permits_and_the_log_says_so_first() {
    let scene = scene().await;
    let sensitive = [("x-madang-data-class", "sensitive")];
    let (here, there) = (scene.home.url("/a.png"), scene.abroad.url("/a.png"));
    assert_eq!(scene.ask("m", image(&there)).await.status, 200);
    assert_eq!(
        scene.ask_as(&sensitive, "m", image(&here)).await.status,
        200
    );
    let both = json!([image(&here)[1], image(&there)[1]]);
    let before = scene.home.asked().len();
    let answer = scene.ask_as(&sensitive, "m", both).await;
    for words in ["default-deny", "name a host where this data class may go"] {
        refused(&answer, "policy_denied", words);
    }
    let answer = scene.ask("m", image("http://example.org/a.png")).await;
    for words in ["unlisted-origin", "list the host as an [[origin]]"] {
        refused(&answer, "policy_denied", words);
    }
    assert_eq!(
        (scene.home.asked().len(), scene.abroad.asked().len()),
        (before, 1)
    );
    scene.stop("country:US").await;
    refused(
        &scene.ask("m", image(&there)).await,
        "policy_denied",
        "stop:country:US",
    );
    assert_eq!(scene.abroad.asked().len(), 1);

    let decisions = scene.decisions().await;
    let visits: Vec<_> = decisions
        .iter()
        .filter(|(_, leaf)| leaf.origin.is_some())
        .collect();
    let told: Vec<_> = visits
        .iter()
        .map(|(_, leaf)| {
            (
                leaf.origin.as_deref().unwrap(),
                leaf.location.as_ref().unwrap().id.as_str(),
                leaf.effect,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("pics-us", "there", PolicyEffect::Allow),
            ("pics", "home", PolicyEffect::Allow)
        ]
    );
    let (at, leaf) = visits[1];
    assert!(*at < scene.home.asked()[0].log_size);
    assert_eq!(leaf.bytes, here.len() as u64);
    let denied: Vec<_> = decisions
        .iter()
        .filter(|(_, leaf)| leaf.effect == PolicyEffect::Deny)
        .collect();
    let rules: Vec<_> = denied
        .iter()
        .map(|(_, leaf)| leaf.rules.join(","))
        .collect();
    assert_eq!(
        rules,
        ["default-deny", "unlisted-origin", "stop:country:US"]
    );
}

/// A stop holds within a second, also for what is being fetched.
#[tokio::test]
async fn i19_a_stop_ends_a_fetch_under_way() {
    let scene = Arc::new(scene().await);
    let asking = Arc::clone(&scene);
    let asking =
        tokio::spawn(async move { asking.ask("m", image(&asking.abroad.url("/silent"))).await });
    assert!(eventually(|| scene.abroad.asked().len() == 1).await);
    scene.stop("site:there").await;
    refused(&asking.await.unwrap(), "policy_denied", "stop:site:there");
    assert!(scene.sent().is_empty());
}

/// Invariant 15: to addresses that were looked at, and to no others.
#[tokio::test]
async fn i15_a_host_whose_name_leads_inside_is_not_connected_to() {
    let scene = scene().await;
    for model in ["m", "near"] {
        let url = format!("http://localhost:{}/a.png", scene.sneaky.port);
        refused(
            &scene.ask(model, image(&url)).await,
            "field_invalid",
            "may not be asked",
        );
    }
    assert!(scene.asked().is_empty() && scene.sent().is_empty());
}

/// CVE-2026-24779: an engine's loader of media fetched what it was told, inside its own network.
#[tokio::test]
async fn cve_2026_24779_no_engine_is_given_a_url() {
    let scene = scene().await;
    let port = scene.abroad.port;
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "http://10.0.0.1/",
        "https://[::1]/",
        &format!("http://127.1:{port}/a.png"),
        &format!("http://2130706433:{port}/"),
        &format!("http://[::ffff:127.0.0.1]:{port}/"),
        &format!("https://127.0.0.1:{port}/a.png"),
        "http://127.0.0.1/a.png",
        "",
    ] {
        for model in ["m", "near", "far"] {
            refused(
                &scene.ask(model, image(url)).await,
                "policy_denied",
                "unlisted-origin",
            );
        }
    }
    let file = json!([{"type": "file", "file": {"file_url": scene.home.url("/a.png")}}]);
    refused(
        &scene.ask("m", file).await,
        "feature_unsupported",
        "send the data itself",
    );
    assert!(scene.asked().is_empty() && scene.sent().is_empty());
}

/// CVE-2026-25960: what was checked was read by one parser, what was fetched by another.
#[tokio::test]
async fn cve_2026_25960_what_is_checked_is_what_is_fetched() {
    let scene = scene().await;
    let (port, evil) = (scene.home.port, scene.sneaky.port);
    for url in [
        format!("http://127.0.0.1:{port}@localhost:{evil}/a.png"),
        format!("http://127.0.0.1:{port}\\@localhost:{evil}/"),
        format!("http:\\\\127.0.0.1:{port}\\a.png"),
        format!("http://localhost:{evil}\\@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}\t/a.png"),
    ] {
        refused(
            &scene.ask("m", image(&url)).await,
            "policy_denied",
            "unlisted-origin",
        );
    }
    // A fragment and a path are no hosts, whatever they look like: it is asked where it was checked.
    let url = scene
        .home
        .url(&format!("//localhost:{evil}/..\\@localhost:{evil}"));
    assert_eq!(scene.ask("m", image(&url)).await.status, 200);
    let url = scene.home.url(&format!("#@localhost:{evil}/"));
    assert_eq!(scene.ask("m", image(&url)).await.status, 200);
    assert_eq!(scene.home.asked().len(), 2);
    assert!(scene.sneaky.asked().is_empty());
    // What others fetch by themselves begins with its origin, letter by letter.
    let tool = |url: &str| {
        json!({"model": "near", "messages": [{"role": "user", "content": "a"}],
        "tools": [{"type": "mcp", "server_label": "t", "server_url": url}]})
    };
    for (url, status) in [
        ("https://tools.example.kr/mcp", 200),
        ("https://tools.example.kr", 200),
        ("https://TOOLS.example.kr/mcp", 403),
        ("https://tools.example.kr:443/mcp", 403),
        ("https://tools.example.kr.evil.org/", 403),
        ("https://evil.org/", 403),
    ] {
        let answer = scene.world.post(CHAT, &tool(url).to_string()).await;
        assert_eq!(answer.status, status, "{url}: {}", answer.text());
    }
    let origins: Vec<_> = scene
        .decisions()
        .await
        .into_iter()
        .filter_map(|(_, leaf)| leaf.origin)
        .collect();
    assert_eq!(origins, ["pics", "pics", "tools", "tools"]);
}

/// CVE-2026-34753: lines of a batch were fetched for on a way of their own. Here is no such way: a line is a request.
#[tokio::test]
async fn cve_2026_34753_there_is_no_other_way_in() {
    let scene = scene().await;
    let line = json!({"custom_id": "1", "method": "POST", "url": CHAT, "body": {"model": "m", "messages": [
        {"role": "user", "content": image(&scene.sneaky.url("/a.png"))}]}}).to_string();
    for path in ["/v1/batches", "/v1/files"] {
        assert_eq!(scene.world.post(path, &line).await.status, 400, "{path}");
    }
    let batch = batches::over(
        &scene.world,
        &batches::begin(&scene.world, &line, &[]).await,
    )
    .await;
    let (_, errors) = batches::both(&scene.world, &batch).await;
    let refused = &errors["1"]["response"];
    assert_eq!(
        refused["body"]["error"]["code"], "policy_denied",
        "{refused}"
    );
    for path in [
        "/v1/chat/completions/batch",
        "/v1/images/edits",
        "/v1/audio/transcriptions",
    ] {
        assert_eq!(scene.world.post(path, &line).await.status, 404, "{path}");
    }
    assert!(scene.asked().is_empty() && scene.sent().is_empty());
}

#[tokio::test]
async fn what_is_no_image_or_too_much_is_refused_while_it_comes() {
    let scene = scene().await;
    for (path, words) in [
        ("/page", "no image"),
        ("/drawing", "no image"),
        ("/packed", "no image"),
        ("/elsewhere", "redirects"),
        ("/gone", "status 404"),
        ("/huge", "fetch_bytes_max"),
        ("/endless", "fetch_bytes_max"),
        ("/broken", "broke off"),
    ] {
        refused(
            &scene.ask("m", image(&scene.home.url(path))).await,
            "field_invalid",
            words,
        );
    }
    let part = image(&scene.home.url("/a.png"))[1].clone();
    let asked = scene.asked().len();
    let many: Value = vec![part.clone(); 5].into();
    refused(
        &scene.ask("m", many).await,
        "field_invalid",
        "fetch_count_max",
    );
    assert_eq!(scene.asked().len(), asked);
    assert!(scene.sent().is_empty());
    // After the last host has failed, ours serves all the same.
    let four: Value = vec![part; 4].into();
    assert_eq!(scene.ask("m", four).await.status, 200);
}

#[tokio::test]
async fn a_slow_host_holds_nothing_for_long() {
    let scene = scene().await;
    let fleet = scene
        .world
        .fleet()
        .replace("fetch_ms_max = 5000", "fetch_ms_max = 50");
    let origin = format!(
        "[[origin]]\nid = \"pics\"\nsite = \"home\"\nurl = \"{}\"\n",
        scene.home.url("")
    );
    scene.world.fleet_apply(&format!("{fleet}\n{origin}"));
    let answer = scene.ask("m", image(&scene.home.url("/silent"))).await;
    refused(&answer, "field_invalid", "fetch_ms_max");
    assert!(scene.sent().is_empty());
}

#[tokio::test]
async fn a_url_with_personal_data_is_not_asked_where_it_must_be_masked() {
    let scene = scene().await;
    for path in ["/010-2345-6789.png", "/010%2D2345%2D6789.png"] {
        // Abroad it may come masked only; at home it may come as it is.
        refused(
            &scene.ask("m", image(&scene.abroad.url(path))).await,
            "policy_denied",
            "a URL that holds some",
        );
    }
    let at_home = scene.home.url("/010-2345-6789.png");
    assert_eq!(scene.ask("m", image(&at_home)).await.status, 200);
    // The upstream gets a masked body, in which the URL would be another one.
    refused(
        &scene.ask("near", image(&at_home)).await,
        "policy_denied",
        "a URL that holds some",
    );
    assert_eq!(
        (scene.home.asked().len(), scene.abroad.asked().len()),
        (1, 0)
    );
    // What is masked beside a URL does not keep the image away.
    let mut content = image(&scene.home.url("/a.png"));
    content[0]["text"] = "전화 010-2345-6789".into();
    assert_eq!(scene.ask("near", content).await.status, 200);
    let body = String::from_utf8(scene.upstreams[0].requests()[0].body.to_vec()).unwrap();
    assert!(body.contains(IMAGE) && !body.contains("2345"), "{body}");
}

#[tokio::test]
async fn an_attempt_elsewhere_fetches_nothing_again() {
    let scene = scene().await;
    scene.world.engines[0].set_behaviour("status:503".parse().unwrap());
    scene.world.engines[1].set_behaviour("status:503".parse().unwrap());
    let answer = scene.ask("m", image(&scene.home.url("/a.png"))).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(scene.sent().len(), 2);
    assert_eq!(scene.asked().len(), 1);
    let decisions = scene.decisions().await;
    let told: Vec<_> = decisions
        .iter()
        .map(|(_, leaf)| (leaf.attempt, leaf.origin.as_deref()))
        .collect();
    assert_eq!(told, [(1, Some("pics")), (1, None), (2, None)]);
}
