//! `/metrics` and the health checks from outside.

mod common;

use bytes::Bytes;
use gantry_apiserver::Server;
use gantry_auth::{AUTHENTICATED, MASTERS, User};
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use http::Request;
use http_body_util::BodyExt;
use std::sync::Arc;

async fn start() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
    let config = common::config(&pki);
    (
        Server::new(Arc::new(Memory::new()), config).await.unwrap(),
        folder,
    )
}

async fn get(server: &Server, user: User, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Bytes::new()).unwrap();
    let response = server.local(user).send(request).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&bytes).into_owned())
}

fn root() -> User {
    User::new("root", &[MASTERS, AUTHENTICATED])
}

#[tokio::test]
async fn metrics_are_for_those_who_may() {
    let (server, _folder) = start().await;
    let ann = User::new("ann", &[AUTHENTICATED]);
    assert_eq!(get(&server, ann, "/metrics").await.0, 403);
    assert_eq!(get(&server, root(), "/api/v1/namespaces/none").await.0, 404);
    server.add_metrics(|| "workqueue_depth{name=\"a\"} 1\n".into());
    let (code, text) = get(&server, root(), "/metrics").await;
    assert_eq!(code, 200);
    for line in [
        "apiserver_request_total{code=\"404\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"namespaces\",scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"} 1",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1",
        "apiserver_resource_objects{group=\"\",resource=\"namespaces\"} 4",
        "kubernetes_feature_enabled{name=\"AllAlpha\",stage=\"ALPHA\"} 0",
        "kubernetes_feature_enabled{name=\"DRAAdminAccess\",stage=\"\"} 1",
        "apiserver_resource_objects{group=\"apps\",resource=\"deployments\"} 0",
        "apiserver_storage_objects{resource=\"deployments.apps\"} 0",
        "# TYPE apiserver_response_sizes histogram",
        "# TYPE apiserver_admission_controller_admission_duration_seconds histogram",
        "# TYPE apiserver_admission_step_admission_duration_seconds histogram",
        "# TYPE apiserver_request_duration_seconds histogram",
        "# TYPE process_resident_memory_bytes gauge",
        "workqueue_depth{name=\"a\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn health_one_by_one() {
    let (server, _folder) = start().await;
    let check = async |path: &str, code: u16, expected: &str| {
        let found = get(&server, root(), path).await;
        assert_eq!(found, (code, expected.to_owned()), "{path}");
    };
    check("/livez", 200, "ok").await;
    check("/healthz/ping", 200, "ok").await;
    check("/readyz/shutdown", 200, "ok").await;
    check("/livez/poststarthook/rbac/bootstrap-roles", 200, "ok").await;
    let verbose = async |path: &str, start: &str, end: &str| {
        let (code, found) = get(&server, root(), path).await;
        let fits = found.starts_with(start) && found.ends_with(end);
        assert!(code == 200 && fits, "{path}: {found}");
    };
    let end = "[+]poststarthook/apiservice-openapiv3-controller ok\nlivez check passed\n";
    verbose(
        "/livez?verbose",
        "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]poststarthook/",
        end,
    )
    .await;
    let start = "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n";
    let end = "[+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\n\
               readyz check passed\n";
    verbose("/readyz?verbose=1&exclude=etcd&exclude=x", start, end).await;
    // What upstream's end-to-end test of these paths asks for.
    for group in ["healthz", "livez", "readyz"] {
        for name in [
            "start-apiserver-admission-initializer",
            "start-apiextensions-informers",
            "start-cluster-authentication-info-controller",
            "start-kube-aggregator-informers",
            "apiservice-status-local-available-controller",
            "apiservice-status-remote-available-controller",
        ] {
            check(&format!("/{group}/poststarthook/{name}"), 200, "ok").await;
        }
    }
    assert_eq!(get(&server, root(), "/livez/none").await.0, 404);
    assert_eq!(get(&server, User::anonymous(), "/livez/etcd").await.0, 403);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.serve(listener, async {}).await;
    let (code, found) = get(&server, root(), "/readyz").await;
    let ended = "[-]shutdown failed: reason withheld\nreadyz check failed\n";
    assert!(code == 500 && found.ends_with(ended), "{found}");
    check(
        "/readyz/shutdown",
        500,
        "internal server error: process is shutting down\n",
    )
    .await;
    check("/livez", 200, "ok").await;

    // How all this went. What was excluded, or asked for alone, does not count.
    let (code, found) = get(&server, root(), "/metrics/slis").await;
    assert_eq!(code, 200);
    for line in [
        "kubernetes_healthcheck{name=\"etcd\",type=\"livez\"} 1",
        "kubernetes_healthcheck{name=\"shutdown\",type=\"readyz\"} 0",
        "kubernetes_healthchecks_total{name=\"shutdown\",status=\"error\",type=\"readyz\"} 1",
        "kubernetes_healthchecks_total{name=\"shutdown\",status=\"success\",type=\"readyz\"} 1",
        "kubernetes_healthchecks_total{name=\"etcd\",status=\"success\",type=\"readyz\"} 1",
        "kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"livez\"} 3",
        "# TYPE process_start_time_seconds gauge",
    ] {
        assert!(found.lines().any(|l| l == line), "no {line} in\n{found}");
    }
    assert!(!found.contains("healthz"), "{found}");
    assert_eq!(get(&server, User::anonymous(), "/metrics/slis").await.0, 403);
}
