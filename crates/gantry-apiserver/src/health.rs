//! `/livez`, `/readyz` and `/healthz`: whether the server works, as a whole or one check at a time.
//!
//! Source of the texts: k8s.io/apiserver/pkg/server/healthz.

use crate::connect::query::Query;
use crate::respond::{self, Body};
use crate::verbs::Api;
use gantry_store::RangeRequest;
use http::{HeaderValue, Response, header};
use std::fmt::Write;
use std::time::Duration;

/// The store must answer after this long.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
enum Check {
    /// The server answers at all.
    Ping,
    /// The store can be read. Under upstream's name, for what asks by it.
    Etcd,
    /// The same, as a condition of taking requests.
    EtcdReadiness,
    /// The server is not about to end.
    Shutdown,
    /// Done before the server listens, so that it holds whenever it is asked.
    Begun(&'static str),
}

/// Lines of the log never wait for one another.
const LOG: Check = Check::Begun("log");

/// What upstream's server does once it listens, by upstream's names, for what waits for one of them.
const BEGUN: [&str; 23] = [
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/storage-readiness",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-wait-for-first-sync",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

const GROUPS: [&str; 3] = ["healthz", "livez", "readyz"];

/// The checks of a group, in upstream's order.
fn checks(group: &str) -> Vec<Check> {
    let (before, after): (&[Check], &[Check]) = match group {
        "livez" | "healthz" => (&[Check::Ping, LOG, Check::Etcd], &[]),
        _ => (
            &[
                Check::Ping,
                LOG,
                Check::Etcd,
                Check::EtcdReadiness,
                Check::Begun("informer-sync"),
            ],
            &[Check::Shutdown],
        ),
    };
    let begun = BEGUN.map(Check::Begun);
    [before, &begun, after].concat()
}

/// The paths of all checks.
pub fn paths() -> impl Iterator<Item = String> {
    GROUPS.into_iter().flat_map(|group| {
        let own = checks(group).into_iter();
        let own = own.map(move |check| format!("/{group}/{}", check.name()));
        [format!("/{group}")].into_iter().chain(own)
    })
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::Ping => "ping",
            Check::Etcd => "etcd",
            Check::EtcdReadiness => "etcd-readiness",
            Check::Shutdown => "shutdown",
            Check::Begun(name) => name,
        }
    }

    async fn run(self, server: &Server<'_>) -> Result<(), String> {
        match self {
            Check::Ping | Check::Begun(_) => Ok(()),
            Check::Shutdown if server.ending => Err("process is shutting down".into()),
            Check::Shutdown => Ok(()),
            Check::Etcd | Check::EtcdReadiness => store(server.api).await,
        }
    }
}

/// Whether the store can be read.
pub async fn store(api: &Api) -> Result<(), String> {
    let request = RangeRequest {
        limit: 1,
        ..RangeRequest::all(b"/registry/namespaces/")
    };
    match tokio::time::timeout(PATIENCE, api.registry.store().range(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("the store cannot be read: {error}")),
        Err(_) => Err("the store does not answer".into()),
    }
}

/// What is checked.
pub struct Server<'a> {
    /// Over which store.
    pub api: &'a Api,
    /// Whether the server is about to end.
    pub ending: bool,
}

/// Answers a path of health checks; `None` when nothing is checked there.
pub async fn answer(server: &Server<'_>, path: &str, query: &str) -> Option<Response<Body>> {
    let path = path.strip_prefix('/')?;
    let (group, one) = match path.split_once('/') {
        Some((group, one)) => (group, Some(one)),
        None => (path, None),
    };
    let group = GROUPS.into_iter().find(|g| *g == group)?;
    let checks = checks(group);
    let query = Query::parse(query);
    match one {
        None => Some(all(server, group, &checks, &query).await),
        Some(name) => {
            let check = checks.iter().find(|c| c.name() == name)?;
            Some(match check.run(server).await {
                Ok(()) => text(200, "ok".into()),
                Err(why) => text(500, format!("internal server error: {why}\n")),
            })
        }
    }
}

async fn all(server: &Server<'_>, group: &'static str, checks: &[Check], query: &Query) -> Response<Body> {
    let mut lines = String::new();
    let mut failed = false;
    let mut unknown: Vec<&str> = query.all("exclude").collect();
    for check in checks {
        let name = check.name();
        let before = unknown.len();
        unknown.retain(|excluded| *excluded != name);
        // Writing to a String cannot fail.
        if unknown.len() < before {
            let _ = writeln!(lines, "[+]{name} excluded: ok");
            continue;
        }
        let result = check.run(server).await;
        server.api.healthchecks.note(name, group, result.is_err());
        let _ = match result {
            Ok(()) => writeln!(lines, "[+]{name} ok"),
            Err(why) => {
                tracing::warn!("the {group} check {name} failed: {why}");
                failed = true;
                // Anyone may ask; why is told to those who may ask for the one check.
                writeln!(lines, "[-]{name} failed: reason withheld")
            }
        };
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(",");
        let _ = writeln!(
            lines,
            "warn: some health checks cannot be excluded: no matches for {names}"
        );
    }
    match (failed, query.has("verbose")) {
        (true, _) => text(500, format!("{lines}{group} check failed\n")),
        (false, true) => text(200, format!("{lines}{group} check passed\n")),
        (false, false) => text(200, "ok".into()),
    }
}

fn text(code: u16, text: String) -> Response<Body> {
    let mut response = respond::text(code, text);
    let guess_nothing = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, guess_nothing);
    response
}
