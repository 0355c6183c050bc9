//! Who may ask the node: cluster administrators and the API server, by their certificates; and whoever the API server
//! lets ask, such as collectors of metrics, which bring the tokens of their service accounts.

use super::memory::Memory;
use super::respond::Refusal;
use gantry_auth::{MASTERS, User};
use gantry_client::{Client, Error};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The name under which the API server asks.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
/// How long what the API server said of a token, and of what a user may do, holds; upstream's times.
const TOKEN: Duration = Duration::from_secs(120);
const ALLOWED: Duration = Duration::from_secs(300);

/// Asks the API server about those it does not know.
pub struct Access {
    client: Client,
    node: String,
    users: Memory<User>,
    allowed: Memory<()>,
}

impl Access {
    /// Asks through `client`, for the node of this name.
    pub fn new(client: Client, node: &str) -> Self {
        Access {
            client,
            node: node.into(),
            users: Memory::new(TOKEN),
            allowed: Memory::new(ALLOWED),
        }
    }

    /// Who asks: the user of a certificate, or else of a token.
    pub async fn user(&self, certificate: Option<&User>, headers: &HeaderMap) -> Option<User> {
        if let Some(user) = certificate {
            return Some(user.clone());
        }
        let token = bearer(headers)?;
        // The token itself is not kept.
        let key = format!("{:x}", Sha256::digest(token));
        if let Some(user) = self.users.get(&key) {
            return Some(user);
        }
        match self.review(token).await {
            Ok(user) => {
                if let Some(user) = &user {
                    self.users.put(key, user.clone());
                }
                user
            }
            Err(error) => {
                tracing::warn!("the API server does not tell whose a token is: {error}");
                None
            }
        }
    }

    async fn review(&self, token: &str) -> Result<Option<User>, Error> {
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let answer = self.client.raw(Method::POST, path, Some(&asked)).await?;
        Ok((answer["status"]["authenticated"] == true).then(|| user(&answer["status"]["user"])))
    }

    /// Refuses whoever may not ask for `path`, with upstream's texts.
    pub async fn check(&self, user: Option<&User>, method: &Method, path: &str) -> Result<(), Refusal> {
        let Some(user) = user else {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized"));
        };
        if user.name == API_SERVER || user.groups.iter().any(|g| g == MASTERS) {
            return Ok(());
        }
        let (verb, subresources) = (verb(method), subresources(path));
        for subresource in &subresources {
            match self.may(user, verb, subresource).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!("the API server does not tell what {} may do: {error}", user.name);
                    return Err(Refusal::internal(format!(
                        "Authorization error (user={}, verb={verb}, resource=nodes, subresource={subresource})",
                        user.name
                    )));
                }
            }
        }
        let text = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
            user.name,
            subresources.join(" "),
        );
        Err(Refusal::new(StatusCode::FORBIDDEN, text))
    }

    async fn may(&self, user: &User, verb: &str, subresource: &str) -> Result<bool, Error> {
        let asked = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
                "resourceAttributes": {"verb": verb, "version": "v1", "resource": "nodes",
                    "subresource": subresource, "name": self.node},
            },
        });
        let key = asked.to_string();
        if self.allowed.get(&key).is_some() {
            return Ok(true);
        }
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = self.client.raw(Method::POST, path, Some(&asked)).await?;
        let allowed = answer["status"]["allowed"] == true;
        if allowed {
            self.allowed.put(key, ());
        }
        Ok(allowed)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn user(info: &Value) -> User {
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|t| t.as_str().map(String::from)).collect()
    };
    let text = |field: &str| info[field].as_str().unwrap_or("").to_string();
    let extra = info["extra"].as_object().into_iter().flatten();
    User {
        name: text("username"),
        uid: text("uid"),
        groups: texts(&info["groups"]),
        extra: extra
            .map(|(name, values)| (name.clone(), texts(values)))
            .collect(),
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The parts of the Node object that stand for a path: one of them must be allowed.
fn subresources(path: &str) -> Vec<&'static str> {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or("");
    let fine = match first {
        "pods" | "runningpods" => Some("pods"),
        "healthz" => Some("healthz"),
        "configz" => Some("configz"),
        _ => None,
    };
    let coarse = match first {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "checkpoint" => "checkpoint",
        "statusz" => "statusz",
        "flagz" => "configz",
        _ => "proxy",
    };
    fine.into_iter().chain([coarse]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use bytes::Bytes;
    use gantry_client::{Body, Transport, TransportError};
    use http::{HeaderValue, Request, Response};
    use http_body_util::{BodyExt, Full};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Knows one token, and lets its user read metrics. Counts what it is asked.
    #[derive(Default)]
    struct Reviews(AtomicUsize);

    #[async_trait]
    impl Transport for Reviews {
        async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let asked: Value = serde_json::from_slice(request.body()).unwrap();
            let attributes = &asked["spec"]["resourceAttributes"];
            let status = match asked["kind"].as_str() {
                Some("TokenReview") if asked["spec"]["token"] == "good" => {
                    json!({"authenticated": true, "user": {"username": "scraper", "groups": ["g"]}})
                }
                Some("SubjectAccessReview") => {
                    json!({"allowed": attributes["verb"] == "get" && attributes["subresource"] == "metrics"})
                }
                _ => json!({}),
            };
            let body = Full::new(Bytes::from(json!({"status": status}).to_string()));
            Ok(Response::new(body.map_err(|never| match never {}).boxed_unsync()))
        }
    }

    #[tokio::test]
    async fn who_may_ask() {
        let access = Access::new(Client::new(Arc::new(Reviews::default()), "test"), "n");
        let check = async |user: Option<User>, method: Method, path: &str, expected: Result<(), &str>| {
            let result = access.check(user.as_ref(), &method, path).await;
            assert_eq!(
                result.map_err(|e| e.to_string()),
                expected.map_err(String::from),
                "{path}"
            );
        };
        let scraper = || Some(User::new("scraper", &[]));
        let post = Method::POST;
        check(None, Method::GET, "/pods", Err("Unauthorized")).await;
        let admin = Some(User::new("x", &[MASTERS]));
        check(admin, Method::POST, "/exec/a/b/c", Ok(())).await;
        check(Some(User::new(API_SERVER, &[])), Method::GET, "/pods", Ok(())).await;
        check(scraper(), Method::GET, "/metrics/resource", Ok(())).await;
        let text = "Forbidden (user=scraper, verb=create, resource=nodes, subresource(s)=[proxy])\n";
        check(scraper(), post.clone(), "/exec/a/b/c", Err(text)).await;
        let text = "Forbidden (user=scraper, verb=get, resource=nodes, subresource(s)=[pods proxy])\n";
        check(scraper(), Method::GET, "/pods/", Err(text)).await;
        let text = "Forbidden (user=scraper, verb=get, resource=nodes, subresource(s)=[stats])\n";
        check(scraper(), Method::GET, "/stats/summary", Err(text)).await;
        let text = "Forbidden (user=scraper, verb=create, resource=nodes, subresource(s)=[metrics])\n";
        check(scraper(), post, "/metrics", Err(text)).await;
    }

    #[tokio::test]
    async fn tokens_are_asked_about_once() {
        let reviews = Arc::new(Reviews::default());
        let access = Access::new(Client::new(reviews.clone(), "test"), "n");
        let check = async |header: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
            let user = access.user(None, &headers).await;
            assert_eq!(user.map(|u| u.name).as_deref(), expected, "{header}");
        };
        check("Bearer good", Some("scraper")).await;
        check("bearer  good", Some("scraper")).await;
        assert_eq!(reviews.0.load(Ordering::SeqCst), 1);
        check("Bearer bad", None).await;
        check("Bearer ", None).await;
        check("Basic good", None).await;
        assert_eq!(reviews.0.load(Ordering::SeqCst), 2);
    }
}
