//! Public keys that certificates are asked for: which there are, and what is signed with them.

use aws_lc_rs::signature::{self, RsaPssSaltLength, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::oid::Oid;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_DSA, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What sort of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Ed25519.
    Ed25519,
    /// On an elliptic curve, by the curve's name, such as `P-256`.
    Elliptic(&'static str),
    /// RSA, by the bits of its modulus in whole bytes.
    Rsa(usize),
    /// One that is known, but not for signatures of today.
    Other,
    /// One that nobody knows.
    Unknown,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What sort of key it is.
    pub sort: Sort,
    bits: Vec<u8>,
}

impl PublicKey {
    /// Reads a key as PKIX has it; `None` for what is none.
    pub fn parse(der: &[u8]) -> Option<PublicKey> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        PublicKey::of(&info).filter(|key| rest.is_empty() && key.sort != Sort::Unknown)
    }

    /// The key of a certificate or request; `None` if it is malformed.
    pub(super) fn of(info: &SubjectPublicKeyInfo) -> Option<PublicKey> {
        const ED25519_BYTES: usize = 32;
        let (algorithm, bits) = (&info.algorithm.algorithm, info.subject_public_key.data.to_vec());
        let sort = if *algorithm == OID_SIG_ED25519 {
            (bits.len() == ED25519_BYTES).then_some(Sort::Ed25519)?
        } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            Sort::Elliptic(curve(&info.algorithm.parameters.as_ref()?.as_oid().ok()?)?)
        } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
            match info.parsed().ok()? {
                Parsed::RSA(key) => Sort::Rsa(key.modulus.iter().skip_while(|b| **b == 0).count() * 8),
                _ => return None,
            }
        } else if *algorithm == OID_KEY_TYPE_DSA || algorithm.to_id_string() == X25519 {
            Sort::Other
        } else {
            Sort::Unknown
        };
        Some(PublicKey { sort, bits })
    }

    /// Whether a signature over a message is this key's, as those are that prove that one has the key: RSA by PSS, and
    /// digests by SHA-256.
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let fits = |algorithm: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(algorithm, &self.bits)
                .verify(message, signature)
                .is_ok()
        };
        match self.sort {
            Sort::Ed25519 => fits(&signature::ED25519),
            Sort::Elliptic(curve) => ecdsa(curve, &OID_SIG_ECDSA_WITH_SHA256).is_some_and(fits),
            // Go signs with the longest salt there can be unless it is told otherwise.
            Sort::Rsa(_) => fits(&LONG_SALT) || fits(&signature::RSA_PSS_2048_8192_SHA256),
            Sort::Other | Sort::Unknown => false,
        }
    }
}

const X25519: &str = "1.3.101.110";
const P224: &str = "1.3.132.0.33";

static LONG_SALT: signature::RsaParameters =
    signature::RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);

fn curve(oid: &Oid) -> Option<&'static str> {
    let known = [
        (OID_EC_P256, "P-256"),
        (OID_NIST_EC_P384, "P-384"),
        (OID_NIST_EC_P521, "P-521"),
    ];
    let found = known
        .iter()
        .find(|(known, _)| known == oid)
        .map(|(_, name)| *name);
    found.or_else(|| (oid.to_id_string() == P224).then_some("P-224"))
}

fn ecdsa(curve: &str, signed_by: &Oid) -> Option<&'static dyn VerificationAlgorithm> {
    let hash = [
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ECDSA_WITH_SHA512,
    ];
    Some(match (curve, hash.iter().position(|oid| oid == signed_by)?) {
        ("P-256", 0) => &signature::ECDSA_P256_SHA256_ASN1,
        ("P-256", 1) => &signature::ECDSA_P256_SHA384_ASN1,
        ("P-256", _) => &signature::ECDSA_P256_SHA512_ASN1,
        ("P-384", 0) => &signature::ECDSA_P384_SHA256_ASN1,
        ("P-384", 1) => &signature::ECDSA_P384_SHA384_ASN1,
        ("P-384", _) => &signature::ECDSA_P384_SHA512_ASN1,
        ("P-521", 0) => &signature::ECDSA_P521_SHA256_ASN1,
        ("P-521", 1) => &signature::ECDSA_P521_SHA384_ASN1,
        ("P-521", _) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}

/// Whether a request's signature is its own key's.
pub(super) fn proves(request: &X509CertificationRequest) -> bool {
    let (info, by) = (
        &request.certification_request_info,
        &request.signature_algorithm.algorithm,
    );
    let own = PublicKey::of(&info.subject_pki);
    let algorithm = match own.as_ref().map(|key| key.sort) {
        Some(Sort::Elliptic(curve)) => ecdsa(curve, by),
        _ => None,
    };
    match (own, algorithm) {
        (Some(key), Some(algorithm)) => UnparsedPublicKey::new(algorithm, &key.bits)
            .verify(info.raw, &request.signature_value.data)
            .is_ok(),
        _ => request.verify_signature().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

    const MESSAGE: &[u8] = b"a pod's uid";

    fn key(sort: Sort, bits: &[u8]) -> PublicKey {
        PublicKey {
            sort,
            bits: bits.to_vec(),
        }
    }

    #[test]
    fn signatures() {
        let check = |key: &PublicKey, signature: &[u8]| {
            assert!(key.signed(MESSAGE, signature), "{:?}", key.sort);
            assert!(!key.signed(b"another", signature), "{:?}", key.sort);
        };
        let pair = Ed25519KeyPair::generate().unwrap();
        check(
            &key(Sort::Ed25519, pair.public_key().as_ref()),
            pair.sign(MESSAGE).as_ref(),
        );
        let curves = [
            ("P-256", &signature::ECDSA_P256_SHA256_ASN1_SIGNING),
            ("P-521", &signature::ECDSA_P521_SHA256_ASN1_SIGNING),
        ];
        let random = SystemRandom::new();
        for (curve, algorithm) in curves {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            let signed = pair.sign(&random, MESSAGE).unwrap();
            check(
                &key(Sort::Elliptic(curve), pair.public_key().as_ref()),
                signed.as_ref(),
            );
        }
        let pair = KeyPair::generate(KeySize::Rsa3072).unwrap();
        let mut signed = vec![0; pair.public_modulus_len()];
        for salt in [RsaPssSaltLength::Max, RsaPssSaltLength::Digest] {
            let encoding = match salt {
                RsaPssSaltLength::Max => &LONG_SALT_SIGNING,
                _ => &signature::RSA_PSS_SHA256,
            };
            pair.sign(encoding, &random, MESSAGE, &mut signed).unwrap();
            check(&key(Sort::Rsa(3072), pair.public_key().as_ref()), &signed);
        }
    }

    static LONG_SALT_SIGNING: signature::RsaSignatureEncoding =
        signature::RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);

    #[test]
    fn keys() {
        let pem = crate::x509::blocks(crate::x509::tests::REQUEST.as_bytes()).remove(0);
        let (_, request) = X509CertificationRequest::from_der(&pem.der).unwrap();
        let info = &request.certification_request_info.subject_pki;
        let key = PublicKey::parse(info.raw).unwrap();
        assert_eq!(key.sort, Sort::Elliptic("P-256"));
        assert!(proves(&request));
        assert_eq!(PublicKey::parse(&info.raw[1..]), None);
        assert_eq!(PublicKey::parse(&[info.raw, &[0]].concat()), None);
    }
}
