use super::*;
use madang_gateway::client::ClientOptions;
use madang_testkit::{PageAnswer, Pages};
use serde_json::json;

#[test]
fn a_secret_goes_over_tls_or_stays_on_this_machine() {
    let check = |url: &str, expected| assert_eq!(keeps_secrets(url), expected, "{url}");
    check("https://id.example.kr/token", true);
    check("http://127.0.0.1:3000/auth/token", true);
    check("http://[::1]:3000/auth/token", true);
    check("http://localhost/auth/token", true);
    check("http://127.0.0.1.example.kr/token", false);
    check("http://localhost@example.kr/token", false);
    check("http://localhost:80@example.kr/token", false);
    check("http://10.0.0.7/token", false);
    check("ftp://127.0.0.1/token", false);
    check("", false);
}

fn page(path: &str, skip: usize) -> String {
    format!("{path}?skip={skip}&limit={PAGE_ROWS}")
}

fn whole(body: &Value) -> PageAnswer {
    PageAnswer::Whole(200, body.to_string())
}

/// A server of pages, and what asks it; with a secret where `id` says who asks.
async fn server(more: Value) -> (Pages, VtnClient, tempfile::TempDir) {
    let pages = Pages::serve().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("vtn.key");
    std::fs::write(&secret, "a secret\n").unwrap();
    let mut row = json!({ "id": "kpx", "site": "here", "url": pages.url("/openadr3") });
    for (key, value) in more.as_object().unwrap() {
        row[key] = value.clone();
    }
    if row.get("client_id").is_some() {
        row["client_secret_file"] = secret.to_str().unwrap().into();
    }
    let row = serde_json::from_value(row).unwrap();
    let client = EngineClient::new(ClientOptions::default()).unwrap();
    (pages, VtnClient::new(row, client), folder)
}

/// A list of so many rows, in pages.
fn rows(pages: &Pages, path: &str, count: usize) {
    let rows: Vec<usize> = (0..count).collect();
    for skip in (0..=count).step_by(PAGE_ROWS) {
        let part = &rows[skip..count.min(skip + PAGE_ROWS)];
        pages.set(&page(path, skip), whole(&json!(part)));
    }
}

const EVENTS: &str = "/openadr3/events";

#[tokio::test]
async fn lists_are_read_to_their_end_and_no_further_than_the_bound() {
    for count in [0, 49, 50, 51, 120] {
        let (pages, mut client, _) = server(json!({})).await;
        rows(&pages, EVENTS, count);
        assert_eq!(client.events().await.unwrap().len(), count);
        assert!(pages.authorizations().iter().all(Option::is_none));
    }
    let (pages, mut client, _) = server(json!({})).await;
    rows(&pages, EVENTS, 2_000);
    let said = client.events().await.unwrap_err();
    assert!(said.0.contains("more than 2000 rows"), "{said}");
}

#[tokio::test]
async fn what_is_no_list_is_said() {
    let check = async |answer: PageAnswer, expected: &str| {
        let (pages, mut client, _) = server(json!({})).await;
        pages.set(&page(EVENTS, 0), answer);
        let said = client.events().await.unwrap_err();
        assert!(said.0.contains(expected), "{said}");
    };
    check(PageAnswer::Whole(200, "[".into()), "no list in JSON").await;
    check(whole(&json!({ "title": "no" })), "no list in JSON").await;
    check(PageAnswer::Whole(503, String::new()), "/events answers 503").await;
    check(PageAnswer::Whole(403, String::new()), "/events answers 403").await;
    check(PageAnswer::Cut("[]".into()), "broke off").await;
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_anew_where_it_is_refused() {
    let (pages, mut client, folder) = server(json!({ "client_id": "pohang" })).await;
    rows(&pages, EVENTS, 60);
    let said = client.events().await.unwrap_err();
    assert_eq!(said.0, "it gives no token: 404");
    let token = |text: &str| {
        whole(&json!({ "access_token": text, "token_type": "Bearer", "expires_in": 3600 }))
    };
    pages.set("/openadr3/auth/token", token("first"));
    assert_eq!(client.events().await.unwrap().len(), 60);
    let shown: Vec<String> = pages.authorizations().into_iter().flatten().collect();
    assert_eq!(shown, ["Bearer first", "Bearer first"]);
    // 3.1 says where tokens are given; that one counts from the next token on.
    pages.set(
        "/openadr3/auth/server",
        whole(&json!({ "tokenURL": pages.url("/id/token") })),
    );
    pages.set("/id/token", token("second"));
    pages.set(&page(EVENTS, 0), PageAnswer::Whole(401, String::new()));
    let said = client.events().await.unwrap_err();
    assert_eq!(said.0, "/events answers 401");
    rows(&pages, EVENTS, 1);
    assert_eq!(client.events().await.unwrap().len(), 1);
    let shown = pages.authorizations().into_iter().flatten();
    assert_eq!(shown.last().as_deref(), Some("Bearer second"));
    // The secret goes nowhere unencrypted, and is none where its file is gone.
    let elsewhere = json!({ "tokenURL": "http://id.example.kr/token" });
    pages.set("/openadr3/auth/server", whole(&elsewhere));
    client.token = None;
    let said = client.events().await.unwrap_err();
    assert!(said.0.contains("unencrypted"), "{said}");
    drop(folder);
    let said = client.events().await.unwrap_err();
    assert!(said.0.contains("cannot be used"), "{said}");
}

#[tokio::test]
async fn programs_are_found_by_their_names() {
    let (pages, mut client, _) = server(json!({ "programs": ["DR-1", "DR-2"] })).await;
    let program =
        |id: &str, name: &str| json!({ "id": id, "programName": name, "objectType": "PROGRAM" });
    let path = page("/openadr3/programs", 0);
    pages.set(
        &path,
        whole(&json!([program("p1", "DR-1"), program("p9", "price"), 7])),
    );
    let said = client.programs().await.unwrap_err();
    assert_eq!(said.0, "it has no program DR-2");
    pages.set(
        &path,
        whole(&json!([program("p1", "DR-1"), program("p2", "DR-2")])),
    );
    let known = client.programs().await.unwrap().unwrap();
    assert_eq!(known.into_keys().collect::<Vec<_>>(), ["p1", "p2"]);
    let (_pages, mut client, _) = server(json!({})).await;
    assert_eq!(client.programs().await, Ok(None));
}
