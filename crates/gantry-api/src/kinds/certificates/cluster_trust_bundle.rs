//! ClusterTrustBundle

use crate::features::Feature;
use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, immutable};
use crate::kinds::columns::{column, name_column, or_none};
use crate::kinds::signer_name::signer_name;
use crate::kinds::values::{drop_zero, map_of, same, text};
use crate::kinds::{selectable, usual};
use crate::meta;
use crate::version::Version;
use crate::x509::{self, Certificate};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1beta1".into(),
        other_versions: vec![Version::same("v1alpha1").deprecated_since(34)],
        feature: Some(Feature::ClusterTrustBundle),
        selectable_fields: selectable(&[("spec.signerName", "spec.signerName")]),
        columns: vec![
            name_column(),
            column("SignerName", "string", |o, _| or_none(text(&o["spec"]["signerName"]))),
        ],
        hooks: Box::new(ClusterTrustBundleHooks),
        ..usual(
            "certificates.k8s.io",
            "ClusterTrustBundle",
            "clustertrustbundles",
            Scope::Cluster,
        )
    }
}

const LARGEST: usize = 1024 * 1024;

struct ClusterTrustBundleHooks;

impl Hooks for ClusterTrustBundleHooks {
    fn default(&self, object: &mut Value) {
        drop_zero(map_of(object, "spec"), &["signerName"]);
    }

    fn prepare_create(&self, _: &mut Value) {}

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        whole(object, None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = whole(object, Some(old));
        let (new, old) = (&object["spec"]["signerName"], &old["spec"]["signerName"]);
        if !same(new, old) {
            let new = Value::from(text(new));
            immutable(&mut errors, &Path::new("spec").child("signerName"), &new, old);
        }
        errors
    }

    fn needs_version(&self) -> bool {
        true
    }

    // What is right depends on the signer: see `name`.
    fn validate_name(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Checks a whole bundle. One that stands was read already.
fn whole(object: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let signer = text(&object["spec"]["signerName"]);
    for (field, masked) in [("generateName", true), ("name", false)] {
        let value = meta::text(object, field);
        // Something follows what is generated from, so a dash may end it.
        let checked = match masked {
            true => value.strip_suffix('-').filter(|base| !base.is_empty()).unwrap_or(value),
            false => value,
        };
        if !value.is_empty()
            && let Err(why) = name(signer, checked)
        {
            errors.push(Error::invalid(Path::new("metadata").child(field), value, why));
        }
    }
    let path = Path::new("spec");
    if !signer.is_empty() {
        signer_name(&mut errors, &path.child("signerName"), signer);
    }
    let bundle = text(&object["spec"]["trustBundle"]);
    if old.is_none_or(|old| text(&old["spec"]["trustBundle"]) != bundle) {
        anchors(&mut errors, &path.child("trustBundle"), bundle);
    }
    errors
}

/// A bundle of a signer begins with the signer's name; others have plain names.
fn name(signer: &str, name: &str) -> Result<(), String> {
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        _ if signer.is_empty() && name.contains(':') => {
            Err("ClusterTrustBundle without signer name must not have \":\" in its name".into())
        }
        _ if signer.is_empty() => meta::validate_subdomain(name),
        Some(rest) => meta::validate_subdomain(rest),
        None => Err(format!(
            "ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
        )),
    }
}

/// A bundle holds certificates of authorities, each of them once.
fn anchors(errors: &mut Errors, path: &Path, bundle: &str) {
    if bundle.len() > LARGEST {
        errors.push(Error::too_long(path, LARGEST));
        return;
    }
    let wrong = |detail: String| Error::invalid(path, "<value omitted>", detail);
    let blocks = x509::blocks(bundle.as_bytes());
    let found = errors.len();
    for (i, block) in blocks.iter().enumerate() {
        let problem = match Certificate::parse(&block.der) {
            _ if block.label != "CERTIFICATE" => format!("has bad block type: {}", block.label),
            _ if block.has_headers => "has PEM block headers".into(),
            None => "does not parse as X.509".into(),
            Some(certificate) if !certificate.is_authority => "does not have the CA bit set".into(),
            Some(_) => continue,
        };
        errors.push(wrong(format!("entry {i} {problem}")));
    }
    if errors.len() > found {
        return;
    }
    if blocks.is_empty() {
        errors.push(wrong("at least one trust anchor must be provided".into()));
    }
    for (i, block) in blocks.iter().enumerate() {
        let alike = blocks.iter().enumerate().filter(|(_, other)| other.der == block.der);
        let places: Vec<String> = alike.map(|(place, _)| place.to_string()).collect();
        if places.len() > 1 && places[0] == i.to_string() {
            errors.push(wrong(format!("duplicate trust anchor (indices [{}])", places.join(" "))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ANCHOR: &str = include_str!("../../../tests/data/authority.pem");
    const LEAF: &str = include_str!("../../../tests/data/leaf.pem");

    fn bundle(name: &str, signer: &str, pem: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": pem}})
    }

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules() {
        let check = |name: &str, signer: &str, pem: &str, expected: &[&str]| {
            let errors = ClusterTrustBundleHooks.validate_create(&bundle(name, signer, pem));
            assert_eq!(texts(&errors), expected);
        };
        let with_headers = ANCHOR.replacen("-----\n", "-----\na: b\n\n", 1);
        check("a", "", ANCHOR, &[]);
        check("k8s.io:foo:a", "k8s.io/foo", ANCHOR, &[]);
        check(
            "a:b",
            "",
            ANCHOR,
            &["metadata.name: Invalid value: \"a:b\": ClusterTrustBundle without signer name must not have \":\" in its name"],
        );
        check(
            "a",
            "k8s.io/foo",
            ANCHOR,
            &["metadata.name: Invalid value: \"a\": ClusterTrustBundle for signerName k8s.io/foo must be named with \
               prefix k8s.io:foo:"],
        );
        let at = "spec.trustBundle: Invalid value: \"<value omitted>\":";
        let one = |pem: &str, expected: &str| check("a", "", pem, &[&format!("{at} {expected}")]);
        one("", "at least one trust anchor must be provided");
        one(&format!("{ANCHOR}{ANCHOR}"), "duplicate trust anchor (indices [0 1])");
        one(&with_headers, "entry 0 has PEM block headers");
        one(&format!("{ANCHOR}{LEAF}"), "entry 1 does not have the CA bit set");
        one(crate::x509::tests::REQUEST, "entry 0 has bad block type: CERTIFICATE REQUEST");
        one("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "entry 0 does not parse as X.509");
    }

    #[test]
    fn changes() {
        let check = |new: Value, old: Value, expected: &[&str]| {
            assert_eq!(texts(&ClusterTrustBundleHooks.validate_update(&new, &old)), expected);
        };
        check(bundle("a", "", "bad"), bundle("a", "", "bad"), &[]);
        check(
            bundle("k8s.io:foo:a", "k8s.io/foo", ANCHOR),
            bundle("k8s.io:foo:a", "", ANCHOR),
            &["spec.signerName: Invalid value: \"k8s.io/foo\": field is immutable"],
        );
    }
}
