//! Who may write trust bundles of signers, ask for pods' certificates and issue them.

mod common;

use gantry_api::features::{self, Gates, Setting};
use gantry_apiserver::{RuntimeConfig, Server};
use gantry_auth::{AUTHENTICATED, MASTERS, NODES, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::{Arc, Once};

const GROUP: &str = "/apis/certificates.k8s.io/v1beta1";
const REQUEST: &str = include_str!("../../gantry-api/tests/data/pod_request.pem");
const AUTHORITY: &str = include_str!("../../gantry-api/tests/data/authority.pem");

fn root() -> User {
    User::new("root", &[MASTERS, AUTHENTICATED])
}

fn ann() -> User {
    User::new("ann", &[AUTHENTICATED])
}

fn node() -> User {
    User::new("system:node:n1", &[NODES, AUTHENTICATED])
}

struct Bench {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Bench {
        static GATES: Once = Once::new();
        GATES.call_once(|| {
            let on = ["ClusterTrustBundle=true", "PodCertificateRequest=true"];
            let settings: Vec<Setting> = on.into_iter().map(|text| Setting::parse(text).unwrap()).collect();
            features::set(Gates::new(&settings).unwrap()).unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
        let config = common::config(&pki);
        let served = RuntimeConfig::parse("certificates.k8s.io/v1beta1=true").unwrap();
        let server = Server::serving(Arc::new(Memory::new()), config, &served)
            .await
            .unwrap();
        Bench {
            server,
            _folder: folder,
        }
    }

    async fn send(&self, user: User, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json");
        let request = request.body(body.to_string().into()).unwrap();
        let response = self.server.local(user).send(request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap())
    }

    async fn root(&self, method: &str, path: &str, body: &Value) -> Value {
        let (code, answer) = self.send(root(), method, path, body).await;
        assert!(code < 300, "{method} {path}: {answer}");
        answer
    }

    /// Lets `ann` do these things.
    async fn allow(&self, rules: Value) {
        let group = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({"metadata": {"name": "ann"}, "rules": rules});
        self.root("POST", &format!("{group}/clusterroles"), &role).await;
        let api_group = "rbac.authorization.k8s.io";
        let binding = json!({
            "metadata": {"name": "ann"}, "roleRef": {"apiGroup": api_group, "kind": "ClusterRole", "name": "ann"},
            "subjects": [{"apiGroup": api_group, "kind": "User", "name": "ann"}],
        });
        self.root("POST", &format!("{group}/clusterrolebindings"), &binding)
            .await;
    }

    /// Sends as someone, again until the answer is the one expected: rules take effect a moment later. An empty text
    /// stands for success.
    async fn expect(&self, user: &User, method: &str, path: &str, body: &Value, code: u16, text: &str) {
        let mut last = (0, Value::Null);
        for _ in 0..100 {
            last = self.send(user.clone(), method, path, body).await;
            let message = last.1["message"].as_str().unwrap_or_default();
            if last.0 == code && message.ends_with(text) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!(
            "{method} {path}: {code} {text:?} is expected, not {} {}",
            last.0, last.1
        );
    }
}

#[tokio::test]
async fn who_writes_a_bundle_attests_for_its_signer() {
    let bench = Bench::start().await;
    let rule = |resource: &str, verb: &str, name: Option<&str>| {
        let mut rule =
            json!({"apiGroups": ["certificates.k8s.io"], "resources": [resource], "verbs": [verb]});
        if let Some(name) = name {
            rule["resourceNames"] = json!([name]);
        }
        rule
    };
    bench
        .allow(json!([
            rule("clustertrustbundles", "create", None),
            rule("clustertrustbundles", "update", None),
            rule("signers", "attest", Some("a.io/*"))
        ]))
        .await;
    let bundle = |name: &str, signer: &str| json!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": AUTHORITY}});
    let path = format!("{GROUP}/clustertrustbundles");
    let check = |name: &'static str, signer: &'static str, code, text: &'static str| {
        let (bench, path) = (&bench, &path);
        async move {
            bench
                .expect(&ann(), "POST", path, &bundle(name, signer), code, text)
                .await;
        }
    };
    check("plain", "", 201, "").await;
    check("a.io:s:b", "a.io/s", 201, "").await;
    let why = "clustertrustbundles.certificates.k8s.io \"b.io:s:b\" is forbidden: user not permitted to attest for \
               signerName \"b.io/s\"";
    check("b.io:s:b", "b.io/s", 403, why).await;
    // What the garbage collector writes needs no right to attest.
    let mut other = bench.root("POST", &path, &bundle("b.io:s:b", "b.io/s")).await;
    other["metadata"]["finalizers"] = json!(["example.com/held"]);
    let one = format!("{path}/b.io:s:b");
    bench.expect(&ann(), "PUT", &one, &other, 200, "").await;
    other["metadata"]["labels"] = json!({"a": "b"});
    other["metadata"]["resourceVersion"] =
        bench.root("GET", &one, &Value::Null).await["metadata"]["resourceVersion"].clone();
    bench
        .expect(
            &ann(),
            "PUT",
            &one,
            &other,
            403,
            "attest for signerName \"b.io/s\"",
        )
        .await;
}

#[tokio::test]
async fn nodes_ask_for_their_pods_and_signers_answer() {
    let bench = Bench::start().await;
    let core = "/api/v1/namespaces/default";
    let uid = |object: &Value| object["metadata"]["uid"].clone();
    let own = bench
        .root("POST", "/api/v1/nodes", &json!({"metadata": {"name": "n1"}}))
        .await;
    let account = bench
        .root(
            "POST",
            &format!("{core}/serviceaccounts"),
            &json!({"metadata": {"name": "a"}}),
        )
        .await;
    let pod = |name: &str, node: &str| {
        json!({"metadata": {"name": name}, "spec": {
            "serviceAccountName": "a", "nodeName": node, "containers": [{"name": "c", "image": "i"}],
        }})
    };
    let pods = format!("{core}/pods");
    let mine = bench.root("POST", &pods, &pod("p", "n1")).await;
    let theirs = bench.root("POST", &pods, &pod("q", "n2")).await;
    let der: String = REQUEST.lines().filter(|line| !line.starts_with('-')).collect();
    let request = |change: &dyn Fn(&mut Value)| {
        let mut request = json!({"metadata": {"name": "r"}, "spec": {
            "signerName": "a.io/s", "podName": "p", "podUID": uid(&mine), "serviceAccountName": "a",
            "serviceAccountUID": uid(&account), "nodeName": "n1", "nodeUID": uid(&own), "stubPKCS10Request": der,
        }});
        change(&mut request["spec"]);
        request
    };
    let path = format!("{GROUP}/namespaces/default/podcertificaterequests");
    type Change<'a> = &'a dyn Fn(&mut Value);
    let wrong: [(Change, u16, String); 5] = [
        (
            &|s| s["nodeName"] = "n2".into(),
            403,
            "PodCertificateRequest.Spec.NodeName=\"n2\", which is not the requesting node \"n1\"".into(),
        ),
        (
            &|s| s["nodeUID"] = "x".into(),
            500,
            format!(
                "names node UID \"x\", inconsistent with the running node ({})",
                uid(&own)
            ),
        ),
        (
            &|s| s["podName"] = "none".into(),
            500,
            "while retrieving pod \"default/none\" named in the PodCertificateRequest: pod \"none\" not found".into(),
        ),
        (
            &|s| {
                s["podName"] = "q".into();
                s["podUID"] = uid(&theirs);
            },
            403,
            "pod \"default/q\" is not running on node \"n1\" named in the PodCertificateRequest".into(),
        ),
        (
            &|s| s["serviceAccountName"] = "b".into(),
            403,
            "contains serviceAccountName (\"b\") that differs from running pod (\"a\")".into(),
        ),
    ];
    for (change, code, text) in &wrong {
        bench
            .expect(&node(), "POST", &path, &request(change), *code, text)
            .await;
    }
    bench
        .expect(&node(), "POST", &path, &request(&|_| {}), 201, "")
        .await;
    let one = format!("{path}/r");
    bench.expect(&node(), "GET", &one, &Value::Null, 200, "").await;
    let selected = format!("{path}?fieldSelector=spec.nodeName%3Dn1");
    bench
        .expect(&node(), "GET", &selected, &Value::Null, 200, "")
        .await;
    let why = "can only list/watch podcertificaterequests with nodeName field selector";
    bench.expect(&node(), "GET", &path, &Value::Null, 403, why).await;

    bench
        .allow(
            json!([{"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests/status"],
                       "verbs": ["update"]}]),
        )
        .await;
    let mut denied = bench.root("GET", &one, &Value::Null).await;
    let condition = json!({"type": "Denied", "status": "True", "reason": "No", "message": "",
                           "lastTransitionTime": "2026-01-01T00:00:00Z"});
    denied["status"]["conditions"] = json!([condition]);
    let status = format!("{one}/status");
    let why = "is invalid: spec.signerName: Forbidden: User \"ann\" is not permitted to \"sign\" for signer \"a.io/s\"";
    bench.expect(&ann(), "PUT", &status, &denied, 422, why).await;
    bench.root("PUT", &status, &denied).await;
    let ended = bench.root("GET", &one, &Value::Null).await;
    assert_eq!(ended["status"]["conditions"][0]["type"], "Denied");
    assert_eq!(ended["spec"]["maxExpirationSeconds"], 86400);
}
