//! The way from a component to the API server of the same process.

use async_trait::async_trait;
use bytes::Bytes;
use gantry_apiserver::Local;
use gantry_client::{Body, Client, Transport, TransportError};
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;

struct InProcess(Local);

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let response = self.0.send(request).await;
        Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
    }
}

/// A client that acts as the user of `local` and calls itself `name`.
pub fn client(local: Local, name: &str) -> Client {
    Client::new(Arc::new(InProcess(local)), name)
}
