//! Custom resources from outside: a definition makes a kind that does all that built-in ones do, and takes it away again.

mod common;

use bytes::Bytes;
use gantry_apiserver::Server;
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";

struct Cluster {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = common::config(&pki);
        Cluster {
            server: Server::new(Arc::new(Memory::new()), config).await.unwrap(),
            _folder: folder,
        }
    }

    async fn send(
        &self,
        user: User,
        request: &str,
        type_: &str,
        body: impl ToString,
    ) -> (u16, Value, Vec<String>) {
        let (method, path) = request.split_once(' ').unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, type_)
            .header(USER_AGENT, "agent/v1 (test)")
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let response = self.server.local(user).send(request).await;
        let code = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|v| v.to_str().unwrap().to_string())
            .collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            code,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            warnings,
        )
    }

    /// A request of an administrator that must get this code; its answer.
    async fn expect(&self, request: &str, type_: &str, body: impl ToString, code: u16) -> Value {
        let root = User::new("root", &[MASTERS, AUTHENTICATED]);
        let (found, answer, _) = self.send(root, request, type_, body).await;
        assert_eq!(found, code, "{request}: {answer}");
        answer
    }
}

fn definition() -> Value {
    let spec = json!({
        "type": "object",
        "properties": {
            "cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)( (\\d+|\\*)){4}$"},
            "image": {"type": "string", "default": "busybox"},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 10},
            "ports": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "port": {"type": "integer"},
                }},
            },
        },
    });
    let status = json!({"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}});
    let schema =
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": schema,
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            }},
            "selectableFields": [{"jsonPath": ".spec.image"}],
            "additionalPrinterColumns": [{"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"}],
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced", "versions": [version("v1", true), version("v1beta1", false)],
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]},
        },
    })
}

fn tab(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_definition_makes_a_kind() {
    let cluster = Cluster::start().await;
    let code = |method: &str, path: &str| format!("{method} {path}");
    cluster.expect(&code("GET", TABS), JSON, "", 404).await;
    cluster
        .expect(&code("POST", DEFINITIONS), JSON, definition(), 201)
        .await;
    // At once: whoever made the definition goes on with objects of its kind.
    let made = cluster
        .expect(
            &code("POST", TABS),
            JSON,
            tab("a", json!({"replicas": 2, "unknown": 1})),
            201,
        )
        .await;
    assert_eq!(made["spec"], json!({"replicas": 2, "image": "busybox"}));
    assert_eq!(made["metadata"]["generation"], 1);
    let stands = cluster
        .expect(
            &format!("GET {DEFINITIONS}/crontabs.stable.example.com"),
            JSON,
            "",
            200,
        )
        .await;
    let conditions = stands["status"]["conditions"].as_array().unwrap();
    for type_ in ["NamesAccepted", "Established"] {
        assert!(
            conditions
                .iter()
                .any(|c| c["type"] == type_ && c["status"] == "True"),
            "{conditions:?}"
        );
    }
    assert_eq!(stands["status"]["acceptedNames"]["listKind"], "CronTabList");
    assert_eq!(stands["status"]["storedVersions"], json!(["v1"]));
    let group = cluster
        .expect("GET /apis/stable.example.com", JSON, "", 200)
        .await;
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let list = cluster
        .expect("GET /apis/stable.example.com/v1", JSON, "", 200)
        .await;
    let names: Vec<&str> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["crontabs", "crontabs/status", "crontabs/scale"]);
    let groups = Request::get("/apis")
        .header(
            "accept",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        )
        .body(Bytes::new())
        .unwrap();
    let root = User::new("root", &[MASTERS, AUTHENTICATED]);
    let groups = cluster.server.local(root).send(groups).await;
    let groups = groups.into_body().collect().await.unwrap().to_bytes();
    let groups: Value = serde_json::from_slice(&groups).unwrap();
    let group = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|g| g["metadata"]["name"] == "stable.example.com");
    let tabs = &group.unwrap()["versions"][0]["resources"][0];
    let response = json!({"group": "stable.example.com", "version": "v1", "kind": "CronTab"});
    assert_eq!(tabs["responseKind"], response);
    assert_eq!(tabs["subresources"][0]["responseKind"], response);
    let other = cluster
        .expect(
            &format!("GET {}/a", TABS.replace("/v1/", "/v1beta1/")),
            JSON,
            "",
            200,
        )
        .await;
    assert_eq!(other["apiVersion"], "stable.example.com/v1beta1");
    let document = cluster
        .expect("GET /openapi/v3/apis/stable.example.com/v1", JSON, "", 200)
        .await;
    let schema = &document["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert_eq!(
        schema["properties"]["spec"]["properties"]["image"]["default"],
        "busybox"
    );
    // kubectl apply sends the patches that are offered here, and strategic ones are refused.
    let patch = &document["paths"][format!("{TABS}/{{name}}").replace("default", "{namespace}")]["patch"];
    let offered = patch["requestBody"]["content"].as_object().unwrap();
    assert_eq!(
        offered.keys().collect::<Vec<_>>(),
        [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json"
        ]
    );
}

#[tokio::test]
async fn objects_obey_their_schema() {
    let cluster = Cluster::start().await;
    cluster
        .expect(&format!("POST {DEFINITIONS}"), JSON, definition(), 201)
        .await;
    let refused = async |spec: Value, code: u16, message: &str| {
        let answer = cluster
            .expect(&format!("POST {TABS}"), JSON, tab("b", spec), code)
            .await;
        assert_eq!(answer["message"], message);
    };
    let invalid = |what: &str| format!("CronTab.stable.example.com \"b\" is invalid: {what}");
    refused(
        json!({"replicas": "x"}),
        422,
        // Once by the schema, and once by what scale reads there.
        &invalid(
            "[spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\", \
             .spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64]",
        ),
    )
    .await;
    refused(
        json!({"replicas": 11}),
        422,
        &invalid(
            "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ),
    )
    .await;
    refused(
        json!({"ports": [{"name": "a"}, {"name": "a"}]}),
        422,
        &invalid(r#"spec.ports[1]: Duplicate value: {"name":"a"}"#),
    )
    .await;
    let strict = format!("POST {TABS}?fieldValidation=Strict");
    let answer = cluster
        .expect(&strict, JSON, tab("b", json!({"x": 1})), 400)
        .await;
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .ends_with(r#"strict decoding error: unknown field "spec.x""#),
        "{answer}"
    );
}

#[tokio::test]
async fn objects_are_changed_as_others_are() {
    let cluster = Cluster::start().await;
    cluster
        .expect(&format!("POST {DEFINITIONS}"), JSON, definition(), 201)
        .await;
    cluster
        .expect(
            &format!("POST {TABS}"),
            JSON,
            tab("a", json!({"replicas": 2})),
            201,
        )
        .await;
    let patch = format!("PATCH {TABS}/a");
    let changed = cluster
        .expect(
            &patch,
            MERGE,
            json!({"spec": {"image": "x"}, "status": {"replicas": 1}}),
            200,
        )
        .await;
    assert_eq!(
        (&changed["metadata"]["generation"], changed.get("status")),
        (&json!(2), None)
    );
    cluster.expect(&patch, STRATEGIC, json!({}), 415).await;
    let status = cluster
        .expect(
            &format!("PATCH {TABS}/a/status"),
            MERGE,
            json!({"status": {"replicas": 1, "selector": "a=b"}}),
            200,
        )
        .await;
    assert_eq!(
        (&status["metadata"]["generation"], &status["status"]["replicas"]),
        (&json!(2), &json!(1))
    );
    let scale = cluster
        .expect(&format!("GET {TABS}/a/scale"), JSON, "", 200)
        .await;
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]),
        (&json!(2), &json!({"replicas": 1, "selector": "a=b"}))
    );
    cluster
        .expect(
            &format!("PATCH {TABS}/a/scale"),
            MERGE,
            json!({"spec": {"replicas": 3}}),
            200,
        )
        .await;
    // What is no Scale, and an update that does not say what it replaces.
    let refused = json!({"apiVersion": "v1", "kind": "Scale", "metadata": {"name": "a"}});
    let put = format!("PUT {TABS}/a");
    cluster.expect(&format!("{put}/scale"), JSON, refused, 400).await;
    cluster.expect(&put, JSON, tab("a", json!({})), 422).await;
    let selected = async |field: &str| {
        let list = cluster
            .expect(
                &format!("GET {TABS}?fieldSelector=spec.image%3D{field}"),
                JSON,
                "",
                200,
            )
            .await;
        assert_eq!(list["kind"], "CronTabList");
        list["items"].as_array().unwrap().len()
    };
    assert_eq!((selected("x").await, selected("busybox").await), (1, 0));
    let apply = |manager: &str, port: u16| {
        let mut object = tab("a", json!({"ports": [{"name": manager, "port": port}]}));
        object["metadata"]["namespace"] = "default".into();
        (format!("PATCH {TABS}/a?fieldManager={manager}"), object)
    };
    for (manager, port, code) in [("one", 1, 200), ("two", 2, 200)] {
        let (request, body) = apply(manager, port);
        cluster.expect(&request, APPLY, body, code).await;
    }
    let (_, mut body) = apply("one", 5);
    body["spec"]["ports"][0]["name"] = "two".into();
    cluster
        .expect(&format!("PATCH {TABS}/a?fieldManager=one"), APPLY, body, 409)
        .await;
}

#[tokio::test]
async fn definitions_are_checked() {
    let cluster = Cluster::start().await;
    let check = async |change: fn(&mut Value), expected: &str| {
        let mut definition = definition();
        change(&mut definition);
        let answer = cluster
            .expect(&format!("POST {DEFINITIONS}"), JSON, definition, 422)
            .await;
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    };
    check(
        |d| d["metadata"]["name"] = "x.example.com".into(),
        r#"metadata.name: Invalid value: "x.example.com": must be spec.names.plural+"."+spec.group"#,
    )
    .await;
    check(
        |d| d["spec"]["versions"][1]["storage"] = true.into(),
        "must have exactly one version marked as storage version",
    )
    .await;
    check(
        |d| {
            for version in d["spec"]["versions"].as_array_mut().unwrap() {
                version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["image"] = json!({});
            }
        },
        "spec.validation.openAPIV3Schema.properties[spec].properties[image].type: Required value: must not be empty for \
         specified object fields",
    )
    .await;
}

#[tokio::test]
async fn a_definition_takes_its_objects_with_it() {
    let cluster = Cluster::start().await;
    let one = format!("{DEFINITIONS}/crontabs.stable.example.com");
    cluster
        .expect(&format!("POST {DEFINITIONS}"), JSON, definition(), 201)
        .await;
    cluster
        .expect(&format!("POST {TABS}"), JSON, tab("a", json!({})), 201)
        .await;
    let mut held = tab("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    cluster.expect(&format!("POST {TABS}"), JSON, held, 201).await;
    let gone = cluster.expect(&format!("DELETE {one}"), JSON, "", 200).await;
    assert_eq!(
        gone["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    let root = || User::new("root", &[MASTERS, AUTHENTICATED]);
    // Soon nothing new is taken, and the object that is not held goes.
    while cluster.send(root(), &format!("GET {TABS}/a"), JSON, "").await.0 != 404 {
        tokio::task::yield_now().await;
    }
    let refused = cluster
        .expect(&format!("POST {TABS}"), JSON, tab("c", json!({})), 403)
        .await;
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("create not allowed while custom resource definition is terminating")
    );
    cluster
        .expect(
            &format!("PATCH {TABS}/held"),
            MERGE,
            json!({"metadata": {"finalizers": null}}),
            200,
        )
        .await;
    while cluster.send(root(), &format!("GET {one}"), JSON, "").await.0 != 404 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    while cluster.send(root(), &format!("GET {TABS}"), JSON, "").await.0 != 404 {
        tokio::task::yield_now().await;
    }
}

/// What clients are told, in the words of upstream's server: its answers were looked at.
#[tokio::test]
async fn answers_are_upstreams() {
    let cluster = Cluster::start().await;
    let mut definition = definition();
    definition["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["extra"] =
        json!({"type": "string"});
    definition["spec"]["versions"][1]["selectableFields"] = json!(null);
    cluster
        .expect(&format!("POST {DEFINITIONS}"), JSON, definition, 201)
        .await;
    cluster
        .expect(
            &format!("POST {TABS}"),
            JSON,
            tab("a", json!({"replicas": 2.0e0})),
            422,
        )
        .await;
    let made = cluster
        .expect(
            &format!("POST {TABS}"),
            JSON,
            tab("a", json!({"replicas": 2})),
            201,
        )
        .await;
    let check = async |request: &str, type_: &str, body: Value, code: u16, message: &str| {
        let answer = cluster.expect(request, type_, body, code).await;
        assert_eq!(answer["message"].as_str().unwrap_or(""), message, "{request}");
    };
    let one = format!("{TABS}/a");
    for path in [TABS, &one] {
        check(&format!("HEAD {path}"), JSON, json!(null), 200, "").await;
        let why = " is not supported on resources of kind \"crontabs.stable.example.com\"";
        check(&format!("OPTIONS {path}"), JSON, json!(null), 405, why).await;
    }
    check(
        &format!("PATCH {one}"),
        MERGE,
        json!({"apiVersion": "stable.example.com/v1beta1"}),
        422,
        "CronTab.stable.example.com \"a\" is invalid: apiVersion: Invalid value: \"stable.example.com/v1beta1\": must be \
         stable.example.com/v1",
    )
    .await;
    check(
        &format!("PUT {TABS}"),
        JSON,
        tab("a", json!({})),
        400,
        "name must be provided",
    )
    .await;
    check(
        &format!("DELETE {one}/scale"),
        JSON,
        json!({}),
        405,
        "delete is not supported on resources of kind \"crontabs.stable.example.com\"",
    )
    .await;
    check(
        &format!("POST {one}"),
        JSON,
        tab("a", json!({})),
        409,
        "crontabs.stable.example.com \"a\" already exists",
    )
    .await;
    // Fields that the version of others does not have cannot be weighed against theirs.
    let own = tab("a", json!({"replicas": 2}));
    cluster
        .expect(&format!("PATCH {one}?fieldManager=one"), APPLY, own, 200)
        .await;
    let mut other = tab("a", json!({"extra": "x"}));
    other["apiVersion"] = "stable.example.com/v1beta1".into();
    check(
        &format!("PATCH {}?fieldManager=two", one.replace("/v1/", "/v1beta1/")),
        APPLY,
        other,
        500,
        "failed to convert new object: .spec.extra: field not declared in schema",
    )
    .await;
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 4}});
    check(
        &format!("PATCH {one}/scale?fieldManager=three"),
        APPLY,
        scale.clone(),
        409,
        "Apply failed with 2 conflicts: conflicts with \"agent\" using autoscaling/v1:\n- .spec.replicas\nconflicts with \
         \"one\":\n- .spec.replicas",
    )
    .await;
    let mut negative = scale.clone();
    negative["spec"]["replicas"] = (-1).into();
    check(
        &format!("PUT {one}/scale"),
        JSON,
        negative,
        422,
        "CronTab.stable.example.com \"a\" is invalid: [spec.replicas: Invalid value: -1: spec.replicas in body should be \
         greater than or equal to 1, .spec.replicas: Invalid value: -1: should be a non-negative integer]",
    )
    .await;
    let mut before =
        json!({"apiVersion": "apiextensions.k8s.io/v1beta1", "kind": "CustomResourceDefinition"});
    before["metadata"]["name"] = "x.example.com".into();
    check(
        &format!("POST {DEFINITIONS}"),
        JSON,
        before,
        400,
        "the API version in the data (apiextensions.k8s.io/v1beta1) does not match the expected API version \
         (apiextensions.k8s.io/v1)",
    )
    .await;
    let root = User::new("root", &[MASTERS, AUTHENTICATED]);
    let mut unknown = scale;
    unknown["spec"]["x"] = 1.into();
    let (code, _, warnings) = cluster
        .send(root, &format!("PUT {one}/scale"), JSON, unknown)
        .await;
    assert_eq!(
        (code, warnings),
        (200, vec!["299 - \"unknown field \\\"spec.x\\\"\"".to_string()])
    );
    // Metadata that does not change, said twice.
    let answer = cluster
        .expect(
            &format!("PATCH {one}"),
            MERGE,
            json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}),
            422,
        )
        .await;
    let causes = answer["details"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 2, "{answer}");
    assert_eq!(made["metadata"]["generation"], 1);
}

/// Rules in CEL are run for every write of an object.
#[tokio::test]
async fn objects_obey_their_rules() {
    let cluster = Cluster::start().await;
    let mut definition = definition();
    for version in definition["spec"]["versions"].as_array_mut().unwrap() {
        let root = &mut version["schema"]["openAPIV3Schema"];
        let spec = &mut root["properties"]["spec"];
        spec["x-kubernetes-validations"] = json!([
            {"rule": "!has(self.replicas) || self.replicas != 7", "messageExpression": "self.replicas == 7 ? 'not 7' : 'x'"},
            {"rule": "self.image == oldSelf.image", "message": "image is fixed", "fieldPath": ".image"},
        ]);
        root["x-kubernetes-validations"] = json!([
            {"rule": "self.metadata.name != 'no'", "message": "no is no name", "reason": "FieldValueForbidden"},
            {"rule": "!has(self.status) || self.status.replicas <= self.spec.replicas", "message": "too many"},
        ]);
    }
    let mut wrong = definition.clone();
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"][0]["rule"] =
        "self.x".into();
    let refused = cluster
        .expect(&format!("POST {DEFINITIONS}"), JSON, wrong, 422)
        .await;
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("undefined field 'x'"),
        "{refused}"
    );
    cluster
        .expect(&format!("POST {DEFINITIONS}"), JSON, definition.clone(), 201)
        .await;
    let check = async |request: &str, type_: &str, body: Value, expected: &str| {
        let answer = cluster.expect(request, type_, body, 422).await;
        let (_, found) = answer["message"]
            .as_str()
            .unwrap()
            .split_once(" is invalid: ")
            .unwrap();
        assert_eq!(found, expected, "{request}");
    };
    let post = format!("POST {TABS}");
    check(
        &post,
        JSON,
        tab("a", json!({"replicas": 7})),
        "spec: Invalid value: not 7",
    )
    .await;
    check(
        &post,
        JSON,
        tab("no", json!({})),
        "<nil>: Forbidden: no is no name",
    )
    .await;
    check(
        &post,
        JSON,
        tab("no", json!({"replicas": "x"})),
        "[spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\", .spec.replicas: \
         Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64, <nil>: Invalid value: null: \
         some validation rules were not checked because the object was invalid; correct the existing errors to complete \
         validation]",
    )
    .await;
    cluster
        .expect(&post, JSON, tab("a", json!({"replicas": 2})), 201)
        .await;
    let one = format!("PATCH {TABS}/a");
    check(
        &one,
        MERGE,
        json!({"spec": {"image": "x"}}),
        "spec.image: Invalid value: image is fixed",
    )
    .await;
    let status = json!({"status": {"replicas": 3}});
    check(
        &format!("{one}/status"),
        MERGE,
        status,
        "<nil>: Invalid value: too many",
    )
    .await;
    let scale = json!({"spec": {"replicas": 7}});
    check(
        &format!("{one}/scale"),
        MERGE,
        scale,
        "spec: Invalid value: not 7",
    )
    .await;
    let applied = tab("a", json!({"image": "y"}));
    let request = format!("{one}?fieldManager=one&force=true");
    check(
        &request,
        APPLY,
        applied,
        "spec.image: Invalid value: image is fixed",
    )
    .await;
    // A rule that comes later excuses what it finds and an update leaves.
    let name = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let mut stands = cluster.expect(&format!("GET {name}"), JSON, "", 200).await;
    for version in stands["spec"]["versions"].as_array_mut().unwrap() {
        let image = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["image"];
        image["x-kubernetes-validations"] = json!([{"rule": "self.startsWith('q')", "message": "no q"}]);
    }
    cluster.expect(&format!("PUT {name}"), JSON, stands, 422).await;
    let mut stands = cluster.expect(&format!("GET {name}"), JSON, "", 200).await;
    for version in stands["spec"]["versions"].as_array_mut().unwrap() {
        let image = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["image"];
        *image = json!({"type": "string", "x-kubernetes-validations": [{"rule": "self.startsWith('q')", "message": "no q"}]});
    }
    cluster.expect(&format!("PUT {name}"), JSON, stands, 200).await;
    let root = User::new("root", &[MASTERS, AUTHENTICATED]);
    let (code, _, warnings) = cluster
        .send(root, &one, MERGE, json!({"spec": {"replicas": 3}}))
        .await;
    let warning = "299 - \"spec.image: Invalid value: \\\"busybox\\\": no q\"".to_string();
    assert_eq!((code, warnings), (200, vec![warning]));
}
