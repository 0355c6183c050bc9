//! The verbs, on JSON trees.

use crate::error::Error;
use crate::resource::Resource;
use crate::transport::{Body, Told, Transport};
use crate::trimmed::Trimmed;
use crate::watch::{Watch, WatchOptions};
use bytes::{Bytes, BytesMut};
use gantry_api::meta;
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Answers larger than this are refused.
const ANSWER_LIMIT: usize = 1 << 30;
/// A page of a list.
const PAGE: usize = 500;

/// Sends requests to the API server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    user_agent: Arc<str>,
}

/// What a list leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `labelSelector`.
    pub labels: String,
    /// `fieldSelector`.
    pub fields: String,
}

/// A list, whole.
pub struct List {
    /// The objects, each with its apiVersion and kind.
    pub items: Vec<Value>,
    /// The revision they were read at; a watch goes on from here.
    pub revision: String,
}

/// A list on its way, without who owns which field.
pub struct Pages<'a> {
    client: &'a Client,
    resource: &'a Resource,
    path: String,
    /// Where the next page begins; none after the last.
    from: Option<String>,
    revision: String,
}

#[derive(Deserialize)]
struct Page {
    metadata: Value,
    items: Vec<Trimmed>,
}

impl Pages<'_> {
    /// The objects of the next page, each with its apiVersion and kind; none after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, Error> {
        let Some(from) = self.from.take() else {
            return Ok(None);
        };
        let path = format!(
            "{}&continue={}",
            self.path,
            utf8_percent_encode(&from, NON_ALPHANUMERIC)
        );
        let body = read(accept(self.client.send(Method::GET, &path, None).await?).await?).await?;
        let page: Page = serde_json::from_slice(&body).map_err(|e| Error::Answer(e.to_string()))?;
        let text = |field: &str| page.metadata[field].as_str().unwrap_or("").to_string();
        self.revision = text("resourceVersion");
        self.from = Some(text("continue")).filter(|from| !from.is_empty());
        let items = page.items.into_iter().map(|item| typed(self.resource, item.0));
        Ok(Some(items.collect()))
    }

    /// The revision the objects are read at; a watch goes on from here.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

/// How a patch's body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// JSON patch.
    Json,
    /// JSON merge patch.
    Merge,
    /// Strategic merge patch.
    Strategic,
    /// Server-side apply, forced, with this client's name as the field manager.
    Apply,
}

impl Client {
    /// A client that calls itself `name`; it is the field manager of what it writes.
    pub fn new(transport: Arc<dyn Transport>, name: &str) -> Self {
        Client {
            transport,
            user_agent: name.into(),
        }
    }

    /// The same connection under another name.
    pub fn named(&self, name: &str) -> Self {
        Client {
            transport: self.transport.clone(),
            user_agent: name.into(),
        }
    }

    /// get
    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, Error> {
        self.json(Method::GET, resource.object_path(namespace, name, ""), None)
            .await
    }

    /// list, page by page. An empty `namespace` means all.
    pub async fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<List, Error> {
        let mut list = List {
            items: Vec::new(),
            revision: String::new(),
        };
        let mut pages = self.pages(resource, namespace, options);
        while let Some(items) = pages.next().await? {
            list.items.extend(items);
        }
        list.revision = pages.revision;
        Ok(list)
    }

    /// list, a page at a time. An empty `namespace` means all.
    pub fn pages<'a>(&'a self, resource: &'a Resource, namespace: &str, options: &ListOptions) -> Pages<'a> {
        Pages {
            client: self,
            resource,
            path: format!(
                "{}?limit={PAGE}&{}",
                resource.collection_path(namespace),
                options.query()
            ),
            from: Some(String::new()),
            revision: String::new(),
        }
    }

    /// create. The namespace is the object's own.
    pub async fn create(&self, resource: &Resource, object: &Value) -> Result<Value, Error> {
        let path = resource.collection_path(meta::namespace(object));
        self.json(Method::POST, path, Some(&typed(resource, object.clone())))
            .await
    }

    /// create of a subresource: `binding`, `token`, `eviction`.
    pub async fn create_subresource(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &Value,
    ) -> Result<Value, Error> {
        self.json(
            Method::POST,
            resource.object_path(namespace, name, subresource),
            Some(body),
        )
        .await
    }

    /// update
    pub async fn update(&self, resource: &Resource, object: &Value) -> Result<Value, Error> {
        self.update_subresource(resource, object, "").await
    }

    /// update of the status
    pub async fn update_status(&self, resource: &Resource, object: &Value) -> Result<Value, Error> {
        self.update_subresource(resource, object, "status").await
    }

    /// update of a subresource that takes the whole object: `status`, `finalize`.
    pub async fn update_subresource(
        &self,
        resource: &Resource,
        object: &Value,
        subresource: &str,
    ) -> Result<Value, Error> {
        let path = resource.object_path(meta::namespace(object), meta::name(object), subresource);
        self.json(Method::PUT, path, Some(&typed(resource, object.clone())))
            .await
    }

    /// patch; an empty `subresource` means the object itself.
    pub async fn patch(
        &self,
        resource: &Resource,
        (namespace, name): (&str, &str),
        subresource: &str,
        type_: PatchType,
        patch: &Value,
    ) -> Result<Value, Error> {
        let (content_type, query) = match type_ {
            PatchType::Json => ("application/json-patch+json", String::new()),
            PatchType::Merge => ("application/merge-patch+json", String::new()),
            PatchType::Strategic => ("application/strategic-merge-patch+json", String::new()),
            PatchType::Apply => (
                "application/apply-patch+yaml",
                format!(
                    "?force=true&fieldManager={}",
                    utf8_percent_encode(&self.user_agent, NON_ALPHANUMERIC)
                ),
            ),
        };
        let path = resource.object_path(namespace, name, subresource) + &query;
        let body = (content_type, Bytes::from(patch.to_string()));
        let response = self.send(Method::PATCH, &path, Some(body)).await?;
        read_json(response).await
    }

    /// delete, with `DeleteOptions` or null.
    pub async fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Value, Error> {
        let body = Some(options).filter(|o| !o.is_null());
        self.json(Method::DELETE, resource.object_path(namespace, name, ""), body)
            .await
    }

    /// deletecollection
    pub async fn delete_collection(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &ListOptions,
        delete_options: &Value,
    ) -> Result<(), Error> {
        let path = format!("{}?{}", resource.collection_path(namespace), options.query());
        let body = Some(delete_options).filter(|o| !o.is_null());
        let body = body.map(|b| ("application/json", Bytes::from(b.to_string())));
        let response = accept(self.send(Method::DELETE, &path, body).await?).await?;
        // What was deleted is told, which may be much, and is not asked for.
        let mut rest = response.into_body();
        while let Some(frame) = rest.frame().await {
            frame.map_err(|e| Error::Answer(e.to_string()))?;
        }
        Ok(())
    }

    /// watch
    pub async fn watch(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &WatchOptions,
    ) -> Result<Watch, Error> {
        let path = format!(
            "{}?watch=true&{}",
            resource.collection_path(namespace),
            options.query()
        );
        let request = self.request(Method::GET, &path, None)?;
        let response = self.transport.watch(request).await?;
        let (head, told) = response.into_parts();
        let told = match told {
            Told::Lines(body) => Told::Lines(accept(Response::from_parts(head, body)).await?.into_body()),
            shared @ Told::Shared(_) => shared,
        };
        Ok(Watch::new(resource.clone(), told))
    }

    /// A request by its path, such as `/apis`, answered with JSON.
    pub async fn raw(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        self.json(method, path.to_string(), body).await
    }

    async fn json(&self, method: Method, path: String, body: Option<&Value>) -> Result<Value, Error> {
        let body = body.map(|b| ("application/json", Bytes::from(b.to_string())));
        read_json(self.send(method, &path, body).await?).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Response<Body>, Error> {
        Ok(self.transport.send(self.request(method, path, body)?).await?)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Request<Bytes>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::USER_AGENT, &*self.user_agent)
            .header(header::ACCEPT, "application/json");
        let (content_type, body) = body.unwrap_or_default();
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request
            .body(body)
            .map_err(|e| Error::Answer(format!("{path} is no request: {e}")))
    }
}

impl ListOptions {
    /// Selects by a field selector.
    pub fn fields(selector: impl Into<String>) -> Self {
        ListOptions {
            labels: String::new(),
            fields: selector.into(),
        }
    }

    /// Selects by a label selector.
    pub fn labels(selector: impl Into<String>) -> Self {
        ListOptions {
            labels: selector.into(),
            fields: String::new(),
        }
    }

    pub(crate) fn query(&self) -> String {
        format!(
            "labelSelector={}&fieldSelector={}",
            utf8_percent_encode(&self.labels, NON_ALPHANUMERIC),
            utf8_percent_encode(&self.fields, NON_ALPHANUMERIC)
        )
    }
}

/// Objects in lists, and those that components build, may lack what their place tells.
pub(crate) fn typed(resource: &Resource, mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.entry("apiVersion")
            .or_insert_with(|| resource.api_version().into());
        map.entry("kind").or_insert_with(|| resource.kind.as_str().into());
    }
    object
}

async fn accept(response: Response<Body>) -> Result<Response<Body>, Error> {
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.status().as_u16();
    let body = read(response).await?;
    let status = serde_json::from_slice(&body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&body[..body.len().min(1024)]).into_owned();
        serde_json::json!({"reason": "", "message": text})
    });
    Err(Error::of_status(code, &status))
}

async fn read_json(response: Response<Body>) -> Result<Value, Error> {
    let body = read(accept(response).await?).await?;
    serde_json::from_slice(&body).map_err(|e| Error::Answer(e.to_string()))
}

async fn read(response: Response<Body>) -> Result<Bytes, Error> {
    let mut body = response.into_body();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Error::Answer(e.to_string()))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > ANSWER_LIMIT {
            return Err(Error::Answer(format!("it is larger than {ANSWER_LIMIT} bytes")));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}
