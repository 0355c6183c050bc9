use super::*;
use crate::{NODES, User};
use serde_json::json;

fn pod(node: &str) -> Value {
    json!({
        "spec": {
            "nodeName": node, "serviceAccountName": "bot", "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "init"}}}]}],
            "containers": [{"envFrom": [{"configMapRef": {"name": "env"}}]}],
            "volumes": [
                {"secret": {"secretName": "mounted"}},
                {"projected": {"sources": [{"configMap": {"name": "ca"}}]}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "own", "ephemeral": {}},
            ],
        },
    })
}

fn graph() -> References {
    let mut graph = References::default();
    graph.set_pod("ns", "a", Some(&pod("n1")));
    graph.set_pod("ns", "free", Some(&pod("")));
    let mut mirror = pod("n1");
    mirror["metadata"] = json!({"annotations": {"kubernetes.io/config.mirror": "x"}});
    mirror["spec"]["serviceAccountName"] = "root".into();
    graph.set_pod("kube-system", "mirror", Some(&mirror));
    let volume = |claim: &str| {
        json!({"spec": {
            "claimRef": {"namespace": "ns", "name": claim},
            "csi": {"nodeStageSecretRef": {"namespace": "storage", "name": format!("of-{claim}")}},
        }})
    };
    graph.set_volume("v1", Some(&volume("claim")));
    graph.set_volume("v2", Some(&volume("other")));
    graph.set_bound(
        Object::VolumeAttachment,
        "at",
        Some(&json!({"spec": {"nodeName": "n1"}})),
    );
    graph
}

/// A request from "verb resource[.group][/subresource] namespace name [field selector]", `-` for empty.
fn asks(graph: &References, user: &User, request: &str) -> Decision {
    let words: Vec<&str> = request
        .split(' ')
        .map(|w| if w == "-" { "" } else { w })
        .collect();
    let (full, subresource) = words[1].split_once('/').unwrap_or((words[1], ""));
    let (resource, group) = full.split_once('.').unwrap_or((full, ""));
    let attributes = Attributes {
        group,
        resource,
        subresource,
        namespace: words[2],
        name: words[3],
        field_selector: words.get(4).copied().unwrap_or_default(),
        ..Attributes::of(user, words[0])
    };
    decide(&attributes, graph)
}

#[test]
fn a_node_reads_what_its_pods_need() {
    let graph = graph();
    let none = "no relationship found between node 'n1' and this object";
    let node = User::new("system:node:n1", &[NODES]);
    let check = |request: &str, refusal: Option<&str>| {
        let decision = asks(&graph, &node, request);
        assert_eq!(decision.allowed, refusal.is_none(), "{request}: {decision:?}");
        assert_eq!(decision.reason, refusal.unwrap_or_default(), "{request}");
    };
    for name in ["pull", "init", "mounted"] {
        check(&format!("get secrets ns {name}"), None);
    }
    for name in ["env", "ca"] {
        check(&format!("watch configmaps ns {name}"), None);
    }
    check("get secrets ns other", Some(none));
    check("get secrets default mounted", Some(none));
    check("list secrets ns -", Some("No Object name found"));
    check(
        "list secrets - mounted",
        Some("can only read namespaced object of this type"),
    );
    check(
        "update secrets ns mounted",
        Some("can only read resources of this type"),
    );
    check("get secrets storage of-claim", None);
    check("get secrets storage of-other", Some(none));
    check("get persistentvolumeclaims ns claim", None);
    check("get persistentvolumeclaims ns a-own", None);
    check("patch persistentvolumeclaims/status ns claim", None);
    check("get persistentvolumes - v1", None);
    check("get persistentvolumes - v2", Some(none));
    check(
        "list persistentvolumes - -",
        Some("can only get individual resources of this type"),
    );
    check("get volumeattachments.storage.k8s.io - at", None);
    check("get serviceaccounts ns bot", None);
    check("create serviceaccounts/token ns bot", None);
    check("create serviceaccounts/token ns other", Some(none));
    check("create serviceaccounts/token kube-system root", Some(none));
    check(
        "create serviceaccounts ns bot",
        Some("can only create token subresource of serviceaccount"),
    );
    check("get pods ns a", None);
    check("get pods kube-system mirror", None);
    check("get pods ns free", Some(none));
    check("list pods - - spec.nodeName=n1", None);
    check(
        "list pods - - spec.nodeName=n2",
        Some("can only list/watch pods with spec.nodeName field selector"),
    );
    check(
        "list pods - -",
        Some("can only list/watch pods with spec.nodeName field selector"),
    );
    check("patch pods/status ns a", None);
    check("patch pods ns a", Some(""));
    check("create pods/exec ns a", Some(""));
    check("get nodes - n1", None);
    check(
        "get nodes - n2",
        Some("node 'n1' cannot read 'n2', only its own Node object"),
    );
    check(
        "list nodes - -",
        Some("node 'n1' cannot read all nodes, only its own Node object"),
    );
    check("patch nodes/status - n1", None);
    check("delete nodes - n1", Some(""));
    check("create leases.coordination.k8s.io kube-node-lease -", None);
    check("update leases.coordination.k8s.io kube-node-lease n1", None);
    check(
        "update leases.coordination.k8s.io kube-node-lease n2",
        Some("can only access node lease with the same name as the requesting node"),
    );
    check(
        "update leases.coordination.k8s.io kube-system n1",
        Some("can only access leases in the \"kube-node-lease\" system namespace"),
    );
    check("watch services - -", None);
    check("create events ns -", None);
    check("delete services ns a", Some(""));
}

#[test]
fn others_get_no_opinion() {
    let graph = graph();
    for user in [
        User::new("system:node:n2", &[NODES]),
        User::new("system:node:", &[NODES]),
        User::new("system:node:n1", &[]),
        User::new("ann", &[NODES]),
    ] {
        let decision = asks(&graph, &user, "get secrets ns mounted");
        assert!(!decision.allowed, "{}", user.name);
    }
}

#[test]
fn relations_end_with_the_last_pod() {
    let mut graph = graph();
    graph.set_pod("ns", "b", Some(&pod("n1")));
    let related = |graph: &References| {
        (
            graph.related("n1", Object::Secret, "ns", "mounted"),
            graph.related("n1", Object::PersistentVolume, "", "v1"),
        )
    };
    graph.set_pod("ns", "a", None);
    assert_eq!(related(&graph), (true, true));
    graph.set_pod("ns", "b", Some(&pod("n2")));
    assert_eq!(related(&graph), (false, false));
    assert!(graph.related("n2", Object::Secret, "ns", "mounted"));
    graph.set_pod("ns", "b", None);
    graph.set_pod("kube-system", "mirror", None);
    graph.set_volume("v1", None);
    graph.set_volume("v2", None);
    graph.set_bound(Object::VolumeAttachment, "at", None);
    assert!(graph.is_empty(), "{graph:?}");
}
