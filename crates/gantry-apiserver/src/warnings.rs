//! What a client is told beside its answer, be it an error or not.

use crate::respond::Body;
use http::{HeaderValue, Response, header};
use std::sync::{Mutex, PoisonError};

/// The warnings of one request, each once.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Tells the client.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&text) {
            all.push(text);
        }
    }

    /// Tells the client each of them.
    pub fn extend(&self, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().for_each(|text| self.add(text));
    }

    /// Adds them to an answer, as `Warning` headers.
    pub fn tell(&self, response: &mut Response<Body>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for text in all.iter() {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
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
    fn each_is_told_once() {
        let warnings = Warnings::default();
        warnings.extend(["a \"b\"".to_string(), "c".to_string(), "c".to_string()]);
        let mut response = respond::text(200, "");
        warnings.tell(&mut response);
        let told: Vec<_> = response.headers().get_all(header::WARNING).iter().collect();
        assert_eq!(told, [r#"299 - "a \"b\"""#, r#"299 - "c""#]);
    }
}
