//! The keys that sign service accounts' tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the key that signs service accounts' tokens cannot be used: {0}; restore service-account.key from a backup, or remove it to have a new one made (tokens issued so far then end)"
)]
pub struct KeyError(pub(super) String);

struct Public {
    id: String,
    key: DecodingKey,
    x: String,
    y: String,
}

/// One key that signs, and those that signatures are checked with.
pub struct Keys {
    signing: EncodingKey,
    public: Vec<Public>,
}

impl Keys {
    /// Reads P-256 keys in PKCS #8 PEM. The first signs; all are believed, so that keys can be changed in turn.
    pub fn from_pem(signing: &str, others: &[&str]) -> Result<Keys, KeyError> {
        let bad = |e: &dyn std::fmt::Display| KeyError(e.to_string());
        let secret = SecretKey::from_pkcs8_pem(signing).map_err(|e| bad(&e))?;
        let der = secret.to_pkcs8_der().map_err(|e| bad(&e))?;
        let mut public = vec![public(&secret)?];
        for other in others {
            public.push(self::public(
                &SecretKey::from_pkcs8_pem(other).map_err(|e| bad(&e))?,
            )?);
        }
        Ok(Keys {
            signing: EncodingKey::from_ec_der(der.as_bytes()),
            public,
        })
    }

    pub(super) fn signing(&self) -> &EncodingKey {
        &self.signing
    }

    pub(super) fn signing_id(&self) -> &str {
        &self.public[0].id
    }

    /// The keys a token with this key id may be signed with; all when it names none.
    pub(super) fn verifying(&self, id: Option<&str>) -> Vec<&DecodingKey> {
        let fits = |key: &&Public| id.is_none_or(|id| id == key.id);
        self.public.iter().filter(fits).map(|p| &p.key).collect()
    }

    pub(super) fn jwks(&self) -> Value {
        let keys: Vec<Value> = self
            .public
            .iter()
            .map(|k| json!({"use": "sig", "kty": "EC", "kid": k.id, "crv": "P-256", "alg": "ES256", "x": k.x, "y": k.y}))
            .collect();
        json!({"keys": keys})
    }
}

fn public(secret: &SecretKey) -> Result<Public, KeyError> {
    let key = secret.public_key();
    let der = key.to_public_key_der().map_err(|e| KeyError(e.to_string()))?;
    let point = key.to_encoded_point(false);
    let coordinate = |bytes: Option<&p256::FieldBytes>| URL_SAFE_NO_PAD.encode(bytes.map_or(&[][..], |b| b));
    Ok(Public {
        // As upstream: a hash, so that nobody takes the id for the key.
        id: URL_SAFE_NO_PAD.encode(Sha256::digest(der.as_bytes())),
        key: DecodingKey::from_ec_der(point.as_bytes()),
        x: coordinate(point.x()),
        y: coordinate(point.y()),
    })
}
