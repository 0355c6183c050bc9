//! The node's own server, with pods on real containerd. Needs root; says so when it cannot run.

mod common;

use common::kubelet::Kubelet;
use common::{Bench, eventually, first, possible};
use gantry_client::resource::SERVICE_ACCOUNTS;
use gantry_node::Node;
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// As the API server asks.
fn api_server(bench: &Bench, node: &Node) -> Kubelet {
    let user = ("kube-apiserver-kubelet-client", &[][..]);
    Kubelet::new(node.server(), &bench.pki, Some(user))
}

fn shell(script: &str) -> Value {
    json!({"name": "c", "command": ["/bin/busybox", "sh", "-c", script]})
}

async fn running(bench: &Bench, pod: &str) {
    bench
        .until_pod(pod, "runs", |p| p["status"]["phase"] == "Running")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_read_and_followed() {
    if !possible() {
        return;
    }
    let bench = Bench::new(3).await;
    let node = bench.start().await;
    bench.import_busybox().await;
    let kubelet = api_server(&bench, &node);
    let wait = "while true; do /bin/busybox sleep 1; done";
    let plain = shell(&format!("echo one; echo two; echo three; {wait}"));
    let mut both = shell(&format!("echo out; echo err >&2; {wait}"));
    both["name"] = "both".into();
    bench
        .create(
            "talk",
            json!({"terminationGracePeriodSeconds": 1, "containers": [plain, both]}),
        )
        .await;
    running(&bench, "talk").await;
    let path = "/containerLogs/default/talk/c";
    let (_, mut followed) = kubelet.open(&format!("{path}?follow=true")).await;
    followed.until("three\n").await;
    let check = async |query: &str, status: u16, expected: &str| {
        let answer = kubelet.get(&format!("{path}?{query}")).await;
        assert_eq!(
            (answer.0.as_u16(), answer.1.as_str()),
            (status, expected),
            "{query}"
        );
    };
    check("tailLines=1", 200, "three\n").await;
    check("limitBytes=5", 200, "one\nt").await;
    check("sinceTime=2099-01-01T00:00:00Z", 200, "").await;
    check("tailLines=-1", 422, "{\"message\": \"Invalid request.\"}").await;
    check(
        "previous=true",
        400,
        "previous terminated container \"c\" in pod \"talk\" not found",
    )
    .await;
    let (_, mut both) = kubelet
        .open("/containerLogs/default/talk/both?follow=true&stream=Stderr")
        .await;
    assert_eq!(both.until("\n").await, "err\n");
    let stamped = kubelet
        .get(&format!("{path}?timestamps=true&tailLines=1"))
        .await
        .1;
    let (time, text) = stamped.split_once(' ').expect("a time");
    assert_eq!((time.len() >= 30, text), (true, "three\n"), "{stamped}");
    let missing = |path: &str| format!("/containerLogs/default/{path}");
    let answer = kubelet.get(&missing("none/c")).await;
    assert_eq!(
        answer,
        (StatusCode::NOT_FOUND, "pod \"none\" does not exist".into())
    );
    let answer = kubelet.get(&missing("talk/x")).await;
    assert_eq!(
        answer,
        (
            StatusCode::NOT_FOUND,
            "container \"x\" not found in pod \"talk\"".into()
        )
    );
    bench.delete("talk").await;
    assert_eq!(followed.rest().await, "", "following ends with the container");

    // Of a container that ends again and again, the last instance is kept.
    bench
        .create("again", json!({"containers": [shell("echo run; exit 1")]}))
        .await;
    bench
        .until_pod("again", "restarts", |p| first(p)["restartCount"] == 2)
        .await;
    let path = "/containerLogs/default/again/c";
    let answer = kubelet.get(&format!("{path}?previous=true")).await;
    assert_eq!(answer, (StatusCode::OK, "run\n".into()));
    let logs = bench.dir.path().join("log/containers");
    let links = || std::fs::read_dir(&logs).map_or(0, Iterator::count);
    eventually("old containers are removed", || links() <= 2).await;
    bench.delete("again").await;
    eventually("the logs are removed", || links() == 0).await;
    bench.end(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_logs_are_rotated() {
    if !possible() {
        return;
    }
    let bench = Bench::new(7).await;
    let node = bench.start().await;
    bench.import_busybox().await;
    let kubelet = api_server(&bench, &node);
    // More than one file may hold, then a line now and then.
    let script = "/bin/busybox yes 0123456789012345678901234567890123456789 | /bin/busybox head -n 200000;
        i=0; while true; do i=$((i+1)); echo line $i.; /bin/busybox sleep 0.2; done";
    bench
        .create(
            "large",
            json!({"terminationGracePeriodSeconds": 1, "containers": [shell(script)]}),
        )
        .await;
    let pod = bench
        .until_pod("large", "runs", |p| p["status"]["phase"] == "Running")
        .await;
    let path = "/containerLogs/default/large/c";
    let (_, mut followed) = kubelet.open(&format!("{path}?follow=true")).await;
    // A piece may hold more than was waited for, so all of it is kept.
    let mut seen = followed.until("line 1.\n").await;
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let logs = bench.dir.path().join(format!("log/pods/default_large_{uid}/c"));
    let rotated = || {
        let names = std::fs::read_dir(&logs).unwrap();
        let mut names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.any(|n| n.starts_with("0.log.")) && logs.join("0.log").exists()
    };
    eventually("the log is moved aside, and another begun", rotated).await;
    let size = std::fs::metadata(logs.join("0.log")).unwrap().len();
    assert!(size < 10 << 20, "{size}");
    // Nothing is lost on the way to the new file, which is empty at first.
    let mut last = String::new();
    while last.is_empty() {
        last = kubelet.get(&format!("{path}?tailLines=1")).await.1;
    }
    if !seen.contains(&last) {
        seen += &followed.until(&last).await;
    }
    let from = seen.find("line 1.\n").unwrap();
    let to = seen.find(&last).unwrap() + last.len();
    for (at, line) in seen[from..to].lines().enumerate() {
        assert_eq!(line, format!("line {}.", at + 1));
    }
    bench.delete("large").await;
    eventually("the logs are removed", || !logs.exists()).await;
    bench.end(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_streams_and_ports() {
    if !possible() {
        return;
    }
    let bench = Bench::new(4).await;
    let node = bench.start().await;
    bench.import_busybox().await;
    let kubelet = api_server(&bench, &node);
    let mut attachable = shell("while read line; do echo \"said $line\"; done");
    attachable["stdin"] = true.into();
    attachable["name"] = "a".into();
    let web = json!({"name": "c", "command": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/etc"]});
    bench
        .create(
            "web",
            json!({"terminationGracePeriodSeconds": 1, "containers": [web, attachable]}),
        )
        .await;
    running(&bench, "web").await;

    let command = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|w| format!("command={w}")).collect();
        format!("/exec/default/web/c?{}&output=1&error=1", words.join("&"))
    };
    let mut echo = kubelet
        .channels(&command(&["/bin/busybox", "echo", "hello"]))
        .await;
    assert!(echo.until(3, "Success").await.contains("Success"));
    assert_eq!(echo.rest(1).await, "hello\n");
    let mut fails = kubelet
        .channels(&command(&["/bin/busybox", "sh", "-c", "exit%207"]))
        .await;
    let status = fails.until(3, "ExitCode").await;
    assert!(
        status.contains("\"message\":\"7\""),
        "the exit code is told: {status}"
    );
    let path = command(&["/bin/busybox", "head", "-n", "1"]) + "&input=1";
    let mut cat = kubelet.channels(&path).await;
    cat.send(0, "typed\n").await;
    assert_eq!(cat.until(1, "typed\n").await, "typed\n");

    let (status, headers) = kubelet.spdy(&command(&["/bin/busybox", "true"])).await;
    assert_eq!(status, StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(headers["x-stream-protocol-version"], "v4.channel.k8s.io");

    let mut attached = kubelet.channels("/attach/default/web/a?input=1&output=1").await;
    attached.send(0, "x\n").await;
    assert_eq!(attached.until(1, "said x\n").await, "said x\n");

    let mut port = kubelet.channels("/portForward/default/web?port=8080").await;
    // Each channel begins with the number of its port.
    port.until(1, "\u{1f}").await;
    port.send(0, "GET /hosts HTTP/1.0\r\n\r\n").await;
    let answer = port.until(0, "localhost").await;
    assert!(
        answer.contains("HTTP/1.1 200 OK") && answer.contains("localhost"),
        "{answer}"
    );

    let check = async |path: &str, status: u16, expected: &str| {
        let answer = kubelet.get(path).await;
        assert_eq!(
            (answer.0.as_u16(), answer.1.as_str()),
            (status, expected),
            "{path}"
        );
    };
    check(
        "/exec/default/web/c",
        400,
        "you must specify at least 1 of stdin, stdout, stderr",
    )
    .await;
    check("/exec/default/web/c?output=1", 500, "Upgrade request required").await;
    check(
        "/exec/default/web/none?output=1",
        500,
        "container not found (\"none\")",
    )
    .await;
    check("/exec/default/none/c?output=1", 404, "pod does not exist").await;
    check("/portForward/default/web/uid", 404, "pod not found").await;

    drop(attached);
    bench.delete("web").await;
    bench.end(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_api_server_may_ask() {
    if !possible() {
        return;
    }
    let bench = Bench::new(5).await;
    let node = bench.start().await;
    bench.import_busybox().await;
    let check = async |user: Option<(&str, &[&str])>, path: &str, status: u16, expected: &str| {
        let kubelet = Kubelet::new(node.server(), &bench.pki, user);
        let answer = kubelet.get(path).await;
        assert_eq!(answer.0.as_u16(), status, "{path} {answer:?}");
        assert!(answer.1.contains(expected), "{path}: {}", answer.1);
    };
    let admin: Option<(&str, &[&str])> = Some(("admin", &["system:masters"]));
    let other: Option<(&str, &[&str])> = Some(("system:node:node-1", &["system:nodes"]));
    check(None, "/healthz", 401, "Unauthorized").await;
    check(other, "/healthz", 403, "subresource(s)=[healthz proxy]").await;
    check(admin, "/healthz", 200, "ok").await;
    check(None, "/pods", 401, "Unauthorized").await;
    check(
        other,
        "/pods",
        403,
        "Forbidden (user=system:node:node-1, verb=get, resource=nodes, subresource(s)=[pods proxy])",
    )
    .await;
    check(admin, "/none", 404, "404: Page Not Found").await;
    bench
        .create(
            "quiet",
            json!({"terminationGracePeriodSeconds": 1,
                "containers": [shell("while true; do /bin/busybox sleep 1; done")]}),
        )
        .await;
    running(&bench, "quiet").await;
    check(admin, "/pods", 200, "\"quiet\"").await;
    check(admin, "/runningpods/", 200, "\"quiet\"").await;
    check(admin, "/configz", 200, "\"kubeletconfig\"").await;
    check(admin, "/metrics", 200, "kubelet_running_pods 1\n").await;
    check(
        admin,
        "/metrics/resource",
        200,
        "container_cpu_usage_seconds_total{container=\"c\",pod=\"quiet\",namespace=\"default\"}",
    )
    .await;
    // Collectors of metrics come with their service accounts' tokens, and may do what their roles say.
    let group = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "scraper"},
        "rules": [{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "scraper"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "scraper"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "default"}]});
    for (plural, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let path = format!("/apis/{group}/v1/{plural}");
        bench
            .client
            .raw(Method::POST, &path, Some(&object))
            .await
            .expect("the role is made");
    }
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let account = (&SERVICE_ACCOUNTS, "default", "default");
    let answer = bench
        .client
        .create_subresource(account.0, account.1, account.2, "token", &asked)
        .await
        .expect("a token");
    let token = answer["status"]["token"].as_str().unwrap();
    let scraper = Kubelet::new(node.server(), &bench.pki, None).with_token(token);
    let metrics = "/metrics/resource";
    // The API server learns of new roles by watching.
    let allowed = async {
        while scraper.get(metrics).await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), allowed)
        .await
        .expect("the role is known");
    assert_eq!(scraper.get("/pods").await.0, StatusCode::FORBIDDEN);
    let stranger = Kubelet::new(node.server(), &bench.pki, None).with_token("nonsense");
    assert_eq!(
        stranger.get(metrics).await,
        (StatusCode::UNAUTHORIZED, "Unauthorized".into())
    );

    let kubelet = Kubelet::new(node.server(), &bench.pki, admin);
    let summary: Value = serde_json::from_str(&kubelet.get("/stats/summary").await.1).unwrap();
    let pod = &summary["pods"][0];
    assert_eq!(pod["podRef"]["name"], "quiet", "{summary:#}");
    for stats in [&summary["node"], pod, &pod["containers"][0]] {
        assert!(stats["cpu"]["usageCoreNanoSeconds"].is_u64(), "{stats:#}");
        assert!(stats["memory"]["workingSetBytes"].is_u64(), "{stats:#}");
    }
    assert!(summary["node"]["runtime"]["imageFs"]["capacityBytes"].is_u64());
    bench.delete("quiet").await;
    bench.end(node).await;
}
