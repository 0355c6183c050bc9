//! Keys and certificates in memory: made, signed and read.

use crate::pki::ServerNames;
use p256::SecretKey;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::der::asn1::{Any, Ia5String, ObjectIdentifier, OctetString, SetOfVec, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME};
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::{Decode, DecodePem, Encode, EncodePem};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::{Time, Validity};
use x509_parser::extensions::GeneralName as ParsedName;
use x509_parser::prelude::{FromDer, X509Certificate};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate counts as valid before it was made, for clocks that are behind.
const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// What went wrong, in the words of the library that noticed.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A private key, P-256.
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn generate() -> Key {
        loop {
            // All but a few in 2^32 random scalars are keys.
            if let Ok(key) = SigningKey::from_slice(&rand::random::<[u8; 32]>()) {
                return Key(key);
            }
        }
    }

    pub(crate) fn from_pem(pem: &str) -> Result<Key, Failure> {
        Ok(Key(SecretKey::from_pkcs8_pem(pem)?.into()))
    }

    pub(crate) fn to_pem(&self) -> Result<String, Failure> {
        Ok(self.0.to_pkcs8_pem(LineEnding::LF)?.to_string())
    }

    fn public(&self) -> Result<SubjectPublicKeyInfoOwned, Failure> {
        Ok(SubjectPublicKeyInfoOwned::from_key(*self.0.verifying_key())?)
    }

    fn public_der(&self) -> Result<Vec<u8>, Failure> {
        Ok(self.0.verifying_key().to_public_key_der()?.into_vec())
    }
}

/// A certificate's DER and what is worth knowing of it.
pub(crate) struct Parsed {
    pub(crate) der: Vec<u8>,
    expires: SystemTime,
}

impl Parsed {
    pub(crate) fn from_pem(pem: &str) -> Result<Parsed, Failure> {
        let der = Certificate::from_pem(pem)?.to_der()?;
        let expires = {
            let (_, certificate) = X509Certificate::from_der(&der)?;
            let seconds = certificate.validity().not_after.timestamp();
            UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        };
        Ok(Parsed { der, expires })
    }

    /// Whether the certificate still counts after `time` from now.
    pub(crate) fn lasts(&self, time: Duration) -> bool {
        self.expires > SystemTime::now() + time
    }

    /// Whether the certificate is `key`'s.
    pub(crate) fn belongs_to(&self, key: &Key) -> Result<bool, Failure> {
        let (_, certificate) = X509Certificate::from_der(&self.der)?;
        Ok(certificate.public_key().raw == key.public_der()?)
    }

    /// Whether the certificate is a CA's.
    pub(crate) fn is_ca(&self) -> Result<bool, Failure> {
        Ok(X509Certificate::from_der(&self.der)?.1.is_ca())
    }

    /// Whether the certificate's subject is just this name and these organizations.
    pub(crate) fn is_of(&self, common_name: &str, organizations: &[&str]) -> Result<bool, Failure> {
        let own = Certificate::from_der(&self.der)?.tbs_certificate.subject;
        Ok(own == subject(common_name, organizations)?)
    }

    /// Whether `ca` signed the certificate.
    pub(crate) fn signed_by(&self, ca: &Parsed) -> Result<bool, Failure> {
        let (_, certificate) = X509Certificate::from_der(&self.der)?;
        let (_, issuer) = X509Certificate::from_der(&ca.der)?;
        let key = VerifyingKey::from_public_key_der(issuer.public_key().raw)?;
        let Ok(signature) = DerSignature::try_from(&*certificate.signature_value.data) else {
            return Ok(false);
        };
        Ok(certificate.issuer() == issuer.subject()
            && key
                .verify(certificate.tbs_certificate.as_ref(), &signature)
                .is_ok())
    }

    /// Whether the certificate has all of `names`.
    pub(crate) fn covers(&self, names: &ServerNames) -> Result<bool, Failure> {
        let (_, certificate) = X509Certificate::from_der(&self.der)?;
        let Some(extension) = certificate.subject_alternative_name()? else {
            return Ok(names.dns.is_empty() && names.ips.is_empty());
        };
        let own = &extension.value.general_names;
        let has_dns = |name: &String| {
            own.iter()
                .any(|n| matches!(n, ParsedName::DNSName(d) if d.eq_ignore_ascii_case(name)))
        };
        let has_ip = |ip: &IpAddr| {
            own.iter()
                .any(|n| matches!(n, ParsedName::IPAddress(b) if **b == *octets(ip)))
        };
        Ok(names.dns.iter().all(has_dns) && names.ips.iter().all(has_ip))
    }
}

/// Whom a certificate is for.
pub(crate) enum Purpose<'a> {
    Ca,
    Server(&'a ServerNames),
    Client,
}

/// A certificate for `key`, signed by `signer`; `ca` is absent when it signs itself.
pub(crate) fn issue(
    common_name: &str,
    organizations: &[&str],
    purpose: &Purpose,
    lifetime: Duration,
    key: &Key,
    signer: &Key,
    ca: Option<&Parsed>,
) -> Result<String, Failure> {
    let profile = match ca {
        None => Profile::Root,
        Some(ca) => Profile::Leaf {
            issuer: Certificate::from_der(&ca.der)?.tbs_certificate.subject,
            enable_key_agreement: false,
            enable_key_encipherment: false,
        },
    };
    let now = SystemTime::now();
    // A certificate that outlives its CA would fail later in a way that is hard to read.
    let end = ca.map_or(now + lifetime, |ca| (now + lifetime).min(ca.expires));
    let validity = Validity {
        not_before: time(now - BACKDATE)?,
        not_after: time(end)?,
    };
    let subject = subject(common_name, organizations)?;
    let mut builder =
        CertificateBuilder::new(profile, serial()?, validity, subject, key.public()?, &signer.0)?;
    match purpose {
        Purpose::Ca => {}
        Purpose::Client => builder.add_extension(&ExtendedKeyUsage(vec![ID_KP_CLIENT_AUTH]))?,
        Purpose::Server(names) => {
            builder.add_extension(&ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH]))?;
            if let Some(names) = alternative_names(names)? {
                builder.add_extension(&names)?;
            }
        }
    }
    Ok(builder.build::<DerSignature>()?.to_pem(LineEnding::LF)?)
}

fn time(at: SystemTime) -> Result<Time, Failure> {
    // Certificates count whole seconds.
    let seconds = at.duration_since(UNIX_EPOCH)?.as_secs();
    Ok(Time::try_from(UNIX_EPOCH + Duration::from_secs(seconds))?)
}

fn serial() -> Result<SerialNumber, Failure> {
    // Positive and without leading zeros, as DER wants, in 16 bytes.
    let mut bytes = rand::random::<[u8; 16]>();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::new(&bytes)?)
}

/// O entries first and each in a set of its own: x509-cert would keep equal ones in one
/// set only once.
fn subject(common_name: &str, organizations: &[&str]) -> Result<Name, Failure> {
    let entry = |oid: ObjectIdentifier, value: &str| -> Result<RelativeDistinguishedName, Failure> {
        let value = Any::encode_from(&Utf8StringRef::new(value)?)?;
        Ok(SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])?.into())
    };
    let mut entries = Vec::with_capacity(organizations.len() + 1);
    for organization in organizations {
        entries.push(entry(ORGANIZATION_NAME, organization)?);
    }
    entries.push(entry(COMMON_NAME, common_name)?);
    Ok(RdnSequence(entries))
}

fn alternative_names(names: &ServerNames) -> Result<Option<SubjectAltName>, Failure> {
    let mut out = Vec::with_capacity(names.dns.len() + names.ips.len());
    for name in &names.dns {
        out.push(GeneralName::DnsName(Ia5String::new(name)?));
    }
    for ip in &names.ips {
        out.push(GeneralName::IpAddress(OctetString::new(octets(ip))?));
    }
    Ok((!out.is_empty()).then_some(SubjectAltName(out)))
}

fn octets(ip: &IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
