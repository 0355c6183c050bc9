//! Pods on real containerd. Needs root; says so when it cannot run.

mod common;

use common::{Bench, condition, first, possible};
use gantry_client::PatchType;
use gantry_client::resource::PODS;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_and_are_found_again() {
    if !possible() {
        return;
    }
    let bench = Bench::new(1).await;
    let node = bench.start().await;
    bench.import_busybox().await;

    let begin = std::time::Instant::now();
    bench
        .create(
            "web",
            json!({"terminationGracePeriodSeconds": 1, "containers": [
                {"name": "a", "command": ["/bin/busybox", "sleep", "1000"]},
                {"name": "b", "command": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/etc"],
                 "readinessProbe": {"httpGet": {"path": "/hosts", "port": 8080}, "periodSeconds": 1}},
            ]}),
        )
        .await;
    let running = bench
        .until_pod("web", "runs", |p| p["status"]["phase"] == "Running")
        .await;
    eprintln!("created to running: {:?}", begin.elapsed());
    let ready = bench
        .until_pod("web", "is ready", |p| condition(p, "Ready") == "True")
        .await;
    assert_eq!(running["status"]["podIP"], ready["status"]["podIP"]);
    assert_eq!(ready["status"]["qosClass"], "BestEffort");
    let id = first(&ready)["containerID"].clone();

    // The node restarts: the container stays the same.
    node.stop();
    let node = bench.start().await;
    bench.create("done", json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i", "command": ["/bin/busybox", "true"]}],
        "containers": [{"name": "c", "command": ["/bin/busybox", "sh", "-c", "echo bye >/dev/termination-log; exit 3"]}],
    })).await;
    let done = bench
        .until_pod("done", "ends", |p| p["status"]["phase"] == "Failed")
        .await;
    let terminated = &first(&done)["state"]["terminated"];
    assert_eq!(
        (&terminated["exitCode"], &terminated["message"]),
        (&json!(3), &json!("bye\n")),
        "{done}"
    );
    assert_eq!(condition(&done, "Initialized"), "True");
    let web = bench
        .until_pod("web", "is ready", |p| condition(p, "Ready") == "True")
        .await;
    assert_eq!(
        (&first(&web)["containerID"], &first(&web)["restartCount"]),
        (&id, &json!(0))
    );

    bench.delete("done").await;
    bench.delete("web").await;
    bench.end(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_containers_look_into_a_pod() {
    if !possible() {
        return;
    }
    let bench = Bench::new(10).await;
    let node = bench.start().await;
    bench.import_busybox().await;
    let command = json!(["/bin/busybox", "sleep", "1000"]);
    bench
        .create(
            "seen",
            json!({"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "command": command}]}),
        )
        .await;
    bench
        .until_pod("seen", "runs", |p| p["status"]["phase"] == "Running")
        .await;
    let script = "/bin/busybox tr '\\0' ' ' </proc/1/cmdline >/dev/termination-log; exit 3";
    let debugger = json!({"name": "debugger", "image": common::IMAGE, "targetContainerName": "c",
        "command": ["/bin/busybox", "sh", "-c", script], "terminationMessagePolicy": "File"});
    let patch = json!({"spec": {"ephemeralContainers": [debugger]}});
    let of = ("default", "seen");
    bench
        .client
        .patch(&PODS, of, "ephemeralcontainers", PatchType::Strategic, &patch)
        .await
        .expect("the container is added");
    let status = |p: &Value| p["status"]["ephemeralContainerStatuses"][0].clone();
    let pod = bench
        .until_pod("seen", "was looked into", |p| {
            status(p)["state"].get("terminated").is_some()
        })
        .await;
    let terminated = &status(&pod)["state"]["terminated"];
    assert_eq!(
        (&terminated["exitCode"], &terminated["message"]),
        (&json!(3), &json!("/bin/busybox sleep 1000 ")),
        "{pod:#}"
    );
    // It is not started again, and does not matter to the pod.
    assert_eq!(condition(&pod, "Ready"), "True");
    assert_eq!(status(&pod)["restartCount"], 0);
    bench.delete("seen").await;
    bench.end(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_restart() {
    if !possible() {
        return;
    }
    let bench = Bench::new(2).await;
    let node = bench.start().await;
    bench.import_busybox().await;
    bench
        .create(
            "crash",
            json!({"containers": [{"name": "c", "command": ["/bin/busybox", "false"]}]}),
        )
        .await;
    bench
        .create(
            "sick",
            json!({"terminationGracePeriodSeconds": 1, "containers": [
        {"name": "c", "command": ["/bin/busybox", "sleep", "1000"], "livenessProbe":
            {"exec": {"command": ["/bin/busybox", "false"]}, "periodSeconds": 1, "failureThreshold": 1}}]}),
        )
        .await;
    bench
        .create(
            "nothing",
            json!({"containers": [{"name": "c", "imagePullPolicy": "Never", "env": []}]}),
        )
        .await;
    let crash = bench
        .until_pod("crash", "backs off", |p| {
            first(p)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let message = first(&crash)["state"]["waiting"]["message"]
        .as_str()
        .unwrap_or("");
    assert!(
        message.starts_with("back-off 10s restarting failed container=c pod=crash_default("),
        "{message}"
    );
    assert_eq!(first(&crash)["lastState"]["terminated"]["exitCode"], 1);
    bench
        .until_pod("sick", "is restarted", |p| first(p)["restartCount"] == 1)
        .await;
    for pod in ["crash", "sick", "nothing"] {
        bench.delete(pod).await;
    }
    bench.end(node).await;
}
