//! `serviceaccounts/NAME/token`: issues a token that ends by itself, and with what it is bound to.
//!
//! Source: kubernetes/pkg/registry/core/serviceaccount/storage/token.go.

use crate::answered::virtual_kind;
use crate::call::Call;
use crate::pipeline;
use crate::respond::Body;
use crate::verbs::{Api, rfc3339};
use gantry_api::kind::Scope;
use gantry_api::status::Status;
use gantry_api::{field, meta};
use gantry_auth::service_account::{Claims, Private, Reference, user_name};
use http::Response;
use serde_json::{Value, json};
use time::OffsetDateTime;

const GROUP: &str = "authentication.k8s.io";
/// Seconds a token is good for when the request does not say.
const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;
/// Clients of the time before tokens ended ask for just this long. Their tokens get a year, and a mark from when on
/// they should have been renewed.
const WARN_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

impl Api {
    /// Issues a token for the service account that `call` names.
    pub async fn create_token(&self, call: &Call) -> Result<Response<Body>, Status> {
        let (Some(namespace), Some(name)) = (call.target.namespace.as_deref(), call.target.name.as_deref())
        else {
            return Err(Status::no_such_path());
        };
        let body = call.object()?;
        let validation = call.options.field_validation();
        let kind = virtual_kind(GROUP, "TokenRequest", "tokenrequests", Scope::Namespaced);
        let mut request = pipeline::decode(&kind, body, validation, &call.warnings)?
            .object()
            .clone();
        let account = self
            .registry
            .get(&call.target.kind, Some(namespace), name)
            .await?;
        place(&mut request, namespace, name, &account)?;
        self.guard(call, "create", Some(&request), None).await?;
        let audience = self.tokens.issuer();
        if request["spec"]["audiences"].as_array().is_none_or(Vec::is_empty) {
            request["spec"]["audiences"] = json!([audience]);
        }
        let seconds = request["spec"]["expirationSeconds"]
            .as_i64()
            .unwrap_or(DEFAULT_SECONDS);
        request["spec"]["expirationSeconds"] = seconds.into();
        validate(seconds)?;
        let audiences: Vec<String> = request["spec"]["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|a| a.as_str().map(str::to_owned))
            .collect();
        let mut private = Private {
            namespace: namespace.to_owned(),
            serviceaccount: reference(&account),
            ..Private::default()
        };
        self.bind_token(&request["spec"]["boundObjectRef"], name, &mut private)
            .await?;

        let now = OffsetDateTime::now_utc();
        let extended =
            private.pod.is_some() && seconds == WARN_SECONDS && audiences.iter().all(|a| a == audience);
        let start = now.unix_timestamp();
        if extended {
            private.warnafter = Some(start + seconds);
        }
        let claims = Claims {
            aud: audiences,
            exp: start + if extended { EXTENDED_SECONDS } else { seconds },
            iat: start,
            nbf: start,
            jti: uuid::Uuid::new_v4().to_string(),
            sub: user_name(namespace, name),
            kubernetes: private,
            ..Claims::default()
        };
        let token = self.tokens.sign(claims).map_err(Status::internal)?;
        request["metadata"]["creationTimestamp"] = rfc3339(now).into();
        request["status"] = json!({
            "token": token, "expirationTimestamp": rfc3339(now + time::Duration::seconds(seconds)),
        });
        Ok(call.respond(201, &request))
    }

    /// Ties a token to the pod, secret or node that the request names.
    async fn bind_token(&self, bound: &Value, account: &str, private: &mut Private) -> Result<(), Status> {
        if !bound.is_object() {
            return Ok(());
        }
        let text = |field: &str| bound[field].as_str().unwrap_or_default();
        let (api_version, kind_name, name) = (text("apiVersion"), text("kind"), text("name"));
        let (resource, namespaced) = match (api_version, kind_name) {
            ("v1", "Pod") => ("pods", true),
            ("v1", "Secret") => ("secrets", true),
            ("v1", "Node") => ("nodes", false),
            _ => {
                let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
                return Err(Status::bad_request(format!(
                    "cannot bind token to object of type {group}/{version}, Kind={kind_name}"
                )));
            }
        };
        let namespace = namespaced.then_some(private.namespace.as_str());
        let object = self.get_core(resource, namespace, name).await?;
        match resource {
            "pods" => {
                let spec = &object["spec"];
                if spec["serviceAccountName"].as_str().unwrap_or_default() != account {
                    return Err(Status::bad_request(format!(
                        "cannot bind token for serviceaccount {account:?} to pod running with different \
                         serviceaccount name."
                    )));
                }
                if let Some(node) = spec["nodeName"].as_str().filter(|n| !n.is_empty()) {
                    private.node = Some(match self.get_core("nodes", None, node).await {
                        Ok(node) => reference(&node),
                        // The name alone still tells where the pod is.
                        Err(status) if status.code == 404 => Reference {
                            name: node.to_owned(),
                            uid: String::new(),
                        },
                        Err(status) => return Err(status),
                    });
                }
                private.pod = Some(reference(&object));
            }
            "secrets" => private.secret = Some(reference(&object)),
            _ => private.node = Some(reference(&object)),
        }
        let (wanted, found) = (text("uid"), meta::text(&object, "uid"));
        if !wanted.is_empty() && wanted != found {
            let why = format!(
                "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might \
                 have been deleted and then recreated"
            );
            return Err(Status::conflict("", kind_name, name, &why));
        }
        Ok(())
    }

    async fn get_core(&self, resource: &str, namespace: Option<&str>, name: &str) -> Result<Value, Status> {
        let kind = self
            .kinds
            .get("", "v1", resource)
            .ok_or_else(|| Status::not_found("", resource, name))?;
        self.registry.get(&kind, namespace, name).await
    }
}

fn reference(object: &Value) -> Reference {
    Reference {
        name: meta::name(object).to_owned(),
        uid: meta::text(object, "uid").to_owned(),
    }
}

/// Fills in the service account's name, namespace and UID; what the body says must agree.
fn place(request: &mut Value, namespace: &str, name: &str, account: &Value) -> Result<(), Status> {
    let must = |field: &str, what: &str, own: &str| {
        let why = format!("must match the service account {what} if specified");
        let error = field::Error::invalid(format!("metadata.{field}"), own, why);
        Status::invalid(GROUP, "TokenRequest", name, &[error])
    };
    for (field, what, right) in [("name", "name", name), ("namespace", "namespace", namespace)] {
        let own = meta::text(request, field);
        if !own.is_empty() && own != right {
            return Err(must(field, what, own));
        }
    }
    let (own, uid) = (meta::text(request, "uid"), meta::text(account, "uid"));
    if !own.is_empty() && own != uid {
        let why = format!(
            "the UID in the token request ({own}) does not match the UID of the service account ({uid})"
        );
        return Err(Status::conflict(GROUP, "TokenRequest", name, &why));
    }
    for (field, right) in [("name", name), ("namespace", namespace), ("uid", uid)] {
        request["metadata"][field] = right.into();
    }
    Ok(())
}

fn validate(seconds: i64) -> Result<(), Status> {
    let why = match seconds {
        ..MIN_SECONDS => "may not specify a duration less than 10 minutes",
        MIN_SECONDS..=MAX_SECONDS => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let error = field::Error::invalid("spec.expirationSeconds", seconds, why);
    Err(Status::invalid(GROUP, "TokenRequest", "", &[error]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |seconds: i64, good: bool| assert_eq!(validate(seconds).is_ok(), good, "{seconds}");
        check(599, false);
        check(600, true);
        check(1 << 32, true);
        check((1 << 32) + 1, false);
        let status = validate(1).err();
        assert_eq!(
            status.map(|s| s.message).as_deref(),
            Some(
                "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 1: may \
                 not specify a duration less than 10 minutes"
            )
        );
    }

    #[test]
    fn the_body_must_agree() {
        let account = json!({"metadata": {"name": "bot", "namespace": "ns", "uid": "1"}});
        let check = |metadata: Value, code: Option<u16>| {
            let mut request = json!({"metadata": metadata.clone()});
            let found = place(&mut request, "ns", "bot", &account);
            assert_eq!(found.err().map(|s| s.code), code, "{metadata}");
            if code.is_none() {
                assert_eq!(request["metadata"], account["metadata"], "{metadata}");
            }
        };
        check(json!({}), None);
        check(json!({"name": "bot", "namespace": "ns", "uid": "1"}), None);
        check(json!({"name": "other"}), Some(422));
        check(json!({"namespace": "other"}), Some(422));
        check(json!({"uid": "2"}), Some(409));
    }
}
