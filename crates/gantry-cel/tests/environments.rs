//! What only some environments have: objects and patches that expressions make, names for parts of expressions, types
//! with names of their own.

use gantry_cel::{CompileError, Decl, Env, Type, limits};

fn check_in(env: &Env, expression: &str, expected: &str) {
    let found = match env.compile_any(expression) {
        Ok(program) => match program.eval([], limits::PER_CALL).result {
            Ok(value) => value.type_name().to_string(),
            Err(e) => format!("error: {e}"),
        },
        Err(CompileError::Issues(issues)) => issues.list[0].message.clone(),
        Err(e) => e.to_string(),
    };
    assert_eq!(found, expected, "{expression}");
}

#[test]
fn mutation() {
    let env = Env::default().with_mutation();
    let check = |expression: &str, expected: &str| check_in(&env, expression, expected);
    check("Object{spec: Object.spec{replicas: 3}}", "Object");
    check("Object.spec{?a: optional.none()}", "Object.spec");
    check(
        "Object{a: 1} == Object{a: 1} ? 1 : 'x'",
        "found no matching overload for '_?_:_' applied to '(bool, int, string)'",
    );
    check("Object{a: 1} == Object{a: 1}", "bool");
    check("JSONPatch{op: 'add', path: '/a', value: [1]}.path", "string");
    check("jsonpatch.escapeKey('a/b')", "string");
    check(
        "JSONPatch{op: 1}",
        "expected type of field 'op' is 'string' but provided type is 'int'",
    );
    check(
        "JSONPatch{ops: 'add'}",
        "expected type of field 'ops' is '' but provided type is 'string'",
    );
    check("string{a: 1}", "'string' is not a message type");
}

#[test]
fn without_mutation() {
    let check = |expression: &str, expected: &str| check_in(&Env::default(), expression, expected);
    check("Object{}", "undeclared reference to 'Object' (in container '')");
    check(
        "jsonpatch.escapeKey('a')",
        "undeclared reference to 'jsonpatch' (in container '')",
    );
    check(
        "cel.bind(a, 1, a)",
        "undeclared reference to 'cel' (in container '')",
    );
}

#[test]
fn binding() {
    let env = Env::default().with_bind();
    let check = |expression: &str, expected: &str| check_in(&env, expression, expected);
    check("cel.bind(a, 1, a + a)", "int");
    check(
        "cel.bind('a', 1, 2)",
        "cel.bind() variable names must be simple identifiers",
    );
}

#[test]
fn named_types() {
    let text = || Decl::of_type(Type::String, 63);
    let anything = Decl::of_type(Type::Any, 64);
    let device = Decl::named(
        "kubernetes.Device",
        [
            ("driver", text()),
            (
                "attributes",
                Decl::map(text(), Decl::map(text(), anything, 32), 32),
            ),
        ],
    );
    let env = Env::default().declared("device", &device, "device");
    let check = |expression: &str, expected: &str| check_in(&env, expression, expected);
    check(
        "device == 1",
        "found no matching overload for '_==_' applied to '(kubernetes.Device, int)'",
    );
    check(
        "device.attributes['a'].b.all(x, true)",
        "expression of type 'any' cannot be range of a comprehension (must be list, map, or dynamic)",
    );
    let most = |expression: &str| {
        env.compile_any(expression)
            .expect("it compiles")
            .estimated_cost()
            .max
    };
    // What is declared bounds it.
    for expression in [
        "device.driver.contains('a')",
        "device.attributes['a'].b.contains('a')",
        "device.attributes.all(k, k.contains('a'))",
    ] {
        assert!(most(expression) < 2000, "{expression}");
    }
}
