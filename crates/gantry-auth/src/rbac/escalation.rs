//! Nobody may hand out, through a role or a binding, what they do not have themselves.
//!
//! Source of the rules and their wording: kubernetes/pkg/registry/rbac.

use super::{API_GROUP, Policy, field, granted, list, quoted, strings, visit};
use crate::{Attributes, MASTERS, User};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A role or binding that is about to be written.
pub struct Grant<'a> {
    /// Who writes.
    pub user: &'a User,
    /// The resource: `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`; others are let through.
    pub resource: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The object's name in the request's path; empty on create.
    pub name: &'a str,
    /// The object.
    pub object: &'a Value,
    /// The object it replaces.
    pub old: Option<&'a Value>,
}

/// The smallest thing a rule can grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Atom<'a> {
    Resource {
        group: &'a str,
        resource: &'a str,
        name: Option<&'a str>,
        verb: &'a str,
    },
    Path {
        path: &'a str,
        verb: &'a str,
    },
}

/// Why a role or binding may not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user lacks what it would grant; the text says what.
    Forbidden(String),
    /// The role that a binding refers to does not exist; nobody can tell what it would grant.
    NoRole {
        /// `role` or `clusterrole`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// Checks what a role or binding would grant against what its writer has.
pub fn may_grant(grant: &Grant, policy: &Policy) -> Result<(), Refusal> {
    let binding = match grant.resource {
        "roles" | "clusterroles" => false,
        "rolebindings" | "clusterrolebindings" => true,
        _ => return Ok(()),
    };
    if grant.user.in_group(MASTERS) || grant.old.is_some_and(|old| only_collected(grant.object, old)) {
        return Ok(());
    }
    let mut own = Vec::new();
    visit(grant.user, grant.namespace, policy, |found| {
        own.extend(found.ok().map(|(_, rule)| rule.clone()));
        None::<()>
    });
    let asks = |verb, resource, name| {
        let attributes = Attributes {
            group: API_GROUP,
            resource,
            namespace: grant.namespace,
            name,
            ..Attributes::of(grant.user, verb)
        };
        granted(&attributes, policy).is_ok()
    };
    if binding {
        let reference = &grant.object["roleRef"];
        let name = field(reference, "name");
        let (kind, resource) = match field(reference, "kind") {
            "Role" => ("role", "roles"),
            _ => ("clusterrole", "clusterroles"),
        };
        if asks("bind", resource, name) {
            return Ok(());
        }
        let role = policy.role_of(grant.object, grant.namespace);
        let role = role.map_err(|_| Refusal::NoRole {
            kind,
            name: name.to_owned(),
        })?;
        return covered(grant.user, &own, list(role, "rules"));
    }
    if asks("escalate", grant.resource, grant.name) {
        return Ok(());
    }
    covered(grant.user, &own, list(grant.object, "rules"))?;
    let gathers = |role: &Value| !list(&role["aggregationRule"], "clusterRoleSelectors").is_empty();
    if gathers(grant.object) || grant.old.is_some_and(gathers) {
        let all = [
            serde_json::json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            serde_json::json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
        ];
        let why = "must have cluster-admin privileges to use the aggregationRule";
        covered(grant.user, &own, &all).map_err(|_| Refusal::Forbidden(why.into()))?;
    }
    Ok(())
}

/// Whether only what the garbage collector writes is different.
pub fn only_collected(new: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for field in [
                "ownerReferences",
                "finalizers",
                "managedFields",
                "resourceVersion",
            ] {
                metadata.remove(field);
            }
        }
        object
    };
    rest(new) == rest(old)
}

/// Whether rules grant all that one rule does.
pub(super) fn is_covered(own: &[Value], rule: &Value) -> bool {
    atoms(rule)
        .iter()
        .all(|atom| own.iter().any(|own| covers(own, atom)))
}

fn covered(user: &User, own: &[Value], wanted: &[Value]) -> Result<(), Refusal> {
    let atoms = wanted.iter().flat_map(atoms);
    let missing: Vec<Atom> = atoms
        .filter(|atom| !own.iter().any(|rule| covers(rule, atom)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quoted(&user.name),
        go_list(user.groups.iter().map(String::as_str)),
        describe(&missing).join("\n")
    )))
}

fn atoms(rule: &Value) -> Vec<Atom<'_>> {
    let mut all = Vec::new();
    for verb in strings(rule, "verbs") {
        for group in strings(rule, "apiGroups") {
            for resource in strings(rule, "resources") {
                let atom = |name| Atom::Resource {
                    group,
                    resource,
                    name,
                    verb,
                };
                match list(rule, "resourceNames").is_empty() {
                    true => all.push(atom(None)),
                    false => all.extend(strings(rule, "resourceNames").map(|name| atom(Some(name)))),
                }
            }
        }
        all.extend(strings(rule, "nonResourceURLs").map(|path| Atom::Path { path, verb }));
    }
    all
}

/// Whether one rule grants all that an atom does. A wildcard is covered only by a wildcard.
fn covers(rule: &Value, atom: &Atom) -> bool {
    let has = |name: &str, word: &str| strings(rule, name).any(|w| w == word || w == "*");
    match atom {
        Atom::Path { path, verb } => {
            let reaches = |url: &str| {
                url == *path || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
            };
            has("verbs", verb) && strings(rule, "nonResourceURLs").any(reaches)
        }
        Atom::Resource {
            group,
            resource,
            name,
            verb,
        } => {
            let every = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
            let names = list(rule, "resourceNames").is_empty()
                || name.is_some_and(|name| strings(rule, "resourceNames").any(|n| n == name));
            has("verbs", verb)
                && has("apiGroups", group)
                && (has("resources", resource)
                    || every.is_some_and(|every| strings(rule, "resources").any(|r| r == every)))
                && names
        }
    }
}

/// One line for each resource or path, with its verbs, in order.
fn describe(missing: &[Atom]) -> Vec<String> {
    type Key<'a> = (&'a str, &'a str, Option<&'a str>);
    let mut resources: BTreeMap<Key, Vec<&str>> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for atom in missing {
        match atom {
            Atom::Resource {
                group,
                resource,
                name,
                verb,
            } => resources.entry((group, resource, *name)).or_default().push(verb),
            Atom::Path { path, verb } => {
                lines.insert(format!(
                    "{{NonResourceURLs:[{}], Verbs:[{}]}}",
                    quoted(path),
                    quoted(verb)
                ));
            }
        }
    }
    for ((group, resource, name), verbs) in resources {
        let name = name.map_or_else(String::new, |n| format!("ResourceNames:[{}], ", quoted(n)));
        let (group, resource) = (quoted(group), quoted(resource));
        let verbs = go_list(verbs.into_iter());
        lines.insert(format!(
            "{{APIGroups:[{group}], Resources:[{resource}], {name}Verbs:{verbs}}}"
        ));
    }
    lines.into_iter().collect()
}

fn go_list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(quoted).collect();
    format!("[{}]", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbac::tests::{policy, user};
    use serde_json::json;

    fn of_ann(rules: Value) -> Policy {
        policy(vec![
            json!({
                "kind": "ClusterRoleBinding", "metadata": {"name": "own"},
                "roleRef": {"kind": "ClusterRole", "name": "own"}, "subjects": [{"kind": "User", "name": "ann"}],
            }),
            json!({"kind": "ClusterRole", "metadata": {"name": "own"}, "rules": rules}),
            json!({"kind": "ClusterRole", "metadata": {"name": "pods"}, "rules": [
                {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
            ]}),
        ])
    }

    fn written(resource: &str, object: Value, own: Value, old: Option<Value>) -> Result<(), Refusal> {
        let ann = user("ann", &["dev"]);
        let grant = Grant {
            user: &ann,
            resource,
            namespace: if resource.starts_with("cluster") { "" } else { "ns" },
            name: "",
            object: &object,
            old: old.as_ref(),
        };
        may_grant(&grant, &of_ann(own))
    }

    #[test]
    fn roles_grant_only_what_their_writer_has() {
        let role = |verbs: &[&str], resources: &[&str], names: &[&str]| {
            json!({"rules": [
                {"verbs": verbs, "apiGroups": [""], "resources": resources, "resourceNames": names},
            ]})
        };
        let own = |verbs: &[&str], resources: &[&str], names: &[&str]| {
            role(verbs, resources, names)["rules"].clone()
        };
        let check = |object: &Value, own: Value, allowed: bool| {
            let found = written("roles", object.clone(), own.clone(), None);
            assert_eq!(found.is_ok(), allowed, "{object} with {own}: {found:?}");
        };
        let wanted = role(&["get", "list"], &["pods"], &[]);
        check(
            &wanted,
            own(&["get", "list", "watch"], &["pods", "nodes"], &[]),
            true,
        );
        check(&wanted, own(&["*"], &["*"], &[]), true);
        check(&wanted, own(&["get"], &["pods"], &[]), false);
        check(&wanted, own(&["get", "list"], &["pods"], &["a"]), false);
        check(
            &role(&["*"], &["pods"], &[]),
            own(&["get", "list"], &["pods"], &[]),
            false,
        );
        check(
            &role(&["get"], &["pods"], &["a"]),
            own(&["get"], &["pods"], &["a", "b"]),
            true,
        );
        check(
            &role(&["get"], &["pods/log"], &[]),
            own(&["get"], &["*/log"], &[]),
            true,
        );
        check(
            &role(&["get"], &["pods"], &[]),
            own(&["get"], &["*/log"], &[]),
            false,
        );
        check(&json!({"rules": null}), json!([]), true);
        let path = json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/a/b"]}]});
        check(
            &path,
            json!([{"verbs": ["get"], "nonResourceURLs": ["/a/*"]}]),
            true,
        );
        check(
            &path,
            json!([{"verbs": ["get"], "nonResourceURLs": ["/b/*"]}]),
            false,
        );
        let escalate = json!([{"verbs": ["escalate"], "apiGroups": [API_GROUP], "resources": ["roles"]}]);
        check(&wanted, escalate, true);
    }

    #[test]
    fn bindings_need_the_role_or_bind() {
        let binding = |name: &str| json!({"roleRef": {"kind": "ClusterRole", "name": name}});
        let bind = json!([{
            "verbs": ["bind"], "apiGroups": [API_GROUP], "resources": ["clusterroles"], "resourceNames": ["pods"],
        }]);
        let have = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
        assert_eq!(written("rolebindings", binding("pods"), bind, None), Ok(()));
        assert_eq!(
            written("clusterrolebindings", binding("pods"), have, None),
            Ok(())
        );
        let missing = Refusal::NoRole {
            kind: "clusterrole",
            name: "gone".into(),
        };
        assert_eq!(
            written("rolebindings", binding("gone"), json!([]), None),
            Err(missing)
        );
        let text = "user \"ann\" (groups=[\"dev\"]) is attempting to grant RBAC permissions not currently held:\n\
                    {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}";
        let refused = Err(Refusal::Forbidden(text.into()));
        assert_eq!(written("rolebindings", binding("pods"), json!([]), None), refused);
        let mut marked = binding("pods");
        marked["metadata"] = json!({"finalizers": ["x"]});
        let mut plain = binding("pods");
        plain["metadata"] = json!({});
        assert_eq!(written("rolebindings", marked, json!([]), Some(plain)), Ok(()));
    }

    #[test]
    fn aggregation_needs_everything() {
        let role = json!({"aggregationRule": {"clusterRoleSelectors": [{}]}, "rules": []});
        let all = json!([
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]);
        let some = json!([{"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*"]}]);
        assert!(written("clusterroles", role.clone(), all, None).is_ok());
        assert!(written("clusterroles", role, some, None).is_err());
    }
}
