//! Requests: how many, how long they take, and how many are under way.
//!
//! Source of names, labels and buckets: k8s.io/apiserver/pkg/endpoints/metrics.

use crate::apply;
use crate::limits::Class;
use crate::metrics::distribution::Distribution;
use crate::metrics::text::Text;
use crate::options::Options;
use crate::request::Parsed;
use crate::respond::{Body, BodyError};
use bytes::Bytes;
use gantry_api::kind::Deprecation;
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use smol_str::SmolStr;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Instant;

/// Upper bounds of the buckets of times, in seconds.
const BUCKETS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Upper bounds of the buckets of answers' sizes, in bytes.
const SIZES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Paths that are told apart; all others that name no resource are counted as one.
const PATHS: [&str; 9] = [
    "/api",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/readyz",
    "/version",
];
const TOTAL: &str = "apiserver_request_total";
const TOTAL_HELP: &str = "[STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.";
const DURATION: &str = "apiserver_request_duration_seconds";
const DURATION_HELP: &str = "[STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.";
const RESPONSE: &str = "apiserver_response_sizes";
const RESPONSE_HELP: &str = "[STABLE] Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.";
const DEPRECATED: &str = "apiserver_requested_deprecated_apis";
const DEPRECATED_HELP: &str = "[STABLE] Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and removed_release.";
const LONG: &str = "apiserver_longrunning_requests";
const LONG_HELP: &str = "[STABLE] Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.";
const INFLIGHT: &str = "apiserver_current_inflight_requests";
const INFLIGHT_HELP: &str = "[STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.";

/// What requests are told apart by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Labels {
    verb: &'static str,
    dry_run: &'static str,
    group: SmolStr,
    version: SmolStr,
    resource: SmolStr,
    subresource: SmolStr,
    scope: &'static str,
    /// Which release will not serve the resource, if it is deprecated.
    removed: Option<SmolStr>,
}

impl Labels {
    fn of<B>(parsed: &Parsed, request: &Request<B>) -> Self {
        let parameters = || request.uri().query().unwrap_or("").split('&');
        let verb = match *request.method() {
            Method::GET | Method::HEAD => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        let Parsed::Resource(target) = parsed else {
            let known = PATHS.iter().find(|path| {
                let rest = request.uri().path().strip_prefix(**path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            return Labels {
                verb,
                subresource: known.copied().unwrap_or("").into(),
                ..Labels::default()
            };
        };
        let scope = match (&target.name, &target.namespace, verb) {
            (Some(_), _, _) | (_, _, "POST") => "resource",
            (None, Some(_), _) => "namespace",
            (None, None, _) => "cluster",
        };
        // As the handler reads it: a list that passes for a watch would have no limits.
        let watches = || {
            let query = request.uri().query().unwrap_or("");
            query.contains(['w', '%']) && Options::parse(query).flag("watch")
        };
        let applies = || {
            let type_ = request.headers().get(header::CONTENT_TYPE);
            type_.is_some_and(|t| t.as_bytes().starts_with(apply::MEDIA_TYPE.as_bytes()))
        };
        let verb = match (verb, scope) {
            _ if target.connects().is_some() => "CONNECT",
            ("GET", "namespace" | "cluster") if watches() => "WATCH",
            ("GET", "namespace" | "cluster") => "LIST",
            ("DELETE", "namespace" | "cluster") => "DELETECOLLECTION",
            ("PATCH", _) if applies() => "APPLY",
            (verb, _) => verb,
        };
        Labels {
            verb,
            dry_run: if parameters().any(|p| p == "dryRun=All") {
                "All"
            } else {
                ""
            },
            group: target.kind.group.clone(),
            version: target.kind.version.clone(),
            resource: target.kind.plural.clone(),
            subresource: target.subresource.as_deref().unwrap_or("").into(),
            scope,
            removed: target.kind.deprecation.as_ref().map(Deprecation::removed_release),
        }
    }

    /// Whether such requests stay open.
    fn is_long(&self) -> bool {
        matches!(self.verb, "WATCH" | "CONNECT")
    }

    /// Whether they read, and their answers' sizes tell something.
    fn is_read(&self) -> bool {
        matches!(self.verb, "GET" | "LIST")
    }

    fn deprecated(&self) -> Option<[(&str, &str); 5]> {
        let removed = self.removed.as_deref()?;
        Some([
            ("group", &self.group),
            ("removed_release", removed),
            ("resource", &self.resource),
            ("subresource", &self.subresource),
            ("version", &self.version),
        ])
    }

    fn pairs(&self) -> [(&str, &str); 8] {
        [
            ("component", "apiserver"),
            ("dry_run", self.dry_run),
            ("group", &self.group),
            ("resource", &self.resource),
            ("scope", self.scope),
            ("subresource", &self.subresource),
            ("verb", self.verb),
            ("version", &self.version),
        ]
    }
}

/// Requests that have all labels in common.
struct Series {
    /// How many were answered with each code.
    codes: Mutex<Vec<(u16, u64)>>,
    /// How long they took.
    times: Distribution,
    /// How much was answered.
    sizes: Distribution,
    running: AtomicI64,
}

impl Default for Series {
    fn default() -> Self {
        Series {
            codes: Mutex::default(),
            times: Distribution::new(BUCKETS),
            sizes: Distribution::new(SIZES),
            running: AtomicI64::new(0),
        }
    }
}

/// All requests. A request costs one look-up and a few additions.
#[derive(Default)]
pub struct Requests {
    // Bounded: labels are the kinds', and nothing a client makes up.
    series: RwLock<HashMap<Labels, Arc<Series>>>,
    mutating: AtomicI64,
    read_only: AtomicI64,
}

/// One request that is under way. It is counted when the last clone is dropped.
#[derive(Clone)]
pub struct Meter(Arc<Running>);

struct Running {
    requests: Arc<Requests>,
    series: Arc<Series>,
    began: Instant,
    long: bool,
    mutating: bool,
    /// Whether the answer's size is noted.
    read: bool,
    /// Bytes of the answer so far.
    size: AtomicU64,
    /// The answer's code; 0 while there is none.
    code: AtomicU16,
}

impl Requests {
    /// Begins to measure a request.
    pub fn begin<B>(self: &Arc<Self>, parsed: &Parsed, request: &Request<B>) -> Meter {
        let labels = Labels::of(parsed, request);
        let (long, read) = (labels.is_long(), labels.is_read());
        let running = Running {
            requests: self.clone(),
            series: self.series(labels),
            began: Instant::now(),
            long,
            read,
            size: AtomicU64::new(0),
            mutating: !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS),
            code: AtomicU16::new(0),
        };
        running.gauge().fetch_add(1, Ordering::Relaxed);
        Meter(Arc::new(running))
    }

    fn series(&self, labels: Labels) -> Arc<Series> {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(&labels) {
            return series.clone();
        }
        drop(known);
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(labels).or_default().clone()
    }

    /// Writes all that was counted.
    pub fn write(&self, text: &mut Text) {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.iter().map(|(l, s)| (l.clone(), s.clone())).collect();
        drop(known);
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let load = |value: &AtomicI64| value.load(Ordering::Relaxed) as f64;
        text.family(INFLIGHT, "gauge", INFLIGHT_HELP);
        text.value(INFLIGHT, &[("request_kind", "mutating")], load(&self.mutating));
        text.value(INFLIGHT, &[("request_kind", "readOnly")], load(&self.read_only));
        text.family(LONG, "gauge", LONG_HELP);
        for (labels, series) in all.iter().filter(|(labels, _)| labels.is_long()) {
            text.value(LONG, &without_dry_run(labels), load(&series.running));
        }
        text.family(DURATION, "histogram", DURATION_HELP);
        for (labels, series) in &all {
            series.times.write(text, DURATION, &labels.pairs());
        }
        text.family(RESPONSE, "histogram", RESPONSE_HELP);
        for (labels, series) in &all {
            series.sizes.write(text, RESPONSE, &without_dry_run(labels));
        }
        text.family(DEPRECATED, "gauge", DEPRECATED_HELP);
        let mut deprecated: Vec<_> = all.iter().filter_map(|(labels, _)| labels.deprecated()).collect();
        deprecated.sort_unstable();
        deprecated.dedup();
        for labels in deprecated {
            text.value(DEPRECATED, &labels, 1.0);
        }
        text.family(TOTAL, "counter", TOTAL_HELP);
        for (labels, series) in &all {
            let mut codes = series
                .codes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            codes.sort_unstable();
            for (code, count) in codes {
                let code = code.to_string();
                let mut pairs = vec![("code", code.as_str())];
                pairs.extend(labels.pairs());
                text.value(TOTAL, &pairs, count as f64);
            }
        }
    }
}

fn without_dry_run(labels: &Labels) -> Vec<(&str, &str)> {
    let pairs = labels.pairs().into_iter();
    pairs.filter(|(name, _)| *name != "dry_run").collect()
}

impl Running {
    fn gauge(&self) -> &AtomicI64 {
        match (self.long, self.mutating) {
            (true, _) => &self.series.running,
            (false, true) => &self.requests.mutating,
            (false, false) => &self.requests.read_only,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gauge().fetch_sub(1, Ordering::Relaxed);
        let code = self.code.load(Ordering::Relaxed);
        // A client that left before its answer was begun got none.
        if code == 0 {
            return;
        }
        self.series.times.note(self.began.elapsed().as_secs_f64());
        if self.read {
            self.series.sizes.note(self.size.load(Ordering::Relaxed) as f64);
        }
        let mut codes = self.series.codes.lock().unwrap_or_else(PoisonError::into_inner);
        match codes.iter_mut().find(|(c, _)| *c == code) {
            Some((_, count)) => *count += 1,
            None => codes.push((code, 1)),
        }
    }
}

impl Meter {
    /// What places the request is counted by.
    pub fn class(&self) -> Class {
        match (self.0.long, self.0.mutating) {
            (true, _) => Class::Long,
            (false, true) => Class::Mutating,
            (false, false) => Class::ReadOnly,
        }
    }

    /// Ends the measurement with its answer; that of a long request, and of one whose size shows only then, ends with the
    /// answer's body.
    pub fn end(self, response: Response<Body>) -> Response<Body> {
        self.0.code.store(response.status().as_u16(), Ordering::Relaxed);
        match (self.0.long, response.body().size_hint().exact()) {
            (false, Some(size)) => {
                self.0.size.store(size, Ordering::Relaxed);
                response
            }
            (false, None) if !self.0.read => response,
            _ => response.map(|body| Metered { body, meter: self }.boxed_unsync()),
        }
    }
}

/// A body that is measured until it is dropped.
struct Metered {
    body: Body,
    meter: Meter,
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.meter.0.size.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{self, Kinds};
    use crate::respond;

    fn ask(method: &str, path: &str) -> (Parsed, Request<()>) {
        let kinds = Kinds::new(gantry_api::kinds::builtin());
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        (request::parse(request.uri().path(), &kinds), request)
    }

    #[test]
    fn what_requests_are_told_apart_by() {
        let check = |method: &str, path: &str, expected: [&str; 4]| {
            let (parsed, request) = ask(method, path);
            let labels = Labels::of(&parsed, &request);
            let found = [
                labels.verb,
                labels.resource.as_str(),
                labels.subresource.as_str(),
                labels.scope,
            ];
            assert_eq!(found, expected, "{method} {path}");
        };
        check("GET", "/api/v1/pods", ["LIST", "pods", "", "cluster"]);
        check(
            "GET",
            "/api/v1/namespaces/n/pods?watch=true",
            ["WATCH", "pods", "", "namespace"],
        );
        check(
            "GET",
            "/api/v1/namespaces/n/pods?watch=0",
            ["LIST", "pods", "", "namespace"],
        );
        check(
            "GET",
            "/api/v1/pods?watches=1&awatch=1",
            ["LIST", "pods", "", "cluster"],
        );
        check("GET", "/api/v1/pods?w%61tch=1", ["WATCH", "pods", "", "cluster"]);
        check(
            "GET",
            "/api/v1/namespaces/n/pods/p",
            ["GET", "pods", "", "resource"],
        );
        check(
            "POST",
            "/api/v1/namespaces/n/pods",
            ["POST", "pods", "", "resource"],
        );
        check(
            "DELETE",
            "/api/v1/namespaces/n/pods",
            ["DELETECOLLECTION", "pods", "", "namespace"],
        );
        check(
            "PUT",
            "/api/v1/nodes/n/status",
            ["PUT", "nodes", "status", "resource"],
        );
        check(
            "GET",
            "/api/v1/namespaces/n/pods/p/log",
            ["CONNECT", "pods", "log", "resource"],
        );
        check("GET", "/livez/etcd", ["GET", "", "/livez", ""]);
        check("GET", "/made/up", ["GET", "", "", ""]);
        check("BREW", "/made/up", ["other", "", "", ""]);
    }

    #[test]
    fn requests_are_counted() {
        let requests = Arc::new(Requests::default());
        let begin = |method: &str, path: &str| {
            let (parsed, request) = ask(method, path);
            requests.begin(&parsed, &request)
        };
        let has = |line: &str| {
            let mut text = Text::default();
            requests.write(&mut text);
            assert!(text.0.lines().any(|l| l == line), "no {line} in\n{}", text.0);
        };
        let create = begin("POST", "/apis/apps/v1/namespaces/n/deployments?dryRun=All");
        has("apiserver_current_inflight_requests{request_kind=\"mutating\"} 1");
        drop(create.end(respond::text(201, "")));
        has("apiserver_current_inflight_requests{request_kind=\"mutating\"} 0");
        let labels = "component=\"apiserver\",dry_run=\"All\",group=\"apps\",resource=\"deployments\",\
            scope=\"resource\",subresource=\"\",verb=\"POST\",version=\"v1\"";
        has(&format!("apiserver_request_total{{code=\"201\",{labels}}} 1"));
        has(&format!("apiserver_request_duration_seconds_count{{{labels}}} 1"));
        has(&format!(
            "apiserver_request_duration_seconds_bucket{{{labels},le=\"60\"}} 1"
        ));
        has(&format!(
            "apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 1"
        ));

        drop(begin("GET", "/api/v1/namespaces/n/endpoints/e").end(respond::text(200, "twelve bytes")));
        let labels = "component=\"apiserver\",group=\"\",resource=\"endpoints\",scope=\"resource\",subresource=\"\",\
            verb=\"GET\",version=\"v1\"";
        has(&format!(
            "apiserver_response_sizes_bucket{{{labels},le=\"1000\"}} 1"
        ));
        has(&format!("apiserver_response_sizes_sum{{{labels}}} 12"));
        has(
            "apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"endpoints\",subresource=\"\",\
             version=\"v1\"} 1",
        );

        let watch = begin("GET", "/api/v1/pods?watch=1").end(respond::text(200, ""));
        let labels = "component=\"apiserver\",group=\"\",resource=\"pods\",scope=\"cluster\",subresource=\"\",\
            verb=\"WATCH\",version=\"v1\"";
        has(&format!("apiserver_longrunning_requests{{{labels}}} 1"));
        drop(watch);
        has(&format!("apiserver_longrunning_requests{{{labels}}} 0"));
    }
}
