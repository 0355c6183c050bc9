//! What quoted texts mean.

/// The bytes of a literal; for texts they are UTF-8.
pub(crate) fn unescape(literal: &str, bytes: bool) -> Result<Vec<u8>, &'static str> {
    const CANNOT: &str = "unable to unescape string";
    let text = literal.replace("\r\n", "\n").replace('\r', "\n");
    let (raw, text) = match text.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let quotes = ["'''", "\"\"\"", "'", "\""];
    let inner = quotes.iter().find_map(|quote| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (text.len() >= 2 * quote.len()).then_some(inner)
    });
    let inner = inner.ok_or(CANNOT)?;
    if raw || !inner.contains('\\') {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        let kind = rest.chars().next().ok_or(CANNOT)?;
        rest = &rest[kind.len_utf8()..];
        let plain = match kind {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '\'' | '"' | '`' | '?' => kind,
            _ => {
                let (radix, length, used) = match kind {
                    'x' | 'X' => (16, 2, rest),
                    'u' if !bytes => (16, 4, rest),
                    'U' if !bytes => (16, 8, rest),
                    '0'..='3' => (8, 3, &inner[inner.len() - rest.len() - 1..]),
                    _ => return Err(CANNOT),
                };
                let digits = used.get(..length).ok_or(CANNOT)?;
                let code = u32::from_str_radix(digits, radix).map_err(|_| CANNOT)?;
                rest = &used[length..];
                match bytes {
                    true => out.push(code as u8),
                    false => push(
                        &mut out,
                        char::from_u32(code).ok_or("invalid unicode code point")?,
                    ),
                }
                continue;
            }
        };
        push(&mut out, plain);
    }
    Ok(out)
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}
