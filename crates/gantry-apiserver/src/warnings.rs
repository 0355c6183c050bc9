//! What a client is told beside its answer, be it an error or not.
//!
//! Source: k8s.io/apiserver/pkg/endpoints/filters/warning.go.

use crate::respond::Body;
use http::{HeaderValue, Response, header};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Characters of all warnings together: when there are more, each is cut, and what is beyond is left out.
const MOST: usize = 4 * 1024;
/// Characters of one that is cut.
const CUT: usize = 256;

/// The warnings of one request, each once.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    seen: HashSet<String>,
    texts: Vec<String>,
    /// Characters of these.
    length: usize,
    cuts: bool,
}

impl Told {
    fn add(&mut self, text: String) {
        let full = self.cuts && self.length >= MOST;
        // No header holds control characters.
        if full || text.is_empty() || text.contains(char::is_control) || !self.seen.insert(text.clone()) {
            return;
        }
        self.texts.push(text);
        self.length += self.shorten(self.texts.len() - 1);
        if self.length > MOST && !self.cuts {
            self.cuts = true;
            self.length = (0..self.texts.len()).map(|at| self.shorten(at)).sum();
        }
    }

    /// Cuts a text, if texts are cut. How long it is then.
    fn shorten(&mut self, at: usize) -> usize {
        let text = &mut self.texts[at];
        if self.cuts
            && let Some((end, _)) = text.char_indices().nth(CUT)
        {
            text.truncate(end);
        }
        text.chars().count()
    }
}

impl Warnings {
    /// Tells the client.
    pub fn add(&self, text: impl Into<String>) {
        self.extend([text.into()]);
    }

    /// Tells the client each of them.
    pub fn extend(&self, texts: impl IntoIterator<Item = String>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.into_iter().for_each(|text| told.add(text));
    }

    /// Adds them to an answer, as `Warning` headers.
    pub fn tell(&self, response: &mut Response<Body>) {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for text in &told.texts {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond;

    #[test]
    fn warnings_are_told() {
        let check = |texts: Vec<String>, expected: &[String]| {
            let warnings = Warnings::default();
            warnings.extend(texts);
            let mut response = respond::text(200, "");
            warnings.tell(&mut response);
            let told = response.headers().get_all(header::WARNING).iter();
            let told: Vec<_> = told
                .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
                .collect();
            let expected: Vec<_> = expected.iter().map(|text| format!("299 - \"{text}\"")).collect();
            assert_eq!(told, expected);
        };
        let one = String::from;
        check(
            vec![one("a \"b\""), one("c"), one("c"), one(""), one("d\n")],
            &[one("a \\\"b\\\""), one("c")],
        );
        check(vec![one("grün")], &[one("grün")]);
        check(vec!["x".repeat(MOST)], &["x".repeat(MOST)]);
        check(vec!["é".repeat(MOST), one("c")], &["é".repeat(CUT), one("c")]);
        let many: Vec<_> = (0..100_000).map(|n| format!("{n:0300}")).collect();
        // With the fourteenth they are too many, are cut, and count anew.
        check(many, &vec!["0".repeat(CUT); 16]);
    }
}
