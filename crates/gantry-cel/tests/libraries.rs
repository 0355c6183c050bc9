//! The functions of the libraries, a table for each.

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
fn strings() {
    check("'tacocat'.charAt(3)", "o");
    check("'tacocat'.charAt(9)", "error: index out of range: 9");
    check("'hello'.indexOf('l', 3)", "3");
    check("'hello'.indexOf('', 2)", "2");
    check("'hello'.lastIndexOf('l', 2)", "2");
    check("'ababab'.lastIndexOf('ab', 3)", "2");
    check("'héllo'.substring(1, 3)", "él");
    check(
        "'hello'.substring(3, 1)",
        "error: invalid substring range. start: 3, end: 1",
    );
    check("'hello'.replace('', '-', 2)", "-h-ello");
    check("'a,b,c'.split(',', 2)", "[a, b,c]");
    check("'abc'.split('')", "[a, b, c]");
    check("'Ab É'.lowerAscii()", "ab É");
    check("'  a '.trim()", "a");
    check("['a', 'b'].join('-')", "a-b");
    check("[dyn(1)].join()", "error: no such overload: join(list)");
    check(r#"strings.quote('a\n\"b')"#, r#""a\n\"b""#);
}

#[test]
fn formats() {
    check("'%s: %d of %.1f%%'.format(['a', 3, 12.345])", "a: 3 of 12.3%");
    check(
        "'%d'.format(['a'])",
        r#"ERROR: <input>:1:14: error during formatting: decimal clause can only be used on integers, was given string
 | '%d'.format(['a'])
 | .............^"#,
    );
    check(
        "'%s'.format([])",
        r#"ERROR: <input>:1:12: index 0 out of range
 | '%s'.format([])
 | ...........^"#,
    );
    check(
        "'%s'.format([1, 2])",
        r#"ERROR: <input>:1:12: too many arguments supplied to string.format (expected 1, got 2)
 | '%s'.format([1, 2])
 | ...........^"#,
    );
    check(
        "'%s'.format([[1, 'a', {'k': 2.5}]])",
        r#"[1, "a", {"k":2.500000}]"#,
    );
    check("'%x %X %b %o'.format([255, 'hi', -5, 8])", "ff 6869 -101 10");
    check("'%e'.format([1234.5])", "1.234500×10⁰³");
    check("'%f'.format([1234567.5])", "1,234,567.500000");
    check(
        "'%z'.format([1])",
        r#"ERROR: <input>:1:12: could not parse formatting clause: unrecognized formatting clause "z"
 | '%z'.format([1])
 | ...........^"#,
    );
    check(
        r#"("%" + "d").format([dyn("x")])"#,
        "error: error during formatting: decimal clause can only be used on integers, was given string",
    );
    check("'%s'.format([[duration('1s')]])", r#"[duration("1s")]"#);
}

#[test]
fn lists() {
    check("[3, 1, 2].sort()", "[1, 2, 3]");
    check("[1, 2, 3].sortBy(x, -x)", "[3, 2, 1]");
    check("[1, 2, 3].slice(1, 3)", "[2, 3]");
    check(
        "[1, 2].slice(1, 3)",
        "error: cannot slice(1, 3), list is length 2",
    );
    check("[[1], [2, 3]].flatten()", "[1, 2, 3]");
    check("[1, 2].reverse()", "[2, 1]");
    check("[1, 2, 1].distinct()", "[1, 2]");
    check("lists.range(3)", "[0, 1, 2]");
    check("[1, 2, 3].sum()", "6");
    check("[].sum()", "0");
    check("[2, 1].max()", "2");
    check("[1].filter(x, false).min()", "error: min called on empty list");
    check("[1, 2, 2].isSorted()", "true");
    check("[1, 2, 1].lastIndexOf(1)", "2");
    check(
        "[dyn(1), dyn('a')].sort()",
        "error: list elements must have the same type",
    );
}

#[test]
fn sets() {
    check("sets.contains([1, 2], [2])", "true");
    check("sets.equivalent([1, 2], [2, 1, 1])", "true");
    check("sets.intersects([1], [2])", "false");
}

#[test]
fn patterns() {
    check("'abc'.matches('^a.c$')", "true");
    check(
        "'abc'.matches('[')",
        r#"ERROR: <input>:1:15: invalid matches argument
 | 'abc'.matches('[')
 | ..............^"#,
    );
    check(
        "'abc'.matches('[' + 'a')",
        "error: error parsing regexp: missing closing ]: `[a`",
    );
    check("'abcbc'.find('b.')", "bc");
    check("'abcbd'.findAll('b.', 1)", "[bc]");
    check(
        "'abc'.find('(')",
        "unusable: error parsing regexp: missing closing ): `(`",
    );
    check(
        "'x'.matches('x**')",
        r#"ERROR: <input>:1:13: invalid matches argument
 | 'x'.matches('x**')
 | ............^"#,
    );
}

#[test]
fn urls() {
    check("url('https://a.b:8080/c%20d?x=1&x=2').getHost()", "a.b:8080");
    check("url('https://a.b:8080/c%20d?x=1&x=2').getPort()", "8080");
    check("url('https://[::1]:80/').getHostname()", "::1");
    check("url('/a b').getEscapedPath()", "/a%20b");
    check(
        "url('https://a/?x=1&y=b+c&x=2').getQuery()",
        "{x: [1, 2], y: [b c]}",
    );
    check(
        "url('a')",
        r#"error: URL parse error during conversion from string: parse "a": invalid URI for request"#,
    );
    check(
        "url('http://a:b/')",
        r#"error: URL parse error during conversion from string: parse "http://a:b/": invalid port ":b" after host"#,
    );
    check(
        "url('http://a/%zz')",
        r#"error: URL parse error during conversion from string: parse "http://a/%zz": invalid URL escape "%zz""#,
    );
    check("isURL('../a')", "false");
    check("url('https://a/b') == url('https://a/b')", "true");
}

#[test]
fn quantities() {
    check("quantity('1Gi').compareTo(quantity('1G'))", "1");
    check("quantity('1Gi') == quantity('1024Mi')", "true");
    check("quantity('50k').asInteger()", "50000");
    check("quantity('1000m').isInteger()", "false");
    check(
        "quantity('1.5').asInteger()",
        "error: cannot convert value to integer",
    );
    check("quantity('500m').add(quantity('1')).asApproximateFloat()", "1.5");
    check("quantity('5').sub(7).asInteger()", "-2");
    check("sign(quantity('-1m'))", "-1");
    check(
        "quantity('1.2.3')",
        "error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
    check(
        "quantity('1Q')",
        "error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
    check("isQuantity('1e3')", "true");
}

#[test]
fn addresses() {
    check("ip('1.2.3.4').family()", "4");
    check(
        "ip('1.2.3.256')",
        r#"error: IP Address "1.2.3.256" parse error during conversion from string: ParseAddr("1.2.3.256"): IPv4 field has value >255"#,
    );
    check(
        "ip('::ffff:1.2.3.4')",
        r#"error: IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed"#,
    );
    check(
        "ip('fe80::1%eth0')",
        r#"error: IP address "fe80::1%eth0" with zone value is not allowed"#,
    );
    check(
        "ip('1:2:3')",
        r#"error: IP Address "1:2:3" parse error during conversion from string: ParseAddr("1:2:3"): address string too short"#,
    );
    check("ip('fe80::1').isLinkLocalUnicast()", "true");
    check("ip.isCanonical('2001:DB8::1')", "false");
    check("string(ip('2001:0db8::1'))", "2001:db8::1");
    check("cidr('10.0.0.0/8').containsIP('10.1.2.3')", "true");
    check("cidr('10.0.0.0/8').containsIP('x')", "error: no such overload");
    check("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true");
    check("string(cidr('10.1.2.3/8').masked())", "10.0.0.0/8");
    check(
        "cidr('10.0.0.0/33')",
        r#"error: network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0/33"): prefix length out of range"#,
    );
    check(
        "cidr('10.0.0.0')",
        r#"error: network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0"): no '/'"#,
    );
    check("isCIDR('::/0')", "true");
}

#[test]
fn versions() {
    check("semver('1.2.3-rc.1').isLessThan(semver('1.2.3'))", "true");
    check("semver('v1.2')", "error: No Major.Minor.Patch elements found");
    check("semver('v1.2', true).minor()", "2");
    check(
        "semver('01.2.3')",
        r#"error: Major number must not contain leading zeroes "01""#,
    );
    check(
        "semver('1.2.3-01')",
        r#"error: Numeric PreRelease version must not contain leading zeroes "01""#,
    );
    check("semver('1.2.3+a') == semver('1.2.3+b')", "true");
    check("isSemver('1.2.3.4')", "false");
}

#[test]
fn named_formats() {
    check("format.dns1123Label().validate('a-b')", "optional.none()");
    check(
        "format.dns1123Label().validate('A')",
        "optional([a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')])",
    );
    check(
        "format.named('uuid').value().validate('x')",
        "optional([does not match the UUID format])",
    );
    check("format.named('none')", "optional.none()");
    check("format.date().validate('2020-13-01')", "optional([invalid date])");
    check(
        "format.uri().validate('a')",
        r#"optional([parse "a": invalid URI for request])"#,
    );
    check("format.dns1035LabelPrefix().validate('a-')", "optional.none()");
}
