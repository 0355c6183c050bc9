//! Tests of a pod's rules as a whole.

use super::*;

fn pod(change: impl Fn(&mut Value)) -> Value {
    let mut object = json!({
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i:1"}]},
    });
    change(&mut object["spec"]);
    PodHooks.default(&mut object);
    object
}

fn texts(errors: Vec<Error>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(change: impl Fn(&mut Value), expected: &[&str]) {
    let object = pod(change);
    let mut errors = PodHooks.validate(&object);
    errors.extend(PodHooks.validate_create(&object));
    let texts = texts(errors);
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
    for (text, start) in texts.iter().zip(expected) {
        assert!(text.starts_with(start), "{text}\ninstead of\n{start}");
    }
}

#[test]
fn containers() {
    check(|_| {}, &[]);
    check(|s| s["containers"] = json!([]), &["spec.containers: Required value"]);
    check(
        |s| s["containers"] = json!([{"name": "a", "image": "x"}, {"name": "a"}]),
        &[
            "spec.containers[1].image: Required value",
            "spec.containers[1].name: Duplicate value: \"a\"",
        ],
    );
    check(
        |s| s["restartPolicy"] = "Sometimes".into(),
        &["spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\""],
    );
    check(
        |s| {
            s["containers"][0]["ports"] = json!([
                {"containerPort": 80, "name": "web", "hostPort": 80}, {"containerPort": 0, "name": "web"},
                {"containerPort": 70000, "hostPort": 80, "protocol": "ICMP"}, {"containerPort": 1, "hostPort": 80},
            ]);
        },
        &[
            "spec.containers[0].ports[1].name: Duplicate value: \"web\"",
            "spec.containers[0].ports[1].containerPort: Required value",
            "spec.containers[0].ports[2].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[2].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "spec.containers[0].ports[3].hostPort: Duplicate value: \"TCP//80\"",
        ],
    );
    check(
        |s| s["initContainers"] = json!([{"name": "c", "image": "x", "livenessProbe": {"exec": {"command": ["a"]}}}]),
        &[
            "spec.initContainers[0].name: Duplicate value: \"c\"",
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
    check(
        |s| s["ephemeralContainers"] = json!([{"name": "e", "image": "x"}]),
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
}

#[test]
fn environment_and_resources() {
    check(
        |s| {
            s["containers"][0]["env"] = json!([
                {"name": ""}, {"name": "a=b"}, {"name": "N", "value": "v", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "spec.nothing"}}},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
            ]);
        },
        &[
            "spec.containers[0].env[0].name: Required value",
            "spec.containers[0].env[1].name: Invalid value: \"a=b\": a valid environment variable name",
            "spec.containers[0].env[2].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            "spec.containers[0].env[3].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.nothing\": error converting",
        ],
    );
    check(
        |s| {
            s["containers"][0]["resources"] = json!({
                "limits": {"cpu": "1", "example.com/gpu": "2"},
                "requests": {"cpu": "1500m", "memory": "-1", "storage": "1", "example.com/gpu": "1"},
            });
        },
        &[
            "spec.containers[0].resources.requests: Invalid value: \"1500m\": must be less than or equal to cpu limit of 1",
            "spec.containers[0].resources.requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 2",
            "spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.containers[0].resources.requests[storage]: Invalid value: \"storage\": must be a standard resource for",
        ],
    );
}

#[test]
fn probes_and_lifecycle() {
    check(
        |s| {
            s["containers"][0]["livenessProbe"] = json!({"successThreshold": 2, "httpGet": {"port": "Web"}});
            s["containers"][0]["readinessProbe"] = json!({});
            s["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 31}}});
        },
        &[
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than",
            "spec.containers[0].livenessProbe.httpGet.port: Invalid value: \"Web\": must contain only alpha-numeric",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            "spec.containers[0].readinessProbe: Required value: must specify a handler type",
        ],
    );
}

#[test]
fn volumes() {
    check(
        |s| {
            s["volumes"] = json!([
                {"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}, {"name": "a", "secret": {}},
                {"name": "e", "emptyDir": {}}, {"name": "e", "emptyDir": {}},
                {"name": "h", "hostPath": {"path": "/a/../b", "type": "Door"}},
            ]);
            s["containers"][0]["volumeMounts"] = json!([
                {"name": "a", "mountPath": "/x"}, {"name": "gone", "mountPath": "/x"}, {"name": "h", "mountPath": "/y", "subPath": "/z"},
            ]);
        },
        &[
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[1].secret.secretName: Required value",
            "spec.volumes[3].name: Duplicate value: \"e\"",
            "spec.volumes[4].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
            "spec.volumes[4].hostPath.type: Unsupported value: \"Door\"",
            "spec.containers[0].volumeMounts[0].name: Not found: \"a\"",
            "spec.containers[0].volumeMounts[1].name: Not found: \"gone\"",
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/x\": must be unique",
            "spec.containers[0].volumeMounts[2].name: Not found: \"h\"",
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"/z\": must be a relative path",
        ],
    );
}

#[test]
fn the_rest_of_a_spec() {
    check(
        |s| {
            s["dnsPolicy"] = "None".into();
            s["activeDeadlineSeconds"] = 0.into();
            s["tolerations"] = json!([{"operator": "Equal"}, {"key": "k", "effect": "Always"}]);
            s["hostAliases"] = json!([{"ip": "x", "hostnames": ["a_b"]}]);
            s["nodeSelector"] = json!({"a b": "c"});
            s["securityContext"] = json!({"runAsUser": -1, "sysctls": [{"name": "Kernel"}]});
        },
        &[
            "spec.nodeSelector: Invalid value: \"a b\": name part must consist of",
            "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "spec.securityContext.sysctls[0].name: Invalid value: \"Kernel\": must have at most 253 characters",
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty",
            "spec.tolerations[1].effect: Unsupported value: \"Always\"",
            "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "spec.hostAliases[0].hostnames[0]: Invalid value: \"a_b\"",
        ],
    );
}

#[test]
fn parts_that_are_there_and_empty() {
    let one = |key: &str, value: Value, expected: &[&str]| check(|s| s[key] = value.clone(), expected);
    one(
        "resources",
        json!({"claims": [{"name": "c"}]}),
        &[
            "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level",
            "spec.resources.claims[0]: Not found: \"c\"",
        ],
    );
    one(
        "ephemeralContainers",
        json!([{
            "name": "e", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always", "resources": {},
            "lifecycle": {}, "resizePolicy": [],
        }]),
        &[
            "spec.ephemeralContainers[0].lifecycle: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers[0].resizePolicy: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ],
    );
    one(
        "securityContext",
        json!({"seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}, "appArmorProfile": {"localhostProfile": ""}}),
        &[
            "spec.securityContext.seccompProfile.localhostProfile: Invalid value: {\"Type\":\"Unconfined\",\
             \"LocalhostProfile\":\"a\"}: can only be set when seccomp type is Localhost",
            "spec.securityContext.appArmorProfile.type: Required value: type is required when appArmorProfile is set",
        ],
    );
    one(
        "volumes",
        json!([{"name": "v", "gcePersistentDisk": {"pdName": ""}}]),
        &["spec.volumes[0].persistentDisk.pdName: Required value"],
    );
    one(
        "tolerations",
        json!([{"key": "a", "operator": "Gt", "value": "1"}]),
        &["spec.tolerations[0].operator: Unsupported value: \"Gt\": supported values: \"Equal\", \"Exists\", \"Lt\", \"Gt\""],
    );
}

#[test]
fn affinity() {
    check(
        |s| {
            s["affinity"] = json!({
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}},
                "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "podAffinityTerm": {"topologyKey": ""}}]},
            });
            s["topologySpreadConstraints"] = json!([{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "Maybe"}]);
        },
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value",
            "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0",
            "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Required",
            "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Invalid",
            "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Invalid",
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Maybe\"",
        ],
    );
}

#[track_caller]
fn check_update(old: impl Fn(&mut Value), new: impl Fn(&mut Value), expected: &[&str]) {
    let texts = texts(PodHooks.validate_update(&pod(new), &pod(old)));
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
    for (text, start) in texts.iter().zip(expected) {
        assert!(text.starts_with(start), "{text}\ninstead of\n{start}");
    }
}

#[test]
fn changes() {
    check_update(|_| {}, |_| {}, &[]);
    check_update(|_| {}, |s| s["containers"][0]["image"] = "i:2".into(), &[]);
    check_update(|_| {}, |s| s["tolerations"] = json!([{"operator": "Exists"}]), &[]);
    check_update(|_| {}, |s| s["activeDeadlineSeconds"] = 5.into(), &[]);
    check_update(
        |s| s["activeDeadlineSeconds"] = 5.into(),
        |s| s["activeDeadlineSeconds"] = 6.into(),
        &["spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"],
    );
    check_update(
        |s| s["tolerations"] = json!([{"key": "a", "operator": "Exists"}]),
        |_| {},
        &["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
    );
    check_update(
        |_| {},
        |s| s["containers"].as_array_mut().unwrap().push(json!({"name": "d", "image": "x"})),
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    check_update(
        |_| {},
        |s| s["containers"][0]["command"] = json!(["x"]),
        &["spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
           `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
           tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n@@ -"],
    );
    let gated = |s: &mut Value| s["schedulingGates"] = json!([{"name": "g"}]);
    check_update(gated, |_| {}, &[]);
    check_update(
        |_| {},
        gated,
        &["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"],
    );
    let narrowed = |s: &mut Value| {
        gated(s);
        s["nodeSelector"] = json!({"a": "b"});
    };
    check_update(gated, narrowed, &[]);
    check_update(narrowed, gated, &["spec.nodeSelector: Invalid value"]);
}

#[test]
fn subresources() {
    let mut old = pod(|s| s["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}}));
    PodHooks.prepare_create(&mut old);
    assert_eq!(old["status"], json!({"phase": "Pending", "qosClass": "Burstable"}));
    let check = |subresource: Subresource, change: fn(&mut Value), expected: &[&str]| {
        let mut new = old.clone();
        change(&mut new);
        PodHooks.prepare_subresource(subresource, &mut new, &old);
        let texts = texts(PodHooks.validate_subresource(subresource, &new, &old));
        assert_eq!(texts, expected, "{new}");
        new
    };
    let new = check(
        Subresource::Resize,
        |p| p["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2".into(),
        &[],
    );
    assert_eq!(new["metadata"]["generation"], 2);
    check(
        Subresource::Resize,
        |p| p["spec"]["containers"][0]["name"] = "x".into(),
        &["spec: Forbidden: only cpu and memory resources are mutable"],
    );
    let new = check(
        Subresource::Resize,
        |p| {
            p["spec"]["nodeName"] = "x".into();
            p["metadata"]["labels"] = json!({"a": "b"});
        },
        &[],
    );
    assert_eq!(new, old, "nothing else is taken");
    let new = check(
        Subresource::EphemeralContainers,
        |p| {
            p["spec"]["ephemeralContainers"] = json!([{"name": "e", "image": "x"}]);
            p["spec"]["nodeName"] = "x".into();
        },
        &[],
    );
    assert_eq!(new["spec"]["ephemeralContainers"][0]["name"], "e");
    assert_eq!(new["spec"]["nodeName"], Value::Null, "nothing else is taken");
    let new = check(Subresource::Status, |p| p["status"] = json!({"phase": "Running"}), &[]);
    assert_eq!(new["status"]["qosClass"], "Burstable");
}

#[test]
fn what_containers_refer_to() {
    let one = |container: Value, expected: &[&str]| {
        check(
            |s| {
                s["volumes"] = json!([{"name": "bad", "emptyDir": {}, "hostPath": {"path": "/a"}}]);
                s["resourceClaims"] = json!([{"name": "c", "resourceClaimName": "c"}]);
                for (key, value) in container.as_object().unwrap() {
                    s["containers"][0][key] = value.clone();
                }
            },
            expected,
        );
    };
    let two_sources = "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type";
    one(
        json!({"volumeMounts": [{"name": "bad", "mountPath": "/a"}]}),
        &[two_sources, "spec.containers[0].volumeMounts[0].name: Not found: \"bad\""],
    );
    let (at, elsewhere) = ("spec.containers[0].", "must not already exist");
    one(
        json!({
            "volumeMounts": [{"name": "x", "mountPath": "/a"}], "volumeDevices": [{"name": "x", "devicePath": "/a"}],
        }),
        &[
            two_sources,
            &format!("{at}volumeMounts[0].name: Not found: \"x\""),
            &format!("{at}volumeMounts[0].name: Invalid value: \"x\": {elsewhere} in volumeDevices"),
            &format!("{at}volumeMounts[0].mountPath: Invalid value: \"/a\": {elsewhere} as a path in volumeDevices"),
            &format!("{at}volumeDevices[0].name: Not found: \"x\""),
            &format!("{at}volumeDevices[0].name: Invalid value: \"x\": {elsewhere} in volumeMounts"),
            &format!("{at}volumeDevices[0].devicePath: Invalid value: \"/a\": {elsewhere} as a path in volumeMounts"),
        ],
    );
    one(
        json!({"resources": {"claims": [{"name": "c", "request": "a"}, {"name": "c", "request": "a"}, {"name": "c"}, {"name": "c"}]}}),
        &[
            two_sources,
            "spec.containers[0].resources.claims[1]: Duplicate value: \"c/a\"",
            "spec.containers[0].resources.claims[2]: Duplicate value: \"c\"",
            "spec.containers[0].resources.claims[2]: Duplicate value: \"c\"",
            "spec.containers[0].resources.claims[3]: Duplicate value: \"c\"",
        ],
    );
    one(
        json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}}]}),
        &[
            two_sources,
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name\": error converting \
             fieldPath: unsupported pod version: v2",
        ],
    );
    one(
        json!({"securityContext": {"appArmorProfile": {"type": "None", "localhostProfile": "a"}}}),
        &[
            two_sources,
            "spec.containers[0].securityContext.appArmorProfile.type: Unsupported value: \"None\": supported values: \
             \"Localhost\", \"RuntimeDefault\", \"Unconfined\"",
        ],
    );
}
