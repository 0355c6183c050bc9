//! No expression makes the library panic, overflow the stack or take more memory than it may.

use gantry_cel::{CompileError, Decl, Env, Value, limits};
use serde_json::json;

/// A generator of numbers that are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

const SEEDS: [&str; 16] = [
    "self.replicas <= 10 && self.name.startsWith('abc')",
    "self.list.all(x, self.list.exists_one(y, y == x))",
    "has(self.labels.a) ? self.labels['a'] : self.?labels[?'b'].orValue('c')",
    "[1, 2, 3].map(x, x > 1, x * 2).filter(y, y in [4, 6]).size() == 2",
    "{'a': 1, 'b': [2u, 3u]}.transformMap(k, v, {k: v})",
    "'%s %d %.2f'.format([self.name, self.replicas, 1.5e3])",
    "duration('1h') + timestamp('2020-01-01T00:00:00Z') < self.since",
    "url('https://a:1/b?c=d').getQuery() == {'c': ['d']}",
    "quantity('1.5Gi').add(quantity('1')).compareTo(quantity('2G')) > 0",
    "cidr('10.0.0.0/8').containsIP(ip('10.0.0.1')) || isIP('::1')",
    "semver('1.2.3').isLessThan(semver('v2', true))",
    "optional.of(self).optMap(s, s.name).orValue(\"x\") != r'\\d' + b'x'.size().format([])",
    "format.dns1123Label().validate(self.name).value()[0].lowerAscii()",
    "sets.contains(self.set, self.set + ['a']) && lists.range(9).sortBy(i, -i)[0] == 8",
    "dyn(self.port) + dyn(self.list)[dyn('a')] / 0 % 2.0 - -1",
    "'abc'.matches('^(a|b)*[c-d]{1,2}$') ? '''x''' : \"\"\"y\"\"\"",
];

const PARTS: [&str; 48] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    ":",
    "?",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "<",
    "in",
    "'",
    "\"",
    "`",
    "\\",
    "1",
    "9223372036854775807",
    "1.5",
    "0x",
    "1u",
    "'a'",
    "b'a'",
    "null",
    "true",
    "self",
    "x",
    "é",
    "\n",
    " ",
    ".all(",
    ".map(x,",
    "has(",
    "size(",
    "dyn(",
    "[?",
    ".?",
    "{?",
    "@",
];

fn mutate(random: &mut Random, seed: &str) -> String {
    let mut chars: Vec<char> = seed.chars().collect();
    for _ in 0..=random.below(6) {
        let at = random.below(chars.len() + 1);
        let end = (at + random.below(12)).min(chars.len());
        match random.below(4) {
            0 => drop(chars.drain(at..end)),
            1 => {
                let part = PARTS[random.below(PARTS.len())];
                chars.splice(at..at, part.chars());
            }
            2 => {
                let copy = chars[at..end].to_vec();
                let to = random.below(chars.len() + 1);
                chars.splice(to..to, copy);
            }
            _ => {
                let part = PARTS[random.below(PARTS.len())];
                chars.splice(at..end, part.chars());
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn mutated_expressions_never_panic() {
    let schema = json!({
        "type": "object",
        "properties": {
            "replicas": {"type": "integer"},
            "name": {"type": "string"},
            "port": {"x-kubernetes-int-or-string": true},
            "since": {"type": "string", "format": "date-time"},
            "list": {"type": "array", "items": {"type": "integer"}},
            "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    });
    let object = json!({
        "replicas": 3, "name": "abc", "port": "http", "since": "not a time", "list": [1, 2], "set": ["a"],
        "labels": {"a": "b"},
    });
    let decl = Decl::of_schema(&schema, true);
    let env = Env::default().declared("self", &decl, "selfType");
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut good = 0;
    for _ in 0..20_000 {
        let seed = SEEDS[random.below(SEEDS.len())];
        let expression = mutate(&mut random, seed);
        match env.compile_any(&expression) {
            Ok(program) => {
                let outcome = program.eval([Value::declared(&object, &decl)], limits::PER_CALL);
                drop(outcome.result.map(|value| value.to_string()));
                good += 1;
            }
            Err(e) => assert!(!e.to_string().is_empty(), "{expression}"),
        }
    }
    assert!(good > 400, "only {good} were right");
}

/// In a thread with less of a stack than servers' threads have.
fn check(expression: String, expected: &str) {
    let compile = move || match Env::default().compile_any(&expression) {
        Ok(program) => match program.eval([], limits::PER_CALL).result {
            Ok(value) => value.to_string(),
            Err(e) => e.to_string(),
        },
        Err(CompileError::Issues(issues)) => issues.to_string(),
        Err(e) => e.to_string(),
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(compile);
    let found = thread
        .expect("threads can be made")
        .join()
        .expect("it does not panic");
    let start: String = found.chars().take(expected.chars().count()).collect();
    assert_eq!(start, expected, "{found}");
}

#[test]
fn deep_and_long_expressions_have_limits() {
    const DEEP: &str = "ERROR: <input>:-1:0: expression recursion limit exceeded: 250";
    let nested = |open: &str, inner: &str, close: &str, n: usize| open.repeat(n) + inner + &close.repeat(n);
    check(nested("(", "1", ")", 200), "1");
    check(nested("(", "1", ")", 300), DEEP);
    check(nested("(", "", "", 100_000), DEEP);
    check(nested("[", "1", "]", 240).as_str().to_owned() + ".size()", "1");
    check(nested("[", "1", "]", 300), DEEP);
    check(nested("dyn([", "1", "])", 80) + ".size()", "1");
    check(nested("{1: ", "1", "}", 240) + ".size()", "1");
    check("1".to_owned() + &"+1".repeat(240), "241");
    check("1".to_owned() + &"+1".repeat(300), DEEP);
    check("dyn({})".to_owned() + &".a".repeat(300), DEEP);
    check("true".to_owned() + &" && true".repeat(5_000), "true");
    check("!".repeat(5_001) + "true", "false");
    check("true ? ".repeat(240) + "1" + &" : 2".repeat(240), "ERROR");
    check(nested("[1].map(x, ", "1", ")", 100) + ".size()", "1");
    check(nested("[1].all(x, ", "true", ")", 100), "true");
    check(
        nested("optional.of(1).optMap(x, ", "1", ")", 40) + ".hasValue()",
        "true",
    );
    check(nested("(')))' + ", "''", ")", 80) + ".size()", "240");
    check(
        "dyn([])".to_owned() + &"[0]".repeat(200),
        "index out of bounds: 0",
    );
    check("1".to_owned() + &" in [true]".repeat(200), "ERROR");
    check(
        " ".repeat(100_001),
        "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 100001, limit 100000",
    );
    // What a macro is called on is copied, and so is what the copy is called on.
    let doubled = "optional.of(1)".to_owned() + &".optMap(x, x)".repeat(60);
    check(doubled, "ERROR");
}

#[test]
fn what_grows_ends() {
    const OVER: &str = "operation cancelled: actual cost limit exceeded";
    check("lists.range(9223372036854775807).size() > 0".into(), OVER);
    check("lists.range(400000).map(x, lists.range(100000))".into(), OVER);
    check("lists.range(20000).map(x, 'ab').join('c').replace('', 'aaaaaaaaaaaaaaaaaaaaaaaaa').replace('', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').replace('', 'bbbbbbbbbbbb')".into(), OVER);
    let doubling = |n: usize| {
        let each = |i| format!("optional.of(x{i} + x{i}).optMap(x{}, ", i + 1);
        let open: String = (0..n).map(each).collect();
        format!(
            "optional.of([1]).optMap(x0, {open}x{n}.size(){}",
            ")".repeat(n + 1)
        )
    };
    check(doubling(3), "optional(optional(optional(optional(8))))");
    check(doubling(60), OVER);
    check("lists.range(100000).distinct().size()".into(), OVER);
    check(
        "lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, true)))".into(),
        OVER,
    );
}
