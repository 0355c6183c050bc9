//! What is said of expressions that are wrong: in the words, and at the places, of upstream.

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
fn names() {
    check(
        "x",
        r#"ERROR: <input>:1:1: undeclared reference to 'x' (in container '')
 | x
 | ^"#,
    );
    check(
        "a.b.c",
        r#"ERROR: <input>:1:1: undeclared reference to 'a' (in container '')
 | a.b.c
 | ^"#,
    );
    check(
        "foo(1)",
        r#"ERROR: <input>:1:4: undeclared reference to 'foo' (in container '')
 | foo(1)
 | ...^"#,
    );
    check(
        "'a'.foo()",
        r#"ERROR: <input>:1:8: undeclared reference to 'foo' (in container '')
 | 'a'.foo()
 | .......^"#,
    );
    check(
        "[1].all(x, y)",
        r#"ERROR: <input>:1:12: undeclared reference to 'y' (in container '')
 | [1].all(x, y)
 | ...........^"#,
    );
    check(
        "math.greatest(1, 2)",
        r#"ERROR: <input>:1:1: undeclared reference to 'math' (in container '')
 | math.greatest(1, 2)
 | ^
ERROR: <input>:1:14: undeclared reference to 'greatest' (in container '')
 | math.greatest(1, 2)
 | .............^"#,
    );
    check(
        "cel.bind(x, 1, x)",
        r#"ERROR: <input>:1:1: undeclared reference to 'cel' (in container '')
 | cel.bind(x, 1, x)
 | ^
ERROR: <input>:1:9: undeclared reference to 'bind' (in container '')
 | cel.bind(x, 1, x)
 | ........^
ERROR: <input>:1:10: undeclared reference to 'x' (in container '')
 | cel.bind(x, 1, x)
 | .........^
ERROR: <input>:1:16: undeclared reference to 'x' (in container '')
 | cel.bind(x, 1, x)
 | ...............^"#,
    );
    check(
        "Foo{}",
        r#"ERROR: <input>:1:4: undeclared reference to 'Foo' (in container '')
 | Foo{}
 | ...^"#,
    );
    check(
        "int{}",
        r#"ERROR: <input>:1:4: 'int' is not a message type
 | int{}
 | ...^"#,
    );
    check(
        "package",
        r#"ERROR: <input>:1:1: reserved identifier: package
 | package
 | ^"#,
    );
    check(
        "a.namespace",
        r#"ERROR: <input>:1:1: undeclared reference to 'a' (in container '')
 | a.namespace
 | ^"#,
    );
    check(
        r#"{"a": 1}.all(k, v, w, true)"#,
        r#"ERROR: <input>:1:13: undeclared reference to 'all' (in container '')
 | {"a": 1}.all(k, v, w, true)
 | ............^
ERROR: <input>:1:14: undeclared reference to 'k' (in container '')
 | {"a": 1}.all(k, v, w, true)
 | .............^
ERROR: <input>:1:17: undeclared reference to 'v' (in container '')
 | {"a": 1}.all(k, v, w, true)
 | ................^
ERROR: <input>:1:20: undeclared reference to 'w' (in container '')
 | {"a": 1}.all(k, v, w, true)
 | ...................^"#,
    );
}

#[test]
fn types() {
    check(
        "1 + 'a'",
        r#"ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'
 | 1 + 'a'
 | ..^"#,
    );
    check(
        "1 + 1.0",
        r#"ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, double)'
 | 1 + 1.0
 | ..^"#,
    );
    check(
        "[1, 'a']",
        r#"ERROR: <input>:1:5: expected type 'int' but found 'string'
 | [1, 'a']
 | ....^"#,
    );
    check(
        "{'a': 1, 'b': 'c'}",
        r#"ERROR: <input>:1:15: expected type 'int' but found 'string'
 | {'a': 1, 'b': 'c'}
 | ..............^"#,
    );
    check(
        "1 ? 2 : 3",
        r#"ERROR: <input>:1:3: found no matching overload for '_?_:_' applied to '(int, int, int)'
 | 1 ? 2 : 3
 | ..^"#,
    );
    check(
        "1 && true",
        r#"ERROR: <input>:1:1: expected type 'bool' but found 'int'
 | 1 && true
 | ^"#,
    );
    check(
        "'a'.b",
        r#"ERROR: <input>:1:4: type 'string' does not support field selection
 | 'a'.b
 | ...^"#,
    );
    check(
        "1.all(x, x)",
        r#"ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)
 | 1.all(x, x)
 | ^"#,
    );
    check(
        "[1].all(x, x)",
        r#"ERROR: <input>:1:12: expected type 'bool' but found 'int'
 | [1].all(x, x)
 | ...........^"#,
    );
    check(
        "[1].map(x, x + 'a')",
        r#"ERROR: <input>:1:14: found no matching overload for '_+_' applied to '(int, string)'
 | [1].map(x, x + 'a')
 | .............^"#,
    );
    check(
        "size(1)",
        r#"ERROR: <input>:1:5: found no matching overload for 'size' applied to '(int)'
 | size(1)
 | ....^"#,
    );
    check(
        "int([1])",
        r#"ERROR: <input>:1:4: found no matching overload for 'int' applied to '(list(int))'
 | int([1])
 | ...^"#,
    );
    check(
        "[1] < [2]",
        r#"ERROR: <input>:1:5: found no matching overload for '_<_' applied to '(list(int), list(int))'
 | [1] < [2]
 | ....^"#,
    );
    check(
        "[[], 1]",
        r#"ERROR: <input>:1:6: expected type 'list(dyn)' but found 'int'
 | [[], 1]
 | .....^"#,
    );
    check(
        r#""é" + 1 +
	2"#,
        r#"ERROR: <input>:1:5: found no matching overload for '_+_' applied to '(string, int)'
 | "é" + 1 +
 | .．..^"#,
    );
}

#[test]
fn constants() {
    check(
        "duration('x')",
        r#"ERROR: <input>:1:10: invalid duration argument
 | duration('x')
 | .........^"#,
    );
    check(
        "[1].map(x, duration(null))",
        r#"ERROR: <input>:1:21: invalid duration argument
 | [1].map(x, duration(null))
 | ....................^"#,
    );
    check(
        "timestamp('x')",
        r#"ERROR: <input>:1:11: invalid timestamp argument
 | timestamp('x')
 | ..........^"#,
    );
    check(
        "'a'.matches('(')",
        r#"ERROR: <input>:1:13: invalid matches argument
 | 'a'.matches('(')
 | ............^"#,
    );
    check(
        "9223372036854775808",
        r#"ERROR: <input>:1:1: invalid int literal
 | 9223372036854775808
 | ^"#,
    );
    check(
        "18446744073709551616u",
        r#"ERROR: <input>:1:1: invalid uint literal
 | 18446744073709551616u
 | ^"#,
    );
    check(
        "1e999",
        r#"ERROR: <input>:1:1: invalid double literal
 | 1e999
 | ^"#,
    );
    check(
        r#"'\ud800'"#,
        r#"ERROR: <input>:1:1: invalid unicode code point
 | '\ud800'
 | ^"#,
    );
    check(
        "int('a')",
        "unusable: type conversion error from 'string' to 'int'",
    );
    check(
        "'%d'.format([1.5])",
        r#"ERROR: <input>:1:14: error during formatting: decimal clause can only be used on integers, was given double
 | '%d'.format([1.5])
 | .............^"#,
    );
}

#[test]
fn macros() {
    check(
        "has(a)",
        r#"ERROR: <input>:1:5: invalid argument to has() macro
 | has(a)
 | ....^"#,
    );
    check(
        "[1].all(1, true)",
        r#"ERROR: <input>:1:9: argument must be a simple name
 | [1].all(1, true)
 | ........^"#,
    );
    check(
        "[1].map(x.y, 1)",
        r#"ERROR: <input>:1:10: argument is not an identifier
 | [1].map(x.y, 1)
 | .........^"#,
    );
    check(
        "[1].filter(1, true)",
        r#"ERROR: <input>:1:12: argument is not an identifier
 | [1].filter(1, true)
 | ...........^"#,
    );
    check(
        "[1].all(x, x, true)",
        r#"ERROR: <input>:1:12: duplicate variable name: x
 | [1].all(x, x, true)
 | ...........^"#,
    );
    check(
        "[1].all(__result__, true)",
        r#"ERROR: <input>:1:9: iteration variable overwrites accumulator variable
 | [1].all(__result__, true)
 | ........^"#,
    );
    check(
        "optional.of(1).optMap(1, 2)",
        r#"ERROR: <input>:1:23: optMap() variable name must be a simple identifier
 | optional.of(1).optMap(1, 2)
 | ......................^"#,
    );
}

#[test]
fn grammar() {
    check(
        "",
        "ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
    );
    check(
        "1 +",
        r#"ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | 1 +
 | ...^"#,
    );
    check(
        "1 + + 2",
        r#"ERROR: <input>:1:5: Syntax error: extraneous input '+' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | 1 + + 2
 | ....^"#,
    );
    check(
        "(1",
        r#"ERROR: <input>:1:3: Syntax error: missing ')' at '<EOF>'
 | (1
 | ..^"#,
    );
    check(
        "1)",
        r#"ERROR: <input>:1:2: Syntax error: extraneous input ')' expecting <EOF>
 | 1)
 | .^"#,
    );
    check(
        "[1, 2",
        r#"ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting {']', ','}
 | [1, 2
 | .....^"#,
    );
    check(
        "{1: 2",
        r#"ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting {'}', ','}
 | {1: 2
 | .....^"#,
    );
    check(
        "{1}",
        r#"ERROR: <input>:1:3: Syntax error: mismatched input '}' expecting ':'
 | {1}
 | ..^"#,
    );
    check(
        "a.",
        r#"ERROR: <input>:1:3: Syntax error: no viable alternative at input '.'
 | a.
 | ..^"#,
    );
    check(
        "a..b",
        r#"ERROR: <input>:1:3: Syntax error: no viable alternative at input '..'
 | a..b
 | ..^"#,
    );
    check(
        "a ? b",
        r#"ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting ':'
 | a ? b
 | .....^"#,
    );
    check(
        "a ? b :",
        r#"ERROR: <input>:1:8: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | a ? b :
 | .......^"#,
    );
    check(
        "1 2",
        r#"ERROR: <input>:1:3: Syntax error: extraneous input '2' expecting <EOF>
 | 1 2
 | ..^"#,
    );
    check(
        "foo(1 2)",
        r#"ERROR: <input>:1:7: Syntax error: extraneous input '2' expecting ')'
 | foo(1 2)
 | ......^"#,
    );
    check(
        "a[",
        r#"ERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | a[
 | ..^"#,
    );
    check(
        "1 & 2",
        r#"ERROR: <input>:1:3: Syntax error: token recognition error at: '& '
 | 1 & 2
 | ..^
ERROR: <input>:1:5: Syntax error: extraneous input '2' expecting <EOF>
 | 1 & 2
 | ....^"#,
    );
    check(
        "'abc",
        r#"ERROR: <input>:1:1: Syntax error: token recognition error at: ''abc'
 | 'abc
 | ^
ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | 'abc
 | ....^"#,
    );
    check(
        r#""a"#,
        r#"ERROR: <input>:1:1: Syntax error: token recognition error at: '"a'
 | "a
 | ^
ERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | "a
 | ..^"#,
    );
    check(
        "#",
        r#"ERROR: <input>:1:1: Syntax error: token recognition error at: '#'
 | #
 | ^
ERROR: <input>:1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | #
 | .^"#,
    );
    check(
        "in",
        r#"ERROR: <input>:1:1: Syntax error: mismatched input 'in' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | in
 | ^
ERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | in
 | ..^"#,
    );
    check(
        "a in",
        r#"ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | a in
 | ....^"#,
    );
    check(
        "a.in",
        r#"ERROR: <input>:1:3: Syntax error: no viable alternative at input '.in'
 | a.in
 | ..^
ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | a.in
 | ....^"#,
    );
    check(
        "a.true",
        r#"ERROR: <input>:1:3: Syntax error: mismatched input 'true' expecting IDENTIFIER
 | a.true
 | ..^"#,
    );
    check(
        "`a`",
        r#"ERROR: <input>:1:1: Syntax error: mismatched input '`a`' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | `a`
 | ^"#,
    );
    check(
        "-",
        r#"ERROR: <input>:1:2: Syntax error: no viable alternative at input '-'
 | -
 | .^
ERROR: <input>:1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | -
 | .^"#,
    );
    check(
        "-!a",
        r#"ERROR: <input>:1:2: Syntax error: no viable alternative at input '-!'
 | -!a
 | .^"#,
    );
    check(
        "{:1}",
        r#"ERROR: <input>:1:2: Syntax error: extraneous input ':' expecting {'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | {:1}
 | .^
ERROR: <input>:1:4: Syntax error: mismatched input '}' expecting ':'
 | {:1}
 | ...^"#,
    );
    check(
        "[1,,2]",
        r#"ERROR: <input>:1:4: Syntax error: mismatched input ',' expecting ']'
 | [1,,2]
 | ...^"#,
    );
    check(
        "f(",
        r#"ERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | f(
 | ..^"#,
    );
    check(
        "a b c",
        r#"ERROR: <input>:1:3: Syntax error: mismatched input 'b' expecting <EOF>
 | a b c
 | ..^"#,
    );
    check(
        r#""a
"#,
        r#"ERROR: <input>:1:1: Syntax error: token recognition error at: '"a
'
 | "a
 | ^
ERROR: <input>:2:1: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | 
 | ^"#,
    );
    check(
        "/* a */ 1",
        r#"ERROR: <input>:1:1: Syntax error: mismatched input '/' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | /* a */ 1
 | ^
ERROR: <input>:1:2: Syntax error: extraneous input '*' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | /* a */ 1
 | .^
ERROR: <input>:1:7: Syntax error: extraneous input '/' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
 | /* a */ 1
 | ......^"#,
    );
    check(
        "x.?y z",
        r#"ERROR: <input>:1:6: Syntax error: extraneous input 'z' expecting <EOF>
 | x.?y z
 | .....^"#,
    );
}
