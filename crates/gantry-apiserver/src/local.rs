//! The way in for a component of the same process: requests without a connection, and watches that share what the store
//! holds.

use crate::handler::Handler;
use crate::watch::Handover;
use async_trait::async_trait;
use bytes::Bytes;
use gantry_auth::User;
use gantry_client::{Body, Client, SharedEvent, SharedEvents, Told, Transport, TransportError};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::sync::Arc;

/// Requests of one user without a connection: the same handler, authorization and pipeline.
#[derive(Clone)]
pub struct Local {
    handler: Arc<Handler>,
    user: Arc<User>,
}

impl Local {
    pub(crate) fn new(handler: Arc<Handler>, user: User) -> Self {
        Local {
            handler,
            user: Arc::new(user),
        }
    }

    /// A client that calls itself `name`.
    pub fn client(self, name: &str) -> Client {
        Client::new(Arc::new(self), name)
    }

    /// Answers one request.
    pub async fn send(&self, request: Request<Bytes>) -> Response<Body> {
        let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
        self.handler.answer(self.user.clone(), request, None).await
    }
}

#[async_trait]
impl Transport for Local {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        Ok(Local::send(self, request).await)
    }

    async fn watch(&self, mut request: Request<Bytes>) -> Result<Response<Told>, TransportError> {
        let handover = Handover::default();
        request.extensions_mut().insert(handover.clone());
        let response = Local::send(self, request).await;
        Ok(response.map(|body| match handover.take() {
            Some(events) => Told::Shared(Box::new(Answer { events, _body: body })),
            None => Told::Lines(body),
        }))
    }
}

/// A watch and the empty body of its answer, which counts as a running request until it is dropped.
struct Answer {
    events: Box<dyn SharedEvents>,
    _body: Body,
}

#[async_trait]
impl SharedEvents for Answer {
    async fn next(&mut self) -> Option<Vec<SharedEvent>> {
        self.events.next().await
    }
}
