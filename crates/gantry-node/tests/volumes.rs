//! Volumes, their owners and their changes, and events, of pods on real containerd. Needs root; says so when it cannot
//! run.

mod common;

use common::kubelet::Kubelet;
use common::{Bench, eventually, first, possible};
use gantry_client::PatchType;
use gantry_client::resource::{CONFIG_MAPS, EVENTS, PODS, SECRETS};
use gantry_client::{ListOptions, Resource};
use http::StatusCode;
use serde_json::{Value, json};

fn shell(script: &str) -> Value {
    json!({"name": "c", "command": ["/bin/busybox", "sh", "-c", script]})
}

async fn patch(bench: &Bench, resource: &Resource, name: &str, patch: Value) {
    bench
        .client
        .patch(resource, ("default", name), "", PatchType::Merge, &patch)
        .await
        .unwrap();
}

async fn store(bench: &Bench, resource: &Resource, name: &str, data: Value) {
    let mut object = json!({"metadata": {"name": name, "namespace": "default"}});
    object["data"] = data;
    bench.client.create(resource, &object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_have_owners_and_follow_changes() {
    if !possible() {
        return;
    }
    let bench = Bench::new(8).await;
    let node = bench.start().await;
    bench.import_busybox().await;
    let user = ("kube-apiserver-kubelet-client", &[][..]);
    let kubelet = Kubelet::new(node.server(), &bench.pki, Some(user));
    store(&bench, &CONFIG_MAPS, "config", json!({"a": "one", "b": "bee"})).await;
    store(&bench, &SECRETS, "secret", json!({"key": "c2VjcmV0"})).await;
    let script = "cd /; stat() { /bin/busybox stat -L -c '%n %a %u:%g' $1; }
        echo new >/empty/file; echo there >/named/file
        for f in empty empty/file config/a secret/key tokens/token; do stat $f; done
        /bin/busybox id -G; /bin/busybox cat /bee; echo; echo ready.
        while true; do echo \"sees $(/bin/busybox cat /config/a) $(/bin/busybox cat /down/note).\"
            /bin/busybox sleep 0.2; done";
    let mut container = shell(script);
    container["env"] = json!([{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    container["volumeMounts"] = json!([
        {"name": "empty", "mountPath": "/empty"},
        {"name": "empty", "mountPath": "/named", "subPathExpr": "of-$(NAME)"},
        {"name": "config", "mountPath": "/config"},
        {"name": "config", "mountPath": "/bee", "subPath": "b"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "tokens", "mountPath": "/tokens"},
        {"name": "down", "mountPath": "/down"},
    ]);
    bench
        .create(
            "owner",
            json!({
                "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000},
                "containers": [container],
                "volumes": [
                    {"name": "empty", "emptyDir": {}},
                    {"name": "config", "configMap": {"name": "config"}},
                    {"name": "secret", "secret": {"secretName": "secret", "defaultMode": 0o400}},
                    {"name": "tokens", "projected": {"sources": [
                        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]}},
                    {"name": "down", "downwardAPI": {"items": [
                        {"path": "note", "fieldRef": {"fieldPath": "metadata.annotations['note']"}}]}},
                ],
            }),
        )
        .await;
    let pod = bench
        .until_pod("owner", "runs", |p| p["status"]["phase"] == "Running")
        .await;
    let (_, mut log) = kubelet.open("/containerLogs/default/owner/c?follow=true").await;
    let said = log.until("ready.\n").await;
    let said: Vec<&str> = said.lines().take_while(|l| *l != "ready.").collect();
    assert_eq!(
        said,
        [
            "empty 2777 0:2000",
            "empty/file 644 1000:2000",
            "config/a 644 0:2000",
            "secret/key 440 0:2000",
            "tokens/token 640 1000:2000",
            "3000 2000",
            "bee",
        ]
    );
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let volumes = bench.data_dir().join("pods").join(uid).join("volumes");
    assert!(
        volumes
            .join("kubernetes.io~empty-dir/empty/of-owner/file")
            .exists()
    );

    let token = volumes.join("kubernetes.io~projected/tokens/token");
    let before = std::fs::read(&token).unwrap();
    // One that has run out, or is none, is replaced when the pod is looked at.
    std::fs::write(&token, "stale").unwrap();
    patch(&bench, &CONFIG_MAPS, "config", json!({"data": {"a": "two"}})).await;
    patch(
        &bench,
        &PODS,
        "owner",
        json!({"metadata": {"annotations": {"note": "changed"}}}),
    )
    .await;
    log.until("sees two changed.\n").await;
    let after = std::fs::read(&token).unwrap();
    assert_eq!(after.split(|b| *b == b'.').count(), 3, "a token");
    assert_ne!(after, before);
    bench.delete("owner").await;
    eventually("the pod's directory is removed", || !volumes.exists()).await;
    bench.end(node).await;
}

/// What was told of a pod: type, reason and message.
async fn events(bench: &Bench, pod: &str) -> Vec<[String; 3]> {
    let options = ListOptions::fields(format!("involvedObject.name={pod}"));
    let list = bench.client.list(&EVENTS, "default", &options).await.unwrap();
    list.items
        .iter()
        .map(|e| ["type", "reason", "message"].map(|f| e[f].as_str().unwrap_or("").to_string()))
        .collect()
}

/// Waits until an event was told of a pod.
async fn told(bench: &Bench, pod: &str, type_: &str, reason: &str, message: &str) {
    let wait = async {
        while !events(bench, pod)
            .await
            .iter()
            .any(|[t, r, m]| t == type_ && r == reason && m.starts_with(message))
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let limit = std::time::Duration::from_secs(30);
    if tokio::time::timeout(limit, wait).await.is_err() {
        panic!(
            "not told: {reason} {message:?} of {pod}: {:#?}",
            events(bench, pod).await
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_upstreams() {
    if !possible() {
        return;
    }
    let bench = Bench::new(9).await;
    let node = bench.start().await;
    bench.import_busybox().await;
    let image = common::IMAGE;
    let mut probed = shell("/bin/busybox sleep 1000");
    probed["livenessProbe"] = json!({"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1});
    let containers = json!({"terminationGracePeriodSeconds": 0, "containers": [probed]});
    bench.create("sick", containers).await;
    let pod = bench
        .until_pod("sick", "is restarted", |p| first(p)["restartCount"] == 1)
        .await;
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let present =
        format!("Container image {image:?} already present on machine and can be accessed by the pod");
    let refused = format!("Liveness probe failed: dial tcp {ip}:1: connect: connection refused");
    for (type_, reason, message) in [
        ("Normal", "Pulled", present.as_str()),
        ("Normal", "Created", "Container created"),
        ("Normal", "Started", "Container started"),
        ("Warning", "Unhealthy", &refused),
        (
            "Normal",
            "Killing",
            "Container c failed liveness probe, will be restarted",
        ),
    ] {
        told(&bench, "sick", type_, reason, message).await;
    }
    bench.delete("sick").await;
    told(&bench, "sick", "Normal", "Killing", "Stopping container c").await;

    let crash = json!({"containers": [shell("exit 1")]});
    bench.create("crash", crash).await;
    let message = "Back-off restarting failed container c in pod crash_default(";
    told(&bench, "crash", "Warning", "BackOff", message).await;

    let missing = json!({"containers": [shell("exit 1")],
        "volumes": [{"name": "v", "secret": {"secretName": "none"}}]});
    bench.create("missing", missing).await;
    let message = "MountVolume.SetUp failed for volume \"v\" : secret \"none\" not found";
    told(&bench, "missing", "Warning", "FailedMount", message).await;
    let kubelet = Kubelet::new(
        node.server(),
        &bench.pki,
        Some(("kube-apiserver-kubelet-client", &[])),
    );
    let answer = kubelet.get("/containerLogs/default/missing/c").await;
    let text = "container \"c\" in pod \"missing\" is waiting to start: ContainerCreating";
    assert_eq!(answer, (StatusCode::BAD_REQUEST, text.into()));

    let absent = |name: &str, image: &str, policy: &str| {
        let container = json!({"name": "c", "image": image, "imagePullPolicy": policy});
        json!({"metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": "node-1", "containers": [container]}})
    };
    let pods = [
        absent("never", "example.invalid/none:1", "Never"),
        absent("unnamed", "Not/Valid", "IfNotPresent"),
        absent("pulled", "127.0.0.1:1/none:1", "IfNotPresent"),
    ];
    for pod in &pods {
        bench.client.create(&PODS, pod).await.unwrap();
    }
    let message = "Container image \"example.invalid/none:1\" is not present with pull policy of Never";
    told(&bench, "never", "Warning", "ErrImageNeverPull", message).await;
    told(&bench, "never", "Warning", "Failed", "Error: ErrImageNeverPull").await;
    let message = "Failed to apply default image tag \"Not/Valid\": couldn't parse image name \"Not/Valid\": \
                   invalid reference format: repository name (Not/Valid) must be lowercase";
    told(&bench, "unnamed", "Warning", "InspectFailed", message).await;
    told(&bench, "unnamed", "Warning", "Failed", "Error: InvalidImageName").await;
    for (type_, reason, message) in [
        ("Normal", "Pulling", "Pulling image \"127.0.0.1:1/none:1\""),
        (
            "Warning",
            "Failed",
            "Failed to pull image \"127.0.0.1:1/none:1\": rpc error: code = Unknown desc = failed to pull",
        ),
        ("Warning", "Failed", "Error: ErrImagePull"),
        (
            "Normal",
            "BackOff",
            "Back-off pulling image \"127.0.0.1:1/none:1\"",
        ),
        ("Warning", "Failed", "Error: ImagePullBackOff"),
    ] {
        told(&bench, "pulled", type_, reason, message).await;
    }
    for pod in ["crash", "missing", "never", "unnamed", "pulled"] {
        bench.delete(pod).await;
    }
    bench.end(node).await;
}
