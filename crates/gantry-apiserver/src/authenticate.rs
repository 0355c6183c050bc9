//! Who sends a request: by client certificate, bearer token, or nothing.

use crate::authz::Authorizer;
use crate::registry::Registry;
use crate::request::Served;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_auth::service_account::{Claims, LegacyClaims, TokenError, Tokens};
use gantry_auth::{AUTHENTICATED, BOOTSTRAPPERS, User, impersonation};
use http::{HeaderMap, HeaderValue, header, request};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What anyone may ask without credentials.
pub const OPEN_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
/// A token that was believed is believed again for this long, as upstream does.
const REMEMBER: Duration = Duration::from_secs(10);
/// So many believed tokens are remembered at once.
const REMEMBERED: usize = 4096;
/// How a browser sends its token: as a subprotocol that begins so.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
/// A bound object may be on its way out for this long before its tokens end.
const LEEWAY: time::Duration = time::Duration::seconds(60);

/// Finds out who sends requests.
pub struct Authenticator {
    tokens: Arc<Tokens>,
    kinds: Arc<Served>,
    registry: Registry,
    join_token: Option<String>,
    believed: Mutex<HashMap<String, (Arc<User>, Instant)>>,
}

/// Why nobody could be made out. Clients learn only that they are not authorized.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the WebSocket's token is not one token in base64url beside another subprotocol")]
    Protocol,
    #[error("no credentials were sent")]
    Nothing,
}

impl Authenticator {
    /// Believes `tokens`, and `join_token` as a machine that is about to join.
    pub fn new(
        tokens: Arc<Tokens>,
        kinds: Arc<Served>,
        registry: Registry,
        join_token: Option<String>,
    ) -> Self {
        Authenticator {
            tokens,
            kinds,
            registry,
            join_token: join_token.filter(|t| !t.is_empty()),
            believed: Mutex::default(),
        }
    }

    /// The user behind a request. `certificate` is whom the connection's client certificate names.
    ///
    /// Credentials that were believed are taken out of the head.
    pub async fn authenticate(
        &self,
        certificate: Option<&Arc<User>>,
        head: &mut request::Parts,
    ) -> Result<Arc<User>, Status> {
        match self.find(certificate, head).await {
            Ok(user) => {
                head.headers.remove(header::AUTHORIZATION);
                Ok(user)
            }
            Err(why) => {
                tracing::debug!("a request was not authenticated: {why}");
                Err(Status::unauthorized())
            }
        }
    }

    async fn find(
        &self,
        certificate: Option<&Arc<User>>,
        head: &mut request::Parts,
    ) -> Result<Arc<User>, Unknown> {
        if let Some(user) = certificate {
            return Ok(user.clone());
        }
        if let Some(token) = bearer(&head.headers) {
            return Ok(self.user_of_token(token).await?);
        }
        if let Some((token, others)) = web_socket_token(&head.headers)? {
            let user = self.user_of_token(&token).await?;
            head.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
            return Ok(user);
        }
        let none = !head.headers.contains_key(header::AUTHORIZATION);
        match none && OPEN_PATHS.contains(&head.uri.path()) {
            true => Ok(Arc::new(User::anonymous())),
            false => Err(Unknown::Nothing),
        }
    }

    /// The user a token for the API server stands for.
    async fn user_of_token(&self, token: &str) -> Result<Arc<User>, TokenError> {
        let now = Instant::now();
        if let Some((user, until)) = self.believed().get(token)
            && now < *until
        {
            return Ok(user.clone());
        }
        let (user, _) = self.review(token, &[]).await?;
        let user = Arc::new(user);
        let mut believed = self.believed();
        if believed.len() >= REMEMBERED {
            believed.retain(|_, (_, until)| now < *until);
        }
        if believed.len() >= REMEMBERED {
            believed.clear();
        }
        believed.insert(token.to_owned(), (user.clone(), now + REMEMBER));
        Ok(user)
    }

    fn believed(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Arc<User>, Instant)>> {
        self.believed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user a token stands for, and those of `audiences` it is for; none means the API server's own.
    pub async fn review(&self, token: &str, audiences: &[String]) -> Result<(User, Vec<String>), TokenError> {
        let own = [self.tokens.issuer().to_owned()];
        let audiences = if audiences.is_empty() { &own } else { audiences };
        if self.is_join_token(token) {
            if !audiences.contains(&own[0]) {
                return Err(TokenError::Audience(own.to_vec(), audiences.to_vec()));
            }
            let user = User::new("system:bootstrap:gantry", &[BOOTSTRAPPERS, AUTHENTICATED]);
            return Ok((user, own.to_vec()));
        }
        if let Ok(claims) = self.tokens.verify_legacy(token) {
            if !audiences.contains(&own[0]) {
                return Err(TokenError::Audience(own.to_vec(), audiences.to_vec()));
            }
            self.check_secret(&claims, token).await?;
            return Ok((claims.user(), own.to_vec()));
        }
        let now = OffsetDateTime::now_utc();
        let (claims, audiences) = self.tokens.verify(token, audiences, now.unix_timestamp())?;
        self.check_bindings(&claims, now).await?;
        Ok((claims.user(), audiences))
    }

    /// The Secret must still be there and hold the token, and so must the service account.
    async fn check_secret(&self, claims: &LegacyClaims, token: &str) -> Result<(), TokenError> {
        let find = async |resource: &str, name: &str| {
            let kind = self
                .kinds
                .get("", "v1", resource)
                .ok_or(TokenError::Invalidated)?;
            let found = self.registry.get(&kind, Some(&claims.namespace), name).await;
            let found = found.map_err(|_| TokenError::Invalidated)?;
            match meta::is_deleting(&found) {
                true => Err(TokenError::Invalidated),
                false => Ok(found),
            }
        };
        let secret = find("secrets", &claims.secret).await?;
        let held = secret["data"]["token"].as_str().unwrap_or_default();
        if STANDARD.decode(held).is_ok_and(|held| held == token.as_bytes()) {
            let account = find("serviceaccounts", &claims.account).await?;
            let uid = meta::text(&account, "uid");
            return match uid == claims.account_uid {
                true => Ok(()),
                false => Err(TokenError::OtherUid {
                    what: "service account",
                    found: uid.to_owned(),
                    claimed: claims.account_uid.clone(),
                }),
            };
        }
        Err(TokenError::Invalidated)
    }

    /// Compares without a hint, in its timing, of how much was right.
    fn is_join_token(&self, token: &str) -> bool {
        self.join_token.as_ref().is_some_and(|own| {
            own.len() == token.len() && own.bytes().zip(token.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0
        })
    }

    /// The service account must still be there, and what the token is bound to.
    async fn check_bindings(&self, claims: &Claims, now: OffsetDateTime) -> Result<(), TokenError> {
        let long_deleted = |at: &str| OffsetDateTime::parse(at, &Rfc3339).is_ok_and(|at| at < now - LEEWAY);
        for binding in claims.bindings() {
            let kind = self
                .kinds
                .get("", "v1", binding.resource)
                .ok_or(TokenError::Invalidated)?;
            let found = match self.registry.get(&kind, binding.namespace, binding.name).await {
                Ok(object) => Some(object),
                Err(status) if status.code == 404 => None,
                Err(status) => {
                    tracing::warn!("a token's {} could not be read: {status}", binding.resource);
                    None
                }
            };
            binding.check(found.as_ref(), long_deleted)?;
        }
        Ok(())
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, rest) = text.split_once(' ')?;
    let token = rest.split(' ').next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The token among a WebSocket's subprotocols, and the other subprotocols.
fn web_socket_token(headers: &HeaderMap) -> Result<Option<(String, HeaderValue)>, Unknown> {
    let upgrades = headers
        .get(header::UPGRADE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.eq_ignore_ascii_case("websocket"));
    if !upgrades {
        return Ok(None);
    }
    let mut token = None;
    let mut others = Vec::new();
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    for protocol in lines
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
    {
        match protocol.strip_prefix(TOKEN_PROTOCOL) {
            None => others.push(protocol),
            Some(_) if token.is_some() => return Err(Unknown::Protocol),
            Some(encoded) => {
                let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Unknown::Protocol)?;
                token = Some(String::from_utf8(bytes).map_err(|_| Unknown::Protocol)?);
            }
        }
    }
    match token {
        None => Ok(None),
        Some(_) if others.is_empty() => Err(Unknown::Protocol),
        Some(token) => {
            let others = HeaderValue::from_str(&others.join(",")).map_err(|_| Unknown::Protocol)?;
            Ok(Some((token, others)))
        }
    }
}

/// The user a request goes on as, when its headers ask to act as someone else. The headers are taken out.
pub fn impersonate(
    user: Arc<User>,
    headers: &mut HeaderMap,
    authorizer: &Authorizer,
) -> Result<Arc<User>, Status> {
    let text = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("impersonate-"))
        .map(|(name, value)| (name.as_str(), value.to_str()))
        .map(|(name, value)| value.map(|value| (name, value)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Status::bad_request("an Impersonate header is not text"))?;
    if text.is_empty() {
        return Ok(user);
    }
    let Some(request) = impersonation::parse(text.into_iter()).map_err(Status::bad_request)? else {
        return Ok(user);
    };
    for attributes in request.attributes(&user) {
        authorizer.allow(&attributes)?;
    }
    let names: Vec<_> = headers
        .keys()
        .filter(|n| n.as_str().starts_with("impersonate-"))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
    let acted = request.user();
    tracing::debug!("{} is impersonating {}", user.name, acted.name);
    Ok(Arc::new(acted))
}

#[cfg(test)]
mod tests;
