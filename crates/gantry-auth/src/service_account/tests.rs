use super::*;
use p256::SecretKey;
use p256::pkcs8::{EncodePrivateKey, LineEnding};

const NOW: i64 = 1_800_000_000;

fn key(seed: u8) -> String {
    let secret = SecretKey::from_slice(&[seed; 32]).unwrap();
    secret.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

pub(super) fn tokens(signing: u8, others: &[u8]) -> Tokens {
    let others: Vec<String> = others.iter().map(|s| key(*s)).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    Tokens::new("https://issuer", Keys::from_pem(&key(signing), &others).unwrap())
}

fn claims() -> Claims {
    Claims {
        aud: vec!["api".into(), "vault".into()],
        exp: NOW + 3600,
        iat: NOW,
        nbf: NOW,
        jti: "j".into(),
        sub: user_name("ns", "bot"),
        kubernetes: Private {
            namespace: "ns".into(),
            serviceaccount: Reference {
                name: "bot".into(),
                uid: "1".into(),
            },
            ..Private::default()
        },
        ..Claims::default()
    }
}

fn reference(name: &str, uid: &str) -> Option<Reference> {
    Some(Reference {
        name: name.into(),
        uid: uid.into(),
    })
}

#[test]
fn tokens_are_believed_as_long_as_they_should() {
    let ours = tokens(1, &[]);
    let token = ours.sign(claims()).unwrap();
    let broken = format!("{}AAAA", &token[..token.len() - 4]);
    let unsigned = format!("{}.", &token[..token.rfind('.').unwrap()]);
    let other_issuer = Tokens::new("https://other", Keys::from_pem(&key(1), &[]).unwrap());
    let cases = [
        ("good", &ours, token.as_str(), "api", 0, None),
        ("at its end", &ours, &token, "api", 3660, None),
        (
            "after its end",
            &ours,
            &token,
            "api",
            3661,
            Some(TokenError::Expired),
        ),
        ("a little early", &ours, &token, "api", -60, None),
        ("early", &ours, &token, "api", -61, Some(TokenError::NotYet)),
        (
            "another audience",
            &ours,
            &token,
            "web",
            0,
            Some(TokenError::Audience(claims().aud, vec!["web".into()])),
        ),
        (
            "another key",
            &tokens(2, &[]),
            &token,
            "api",
            0,
            Some(TokenError::UnknownKey),
        ),
        ("a key that came before", &tokens(2, &[1]), &token, "api", 0, None),
        (
            "another issuer",
            &other_issuer,
            &token,
            "api",
            0,
            Some(TokenError::NotOurs),
        ),
        ("broken", &ours, &broken, "api", 0, Some(TokenError::Signature)),
        (
            "unsigned",
            &ours,
            &unsigned,
            "api",
            0,
            Some(TokenError::Signature),
        ),
        ("not a token", &ours, "abc", "api", 0, Some(TokenError::NotOurs)),
    ];
    for (what, tokens, token, audience, after, error) in cases {
        let found = tokens.verify(token, &[audience.to_owned()], NOW + after);
        assert_eq!(found.as_ref().err(), error.as_ref(), "{what}");
        if let Ok((found, audiences)) = found {
            assert_eq!(audiences, ["api"], "{what}");
            assert_eq!(found.sub, "system:serviceaccount:ns:bot", "{what}");
        }
    }
}

#[test]
fn other_algorithms_are_refused() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    let mut forged = claims();
    forged.iss = "https://issuer".into();
    // The classic confusion: a public key used as an HMAC secret.
    let token = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &forged,
        &EncodingKey::from_secret(b"x"),
    )
    .unwrap();
    let found = tokens(1, &[]).verify(&token, &["api".into()], NOW);
    assert_eq!(found.err(), Some(TokenError::Signature));
}

#[test]
fn claims_become_users() {
    let mut claims = claims();
    claims.kubernetes.pod = reference("p", "2");
    claims.kubernetes.node = reference("n", "3");
    let user = claims.user();
    assert_eq!(user.uid, "1");
    assert_eq!(
        user.groups,
        [
            "system:serviceaccounts",
            "system:serviceaccounts:ns",
            "system:authenticated"
        ]
    );
    let extra: Vec<String> = user
        .extra
        .iter()
        .map(|(k, v)| format!("{k}={}", v.join(",")))
        .collect();
    let prefix = "authentication.kubernetes.io";
    let expected = [
        "credential-id=JTI=j",
        "node-name=n",
        "node-uid=3",
        "pod-name=p",
        "pod-uid=2",
    ];
    assert_eq!(extra, expected.map(|e| format!("{prefix}/{e}")));
}

#[test]
fn bindings_must_still_stand() {
    let resources = |pod, secret, node| {
        let mut claims = claims();
        claims.kubernetes.pod = pod;
        claims.kubernetes.secret = secret;
        claims.kubernetes.node = node;
        claims.bindings().iter().map(|b| b.resource).collect::<Vec<_>>()
    };
    let some = || reference("x", "9");
    assert_eq!(resources(None, None, None), ["serviceaccounts"]);
    assert_eq!(resources(some(), None, some()), ["serviceaccounts", "pods"]);
    assert_eq!(resources(None, some(), None), ["serviceaccounts", "secrets"]);
    assert_eq!(resources(None, None, some()), ["serviceaccounts", "nodes"]);

    let claims = claims();
    let check = |found: Option<Value>, error: Option<&str>| {
        let result = claims.bindings()[0].check(found.as_ref(), |at| at < "2026");
        assert_eq!(result.err().map(|e| e.to_string()).as_deref(), error, "{found:?}");
    };
    check(Some(json!({"metadata": {"uid": "1"}})), None);
    check(None, Some("service account token has been invalidated"));
    check(
        Some(json!({"metadata": {"uid": "2"}})),
        Some("service account UID (2) does not match claim (1)"),
    );
    check(
        Some(json!({"metadata": {"uid": "1", "deletionTimestamp": "2027"}})),
        None,
    );
    check(
        Some(json!({"metadata": {"uid": "1", "deletionTimestamp": "2025"}})),
        Some("service account token has been invalidated"),
    );
}

#[test]
fn names_of_service_accounts() {
    let check = |name: &str, parts: Option<(&str, &str)>| assert_eq!(split_name(name), parts, "{name}");
    check("system:serviceaccount:a:b.c", Some(("a", "b.c")));
    check("system:serviceaccount:a:", None);
    check("system:serviceaccount:a:b:c", None);
    check("system:serviceaccount:A:b", None);
    check("ann", None);
}

#[test]
fn the_key_set_names_the_signing_key() {
    let tokens = tokens(1, &[2]);
    let set = tokens.jwks();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    let token = tokens.sign(claims()).unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!(set["keys"][0]["kid"], header.kid.unwrap());
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(set["keys"][0].clone()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_aud = false;
    validation.validate_exp = false;
    assert!(jsonwebtoken::decode::<Claims>(&token, &key, &validation).is_ok());
    assert!(Keys::from_pem("no key", &[]).is_err());
}
