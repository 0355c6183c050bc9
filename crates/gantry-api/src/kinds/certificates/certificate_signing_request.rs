//! CertificateSigningRequest

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, one_of};
use crate::kinds::columns::{age, age_column, column, name_column, or_none};
use crate::kinds::diff::diff;
use crate::kinds::signer_name::signer_name;
use crate::schema::{Internal, Type};
use crate::kinds::{selectable, usual};
use crate::kinds::values::{
    bytes, drop_zero, given, keep, list, list_mut, map_of, number, remove, repeats, same, text,
};
use crate::meta;
use crate::x509::{self, Request};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["csr".into()],
        subresources: vec![Subresource::Approval, Subresource::Status],
        selectable_fields: selectable(&[("spec.signerName", "spec.signerName")]),
        columns: vec![
            name_column(),
            age_column(),
            column("SignerName", "string", |o, _| or_none(text(&o["spec"]["signerName"]))),
            column("Requestor", "string", |o, _| text(&o["spec"]["username"]).into()),
            column("RequestedDuration", "string", |o, _| match &o["spec"]["expirationSeconds"] {
                Value::Null => "<none>".into(),
                seconds => age("1970-01-01T00:00:00Z", number(seconds)).into(),
            }),
            column("Condition", "string", |o, _| condition(&o["status"]).into()),
        ],
        hooks: Box::new(CertificateSigningRequestHooks),
        ..usual(
            "certificates.k8s.io",
            "CertificateSigningRequest",
            "certificatesigningrequests",
            Scope::Cluster,
        )
    }
}

fn condition(status: &Value) -> String {
    let has = |type_: &str| !of_type(status, type_).is_empty();
    let mut shown = String::from(match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    });
    if has("Failed") {
        shown.push_str(",Failed");
    }
    if !text(&status["certificate"]).is_empty() {
        shown.push_str(",Issued");
    }
    shown
}

/// The conditions of one type.
fn of_type<'a>(status: &'a Value, type_: &str) -> Vec<&'a Value> {
    list(&status["conditions"]).iter().filter(|c| c["type"] == type_).collect()
}

const REQUESTER: [&str; 4] = ["username", "uid", "groups", "extra"];
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

struct CertificateSigningRequestHooks;

impl Hooks for CertificateSigningRequestHooks {
    fn default(&self, object: &mut Value) {
        drop_zero(map_of(object, "spec"), &["uid", "username"]);
        map_of(object, "status");
    }

    fn note_requester(&self, object: &mut Value, requester: &dyn Fn() -> Value) {
        let (spec, requester) = (map_of(object, "spec"), requester());
        REQUESTER.into_iter().for_each(|field| keep(spec, &requester, field));
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "spec");
        keep(object, old, "status");
    }

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        keep(object, old, "spec");
        if subresource == Subresource::Status {
            DECISIONS.into_iter().for_each(|type_| keep_conditions(object, old, type_));
            note_times(object, old);
            return;
        }
        note_times(object, old);
        let conditions = remove(&mut object["status"], "conditions");
        keep(object, old, "status");
        remove(map_of(object, "status"), "conditions");
        if let Some(conditions) = conditions {
            object["status"]["conditions"] = conditions;
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        whole(object, None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        change(object, old, false, false)
    }

    fn validate_subresource(&self, subresource: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        let approval = subresource == Subresource::Approval;
        change(object, old, approval, !approval)
    }

    /// Upstream has no rule of its own.
    fn validate_name(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Keeps the conditions of a type as they are, unless some were added or removed, which validation refuses.
fn keep_conditions(object: &mut Value, old: &Value, type_: &str) {
    let kept = of_type(&old["status"], type_);
    if of_type(&object["status"], type_).len() == kept.len() {
        let own = list_mut(&mut object["status"], "conditions").iter_mut();
        own.filter(|c| c["type"] == type_).zip(kept).for_each(|(new, old)| *new = old.clone());
    }
}

/// Says of conditions that do not say it themselves since when they stand.
fn note_times(object: &mut Value, old: &Value) {
    let before = list(&old["status"]["conditions"]);
    for condition in list_mut(&mut object["status"], "conditions") {
        drop_zero(condition, &["reason", "message"]);
        if !given(&condition["lastUpdateTime"]) {
            condition["lastUpdateTime"] = meta::now().into();
        }
        if !given(&condition["lastTransitionTime"]) {
            let stood = |c: &&Value| c["type"] == condition["type"] && c["status"] == condition["status"];
            let since = before.iter().find(stood).map(|c| c["lastTransitionTime"].clone());
            condition["lastTransitionTime"] = since.filter(given).unwrap_or_else(|| meta::now().into());
        }
    }
}

fn has_twice(items: &[Value], key: impl Fn(&Value) -> &str) -> bool {
    repeats(items, key).contains(&true)
}

/// Checks a whole request. What is wrong in `old` already is let be.
fn whole(object: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    // The request never changes, so its signature is checked once.
    if old.is_none()
        && let Err(why) = Request::parse(&bytes(&spec["request"]))
    {
        errors.push(Error::invalid(path.child("request"), spec["request"].clone(), why));
    }
    let (at, usages) = (path.child("usages"), list(&spec["usages"]));
    let before = old.map_or(&[][..], |old| list(&old["spec"]["usages"]));
    if usages.is_empty() {
        errors.push(Error::required(at, ""));
    }
    let unknown = |usage: &Value| !USAGES.contains(&text(usage));
    if !before.iter().any(unknown) {
        for (i, usage) in usages.iter().enumerate().filter(|(_, usage)| unknown(usage)) {
            errors.push(Error::not_supported(at.index(i), usage.clone(), &USAGES));
        }
    }
    if !has_twice(before, text) {
        for (i, usage) in usages.iter().enumerate().filter(|(i, usage)| usages[..*i].contains(usage)) {
            errors.push(Error::duplicate(at.index(i), usage.clone()));
        }
    }
    let (at, signer) = (path.child("signerName"), text(&spec["signerName"]));
    let legacy = "kubernetes.io/legacy-unknown";
    if signer == legacy && !old.is_some_and(|old| old["spec"]["signerName"] == legacy) {
        let detail = "the legacy signerName is not allowed via this API version";
        errors.push(Error::invalid(at, signer, detail));
    } else {
        signer_name(&mut errors, &at, signer);
    }
    let seconds = &spec["expirationSeconds"];
    if given(seconds) && number(seconds) < 600 {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(Error::invalid(path.child("expirationSeconds"), seconds.clone(), detail));
    }
    let path = Path::new("status");
    conditions(&mut errors, &path.child("conditions"), object, old);
    let certificate = &object["status"]["certificate"];
    let stands = old.is_some_and(|old| {
        let before = &old["status"]["certificate"];
        before == certificate || x509::check_certificates(&bytes(before)).is_err()
    });
    if !stands && let Err(why) = x509::check_certificates(&bytes(certificate)) {
        errors.push(Error::invalid(path.child("certificate"), "<certificate data>", why));
    }
    errors
}

fn conditions(errors: &mut Errors, path: &Path, object: &Value, old: Option<&Value>) {
    let all = list(&object["status"]["conditions"]);
    let before = old.map_or(&[][..], |old| list(&old["status"]["conditions"]));
    let type_of = |c: &Value| text(&c["type"]).to_string();
    let had = |type_: &str| before.iter().any(|c| text(&c["type"]) == type_);
    let (had_both, had_twice) = (had("Approved") && had("Denied"), has_twice(before, |c| text(&c["type"])));
    for (i, condition) in all.iter().enumerate() {
        let (at, type_, status) = (path.index(i), type_of(condition), text(&condition["status"]));
        if type_.is_empty() && !had("") {
            errors.push(Error::required(at.child("type"), ""));
        }
        let allowed: &[&str] = match type_.as_str() {
            "Approved" | "Denied" | "Failed" => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        one_of(errors, &at.child("status"), &status.into(), allowed);
        let earlier = |other: &str| all[..i].iter().any(|c| text(&c["type"]) == other);
        let other = match type_.as_str() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !had_both && !other.is_empty() && earlier(other) {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(Error::invalid(path, type_.as_str(), detail));
        }
        if !had_twice && earlier(&type_) {
            errors.push(Error::duplicate(at.child("type"), type_));
        }
    }
}

/// Checks a change; `decides` and `issues` say what this path may do.
fn change(object: &Value, old: &Value, decides: bool, issues: bool) -> Errors {
    let mut errors = whole(object, Some(old));
    let (new, old) = (&object["status"], &old["status"]);
    let path = Path::new("status");
    let at = path.child("conditions");
    for type_ in ["Approved", "Denied", "Failed"] {
        if of_type(new, type_).len() < of_type(old, type_).len() {
            let detail = format!("updates may not remove a condition of type {type_:?}");
            errors.push(Error::forbidden(at, detail));
        }
    }
    for type_ in DECISIONS.into_iter().filter(|_| !decides) {
        let (new, old) = (of_type(new, type_), of_type(old, type_));
        if new.len() > old.len() {
            let detail = format!("updates may not add a condition of type {type_:?}");
            errors.push(Error::forbidden(at, detail));
        } else if new.len() == old.len() && new != old {
            let item = Type::Message("io.k8s.api.certificates.v1.CertificateSigningRequestCondition");
            let list = Type::List(Box::new(item));
            let shown = diff(
                Internal::new(&list, &json!(old)),
                Internal::new(&list, &json!(new)),
            );
            let detail = format!("updates may not modify a condition of type {type_:?}\n{shown}");
            errors.push(Error::forbidden(at, detail));
        }
    }
    if !same(&new["certificate"], &old["certificate"]) {
        let at = path.child("certificate");
        if !issues {
            errors.push(Error::forbidden(at, "updates may not set certificate content"));
        } else if !text(&old["certificate"]).is_empty() {
            errors.push(Error::forbidden(at, "updates may not modify existing certificate content"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;

    fn request(change: impl Fn(&mut Value)) -> Value {
        let pem = base64::engine::general_purpose::STANDARD.encode(crate::x509::tests::REQUEST);
        let mut object = json!({"metadata": {"name": "r"}, "spec": {
            "request": pem, "signerName": "example.com/s", "usages": ["client auth"],
        }});
        change(&mut object);
        CertificateSigningRequestHooks.default(&mut object);
        object
    }

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = CertificateSigningRequestHooks.validate_create(&request(change));
            assert_eq!(texts(&errors), expected);
        };
        check(|_| {}, &[]);
        check(
            |o| o["spec"]["request"] = "AAAA".into(),
            &["spec.request: Invalid value: \"AAAA\": PEM block type must be CERTIFICATE REQUEST"],
        );
        check(|o| o["spec"]["usages"] = json!([]), &["spec.usages: Required value"]);
        check(
            |o| o["spec"]["usages"] = json!(["any", "any"]),
            &["spec.usages[1]: Duplicate value: \"any\""],
        );
        check(
            |o| o["spec"]["signerName"] = "kubernetes.io/legacy-unknown".into(),
            &["spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed \
               via this API version"],
        );
        check(
            |o| o["spec"]["signerName"] = "example".into(),
            &["spec.signerName: Invalid value: \"example\": must be a fully qualified domain and path of the form \
               'example.com/signer-name'"],
        );
        check(
            |o| o["spec"]["signerName"] = "example/s".into(),
            &["spec.signerName: Invalid value: \"example\": should be a domain with at least two segments separated \
               by dots"],
        );
        check(
            |o| o["spec"]["expirationSeconds"] = 599.into(),
            &["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 \
               minutes)"],
        );
    }

    #[test]
    fn the_server_says_who_asks() {
        let mut object = request(|o| o["spec"]["groups"] = json!(["system:masters"]));
        CertificateSigningRequestHooks.note_requester(&mut object, &|| json!({"username": "u"}));
        assert_eq!(object["spec"]["username"], "u");
        assert_eq!(object["spec"].get("groups"), None);
    }

    #[test]
    fn paths_of_a_change() {
        let approved = json!([{"type": "Approved", "status": "True", "reason": "R"}]);
        let check = |path: Option<Subresource>, old: Value, new: Value, expected: &[&str]| {
            let old = request(|o| o["status"] = old.clone());
            let mut object = request(|o| o["status"] = new.clone());
            let hooks = CertificateSigningRequestHooks;
            let errors = match path {
                Some(path) => {
                    hooks.prepare_subresource(path, &mut object, &old);
                    hooks.validate_subresource(path, &object, &old)
                }
                None => {
                    hooks.prepare_update(&mut object, &old);
                    hooks.validate_update(&object, &old)
                }
            };
            assert_eq!(texts(&errors), expected);
            object
        };
        let (approval, status) = (Some(Subresource::Approval), Some(Subresource::Status));
        let object = check(approval, json!({}), json!({"conditions": approved, "certificate": "AAAA"}), &[]);
        assert!(given(&object["status"]["conditions"][0]["lastUpdateTime"]));
        assert!(!given(&object["status"]["certificate"]));
        let object = check(None, json!({}), json!({"conditions": approved}), &[]);
        assert_eq!(object["status"], json!({}));
        check(
            status,
            json!({}),
            json!({"conditions": approved}),
            &["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""],
        );
        check(
            approval,
            json!({"conditions": approved}),
            json!({}),
            &["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""],
        );
        check(
            status,
            json!({}),
            json!({"certificate": "AAAA"}),
            &["status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM \
               block"],
        );
        check(
            approval,
            json!({"conditions": approved}),
            json!({"conditions": [approved[0], {"type": "Denied", "status": "True"}]}),
            &["status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive"],
        );
    }

    #[test]
    fn conditions_in_a_table() {
        let check = |status: Value, text: &str| assert_eq!(condition(&status), text);
        check(json!({}), "Pending");
        check(json!({"conditions": [{"type": "Approved"}], "certificate": "x"}), "Approved,Issued");
        check(json!({"conditions": [{"type": "Denied"}, {"type": "Failed"}]}), "Denied,Failed");
    }
}
