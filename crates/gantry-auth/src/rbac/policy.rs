//! The roles and bindings, indexed by whom they reach: a decision looks at a user's own bindings only.

use super::{API_GROUP, field, list, quoted};
use crate::User;
use crate::service_account::user_name;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The kinds that make up a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// ClusterRole.
    ClusterRole,
    /// ClusterRoleBinding.
    ClusterRoleBinding,
    /// Role.
    Role,
    /// RoleBinding.
    RoleBinding,
}

/// What decisions are made from. Cluster-wide objects are under the empty namespace.
#[derive(Debug, Default)]
pub struct Policy {
    roles: HashMap<String, HashMap<String, Arc<Value>>>,
    bindings: HashMap<String, Bindings>,
}

#[derive(Debug, Default)]
struct Bindings {
    by_name: HashMap<String, Arc<Value>>,
    by_subject: HashMap<Subject, BTreeSet<String>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
}

impl Policy {
    /// Takes in an object as it is now, or that it is gone.
    pub fn set(&mut self, part: Part, namespace: &str, name: &str, object: Option<Value>) {
        let namespace = match part {
            Part::ClusterRole | Part::ClusterRoleBinding => "",
            Part::Role | Part::RoleBinding => namespace,
        };
        match part {
            Part::ClusterRole | Part::Role => {
                let roles = self.roles.entry(namespace.to_owned()).or_default();
                match object {
                    Some(object) => roles.insert(name.to_owned(), Arc::new(object)),
                    None => roles.remove(name),
                };
                if roles.is_empty() {
                    self.roles.remove(namespace);
                }
            }
            Part::ClusterRoleBinding | Part::RoleBinding => {
                let bindings = self.bindings.entry(namespace.to_owned()).or_default();
                bindings.set(namespace, name, object);
                if bindings.by_name.is_empty() {
                    self.bindings.remove(namespace);
                }
            }
        }
    }

    /// The bindings of a namespace, or the cluster-wide ones, that reach a user.
    pub(super) fn bindings_of<'a>(
        &'a self,
        user: &'a User,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<Value>> {
        let groups = user.groups.iter().map(|g| Subject::Group(g.clone()));
        let subjects = groups.chain([Subject::User(user.name.clone())]);
        let bindings = self.bindings.get(namespace);
        subjects.flat_map(move |subject| {
            let names = bindings
                .and_then(|b| b.by_subject.get(&subject))
                .into_iter()
                .flatten();
            names.filter_map(move |name| bindings.and_then(|b| b.by_name.get(name)))
        })
    }

    /// The role a binding refers to, or which one is missing; a Role only from a binding in a namespace.
    pub(super) fn role_of(&self, binding: &Value, namespace: &str) -> Result<&Arc<Value>, String> {
        let reference = &binding["roleRef"];
        let name = field(reference, "name");
        let (kind, place) = match field(reference, "kind") {
            "ClusterRole" => ("clusterrole", ""),
            "Role" if !namespace.is_empty() => ("role", namespace),
            other => return Err(format!("unsupported role reference kind: {}", quoted(other))),
        };
        let role = self.roles.get(place).and_then(|roles| roles.get(name));
        role.ok_or_else(|| format!("{kind}.{API_GROUP} {} not found", quoted(name)))
    }
}

impl Bindings {
    fn set(&mut self, namespace: &str, name: &str, object: Option<Value>) {
        if let Some(old) = self.by_name.remove(name) {
            for subject in subjects(&old, namespace) {
                if let Some(names) = self.by_subject.get_mut(&subject) {
                    names.remove(name);
                    if names.is_empty() {
                        self.by_subject.remove(&subject);
                    }
                }
            }
        }
        let Some(object) = object else { return };
        for subject in subjects(&object, namespace) {
            self.by_subject
                .entry(subject)
                .or_default()
                .insert(name.to_owned());
        }
        self.by_name.insert(name.to_owned(), Arc::new(object));
    }
}

/// Whom a binding reaches. A service account without a namespace is one of the binding's.
fn subjects(binding: &Value, namespace: &str) -> Vec<Subject> {
    let subject = |subject: &Value| {
        let name = field(subject, "name");
        match (field(subject, "kind"), field(subject, "namespace")) {
            ("User", _) => Some(Subject::User(name.to_owned())),
            ("Group", _) => Some(Subject::Group(name.to_owned())),
            ("ServiceAccount", own) => {
                let namespace = if own.is_empty() { namespace } else { own };
                (!namespace.is_empty()).then(|| Subject::User(user_name(namespace, name)))
            }
            _ => None,
        }
    };
    list(binding, "subjects").iter().filter_map(subject).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_goes_leaves_nothing() {
        let mut policy = Policy::default();
        let subjects = json!([{"kind": "User", "name": "ann"}, {"kind": "Group", "name": "dev"}]);
        let ann = User::new("ann", &["dev"]);
        policy.set(Part::RoleBinding, "a", "b", Some(json!({"subjects": subjects})));
        policy.set(Part::Role, "a", "r", Some(json!({})));
        assert_eq!(policy.bindings_of(&ann, "a").count(), 2);
        assert_eq!(policy.bindings_of(&ann, "").count(), 0);
        policy.set(
            Part::RoleBinding,
            "a",
            "b",
            Some(json!({"subjects": [subjects[1]]})),
        );
        assert_eq!(policy.bindings_of(&ann, "a").count(), 1);
        policy.set(Part::RoleBinding, "a", "b", None);
        policy.set(Part::Role, "a", "r", None);
        assert!(
            policy.bindings.is_empty() && policy.roles.is_empty(),
            "{policy:?}"
        );
    }
}
