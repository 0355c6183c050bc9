//! An HTTP request passed on, and its answer passed back, with the links in it still leading through the proxy.
//!
//! Source: k8s.io/apimachinery/pkg/util/proxy, upgradeaware.go and transport.go.

use crate::connect::backend::Backend;
use crate::connect::hold::Hold;
use crate::connect::{Request, html, unavailable, upgrade};
use crate::respond::{self, Body};
use bytes::{Bytes, BytesMut};
use gantry_api::status::Status;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header, response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};

/// Headers about one connection, which end with it.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// What a backend says about other sites would be taken as said about the API server.
const CORS: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// A page's links are rewritten up to this size; what is larger is passed on as it is.
const PAGE_LIMIT: usize = 4 * 1024 * 1024;

/// Passes a request on, or the connection when it asks for another protocol.
pub async fn pass_on(backend: &Backend, request: Request, hold: Hold) -> Result<Response<Body>, Status> {
    let Request {
        target, head, body, ..
    } = request;
    let (path, query) = (head.uri.path(), head.uri.query());
    let inner = target.rest.as_str();
    let with_query = |path: &str| match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let inner_or_root = if inner.is_empty() { "/" } else { inner };
    let passed = with_query(inner_or_root);
    if upgrade::is_wanted(&head) {
        return upgrade::pass_on(backend, &passed, head, hold).await;
    }
    // Relative links of a page at the root only work below a slash.
    if inner.is_empty() && matches!(head.method, Method::GET | Method::HEAD) {
        let mut response = respond::text(301, "");
        let place = HeaderValue::from_str(&with_query(&format!("{path}/"))).map_err(Status::internal)?;
        response.headers_mut().insert(header::LOCATION, place);
        return Ok(response);
    }
    let links = Links {
        prefix: path.strip_suffix(inner).unwrap_or(path).to_owned(),
        backend: backend.address(),
        client: host(&head).to_owned(),
    };
    let mut onward = http::Request::new(body);
    *onward.method_mut() = head.method.clone();
    *onward.uri_mut() = passed.parse().map_err(Status::internal)?;
    let headers = onward.headers_mut();
    *headers = head.headers.clone();
    remove_hop_by_hop(headers);
    headers.insert(header::HOST, value(&links.client)?);
    headers.insert(FORWARDED_URI, value(path)?);
    upgrade::forwarded_for(headers, &head);
    // In a compressed page no link can be found, and only what shows pages asks for them.
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.contains("text/html"));
    if wants_page {
        headers.remove(header::ACCEPT_ENCODING);
    }
    let response = backend
        .send(onward)
        .await
        .map_err(|e| unavailable(format!("error trying to reach service: {e}")))?;
    let (mut head, body) = response.into_parts();
    remove_hop_by_hop(&mut head.headers);
    for name in CORS {
        head.headers.remove(name);
    }
    if let Some(place) = head.headers.get(header::LOCATION).and_then(|v| v.to_str().ok()) {
        let place = value(&links.rewrite(place))?;
        head.headers.insert(header::LOCATION, place);
        return Ok(Response::from_parts(head, hold.around(body)));
    }
    match is_page(&head) {
        true => page(head, body, &links, hold).await,
        false => Ok(Response::from_parts(head, hold.around(body))),
    }
}

fn value(text: &str) -> Result<HeaderValue, Status> {
    HeaderValue::from_str(text).map_err(Status::internal)
}

/// The host the client asked for: HTTP/2 has it in the URI.
fn host(head: &http::request::Parts) -> &str {
    let named = head.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    named.or(authority).unwrap_or("")
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let takes_trailers = headers
        .get_all(header::TE)
        .iter()
        .any(|v| v.to_str().is_ok_and(|v| v.contains("trailers")));
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

fn is_page(head: &response::Parts) -> bool {
    let type_ = head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let type_ = type_.and_then(|v| v.split(';').next()).unwrap_or("").trim();
    type_ == "text/html" && !head.headers.contains_key(header::CONTENT_ENCODING)
}

/// A page with its links rewritten.
async fn page(
    mut head: response::Parts,
    mut body: Incoming,
    links: &Links,
    hold: Hold,
) -> Result<Response<Body>, Status> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| unavailable(format!("error trying to reach service: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        whole.extend_from_slice(&data);
        if whole.len() > PAGE_LIMIT {
            let first = futures::stream::iter([Ok(Frame::data(whole.freeze()))]);
            let rest = futures::stream::unfold(body, |mut body| async {
                let frame = body.frame().await?;
                Some((frame, body))
            });
            let all = futures::StreamExt::chain(first, rest);
            return Ok(Response::from_parts(head, hold.around(StreamBody::new(all))));
        }
    }
    // An answer to HEAD, or one without content, keeps the length it speaks of.
    if whole.is_empty() {
        return Ok(Response::from_parts(head, respond::full(Bytes::new())));
    }
    let whole = html::rewrite(&whole, &|link| links.rewrite(link));
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(head, respond::full(whole)))
}

/// Where links lead.
struct Links {
    /// The path of the proxy itself.
    prefix: String,
    /// Host and port of the backend.
    backend: String,
    /// The host the client asked for.
    client: String,
}

impl Links {
    /// A link that leads through the proxy, if it led to the backend's root.
    fn rewrite(&self, link: &str) -> String {
        let (scheme, rest) = match link.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => (scheme, Some(rest)),
            _ => ("", link.strip_prefix("//")),
        };
        let (host, path) = match rest {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", link),
        };
        let elsewhere = !host.is_empty() && host != self.backend && host != self.client;
        if elsewhere || !path.starts_with('/') {
            return link.to_owned();
        }
        let place = match (host == self.client && !host.is_empty(), scheme) {
            (false, _) => String::new(),
            (true, "") => format!("//{host}"),
            (true, scheme) => format!("{scheme}://{host}"),
        };
        match path.starts_with(&self.prefix) {
            true => format!("{place}{path}"),
            false => format!("{place}{}{path}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_through_the_proxy() {
        let links = Links {
            prefix: "/api/v1/namespaces/n/pods/p/proxy".into(),
            backend: "10.42.0.7:8080".into(),
            client: "localhost:8001".into(),
        };
        let check = |link: &str, expected: &str| {
            assert_eq!(
                links.rewrite(link),
                expected.replace('^', &links.prefix),
                "{link}"
            );
        };
        check("/a?b#c", "^/a?b#c");
        check("/", "^/");
        check("a/b", "a/b");
        check("?q", "?q");
        check("#top", "#top");
        check("", "");
        check("http://10.42.0.7:8080/a/", "^/a/");
        check("//10.42.0.7:8080/a", "^/a");
        check("http://localhost:8001/a", "http://localhost:8001^/a");
        check("https://example.com/a", "https://example.com/a");
        check("/api/v1/namespaces/n/pods/p/proxy/a", "^/a");
        check("/go?to=http://x/", "^/go?to=http://x/");
        check("mailto:a@b", "mailto:a@b");
    }

    /// A backend that tells what it was asked, or shows a page, or leads elsewhere.
    async fn backend() -> Backend {
        use hyper::service::service_fn;
        use hyper_util::rt::TokioIo;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = async |request: http::Request<Incoming>| {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let header = |name: &str| {
                head.headers
                    .get(name)
                    .map_or("-", |v| v.to_str().unwrap())
                    .to_owned()
            };
            let told = [
                head.method.to_string(),
                head.uri.to_string(),
                header("host"),
                header("x-forwarded-uri"),
                header("x-forwarded-for"),
                header("x-own"),
                String::from_utf8_lossy(&body).into_owned(),
            ];
            let response = Response::builder().header("access-control-allow-origin", "*");
            let response = match head.uri.path() {
                "/page" => response
                    .header("content-type", "text/html; charset=utf-8")
                    .body("<a href=\"/next\">".to_owned()),
                "/go" => response
                    .status(302)
                    .header("location", "/there?a=b")
                    .body(String::new()),
                _ => response.status(203).body(told.join(" ")),
            };
            Ok::<_, std::convert::Infallible>(response.unwrap())
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(answer);
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Backend {
            host: "127.0.0.1".into(),
            port,
            tls: None,
        }
    }

    #[tokio::test]
    async fn requests_are_passed_on() {
        use crate::connect::Peer;
        use crate::connect::hold::Holds;
        use crate::request::{self, Kinds, Parsed};
        const POD: &str = "/api/v1/namespaces/n/pods/p/proxy";
        let kinds = Kinds::new(gantry_api::kinds::builtin());
        let holds = Holds::default();
        let good = backend().await;
        let send = async |backend: &Backend, method: &str, rest: &str, text: &str| {
            let body = respond::full(text.to_owned());
            let request = http::Request::builder()
                .method(method)
                .uri(format!("{POD}{rest}"))
                .header("host", "api")
                .header("connection", "x-own")
                .header("x-own", "1")
                .extension(Peer([10, 0, 0, 9].into()))
                .body(body);
            let (head, body) = request.unwrap().into_parts();
            let Parsed::Resource(target) = request::parse(head.uri.path(), &kinds) else {
                panic!("{rest} is no resource");
            };
            let user = std::sync::Arc::new(gantry_auth::User::anonymous());
            let request = Request {
                user,
                target,
                head,
                body,
            };
            let response = pass_on(backend, request, holds.take("ann", None).unwrap()).await?;
            let (head, body) = response.into_parts();
            let text = body.collect().await.unwrap().to_bytes();
            Ok::<_, Status>((head, String::from_utf8_lossy(&text).into_owned()))
        };
        let (head, told) = send(&good, "POST", "/a%2Fb/?q=1", "body").await.unwrap();
        assert_eq!(told, format!("POST /a%2Fb/?q=1 api {POD}/a%2Fb/ 10.0.0.9 - body"));
        assert_eq!(head.status, 203);
        assert!(!head.headers.contains_key("access-control-allow-origin"));
        let (head, _) = send(&good, "GET", "?q=1", "").await.unwrap();
        assert_eq!(
            (head.status.as_u16(), &head.headers["location"]),
            (301, &value(&format!("{POD}/?q=1")).unwrap())
        );
        let (_, told) = send(&good, "DELETE", "", "").await.unwrap();
        assert!(told.starts_with("DELETE / api"), "{told}");
        let (_, page) = send(&good, "GET", "/page", "").await.unwrap();
        assert_eq!(page, format!("<a href=\"{POD}/next\">"));
        let (head, _) = send(&good, "GET", "/go", "").await.unwrap();
        assert_eq!(head.headers["location"], format!("{POD}/there?a=b"));
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = Backend {
            port: free.local_addr().unwrap().port(),
            ..good
        };
        drop(free);
        let status = send(&dead, "GET", "/", "").await.unwrap_err();
        let expected = format!(
            "error trying to reach service: dial tcp {}: connect: connection refused",
            dead.address()
        );
        assert_eq!((status.code, status.message), (503, expected));
    }

    #[test]
    fn hop_by_hop_headers() {
        let mut headers = HeaderMap::new();
        for (name, text) in [
            ("connection", "keep-alive, x-own"),
            ("x-own", "1"),
            ("x-other", "2"),
            ("te", "trailers, deflate"),
            ("transfer-encoding", "chunked"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(text));
        }
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers
            .iter()
            .map(|(k, v)| (k.as_str(), v.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        assert_eq!(left, [("te", "trailers"), ("x-other", "2")]);
    }
}
