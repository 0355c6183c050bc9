use super::*;
use gantry_auth::NODES;
use serde_json::json;

fn kind(plural: &str) -> Kind {
    let found = gantry_api::kinds::builtin()
        .into_iter()
        .find(|k| k.plural == plural);
    found.unwrap_or_else(|| panic!("{plural} is built in"))
}

/// A write from "verb resource[/subresource] name".
fn verdict(request: &str, new: Option<Value>, old: Option<Value>, related: Option<Value>) -> Option<String> {
    let words: Vec<&str> = request.split(' ').collect();
    let (plural, subresource) = words[1].split_once('/').unwrap_or((words[1], ""));
    let kind = kind(plural);
    let user = User::new("system:node:n1", &[NODES]);
    let write = Write {
        user: &user,
        verb: words[0],
        kind: &kind,
        subresource,
        name: words[2],
        namespace: words.get(3).copied().unwrap_or_default(),
        new: new.as_ref(),
        old: old.as_ref(),
        related: related.as_ref(),
    };
    check(&write).err().map(|status| {
        assert_eq!(status.code, 403);
        let (_, why) = status.message.split_once(" is forbidden: ").expect("a reason");
        why.to_owned()
    })
}

#[track_caller]
fn expect(found: Option<String>, expected: Option<&str>) {
    assert_eq!(found.as_deref(), expected);
}

#[test]
fn nodes_keep_to_their_own() {
    let node = |labels: Value| json!({"metadata": {"name": "n1", "labels": labels}, "spec": {}});
    let check = |request: &str, new: Value, old: Option<Value>, expected: Option<&str>| {
        expect(verdict(request, Some(new), old, None), expected);
    };
    let usual = json!({"kubernetes.io/hostname": "n1", "acme.com/rack": "7", "node.kubernetes.io/x": "y"});
    check("create nodes n1", node(usual.clone()), None, None);
    let text = "node \"n1\" is not allowed to modify node \"n2\"";
    check(
        "update nodes n2",
        node(json!({})),
        Some(node(json!({}))),
        Some(text),
    );
    let text = "node \"n1\" is not allowed to set the following labels: a.node-restriction.kubernetes.io/b, k8s.io/c";
    let labels = json!({"k8s.io/c": "", "a.node-restriction.kubernetes.io/b": "", "d": ""});
    check("create nodes n1", node(labels), None, Some(text));
    let role = node(json!({"node-role.kubernetes.io/control-plane": ""}));
    let text = "is not allowed to modify labels: node-role.kubernetes.io/control-plane";
    check("patch nodes n1", node(json!({})), Some(role.clone()), Some(text));
    check("patch nodes/status n1", role.clone(), Some(role), None);
    let mut tainted = node(usual.clone());
    tainted["spec"]["taints"] = json!([{"key": "a", "effect": "NoSchedule"}]);
    let text = "node \"n1\" is not allowed to modify taints";
    check("update nodes n1", node(usual), Some(tainted), Some(text));
    check("update leases n1 kube-node-lease", json!({}), None, None);
    let text = "can only access node lease with the same name as the requesting node";
    check("create leases n2 kube-node-lease", json!({}), None, Some(text));
    let text = "can only access leases in the \"kube-node-lease\" system namespace";
    check("update leases n1 default", json!({}), None, Some(text));
    check("create configmaps x ns", json!({}), None, None);
}

#[test]
fn nodes_create_only_mirrors_of_their_own() {
    let own = json!({"metadata": {"name": "n1", "uid": "7"}});
    let good = json!({
        "metadata": {
            "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "7", "controller": true}],
        },
        "spec": {"nodeName": "n1", "volumes": [{"name": "h", "hostPath": {}}]},
    });
    let check = |change: &dyn Fn(&mut Value), expected: Option<&str>| {
        let mut pod = good.clone();
        change(&mut pod);
        expect(
            verdict("create pods p ns", Some(pod), None, Some(own.clone())),
            expected,
        );
    };
    check(&|_| {}, None);
    check(
        &|p| p["metadata"]["annotations"] = json!({}),
        Some(
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
        ),
    );
    check(
        &|p| p["spec"]["nodeName"] = "n2".into(),
        Some("node \"n1\" can only create pods with spec.nodeName set to itself"),
    );
    check(
        &|p| p["metadata"]["ownerReferences"] = json!([]),
        Some("node \"n1\" can only create pods with an owner reference set to itself"),
    );
    check(
        &|p| p["metadata"]["ownerReferences"][0]["uid"] = "8".into(),
        Some("node n1 UID mismatch: expected 8 got 7"),
    );
    check(
        &|p| p["spec"]["serviceAccountName"] = "bot".into(),
        Some("node \"n1\" can not create pods that reference serviceaccounts"),
    );
    check(
        &|p| p["spec"]["containers"] = json!([{"envFrom": [{"secretRef": {"name": "s"}}]}]),
        Some("node \"n1\" can not create pods that reference secrets"),
    );
    check(
        &|p| p["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]),
        Some("node \"n1\" can not create pods that reference secrets (via secret volumes)"),
    );
    check(
        &|p| p["spec"]["volumes"] = json!([{"name": "v", "newfangled": {}}]),
        Some("unknown volume type for volume  \"v\""),
    );
}

#[test]
fn nodes_write_only_their_pods() {
    let pod = |node: &str, labels: Value| json!({"metadata": {"labels": labels}, "spec": {"nodeName": node}});
    let status = |new: Value, old: Value| verdict("patch pods/status p ns", Some(new), Some(old), None);
    expect(status(pod("n1", json!({})), pod("n1", json!({}))), None);
    expect(
        status(pod("n2", json!({})), pod("n2", json!({}))),
        Some("node \"n1\" can only update pod status for pods with spec.nodeName set to itself"),
    );
    expect(
        status(pod("n1", json!({"a": "b"})), pod("n1", json!({}))),
        Some("node \"n1\" cannot update labels through pod status"),
    );
    let delete = |node: &str| verdict("delete pods p ns", None, Some(pod(node, json!({}))), None);
    expect(delete("n1"), None);
    expect(
        delete("n2"),
        Some("node \"n1\" can only delete pods with spec.nodeName set to itself"),
    );
    expect(
        verdict(
            "update pods p ns",
            Some(pod("n1", json!({}))),
            Some(pod("n1", json!({}))),
            None,
        ),
        Some("unexpected operation \"UPDATE\", node \"n1\" can only create and delete mirror pods"),
    );
}

#[test]
fn nodes_get_tokens_for_their_pods() {
    let request = |uid: &str, audiences: Value| {
        json!({"spec": {
            "audiences": audiences,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid},
        }})
    };
    let pod = |node: &str| {
        json!({
            "metadata": {"uid": "1"},
            "spec": {"nodeName": node, "volumes": [{"projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}}, {"serviceAccountToken": {"audience": "vault"}},
            ]}}]},
        })
    };
    let check = |new: Value, pod: Option<Value>, expected: Option<&str>| {
        expect(
            verdict("create serviceaccounts/token bot ns", Some(new), None, pod),
            expected,
        );
    };
    check(request("1", json!([])), Some(pod("n1")), None);
    check(request("1", json!(["vault"])), Some(pod("n1")), None);
    check(
        json!({"spec": {}}),
        None,
        Some("node requested token not bound to a pod"),
    );
    check(
        request("", json!([])),
        Some(pod("n1")),
        Some("node requested token with a pod binding without a uid"),
    );
    check(request("1", json!([])), None, Some("pod \"p\" not found"));
    check(
        request("1", json!([])),
        Some(pod("n2")),
        Some("node requested token bound to a pod scheduled on a different node"),
    );
    check(
        request("1", json!(["web"])),
        Some(pod("n1")),
        Some(
            "audience \"web\" not found in pod spec volume, system:node:n1 is not authorized to request tokens for \
             this audience",
        ),
    );
    let others = User::new("ann", &[]);
    let kind = kind("nodes");
    let write = Write {
        user: &others,
        verb: "delete",
        kind: &kind,
        subresource: "",
        name: "n2",
        namespace: "",
        new: None,
        old: None,
        related: None,
    };
    assert!(check_write(&write).is_ok());
}

#[test]
fn nodes_ask_for_certificates_in_their_own_name() {
    let pem = include_str!("../../../../gantry-api/tests/data/request.pem");
    let check = |signer: &str, pem: &str, expected: Option<&str>| {
        let request = json!({"spec": {"signerName": signer, "request": STANDARD.encode(pem)}});
        let verdict = verdict("create certificatesigningrequests r", Some(request), None, None);
        expect(verdict, expected);
    };
    let own = Some("can only create a node CSR with CN=system:node:n1");
    check("kubernetes.io/kubelet-serving", pem, own);
    check("kubernetes.io/kube-apiserver-client-kubelet", pem, own);
    check("example.com/s", pem, None);
    let why = Some("unable to parse csr: PEM block type must be CERTIFICATE REQUEST");
    check("kubernetes.io/kubelet-serving", "x", why);
}

fn check_write(write: &Write) -> Result<(), Status> {
    check(write)
}
