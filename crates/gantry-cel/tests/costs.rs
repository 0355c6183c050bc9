//! What expressions cost: estimated by the schema, and counted.

use gantry_cel::{Decl, Env, Value, limits};
use serde_json::json;

#[test]
fn estimated_and_counted() {
    let schema = json!({
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
    });
    let object = json!({"replicas": 3, "ratio": 2, "name": "abc", "on": true, "port": "80%", "since": "2020-01-02T03:04:05Z", "day": "2020-01-02", "timeout": "1h", "data": "YWJj", "none": null, "set": ["a", "b"], "set2": ["b", "a"], "map": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "maps": [[{"k": "a", "v": 1}, {"k": "b", "v": 2}], [{"k": "b", "v": 2}, {"k": "a", "v": 1}], [{"k": "b", "v": 2}, {"k": "a", "v": 2}]], "list": [1, 2, 3], "labels": {"x": "y"}, "nulls": {"a": null}, "a-b.c/d__e": 5, "namespace": "ns", "free": {"deep": 1}, "any": {"x": 1}, "kind": "A", "items": [{"tags": ["t"]}]});
    let decl = Decl::of_schema(&schema, false);
    let env = Env::default().declared("self", &decl, "selfType");
    let check = |expression: &str, min: u64, max: u64, counted: u64| {
        let program = env
            .compile_any(expression)
            .unwrap_or_else(|e| panic!("{expression}: {e}"));
        let cost = program.estimated_cost();
        let outcome = program.eval([Value::declared(&object, &decl)], limits::PER_CALL);
        assert_eq!(
            (cost.min, cost.max, outcome.cost),
            (min, max, counted),
            "{expression}"
        );
    };
    check("true", 0, 0, 0);
    check("self.replicas == 3", 2, 2, 3);
    check(r#"self.name == "abc""#, 3, 3, 3);
    check(r#"self.name.startsWith("a")"#, 3, 3, 3);
    check(r#"self.name.contains("bc")"#, 2, 10, 3);
    check(r#"self.name.matches("^[a-z]+$")"#, 4, 20, 4);
    check("has(self.name)", 1, 1, 1);
    check("self.labels.x", 3, 3, 3);
    check("self.list.all(x, x > 0)", 3, 53, 18);
    check("self.list.exists(x, x == 3)", 3, 53, 21);
    check("self.list.map(x, x * 2)", 13, 153, 45);
    check("self.list.filter(x, x > 1).size()", 14, 164, 36);
    check(
        "self.set.all(x, self.set.exists(y, y == x))",
        3,
        345882608640773328,
        39,
    );
    check(
        "self.items.all(i, i.tags.all(t, t.size() > 0))",
        3,
        6597063475203,
        15,
    );
    check(r#"self.labels.all(k, k != "")"#, 3, 1572863, 7);
    check("self.name + self.name", 4, 20, 5);
    check(r#"self.kind in ["A", "B"]"#, 14, 14, 2);
    check(r#"self.kind in ["A", self.name]"#, 16, 16, 16);
    check("[1, 2, 3]", 10, 10, 0);
    check("[self.replicas]", 12, 12, 12);
    check(r#"{"a": self.replicas}"#, 32, 32, 32);
    check("self.replicas > 1 ? self.name : self.kind", 5, 5, 4);
    check(r#"self.name.replace("a", "bb")"#, 2, 18, 3);
    check(r#"self.name.split(",")"#, 2, 18, 3);
    check(r#"self.set.join(",")"#, 2, 329853068905, 3);
    check("self.list.sum()", 2, 12, 5);
    check("self.list.sort()", 13, 213, 31);
    check(r#"self.name.find("a+")"#, 3, 11, 3);
    check("self.set == self.set2", 5, 104862, 5);
    check("self.maps[0] == self.maps[1]", 7, 104864, 7);
    check(r#"quantity("1Gi") == quantity("1Gi")"#, 3, 3, 3);
    check(r#"cidr("10.0.0.0/8").containsIP("10.0.0.1")"#, 3, 6, 3);
    check(r#"sets.contains(self.set, ["a"])"#, 13, 1048588, 5);
    check("lists.range(5)", 16, 16, 16);
    check("self.list.map(x, x).map(y, y + 1)", 24, 294, 85);
    check("dyn(self.replicas) == 1", 3, 3, 4);
    check(r#"self.?name.orValue("x")"#, 3, 3, 2);
    check(r#"self.since > timestamp("2020-01-01T00:00:00Z")"#, 4, 4, 3);
    check("self.list[0] == 1", 3, 3, 4);
    check("format.uuid().validate(self.name).hasValue()", 4, 260, 22);
    check("self.name.format([1])", 12, 20, 3);
}

#[test]
fn an_evaluation_ends_when_it_has_cost_too_much() {
    let program = Env::default()
        .compile_any("lists.range(1000).all(x, x >= 0)")
        .expect("it is right");
    let check = |limit: u64, cost: u64, over: bool| {
        let outcome = program.eval([], limit);
        let ended = outcome.result.as_ref().is_err_and(|e| e.is_over_budget());
        assert_eq!((outcome.cost, ended), (cost, over), "{limit}");
    };
    let whole = program.eval([], limits::PER_CALL).cost;
    check(whole, whole, false);
    check(whole - 1, whole, true);
    check(2000, 2001, true);
    check(10, 1011, true);
    let outcome = program.eval([], 10);
    let message = "operation cancelled: actual cost limit exceeded";
    assert_eq!(
        outcome.result.map_err(|e| e.to_string()).err().as_deref(),
        Some(message)
    );
}
