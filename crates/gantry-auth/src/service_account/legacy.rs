//! Tokens that Secrets hold: they name no audience and never end, but count only while their Secret is there and holds
//! them. Source: kubernetes/pkg/serviceaccount/legacy.go.

use super::{KeyError, MAX_LENGTH, TokenError, Tokens, groups, user_name};
use crate::{AUTHENTICATED, User};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};

const ISSUER: &str = "kubernetes/serviceaccount";

/// What such a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyClaims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    /// The service account's namespace.
    #[serde(default, rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    /// The Secret that holds the token.
    #[serde(default, rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    /// The service account.
    #[serde(default, rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    /// Its UID.
    #[serde(default, rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub account_uid: String,
}

impl LegacyClaims {
    /// The claims of the token that `secret` holds for a service account.
    pub fn new(namespace: &str, account: &str, account_uid: &str, secret: &str) -> Self {
        LegacyClaims {
            iss: ISSUER.to_owned(),
            sub: user_name(namespace, account),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            account: account.to_owned(),
            account_uid: account_uid.to_owned(),
        }
    }

    /// The user a verified token stands for.
    pub fn user(&self) -> User {
        let mut user = User {
            name: user_name(&self.namespace, &self.account),
            uid: self.account_uid.clone(),
            groups: groups(&self.namespace),
            ..User::default()
        };
        user.groups.push(AUTHENTICATED.to_owned());
        user
    }
}

impl Tokens {
    /// Signs a token for a Secret.
    pub fn sign_legacy(&self, claims: &LegacyClaims) -> Result<String, KeyError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = None;
        header.kid = Some(self.keys.signing_id().to_owned());
        jsonwebtoken::encode(&header, claims, self.keys.signing()).map_err(|e| KeyError(e.to_string()))
    }

    /// Reads a Secret's token: issuer, signature and whether it is complete. Whether the Secret still holds it is for the
    /// caller to find out.
    pub fn verify_legacy(&self, token: &str) -> Result<LegacyClaims, TokenError> {
        if token.len() > MAX_LENGTH {
            return Err(TokenError::NotOurs);
        }
        let unverified: LegacyClaims =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenError::NotOurs)?;
        if unverified.iss != ISSUER {
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
        let read = |key| jsonwebtoken::decode::<LegacyClaims>(token, key, &validation).ok();
        let claims = keys
            .into_iter()
            .find_map(read)
            .ok_or(TokenError::Signature)?
            .claims;
        let whole = [
            &claims.namespace,
            &claims.secret,
            &claims.account,
            &claims.account_uid,
        ];
        if whole.iter().any(|part| part.is_empty())
            || claims.sub != user_name(&claims.namespace, &claims.account)
        {
            return Err(TokenError::NotOurs);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tokens;
    use super::*;

    #[test]
    fn only_whole_tokens_of_ours_are_believed() {
        let ours = tokens(1, &[]);
        let good = LegacyClaims::new("ns", "bot", "1", "bot-token");
        assert_eq!(good.user().name, "system:serviceaccount:ns:bot");
        let check = |what: &str, claims: &LegacyClaims, expected: Option<TokenError>| {
            let token = ours.sign_legacy(claims).unwrap();
            assert_eq!(ours.verify_legacy(&token).err(), expected, "{what}");
        };
        check("good", &good, None);
        check(
            "no secret",
            &LegacyClaims {
                secret: String::new(),
                ..good.clone()
            },
            Some(TokenError::NotOurs),
        );
        check(
            "another subject",
            &LegacyClaims {
                sub: "root".into(),
                ..good.clone()
            },
            Some(TokenError::NotOurs),
        );
        check(
            "another issuer",
            &LegacyClaims {
                iss: "https://issuer".into(),
                ..good.clone()
            },
            Some(TokenError::NotOurs),
        );
        let foreign = tokens(2, &[]).sign_legacy(&good).unwrap();
        assert_eq!(ours.verify_legacy(&foreign).err(), Some(TokenError::UnknownKey));
    }
}
