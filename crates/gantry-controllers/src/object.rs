//! Reading and writing the parts of objects that many controllers share.

use gantry_api::meta;
use gantry_client::Resource;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A whole number, 0 when there is none.
pub(crate) fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// A text, empty when there is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// The elements of a list, none when there is no list.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// `metadata.uid`
pub(crate) fn uid(object: &Value) -> &str {
    meta::text(object, "uid")
}

/// An annotation.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(name)?.as_str()
}

/// The reference to the object's controller.
pub(crate) fn controller_of(object: &Value) -> Option<&Value> {
    items(&object["metadata"]["ownerReferences"]).find(|r| r["controller"] == true)
}

/// A reference that makes `owner` the controller.
pub(crate) fn controller_reference(resource: &Resource, owner: &Value) -> Value {
    json!({
        "apiVersion": resource.api_version(), "kind": resource.kind.as_str(), "name": meta::name(owner),
        "uid": uid(owner), "controller": true, "blockOwnerDeletion": true,
    })
}

/// `namespace/name` taken apart; the namespace is empty when there is none.
pub(crate) fn split(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

/// The time as the API writes it.
pub(crate) fn stamp(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    // A time of our days can always be written.
    whole.format(&Rfc3339).unwrap_or_default()
}

/// Now, as the API writes it.
pub(crate) fn now_stamp() -> String {
    stamp(OffsetDateTime::now_utc())
}

/// A time that the API wrote.
pub(crate) fn time_of(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

/// `metadata.creationTimestamp`
pub(crate) fn created(object: &Value) -> Option<OffsetDateTime> {
    time_of(&object["metadata"]["creationTimestamp"])
}

/// A condition of a status.
pub(crate) fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    items(&status["conditions"]).find(|c| c["type"] == type_)
}

/// Takes a condition out of a status.
pub(crate) fn remove_condition(status: &mut Value, type_: &str) {
    let Some(Value::Array(conditions)) = status.get_mut("conditions") else {
        return;
    };
    conditions.retain(|c| c["type"] != type_);
    if conditions.is_empty()
        && let Some(status) = status.as_object_mut()
    {
        status.remove("conditions");
    }
}

/// Puts a condition last, in place of the one of its type.
pub(crate) fn put_condition(status: &mut Value, condition: Value) {
    remove_condition(status, text(&condition["type"]));
    match status.get_mut("conditions").and_then(Value::as_array_mut) {
        Some(conditions) => conditions.push(condition),
        None => status["conditions"] = json!([condition]),
    }
}

/// Removes numbers that are 0 and texts that are empty, as the API leaves them out.
pub(crate) fn without_empty(mut map: Map<String, Value>) -> Map<String, Value> {
    map.retain(|_, v| !(v.is_null() || *v == 0 || *v == "" || *v == json!([]) || *v == json!({})));
    map
}

/// The index of objects by their controller's uid.
pub(crate) const BY_CONTROLLER: &str = "controller";

/// Where an object stands in [`BY_CONTROLLER`]: under its controller's uid, or under its namespace's orphans.
pub(crate) fn by_controller(object: &Value) -> Vec<String> {
    match controller_of(object) {
        Some(reference) => vec![text(&reference["uid"]).to_string()],
        None => vec![orphans_of(meta::namespace(object))],
    }
}

/// Where objects without a controller stand in [`BY_CONTROLLER`].
pub(crate) fn orphans_of(namespace: &str) -> String {
    format!("orphans/{namespace}")
}
