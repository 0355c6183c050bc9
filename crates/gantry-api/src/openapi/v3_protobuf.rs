//! OpenAPI 3.0 documents in protobuf.
//!
//! Source: OpenAPIv3.proto of gnostic-models. What a document of ours never holds is left out of the tables.

use super::gnostic::{Form, Table, object, plain, within};
use crate::protobuf::wire::{put_bytes, put_double, put_varint};
use serde_json::{Map, Value};

static DOCUMENT: Table = Table {
    members: &[
        ("openapi", 1, Form::Text),
        ("info", 2, Form::Object(&INFO)),
        ("paths", 4, Form::Members(1, &PATH)),
        ("components", 5, Form::Object(&COMPONENTS)),
    ],
    extensions: 9,
    finish: plain,
};

static INFO: Table = Table {
    members: &[("title", 1, Form::Text), ("version", 6, Form::Text)],
    extensions: 7,
    finish: plain,
};

static COMPONENTS: Table = Table {
    members: &[
        ("schemas", 1, Form::Members(1, &SCHEMA_OR_REFERENCE)),
        ("securitySchemes", 7, Form::Members(1, &SECURITY)),
    ],
    extensions: 10,
    finish: plain,
};

static PATH: Table = Table {
    members: &[
        ("get", 4, Form::Object(&OPERATION)),
        ("put", 5, Form::Object(&OPERATION)),
        ("post", 6, Form::Object(&OPERATION)),
        ("delete", 7, Form::Object(&OPERATION)),
        ("options", 8, Form::Object(&OPERATION)),
        ("head", 9, Form::Object(&OPERATION)),
        ("patch", 10, Form::Object(&OPERATION)),
        ("parameters", 13, Form::Objects(&PARAMETER)),
    ],
    extensions: 14,
    finish: plain,
};

static OPERATION: Table = Table {
    members: &[
        ("tags", 1, Form::Texts),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("parameters", 6, Form::Objects(&PARAMETER)),
        ("requestBody", 7, Form::Object(&BODY)),
        ("responses", 8, Form::Members(2, &RESPONSE)),
        ("deprecated", 10, Form::Flag),
    ],
    extensions: 13,
    finish: plain,
};

static PARAMETER: Table = Table {
    members: &[
        ("name", 1, Form::Text),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("required", 4, Form::Flag),
        ("schema", 10, Form::Object(&SCHEMA_OR_REFERENCE)),
    ],
    extensions: 14,
    finish: or_reference,
};

static BODY: Table = Table {
    members: &[
        ("description", 1, Form::Text),
        ("content", 2, Form::Members(1, &MEDIA_TYPE)),
        ("required", 3, Form::Flag),
    ],
    extensions: 4,
    finish: or_reference,
};

static RESPONSE: Table = Table {
    members: &[
        ("description", 1, Form::Text),
        ("content", 3, Form::Members(1, &MEDIA_TYPE)),
    ],
    extensions: 5,
    finish: or_reference,
};

static MEDIA_TYPE: Table = Table {
    members: &[("schema", 1, Form::Object(&SCHEMA_OR_REFERENCE))],
    extensions: 5,
    finish: plain,
};

static SECURITY: Table = Table {
    members: &[
        ("type", 1, Form::Text),
        ("description", 2, Form::Text),
        ("name", 3, Form::Text),
        ("in", 4, Form::Text),
    ],
    extensions: 9,
    finish: or_reference,
};

static SCHEMA_OR_REFERENCE: Table = Table {
    members: SCHEMA.members,
    extensions: SCHEMA.extensions,
    finish: or_reference,
};

static SCHEMA: Table = Table {
    members: &[
        ("nullable", 1, Form::Flag),
        ("example", 7, Form::Any),
        ("title", 9, Form::Text),
        ("multipleOf", 10, Form::Double),
        ("maximum", 11, Form::Double),
        ("exclusiveMaximum", 12, Form::Flag),
        ("minimum", 13, Form::Double),
        ("exclusiveMinimum", 14, Form::Flag),
        ("maxLength", 15, Form::Integer),
        ("minLength", 16, Form::Integer),
        ("pattern", 17, Form::Text),
        ("maxItems", 18, Form::Integer),
        ("minItems", 19, Form::Integer),
        ("uniqueItems", 20, Form::Flag),
        ("maxProperties", 21, Form::Integer),
        ("minProperties", 22, Form::Integer),
        ("required", 23, Form::Texts),
        ("enum", 24, Form::Anys),
        ("type", 25, Form::Text),
        ("allOf", 26, Form::Objects(&SCHEMA_OR_REFERENCE)),
        ("oneOf", 27, Form::Objects(&SCHEMA_OR_REFERENCE)),
        ("anyOf", 28, Form::Objects(&SCHEMA_OR_REFERENCE)),
        ("not", 29, Form::Object(&SCHEMA)),
        (
            "items",
            30,
            Form::Own(|item| within(1, &object(&SCHEMA_OR_REFERENCE, item))),
        ),
        ("properties", 31, Form::Members(1, &SCHEMA_OR_REFERENCE)),
        ("additionalProperties", 32, Form::Own(schema_or_flag)),
        ("default", 33, Form::Own(default)),
        ("description", 34, Form::Text),
        ("format", 35, Form::Text),
    ],
    extensions: 36,
    finish: plain,
};

/// The protobuf form of a document of [`super::v3`].
pub fn v3_protobuf(document: &Value) -> Vec<u8> {
    object(&DOCUMENT, document)
}

/// What could be a reference instead.
fn or_reference(members: &Map<String, Value>, bytes: Vec<u8>) -> Vec<u8> {
    match members.get("$ref").and_then(Value::as_str) {
        Some(reference) => within(2, &within(1, reference.as_bytes())),
        None => within(1, &bytes),
    }
}

fn schema_or_flag(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value.as_bool() {
        Some(flag) => put_varint(2, flag.into(), &mut out),
        None => put_bytes(1, &object(&SCHEMA_OR_REFERENCE, value), &mut out),
    }
    out
}

/// A plain value; of others there is only that they are there.
fn default(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Number(number) => put_double(1, number.as_f64().unwrap_or_default(), &mut out),
        Value::Bool(flag) => put_varint(2, (*flag).into(), &mut out),
        Value::String(text) => put_bytes(3, text.as_bytes(), &mut out),
        _ => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_have_gnostics_form() {
        // The same encoding makes of upstream's documents the bytes that upstream makes of them.
        let check = |document: Value, expected: &str| {
            let bytes = v3_protobuf(&document);
            let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, expected, "{document}");
        };
        check(
            json!({"openapi": "3.0.0", "info": {"title": "a", "version": "b"}}),
            "0a05332e302e3012060a0161320162",
        );
        let schema = json!({
            "type": "object", "default": 1, "items": {"$ref": "r"}, "additionalProperties": true, "x-y": 1,
        });
        check(
            json!({"components": {"schemas": {"d": schema}}}),
            "2a3d0a3b0a390a016412340a32ca01066f626a656374f201070a0512030a017282020210018a020909000000000000f03fa2020b0a03782d\
             7912041202310a",
        );
        let parameter = json!({"name": "n", "in": "query", "schema": {"type": "t"}});
        let answer = json!({"description": "OK", "content": {"c": {"schema": {"$ref": "r"}}}});
        check(
            json!({"paths": {"/": {"get": {"parameters": [parameter], "responses": {"200": answer}}}}}),
            "22400a3e0a012f1239223732140a120a016e1205717565727952060a04ca010174421f121d0a0332303012160a140a024f4b1a0e0a0c0a016312\
             070a0512030a0172",
        );
    }
}
