//! The way from a component to the API server of the same process.

use async_trait::async_trait;
use bytes::Bytes;
use gantry_apiserver::Local;
use gantry_client::{Body, Client, Transport, TransportError};
use http::{Request, Response};
use std::sync::Arc;

struct InProcess(Local);

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        Ok(self.0.send(request).await)
    }
}

/// A client that acts as the user of `local` and calls itself `name`.
pub fn client(local: Local, name: &str) -> Client {
    Client::new(Arc::new(InProcess(local)), name)
}
