//! Query parameters of connecting subresources, read as upstream's parameter codec reads them.

use gantry_api::status::Status;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a query may hold as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The parameters in their order; names may repeat.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a query string.
    pub fn parse(text: &str) -> Self {
        let decode = |s: &str| {
            percent_decode_str(&s.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        let pairs = text.split('&').filter(|p| !p.is_empty());
        Query(
            pairs
                .map(|p| p.split_once('=').unwrap_or((p, "")))
                .map(|(k, v)| (decode(k), decode(v)))
                .collect(),
        )
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    }

    /// Whether a parameter is given.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    fn first(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(k, _)| k == name)?;
        Some(&pair.1)
    }

    /// A parameter's first value; empty when absent.
    pub fn text(&self, name: &str) -> &str {
        self.first(name).unwrap_or("")
    }

    /// A boolean: given in any way but `false` or `0` means yes.
    pub fn flag(&self, name: &str) -> bool {
        self.first(name)
            .is_some_and(|v| v != "0" && !v.eq_ignore_ascii_case("false"))
    }

    /// A whole number that may be absent.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.first(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
    }
}

/// Writes parameters as a query string.
pub fn write<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encode = |s: &'a str| utf8_percent_encode(s, KEPT).to_string();
    let pairs = pairs
        .into_iter()
        .map(|(k, v)| format!("{}={}", encode(k), encode(v)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A text as one part of a path.
pub fn path_part(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let query = Query::parse(
            "command=sh&command=-c&command=echo+%22a%26b%22&stdin&tty=false&stdout=True&n=7&bad=x",
        );
        assert_eq!(
            query.all("command").collect::<Vec<_>>(),
            ["sh", "-c", "echo \"a&b\""]
        );
        for (name, expected) in [
            ("stdin", true),
            ("tty", false),
            ("stdout", true),
            ("stderr", false),
        ] {
            assert_eq!(query.flag(name), expected, "{name}");
        }
        assert_eq!(query.number("n").unwrap(), Some(7));
        assert_eq!(query.number("none").unwrap(), None);
        let why = query.number("bad").unwrap_err().message;
        assert_eq!(why, "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(
            write(query.all("command").map(|c| ("command", c))),
            "command=sh&command=-c&command=echo%20%22a%26b%22"
        );
    }
}
