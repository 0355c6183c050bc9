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
use std::time::Duration;

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
    let whole = r#"{"metadata": {"name": "x", "generation": 1.0}}"#;
    let why = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number 1.0 into Go struct \
               field ObjectMeta.metadata.generation of type int64";
    bench.check(ask("POST", MAPS, JSON, whole), 400, why).await;
    bench
        .check(ask("POST", MAPS, "application/yaml", whole), 201, "")
        .await;
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
    let wrong = "\"\" is invalid: patch: Invalid value: \"map[data:x]\": cannot restore map from string";
    check(STRATEGIC, r#"{"data": "x"}"#, 422, &format!(" {wrong}")).await;
    check(STRATEGIC, r#"{"metadata": {"generation": 1.0}}"#, 200, "").await;
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
    let token = "invalid continue token: continue key is not valid: illegal base64 data at input byte 0";
    check("continue=x", 400, token).await;
    check("continue=x&resourceVersion=5", 400, token).await;
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

#[tokio::test]
async fn what_an_object_says_of_itself() {
    let bench = Bench::start().await;
    let cm = format!("{MAPS}/cm");
    let scheme = "in scheme \"pkg/api/legacyscheme/scheme.go:30\"";
    let version = |body: &'static str| ask("POST", MAPS, JSON, body);
    bench
        .check(
            version(r#"{"apiVersion": "v9", "kind": "ConfigMap"}"#),
            400,
            &format!(
                "ConfigMap in version \"v9\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \
                 \"v9\" {scheme}"
            ),
        )
        .await;
    bench
        .check(
            ask("POST", JOBS, JSON, r#"{"apiVersion": "batch/v1", "kind": "Zz"}"#),
            400,
            &format!(
                "Zz in version \"v1\" cannot be handled as a Job: no kind \"Zz\" is registered for version \"batch/v1\" {scheme}"
            ),
        )
        .await;
    // A strategic patch cannot make another kind of an object.
    bench
        .check(ask("PATCH", &cm, STRATEGIC, r#"{"kind": "Zz"}"#), 200, "")
        .await;
    bench
        .check(
            ask(
                "PATCH",
                format!("{cm}?fieldValidation=Strict"),
                STRATEGIC,
                r#"{"zz": [1, "a"]}"#,
            ),
            422,
            " \"\" is invalid: patch: Invalid value: \"map[zz:[1 a]]\": strict decoding error: unknown field \"zz\"",
        )
        .await;
    // Nobody begins a deletion by an update.
    let deleted = r#"{"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}"#;
    bench
        .check(
            ask("PATCH", &cm, MERGE, deleted),
            422,
            "ConfigMap \"cm\" is invalid: metadata.deletionTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is \
             immutable",
        )
        .await;
    let apply = |body: &'static str| {
        ask(
            "PATCH",
            format!("{cm}?fieldManager=m"),
            "application/apply-patch+yaml",
            body,
        )
    };
    bench
        .check(
            apply("- a"),
            400,
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of \
             type map[string]interface {}",
        )
        .await;
    let why = "error decoding YAML: error converting YAML to JSON: yaml: mapping values are not allowed in this context";
    bench.check(apply("a: b: c"), 400, why).await;
    let new = Asked {
        path: format!("{MAPS}/new?fieldManager=m"),
        ..apply("{apiVersion: v1, kind: ConfigMap, data: {a: b}}")
    };
    let why = "the name of the object (new based on URL) was undeterminable: name must be provided";
    bench.check(new, 400, why).await;
    // Keys that appear twice are told once nothing else is wrong.
    let twice = Asked {
        path: format!("{cm}?fieldManager=m&fieldValidation=Strict"),
        ..apply("{apiVersion: v1, kind: ConfigMap, data: {a: b, a: c}}")
    };
    let (code, answer, _) = bench.send(&twice).await;
    let said = answer["message"].as_str().unwrap_or_default();
    assert!(
        code == 409 && said.starts_with("Apply failed with 1 conflict: "),
        "{code} {said}"
    );
    let event = r#"{"metadata": {"name": "A b"}, "involvedObject": {"namespace": "default"}}"#;
    let events = "/api/v1/namespaces/default/events";
    bench.check(ask("POST", events, JSON, event), 201, "").await;
    let event = r#"{"metadata": {"name": "a/b"}, "involvedObject": {"namespace": "default"}}"#;
    let why = "Event \"a/b\" is invalid: metadata.name: Invalid value: \"a/b\": may not contain '/'";
    bench.check(ask("POST", events, JSON, event), 422, why).await;
}

#[tokio::test]
async fn what_can_be_asked_for() {
    let bench = Bench::start().await;
    let accept = async |accept: &str, path: &str, code: u16, message: &str| {
        let asked = Asked {
            accept,
            ..ask("GET", path, JSON, "")
        };
        bench.check(asked, code, message).await;
    };
    let types = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf";
    accept("application/*", &format!("{MAPS}/cm"), 406, types).await;
    let select = async |path: &str, code: u16, message: &str| {
        let path = format!("{path}?fieldSelector=metadata.namespace%3Dx");
        bench.check(ask("GET", path, JSON, ""), code, message).await;
    };
    select(MAPS, 200, "").await;
    select("/api/v1/persistentvolumes", 200, "").await;
    select(
        "/api/v1/nodes",
        400,
        "field label not supported: metadata.namespace",
    )
    .await;
    let escaped = format!("{MAPS}?fieldSelector=metadata.name%3Da%5C%2Cb");
    bench.check(ask("GET", escaped, JSON, ""), 200, "").await;
    // Events are told in YAML to nobody.
    let asked = Asked {
        accept: "application/yaml",
        ..ask("GET", format!("{MAPS}?watch=true&timeoutSeconds=1"), JSON, "")
    };
    assert_eq!(bench.send(&asked).await.0, 406);
}

#[tokio::test]
async fn services_of_one_family() {
    let bench = Bench::start().await;
    let service = r#"{"metadata": {"name": "a"}, "spec": {"clusterIP": "10.43.7.7", "selector": {"a": "b"},
        "type": "NodePort", "ports": [{"port": 80}]}}"#;
    bench.check(ask("POST", SERVICES, JSON, service), 201, "").await;
    let taken = r#"{"metadata": {"name": "b"}, "spec": {"clusterIP": "10.43.7.7", "ports": [{"port": 80}]}}"#;
    bench
        .check(
            ask("POST", SERVICES, JSON, taken),
            422,
            "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.43.7.7\"]: failed to allocate IP 10.43.7.7: \
             provided IP is already allocated",
        )
        .await;
    // A dry run looks only whether there is such an address.
    bench
        .check(
            ask("POST", format!("{SERVICES}?dryRun=All"), JSON, taken),
            201,
            "",
        )
        .await;
    let one = format!("{SERVICES}/a");
    let patch = async |spec: &str, code: u16, message: &str| {
        let body = format!(r#"{{"spec": {spec}}}"#);
        bench.check(ask("PATCH", &one, MERGE, &body), code, message).await;
    };
    patch(
        r#"{"ipFamilyPolicy": "RequireDualStack"}"#,
        422,
        "Service \"a\" is invalid: spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for \
         dual-stack services",
    )
    .await;
    patch(
        r#"{"clusterIPs": ["10.43.7.8"]}"#,
        422,
        "Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"10.43.7.8\"]: first value must match `clusterIP`",
    )
    .await;
    // What the old type needed goes with it.
    patch(r#"{"type": "ClusterIP"}"#, 200, "").await;
    patch(r#"{"type": "ExternalName", "externalName": "a.b"}"#, 200, "").await;
    bench.check(ask("POST", SERVICES, JSON, taken), 201, "").await;
    let headless = r#"{"metadata": {"name": "c"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}"#;
    let (_, made, _) = bench.send(&ask("POST", SERVICES, JSON, headless)).await;
    assert_eq!(made["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]), "{made}");
}

#[tokio::test]
async fn pods() {
    let bench = Bench::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str, spec: &str| {
        format!(
            r#"{{"metadata": {{"name": "{name}"}}, "spec": {{"automountServiceAccountToken": false,
                "containers": [{{"name": "c", "image": "i"}}], {spec}}}}}"#
        )
    };
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = r#"{"metadata": {"name": "default"}}"#;
    bench.send(&ask("POST", accounts, JSON, account)).await;
    let lost = pod(
        "lost",
        r#""imagePullSecrets": [{}], "terminationGracePeriodSeconds": -1"#,
    );
    let warning = "spec.imagePullSecrets[0].name: invalid empty name \\\"\\\"";
    bench
        .check_warnings(ask("POST", pods, JSON, &lost), 201, &[warning])
        .await;
    let binding = r#"{"metadata": {"name": "other"}, "target": {"kind": "Node", "name": "n"}}"#;
    let why = "name in URL does not match name in Binding object";
    bench
        .check(
            ask("POST", format!("{pods}/lost/binding"), JSON, binding),
            400,
            why,
        )
        .await;
    let classes = "/apis/node.k8s.io/v1/runtimeclasses";
    let class = r#"{"metadata": {"name": "heavy"}, "handler": "h", "overhead": {"podFixed": {"cpu": "1"}}}"#;
    bench.check(ask("POST", classes, JSON, class), 201, "").await;
    let heavy = pod("heavy", r#""runtimeClassName": "heavy""#);
    let (_, made, _) = bench.send(&ask("POST", pods, JSON, &heavy)).await;
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "1"}), "{made}");
    let plump = pod("plump", r#""overhead": {"a": "1"}"#);
    let why = "Pod \"plump\" is invalid: [spec.overhead.limits[a]: Invalid value: \"a\": must be a standard resource type \
               or fully qualified, spec.overhead.limits[a]: Invalid value: \"a\": must be a standard resource for containers]";
    bench.check(ask("POST", pods, JSON, &plump), 422, why).await;
    let plump = pod("plump", r#""overhead": {"cpu": "1"}"#);
    let why = "pods \"plump\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
    bench.check(ask("POST", pods, JSON, &plump), 403, why).await;
    let none = pod("none", r#""runtimeClassName": "none""#);
    let why = "pods \"none\" is forbidden: pod rejected: RuntimeClass \"none\" not found";
    bench.check(ask("POST", pods, JSON, &none), 403, why).await;
    let job = format!("{JOBS}/job");
    bench
        .check(ask("PATCH", format!("{job}/status"), MERGE, r#"{"status": {"active": -1}}"#), 422, "Job.batch \"job\" is invalid: status.active: Invalid value: -1: must be greater than or equal to 0")
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_apis_own_service_comes_back() {
    let bench = Bench::start().await;
    let own = format!("{SERVICES}/kubernetes");
    bench.check(ask("DELETE", &own, JSON, ""), 200, "").await;
    let gone = "services \"kubernetes\" not found";
    bench.check(ask("GET", &own, JSON, ""), 404, gone).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    bench.check(ask("GET", &own, JSON, ""), 200, "").await;
}

#[tokio::test]
async fn classes_that_are_not_named() {
    let bench = Bench::start().await;
    let create = async |path: &str, body: &str, at: &str, expected: Value| {
        let (code, made, _) = bench.send(&ask("POST", path, JSON, body)).await;
        let found = made.pointer(at).unwrap_or(&Value::Null);
        assert_eq!((code, found), (201, &expected), "{made}");
    };
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = |name: &str, class: &str| {
        format!(
            r#"{{"metadata": {{"name": "{name}"}}, "spec": {{{class} "accessModes": ["ReadWriteOnce"],
                "resources": {{"requests": {{"storage": "1Gi"}}}}}}}}"#
        )
    };
    let class = "/spec/storageClassName";
    create(claims, &claim("before", ""), class, Value::Null).await;
    let usual = r#"{"metadata": {"name": "usual", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "a.b/c", "allowVolumeExpansion": true}"#;
    create(
        "/apis/storage.k8s.io/v1/storageclasses",
        usual,
        "/provisioner",
        "a.b/c".into(),
    )
    .await;
    create(claims, &claim("after", ""), class, "usual".into()).await;
    create(
        claims,
        &claim("none", r#""storageClassName": "","#),
        class,
        "".into(),
    )
    .await;
    // The claim's own rules come before admission's.
    let grow = r#"{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}"#;
    let after = format!("{claims}/after");
    let (code, answer, _) = bench.send(&ask("PATCH", &after, MERGE, grow)).await;
    let said = answer["message"].as_str().unwrap_or_default();
    let why = "PersistentVolumeClaim \"after\" is invalid: spec: Forbidden: spec is immutable after creation except \
               resources.requests and volumeAttributesClassName for bound claims";
    assert!(code == 422 && said.starts_with(why), "{code} {said}");
    let usual = r#"{"metadata": {"name": "usual", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "a.b/c"}}"#;
    let classes = "/apis/networking.k8s.io/v1/ingressclasses";
    create(classes, usual, "/metadata/name", "usual".into()).await;
    let ingress = r#"{"metadata": {"name": "a"}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}}"#;
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    create(ingresses, ingress, "/spec/ingressClassName", "usual".into()).await;
}

#[tokio::test]
async fn expressions_that_do_not_compile() {
    let bench = Bench::start().await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let undeclared = |name: &str| {
        let mark = "^";
        format!(
            "Invalid value: \"{name}\": compilation failed: ERROR: <input>:1:1: undeclared reference to '{name}' (in container \
             '')\n | {name}\n | {mark}"
        )
    };
    let constraints = r#""matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""],
        "apiVersions": ["v1"], "resources": ["pods"]}]}"#;
    let policy = format!(
        r#"{{"metadata": {{"name": "p"}}, "spec": {{{constraints}, "variables": [{{"name": "a", "expression": "1"}}],
            "validations": [{{"expression": "variables.a == 1 && x"}}, {{"expression": "variables.a"}},
                {{"expression": "true", "messageExpression": "authorizer"}}]}}}}"#
    );
    let why = "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: [spec.validations[0].expression: \
               Invalid value: \"variables.a == 1 && x\": compilation failed: ERROR: <input>:1:21: undeclared reference to \
               'x' (in container '')\n | variables.a == 1 && x\n | ....................^, \
               spec.validations[1].expression: Invalid value: \"variables.a\": must evaluate to bool but got int, \
               spec.validations[2].messageExpression: ";
    let why = format!("{why}{}]", undeclared("authorizer"));
    let policies = format!("{group}/validatingadmissionpolicies");
    bench.check(ask("POST", policies, JSON, &policy), 422, &why).await;
    let policy = format!(
        r#"{{"metadata": {{"name": "p"}}, "spec": {{{constraints}, "reinvocationPolicy": "Never", "mutations": [
            {{"patchType": "JSONPatch", "jsonPatch": {{"expression": "[]"}}}}]}}}}"#
    );
    let why = "MutatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: \
               spec.mutations[0].jsonPatch.expression: Invalid value: \"[]\": must evaluate to list(JSONPatch) but got \
               list(dyn)";
    let policies = format!("{group}/mutatingadmissionpolicies");
    bench.check(ask("POST", policies, JSON, &policy), 422, why).await;
    let hook = r#"{"metadata": {"name": "w"}, "webhooks": [{"name": "a.b.c", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://a.b"},
        "matchConditions": [{"name": "m", "expression": "params"}]}]}"#;
    let why = "ValidatingWebhookConfiguration.admissionregistration.k8s.io \"w\" is invalid: \
               webhooks[0].matchConditions[0].expression: ";
    let why = format!("{why}{}", undeclared("params"));
    let hooks = format!("{group}/validatingwebhookconfigurations");
    bench.check(ask("POST", hooks, JSON, hook), 422, &why).await;
    let class = r#"{"metadata": {"name": "d"}, "spec": {"selectors": [{"cel": {"expression": "device"}}]}}"#;
    let why = "DeviceClass.resource.k8s.io \"d\" is invalid: spec.selectors[0].cel.expression: Invalid value: \"device\": \
               must evaluate to bool or the unknown type, not kubernetes.DRADevice";
    let classes = "/apis/resource.k8s.io/v1/deviceclasses";
    bench.check(ask("POST", classes, JSON, class), 422, why).await;
}
