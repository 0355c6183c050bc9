use super::*;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

fn names(dns: &[&str], ips: &[&str]) -> ServerNames {
    ServerNames {
        dns: dns.iter().map(|n| (*n).to_owned()).collect(),
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn roots(pki: &Pki) -> Arc<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(pki.ca_der().to_vec())).unwrap();
    Arc::new(roots)
}

#[test]
fn rustls_accepts_the_server_for_its_names_only() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(
        dir.path(),
        &names(&["localhost", "kubernetes.default.svc"], &["127.0.0.1", "::1"]),
    )
    .unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(&pki), provider)
        .build()
        .unwrap();
    let cases = [
        ("localhost", true),
        ("kubernetes.default.svc", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("example.com", false),
        ("10.0.0.1", false),
    ];
    for (name, accepted) in cases {
        let certificate = der(&pki.server().certificate_pem);
        let name_of = ServerName::try_from(name).unwrap();
        let result = verifier.verify_server_cert(&certificate, &[], &name_of, &[], UnixTime::now());
        assert_eq!(result.is_ok(), accepted, "{name}: {result:?}");
    }
    let client = pki.issue_client("ann", &[]).unwrap();
    let as_server = verifier.verify_server_cert(
        &der(&client.certificate_pem),
        &[],
        &ServerName::try_from("ann").unwrap(),
        &[],
        UnixTime::now(),
    );
    assert!(as_server.is_err());
}

#[test]
fn rustls_accepts_clients_of_this_ca_only() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pki = Pki::open(dir.path(), &ServerNames::default()).unwrap();
    let other = Pki::open(other.path(), &ServerNames::default()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&pki), Arc::new(default_provider()))
        .build()
        .unwrap();
    let client = pki.issue_client("ann", &["dev", "ops", "dev"]).unwrap();
    let certificate = der(&client.certificate_pem);
    verifier
        .verify_client_cert(&certificate, &[], UnixTime::now())
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).unwrap();
    let key = default_provider().key_provider.load_private_key(key).unwrap();
    rustls::sign::CertifiedKey::new(vec![certificate.clone()], key)
        .keys_match()
        .unwrap();
    let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
    let groups: Vec<_> = parsed
        .subject()
        .iter_organization()
        .map(|o| o.as_str().unwrap())
        .collect();
    assert_eq!(groups, ["dev", "ops", "dev"]);
    let days = (parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp()) / 86_400;
    assert_eq!(days, 365);
    for stranger in [other.issue_client("ann", &[]).unwrap(), pki.server().clone()] {
        assert!(
            verifier
                .verify_client_cert(&der(&stranger.certificate_pem), &[], UnixTime::now())
                .is_err()
        );
    }
    assert!(matches!(pki.issue_client("", &[]), Err(PkiError::Issue { .. })));
}

#[test]
fn opening_again_keeps_what_still_serves() {
    let dir = tempfile::tempdir().unwrap();
    let first_names = names(&["localhost"], &["127.0.0.1"]);
    let first = Pki::open(dir.path(), &first_names).unwrap();
    for (name, mode) in [
        ("ca.crt", 0o644),
        ("ca.key", 0o600),
        ("server.crt", 0o644),
        ("server.key", 0o600),
        ("service-account.key", 0o600),
    ] {
        let found = fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found & !mode, 0, "{name} has mode {found:o}");
    }
    let cases = [
        (names(&["LOCALHOST"], &[]), true),
        (first_names.clone(), true),
        (names(&["localhost", "more"], &["127.0.0.1"]), false),
    ];
    for (names, kept) in cases {
        let again = Pki::open(dir.path(), &names).unwrap();
        assert_eq!(again.ca_pem(), first.ca_pem());
        assert_eq!(
            again.server().certificate_pem == first.server().certificate_pem,
            kept,
            "{names:?}"
        );
    }
}

#[test]
fn a_server_certificate_about_to_expire_or_of_another_ca_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let names = names(&["localhost"], &[]);
    let pki = Pki::open(dir.path(), &names).unwrap();
    let (key, _) = open_key(&dir.path().join("server.key")).unwrap();
    let issue = |days: u32, signer: &Key, ca: &Parsed| {
        certificate::issue(
            "s",
            &[],
            &Purpose::Server(&names),
            DAY * days,
            &key,
            signer,
            Some(ca),
        )
        .unwrap()
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Pki::open(elsewhere.path(), &names).unwrap();
    let cases = [
        ("29 days left", issue(29, &pki.key, &pki.certificate), false),
        ("31 days left", issue(31, &pki.key, &pki.certificate), true),
        ("another CA", issue(300, &other.key, &other.certificate), false),
        ("another key", other.server().certificate_pem.clone(), false),
        ("not a certificate", "hello".to_owned(), false),
    ];
    for (what, pem, kept) in cases {
        fs::write(dir.path().join("server.crt"), &pem).unwrap();
        let again = Pki::open(dir.path(), &names).unwrap();
        assert_eq!(again.server().certificate_pem == pem, kept, "{what}");
    }
}

#[test]
fn a_damaged_ca_is_reported_not_replaced() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &str); 4] = [
        (
            "no key",
            |dir| fs::remove_file(dir.join("ca.key")).unwrap(),
            "ca.key is missing",
        ),
        (
            "bad key",
            |dir| fs::write(dir.join("ca.key"), "x").unwrap(),
            "ca.key is not usable",
        ),
        (
            "bad certificate",
            |dir| fs::write(dir.join("ca.crt"), "x").unwrap(),
            "ca.crt is not usable",
        ),
        (
            "other key",
            |dir| fs::rename(dir.join("server.key"), dir.join("ca.key")).unwrap(),
            "restore the pair",
        ),
    ];
    for (what, damage, message) in cases {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path(), &ServerNames::default()).unwrap();
        damage(dir.path());
        let error = Pki::open(dir.path(), &ServerNames::default())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(message), "{what}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), &ServerNames::default()).unwrap();
    fs::remove_file(dir.path().join("ca.crt")).unwrap();
    let again = Pki::open(dir.path(), &ServerNames::default()).unwrap();
    assert_ne!(again.ca_pem(), pki.ca_pem());
}
