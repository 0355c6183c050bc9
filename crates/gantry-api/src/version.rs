//! Several served versions of one stored kind: each is a kind of its own whose hooks convert.
//!
//! The stored kind's file names its other versions in `Kind::other_versions`; all else derives from that.

use crate::field::Error;
use crate::kind::{Deprecation, Hooks, Kind, ScalePaths, Subresource};
use serde_json::Value;
use smol_str::SmolStr;
use std::borrow::Cow;

/// Another version of a kind.
pub struct Version {
    name: SmolStr,
    conversion: Option<Conversion>,
    deprecation: Option<Deprecation>,
}

/// How objects of a version become those of the stored one, and back. `apiVersion` is no concern of these.
pub struct Conversion {
    /// Fills in the version's own defaults.
    pub default: fn(&mut Value),
    /// Turns an object of the version into one of the stored version.
    pub to_stored: fn(&mut Value),
    /// Turns an object of the stored version into one of the version.
    pub from_stored: fn(&mut Value),
}

impl Version {
    /// A version that has the stored version's fields.
    pub fn same(name: &str) -> Self {
        Version {
            name: name.into(),
            conversion: None,
            deprecation: None,
        }
    }

    /// A version with fields of its own.
    pub fn converted(name: &str, conversion: Conversion) -> Self {
        Version {
            name: name.into(),
            conversion: Some(conversion),
            deprecation: None,
        }
    }

    /// The version's end is near.
    #[must_use]
    pub fn deprecated(self, deprecation: Deprecation) -> Self {
        Version {
            deprecation: Some(deprecation),
            ..self
        }
    }

    /// A minor version of Kubernetes has deprecated the version.
    #[must_use]
    pub fn deprecated_since(self, version: u32) -> Self {
        self.deprecated(Deprecation::unstable_since(version))
    }

    /// The kind in this version, made from the stored one.
    fn of(self, mut kind: Kind) -> Kind {
        let stored_version = kind.api_version();
        kind.version = self.name;
        kind.deprecation = self.deprecation;
        kind.other_versions.clear();
        kind.hooks = Box::new(Converting {
            own_version: kind.api_version(),
            stored_version,
            stored: kind.hooks,
            conversion: self.conversion,
        });
        kind
    }
}

/// A kind in all its versions, the stored one first.
pub fn all(make: fn() -> Kind) -> Vec<Kind> {
    let mut stored = make();
    let others = std::mem::take(&mut stored.other_versions);
    let mut kinds = vec![stored];
    kinds.extend(others.into_iter().map(|version| version.of(make())));
    kinds
}

/// Hooks that lend the stored version's to another version. Validation sees, and names, the stored version's fields,
/// as upstream's does with its internal ones.
struct Converting {
    own_version: String,
    stored_version: String,
    stored: Box<dyn Hooks>,
    conversion: Option<Conversion>,
}

impl Converting {
    /// The object with the stored version's fields.
    fn fields<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        match &self.conversion {
            None => Cow::Borrowed(object),
            Some(conversion) => {
                let mut object = object.clone();
                (conversion.to_stored)(&mut object);
                Cow::Owned(object)
            }
        }
    }

    /// Lets a hook change the object in the stored version's fields.
    fn change(&self, object: &mut Value, hook: impl FnOnce(&mut Value)) {
        match &self.conversion {
            None => hook(object),
            Some(conversion) => {
                (conversion.to_stored)(object);
                hook(object);
                (conversion.from_stored)(object);
            }
        }
    }
}

impl Hooks for Converting {
    fn default(&self, object: &mut Value) {
        match &self.conversion {
            None => self.stored.default(object),
            Some(conversion) => (conversion.default)(object),
        }
    }

    fn note_requester(&self, object: &mut Value, requester: &dyn Fn() -> Value) {
        self.change(object, |object| self.stored.note_requester(object, requester));
    }

    fn prepare_create(&self, object: &mut Value) {
        self.change(object, |object| self.stored.prepare_create(object));
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        let old = self.fields(old);
        self.change(object, |object| self.stored.prepare_update(object, &old));
    }

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        let old = self.fields(old);
        self.change(object, |object| {
            self.stored.prepare_subresource(subresource, object, &old)
        });
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        self.stored.validate(&self.fields(object))
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        self.stored.validate_create(&self.fields(object))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        self.stored
            .validate_update(&self.fields(object), &self.fields(old))
    }

    fn validate_subresource(&self, subresource: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        self.stored
            .validate_subresource(subresource, &self.fields(object), &self.fields(old))
    }

    fn to_storage<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        let mut object = self.fields(object).into_owned();
        if self.conversion.is_some() {
            // What stands in the store has the stored version's defaults.
            self.stored.default(&mut object);
        }
        object["apiVersion"] = self.stored_version.as_str().into();
        Cow::Owned(object)
    }

    fn from_storage(&self, object: &mut Value) {
        if let Some(conversion) = &self.conversion {
            (conversion.from_stored)(object);
        }
        object["apiVersion"] = self.own_version.as_str().into();
    }

    fn printed<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        match self.stored.printed(&self.fields(object)) {
            Cow::Borrowed(_) => self.fields(object),
            Cow::Owned(object) => Cow::Owned(object),
        }
    }

    fn needs_version(&self) -> bool {
        self.stored.needs_version()
    }

    fn creates_on_update(&self) -> bool {
        self.stored.creates_on_update()
    }

    fn orphans_by_default(&self) -> bool {
        self.stored.orphans_by_default()
    }

    fn deletion_warning(&self) -> &'static str {
        self.stored.deletion_warning()
    }

    fn scale(&self) -> ScalePaths<'_> {
        self.stored.scale()
    }

    fn begin_deletion(&self, object: &mut Value, now: &str) {
        self.change(object, |object| self.stored.begin_deletion(object, now));
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let old = old.map(|old| self.fields(old));
        self.stored.warnings(&self.fields(object), old.as_deref())
    }

    fn validates_generate_name(&self) -> bool {
        self.stored.validates_generate_name()
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        self.stored.validate_name(name)
    }

    fn grace_period(&self, object: &Value) -> Option<i64> {
        self.stored.grace_period(&self.fields(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind() -> Kind {
        let mut kinds = crate::kinds::builtin().into_iter();
        let mut kind = kinds.find(|k| k.kind == "ReplicaSet").expect("a built-in kind");
        let renamed = Conversion {
            default: |o| o["size"] = 1.into(),
            to_stored: |o| o["spec"]["replicas"] = o["size"].take(),
            from_stored: |o| o["size"] = o["spec"]["replicas"].take(),
        };
        kind.other_versions = vec![Version::same("v1beta2"), Version::converted("v1beta1", renamed)];
        kind
    }

    #[test]
    fn versions_share_what_is_stored() {
        let kinds = all(kind);
        let versions: Vec<&str> = kinds.iter().map(|k| k.version.as_str()).collect();
        assert_eq!(versions, ["v1", "v1beta2", "v1beta1"]);
        let check = |version: usize, own: Value, replicas: i64| {
            let kind = &kinds[version];
            assert_eq!(kind.prefix(None), kinds[0].prefix(None));
            let stored = kind.hooks.to_storage(&own).into_owned();
            assert_eq!(stored["apiVersion"], "apps/v1");
            assert_eq!(stored["spec"]["replicas"], replicas);
            let mut back = stored.clone();
            kind.hooks.from_storage(&mut back);
            assert_eq!(back["apiVersion"], own["apiVersion"]);
            assert_eq!(kind.hooks.to_storage(&back).into_owned(), stored);
        };
        check(
            1,
            json!({"apiVersion": "apps/v1beta2", "spec": {"replicas": 3}}),
            3,
        );
        check(2, json!({"apiVersion": "apps/v1beta1", "size": 4}), 4);
    }

    #[test]
    fn rules_are_the_stored_versions() {
        let kinds = all(kind);
        let errors = kinds[2].hooks.validate(&json!({"size": -1}));
        assert!(errors.iter().any(|e| e.field == "spec.replicas"), "{errors:?}");
    }
}
