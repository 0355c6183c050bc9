use super::*;
use base64::Engine;

const REQUEST: &str = include_str!("../../../../tests/data/pod_request.pem");
const LEAF: &str = include_str!("../../../../tests/data/leaf.pem");
const AUTHORITY: &str = include_str!("../../../../tests/data/authority.pem");

fn encoded(pem: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(&x509::blocks(pem.as_bytes())[0].der)
}

fn object() -> Value {
    let mut object = json!({"metadata": {"name": "r", "namespace": "n"}, "spec": {
        "signerName": "example.com/s", "podName": "p", "podUID": "1", "serviceAccountName": "a",
        "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "stubPKCS10Request": encoded(REQUEST),
    }});
    PodCertificateRequestHooks.default(&mut object);
    object
}

fn texts(errors: &[Error]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn rules() {
    let check = |change: fn(&mut Value), expected: &[&str]| {
        let mut object = object();
        change(&mut object["spec"]);
        assert_eq!(texts(&PodCertificateRequestHooks.validate_create(&object)), expected);
    };
    check(|_| {}, &[]);
    check(
        |s| s["signerName"] = "kubernetes.io/s".into(),
        &[],
    );
    check(
        |s| {
            s["signerName"] = "a.kubernetes.io/s".into();
            s["maxExpirationSeconds"] = 86401.into();
        },
        &["spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]"],
    );
    check(
        |s| s["maxExpirationSeconds"] = 7_862_401.into(),
        &["spec.maxExpirationSeconds: Invalid value: 7862401: must be in the range [3600, 7862400]"],
    );
    check(
        |s| s["podUID"] = "".into(),
        &["spec.podUID: Invalid value: \"\": must not be empty"],
    );
    check(
        |s| s["unverifiedUserAnnotations"] = json!({"a": "b", "example.com/c": "d"}),
        &["spec.unverifiedUserAnnotations: Invalid value: \"a\": must be a domain-prefixed key (such as \"acme.io/foo\")"],
    );
    check(
        |s| s["pkixPublicKey"] = "AAAA".into(),
        &["spec: Invalid value: exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"],
    );
    check(
        |s| s["stubPKCS10Request"] = "AAAA".into(),
        &["spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR"],
    );
    check(
        |s| {
            s["stubPKCS10Request"] = Value::Null;
            s["pkixPublicKey"] = "AAAA".into();
            s["proofOfPossession"] = "AAAA".into();
        },
        &["spec.pkixPublicKey: Invalid value: \"AAAA\": must be a valid PKIX-serialized public key"],
    );
}

#[test]
fn a_key_is_proven() {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    let check = |key: &[u8], proof: &[u8], expected: &[&str]| {
        let mut object = object();
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        object["spec"]["stubPKCS10Request"] = Value::Null;
        object["spec"]["pkixPublicKey"] = encode(key).into();
        object["spec"]["proofOfPossession"] = encode(proof).into();
        assert_eq!(texts(&PodCertificateRequestHooks.validate_create(&object)), expected);
    };
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = pair.public_key().as_der().unwrap();
    check(key.as_ref(), pair.sign(b"1").as_ref(), &[]);
    let wrong = "spec.proofOfPossession: Invalid value: could not verify proof-of-possession signature";
    check(key.as_ref(), pair.sign(b"2").as_ref(), &[wrong]);
    // The digest is SHA-256 whatever the curve.
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let proof = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), b"1").unwrap();
    check(pair.public_key().as_der().unwrap().as_ref(), proof.as_ref(), &[wrong]);
}

fn condition(type_: &str) -> Value {
    json!({"type": type_, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// 2026-01-01T00:00:00Z, when the leaf begins.
const BEGIN: i64 = 1_767_225_600;

fn issued(chain: &str) -> Value {
    json!({
        "conditions": [condition("Issued")], "certificateChain": chain, "notBefore": "2026-01-01T00:00:00Z",
        "beginRefreshAt": "2026-01-01T12:00:00Z", "notAfter": "2026-01-02T00:00:00Z",
    })
}

fn check_status(new: Value, old: Value, after: i64, expected: &[&str]) {
    let (mut before, mut object) = (object(), object());
    (before["status"], object["status"]) = (old, new);
    let now = OffsetDateTime::from_unix_timestamp(BEGIN + after).unwrap();
    assert_eq!(texts(&status(&object, &before, now)), expected);
}

#[test]
fn ends() {
    let check = |new: Value, old: Value, expected: &[&str]| check_status(new, old, 0, expected);
    let with = |conditions: Value| json!({"conditions": conditions});
    check(json!({}), json!({}), &[]);
    check(with(json!([condition("Denied")])), json!({}), &[]);
    check(
        with(json!([condition("Done")])),
        json!({}),
        &["status.conditions.[0].type: Unsupported value: \"Done\": supported values: \"Denied\", \"Failed\", \"Issued\""],
    );
    check(
        with(json!([condition("Denied"), condition("Failed")])),
        json!({}),
        &["status.conditions.[1].type: Invalid value: \"Failed\": There may be at most one condition with type \
           \"Issued\", \"Denied\", or \"Failed\""],
    );
    check(
        json!({"conditions": [condition("Failed")], "certificateChain": "c"}),
        json!({}),
        &["status: Invalid value: non-condition status fields must be empty when denying or failing the \
           PodCertificateRequest"],
    );
    check(
        json!({}),
        with(json!([condition("Denied")])),
        &["status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"],
    );
    check(
        json!({"certificateChain": "c"}),
        json!({}),
        &["status: Invalid value: status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\""],
    );
}

#[test]
fn what_is_issued() {
    let check = |change: fn(&mut Value), after: i64, expected: &[&str]| {
        let mut status = issued(&format!("{LEAF}{AUTHORITY}"));
        change(&mut status);
        check_status(status, json!({}), after, expected);
    };
    check(|_| {}, 60, &[]);
    check(
        |_| {},
        300,
        &["status.notBefore: Invalid value: \"2026-01-01T00:00:00Z\": must be set to within 5 minutes of \
           kube-apiserver's current time"],
    );
    check(
        |s| s["certificateChain"] = "".into(),
        0,
        &["status.certificateChain: Invalid value: \"\": issued certificate chain must contain at least one certificate"],
    );
    check(
        |s| s["notAfter"] = Value::Null,
        0,
        &["status.notAfter: Required value: must be present and consistent with the issued certificate"],
    );
    check(
        |s| s["notAfter"] = "2026-01-03T00:00:00Z".into(),
        0,
        &["status.notAfter: Invalid value: \"2026-01-03T00:00:00Z\": must be set to the NotAfter time encoded in the \
           leaf certificate"],
    );
    check(
        |s| s["beginRefreshAt"] = "2026-01-01T00:09:00Z".into(),
        0,
        &["status.beginRefreshAt: Invalid value: \"2026-01-01T00:09:00Z\": must be at least 10 minutes after \
           status.notBefore"],
    );
    let mut other = issued(AUTHORITY);
    other["certificateChain"] = AUTHORITY.into();
    let why = "issued to the requested public key";
    let (mut before, mut object) = (object(), object());
    (before["status"], object["status"]) = (json!({}), other);
    let now = OffsetDateTime::from_unix_timestamp(BEGIN).unwrap();
    assert!(texts(&status(&object, &before, now))[0].ends_with(why));
}

#[test]
fn lifetimes() {
    let (mut before, mut object) = (object(), object());
    object["spec"]["maxExpirationSeconds"] = 3600.into();
    (before["status"], object["status"]) = (json!({}), issued(LEAF));
    let now = OffsetDateTime::from_unix_timestamp(BEGIN).unwrap();
    assert_eq!(
        texts(&status(&object, &before, now)),
        ["status.certificateChain: Invalid value: 86400000000000: leaf certificate lifetime must be <= \
          spec.maxExpirationSeconds (3600)"]
    );
}
