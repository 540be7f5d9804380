//! JSON Web Tokens, good ones and all the ways to be bad.

use super::*;
use crate::access::judge::Target;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::{hmac, rand::SystemRandom, signature as sign};
use serde_json::{Value, json};

const SECRET: [u8; 32] = [9; 32];
const NOW: u64 = 2_000_000_000;

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A token with that header and those claims, signed by HMAC-SHA256 whatever the header says.
fn token_with(header: Value, claims: Value) -> String {
    let text = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims.to_string())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    format!("{text}.{}", encode(hmac::sign(&key, text.as_bytes())))
}

fn token(claims: Value) -> String {
    token_with(json!({ "alg": "HS256", "typ": "JWT" }), claims)
}

fn secret_set() -> String {
    json!({ "keys": [{ "kty": "oct", "k": encode(SECRET) }] }).to_string()
}

fn keys() -> JwtKeys {
    JwtKeys::parse(secret_set().as_bytes(), None, None).unwrap()
}

/// Of the examples in RFC 7515, appendix A: the claims of all, which have expired in 2011.
const EXAMPLE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn the_examples_of_rfc_7515_are_understood() {
    let hs256 = (
        json!({ "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" }),
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
    let rs256 = (
        json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" }),
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    let es256 = (
        json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }),
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    for (key, header, signature) in [hs256, rs256, es256] {
        let set = json!({ "keys": [key] }).to_string();
        let keys = JwtKeys::parse(set.as_bytes(), None, None).unwrap();
        let token = format!("{header}.{EXAMPLE}.{signature}");
        let grant = keys.verify(&token, 1_300_819_380).unwrap();
        assert_eq!(grant.expires, Some(1_300_819_440));
        assert!(grant.scopes.is_empty(), "it names none");
        assert_eq!(keys.verify(&token, NOW), Err(Flaw::Expired));
        let other = token.replace(EXAMPLE, &encode("{\"exp\":9000000000,\"scope\":\"admin\"}"));
        assert_eq!(keys.verify(&other, NOW), Err(Flaw::Unknown));
    }
}

#[test]
fn public_keys_in_pem_are_pinned_to_their_algorithm() {
    let random = SystemRandom::new();
    let claims = encode(json!({ "exp": NOW + 9, "scope": "view" }).to_string());
    let signed = |algorithm: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let header = encode(json!({ "alg": algorithm }).to_string());
        let text = format!("{header}.{claims}");
        let signature = encode(sign(text.as_bytes()));
        format!("{text}.{signature}")
    };
    for (algorithm, kind, signing) in [
        (
            "ES256",
            &rcgen::PKCS_ECDSA_P256_SHA256,
            Some(&sign::ECDSA_P256_SHA256_FIXED_SIGNING),
        ),
        (
            "ES384",
            &rcgen::PKCS_ECDSA_P384_SHA384,
            Some(&sign::ECDSA_P384_SHA384_FIXED_SIGNING),
        ),
        ("EdDSA", &rcgen::PKCS_ED25519, None),
    ] {
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        let der = pair.serialize_der();
        let by_pair = |text: &[u8]| match signing {
            Some(signing) => {
                let pair = sign::EcdsaKeyPair::from_pkcs8(signing, &der, &random).unwrap();
                pair.sign(&random, text).unwrap().as_ref().to_vec()
            }
            None => {
                let pair = sign::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
                pair.sign(text).as_ref().to_vec()
            }
        };
        let pem = pair.public_key_pem();
        let keys = JwtKeys::parse(pem.as_bytes(), None, None).unwrap();
        let grant = keys.verify(&signed(algorithm, &by_pair), NOW).unwrap();
        assert!(
            grant.allows(Scope::View, Target::Stream("any"))
                && !grant.allows(Scope::Admin, Target::Daemon)
        );
        // The public key as a shared secret, which everybody has.
        let key = hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes());
        let by_public = |text: &[u8]| hmac::sign(&key, text).as_ref().to_vec();
        let forged = keys.verify(&signed("HS256", &by_public), NOW);
        assert_eq!(forged, Err(Flaw::Algorithm), "{algorithm}");
        let private = JwtKeys::parse(pair.serialize_pem().as_bytes(), None, None);
        assert_eq!(private.unwrap_err(), KeysError::Private);
    }
}

#[test]
fn a_token_without_a_signature_or_by_another_algorithm_is_refused() {
    let claims = json!({ "exp": NOW + 9, "scope": "view" });
    assert!(keys().verify(&token(claims.clone()), NOW).is_ok());
    for (algorithm, flaw) in [
        ("none", Flaw::Unknown),
        ("None", Flaw::Unknown),
        ("HS384", Flaw::Algorithm),
        ("RS256", Flaw::Algorithm),
    ] {
        let token = token_with(json!({ "alg": algorithm }), claims.clone());
        assert_eq!(keys().verify(&token, NOW), Err(flaw), "{algorithm}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert!(keys().verify(&format!("{unsigned}."), NOW).is_err());
        assert!(keys().verify(unsigned, NOW).is_err());
    }
    let critical = token_with(
        json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
        claims,
    );
    assert_eq!(keys().verify(&critical, NOW), Err(Flaw::Claims));
}

#[test]
fn times_are_checked_with_a_minute_to_spare() {
    let verify = |claims| keys().verify(&token(claims), NOW).map(|_| ());
    assert_eq!(verify(json!({ "exp": NOW - 59 })), Ok(()));
    assert_eq!(verify(json!({ "exp": NOW - 60 })), Err(Flaw::Expired));
    assert_eq!(verify(json!({ "exp": 0 })), Err(Flaw::Expired));
    assert_eq!(verify(json!({ "exp": 1e18 })), Ok(()));
    assert_eq!(verify(json!({ "exp": NOW + 9, "nbf": NOW + 60 })), Ok(()));
    assert_eq!(
        verify(json!({ "exp": NOW + 9, "nbf": NOW + 61 })),
        Err(Flaw::NotYet)
    );
    for bad in [
        json!({}),
        json!({ "exp": "9000000000" }),
        json!({ "exp": null }),
        json!({ "exp": NOW + 9, "nbf": "0" }),
        json!({ "exp": NOW + 9, "stream": 1 }),
        json!({ "exp": NOW + 9, "scope": "view", "stream": null }),
        json!({ "exp": NOW + 9, "scope": null }),
        json!({ "exp": NOW + 9, "nbf": null }),
        json!([]),
    ] {
        assert_eq!(verify(bad.clone()), Err(Flaw::Claims), "{bad}");
    }
}

#[test]
fn scopes_and_streams_are_what_the_claims_say() {
    let grant = |mut claims: Value| {
        claims["exp"] = json!(NOW + 9);
        keys().verify(&token(claims), NOW).unwrap()
    };
    let one = grant(json!({ "scope": "openid view email", "stream": "cam" }));
    assert!(one.allows(Scope::View, Target::Stream("cam")));
    assert!(
        !one.allows(Scope::View, Target::Stream("door"))
            && !one.allows(Scope::View, Target::Daemon)
    );
    assert!(!one.allows(Scope::Talk, Target::Stream("cam")));
    let many = grant(json!({ "scope": ["view", "talk"], "stream": ["cam", "door"] }));
    assert!(
        many.allows(Scope::Talk, Target::Stream("door"))
            && !many.allows(Scope::Talk, Target::Stream("attic"))
    );
    assert!(grant(json!({ "scope": "admin" })).allows(Scope::Admin, Target::Daemon));
    assert!(!grant(json!({ "scope": "viewer" })).allows(Scope::View, Target::Stream("cam")));
    assert!(
        !grant(json!({ "scope": "view", "stream": [] })).allows(Scope::View, Target::Stream("cam"))
    );
}

#[test]
fn audience_and_issuer_must_be_those_that_are_configured() {
    let verify = |audience, issuer, claims: Value| {
        let keys = JwtKeys::parse(secret_set().as_bytes(), audience, issuer).unwrap();
        let mut claims = claims;
        claims["exp"] = json!(NOW + 9);
        keys.verify(&token(claims), NOW).map(|_| ())
    };
    let both = json!({ "aud": ["x", "cam"], "iss": "me" });
    assert_eq!(verify(Some("cam"), Some("me"), both.clone()), Ok(()));
    assert_eq!(
        verify(Some("door"), Some("me"), both.clone()),
        Err(Flaw::Claims)
    );
    assert_eq!(
        verify(Some("cam"), Some("you"), both.clone()),
        Err(Flaw::Claims)
    );
    assert_eq!(verify(Some("cam"), None, json!({})), Err(Flaw::Claims));
    assert_eq!(verify(None, Some("me"), json!({})), Err(Flaw::Claims));
    // A token for somebody else (RFC 7519, 4.1.3).
    assert_eq!(verify(None, None, both), Err(Flaw::Claims));
}

#[test]
fn the_key_that_a_token_names_is_taken() {
    let set = json!({ "keys": [
        { "kty": "oct", "kid": "old", "k": encode([1; 32]) },
        { "kty": "oct", "kid": "new", "k": encode(SECRET) },
        { "kty": "RSA", "use": "enc", "kid": "other", "n": "AQAB", "e": "AQAB" },
        { "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" },
        { "kty": "unheard-of" },
    ] });
    let keys = JwtKeys::parse(set.to_string().as_bytes(), None, None).unwrap();
    let named = |kid: Option<&str>| {
        let mut header = json!({ "alg": "HS256" });
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        keys.verify(&token_with(header, json!({ "exp": NOW + 9 })), NOW)
            .map(|_| ())
    };
    assert_eq!(named(Some("new")), Ok(()));
    assert_eq!(named(None), Ok(()));
    assert_eq!(named(Some("old")), Err(Flaw::Unknown));
    assert_eq!(named(Some("../../etc/passwd")), Err(Flaw::Unknown));
}

#[test]
fn a_bad_key_file_is_answered_with_the_cure() {
    let told = |file: &str| JwtKeys::parse(file.as_bytes(), None, None).unwrap_err();
    assert_eq!(told("{ \"keys\": [] }"), KeysError::None);
    let short = json!({ "keys": [{ "kty": "oct", "k": encode([1; 31]) }] });
    assert_eq!(told(&short.to_string()), KeysError::Short);
    let mismatch = json!({ "keys": [{ "kty": "oct", "alg": "RS256", "k": encode(SECRET) }] });
    assert_eq!(told(&mismatch.to_string()), KeysError::None);
    let many = vec![json!({ "kty": "oct", "k": encode(SECRET) }); MOST + 1];
    assert_eq!(
        told(&json!({ "keys": many }).to_string()),
        KeysError::TooMany
    );
    for text in ["", "{", "ssh-ed25519 AAAA", "{\"keys\":1}"] {
        assert!(matches!(told(text), KeysError::Malformed(_)), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in "\\PC{0,60}(\\.[a-zA-Z0-9_-]{0,40}){0,3}") {
        prop_assert!(keys().verify(&text, NOW).is_err());
    }

    #[test]
    fn a_token_that_was_changed_is_refused(at: prop::sample::Index, put in "[A-Za-z0-9._-]") {
        let token = token(json!({ "exp": NOW + 9, "scope": "view" }));
        let at = at.index(token.len());
        let changed = format!("{}{put}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert!(keys().verify(&changed, NOW).is_err());
    }
}
