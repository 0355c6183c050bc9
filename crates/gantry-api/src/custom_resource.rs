//! Custom resources: a CustomResourceDefinition makes kinds like the built-in ones, one for each version it serves.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource.

mod scale;

use crate::field::{Error, ErrorKind};
use crate::formats;
use crate::kind::{Cell, Column, Deprecation, Hooks, Kind, STORED_CUSTOM, ScalePaths, Scope, Subresource};
use crate::kinds::columns::described;
use crate::structural::json_path::JsonPath;
use crate::structural::rules::Rules;
use crate::structural::{Structural, default, embedded, lists, prune, validate};
use crate::version_priority;
use scale::Scale;
use serde_json::{Value, json};
use smol_str::{SmolStr, format_smolstr};
use std::borrow::Cow;
use std::sync::Arc;

/// What a kind has that a CustomResourceDefinition made.
pub struct Custom {
    /// What its objects look like.
    pub schema: Arc<Structural>,
    /// What they look like in each version of the definition, by `apiVersion`.
    pub versions: Arc<[(String, Arc<Structural>)]>,
    /// The same as it was written, for OpenAPI: JSON.
    pub published: Box<str>,
    /// Whether the definition is being deleted: nothing new is made then.
    pub terminating: bool,
}

/// The kinds that an established definition makes.
pub fn kinds(definition: &Value) -> Vec<Kind> {
    let versions: Vec<&Value> = definition["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let Some(stored) = versions.iter().find(|v| v["storage"] == true) else {
        return Vec::new();
    };
    let group = text(&definition["spec"]["group"]);
    let looks = |version: &&Value| {
        let schema = Structural::root(&version["schema"]["openAPIV3Schema"]);
        (format!("{group}/{}", text(&version["name"])), Arc::new(schema))
    };
    let all: Arc<[_]> = versions.iter().map(looks).collect();
    let stored = format!("{group}/{}", text(&stored["name"]));
    let served = versions.iter().filter(|v| v["served"] == true);
    served
        .filter_map(|version| kind(definition, version, &stored, &all))
        .collect()
}

/// `stored` is the version that objects are stored in, and `all` what they look like in each.
fn kind(
    definition: &Value,
    version: &Value,
    stored: &str,
    all_versions: &Arc<[(String, Arc<Structural>)]>,
) -> Option<Kind> {
    let looks = |version: &str| {
        all_versions
            .iter()
            .find(|(v, _)| v == version)
            .map(|(_, s)| s.clone())
    };
    let (spec, names) = (&definition["spec"], &definition["status"]["acceptedNames"]);
    let (group, plural) = (text(&spec["group"]), text(&names["plural"]));
    let subresources = &version["subresources"];
    let all = [("status", Subresource::Status), ("scale", Subresource::Scale)];
    let subresources = all.iter().filter(|(name, _)| subresources[*name].is_object());
    let schema = &version["schema"]["openAPIV3Schema"];
    let api_version = format!("{group}/{}", text(&version["name"]));
    let structural = looks(&api_version)?;
    let hooks = CustomHooks {
        schema: structural.clone(),
        stored_schema: looks(stored)?,
        api_version,
        stored_version: stored.to_string(),
        has_status: version["subresources"]["status"].is_object(),
        scale: Scale::of(&version["subresources"]["scale"]),
        rules: Rules::of(schema, true),
    };
    Some(Kind {
        group: group.into(),
        version: text(&version["name"]).into(),
        deprecation: deprecation(definition, version).map(Deprecation::Said),
        feature: None,
        other_versions: Vec::new(),
        kind: text(&names["kind"]).into(),
        plural: plural.into(),
        list_kind: text(&names["listKind"]).into(),
        singular: text(&names["singular"]).into(),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        scope: match text(&spec["scope"]) {
            "Namespaced" => Scope::Namespaced,
            _ => Scope::Cluster,
        },
        verbs: STORED_CUSTOM,
        storage_prefix: format_smolstr!("{group}/{plural}"),
        returns_deleted: false,
        status_alone: false,
        subresources: subresources.map(|(_, subresource)| *subresource).collect(),
        selectable_fields: list(&version["selectableFields"])
            .map(|field| SmolStr::from(text(&field["jsonPath"]).trim_start_matches('.')))
            .map(|path| (path.clone(), path))
            .collect(),
        columns: columns(&version["additionalPrinterColumns"]),
        custom: Some(Custom {
            schema: structural,
            versions: all_versions.clone(),
            published: schema.to_string().into(),
            terminating: has_condition(definition, "Terminating"),
        }),
        hooks: Box::new(hooks),
    })
}

/// Whether a condition of a definition holds.
pub fn has_condition(definition: &Value, type_: &str) -> bool {
    list(&definition["status"]["conditions"]).any(|c| c["type"] == type_ && c["status"] == "True")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn texts(value: &Value) -> Vec<SmolStr> {
    list(value).map(|v| text(v).into()).collect()
}

fn columns(defined: &Value) -> Vec<Column> {
    let column = |name: &str, type_: &str, format: &str, description: &str, priority: i32, path: &str| {
        Some(Column {
            name: name.into(),
            type_: type_.into(),
            format: format.into(),
            description: description.into(),
            priority,
            cell: Cell::At(JsonPath::parse(path)?),
        })
    };
    let mut columns = Vec::new();
    columns.extend(column(
        "Name",
        "string",
        "name",
        &described("name"),
        0,
        ".metadata.name",
    ));
    let mut others = list(defined).peekable();
    if others.peek().is_none() {
        let created = described("creationTimestamp");
        columns.extend(column(
            "Age",
            "date",
            "",
            &created,
            0,
            ".metadata.creationTimestamp",
        ));
    }
    for other in others {
        let path = text(&other["jsonPath"]);
        let description = match text(&other["description"]) {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            own => own.to_string(),
        };
        let priority = other["priority"].as_i64().and_then(|p| i32::try_from(p).ok());
        let [name, type_, format] = ["name", "type", "format"].map(|field| text(&other[field]));
        let made = column(name, type_, format, &description, priority.unwrap_or(0), path);
        // As upstream: a path that is none ends the columns.
        match made {
            Some(made) => columns.push(made),
            None => break,
        }
    }
    columns
}

/// What is said of a deprecated version: its own words, or the version to use instead.
fn deprecation(definition: &Value, version: &Value) -> Option<String> {
    if version["deprecated"] != true {
        return None;
    }
    if let Some(own) = version["deprecationWarning"].as_str() {
        return Some(own.to_string());
    }
    let spec = &definition["spec"];
    let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
    let name = text(&version["name"]);
    let mut warning = format!("{group}/{name} {kind} is deprecated");
    let better = list(&spec["versions"])
        .filter(|v| v["served"] == true && v["deprecated"] != true)
        .map(|v| text(&v["name"]))
        .filter(|other| version_priority::compare(name, other).is_lt())
        .max_by(|a, b| version_priority::compare(a, b));
    if let Some(better) = better {
        warning.push_str(&format!("; use {group}/{better} {kind}"));
    }
    Some(warning)
}

struct CustomHooks {
    schema: Arc<Structural>,
    /// What stored objects look like.
    stored_schema: Arc<Structural>,
    api_version: String,
    stored_version: String,
    has_status: bool,
    scale: Option<Scale>,
    rules: Option<Rules>,
}

impl CustomHooks {
    fn check(&self, object: &Value, old: Option<&Value>) -> Vec<Error> {
        let mut errors = validate::validate(&self.schema, object, old, "");
        if let Some(scale) = &self.scale {
            scale.check(object, true, &mut errors);
        }
        errors.extend(embedded::validate(&self.schema, object));
        self.check_lists_and_rules(object, old, &mut errors);
        errors
    }

    /// A list that had something twice may keep it.
    fn check_lists_and_rules(&self, object: &Value, old: Option<&Value>, errors: &mut Vec<Error>) {
        let twice = lists::validate(&self.schema, object);
        if !twice.is_empty() && old.is_none_or(|old| lists::validate(&self.schema, old).is_empty()) {
            errors.extend(twice);
        }
        if let Some(rules) = &self.rules {
            match errors.iter().any(Self::blocks_rules) {
                true => {
                    let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                                  errors to complete validation";
                    errors.push(Error::invalid("<nil>", Value::Null, detail));
                }
                false => errors.extend(rules.check(&self.schema, object, old)),
            }
        }
    }

    /// Rules read what they are declared to read: of another type, size or form it would only confuse them.
    fn blocks_rules(error: &Error) -> bool {
        matches!(
            error.kind,
            ErrorKind::NotSupported
                | ErrorKind::Required
                | ErrorKind::TooLong
                | ErrorKind::TooMany
                | ErrorKind::TypeInvalid
        )
    }
}

/// Whether two objects differ beyond their metadata.
fn differ(object: &Value, old: &Value) -> bool {
    let fields = |object: &Value| {
        object
            .as_object()
            .map_or(0, |map| map.len() - usize::from(map.contains_key("metadata")))
    };
    let others = object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "metadata");
    fields(object) != fields(old) || others.into_iter().any(|(key, v)| old.get(key) != Some(v))
}

impl Hooks for CustomHooks {
    fn default(&self, object: &mut Value) {
        default::default(&self.schema, object);
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.has_status
            && let Some(map) = object.as_object_mut()
        {
            map.remove("status");
        }
        object["metadata"]["generation"] = 1.into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if differ(object, old) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = (generation + 1).into();
        }
    }

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        if subresource != Subresource::Status {
            return self.prepare_update(object, old);
        }
        // Of the metadata only the note of who wrote is new.
        let managed = object["metadata"].get("managedFields").cloned();
        object["metadata"] = old["metadata"].clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            match managed {
                Some(list) => metadata.insert("managedFields".into(), list),
                None => metadata.remove("managedFields"),
            };
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        self.check(object, None)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        self.check(object, Some(old))
    }

    fn validate_subresource(&self, subresource: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        if subresource != Subresource::Status {
            return self.check(object, Some(old));
        }
        let mut errors = match (object.get("status"), self.schema.properties.get("status")) {
            (Some(status), Some(schema)) => validate::validate(schema, status, old.get("status"), "status"),
            _ => Vec::new(),
        };
        if let Some(scale) = &self.scale {
            scale.check(object, false, &mut errors);
        }
        self.check_lists_and_rules(object, Some(old), &mut errors);
        errors
    }

    fn to_storage<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        if self.api_version == self.stored_version {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        object["apiVersion"] = self.stored_version.as_str().into();
        Cow::Owned(object)
    }

    /// What was written under another schema is read as if it were written under the one objects are stored by: its
    /// defaults are filled in. Of them another version has what it declares.
    fn from_storage(&self, object: &mut Value) {
        let stored = &self.stored_schema;
        embedded::coerce_stored(stored, object);
        prune::prune(Some(stored), object);
        default::drop_nulls(stored, object);
        default::default(stored, object);
        if self.api_version != self.stored_version {
            object["apiVersion"] = self.api_version.as_str().into();
            embedded::coerce_stored(&self.schema, object);
            prune::prune(Some(&self.schema), object);
        }
    }

    fn needs_version(&self) -> bool {
        true
    }

    fn scale(&self) -> ScalePaths<'_> {
        let scale = self.scale.as_ref();
        ScalePaths {
            spec_replicas: scale.map_or("", |s| &s.spec_replicas),
            status_replicas: scale.map_or("", |s| &s.status_replicas),
            selector: scale.and_then(|s| s.selector.as_deref()),
        }
    }

    /// Finalizers that others may use too are worth a word.
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let before: Vec<&Value> = old
            .into_iter()
            .flat_map(|o| list(&o["metadata"]["finalizers"]))
            .collect();
        let mut added: Vec<&str> = list(&object["metadata"]["finalizers"])
            .filter(|f| !before.contains(f))
            .map(text)
            .collect();
        added.sort_unstable();
        added.dedup();
        added.into_iter().flat_map(finalizer_warnings).collect()
    }
}

fn finalizer_warnings(name: &str) -> Vec<String> {
    let warn = |what: &str| format!("metadata.finalizers: {}: {what}", json!(name));
    let mut warnings: Vec<String> = formats::qualified_name(name).iter().map(|p| warn(p)).collect();
    if !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes") {
        let path = if name.contains('.') {
            " including a path (/)"
        } else {
            ""
        };
        warnings.push(warn(&format!(
            "prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        )));
    }
    warnings
}
