//! Label selectors. Source of the grammar and its errors: k8s.io/apimachinery/pkg/labels/selector.go.

use crate::field::Error;
use crate::formats;
use crate::status::Status;
use serde_json::Value;

/// A label selector: all of its requirements must hold.
pub struct Labels(Vec<Requirement>);

struct Requirement {
    key: String,
    test: Test,
}

enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl Labels {
    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`. Nothing selects everything.
    pub fn parse(text: &str) -> Result<Labels, Status> {
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
        };
        parser.requirements().map(Labels).map_err(Status::bad_request)
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object's labels fit.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|r| {
            let value = labels.get(&r.key).and_then(Value::as_str);
            let number = || value.and_then(|v| v.parse::<i64>().ok());
            match &r.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
                Test::Above(bound) => number().is_some_and(|n| n > *bound),
                Test::Below(bound) => number().is_some_and(|n| n < *bound),
            }
        })
    }
}

/// A word, an operator or a mark; an empty text is the end.
struct Token {
    text: String,
    /// Whether it may be a key or a value.
    word: bool,
}

const SYMBOLS: &str = "=!(),><";
const OPERATORS: [&str; 9] = [")", ",", "!", "==", "=", ">", "<", "!=", "("];

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match SYMBOLS.contains(first) {
            true if OPERATORS.contains(&rest.get(..2).unwrap_or("")) => 2,
            true => 1,
            false => rest
                .find(|c: char| SYMBOLS.contains(c) || c.is_ascii_whitespace())
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(Token {
            text: token.into(),
            word: !SYMBOLS.contains(first),
        });
        rest = after.trim_start();
    }
    tokens.push(Token {
        text: String::new(),
        word: false,
    });
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        // The end is always there.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> &Token {
        let at = self.at.min(self.tokens.len() - 1);
        self.at += 1;
        &self.tokens[at]
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut all = Vec::new();
        loop {
            let token = self.peek();
            match token.text.as_str() {
                "" => return Ok(all),
                text if !token.word && text != "!" => {
                    return Err(format!(
                        "found '{text}', expected: !, identifier, or 'end of string'"
                    ));
                }
                _ => {}
            }
            let requirement = self.requirement();
            all.push(requirement.map_err(|why| format!("unable to parse requirement: {why}"))?);
            match self.next().text.as_str() {
                "" => return Ok(all),
                "," => {
                    let after = self.peek();
                    if !after.word && after.text != "!" {
                        return Err(format!("found '{}', expected: identifier after ','", after.text));
                    }
                }
                text => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek().text == "!";
        if absent {
            self.at += 1;
        }
        let key = self.next();
        if !key.word {
            return Err(format!("found '{}', expected: identifier", key.text));
        }
        let key = key.text.clone();
        let problems = formats::qualified_name(&key);
        if !problems.is_empty() {
            return Err(Error::invalid("<nil>", key, problems.join("; ")).to_string());
        }
        let test = match self.peek().text.as_str() {
            "" | "," if absent => Test::Absent,
            "" | "," => Test::Exists,
            _ => self.test(&key)?,
        };
        Ok(Requirement { key, test })
    }

    fn test(&mut self, key: &str) -> Result<Test, String> {
        let operator = self.next().text.clone();
        let values = match operator.as_str() {
            "in" | "notin" => self.values()?,
            "=" | "==" | "!=" | ">" | "<" => vec![self.value()?],
            other => {
                return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        let mut errors = Vec::new();
        let bound = values.first().and_then(|v| v.parse::<i64>().ok()).unwrap_or(0);
        if matches!(operator.as_str(), ">" | "<") && values.iter().any(|v| v.parse::<i64>().is_err()) {
            let why = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.push(Error::invalid("values[0]", values.concat(), why).to_string());
        }
        for (at, value) in values.iter().enumerate() {
            let problems = formats::label_value(value);
            if !problems.is_empty() {
                let path = format!("values[{at}][{key}]");
                errors.push(Error::invalid(path, value.as_str(), problems.join("; ")).to_string());
            }
        }
        match errors.as_slice() {
            [] => {}
            [one] => return Err(one.clone()),
            more => return Err(format!("[{}]", more.join(", "))),
        }
        Ok(match operator.as_str() {
            "in" | "=" | "==" => Test::In(values),
            ">" => Test::Above(bound),
            "<" => Test::Below(bound),
            _ => Test::NotIn(values),
        })
    }

    /// One value, which may be left out.
    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek().text.as_str(), "" | ",") {
            return Ok(String::new());
        }
        let token = self.next();
        match token.word {
            true => Ok(token.text.clone()),
            false => Err(format!("found '{}', expected: identifier", token.text)),
        }
    }

    /// Values in parentheses, in order, each once.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open.text != "(" {
            return Err(format!("found '{}' expected: '('", open.text));
        }
        let mut values = Vec::new();
        match self.peek() {
            token if token.word || token.text == "," => self.listed(&mut values)?,
            token if token.text == ")" => {
                self.at += 1;
                values.push(String::new());
            }
            token => {
                return Err(format!(
                    "found '{}', expected: ',', ')' or identifier",
                    token.text
                ));
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }

    fn listed(&mut self, values: &mut Vec<String>) -> Result<(), String> {
        loop {
            let token = self.next();
            let (text, word) = (token.text.clone(), token.word);
            let after = self.peek().text.clone();
            match text.as_str() {
                _ if word => {
                    values.push(text);
                    if after != "," && after != ")" {
                        return Err(format!("found '{after}', expected: ',' or ')'"));
                    }
                }
                // Between commas, and beside the parentheses, stands nothing, which is a value.
                "," => {
                    if values.is_empty() || matches!(after.as_str(), "," | ")") {
                        values.push(String::new());
                    }
                    if after == "," {
                        self.at += 1;
                    }
                }
                _ => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
            if self.peek().text == ")" {
                self.at += 1;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_they_select() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front", "age": "7"}}});
        let check = |text: &str, expected: bool| {
            let labels = Labels::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(labels.matches(&object), expected, "{text}");
        };
        check("", true);
        check("app=web", true);
        check("app==web,tier!=front", false);
        check("app in (db, web)", true);
        check("app notin (db,web),tier", false);
        check("missing notin (x)", true);
        check("!app", false);
        check("tier", true);
        check("app=", false);
        check("missing in ()", false);
        check("in in (in)", false);
        check("age>6,age<8", true);
        check("age>7", false);
        check("app>1", false);
    }

    #[test]
    fn errors_are_upstreams() {
        let check = |text: &str, expected: &str| {
            let found = Labels::parse(text).err().map(|status| status.message);
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        };
        let of_requirement = |text: &str, expected: &str| {
            check(text, &format!("unable to parse requirement: {expected}"));
        };
        check("=", "found '=', expected: !, identifier, or 'end of string'");
        check(",", "found ',', expected: !, identifier, or 'end of string'");
        check("a,", "found '', expected: identifier after ','");
        check("a=b c", "found 'c', expected: ',' or 'end of string'");
        of_requirement("!", "found '', expected: identifier");
        of_requirement("a===b", "found '=', expected: identifier");
        of_requirement("bad key", "found 'key', expected: in, notin, =, ==, !=, gt, lt");
        of_requirement("a in", "found '' expected: '('");
        of_requirement("a in (", "found '', expected: ',', ')' or identifier");
        of_requirement("a in (b", "found '', expected: ',' or ')'");
        of_requirement("a in (b,", "found '', expected: ',', or identifier");
        of_requirement(
            "a>x",
            "values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        );
        let long = "x".repeat(64);
        of_requirement(
            &format!("a={long}"),
            &format!("values[0][a]: Invalid value: {long:?}: must be no more than 63 bytes"),
        );
        of_requirement(
            &long,
            &format!("<nil>: Invalid value: {long:?}: name part must be no more than 63 bytes"),
        );
    }
}
