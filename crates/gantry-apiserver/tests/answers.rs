//! What clients are told, word for word, where they look at the words. Each line was compared with upstream's server.

mod common;

use bytes::Bytes;
use gantry_apiserver::Server;
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const OPERATIONS: &str = "application/json-patch+json";
const UNREADABLE: &str = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json \
                          parse error: ";

struct Bench {
    server: Server,
    _folder: tempfile::TempDir,
}

/// What is asked.
struct Asked<'a> {
    method: &'a str,
    path: String,
    type_: &'a str,
    accept: &'a str,
    body: &'a str,
}

fn ask<'a>(method: &'a str, path: impl Into<String>, type_: &'a str, body: &'a str) -> Asked<'a> {
    Asked {
        method,
        path: path.into(),
        type_,
        accept: JSON,
        body,
    }
}

impl Bench {
    async fn start() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = common::config(&pki);
        let bench = Bench {
            server: Server::new(Arc::new(Memory::new()), config).await.unwrap(),
            _folder: folder,
        };
        let map = r#"{"metadata": {"name": "cm"}, "data": {"a": "1"}}"#;
        bench.send(&ask("POST", MAPS, JSON, map)).await;
        let job = r#"{"metadata": {"name": "job"}, "spec": {"suspend": true, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}"#;
        bench.send(&ask("POST", JOBS, JSON, job)).await;
        bench
    }

    /// The code of an answer, the answer, and its warnings.
    async fn send(&self, asked: &Asked<'_>) -> (u16, Value, Vec<String>) {
        let request = Request::builder()
            .method(asked.method)
            .uri(&asked.path)
            .header(header::CONTENT_TYPE, asked.type_)
            .header(header::ACCEPT, asked.accept)
            .body(Bytes::from(asked.body.to_owned()))
            .unwrap();
        let user = User::new("root", &[MASTERS, AUTHENTICATED]);
        let response = self.server.local(user).send(request).await;
        let warnings = response.headers().get_all(header::WARNING).iter();
        let warnings = warnings.map(|w| w.to_str().unwrap().to_owned()).collect();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            code,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            warnings,
        )
    }

    async fn check(&self, asked: Asked<'_>, code: u16, message: &str) {
        let (found, answer, _) = self.send(&asked).await;
        let said = answer["message"].as_str().unwrap_or_default();
        assert_eq!(
            (found, said),
            (code, message),
            "{} {} {}",
            asked.method,
            asked.path,
            asked.body
        );
    }

    async fn check_warnings(&self, asked: Asked<'_>, code: u16, expected: &[&str]) {
        let (found, answer, warnings) = self.send(&asked).await;
        let expected: Vec<String> = expected.iter().map(|w| format!("299 - \"{w}\"")).collect();
        assert_eq!((found, warnings), (code, expected), "{} {answer}", asked.body);
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let bench = Bench::start().await;
    for (body, why) in [
        ("", "unexpected end of JSON input (<empty>)"),
        (
            "hello",
            "invalid character 'h' looking for beginning of value (68656c6c6f)",
        ),
        (
            "{\"a\":1,}",
            "invalid character '}' looking for beginning of object key string ({\"a\":1,})",
        ),
    ] {
        let message = format!("{UNREADABLE}{why}");
        bench.check(ask("POST", MAPS, JSON, body), 400, &message).await;
    }
    let no_name =
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required";
    bench.check(ask("POST", MAPS, JSON, "null"), 422, no_name).await;
}

#[tokio::test]
async fn fields_that_appear_twice_or_are_unknown() {
    let bench = Bench::start().await;
    let body = r#"{"metadata": {"name": "x"}, "data": {"a": "1", "a": "2"}, "zz": 1}"#;
    let strict = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field \
                  \"data.a\", unknown field \"zz\"";
    let path = |validation: &str| format!("{MAPS}?dryRun=All&fieldValidation={validation}");
    bench
        .check(ask("POST", path("Strict"), JSON, body), 400, strict)
        .await;
    // They come in the order in which the fields stand.
    let body = r#"{"zz": 1, "metadata": {"name": "x"}, "data": {"a": "1", "a": "2"}}"#;
    let strict = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \
                  \"zz\", duplicate field \"data.a\"";
    bench
        .check(ask("POST", path("Strict"), JSON, body), 400, strict)
        .await;
    let body = r#"{"metadata": {"name": "x"}, "data": {"a": "1", "a": "2"}, "zz": 1}"#;
    let told = [r#"duplicate field \"data.a\""#, r#"unknown field \"zz\""#];
    bench
        .check_warnings(ask("POST", path(""), JSON, body), 201, &told)
        .await;
    bench
        .check_warnings(ask("POST", path("Ignore"), JSON, body), 201, &[])
        .await;
    let yaml = "metadata: {name: x}\ndata:\n  a: '1'\n  a: '2'\n";
    let told = [r#"line 4: key \"a\" already set in map"#];
    bench
        .check_warnings(ask("POST", path(""), "application/yaml", yaml), 201, &told)
        .await;
    // Errors carry them, too.
    let wrong = r#"{"metadata": {"name": "A"}, "zz": 1}"#;
    let told = [r#"unknown field \"zz\""#];
    bench
        .check_warnings(ask("POST", path(""), JSON, wrong), 422, &told)
        .await;
}

#[tokio::test]
async fn patches_that_cannot_be_made() {
    let bench = Bench::start().await;
    let path = format!("{MAPS}/cm?dryRun=All");
    let check = async |type_: &str, body: &str, code: u16, message: &str| {
        bench
            .check(ask("PATCH", path.clone(), type_, body), code, message)
            .await;
    };
    let number = "json: cannot unmarshal number into Go value of type map[string]interface {}";
    check(MERGE, "5", 400, &format!("error decoding patch: {number}")).await;
    check(STRATEGIC, "5", 400, number).await;
    check(MERGE, "null", 400, "Invalid JSON Patch").await;
    check(STRATEGIC, "null", 200, "").await;
    let nameless = "the name of the object (cm based on URL) was undeterminable: name must be provided";
    check(MERGE, r#"{"metadata": null}"#, 400, nameless).await;
    let uid = "ConfigMap \"cm\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable";
    check(MERGE, r#"{"metadata": {"uid": "x"}}"#, 422, uid).await;
    let version = "strconv.ParseUint: parsing \"x\": invalid syntax";
    check(MERGE, r#"{"metadata": {"resourceVersion": "x"}}"#, 500, version).await;
    let unknown = "unknown patch type: bad in map: map[$patch:bad]";
    check(STRATEGIC, r#"{"$patch": "bad"}"#, 500, unknown).await;
    let object =
        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
    check(OPERATIONS, "{}", 400, object).await;
    let rejected = "the server rejected our request due to an error in our request";
    check(OPERATIONS, "[null]", 422, rejected).await;
}

#[tokio::test]
async fn updates_and_deletions() {
    let bench = Bench::start().await;
    let other = r#"{"metadata": {"name": "other"}}"#;
    let misnamed = "the name of the object (other) does not match the name on the URL (none)";
    bench
        .check(ask("PUT", format!("{MAPS}/none"), JSON, other), 400, misnamed)
        .await;
    bench
        .check(
            ask("PUT", format!("{MAPS}/other"), JSON, other),
            404,
            "configmaps \"other\" not found",
        )
        .await;
    // Some kinds are made by an update.
    let service = r#"{"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}"#;
    bench
        .check(ask("PUT", format!("{SERVICES}/s"), JSON, service), 201, "")
        .await;
    let headless = r#"{"metadata": {"name": "h"}, "spec": {"clusterIP": "None"}}"#;
    let (_, made, _) = bench.send(&ask("POST", SERVICES, JSON, headless)).await;
    assert!(made["spec"].get("ports").is_none(), "{made}");
    let versioned = r#"{"metadata": {"name": "v", "resourceVersion": "5"}}"#;
    let why = "resourceVersion should not be set on objects to be created";
    bench.check(ask("POST", MAPS, JSON, versioned), 500, why).await;
    bench
        .check(
            ask("POST", format!("{MAPS}?dryRun=All"), JSON, versioned),
            201,
            "",
        )
        .await;

    let job = format!("{JOBS}/job?dryRun=All");
    let warning = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
                   them or set propagationPolicy=Orphan to suppress this warning";
    bench
        .check_warnings(ask("DELETE", job.clone(), JSON, ""), 200, &[warning])
        .await;
    let (_, going, _) = bench.send(&ask("DELETE", job.clone(), JSON, "")).await;
    assert_eq!(going["metadata"]["finalizers"][0], "orphan", "{going}");
    let chosen = format!("{job}&propagationPolicy=Background");
    bench
        .check_warnings(ask("DELETE", chosen, JSON, ""), 200, &[])
        .await;
}

#[tokio::test]
async fn lists_and_looks() {
    let bench = Bench::start().await;
    let check = async |query: &str, code: u16, message: &str| {
        bench
            .check(ask("GET", format!("{MAPS}?{query}"), JSON, ""), code, message)
            .await;
    };
    check(
        "labelSelector=a+in",
        400,
        "unable to parse requirement: found '' expected: '('",
    )
    .await;
    check(
        "fieldSelector=foo",
        400,
        "invalid selector: 'foo'; can't understand 'foo'",
    )
    .await;
    let range = "strconv.ParseInt: parsing \"99999999999999999999\": value out of range";
    check("limit=99999999999999999999", 400, range).await;
    check(
        "timeoutSeconds=x",
        400,
        "strconv.ParseInt: parsing \"x\": invalid syntax",
    )
    .await;
    let looks = async |accept: &str, path: &str, code: u16, message: &str| {
        let accept = format!("application/json;as={accept};g=meta.k8s.io;v=v1");
        let asked = Asked {
            accept: &accept,
            ..ask("GET", path, JSON, "")
        };
        bench.check(asked, code, message).await;
    };
    let one = format!("{MAPS}/cm");
    let not_a_list =
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)";
    looks("PartialObjectMetadataList", &one, 406, not_a_list).await;
    let a_list =
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)";
    looks("PartialObjectMetadata", MAPS, 406, a_list).await;
    let include = "Unable to convert to Table as requested: includeObject: Invalid value: \"bad\": must be 'Metadata', \
                   'Object', 'None', or empty";
    looks("Table", &format!("{MAPS}?includeObject=bad"), 400, include).await;
    // Reviews have no tables.
    let review = r#"{"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}"#;
    let types = "only the following media types are accepted: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf";
    let asked = Asked {
        accept: "application/json;as=Table;g=meta.k8s.io;v=v1",
        ..ask(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            JSON,
            review,
        )
    };
    bench.check(asked, 406, types).await;
}

#[tokio::test]
async fn reviews() {
    let bench = Bench::start().await;
    let review = async |group: &str, plural: &str, body: &str, at: &str, expected: Value| {
        let path = format!("/apis/{group}.k8s.io/v1/{plural}");
        let (code, answer, _) = bench.send(&ask("POST", path, JSON, body)).await;
        let found = answer.pointer(at).unwrap_or(&Value::Null);
        assert_eq!((code, found), (201, &expected), "{body} {answer}");
    };
    let access = async |resource: &str, at: &str, expected: Value| {
        let body = format!(r#"{{"spec": {{"resourceAttributes": {resource}}}}}"#);
        review("authorization", "selfsubjectaccessreviews", &body, at, expected).await;
    };
    // A review's writer is noted in it as in an object.
    let pods = r#"{"verb": "get", "resource": "pods"}"#;
    let owned = json!({"f:spec": {"f:resourceAttributes": {".": {}, "f:resource": {}, "f:verb": {}}}});
    access(pods, "/metadata/managedFields/0/fieldsV1", owned).await;
    let error = "/status/evaluationError";
    let selector =
        |selector: &str| format!(r#"{{"verb": "list", "resource": "pods", "fieldSelector": {selector}}}"#);
    access(&selector(r#"{"rawSelector": "a=b"}"#), error, Value::Null).await;
    let ignored = "spec.resourceAttributes.fieldSelector ignored due to parse error";
    access(&selector(r#"{"rawSelector": "a"}"#), error, ignored.into()).await;
    let token = r#"{"spec": {"token": "t"}, "status": {"audiences": ["a"], "authenticated": true}}"#;
    for (at, expected) in [
        ("/metadata/managedFields/0/operation", "Update".into()),
        ("/status/audiences", json!(["a"])),
        ("/status/authenticated", Value::Null),
    ] {
        review("authentication", "tokenreviews", token, at, expected).await;
    }
    let rules = r#"{"metadata": {"labels": {"a": "b"}}, "spec": {"namespace": "default"}}"#;
    review(
        "authorization",
        "selfsubjectrulesreviews",
        rules,
        "/metadata",
        json!({}),
    )
    .await;
}
