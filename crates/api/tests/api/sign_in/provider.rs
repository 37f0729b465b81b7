//! A provider that signs whatever it is told to, and writes down what it was asked.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use madang_gateway::clock;
use madang_gateway::edge::{EdgeOptions, serve};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const RSA: &[u8] = include_bytes!("../testdata/provider.rsa.der");
pub const CLIENT: &str = "madang";
pub const SECRET: &str = "s e+c:ret";

/// A pair of keys for ES256, made anew for each test.
pub struct EcKey {
    pkcs8: Vec<u8>,
    public: Vec<u8>,
}

impl EcKey {
    pub fn generate() -> Self {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let pkcs8 = pkcs8.unwrap().as_ref().to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random);
        let public = pair.unwrap().public_key().as_ref().to_vec();
        Self { pkcs8, public }
    }

    pub fn jwk(&self, id: &str) -> Value {
        let (x, y) = self.public[1..].split_at(32);
        let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id, "x": text(x), "y": text(y)})
    }

    pub fn sign(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(&self.pkcs8)).unwrap()
    }
}

/// The modulus stands behind two short numbers in the key's DER.
fn rsa_modulus() -> &'static [u8] {
    let at = RSA
        .windows(4)
        .position(|bytes| bytes == [0x02, 0x82, 0x01, 0x01]);
    &RSA[at.unwrap() + 5..][..256]
}

pub fn rsa_jwk(id: &str) -> Value {
    let modulus = URL_SAFE_NO_PAD.encode(rsa_modulus());
    json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": modulus, "e": "AQAB"})
}

pub fn rsa_sign(header: &Header, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_rsa_der(RSA)).unwrap()
}

/// The attack that knows a public key and calls it a shared secret.
pub fn hmac_sign(header: &Header, claims: &Value) -> String {
    let secret = EncodingKey::from_secret(rsa_modulus());
    jsonwebtoken::encode(header, claims, &secret).unwrap()
}

pub fn header(algorithm: Algorithm, id: Option<&str>) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    header
}

/// Makes the token of a sign-in, of the claims that would be right.
pub type Signer = Box<dyn Fn(Value) -> String + Send>;

/// What the provider does.
pub struct Script {
    /// Answers other than the right ones, by path.
    pub answers: BTreeMap<&'static str, (u16, String)>,
    pub keys: Vec<Value>,
    pub signer: Signer,
    /// Changes of its configuration.
    pub configuration: Value,
    /// Paths that were asked, with the header `authorization`.
    pub asked: Vec<(String, String)>,
    codes: BTreeMap<String, Approved>,
}

struct Approved {
    query: BTreeMap<String, String>,
    claims: Value,
}

#[derive(Clone)]
pub struct Provider {
    pub issuer: String,
    pub script: Arc<Mutex<Script>>,
}

impl Provider {
    /// Listens, with one key that it signs with by ES256.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = EcKey::generate();
        let script = Script {
            answers: BTreeMap::new(),
            keys: vec![key.jwk("first")],
            signer: Box::new(move |claims| {
                key.sign(&header(Algorithm::ES256, Some("first")), &claims)
            }),
            configuration: json!({}),
            asked: Vec::new(),
            codes: BTreeMap::new(),
        };
        let provider = Self {
            issuer,
            script: Arc::new(Mutex::new(script)),
        };
        let router = Router::new().fallback(answer).with_state(provider.clone());
        let never = std::future::pending::<()>();
        tokio::spawn(serve(listener, router, EdgeOptions::default(), never));
        provider
    }

    pub fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// How often a path was asked.
    pub fn asked_count(&self, path: &str) -> usize {
        let script = self.script.lock().unwrap();
        script
            .asked
            .iter()
            .filter(|(asked, _)| asked == path)
            .count()
    }

    /// A person with these claims signs in at the page where Madang sent the browser: the code that it comes back with.
    pub fn approve(&self, query: BTreeMap<String, String>, claims: Value) -> String {
        let mut script = self.script.lock().unwrap();
        let code = format!("code-{}", script.codes.len());
        script
            .codes
            .insert(code.clone(), Approved { query, claims });
        code
    }

    fn configuration(&self) -> Value {
        let issuer = &self.issuer;
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize?theme=dark"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "userinfo_endpoint": format!("{issuer}/me"),
        });
        let script = self.script.lock().unwrap();
        let changes = script.configuration.as_object().unwrap().clone();
        document.as_object_mut().unwrap().extend(changes);
        document
    }

    /// The token for a code, once: to the client that was named, with the verifier that was promised.
    fn token(&self, form: &BTreeMap<String, String>, authorization: &str) -> Response {
        let refused =
            |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
        let pair = STANDARD.encode("madang:s+e%2Bc%3Aret");
        let by_form = form.get("client_secret").map(String::as_str) == Some(SECRET);
        if authorization != format!("Basic {pair}") && !by_form {
            return refused("invalid_client");
        }
        let mut script = self.script.lock().unwrap();
        let Some(Approved { query, claims }) = script.codes.remove(&form["code"]) else {
            return refused("invalid_grant");
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
        let same = ["client_id", "redirect_uri"]
            .iter()
            .all(|name| form.get(*name) == query.get(*name));
        if !same
            || query["code_challenge"] != challenge
            || form["grant_type"] != "authorization_code"
        {
            return refused("invalid_grant");
        }
        let now = clock::now().0 / 1_000_000;
        let mut all = json!({
            "iss": self.issuer, "aud": CLIENT, "sub": "kim", "nonce": query["nonce"], "iat": now, "exp": now + 300,
        });
        all.as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        let token = (script.signer)(all);
        Json(json!({"access_token": "x", "token_type": "Bearer", "id_token": token}))
            .into_response()
    }
}

async fn answer(State(provider): State<Provider>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let authorization = authorization.unwrap_or_default();
    let other = {
        let mut script = provider.script.lock().unwrap();
        script.asked.push((path.clone(), authorization.clone()));
        script.answers.get(path.as_str()).cloned()
    };
    if let Some((status, text)) = other {
        let place = [("location", format!("{}/elsewhere", provider.issuer))];
        return (StatusCode::from_u16(status).unwrap(), place, text).into_response();
    }
    match path.as_str() {
        "/.well-known/openid-configuration" => Json(provider.configuration()).into_response(),
        "/keys" => {
            let keys = provider.script.lock().unwrap().keys.clone();
            Json(json!({ "keys": keys })).into_response()
        }
        "/token" => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let form = form_urlencoded::parse(&body).into_owned().collect();
            provider.token(&form, &authorization)
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
