//! Service accounts: the users they are, and the tokens they show.

mod keys;
mod legacy;

pub use keys::{KeyError, Keys};
pub use legacy::LegacyClaims;

use crate::{AUTHENTICATED, CREDENTIAL_ID, User};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const PREFIX: &str = "system:serviceaccount:";
/// Clocks may differ by this much, in seconds.
const LEEWAY: i64 = 60;
/// Tokens longer than this are not read.
const MAX_LENGTH: usize = 16 * 1024;

/// The user name of a service account.
pub fn user_name(namespace: &str, name: &str) -> String {
    format!("{PREFIX}{namespace}:{name}")
}

/// The groups of a namespace's service accounts.
pub fn groups(namespace: &str) -> Vec<String> {
    vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
    ]
}

/// Namespace and name of the service account that a user name stands for.
pub fn split_name(user_name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user_name.strip_prefix(PREFIX)?.split_once(':')?;
    let label = |text: &str, dots: bool| {
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || (dots && b == b'.');
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        bytes.iter().copied().all(allowed) && edge(bytes.first()) && edge(bytes.last())
    };
    (label(namespace, false) && label(name, true)).then_some((namespace, name))
}

/// An object by name and UID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its UID; empty when it does not exist.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The claims that are Kubernetes' own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    /// The service account's namespace.
    #[serde(default)]
    pub namespace: String,
    /// The service account.
    #[serde(default)]
    pub serviceaccount: Reference,
    /// The pod the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The secret the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The node the token is bound to, or the one its pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// From here on a holder should have fetched a new token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whom the token is for.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many"
    )]
    pub aud: Vec<String>,
    /// When it ends, in Unix seconds.
    #[serde(default)]
    pub exp: i64,
    /// When it was issued.
    #[serde(default)]
    pub iat: i64,
    /// Who issued it.
    #[serde(default)]
    pub iss: String,
    /// Its own identifier.
    #[serde(default)]
    pub jti: String,
    /// When it begins.
    #[serde(default)]
    pub nbf: i64,
    /// The user's name.
    #[serde(default)]
    pub sub: String,
    /// Kubernetes' own claims.
    #[serde(default, rename = "kubernetes.io")]
    pub kubernetes: Private,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::One(one) => vec![one],
        Either::Many(many) => many,
    })
}

/// Why a token is not believed. The words are upstream's, and reach the client of a TokenReview.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of this cluster; another authenticator may know it.
    #[error("invalid bearer token")]
    NotOurs,
    /// It was signed with no known key.
    #[error("invalid signature, no keys found")]
    UnknownKey,
    /// Its signature does not fit.
    #[error("invalid signature")]
    Signature,
    /// It is for someone else.
    #[error("token audiences {} is invalid for the target audiences {}", quoted(.0), quoted(.1))]
    Audience(Vec<String>, Vec<String>),
    /// It has ended.
    #[error("service account token has expired")]
    Expired,
    /// It has not begun.
    #[error("service account token is not valid yet")]
    NotYet,
    /// It was issued in the future.
    #[error("service account token is issued in the future")]
    FromTheFuture,
    /// What it is bound to is gone.
    #[error("service account token has been invalidated")]
    Invalidated,
    /// The service account or what the token is bound to was made anew.
    #[error("{what} UID ({found}) does not match claim ({claimed})")]
    OtherUid {
        /// The object's kind.
        what: &'static str,
        /// Its UID.
        found: String,
        /// The token's.
        claimed: String,
    },
}

/// A list as Go's `%q` writes it.
fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// Issues and reads the tokens of one cluster.
pub struct Tokens {
    issuer: String,
    keys: Keys,
}

impl std::fmt::Debug for Tokens {
    /// Names the issuer; the keys are nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// What must still exist for a token to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The kind's resource, in the core group.
    pub resource: &'static str,
    what: &'static str,
    /// The namespace, for namespaced kinds.
    pub namespace: Option<&'a str>,
    /// The name.
    pub name: &'a str,
    uid: &'a str,
}

impl Tokens {
    /// Tokens of `issuer`, an https URL, which is also their default audience.
    pub fn new(issuer: impl Into<String>, keys: Keys) -> Self {
        Tokens {
            issuer: issuer.into(),
            keys,
        }
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs a token; the issuer is filled in.
    pub fn sign(&self, mut claims: Claims) -> Result<String, KeyError> {
        claims.iss.clone_from(&self.issuer);
        let mut header = Header::new(Algorithm::ES256);
        header.typ = None;
        header.kid = Some(self.keys.signing_id().to_owned());
        jsonwebtoken::encode(&header, &claims, self.keys.signing()).map_err(|e| KeyError(e.to_string()))
    }

    /// Reads a token: issuer, signature, times and audience. Whether what it names still exists is for the
    /// caller to find out, see [`Claims::bindings`].
    ///
    /// Returns the claims and those of `audiences` that the token is for.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[String],
        now: i64,
    ) -> Result<(Claims, Vec<String>), TokenError> {
        if token.len() > MAX_LENGTH {
            return Err(TokenError::NotOurs);
        }
        let unverified: Claims =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenError::NotOurs)?;
        if unverified.iss != self.issuer {
            return Err(TokenError::NotOurs);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::NotOurs)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let keys = self.keys.verifying(header.kid.as_deref());
        if keys.is_empty() {
            return Err(TokenError::UnknownKey);
        }
        let claims = keys
            .iter()
            .find_map(|key| jsonwebtoken::decode::<Claims>(token, key, &validation).ok())
            .ok_or(TokenError::Signature)?
            .claims;
        let shared: Vec<String> = audiences
            .iter()
            .filter(|a| claims.aud.contains(a))
            .cloned()
            .collect();
        if shared.is_empty() {
            return Err(TokenError::Audience(claims.aud, audiences.to_vec()));
        }
        if now > claims.exp + LEEWAY {
            return Err(TokenError::Expired);
        }
        if now + LEEWAY < claims.nbf {
            return Err(TokenError::NotYet);
        }
        if now + LEEWAY < claims.iat {
            return Err(TokenError::FromTheFuture);
        }
        Ok((claims, shared))
    }

    /// The answer at /.well-known/openid-configuration; `jwks_uri` is where the keys are.
    pub fn openid_configuration(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.issuer, "jwks_uri": jwks_uri, "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The answer at /openid/v1/jwks.
    pub fn jwks(&self) -> Value {
        self.keys.jwks()
    }
}

impl Claims {
    /// What must still exist: the service account, and what the token is bound to.
    pub fn bindings(&self) -> Vec<Binding<'_>> {
        let own = &self.kubernetes;
        let mut all = vec![Binding {
            resource: "serviceaccounts",
            what: "service account",
            namespace: Some(&own.namespace),
            name: &own.serviceaccount.name,
            uid: &own.serviceaccount.uid,
        }];
        for (resource, what, reference) in [("secrets", "secret", &own.secret), ("pods", "pod", &own.pod)] {
            all.extend(reference.as_ref().map(|r| Binding {
                resource,
                what,
                namespace: Some(&own.namespace),
                name: &r.name,
                uid: &r.uid,
            }));
        }
        // A pod's token names its node for information only.
        if own.pod.is_none() {
            all.extend(own.node.as_ref().map(|r| Binding {
                resource: "nodes",
                what: "node",
                namespace: None,
                name: &r.name,
                uid: &r.uid,
            }));
        }
        all
    }

    /// The user a verified token stands for.
    pub fn user(&self) -> User {
        let own = &self.kubernetes;
        let mut user = User {
            name: user_name(&own.namespace, &own.serviceaccount.name),
            uid: own.serviceaccount.uid.clone(),
            groups: groups(&own.namespace),
            ..User::default()
        };
        user.groups.push(AUTHENTICATED.to_owned());
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                user.extra.insert(key.to_owned(), vec![value.to_owned()]);
            }
        };
        if !self.jti.is_empty() {
            put(CREDENTIAL_ID, &format!("JTI={}", self.jti));
        }
        if let Some(pod) = &own.pod {
            put("authentication.kubernetes.io/pod-name", &pod.name);
            put("authentication.kubernetes.io/pod-uid", &pod.uid);
        }
        if let Some(node) = &own.node {
            put("authentication.kubernetes.io/node-name", &node.name);
            put("authentication.kubernetes.io/node-uid", &node.uid);
        }
        user
    }
}

impl Binding<'_> {
    /// Checks what was found under the binding's name. `deleted_before` tells whether an RFC 3339 time lies more
    /// than the leeway back.
    pub fn check(
        &self,
        found: Option<&Value>,
        deleted_before: impl Fn(&str) -> bool,
    ) -> Result<(), TokenError> {
        let metadata = &found.ok_or(TokenError::Invalidated)?["metadata"];
        let uid = metadata["uid"].as_str().unwrap_or_default();
        if uid != self.uid {
            return Err(TokenError::OtherUid {
                what: self.what,
                found: uid.to_owned(),
                claimed: self.uid.to_owned(),
            });
        }
        match metadata["deletionTimestamp"].as_str() {
            Some(at) if deleted_before(at) => Err(TokenError::Invalidated),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
