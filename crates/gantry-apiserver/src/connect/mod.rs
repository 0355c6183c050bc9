//! Requests that are passed on instead of answered from the store: `log`, `exec`, `attach` and `portforward` go to the
//! agent of the pod's node, `proxy` to a pod, to one of a Service's pods, or to a node.
//!
//! A request's way: [`Connect::answer`] takes a [`hold::Hold`], finds the [`backend`], and passes on a plain request
//! ([`forward`]) or an upgraded connection: byte for byte ([`upgrade`]), or where clients speak a WebSocket that nodes
//! do not, through SPDY ([`tunnel`], [`translate`]).

mod backend;
mod forward;
mod hold;
mod html;
mod log;
mod node;
mod proxy;
pub mod query;
mod socket_log;
mod spdy;
mod stream;
mod translate;
mod tunnel;
mod upgrade;
mod websocket;

use crate::handler::RequestBody;
use crate::request::Target;
use crate::respond::Body;
use crate::verbs::Api;
use gantry_api::kind::Subresource;
use gantry_api::status::Status;
use gantry_auth::{Attributes, User};
use hold::Holds;
use http::{Method, Response, request};
use query::Query;
use rustls::ClientConfig;
use std::net::IpAddr;
use std::sync::Arc;

pub use node::{KubeletIdentity, KubeletIdentityError};

/// The address a request came from: an extension of its head.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

/// A request that is passed on.
pub struct Request {
    /// Who asks, and was allowed to.
    pub user: Arc<User>,
    /// What it is about.
    pub target: Target,
    /// Its head.
    pub head: request::Parts,
    /// Its body, unread.
    pub body: RequestBody,
}

impl Request {
    fn namespace(&self) -> Option<&str> {
        self.target.namespace.as_deref()
    }

    fn name(&self) -> Result<&str, Status> {
        self.target.name.as_deref().ok_or_else(Status::no_such_path)
    }

    fn query(&self) -> Query {
        Query::parse(self.head.uri.query().unwrap_or(""))
    }
}

/// What passes requests on.
pub struct Connect {
    nodes: Option<node::Nodes>,
    /// For pods that serve HTTPS: their certificates are their own affair, as they are upstream.
    any_certificate: Arc<ClientConfig>,
    holds: Holds,
}

/// The verb by which a method on a connecting subresource is authorized; `None` where the method is not served.
pub fn verb(subresource: Subresource, method: &Method) -> Option<&'static str> {
    let proxies = subresource == Subresource::Proxy;
    let verb = match *method {
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::HEAD if proxies => "get",
        // Upstream knows no verb for it either: whoever may do everything may do this.
        Method::OPTIONS if proxies => return Some(""),
        _ => return None,
    };
    subresource.verbs().contains(&verb).then_some(verb)
}

impl Connect {
    /// Passes requests on, to nodes as `identity`; without one, none reaches a node's agent.
    pub fn new(identity: Option<&KubeletIdentity>) -> Result<Self, KubeletIdentityError> {
        Ok(Connect {
            nodes: identity.map(node::Nodes::new).transpose()?,
            any_certificate: backend::any_certificate()?,
            holds: Holds::default(),
        })
    }

    /// Ends all requests that are under way.
    pub fn end(&self) {
        self.holds.end();
    }

    /// Whether it has ended them.
    pub fn has_ended(&self) -> bool {
        self.holds.have_ended()
    }

    /// Answers a request for a connecting subresource, which its user may make.
    pub async fn answer(
        &self,
        api: &Api,
        subresource: Subresource,
        request: Request,
    ) -> Result<Response<Body>, Status> {
        let meter = request.head.extensions.get().cloned();
        let hold = self.holds.take(&request.user.name, meter)?;
        if subresource == Subresource::Log {
            return log::answer(self, api, request, hold).await;
        }
        if !request.query().text("dryRun").is_empty() {
            return Err(Status::bad_request("dryRun is not supported"));
        }
        if subresource == Subresource::Proxy {
            return proxy::answer(self, api, request, hold).await;
        }
        // A WebSocket starts with GET; what it does to the pod is the same as what POST does.
        let target = &request.target;
        api.authorizer.allow(&Attributes {
            group: &target.kind.group,
            resource: &target.kind.plural,
            subresource: subresource.name(),
            namespace: request.namespace().unwrap_or(""),
            name: request.name()?,
            ..Attributes::of(&request.user, "create")
        })?;
        stream::answer(self, api, subresource, request, hold).await
    }

    /// The agents of nodes.
    fn nodes(&self) -> Result<&node::Nodes, Status> {
        self.nodes.as_ref().ok_or_else(|| {
            unavailable("this server has no client certificate for nodes, so it cannot connect to them")
        })
    }
}

/// 503, which clients may try again.
fn unavailable(message: impl Into<String>) -> Status {
    Status::new(503, "ServiceUnavailable", message)
}

/// 500 for a failure that upstream gives no reason.
fn failed(message: impl Into<String>) -> Status {
    Status::new(500, "", message)
}
