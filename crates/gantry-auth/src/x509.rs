//! Users from client certificates that TLS has already verified.

use crate::{AUTHENTICATED, CREDENTIAL_ID, UNAUTHENTICATED, User};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

/// The subject attribute in which Kubernetes puts a user's UID.
const UID_OID: &str = "1.3.6.1.4.1.57683.2";

/// Why a certificate names no user.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum X509Error {
    /// The bytes are not a certificate.
    #[error("the client certificate is not valid DER ({0}); present an X.509 certificate")]
    Malformed(String),
    /// Bytes follow the certificate.
    #[error("the client certificate has {0} bytes after its end; present a single certificate")]
    TrailingBytes(usize),
    /// The subject has no common name, or an empty one.
    #[error(
        "the client certificate's subject has no common name (CN); issue one whose CN is the user's name"
    )]
    NoCommonName,
    /// A subject attribute is not text.
    #[error(
        "the client certificate's subject has a {0} that is not text; issue it with UTF-8 or printable strings"
    )]
    NotText(&'static str),
    /// The subject has several UIDs, or an empty one.
    #[error(
        "the client certificate's subject must have at most one UID (1.3.6.1.4.1.57683.2), and not an empty one"
    )]
    BadUid,
}

/// The user a certificate's subject names: CN is the name, each O a group.
///
/// Repeated O entries are all kept, and `system:authenticated` is added. Of several
/// CNs the last counts, as upstream. The certificate's signature and dates are TLS's
/// to check, before this.
pub fn user_from_certificate(der: &[u8]) -> Result<User, X509Error> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|e| X509Error::Malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(X509Error::TrailingBytes(rest.len()));
    }
    let subject = certificate.subject();
    let name = match subject.iter_common_name().last() {
        Some(attribute) => text(attribute, "common name (CN)")?,
        None => return Err(X509Error::NoCommonName),
    };
    if name.is_empty() {
        return Err(X509Error::NoCommonName);
    }
    let mut groups = subject
        .iter_organization()
        .map(|attribute| text(attribute, "organization (O)"))
        .collect::<Result<Vec<_>, _>>()?;
    if !groups.iter().any(|g| g == AUTHENTICATED || g == UNAUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    let mut uids = subject
        .iter_attributes()
        .filter(|a| a.attr_type().to_id_string() == UID_OID);
    let uid = match (uids.next(), uids.next()) {
        (None, _) => String::new(),
        (Some(attribute), None) => text(attribute, "UID")?,
        (Some(_), Some(_)) => return Err(X509Error::BadUid),
    };
    if uid.is_empty()
        && subject
            .iter_attributes()
            .any(|a| a.attr_type().to_id_string() == UID_OID)
    {
        return Err(X509Error::BadUid);
    }
    let fingerprint: String = Sha256::digest(der).iter().map(|b| format!("{b:02x}")).collect();
    let id = format!("X509SHA256={fingerprint}");
    Ok(User {
        name,
        uid,
        groups,
        extra: [(CREDENTIAL_ID.to_owned(), vec![id])].into(),
    })
}

fn text(attribute: &AttributeTypeAndValue<'_>, what: &'static str) -> Result<String, X509Error> {
    attribute
        .as_str()
        .map(str::to_owned)
        .map_err(|_| X509Error::NotText(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::{DerSignature, SigningKey};
    use std::time::Duration;
    use x509_cert::attr::AttributeTypeAndValue as Attribute;
    use x509_cert::builder::{Builder, CertificateBuilder, Profile};
    use x509_cert::der::Encode;
    use x509_cert::der::asn1::{Any, ObjectIdentifier, SetOfVec, Utf8StringRef};
    use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
    use x509_cert::serial_number::SerialNumber;
    use x509_cert::spki::SubjectPublicKeyInfoOwned;
    use x509_cert::time::Validity;

    fn certificate(attributes: &[(&str, &str)]) -> Vec<u8> {
        let subject = attributes
            .iter()
            .map(|(oid, value)| {
                let attribute = Attribute {
                    oid: ObjectIdentifier::new_unwrap(oid),
                    value: Any::encode_from(&Utf8StringRef::new(value).unwrap()).unwrap(),
                };
                RelativeDistinguishedName(SetOfVec::try_from(vec![attribute]).unwrap())
            })
            .collect();
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let builder = CertificateBuilder::new(
            Profile::Root,
            SerialNumber::from(1u32),
            Validity::from_now(Duration::from_secs(60)).unwrap(),
            RdnSequence(subject),
            SubjectPublicKeyInfoOwned::from_key(*key.verifying_key()).unwrap(),
            &key,
        )
        .unwrap();
        builder.build::<DerSignature>().unwrap().to_der().unwrap()
    }

    const CN: &str = "2.5.4.3";
    const O: &str = "2.5.4.10";

    #[test]
    fn subjects_become_users() {
        type Subject = &'static [(&'static str, &'static str)];
        type Expected = Result<(&'static str, &'static str, &'static [&'static str]), X509Error>;
        let cases: &[(Subject, Expected)] = &[
            (&[(CN, "ann")], Ok(("ann", "", &[AUTHENTICATED]))),
            (
                &[(O, "dev"), (CN, "ann"), (O, "ops"), (O, "dev")],
                Ok(("ann", "", &["dev", "ops", "dev", AUTHENTICATED])),
            ),
            (
                &[(CN, "ann"), (O, AUTHENTICATED)],
                Ok(("ann", "", &[AUTHENTICATED])),
            ),
            (&[(CN, "first"), (CN, "last")], Ok(("last", "", &[AUTHENTICATED]))),
            (
                &[(CN, "ann"), (UID_OID, "u1")],
                Ok(("ann", "u1", &[AUTHENTICATED])),
            ),
            (
                &[(CN, "ann"), (UID_OID, "u1"), (UID_OID, "u2")],
                Err(X509Error::BadUid),
            ),
            (&[(CN, "ann"), (UID_OID, "")], Err(X509Error::BadUid)),
            (&[(O, "dev")], Err(X509Error::NoCommonName)),
            (&[(CN, "")], Err(X509Error::NoCommonName)),
        ];
        for (subject, expected) in cases {
            let user = user_from_certificate(&certificate(subject));
            let user = user.as_ref().map(|u| {
                (
                    &*u.name,
                    &*u.uid,
                    u.groups.iter().map(|g| &**g).collect::<Vec<_>>(),
                )
            });
            let expected = expected
                .as_ref()
                .map(|(name, uid, groups)| (*name, *uid, groups.to_vec()));
            assert_eq!(user, expected, "{subject:?}");
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(matches!(
            user_from_certificate(b"hello"),
            Err(X509Error::Malformed(_))
        ));
        let mut der = certificate(&[(CN, "ann")]);
        der.push(0);
        assert_eq!(user_from_certificate(&der), Err(X509Error::TrailingBytes(1)));
    }
}
