//! `pods/log`: a container's output. Source: pkg/registry/core/pod/rest/log.go and LogLocation in pkg/registry/core/pod.

use crate::connect::hold::Hold;
use crate::connect::query::{self, Query};
use crate::connect::{Connect, Request, failed, socket_log, stream, upgrade, websocket};
use crate::respond::{self, Body};
use crate::verbs::Api;
use gantry_api::field;
use gantry_api::status::Status;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// So much of what a node says about an error is told.
const ERROR_LIMIT: usize = 50_000;

/// `PodLogOptions`.
#[derive(Debug, Default)]
struct Options {
    since_seconds: Option<i64>,
    since_time: Option<OffsetDateTime>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
}

impl Options {
    fn read(query: &Query) -> Result<Self, Status> {
        let time = Some(query.text("sinceTime")).filter(|t| !t.is_empty() && *t != "null");
        let since_time = time.map(|text| {
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
                Status::bad_request(format!(
                    "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as RFC 3339"
                ))
            })
        });
        Ok(Options {
            since_seconds: query.number("sinceSeconds")?,
            since_time: since_time.transpose()?,
            tail_lines: query.number("tailLines")?,
            limit_bytes: query.number("limitBytes")?,
        })
    }

    fn validate(&self, query: &Query) -> Vec<field::Error> {
        let mut errors = Vec::new();
        let above_zero = "must be greater than 0";
        if let Some(lines) = self.tail_lines.filter(|n| *n < 0) {
            let why = "must be greater than or equal to 0";
            errors.push(field::Error::invalid("tailLines", lines, why));
        }
        if let Some(bytes) = self.limit_bytes.filter(|n| *n < 1) {
            errors.push(field::Error::invalid("limitBytes", bytes, above_zero));
        }
        match self.since_seconds {
            Some(_) if self.since_time.is_some() => {
                let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
                // The path upstream gives is one without a field.
                errors.push(field::Error::forbidden("[]", why));
            }
            Some(seconds) if seconds < 1 => {
                errors.push(field::Error::invalid("sinceSeconds", seconds, above_zero));
            }
            _ => {}
        }
        if !query.text("stream").is_empty() {
            errors.push(field::Error::forbidden("stream", "may not be specified"));
        }
        errors
    }

    /// The query the node understands.
    fn to_node(&self, query: &Query) -> Result<String, Status> {
        let mut pairs: Vec<(&str, String)> = ["follow", "previous", "timestamps"]
            .into_iter()
            .filter(|name| query.flag(name))
            .map(|name| (name, "true".to_owned()))
            .collect();
        let numbers = [
            ("sinceSeconds", self.since_seconds),
            ("tailLines", self.tail_lines),
            ("limitBytes", self.limit_bytes),
        ];
        pairs.extend(
            numbers
                .into_iter()
                .filter_map(|(name, n)| Some((name, n?.to_string()))),
        );
        if let Some(time) = self.since_time {
            pairs.push(("sinceTime", time.format(&Rfc3339).map_err(Status::internal)?));
        }
        Ok(query::write(pairs.iter().map(|(k, v)| (*k, v.as_str()))))
    }
}

/// Answers with a container's output.
pub async fn answer(
    connect: &Connect,
    api: &Api,
    request: Request,
    hold: Hold,
) -> Result<Response<Body>, Status> {
    let (query, name) = (request.query(), request.name()?);
    let options = Options::read(&query)?;
    let errors = options.validate(&query);
    if !errors.is_empty() {
        return Err(Status::invalid("", "PodLogOptions", name, &errors));
    }
    let kind = &request.target.kind;
    let pod = api.registry.get(kind, request.namespace(), name).await?;
    let container = stream::container(&pod, query.text("container"))?;
    let Some(node) = stream::node_of(api, &pod).await? else {
        let mut nothing = respond::text(204, "");
        nothing.headers_mut().remove(header::CONTENT_TYPE);
        return Ok(nothing);
    };
    let verify = !query.flag("insecureSkipTLSVerifyBackend");
    let agent = connect.nodes()?.agent(&node, verify)?;
    let path = format!(
        "/containerLogs/{}/{}/{}?{}",
        query::path_part(request.namespace().unwrap_or("")),
        query::path_part(name),
        query::path_part(container),
        options.to_node(&query)?
    );
    let ask = http::Request::get(&path)
        .header(header::HOST, agent.address())
        .body(upgrade::no_body())
        .map_err(Status::internal)?;
    let url = format!("https://{}{path}", agent.address());
    let answer = agent
        .send(ask)
        .await
        .map_err(|e| failed(format!("Get {url:?}: {e}")))?;
    if !(200..=206).contains(&answer.status().as_u16()) {
        return Err(refused(name, answer).await);
    }
    if websocket::is_wanted(&request.head) {
        return socket_log::send(request.head, answer.into_body(), hold);
    }
    let mut response = Response::new(hold.around(answer.into_body()));
    *response.status_mut() = StatusCode::OK;
    let text = header::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}

/// What a node's refusal is to the client.
async fn refused(pod: &str, answer: Response<Incoming>) -> Status {
    let code = answer.status();
    if code.is_redirection() {
        return failed("redirects forbidden");
    }
    let text = match Limited::new(answer.into_body(), ERROR_LIMIT).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(error) => return Status::internal(error),
    };
    let (reason, message) = match code {
        StatusCode::INTERNAL_SERVER_ERROR => return Status::internal(text),
        StatusCode::BAD_REQUEST => return Status::bad_request(text),
        StatusCode::NOT_FOUND => (
            "NotFound",
            "the server could not find the requested resource".to_owned(),
        ),
        StatusCode::UNAUTHORIZED => (
            "Unauthorized",
            "the server has asked for the client to provide credentials".to_owned(),
        ),
        StatusCode::FORBIDDEN => ("Forbidden", text),
        StatusCode::SERVICE_UNAVAILABLE => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request".to_owned(),
        ),
        _ if code.is_server_error() => (
            "InternalError",
            format!("an error on the server ({text:?}) has prevented the request from succeeding"),
        ),
        _ => (
            "",
            format!(
                "the server responded with the status code {} but did not return more information",
                code.as_u16()
            ),
        ),
    };
    let mut status = Status::new(code.as_u16(), reason, format!("{message} ( pods/log {pod})"));
    status.details = Some(json!({"name": pod, "kind": "pods/log"}));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let query = Query::parse(text);
            let found = Options::read(&query).map_err(|s| s.message).and_then(|options| {
                match options.validate(&query).first() {
                    Some(error) => Err(error.to_string()),
                    None => options.to_node(&query).map_err(|s| s.message),
                }
            });
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{text}");
        };
        check("", Ok(""));
        check(
            "follow=true&previous=false&timestamps&tailLines=0&container=c",
            Ok("follow=true&timestamps=true&tailLines=0"),
        );
        check(
            "sinceTime=2026-01-02T03:04:05Z&limitBytes=9",
            Ok("limitBytes=9&sinceTime=2026-01-02T03%3A04%3A05Z"),
        );
        check(
            "tailLines=-1",
            Err("tailLines: Invalid value: -1: must be greater than or equal to 0"),
        );
        check(
            "limitBytes=0",
            Err("limitBytes: Invalid value: 0: must be greater than 0"),
        );
        check(
            "sinceSeconds=0",
            Err("sinceSeconds: Invalid value: 0: must be greater than 0"),
        );
        check(
            "sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z",
            Err("[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"),
        );
        check("stream=Stdout", Err("stream: Forbidden: may not be specified"));
        check(
            "tailLines=many",
            Err("strconv.ParseInt: parsing \"many\": invalid syntax"),
        );
    }
}
