//! The flow schemas and priority levels that a cluster has from its start.
//! Source: k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap.

use serde_json::{Value, json};

const MANDATORY: [&str; 2] = ["exempt", "catch-all"];
/// Says, while it is `true`, that the server keeps the object as it wants it.
pub const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Whether an object of this name must be there, as it is.
pub fn is_mandatory(name: &str) -> bool {
    MANDATORY.contains(&name)
}

/// The priority levels: the mandatory ones first.
pub fn priority_levels() -> Vec<Value> {
    let reject = json!({
        "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
    });
    let mut all = vec![
        json!({"metadata": {"name": "catch-all"}, "spec": {"type": "Limited", "limited": reject}}),
        json!({"metadata": {"name": "exempt"}, "spec": {
            "type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0},
        }}),
    ];
    for (name, shares, lendable, queues, hand) in [
        ("system", 30, 33, 64, 6),
        ("node-high", 40, 25, 64, 6),
        ("leader-election", 10, 0, 16, 4),
        ("workload-high", 40, 50, 128, 6),
        ("workload-low", 100, 90, 128, 6),
        ("global-default", 20, 50, 128, 6),
    ] {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        all.push(
            json!({"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": shares, "lendablePercent": lendable,
                "limitResponse": {"type": "Queue", "queuing": queuing},
            }}}),
        );
    }
    all.iter_mut().for_each(note);
    all
}

/// The flow schemas: the mandatory ones first.
pub fn flow_schemas() -> Vec<Value> {
    let resources = |verbs: &[&str], groups: &[&str], resources: &[&str], cluster: bool| {
        let mut rule =
            json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "namespaces": ["*"]});
        if cluster {
            rule["clusterScope"] = true.into();
        }
        rule
    };
    let leases = |verbs: &[&str]| resources(verbs, &["coordination.k8s.io"], &["leases"], false);
    let everything = || {
        json!({
            "resourceRules": [resources(&["*"], &["*"], &["*"], true)],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        })
    };
    let health = json!({"nonResourceRules": [
        {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]},
    ]});
    let elections = json!({"resourceRules": [leases(&["get", "create", "update"])]});
    let reports = json!({"resourceRules": [resources(&["*"], &[""], &["nodes", "nodes/status"], true), leases(&["*"])]});
    let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
    let user = |name: &str| json!({"kind": "User", "user": {"name": name}});
    let all = [group("system:unauthenticated"), group("system:authenticated")];
    let nodes = [group("system:nodes")];
    let (manager, scheduler) = (
        user("system:kube-controller-manager"),
        user("system:kube-scheduler"),
    );
    let system =
        json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}});
    let accounts = [group("system:serviceaccounts")];
    let electing = [manager.clone(), scheduler.clone(), system.clone()];
    let (by_user, by_namespace) = ("ByUser", "ByNamespace");
    let make = |name: &str,
                level: &str,
                precedence: i64,
                method: &str,
                subjects: &[Value],
                mut rule: Value| {
        rule["subjects"] = subjects.into();
        let mut schema = json!({"metadata": {"name": name}, "spec": {
            "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
        }});
        if !method.is_empty() {
            schema["spec"]["distinguisherMethod"] = json!({"type": method});
        }
        note(&mut schema);
        schema
    };
    vec![
        make(
            "exempt",
            "exempt",
            1,
            "",
            &[group("system:masters")],
            everything(),
        ),
        make("catch-all", "catch-all", 10_000, by_user, &all, everything()),
        make("system-nodes", "system", 500, by_user, &nodes, everything()),
        make("system-node-high", "node-high", 400, by_user, &nodes, reports),
        make("probes", "exempt", 2, "", &all, health),
        make(
            "system-leader-election",
            "leader-election",
            100,
            by_user,
            &electing,
            elections,
        ),
        make(
            "kube-controller-manager",
            "workload-high",
            800,
            by_namespace,
            &[manager],
            everything(),
        ),
        make(
            "kube-scheduler",
            "workload-high",
            800,
            by_namespace,
            &[scheduler],
            everything(),
        ),
        make(
            "kube-system-service-accounts",
            "workload-high",
            900,
            by_namespace,
            &[system],
            everything(),
        ),
        make(
            "service-accounts",
            "workload-low",
            9_000,
            by_user,
            &accounts,
            everything(),
        ),
        make(
            "global-default",
            "global-default",
            9_900,
            by_user,
            &all,
            everything(),
        ),
    ]
}

fn note(object: &mut Value) {
    object["metadata"]["annotations"] = json!({AUTO_UPDATE: "true"});
}

/// The mandatory priority level of this name.
pub fn mandatory_priority_level(name: &str) -> Option<Value> {
    named(name, priority_levels)
}

/// The mandatory flow schema of this name.
pub fn mandatory_flow_schema(name: &str) -> Option<Value> {
    named(name, flow_schemas)
}

/// A stored object with the spec that `wanted` has, if it lacks that and users have left it to the server.
pub fn reconciled(wanted: &Value, stored: &Value) -> Option<Value> {
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
    let (annotations, mut spec) = (&stored["metadata"]["annotations"], wanted["spec"].clone());
    if !is_mandatory(name) && annotations[AUTO_UPDATE] != "true" {
        return None;
    }
    // Of the exempt level, what it is given is the users' to say.
    if let (true, Some(exempt)) = (name == "exempt", stored["spec"].get("exempt")) {
        spec["exempt"] = exempt.clone();
    }
    let noted = &wanted["metadata"]["annotations"][AUTO_UPDATE];
    if stored["spec"] == spec && annotations[AUTO_UPDATE] == *noted {
        return None;
    }
    let mut object = stored.clone();
    object["spec"] = spec;
    object["metadata"]["annotations"][AUTO_UPDATE] = noted.clone();
    Some(object)
}

fn named(name: &str, all: fn() -> Vec<Value>) -> Option<Value> {
    let mut all = is_mandatory(name).then(all)?.into_iter();
    all.find(|object| object["metadata"]["name"] == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_changed_stays() {
        let check = |name: &str, change: fn(&mut Value), mended: bool| {
            let wanted = priority_levels()
                .into_iter()
                .find(|l| l["metadata"]["name"] == name)
                .unwrap();
            let mut stored = wanted.clone();
            change(&mut stored);
            assert_eq!(reconciled(&wanted, &stored).is_some(), mended, "{name}");
        };
        check("system", |_| {}, false);
        check(
            "system",
            |o| o["spec"]["limited"]["nominalConcurrencyShares"] = 1.into(),
            true,
        );
        let own = |o: &mut Value| {
            o["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
            o["spec"]["limited"]["nominalConcurrencyShares"] = 1.into();
        };
        check("system", own, false);
        check("catch-all", own, true);
        check(
            "exempt",
            |o| o["spec"]["exempt"]["lendablePercent"] = 5.into(),
            false,
        );
    }

    #[test]
    fn all_are_valid() {
        let check = |kind: crate::kind::Kind, objects: Vec<Value>, count: usize| {
            assert_eq!(objects.len(), count);
            for mut object in objects {
                kind.hooks.default(&mut object);
                assert_eq!(kind.hooks.validate(&object), [], "{object}");
            }
        };
        let kind = |name: &str| {
            crate::kinds::builtin()
                .into_iter()
                .find(|k| k.kind == name)
                .unwrap()
        };
        check(kind("PriorityLevelConfiguration"), priority_levels(), 8);
        check(kind("FlowSchema"), flow_schemas(), 11);
    }
}
