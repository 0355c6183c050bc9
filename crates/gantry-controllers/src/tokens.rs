//! Service account tokens in Secrets: one of type kubernetes.io/service-account-token gets its token, and goes with its
//! account. Source: pkg/controller/serviceaccount, tokens_controller.go.

use crate::object::{annotation, text, uid};
use crate::runner::{Context, Controller, Descriptor, Error, Feed, Next, Rule};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_api::meta;
use gantry_auth::service_account::LegacyClaims;
use gantry_client::resource::{SECRETS, SERVICE_ACCOUNTS};
use gantry_client::{Change, Informer, ListOptions, Resource, key_of};
use serde_json::{Value, json};
use std::sync::Arc;

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "tokens-controller",
    queue: "serviceaccount_tokens_service",
    workers: 5,
    watches: || vec![SERVICE_ACCOUNTS],
    rules: &[
        Rule { groups: &[""], resources: &["secrets"], verbs: &["delete", "get", "list", "update", "watch"] },
        Rule { groups: &[""], resources: &["serviceaccounts"], verbs: &["get", "list", "watch"] },
    ],
    make: |ctx| {
        let accounts = ctx.informers.of(&SERVICE_ACCOUNTS);
        let secrets = ctx.informers.filtered(&SECRETS, ListOptions::fields(format!("type={TYPE}")));
        Arc::new(TokenSecrets { ctx, accounts, secrets })
    },
};

struct TokenSecrets {
    ctx: Context,
    accounts: Arc<Informer>,
    // Of all Secrets only those of this type.
    secrets: Arc<Informer>,
}

#[async_trait]
impl Controller for TokenSecrets {
    /// When an account goes, so do its Secrets.
    fn keys(&self, _: &Resource, change: Change<'_>) -> Vec<String> {
        let account = change.object();
        if change.new.is_some() && change.old.is_none_or(|old| uid(old) == uid(account)) {
            return Vec::new();
        }
        let secrets = self.secrets.list_namespace(meta::namespace(account));
        let of_account = |s: &Arc<Value>| annotation(s, ACCOUNT) == Some(meta::name(account));
        secrets.iter().filter(|s| of_account(s)).map(|s| key_of(s)).collect()
    }

    async fn feed(&self, feed: &Feed) {
        let feed = feed.clone();
        self.secrets.on_change(move |change| {
            if let Some(secret) = change.new {
                feed.add(key_of(secret));
            }
        });
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(secret) = self.secrets.get_key(key).filter(|s| s["type"] == TYPE) else {
            return Ok(Next::Done);
        };
        let (namespace, name) = (meta::namespace(&secret), annotation(&secret, ACCOUNT).unwrap_or(""));
        let is_meant = |account: &Value| {
            annotation(&secret, ACCOUNT_UID).is_none_or(|wanted| wanted.is_empty() || wanted == uid(account))
        };
        let known = self.accounts.get(namespace, name).filter(|a| is_meant(a));
        let account = match known {
            Some(account) => Some((*account).clone()),
            // The account may be newer than what the informer holds.
            None => match self.ctx.client.get(&SERVICE_ACCOUNTS, namespace, name).await {
                Ok(account) => Some(account).filter(is_meant),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.into()),
            },
        };
        let result = match account {
            None => {
                let options = json!({"preconditions": {"uid": uid(&secret)}});
                self.ctx.client.delete(&SECRETS, namespace, meta::name(&secret), &options).await
            }
            Some(account) => match self.filled(&secret, &account)? {
                None => return Ok(Next::Done),
                Some(filled) => self.ctx.client.update(&SECRETS, &filled).await,
            },
        };
        match result {
            // A change will be told.
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }
}

impl TokenSecrets {
    /// The Secret with what it lacks; `None` when that is nothing.
    fn filled(&self, secret: &Value, account: &Value) -> Result<Option<Value>, Error> {
        let config = &self.ctx.config;
        let missing = |key: &str| text(&secret["data"][key]).is_empty();
        let mut filled = secret.clone();
        let authority = STANDARD.encode(&config.cluster_ca_pem);
        if !config.cluster_ca_pem.is_empty() && secret["data"]["ca.crt"] != authority.as_str() {
            filled["data"]["ca.crt"] = authority.into();
        }
        if missing("namespace") {
            filled["data"]["namespace"] = STANDARD.encode(meta::namespace(secret)).into();
        }
        if missing("token") && let Some(tokens) = &config.tokens {
            let claims =
                LegacyClaims::new(meta::namespace(secret), meta::name(account), uid(account), meta::name(secret));
            let token = tokens.sign_legacy(&claims).map_err(|e| Error::Object(e.to_string()))?;
            filled["data"]["token"] = STANDARD.encode(token).into();
        }
        if filled == *secret {
            return Ok(None);
        }
        filled["metadata"]["annotations"][ACCOUNT_UID] = uid(account).into();
        Ok(Some(filled))
    }
}
