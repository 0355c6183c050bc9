//! Values, operators and macros: what expressions yield.

use gantry_cel::{CompileError, Env, limits};

/// Evaluates an expression without variables; the value or the error is as messages show it.
fn check(expression: &str, expected: &str) {
    let found = match Env::default().compile_any(expression) {
        Ok(program) => match program.eval([], limits::PER_CALL).result {
            Ok(value) => value.to_string(),
            Err(e) => format!("error: {e}"),
        },
        Err(CompileError::Unusable(why)) => format!("unusable: {why}"),
        Err(e) => e.to_string(),
    };
    assert_eq!(found, expected, "{expression}");
}

#[test]
fn numbers() {
    check("7 / 2", "3");
    check("-7 / 2", "-3");
    check("-7 % 3", "-1");
    check("7u - 2u", "5");
    check("2u - 7u", "error: unsigned integer overflow");
    check("1 / 0", "error: division by zero");
    check("1 % 0", "error: modulus by zero");
    check("9223372036854775807 + 1", "error: integer overflow");
    check("-(-9223372036854775807 - 1)", "error: integer overflow");
    check("1.0 / 0.0", "+Inf");
    check("0x1F", "31");
    check("1e3", "1000");
    check(
        "1 == 1.0",
        r#"ERROR: <input>:1:3: found no matching overload for '_==_' applied to '(int, double)'
 | 1 == 1.0
 | ..^"#,
    );
    check("dyn(1) == dyn(1.0)", "true");
    check("dyn(1u) < dyn(2.5)", "true");
    check(r#"double("NaN") == double("NaN")"#, "false");
    check(r#"double("NaN") < 1.0"#, "error: NaN values cannot be ordered");
    check("-0.0", "-0");
    check("--5", "5");
}

#[test]
fn texts() {
    check("'a' + 'b'", "ab");
    check(r#"'\u00e9\x41\101\n'.size()"#, "4");
    check(r#"r'\n'.size()"#, "2");
    check("'''x'y'''", "x'y");
    check("b'abc'", "[97 98 99]");
    check("'é'.size()", "1");
    check("size(bytes('é'))", "2");
    check("'a' < 'b'", "true");
    check(
        r#"string(b'\xff')"#,
        "unusable: invalid UTF-8 in bytes, cannot convert to string",
    );
}

#[test]
fn logic() {
    check("1 / 0 > 0 || true", "true");
    check("1 / 0 > 0 && false", "false");
    check("1 / 0 > 0 || false", "error: division by zero");
    check("dyn(1) || true", "true");
    check("true && dyn(1)", "error: no such overload");
    check("false ? 1 / 0 : 2", "2");
    check("!true", "false");
    check("dyn(1) ? 1 : 2", "error: no such overload");
}

#[test]
fn conversions() {
    check("int('12')", "12");
    check(
        "int('x')",
        "unusable: type conversion error from 'string' to 'int'",
    );
    check("int(1e30)", "unusable: integer overflow");
    check("uint(-1)", "unusable: unsigned integer overflow");
    check("double('1.5')", "1.5");
    check("double('0x1p-2')", "0.25");
    check("string(1e6)", "1e+06");
    check("string(123456.5)", "123456.5");
    check("bool('T')", "true");
    check(
        "bool('yes')",
        "unusable: type conversion error from 'string' to 'bool'",
    );
    check("type(1) == int", "true");
    check("type([]) == list", "true");
    check("type(duration('1s')) == google.protobuf.Duration", "true");
    check("int(timestamp('1970-01-01T00:01:00Z'))", "60");
}

#[test]
fn times() {
    check("duration('1h30m')", "5400s");
    check("string(duration('1h1.5s'))", "3601.5s");
    check(
        "duration('1d')",
        r#"ERROR: <input>:1:10: invalid duration argument
 | duration('1d')
 | .........^"#,
    );
    check(
        "timestamp('2020-02-30T00:00:00Z')",
        r#"ERROR: <input>:1:11: invalid timestamp argument
 | timestamp('2020-02-30T00:00:00Z')
 | ..........^"#,
    );
    check(
        "timestamp('2020-01-01T00:00:00Z') + duration('24h')",
        "2020-01-02T00:00:00Z",
    );
    check(
        "timestamp('9999-12-31T23:59:59Z') + duration('1s')",
        "error: timestamp overflow",
    );
    check(
        "timestamp('2020-03-01T00:00:00Z') - timestamp('2020-02-28T00:00:00Z')",
        "172800s",
    );
    check("timestamp('2020-12-31T23:59:59.5Z').getDayOfYear()", "365");
    check("timestamp('2020-12-31T23:59:59.5Z').getMilliseconds()", "500");
    check("timestamp('2021-01-01T00:30:00Z').getFullYear('-01:00')", "2020");
    check(
        "timestamp('2020-01-01T00:00:00Z').getHours('Nowhere')",
        "error: unknown time zone Nowhere",
    );
    check(
        "string(timestamp('2020-01-01T00:00:00+02:00'))",
        "2020-01-01T00:00:00+02:00",
    );
    check("timestamp('2024-02-29T12:00:00Z').getDayOfWeek()", "4");
    check("duration('90m').getHours()", "1");
}

#[test]
fn lists_and_maps() {
    check("[1, 2][1]", "2");
    check("[1, 2][2]", "error: index out of bounds: 2");
    check("[1, 2][dyn(1.0)]", "2");
    check("[1][dyn('a')]", "error: unsupported index type 'string' in list");
    check("{'a': 1}['b']", "error: no such key: b");
    check("{'a': 1}.a", "1");
    check("{1: 'a'}[dyn(1u)]", "a");
    check("2 in [1, 2]", "true");
    check("'a' in {'a': 1}", "true");
    check("[1] + [2]", "[1, 2]");
    check("[1, 2] == [1, 2]", "true");
    check("{'a': [1]} == {'a': [1]}", "true");
    check("[dyn(1)] == [dyn(1.0)]", "true");
    check("{'a': 1, 'a': 2}", "{a: 2}");
    check("dyn([1]) < dyn([2])", "error: no such overload: _<_");
    check("null == null", "true");
    check("dyn(null) == 1", "false");
}

#[test]
fn macros() {
    check("[1, 2, 3].all(x, x > 0)", "true");
    check("[0, 1].all(x, 1 / x == 1)", "error: division by zero");
    check("[0, 1].exists(x, 1 / x == 1)", "true");
    check("[1, 1].exists_one(x, x == 1)", "false");
    check("[1, 2, 3].map(x, x * x)", "[1, 4, 9]");
    check("[1, 2, 3].map(x, x > 1, x * x)", "[4, 9]");
    check("[1, 2, 3].filter(x, x != 2)", "[1, 3]");
    check(r#"[1, 2].map(x, "a")"#, "[a, a]");
    check("[1, 0].map(x, 1 / x)", "error: division by zero");
    check("{'a': 1, 'b': 2}.map(k, k)", "[a, b]");
    check("[[1, 2], [3]].map(l, l.map(x, x + 1))", "[[2, 3], [4]]");
    check("[5, 6].all(i, v, v == i + 5)", "true");
    check("{'a': 1}.transformMap(k, v, v + 1)", "{a: 2}");
    check(
        "{'a': 1, 'b': 1}.transformMapEntry(k, v, {v: k})",
        "error: insert failed: key 1 already exists",
    );
    check("[1, 2, 3].transformList(i, v, i > 0, v * 10)", "[20, 30]");
    check("has({'a': 1}.a) && !has({'a': 1}.b)", "true");
    check(
        "has({'a': 1}.b.c)",
        r#"ERROR: <input>:1:4: type 'int' does not support field selection
 | has({'a': 1}.b.c)
 | ...^"#,
    );
    check(
        "dyn(1).map(x, x)",
        "error: got 'types.Int', expected iterable type",
    );
}

#[test]
fn optional_values() {
    check("optional.of(1)", "optional(1)");
    check("optional.none().value()", "error: optional.none() dereference");
    check("{'a': 1}.?a", "optional(1)");
    check("{'a': 1}.?b.orValue(7)", "7");
    check("{'a': {'b': 2}}.?a.b", "optional(2)");
    check("[1, 2][?5]", "optional.none()");
    check("optional.of(1).or(optional.none())", "optional(1)");
    check("optional.of(2).optMap(x, x * 2)", "optional(4)");
    check("optional.of({'a': 1}).optFlatMap(m, m.?b)", "optional.none()");
    check("[?optional.of(1), ?optional.none()]", "[1]");
    check("{?'a': optional.none()}", "{}");
    check(
        "[?1]",
        r#"ERROR: <input>:1:3: expected type 'optional_type(int)' but found 'int'
 | [?1]
 | ..^"#,
    );
    check("optional.ofNonZeroValue(0)", "optional.none()");
    check("[optional.of(1), optional.none()].unwrapOpt()", "[1]");
    check("[1, 2].last()", "optional(2)");
    check("[].first()", "optional.none()");
}
