//! Tokens that a provider, or somebody in its place, could send. Each is refused, but for those that are right.

use super::provider::{EcKey, Signer, header, hmac_sign, rsa_jwk, rsa_sign};
use super::{World, hanbit, refused};
use crate::bench::Answer;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm::{ES256, HS256, PS256, RS256, RS384};
use serde_json::{Value, json};
use std::sync::Arc;

/// A change of the claims that would be right.
fn with(claims: Value, changes: Value) -> Value {
    let mut all = claims;
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => all.as_object_mut().unwrap().remove(name),
            value => all
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    all
}

/// Refused with this in its words; nothing where it is let in.
fn check(answer: &Answer, told: &str, what: &str) {
    if told.is_empty() {
        assert_eq!(answer.status, 303, "{what}: {}", answer.text);
    } else {
        assert_eq!(refused(answer), (401, "sign_in_invalid"), "{what}");
        assert!(answer.text.contains(told), "{what}: {}", answer.text);
    }
}

fn now_plus(seconds: i64) -> i64 {
    madang_gateway::clock::now().0 / 1_000_000 + seconds
}

#[tokio::test]
async fn what_a_token_says_is_held_against_what_was_asked() {
    let world = World::start().await;
    let key = Arc::new(EcKey::generate());
    world
        .provider
        .set(|script| script.keys = vec![key.jwk("first")]);
    let issuer = world.provider.issuer.clone();
    for (changes, told) in [
        (json!({}), ""),
        (json!({"aud": ["madang"]}), ""),
        (json!({"aud": ["madang", "other"], "azp": "madang"}), ""),
        (json!({"exp": now_plus(-30)}), ""),
        (json!({"iat": now_plus(30)}), ""),
        (json!({"nonce": "other"}), "not the answer"),
        (json!({"nonce": ""}), "not the answer"),
        (json!({"nonce": null}), "not the answer"),
        (json!({"aud": "other"}), "somebody else"),
        (json!({"aud": []}), "somebody else"),
        (json!({"aud": null}), "no signed token"),
        (json!({"aud": ["madang", "other"]}), "somebody else"),
        (
            json!({"aud": ["madang", "other"], "azp": "other"}),
            "somebody else",
        ),
        (json!({"azp": "other"}), "somebody else"),
        (json!({"iss": "https://evil.example"}), "this provider"),
        (json!({"iss": format!("{issuer}/")}), "this provider"),
        (json!({"iss": null}), "no signed token"),
        (json!({"exp": now_plus(-90)}), "expired"),
        (json!({"exp": null}), "no signed token"),
        (json!({"exp": "never"}), "no signed token"),
        (json!({"iat": now_plus(-900)}), "this time"),
        (json!({"iat": now_plus(300)}), "this time"),
        (json!({"iat": null}), "no signed token"),
        (json!({"nbf": now_plus(300)}), "this time"),
        (json!({"sub": ""}), "names nobody"),
        (json!({"sub": null}), "no signed token"),
        (json!({"sub": 7}), "no signed token"),
        (json!({"sub": "a\nb"}), "names nobody"),
        (json!({"sub": "a".repeat(256)}), "names nobody"),
    ] {
        let (signing, changed) = (Arc::clone(&key), changes.clone());
        world.provider.set(move |script| {
            script.signer = Box::new(move |claims| {
                signing.sign(
                    &header(ES256, Some("first")),
                    &with(claims, changed.clone()),
                )
            });
        });
        let answer = world.sign_in(hanbit()).await;
        check(&answer, told, &changes.to_string());
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with no signature at all.
fn unsigned(algorithm: &str, claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": algorithm, "kid": "rsa"});
    format!("{}.{}.", encoded(&header), encoded(claims))
}

/// Signed, and then made to say something else.
fn altered(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let claims = with(claims, json!({"groups": ["ops"]}));
    format!("{}.{}.{}", parts[0], encoded(&claims), parts[2])
}

/// Tokens that one of two pairs of keys signs, or something else; the first pair is the provider's.
fn signers([ours, theirs]: &[Arc<EcKey>; 2]) -> Vec<(&'static str, Signer, &'static str)> {
    let (malformed, algorithm) = ("no signed token", "not signed with");
    let (unknown, signature) = ("does not publish", "not the provider's");
    let ec = |key: &Arc<EcKey>, id: Option<&'static str>| -> Signer {
        let key = Arc::clone(key);
        Box::new(move |claims| key.sign(&header(ES256, id), &claims))
    };
    let rsa = |algorithm, id| -> Signer {
        Box::new(move |claims| rsa_sign(&header(algorithm, Some(id)), &claims))
    };
    let hmac =
        |id| -> Signer { Box::new(move |claims| hmac_sign(&header(HS256, Some(id)), &claims)) };
    let none = |name| -> Signer { Box::new(move |claims| unsigned(name, &claims)) };
    let as_told = ec(ours, Some("ec"));
    vec![
        ("ES256", ec(ours, Some("ec")), ""),
        ("RS256", rsa(RS256, "rsa"), ""),
        ("none", none("none"), malformed),
        ("None", none("None"), malformed),
        ("RS256 without a signature", none("RS256"), signature),
        ("HS256 with the public key", hmac("rsa"), algorithm),
        ("HS256 with a published secret", hmac("shared"), algorithm),
        ("RS384", rsa(RS384, "rsa"), algorithm),
        ("PS256", rsa(PS256, "rsa"), algorithm),
        (
            "RS256 by the id of the other key",
            rsa(RS256, "ec"),
            algorithm,
        ),
        (
            "another's key under our id",
            ec(theirs, Some("ec")),
            signature,
        ),
        (
            "another's key under its own id",
            ec(theirs, Some("theirs")),
            unknown,
        ),
        (
            "a key that is not for signing",
            ec(ours, Some("enc")),
            unknown,
        ),
        ("no id where there are several", ec(ours, None), unknown),
        (
            "altered",
            Box::new(move |claims| altered(&as_told(claims))),
            signature,
        ),
        (
            "two parts",
            Box::new(|claims| format!("{}.x", encoded(&claims))),
            malformed,
        ),
        ("nothing", Box::new(|_| String::new()), malformed),
        ("garbage", Box::new(|_| "a.b.c".into()), malformed),
        ("endless", Box::new(|_| "a".repeat(100_000)), malformed),
    ]
}

#[tokio::test]
async fn only_what_the_provider_has_signed_is_believed() {
    let world = World::start().await;
    let pairs = [(); 2].map(|()| Arc::new(EcKey::generate()));
    let keys = vec![
        json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}),
        json!({"kty": "new", "kid": "unknown"}),
        with(pairs[0].jwk("enc"), json!({"use": "enc"})),
        pairs[0].jwk("ec"),
        rsa_jwk("rsa"),
    ];
    world.provider.set(|script| script.keys = keys);
    for (what, signer, told) in signers(&pairs) {
        world.provider.set(|script| script.signer = signer);
        let answer = world.sign_in(hanbit()).await;
        check(&answer, told, what);
    }
}

#[tokio::test]
async fn keys_are_changed_and_not_asked_for_endlessly() {
    let world = World::start().await;
    world.signed_in(hanbit()).await;
    world.signed_in(hanbit()).await;
    assert_eq!(world.provider.asked_count("/keys"), 1, "kept");
    let rotate = |id: &'static str| {
        let key = EcKey::generate();
        world.provider.set(|script| {
            script.keys = vec![key.jwk(id)];
            script.signer = Box::new(move |claims| key.sign(&header(ES256, Some(id)), &claims));
        });
    };
    rotate("second");
    world.signed_in(hanbit()).await;
    assert_eq!(world.provider.asked_count("/keys"), 2);
    rotate("third");
    for _ in 0..3 {
        let answer = world.sign_in(hanbit()).await;
        assert_eq!(refused(&answer), (401, "sign_in_invalid"));
    }
    assert_eq!(
        world.provider.asked_count("/keys"),
        2,
        "a minute has not gone by"
    );
}

#[tokio::test]
async fn keys_that_cannot_be_read_anew_are_not_asked_for_endlessly_either() {
    let world = World::start().await;
    world.signed_in(hanbit()).await;
    let key = EcKey::generate();
    world.provider.set(|script| {
        script.signer = Box::new(move |claims| key.sign(&header(ES256, Some("second")), &claims));
        script.answers.insert("/keys", (503, String::new()));
    });
    let answer = world.sign_in(hanbit()).await;
    assert_eq!(refused(&answer), (503, "sign_in_unavailable"));
    for _ in 0..3 {
        let answer = world.sign_in(hanbit()).await;
        assert_eq!(refused(&answer), (401, "sign_in_invalid"));
    }
    let asked = world.provider.asked_count("/keys");
    assert_eq!(asked, 2, "a minute has not gone by");
}
