//! Data read as a schema declares it.

use gantry_cel::{CompileError, Decl, Env, Value, limits};
use serde_json::{Value as Json, json};

fn schema() -> Json {
    json!({
     "type": "object",
     "properties": {
      "replicas": {
       "type": "integer"
      },
      "ratio": {
       "type": "number"
      },
      "name": {
       "type": "string",
       "maxLength": 20
      },
      "on": {
       "type": "boolean"
      },
      "port": {
       "x-kubernetes-int-or-string": true
      },
      "since": {
       "type": "string",
       "format": "date-time"
      },
      "day": {
       "type": "string",
       "format": "date"
      },
      "timeout": {
       "type": "string",
       "format": "duration"
      },
      "data": {
       "type": "string",
       "format": "byte"
      },
      "none": {
       "type": "string",
       "nullable": true
      },
      "set": {
       "type": "array",
       "items": {
        "type": "string"
       },
       "x-kubernetes-list-type": "set"
      },
      "set2": {
       "type": "array",
       "items": {
        "type": "string"
       },
       "x-kubernetes-list-type": "set"
      },
      "map": {
       "type": "array",
       "items": {
        "type": "object",
        "properties": {
         "k": {
          "type": "string"
         },
         "v": {
          "type": "integer"
         }
        }
       },
       "x-kubernetes-list-type": "map",
       "x-kubernetes-list-map-keys": [
        "k"
       ]
      },
      "maps": {
       "type": "array",
       "items": {
        "type": "array",
        "items": {
         "type": "object",
         "properties": {
          "k": {
           "type": "string"
          },
          "v": {
           "type": "integer"
          }
         }
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [
         "k"
        ]
       }
      },
      "list": {
       "type": "array",
       "items": {
        "type": "integer"
       },
       "maxItems": 10
      },
      "labels": {
       "type": "object",
       "additionalProperties": {
        "type": "string"
       }
      },
      "nulls": {
       "type": "object",
       "additionalProperties": {
        "type": "string"
       }
      },
      "a-b.c/d__e": {
       "type": "integer"
      },
      "namespace": {
       "type": "string"
      },
      "free": {
       "type": "object",
       "x-kubernetes-preserve-unknown-fields": true
      },
      "any": {
       "x-kubernetes-preserve-unknown-fields": true
      },
      "kind": {
       "type": "string",
       "enum": [
        "A",
        "BB"
       ]
      },
      "items": {
       "type": "array",
       "items": {
        "type": "object",
        "properties": {
         "tags": {
          "type": "array",
          "items": {
           "type": "string"
          }
         }
        }
       }
      }
     }
    })
}

fn object() -> Json {
    json!({"replicas": 3, "ratio": 2, "name": "abc", "on": true, "port": "80%", "since": "2020-01-02T03:04:05Z", "day": "2020-01-02", "timeout": "1h", "data": "YWJj", "none": null, "set": ["a", "b"], "set2": ["b", "a"], "map": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "maps": [[{"k": "a", "v": 1}, {"k": "b", "v": 2}], [{"k": "b", "v": 2}, {"k": "a", "v": 1}], [{"k": "b", "v": 2}, {"k": "a", "v": 2}]], "list": [1, 2, 3], "labels": {"x": "y"}, "nulls": {"a": null}, "a-b.c/d__e": 5, "namespace": "ns", "free": {"deep": 1}, "any": {"x": 1}, "kind": "A", "items": [{"tags": ["t"]}]})
}

#[test]
fn fields_of_a_declared_object() {
    let decl = Decl::of_schema(&schema(), false);
    let object = object();
    let env = Env::default()
        .declared("self", &decl, "selfType")
        .declared("oldSelf", &decl, "selfType");
    let check = |expression: &str, expected: &str| {
        let found = match env.compile_any(expression) {
            Ok(program) => {
                let result = program
                    .eval([Value::declared(&object, &decl)], limits::PER_CALL)
                    .result;
                result.map_or_else(|e| format!("error: {e}"), |v| v.to_string())
            }
            Err(CompileError::Unusable(why)) => format!("unusable: {why}"),
            Err(e) => e.to_string(),
        };
        assert_eq!(found, expected, "{expression}");
    };
    check("self.replicas + 1", "4");
    check("self.ratio", "2");
    check("self.name", "abc");
    check("self.port", "80%");
    check("type(self.port) == string", "true");
    check("self.since.getFullYear()", "2020");
    check("self.day", "2020-01-02T00:00:00Z");
    check(r#"self.timeout == duration("60m")"#, "true");
    check("self.data", "[97 98 99]");
    check("has(self.none)", "false");
    check(
        "self.none == null",
        r#"ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(string, null)'
 | self.none == null
 | ..........^"#,
    );
    check("self.set == self.set2", "true");
    check(r#"self.set == ["b", "a"]"#, "true");
    check(r#"self.set + ["c", "a"]"#, "[a, b, c]");
    check("self.maps[0] == self.maps[1]", "true");
    check("self.maps[0] == self.maps[2]", "false");
    check(
        r#"self.map + [{"k": "a", "v": 9}]"#,
        r#"ERROR: <input>:1:10: found no matching overload for '_+_' applied to '(list(selfType.map.@idx), list(map(string, dyn)))'
 | self.map + [{"k": "a", "v": 9}]
 | .........^"#,
    );
    check("self.list + [4]", "[1, 2, 3, 4]");
    check("self.list == [1, 2, 3]", "true");
    check("self.labels.x", "y");
    check(r#"self.labels["z"]"#, "error: no such key: z");
    check("has(self.labels.z)", "false");
    check(
        "self.nulls.a",
        "error: invalid data, got null for schema with nullable=false",
    );
    check("self.a__dash__b__dot__c__slash__d__underscores__e", "5");
    check("self.namespace", "ns");
    check("self.__namespace__", "ns");
    check(
        "self.free.deep",
        r#"ERROR: <input>:1:10: undefined field 'deep'
 | self.free.deep
 | .........^"#,
    );
    check(
        "self.any",
        r#"ERROR: <input>:1:5: undefined field 'any'
 | self.any
 | ....^"#,
    );
    check(
        "self.missing",
        r#"ERROR: <input>:1:5: undefined field 'missing'
 | self.missing
 | ....^"#,
    );
    check(r#"self.?name.orValue("x")"#, "abc");
    check("self.replicas in self.list", "true");
    check("self.list.sum()", "6");
    check(
        "self == self",
        "error: invalid data, got null for schema with nullable=false",
    );
    check(r#"self.map.exists(m, m.k == "b" && m.v == 2)"#, "true");
    check(r#"self.labels.all(k, v, k == "x" && v == "y")"#, "true");
    check("self.list[3]", "error: index out of bounds: 3");
    check(r#"self.labels == {"x": "y"}"#, "true");
    check(
        r#""name" in self"#,
        r#"ERROR: <input>:1:8: found no matching overload for '@in' applied to '(string, selfType)'
 | "name" in self
 | .......^"#,
    );
    check("oldSelf.replicas", "error: no such attribute(s): oldSelf");
}

#[test]
fn what_was_before_may_be_absent() {
    let decl = Decl::of_schema(&schema(), false);
    let object = object();
    let env = Env::default()
        .declared("self", &decl, "selfType")
        .declared_optional("oldSelf", &decl, "selfType");
    let check = |expression: &str, without: &str, with: &str| {
        let program = env
            .compile_any(expression)
            .unwrap_or_else(|e| panic!("{expression}: {e}"));
        let eval = |old: Value<'_>| {
            let outcome = program.eval([Value::declared(&object, &decl), Ok(old)], limits::PER_CALL);
            outcome
                .result
                .map_or_else(|e| format!("error: {e}"), |v| v.to_string())
        };
        let old = Value::declared(&object, &decl)
            .map(Value::some)
            .expect("it is an object");
        assert_eq!(
            (eval(Value::NONE), eval(old)),
            (without.to_string(), with.to_string()),
            "{expression}"
        );
        assert!(program.uses("oldSelf"), "{expression}");
    };
    check("oldSelf.hasValue()", "false", "true");
    check("oldSelf.?replicas.orValue(0) < self.replicas", "true", "false");
    check("has(oldSelf.name)", "false", "true");
    check("oldSelf.?labels.x", "optional.none()", "optional(y)");
    check("oldSelf.orValue(self).replicas", "3", "3");
    check("oldSelf.optMap(o, o.replicas).orValue(-1)", "-1", "3");
}
