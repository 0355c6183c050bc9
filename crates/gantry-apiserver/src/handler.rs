//! A request from its head to its answer: who, what, whether, and which verb.

use crate::authz::RbacCache;
use crate::discovery;
use crate::options::Options;
use crate::request::{self, Parsed, Target};
use crate::respond::{self, Body};
use crate::verbs::{Api, Call};
use bytes::{Bytes, BytesMut};
use gantry_api::schema;
use gantry_api::status::Status;
use gantry_auth::{Attributes, User, rbac};
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Bodies may be this large, as upstream's.
const BODY_LIMIT: usize = 3 * 1024 * 1024;
/// A body must have arrived after this long.
const BODY_TIME: Duration = Duration::from_secs(30);
/// A request's body, from a connection or from a component of the same process.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What anyone may read.
const OPEN_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Answers requests.
pub struct Handler {
    /// The verbs.
    pub api: Api,
    /// The authorizer's objects.
    pub rbac: Arc<RbacCache>,
}

impl Handler {
    /// Answers one request of `user`.
    pub async fn answer(&self, user: &User, request: Request<RequestBody>) -> Response<Body> {
        self.try_answer(user, request)
            .await
            .unwrap_or_else(|status| respond::error(&status))
    }

    async fn try_answer(&self, user: &User, request: Request<RequestBody>) -> Result<Response<Body>, Status> {
        let path = request.uri().path().to_string();
        match request::parse(&path, &self.api.kinds) {
            Parsed::Resource(target) => self.resource(user, target, request).await,
            Parsed::Unknown => Err(Status::no_such_path()),
            Parsed::Other => self.other(user, &path, &request),
        }
    }

    fn allow(&self, attributes: &Attributes) -> Result<(), Status> {
        if rbac::allows(attributes, &*self.rbac) {
            return Ok(());
        }
        let why = rbac::denial(attributes);
        if attributes.path.is_some() {
            return Err(Status::new(403, "Forbidden", format!("forbidden: {why}")));
        }
        Err(Status::forbidden(
            attributes.group,
            attributes.resource,
            attributes.name,
            &why,
        ))
    }

    async fn resource(
        &self,
        user: &User,
        target: Target,
        request: Request<RequestBody>,
    ) -> Result<Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let options = Options::parse(head.uri.query().unwrap_or(""));
        let kind = target.kind.clone();
        let verb = match (&head.method, target.name.is_some()) {
            (&Method::GET, true) => "get",
            (&Method::GET, false) if options.flag("watch") => "watch",
            (&Method::GET, false) => "list",
            (&Method::POST, false) => "create",
            (&Method::POST, true) if target.subresource.is_some() => "create",
            (&Method::PUT, true) => "update",
            (&Method::PATCH, true) => "patch",
            (&Method::DELETE, true) => "delete",
            (&Method::DELETE, false) => "deletecollection",
            (method, _) => {
                return Err(Status::method_not_supported(
                    &kind.group,
                    &kind.plural,
                    method.as_str(),
                ));
            }
        };
        let namespace = match (kind.plural.as_str(), &target.name) {
            ("namespaces", Some(name)) => name.as_str(),
            _ => target.namespace.as_deref().unwrap_or(""),
        };
        self.allow(&Attributes {
            user,
            verb,
            group: &kind.group,
            resource: &kind.plural,
            subresource: target.subresource.as_deref().unwrap_or(""),
            namespace,
            name: target.name.as_deref().unwrap_or(""),
            path: None,
        })?;
        let text = |name| {
            head.headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or("")
                .to_string()
        };
        let content_type = text(header::CONTENT_TYPE);
        if matches!(verb, "create" | "update") && !content_type.is_empty() && !content_type.contains("json") {
            return Err(Status::unsupported_media_type(&["application/json"]));
        }
        let body = tokio::time::timeout(BODY_TIME, read(body))
            .await
            .map_err(|_| Status::new(408, "Timeout", "the request's body did not arrive in time"))??;
        let call = Call {
            target,
            options,
            accept: text(header::ACCEPT),
            content_type,
            body,
        };
        match verb {
            "get" => self.api.get(&call).await,
            "create" => self.api.create(&call).await,
            "update" => self.api.update(&call).await,
            "patch" => self.api.patch(&call).await,
            "delete" => self.api.delete(&call).await,
            "deletecollection" => self.api.delete_collection(&call).await,
            _ => self.api.list(&call).await,
        }
    }

    fn other(
        &self,
        user: &User,
        path: &str,
        request: &Request<RequestBody>,
    ) -> Result<Response<Body>, Status> {
        let open = OPEN_PATHS.contains(&path);
        if !open {
            let verb = request.method().as_str().to_ascii_lowercase();
            self.allow(&Attributes {
                user,
                verb: &verb,
                group: "",
                resource: "",
                subresource: "",
                namespace: "",
                name: "",
                path: Some(path),
            })?;
        }
        match path {
            "/healthz" | "/livez" | "/readyz" => return Ok(respond::text(200, "ok")),
            "/version" => return Ok(respond::json(200, &version())),
            "/openapi/v3" => return Ok(respond::json(200, &self.openapi_index())),
            _ => {}
        }
        if let Some(rest) = path.strip_prefix("/openapi/v3/") {
            let (group, version) = match rest.split('/').collect::<Vec<_>>().as_slice() {
                ["api", version] => (String::new(), version.to_string()),
                ["apis", group, version] => (group.to_string(), version.to_string()),
                _ => return Err(Status::no_such_path()),
            };
            let kinds = self.api.kinds.of(&group, &version);
            if kinds.is_empty() {
                return Err(Status::no_such_path());
            }
            return Ok(respond::json(200, &schema::openapi_v3(&group, &version, &kinds)));
        }
        let accept = request
            .headers()
            .get(header::ACCEPT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("");
        let aggregated = accept.contains("as=APIGroupDiscoveryList") && accept.contains("v=v2;");
        let answer = discovery::answer(path, &self.api.kinds, aggregated).ok_or_else(Status::no_such_path)?;
        if aggregated && matches!(path, "/api" | "/apis") {
            let type_ = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            return Ok(respond::with_type(200, type_, answer.to_string()));
        }
        Ok(respond::json(200, &answer))
    }

    fn openapi_index(&self) -> serde_json::Value {
        let mut paths = json!({});
        for (group, version) in self.api.kinds.group_versions() {
            let place = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            paths[&place] = json!({"serverRelativeURL": format!("/openapi/v3/{place}")});
        }
        json!({"paths": paths})
    }
}

async fn read(mut body: RequestBody) -> Result<Bytes, Status> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|e| Status::bad_request(format!("the request's body could not be read: {e}")))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > BODY_LIMIT {
            return Err(Status::too_large(BODY_LIMIT));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": concat!("v1.36.0+gantry", env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "", "goVersion": "",
        "compiler": "rustc", "platform": "linux/amd64",
    })
}
