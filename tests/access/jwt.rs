//! Tokens of another issuer.

use super::*;
use crate::support::eventually;
use crate::support::scratch::Scratch;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

/// A JWT signed by HMAC-SHA256 with that secret, whatever its header says.
fn jwt(secret: &[u8], algorithm: &str, claims: &Value) -> String {
    let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
    let header = encode(json!({ "alg": algorithm }).to_string());
    let text = format!("{header}.{}", encode(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mac = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
}

#[test]
fn tokens_of_another_issuer_are_checked_in_all_they_say() {
    let set = |secret: &[u8]| {
        json!({ "keys": [{ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) }] }).to_string()
    };
    let (secret, next) = ([7; 32], [8; 32]);
    let scratch = Scratch::new();
    let keys = scratch.write("jwks.json", &set(&secret));
    let config = format!(
        "[auth]\nmode = \"jwt\"\njwt_keys = {keys:?}\njwt_audience = \"cams\"\n{TWO_STREAMS}"
    );
    let daemon = Daemon::configured(&config);
    let claims = json!({ "exp": now() + 60, "aud": "cams", "scope": "view", "stream": "garden" });
    let changed = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        jwt(&secret, "HS256", &claims)
    };
    let good = jwt(&secret, "HS256", &claims);
    for (token, path, status, says) in [
        (&good, "/garden", 200, ""),
        (&good, "/porch", 403, "insufficient_scope"),
        (&good, "/metrics", 403, "insufficient_scope"),
        (
            &changed("scope", json!("admin")),
            "/garden",
            403,
            "insufficient_scope",
        ),
        (
            &changed("scope", json!("admin")),
            "/metrics",
            403,
            "insufficient_scope",
        ),
        (
            &changed("exp", json!(now() - 100)),
            "/garden",
            401,
            "has expired",
        ),
        (
            &changed("nbf", json!(now() + 200)),
            "/garden",
            401,
            "not valid yet",
        ),
        (
            &changed("aud", json!("doors")),
            "/garden",
            401,
            "not meant for this server",
        ),
        (
            &jwt(&secret, "none", &claims),
            "/garden",
            401,
            "invalid_token",
        ),
        (
            &jwt(&secret, "HS512", &claims),
            "/garden",
            401,
            "an algorithm that does not fit",
        ),
        (
            &jwt(&next, "HS256", &claims),
            "/garden",
            401,
            "invalid_token",
        ),
    ] {
        let reply = with(&daemon, path, token);
        assert_eq!(reply.status, status, "{path} {says}");
        assert!(challenge(&reply).contains(says), "{says}: {reply:?}");
    }
    assert_eq!(watch(&daemon, "garden", &good).status, 201);
    let told = command(&daemon.state_dir(), &["share"]).unwrap_err();
    assert!(told.contains("has no token of its own"), "{told}");

    // New keys without a restart; a file that is no use changes nothing.
    let renewed = jwt(&next, "HS256", &claims);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    scratch.write("jwks.json", "half a fi");
    runtime.block_on(eventually("the damage to be noticed", async || {
        assert_eq!(with(&daemon, "/garden", &good).status, 200);
        let log = daemon.log();
        let is_told = log.contains("the old one stays valid");
        is_told.then_some(()).ok_or(log)
    }));
    scratch.write("jwks.json", &set(&next));
    runtime.block_on(eventually("the new key to be known", async || {
        let status = with(&daemon, "/garden", &renewed).status;
        (status == 200).then_some(()).ok_or(status.to_string())
    }));
    assert_ne!(with(&daemon, "/garden", &good).status, 200);
}
