//! What objects look like, as JSON schemas.

use crate::kind::Kind;
use crate::schema::{Field, Message, Type, message};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

/// How a version of OpenAPI writes schemas.
pub(super) struct Form {
    /// What stands before a definition's name in references.
    pub prefix: &'static str,
    /// Whether a schema may say that a value has one of several types.
    pub one_of: bool,
    /// The group version it is about: what every group has is named for that one and the core group alone.
    pub scope: Scope,
}

/// Of which groups a document names the kinds that every group has.
pub(super) enum Scope {
    All,
    /// Those whose kinds upstream's clients know by themselves.
    Clients,
    /// The core group, and this group and version.
    One(String, String),
}

impl Form {
    fn names(&self, message: &Message, (group, version, _): &(&str, &str, &str)) -> bool {
        const NOT_CLIENTS: [&str; 4] = ["admission", "apiextensions", "apiregistration", "imagepolicy"];
        let everywhere = ["DeleteOptions", "WatchEvent"].contains(&message.short_name());
        !everywhere
            || match &self.scope {
                Scope::All => true,
                Scope::Clients => !NOT_CLIENTS.contains(&group.trim_end_matches(".k8s.io")),
                Scope::One(g, v) => (*group, *version) == ("", "v1") || (*group, *version) == (g, v),
            }
    }

    /// A reference that something stands beside.
    fn described(&self, name: &str) -> Value {
        let reference = json!({"$ref": format!("{}{name}", self.prefix)});
        match self.one_of {
            true => json!({"allOf": [reference]}),
            false => reference,
        }
    }
}

const SELECTABLE: &str = "x-kubernetes-selectable-fields";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";

// What the fields are that every custom resource has. Upstream's end-to-end tests look for how these begin.
const API_VERSION: &str =
    "APIVersion defines which form the object is in: a group and a version, such as example.com/v1.";
const KIND: &str = "Kind is what the object is, in CamelCase and singular.";
const METADATA: &str = "Standard object's metadata, such as its name and labels.";

/// The name of a custom resource's definition: `com.example.v1.Foo`.
pub(super) fn custom_name(group: &str, version: &str, kind: &str) -> String {
    let group: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", group.join("."))
}

/// Adds the definitions of a custom resource and of its lists. Without the parts that OpenAPI 2.0 cannot say.
pub(super) fn custom(form: &Form, kind: &Kind, definitions: &mut Map<String, Value>) {
    let Some(custom) = &kind.custom else { return };
    let mut refer = |name: &str| {
        reach(form, name, definitions);
        form.described(name)
    };
    let (mut meta, mut list_meta) = (refer(OBJECT_META), refer(LIST_META));
    meta["description"] = METADATA.into();
    list_meta["description"] = METADATA.into();
    let names = |name: &str| json!([{"group": kind.group, "version": kind.version, "kind": name}]);
    // It was written from a value, and can be read.
    let mut schema: Value = serde_json::from_str(&custom.published).unwrap_or_default();
    match form.one_of {
        true => for_v3(&mut schema),
        false => for_v2(&mut schema),
    }
    embed(&mut schema, &meta, form.one_of);
    if !schema.is_object() || (!form.one_of && custom.schema.preserve) {
        schema = json!({"type": "object"});
    } else {
        with_meta(&mut schema, &meta);
    }
    schema["x-kubernetes-group-version-kind"] = names(&kind.kind);
    let own = custom_name(&kind.group, &kind.version, &kind.kind);
    let item = json!({"$ref": format!("{}{own}", form.prefix)});
    let path = |(_, path): &(_, SmolStr)| json!({"fieldPath": path});
    let selectable: Vec<Value> = kind.selectable_fields.iter().map(path).collect();
    if !selectable.is_empty() {
        schema[SELECTABLE] = selectable.clone().into();
    }
    definitions.insert(own, schema);
    let mut list = json!({
        "type": "object", "required": ["items"], "x-kubernetes-group-version-kind": names(&kind.list_kind),
        "description": format!("{} is a list of {}.", kind.list_kind, kind.kind),
        "properties": {"items": {"type": "array", "items": item, "description": "The objects."}},
    });
    with_meta(&mut list, &list_meta);
    if !selectable.is_empty() {
        list[SELECTABLE] = selectable.into();
    }
    definitions.insert(custom_name(&kind.group, &kind.version, &kind.list_kind), list);
}

fn with_meta(schema: &mut Value, meta: &Value) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({"type": "string", "description": API_VERSION});
    properties["kind"] = json!({"type": "string", "description": KIND});
    properties["metadata"] = meta.clone();
}

/// Gives objects within objects the fields that every object has.
fn embed(schema: &mut Value, meta: &Value, open: bool) {
    within(schema, &mut |child| embed(child, meta, open));
    let on = |name: &str| schema[name] == true;
    if on("x-kubernetes-embedded-resource") && (open || !on("x-kubernetes-preserve-unknown-fields")) {
        with_meta(schema, meta);
        let mut required = schema["required"].as_array().cloned().unwrap_or_default();
        for name in ["kind", "apiVersion"] {
            if !required.contains(&name.into()) {
                required.push(name.into());
            }
        }
        schema["required"] = required.into();
    }
}

/// Takes out what OpenAPI 2.0 does not have, or kubectl does not understand in it.
fn for_v2(schema: &mut Value) {
    let on = |name: &str| schema[name] == true;
    let (nullable, preserve) = (on("nullable"), on("x-kubernetes-preserve-unknown-fields"));
    if let Some(map) = schema.as_object_mut() {
        ["allOf", "oneOf", "anyOf", "not", "nullable", "default"]
            .iter()
            .for_each(|field| {
                map.remove(*field);
            });
        if nullable || preserve {
            map.remove("items");
            map.remove("properties");
        }
        let open = map.get("type").is_some_and(|t| t == "object") && preserve;
        let bare = map.get("type").is_some_and(|t| t == "array") && !map.contains_key("items");
        if nullable || open || bare {
            map.remove("type");
        }
    }
    within(schema, &mut for_v2);
}

/// Says of what may be an integer or a text that it may.
fn for_v3(schema: &mut Value) {
    if schema["x-kubernetes-int-or-string"] == true && schema["anyOf"].is_null() {
        schema["anyOf"] = json!([{"type": "integer"}, {"type": "string"}]);
    }
    within(schema, &mut for_v3);
}

fn within(schema: &mut Value, each: &mut dyn FnMut(&mut Value)) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(&mut *each);
    }
    for field in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(field).filter(|c| c.is_object()) {
            each(child);
        }
    }
}

/// Adds the definition `name`, and all that it reaches.
pub(super) fn reach(form: &Form, name: &str, definitions: &mut Map<String, Value>) {
    if definitions.contains_key(name) {
        return;
    }
    let Some(message) = message(name) else {
        definitions.insert(name.into(), simple(form, name));
        return;
    };
    // Taken before its fields are followed: definitions may reach themselves.
    definitions.insert(name.into(), Value::Null);
    let mut properties = Map::new();
    for field in &message.fields {
        properties.insert(field.name.into(), property(form, message, field, definitions));
    }
    let mut schema = json!({"type": "object"});
    describe(&mut schema, message.description());
    if !properties.is_empty() {
        schema["properties"] = properties.into();
    }
    let required: Vec<&str> = message
        .fields
        .iter()
        .filter(|f| f.required)
        .map(|f| f.name)
        .collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if message.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    if !message.gvks.is_empty() {
        let gvk = |(group, version, kind): &(&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
        let named = message.gvks.iter().filter(|gvk| form.names(message, gvk));
        schema["x-kubernetes-group-version-kind"] = named.map(gvk).collect();
    }
    definitions.insert(name.into(), schema);
}

fn describe(schema: &mut Value, description: String) {
    if !description.is_empty() {
        schema["description"] = description.into();
    }
}

/// Definitions of values that are no objects with fields.
fn simple(form: &Form, name: &str) -> Value {
    match name {
        QUANTITY if form.one_of => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        INT_OR_STRING if form.one_of => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        QUANTITY => json!({"type": "string"}),
        INT_OR_STRING => json!({"type": "string", "format": "int-or-string"}),
        TIME | MICRO_TIME => json!({"type": "string", "format": "date-time"}),
        // Schemas within a CustomResourceDefinition: anything may stand there.
        _ if name.contains(".JSON") => json!({}),
        _ => json!({"type": "object"}),
    }
}

fn property(form: &Form, message: &Message, field: &Field, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = of_type(form, message, field, &field.type_, definitions);
    let reference = schema.get("$ref").cloned();
    let mut set = |key: &str, value: Value| schema[key] = value;
    if !field.list_type.is_empty() {
        set("x-kubernetes-list-type", field.list_type.into());
    }
    if !field.map_type.is_empty() {
        set("x-kubernetes-map-type", field.map_type.into());
    }
    if !field.list_map_keys.is_empty() {
        set("x-kubernetes-list-map-keys", json!(field.list_map_keys));
    }
    if !field.patch_strategy.is_empty() {
        set(
            "x-kubernetes-patch-strategy",
            field.patch_strategy.join(",").into(),
        );
    }
    if !field.merge_key.is_empty() {
        set("x-kubernetes-patch-merge-key", field.merge_key.into());
    }
    // OpenAPI 3.0 ignores what stands beside a reference.
    if form.one_of
        && !field.bare
        && let Some(reference) = reference
        && let Some(object) = schema.as_object_mut()
    {
        object.remove("$ref");
        object.insert("allOf".into(), json!([{"$ref": reference}]));
    }
    if form.one_of
        && let Some(default) = field.default()
    {
        schema["default"] = default;
    }
    describe(&mut schema, field.description());
    schema
}

fn of_type(
    form: &Form,
    message: &Message,
    field: &Field,
    type_: &Type,
    definitions: &mut Map<String, Value>,
) -> Value {
    let mut refer = |name: &str| {
        reach(form, name, definitions);
        json!({"$ref": format!("{}{name}", form.prefix)})
    };
    match type_ {
        Type::String => match field.values() {
            values if values.is_empty() => json!({"type": "string"}),
            values => json!({"type": "string", "enum": values}),
        },
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Double => json!({"type": "number", "format": "double"}),
        Type::Quantity => refer(QUANTITY),
        Type::IntOrString => refer(INT_OR_STRING),
        Type::Time => refer(TIME),
        Type::MicroTime => refer(MICRO_TIME),
        Type::Any => refer(free_form(message, field)),
        Type::Message(name) => refer(name),
        Type::Either(name) => {
            definitions.entry(*name).or_insert_with(|| simple(form, name));
            json!({"$ref": format!("{}{name}", form.prefix)})
        }
        Type::List(item) => {
            json!({"type": "array", "items": of_type(form, message, field, item, definitions)})
        }
        Type::Map(item) => {
            json!({"type": "object", "additionalProperties": of_type(form, message, field, item, definitions)})
        }
    }
}

/// Upstream's name for the type of a field that takes anything.
fn free_form(message: &Message, field: &Field) -> &'static str {
    if message.short_name() != "JSONSchemaProps" {
        return match field.name {
            "fieldsV1" => "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
            _ => "io.k8s.apimachinery.pkg.runtime.RawExtension",
        };
    }
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"
}
