//! What is wrong with a text that is no JSON, in the words of Go's `encoding/json`.

/// How deep lists and objects may be.
const DEPTH: usize = 10_000;

/// The first thing that is wrong; none when the text is fine for Go, and only too deep for our reader.
pub(super) fn error(bytes: &[u8]) -> Option<String> {
    Scanner { bytes, at: 0 }.value_and_end().err()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Where in a list or an object the scanner is.
enum Inside {
    List,
    Object,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.peek()
    }

    /// The character that is next does not belong there.
    fn wrong(&self, context: &str) -> String {
        match self.peek() {
            None => "unexpected end of JSON input".into(),
            Some(c) => format!("invalid character {} {context}", quoted(c)),
        }
    }

    fn value_and_end(&mut self) -> Result<(), String> {
        let mut open: Vec<Inside> = Vec::new();
        loop {
            // A value begins here.
            match self.skip_space() {
                Some(c @ (b'{' | b'[')) => {
                    if open.len() == DEPTH {
                        return Err(self.wrong("exceeded max depth"));
                    }
                    self.at += 1;
                    let (inside, end) = match c {
                        b'{' => (Inside::Object, b'}'),
                        _ => (Inside::List, b']'),
                    };
                    if self.skip_space() == Some(end) {
                        self.at += 1;
                    } else {
                        let object = matches!(inside, Inside::Object);
                        open.push(inside);
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                _ => return Err(self.wrong("looking for beginning of value")),
            }
            // A value ended.
            loop {
                let next = self.skip_space();
                match (open.last(), next) {
                    (None, None) => return Ok(()),
                    (None, _) => return Err(self.wrong("after top-level value")),
                    (Some(Inside::List), Some(b',')) => {
                        self.at += 1;
                        break;
                    }
                    (Some(Inside::Object), Some(b',')) => {
                        self.at += 1;
                        self.skip_space();
                        self.key()?;
                        break;
                    }
                    (Some(Inside::List), Some(b']')) | (Some(Inside::Object), Some(b'}')) => {
                        self.at += 1;
                        open.pop();
                    }
                    (Some(Inside::List), _) => return Err(self.wrong("after array element")),
                    (Some(Inside::Object), _) => return Err(self.wrong("after object key:value pair")),
                }
            }
        }
    }

    fn key(&mut self) -> Result<(), String> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("looking for beginning of object key string"));
        }
        self.string()?;
        if self.skip_space() != Some(b':') {
            return Err(self.wrong("after object key"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
                                    return Err(self.wrong("in \\u hexadecimal character escape"));
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(self.wrong("in string escape code")),
                    }
                }
                Some(c) if c >= b' ' => self.at += 1,
                _ => return Err(self.wrong("in string literal")),
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self, context: &str) -> Result<(), String> {
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Err(self.wrong(context));
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                let context = format!("in literal {word} (expecting {})", quoted(expected));
                return Err(self.wrong(&context));
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// A byte as Go quotes it.
fn quoted(c: u8) -> String {
    match c {
        b'\'' => "'\\''".into(),
        b'"' => "'\"'".into(),
        b'\\' => "'\\\\'".into(),
        b'\n' => "'\\n'".into(),
        b'\r' => "'\\r'".into(),
        b'\t' => "'\\t'".into(),
        c if c < b' ' || c == 0x7f => format!("'\\x{c:02x}'"),
        c => format!("'{}'", char::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_gos() {
        let check = |text: &str, expected: &str| {
            assert_eq!(error(text.as_bytes()).as_deref(), Some(expected), "{text}")
        };
        for text in ["", "{", "{\"a\"", "[1", "\"a", "tr", "-"] {
            check(text, "unexpected end of JSON input");
        }
        for (text, c, context) in [
            ("hello", "'h'", "looking for beginning of value"),
            ("{\"a\":}", "'}'", "looking for beginning of value"),
            ("{'a':1}", "'\\''", "looking for beginning of object key string"),
            ("{\"a\":1,}", "'}'", "looking for beginning of object key string"),
            ("{\"a\" 1}", "'1'", "after object key"),
            ("{\"a\":1 x}", "'x'", "after object key:value pair"),
            ("[1 2]", "'2'", "after array element"),
            ("{} x", "'x'", "after top-level value"),
            ("\"\u{1}\"", "'\\x01'", "in string literal"),
            ("\"\\x\"", "'x'", "in string escape code"),
            ("\"\\u00g\"", "'g'", "in \\u hexadecimal character escape"),
            ("-x", "'x'", "in numeric literal"),
            ("1.x", "'x'", "after decimal point in numeric literal"),
            ("1ex", "'x'", "in exponent of numeric literal"),
            ("tru}", "'}'", "in literal true (expecting 'e')"),
            ("01", "'1'", "after top-level value"),
        ] {
            check(text, &format!("invalid character {c} {context}"));
        }
        check(&"[".repeat(DEPTH + 1), "invalid character '[' exceeded max depth");
        assert_eq!(error(("[".repeat(200) + &"]".repeat(200)).as_bytes()), None);
    }
}
