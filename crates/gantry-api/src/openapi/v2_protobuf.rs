//! OpenAPI 2.0 documents in protobuf, which kubectl reads to check objects that it takes apart itself, such as lists.
//!
//! Source: OpenAPIv2.proto of gnostic-models. What a document of ours never holds is left out of the tables.

use super::gnostic::{self, Form, Table, object, plain, texts, within};
use crate::protobuf::wire::{put_bytes, put_varint};
use serde_json::{Map, Value};

static DOCUMENT: Table = Table {
    members: &[
        ("swagger", 1, Form::Text),
        ("info", 2, Form::Object(&INFO)),
        ("paths", 8, Form::Members(2, &PATH)),
        ("definitions", 9, Form::Members(1, &SCHEMA)),
        ("parameters", 10, Form::Members(1, &PARAMETER)),
        ("security", 12, Form::Objects(&REQUIREMENT)),
        ("securityDefinitions", 13, Form::Members(1, &SECURITY)),
    ],
    extensions: 16,
    finish: plain,
};

static INFO: Table = Table {
    members: &[("title", 1, Form::Text), ("version", 2, Form::Text)],
    extensions: 7,
    finish: plain,
};

static PATH: Table = Table {
    members: &[
        ("get", 2, Form::Object(&OPERATION)),
        ("put", 3, Form::Object(&OPERATION)),
        ("post", 4, Form::Object(&OPERATION)),
        ("delete", 5, Form::Object(&OPERATION)),
        ("options", 6, Form::Object(&OPERATION)),
        ("head", 7, Form::Object(&OPERATION)),
        ("patch", 8, Form::Object(&OPERATION)),
        ("parameters", 9, Form::Objects(&PARAMETER_OR_REFERENCE)),
    ],
    extensions: 10,
    finish: plain,
};

static OPERATION: Table = Table {
    members: &[
        ("tags", 1, Form::Texts),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("produces", 6, Form::Texts),
        ("consumes", 7, Form::Texts),
        ("parameters", 8, Form::Objects(&PARAMETER_OR_REFERENCE)),
        ("responses", 9, Form::Members(1, &RESPONSE)),
        ("schemes", 10, Form::Texts),
    ],
    extensions: 13,
    finish: plain,
};

static RESPONSE: Table = Table {
    members: &[
        ("description", 1, Form::Text),
        // A schema, where there could be a file.
        (
            "schema",
            2,
            Form::Own(|schema| within(1, &object(&SCHEMA, schema))),
        ),
    ],
    extensions: 5,
    // A response, where there could be a reference.
    finish: |_, bytes| within(1, &bytes),
};

static PARAMETER: Table = Table {
    members: &[],
    extensions: 0,
    finish: |parameter, _| self::parameter(parameter),
};

static PARAMETER_OR_REFERENCE: Table = Table {
    members: &[],
    extensions: 0,
    finish: |parameter, _| match parameter.get("$ref").and_then(Value::as_str) {
        Some(reference) => within(2, &within(1, reference.as_bytes())),
        None => within(1, &self::parameter(parameter)),
    },
};

static BODY: Table = Table {
    members: &[
        ("description", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("required", 4, Form::Flag),
        ("schema", 5, Form::Object(&SCHEMA)),
    ],
    extensions: 6,
    finish: plain,
};

static IN_QUERY: Table = Table {
    members: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 6, Form::Text),
        ("uniqueItems", 20, Form::Flag),
    ],
    extensions: 23,
    finish: plain,
};

static IN_PATH: Table = Table {
    members: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 5, Form::Text),
        ("uniqueItems", 19, Form::Flag),
    ],
    extensions: 22,
    finish: plain,
};

static SCHEMA: Table = Table {
    members: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("title", 3, Form::Text),
        ("description", 4, Form::Text),
        ("default", 5, Form::Any),
        ("multipleOf", 6, Form::Double),
        ("maximum", 7, Form::Double),
        ("exclusiveMaximum", 8, Form::Flag),
        ("minimum", 9, Form::Double),
        ("exclusiveMinimum", 10, Form::Flag),
        ("maxLength", 11, Form::Integer),
        ("minLength", 12, Form::Integer),
        ("pattern", 13, Form::Text),
        ("maxItems", 14, Form::Integer),
        ("minItems", 15, Form::Integer),
        ("uniqueItems", 16, Form::Flag),
        ("maxProperties", 17, Form::Integer),
        ("minProperties", 18, Form::Integer),
        ("required", 19, Form::Texts),
        ("enum", 20, Form::Anys),
        ("additionalProperties", 21, Form::Own(schema_or_flag)),
        ("type", 22, Form::Own(|type_| texts(1, type_))),
        ("items", 23, Form::Own(|item| within(1, &object(&SCHEMA, item)))),
        ("allOf", 24, Form::Objects(&SCHEMA)),
        ("properties", 25, Form::Members(1, &SCHEMA)),
        ("example", 30, Form::Any),
    ],
    extensions: 31,
    finish: plain,
};

/// Each member is a name and a list of texts.
static REQUIREMENT: Table = Table {
    members: &[],
    extensions: 0,
    finish: |requirement, _| {
        let named = |(name, scopes): (&String, &Value)| within(1, &gnostic::named(name, &texts(1, scopes)));
        requirement.iter().flat_map(named).collect()
    },
};

static SECURITY: Table = Table {
    members: &[
        ("type", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("description", 4, Form::Text),
    ],
    extensions: 5,
    // A key, one of the sorts that there are.
    finish: |_, bytes| within(2, &bytes),
};

/// The protobuf form of a document of [`super::v2`].
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    object(&DOCUMENT, document)
}

fn schema_or_flag(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value.as_bool() {
        Some(flag) => put_varint(2, flag.into(), &mut out),
        None => put_bytes(1, &object(&SCHEMA, value), &mut out),
    }
    out
}

/// The message depends on where the parameter is.
fn parameter(members: &Map<String, Value>) -> Vec<u8> {
    let value = Value::Object(members.clone());
    match members.get("in").and_then(Value::as_str) {
        Some("body") => within(1, &object(&BODY, &value)),
        Some("path") => within(2, &within(4, &object(&IN_PATH, &value))),
        _ => within(2, &within(3, &object(&IN_QUERY, &value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_have_gnostics_form() {
        // What protoc makes of the same documents.
        let check = |document: Value, expected: &str| {
            let bytes = v2_protobuf(&document);
            let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, expected, "{document}");
        };
        check(
            json!({"swagger": "2.0", "info": {"title": "a", "version": "b"}}),
            "0a03322e3012060a0161120162",
        );
        let schema = |schema: Value| json!({"definitions": {"d": schema}});
        check(
            schema(json!({"type": "object", "description": "e", "uniqueItems": true, "minimum": 1})),
            "4a210a1f0a0164121a22016549000000000000f03f800101b201080a066f626a656374",
        );
        check(
            schema(json!({"items": {"$ref": "r"}, "x-y": 1})),
            "4a1d0a1b0a01641216ba01050a030a0172fa010b0a03782d7912041202310a",
        );
        check(
            schema(json!({"additionalProperties": true, "enum": ["s"]})),
            "4a150a130a0164120ea2010612042273220aaa01021001",
        );
        let query = json!({"in": "query", "name": "q", "type": "string"});
        check(
            json!({"parameters": {"p": query}}),
            "521d0a1b0a0170121612141a12120571756572792201713206737472696e67",
        );
        check(
            json!({"security": [{"k": []}], "securityDefinitions": {"k": {"type": "apiKey"}}}),
            "62070a050a016b12006a110a0f0a016b120a12080a066170694b6579",
        );
        let get = json!({"parameters": [{"$ref": "r"}], "responses": {"200": {"schema": {"type": "t"}}}});
        check(
            json!({"paths": {"/": {"get": get}}}),
            "422712250a012f1220121e420512030a01724a150a130a03323030120c0a0a12080a06b201030a0174",
        );
    }
}
