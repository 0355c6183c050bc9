//! A request from its head to its answer: who, what, whether, and which verb.

use crate::accept;
use crate::answered;
use crate::apply;
use crate::aside;
use crate::authenticate::{Authenticator, OPEN_PATHS};
use crate::body;
use crate::call::Call;
use crate::compress;
use crate::connect::{self, Connect};
use crate::deletion;
use crate::discovery;
use crate::documents::Documents;
use crate::health;
use crate::limits::{self, Class, Limits};
use crate::metrics::{self, Requests};
use crate::negotiate::{Format, STREAMS, TYPES};
use crate::options::Options;
use crate::outgoing::{self, PassedOn};
use crate::request::{self, Kinds, Parsed, Target};
use crate::respond::{self, Body};
use crate::verbs::Api;
use crate::warnings::Warnings;
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::status::Status;
use gantry_auth::{Attributes, User};
use http::{Method, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body as HttpBody;
use serde_json::json;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use tokio::time::{Instant, timeout_at};

/// A request's body, from a connection or from a component of the same process.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Writes metrics.
pub type MoreMetrics = Box<dyn Fn() -> String + Send + Sync>;

/// Answers requests.
pub struct Handler {
    /// The verbs.
    pub api: Api,
    /// Who sends requests.
    pub authenticator: Authenticator,
    /// What is passed on to nodes and pods.
    pub connect: Connect,
    /// Counts requests.
    pub requests: Arc<Requests>,
    /// What else is counted in this process, in Prometheus' format.
    pub more_metrics: OnceLock<MoreMetrics>,
    /// What is served, as OpenAPI documents.
    pub documents: Documents,
    /// Where the keys of service accounts' tokens are.
    pub jwks_uri: String,
}

impl Handler {
    /// Answers one request of `user`, within the limits for those that come from outside.
    pub async fn answer(
        &self,
        user: Arc<User>,
        mut request: Request<RequestBody>,
        limits: Option<&Arc<Limits>>,
    ) -> Response<Body> {
        if let Some(uri) = request::undeprecated(request.uri()) {
            *request.uri_mut() = uri;
        }
        let parsed = request::parse(request.uri().path(), &self.api.kinds.now());
        let meter = self.requests.begin(&parsed, &request);
        if let Parsed::Resource(target) = &parsed
            && target.connects().is_some()
        {
            // What is passed on may go on after its answer.
            request.extensions_mut().insert(meter.clone());
        }
        let limits = limits.filter(|_| !limits::is_exempt(request.uri().path()));
        let answer = match limits {
            Some(limits) => {
                self.answer_within(limits, meter.class(), user, parsed, request)
                    .await
            }
            None => self.answer_parsed(user, parsed, request).await,
        };
        meter.end(answer)
    }

    async fn answer_within(
        &self,
        limits: &Arc<Limits>,
        class: Class,
        user: Arc<User>,
        parsed: Parsed,
        mut request: Request<RequestBody>,
    ) -> Response<Body> {
        let end = match (class, limits::time(request.uri().query().unwrap_or(""))) {
            (Class::Long, _) => None,
            (_, Ok(time)) => Some(Instant::now() + time),
            (_, Err(status)) => return respond::error(&status, Format::Json),
        };
        let announced = request
            .body()
            .size_hint()
            .upper()
            .and_then(|n| usize::try_from(n).ok());
        let bytes = match class {
            Class::Long => 0,
            _ => announced.unwrap_or(body::LIMIT).min(body::LIMIT),
        };
        let seat = match limits.enter(&user, class, bytes).await {
            Ok(seat) => seat,
            Err(busy) => return busy.respond(),
        };
        if let Some(turn) = seat.turn() {
            request.extensions_mut().insert(turn);
        }
        let format = accept::plain(accept::header(request.headers())).unwrap_or_default();
        let answer = self.answer_parsed(user, parsed, request);
        let answer = match end {
            None => answer.await,
            Some(end) => match timeout_at(end, answer).await {
                Ok(answer) => answer,
                Err(_) => respond::error(&limits::timed_out(), format),
            },
        };
        outgoing::keep(answer, end, seat)
    }

    async fn answer_parsed(
        &self,
        user: Arc<User>,
        parsed: Parsed,
        request: Request<RequestBody>,
    ) -> Response<Body> {
        let accept = accept::header(request.headers());
        if let Parsed::Resource(target) = &parsed
            && target.kind.custom.is_none()
            && target.connects().is_none()
            && !accept::names(accept, &TYPES)
        {
            let listed = target.name.is_none() && request.method() == Method::GET;
            return respond::error(&not_acceptable(&TYPES, listed), Format::Json);
        }
        // Refusals are plain, whatever look of objects is asked for.
        let format = accept::plain(accept).unwrap_or_default();
        self.try_answer(user, parsed, request, format)
            .await
            .unwrap_or_else(|status| respond::error(&status, format))
    }

    async fn try_answer(
        &self,
        user: Arc<User>,
        parsed: Parsed,
        request: Request<RequestBody>,
        format: Format,
    ) -> Result<Response<Body>, Status> {
        match parsed {
            Parsed::Resource(target) => self.resource(user, target, request, format).await,
            Parsed::Unknown => self.nothing(request.uri().path()),
            Parsed::NoSuchPart(kind, name) => Err(Status::not_found(&kind.group, &kind.plural, &name)),
            Parsed::Other => self.other(&user, request.into_parts().0).await,
        }
    }

    async fn resource(
        &self,
        user: Arc<User>,
        target: Target,
        request: Request<RequestBody>,
        refusals: Format,
    ) -> Result<Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let options = Options::parse(head.uri.query().unwrap_or(""));
        let kind = target.kind.clone();
        let connects = target.connects();
        let named = target.name.is_some();
        // Custom resources answer HEAD as they do GET.
        let custom = kind.custom.is_some();
        let get = Method::GET;
        let method = match custom && head.method == Method::HEAD {
            true => &get,
            false => &head.method,
        };
        let verb = match (method, named) {
            (method, _) if let Some(subresource) = connects => {
                connect::verb(subresource, method).ok_or_else(Status::method_not_allowed)?
            }
            (&Method::GET, true) => "get",
            (&Method::GET, false) if options.flag("watch") => "watch",
            (&Method::GET, false) => "list",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, true) => "delete",
            (&Method::DELETE, false) => "deletecollection",
            // Upstream has no verb for these, and says so.
            _ if custom => return Err(not_supported(&kind, "")),
            _ => return Err(Status::method_not_allowed()),
        };
        let namespace = match (kind.plural.as_str(), &target.name) {
            ("namespaces", Some(name)) => name.as_str(),
            _ => target.namespace.as_deref().unwrap_or(""),
        };
        let selector = options.text("fieldSelector");
        let name = match target.name.as_deref() {
            // A list narrowed to one name is about that object.
            None => gantry_auth::exact(selector, "metadata.name").unwrap_or_default(),
            Some(name) => name,
        };
        let attributes = Attributes {
            group: &kind.group,
            resource: &kind.plural,
            subresource: target.subresource.as_deref().unwrap_or(""),
            namespace,
            name,
            field_selector: selector,
            ..Attributes::of(&user, verb)
        };
        self.api.authorizer.allow(&attributes)?;
        if connects.is_none() && !target.takes(verb) {
            match kind.custom {
                Some(_) => refuse_custom(&target, verb)?,
                None => return Err(Status::method_not_allowed()),
            }
        }
        if let Some(subresource) = connects {
            let request = connect::Request {
                user,
                target,
                head,
                body,
            };
            let answer = self.connect.answer(&self.api, subresource, request).await;
            return answer.map(|mut answer| {
                answer.extensions_mut().insert(PassedOn);
                answer
            });
        }
        let text = |name| {
            head.headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or("")
                .to_string()
        };
        let content_type = text(header::CONTENT_TYPE);
        let gzip = verb != "watch" && compress::accepted(&head.headers);
        // An apply may make the object, and so may some updates, for which their verb is not permission enough.
        let may_create =
            content_type.starts_with(apply::MEDIA_TYPE) || verb == "update" && kind.hooks.creates_on_update();
        let create_denied = match may_create {
            true => self
                .api
                .authorizer
                .allow(&Attributes {
                    verb: "create",
                    ..attributes
                })
                .err(),
            false => None,
        };
        // Who reads sends none that matters.
        let body = match verb {
            "get" | "list" | "watch" => Bytes::new(),
            _ => body::receive(body).await?,
        };
        let answered = answered::find(&kind);
        let offer = accept::Offer {
            no_protobuf: kind.custom.is_some() && target.subresource.as_deref() != Some("scale"),
            no_tables: answered.is_some_and(|answered| !answered.has_tables()),
        };
        let (format, wanted) = accept::of_objects(accept::header(&head.headers), offer)
            .ok_or_else(|| Status::not_acceptable(&TYPES))?;
        if verb == "watch" && format == Format::Yaml && kind.custom.is_none() {
            return Err(Status::not_acceptable(&STREAMS));
        }
        let warnings = Arc::new(Warnings::default());
        let call = Call {
            user,
            verb,
            target,
            options,
            format,
            wanted,
            content_type,
            user_agent: text(header::USER_AGENT),
            create_denied,
            body,
            warnings: warnings.clone(),
            handover: head.extensions.get().cloned(),
        };
        warnings.extend(kind.deprecation_warning());
        if verb == "patch" {
            call.check_patch_type()?;
        }
        let options = match verb {
            "create" => Some("CreateOptions"),
            "update" => Some("UpdateOptions"),
            "patch" => Some("PatchOptions"),
            _ => None,
        };
        if let Some(kind) = options {
            call.options.check(kind, call.is_apply())?;
        }
        let bytes = call.body.len();
        let work = pin!(async {
            match (answered, verb) {
                (Some(answered), _) => answered.answer(&self.api, &self.authenticator, call).await,
                (None, "get") => self.api.get(&call).await,
                (None, "create") => self.api.create(&call).await,
                (None, "update") => self.api.update(&call).await,
                (None, "patch") => self.api.patch(&call).await,
                (None, "delete") => deletion::delete(&self.api, &call).await,
                (None, "deletecollection") => deletion::delete_collection(&self.api, &call).await,
                (None, _) => self.api.list(&call).await,
            }
        });
        let answer = aside::run(bytes, head.extensions.get(), work).await;
        // Those who are refused are told, too.
        let mut answer = answer.unwrap_or_else(|status| respond::error(&status, refusals));
        warnings.tell(&mut answer);
        match gzip {
            true => Ok(compress::gzip(answer).await),
            false => Ok(answer),
        }
    }

    /// Nothing is served at this path: an error of the API below its own groups, a page of text elsewhere.
    fn nothing(&self, path: &str) -> Result<Response<Body>, Status> {
        let mut parts = path.split('/').filter(|p| !p.is_empty());
        let inside = match parts.next() {
            Some("api") => true,
            Some("apis") => parts.next().is_some_and(|group| {
                self.api
                    .kinds
                    .now()
                    .iter()
                    .any(|k| k.group == group && k.custom.is_none())
            }),
            _ => false,
        };
        match inside {
            true => Err(Status::no_such_path()),
            false => Ok(respond::no_such_page()),
        }
    }

    async fn other(&self, user: &User, head: http::request::Parts) -> Result<Response<Body>, Status> {
        let path = head.uri.path();
        let open = OPEN_PATHS.contains(&path);
        if !open {
            let verb = head.method.as_str().to_ascii_lowercase();
            self.api.authorizer.allow(&Attributes {
                path: Some(path),
                ..Attributes::of(user, &verb)
            })?;
        }
        let get = head.method == Method::GET;
        match path {
            "/" | "/index.html" => return Ok(respond::json(200, &discovery::paths(&self.api.kinds.now()))),
            "/metrics" => {
                return Ok(
                    metrics::answer(&self.requests, &self.api, self.more_metrics.get(), &version()).await,
                );
            }
            "/metrics/slis" => return Ok(self.api.healthchecks.answer()),
            "/version" | "/version/" if get && !accept::names(accept::header(&head.headers), &TYPES[..1]) => {
                return Err(not_acceptable(&TYPES[..1], false));
            }
            "/version" | "/version/" if get => return Ok(respond::json(200, &version())),
            "/.well-known/openid-configuration" if get => {
                let answer = self.api.tokens.openid_configuration(&self.jwks_uri);
                return Ok(respond::json(200, &answer));
            }
            "/openid/v1/jwks" if get => {
                let type_ = "application/jwk-set+json";
                return Ok(respond::with_type(200, type_, self.api.tokens.jwks().to_string()));
            }
            "/version" | "/version/" | "/.well-known/openid-configuration" | "/openid/v1/jwks" => {
                return Err(Status::method_not_allowed());
            }
            _ => {}
        }
        let server = health::Server {
            api: &self.api,
            ending: self.connect.has_ended(),
        };
        if let Some(answer) = health::answer(&server, path, head.uri.query().unwrap_or("")).await {
            return Ok(answer);
        }
        let kinds = self.api.kinds.now();
        if let Some(answer) = self.documents.answer(&kinds, &head) {
            return answer;
        }
        self.discover(&kinds, &head)
    }

    /// Upstream's router has routes for its own groups, which take no other method and are plain about types.
    fn discover(&self, kinds: &Kinds, head: &http::request::Parts) -> Result<Response<Body>, Status> {
        let (path, accept) = (head.uri.path(), accept::header(&head.headers));
        let wanted = accept::of_discovery(accept);
        let whole = matches!(path, "/api" | "/apis") && wanted.is_some_and(|(_, aggregated)| aggregated);
        let Some(answer) = discovery::answer(path, kinds, whole) else {
            return self.nothing(path);
        };
        if whole {
            let type_ = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            return Ok(respond::with_type(200, type_, answer.to_string()));
        }
        let routed =
            path.starts_with("/api/") || path == "/api" || discovery::is_builtin_version(path, kinds);
        if routed && head.method != Method::GET {
            return Err(Status::method_not_allowed());
        }
        if routed && !accept::names(accept, &TYPES) {
            return Err(not_acceptable(&TYPES, false));
        }
        let format = accept::plain(accept).ok_or_else(|| Status::not_acceptable(&TYPES))?;
        Ok(format.respond(200, &answer))
    }
}
/// Refuses what a place of custom resources does not take, in upstream's words. Its server looks at the method first, and
/// takes a new object at its own place, too.
fn refuse_custom(target: &Target, verb: &str) -> Result<(), Status> {
    let kind = &target.kind;
    match (&target.subresource, &target.name, verb) {
        (None, Some(_), "create") => Ok(()),
        (None, None, "update" | "patch") => Err(Status::bad_request("name must be provided")),
        (None, _, _) => Err(Status::method_not_allowed()),
        (Some(_), _, _) => Err(not_supported(kind, verb)),
    }
}

fn not_supported(kind: &Kind, verb: &str) -> Status {
    let what = format!("{}.{}", kind.plural, kind.group);
    let message = format!("{verb} is not supported on resources of kind {what:?}");
    let mut status = Status::new(405, "MethodNotAllowed", message);
    status.details = Some(json!({"group": kind.group, "kind": kind.plural}));
    status
}

/// The refusal of upstream's router, which knows the types that a path has answers in.
fn not_acceptable(types: &[&str], of_list: bool) -> Status {
    let mut types = types.to_vec();
    if of_list {
        types.extend(STREAMS);
    }
    let types = types.join(", ");
    let mut status = Status::not_acceptable(&[]);
    status.message = format!("406: Not Acceptable\n\nAvailable representations: {types}");
    status.details = Some(json!({}));
    status
}

fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35", "gitVersion": concat!("v1.36.0+gantry", env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "", "goVersion": "",
        "compiler": "rustc", "platform": "linux/amd64",
    })
}
