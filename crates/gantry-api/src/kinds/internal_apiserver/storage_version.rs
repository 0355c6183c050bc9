//! StorageVersion

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, format, required};
use crate::kinds::columns::{age_column, column, first_three, name_column};
use crate::kinds::usual;
use crate::kinds::values::{given, joined, keep, list, map_of, repeats, text};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1alpha1".into(),
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![
            name_column(),
            column("CommonEncodingVersion", "string", |o, _| match &o["status"]["commonEncodingVersion"] {
                Value::Null => "<unset>".into(),
                version => version.clone(),
            }),
            column("StorageVersions", "string", |o, _| {
                let shown = |v: &Value| format!("{}={}", text(&v["apiServerID"]), text(&v["encodingVersion"]));
                first_three(list(&o["status"]["storageVersions"]).iter().map(shown).collect()).into()
            }),
            age_column(),
        ],
        hooks: Box::new(StorageVersionHooks),
        ..usual("internal.apiserver.k8s.io", "StorageVersion", "storageversions", Scope::Cluster)
    }
}

struct StorageVersionHooks;

impl Hooks for StorageVersionHooks {
    fn default(&self, object: &mut Value) {
        map_of(object, "spec");
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn prepare_subresource(&self, _: Subresource, object: &mut Value, old: &Value) {
        keep(object, old, "spec");
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        status(&object["status"])
    }

    fn needs_version(&self) -> bool {
        true
    }

    /// A resource and its group: `<group>.<resource>`.
    fn validate_name(&self, name: &str) -> Result<(), String> {
        let Some((group, resource)) = name.rsplit_once('.') else {
            return Err("name must be in the form of <group>.<resource>".into());
        };
        let group = formats::dns_subdomain(group).into_iter().map(|why| format!("the group segment {why}"));
        let resource = formats::dns1035_label(resource).into_iter().map(|why| format!("the resource segment {why}"));
        group.chain(resource).next().map_or(Ok(()), Err)
    }
}

fn status(status: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("status");
    let (at, servers) = (path.child("storageVersions"), list(&status["storageVersions"]));
    let repeated = repeats(servers, |server| &server["apiServerID"]);
    for (i, server) in servers.iter().enumerate() {
        let at = at.index(i);
        if repeated[i] {
            errors.push(Error::duplicate(at.child("apiServerID"), server["apiServerID"].clone()));
        }
        versions(&mut errors, &at, server);
    }
    errors.extend(common(&path.child("commonEncodingVersion"), servers, &status["commonEncodingVersion"]));
    let conditions = list(&status["conditions"]);
    for (i, condition) in conditions.iter().enumerate() {
        // Upstream leaves the list's name out of this path.
        let at = path.index(i);
        let type_ = text(&condition["type"]);
        if let Some(other) = conditions[..i].iter().rposition(|other| text(&other["type"]) == type_) {
            let detail = format!("the type of the condition is not unique, it also appears in conditions[{other}]");
            errors.push(Error::invalid(at.child("type"), type_, detail));
        }
        for field in ["type", "status"] {
            format(&mut errors, &at.child(field), text(&condition[field]), formats::qualified_name);
        }
        for field in ["reason", "message"] {
            required(&mut errors, &at.child(field), &condition[field]);
        }
    }
    errors
}

/// What one server writes, reads and serves.
fn versions(errors: &mut Errors, path: &Path, server: &Value) {
    format(errors, &path.child("apiServerID"), text(&server["apiServerID"]), formats::dns_subdomain);
    let encoding = text(&server["encodingVersion"]);
    api_version(errors, &path.child("encodingVersion"), encoding);
    let (at, decodable) = (path.child("decodableVersions"), list(&server["decodableVersions"]));
    for (i, version) in decodable.iter().enumerate() {
        api_version(errors, &at.index(i), text(version));
    }
    if !decodable.iter().any(|version| version == encoding) {
        let detail = format!("decodableVersions must include encodingVersion {encoding}");
        errors.push(Error::invalid(at, server["decodableVersions"].clone(), detail));
    }
    let at = path.child("servedVersions");
    for (i, version) in list(&server["servedVersions"]).iter().enumerate() {
        api_version(errors, &at.index(i), text(version));
        if !decodable.contains(version) {
            let detail = format!(
                "individual served version : {} must be included in decodableVersions : [{}]",
                text(version),
                joined(decodable.iter().map(text), " ")
            );
            errors.push(Error::invalid(at.index(i), version.clone(), detail));
        }
    }
}

/// The version that all servers write must be noted, if there is one.
fn common(path: &Path, servers: &[Value], noted: &Value) -> Option<Error> {
    let first = servers.first().map(|server| text(&server["encodingVersion"]));
    let common = first.filter(|first| servers.iter().all(|server| text(&server["encodingVersion"]) == *first));
    let detail = match common {
        None if !given(noted) => return None,
        None => {
            "should be nil if servers do not agree on the same encoding version, or if there is no server reporting \
             the supported versions yet"
                .into()
        }
        Some(common) if noted == common => return None,
        Some(common) if given(noted) => format!("the actual common encoding version is {common}"),
        Some(common) => format!("the common encoding version is {common}"),
    };
    Some(Error::invalid(path, noted.clone(), detail))
}

/// A version, with a group before it or not.
fn api_version(errors: &mut Errors, path: &Path, value: &str) {
    let parts: Vec<&str> = value.split('/').collect();
    let mut problems = Vec::new();
    let (group, version) = match parts[..] {
        [version] => (None, version),
        [group, version] => (Some(group), version),
        _ => {
            let detail = "an apiVersion is a DNS-1035 label, which must consist of lower case alphanumeric characters \
                          or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. \
                          'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?') with an \
                          optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')";
            errors.push(Error::invalid(path, value, detail));
            return;
        }
    };
    match group {
        None => {}
        Some("") => problems.push("group part: must be non-empty".to_string()),
        Some(group) => problems.extend(formats::dns_subdomain(group).into_iter().map(|why| format!("group part: {why}"))),
    }
    match version {
        "" => problems.push("version part: must be non-empty".into()),
        _ => problems.extend(formats::dns1035_label(version).into_iter().map(|why| format!("version part: {why}"))),
    }
    if !problems.is_empty() {
        errors.push(Error::invalid(path, value, problems.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let check = |new: Value, expected: &[&str]| {
            let texts: Vec<String> = status(&new).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        let server = |id: &str, version: &str| {
            json!({"apiServerID": id, "encodingVersion": version, "decodableVersions": ["v1", version]})
        };
        let both = [server("a", "v1"), server("b", "v1")];
        check(json!({"storageVersions": both, "commonEncodingVersion": "v1"}), &[]);
        check(
            json!({"storageVersions": both}),
            &["status.commonEncodingVersion: Invalid value: null: the common encoding version is v1"],
        );
        check(
            json!({"storageVersions": [server("a", "v1"), server("a", "a/v2")]}),
            &["status.storageVersions[1].apiServerID: Duplicate value: \"a\""],
        );
        check(
            json!({"storageVersions": [
                {"apiServerID": "a", "encodingVersion": "/v1", "servedVersions": ["v2"]},
                server("b", "v1"),
            ]}),
            &[
                "status.storageVersions[0].encodingVersion: Invalid value: \"/v1\": group part: must be non-empty",
                "status.storageVersions[0].decodableVersions: Invalid value: null: decodableVersions must include \
                 encodingVersion /v1",
                "status.storageVersions[0].servedVersions[0]: Invalid value: \"v2\": individual served version : v2 must \
                 be included in decodableVersions : []",
            ],
        );
        check(
            json!({"conditions": [{"type": "A", "status": "True", "reason": "R", "message": ""}]}),
            &["status[0].message: Required value"],
        );
    }

    #[test]
    fn names() {
        let check = |name: &str, good: bool| assert_eq!(StorageVersionHooks.validate_name(name).is_ok(), good, "{name}");
        check("apps.deployments", true);
        check("a.b.c", true);
        check("pods", false);
        check("apps.9", false);
    }
}
