//! Which texts are texts when they stand without quotes, and no numbers, times or other values.
//!
//! Source: go.yaml.in/yaml/v2, resolve.go.

use gantry_formats::Pattern;
use std::sync::LazyLock;

const WORDS: [&str; 38] = [
    "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN",
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf",
];

/// Numbers with a base before them, without the underscores that may stand within them.
static BASED: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new("^[-+]?(0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+)$"));
static DECIMAL: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"));
/// Numbers to the base of 60, which only other readers take for such.
static SEXAGESIMAL: LazyLock<Pattern> =
    LazyLock::new(|| Pattern::new(r"^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$"));
static TIME: LazyLock<Pattern> = LazyLock::new(|| {
    let clock = r"([01]?\d|2[0-3]):[0-5]?\d:[0-5]?\d([.,]\d+)?";
    let zone = r"(Z|[-+]([01]\d|2[0-4]):[0-5]\d)";
    Pattern::new(&format!(
        r"^\d{{4}}-(0?[1-9]|1[0-2])-(0?[1-9]|[12]\d|3[01])([Tt]{clock}{zone}| {clock})?$"
    ))
});

/// Whether a text is read as itself.
pub fn is_text(text: &str) -> bool {
    if WORDS.contains(&text) || matches!(text, "-.INF" | "<<") {
        return false;
    }
    let looks_like_number = text.starts_with(|c: char| matches!(c, '+' | '-' | '.') || c.is_ascii_digit());
    if !looks_like_number {
        return true;
    }
    let bare = text.replace('_', "");
    let is_number = match text.starts_with('.') {
        true => DECIMAL.matches(text),
        false => {
            BASED.matches(&bare) || DECIMAL.matches(&bare) && bare.parse::<f64>().is_ok_and(f64::is_finite)
        }
    };
    !is_number && !SEXAGESIMAL.matches(text) && !TIME.matches(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_quotes() {
        let check = |text: &str, plain: bool| assert_eq!(is_text(text), plain, "{text}");
        for text in [
            "a",
            "1Gi",
            "100m",
            "1.2.3",
            "10.0.0.1",
            "1:2:61",
            "-",
            "v1",
            "2024-13-01",
            "0x",
            "1e999",
            "+",
            "f:a",
        ] {
            check(text, true);
        }
        for text in [
            "",
            "yes",
            "null",
            "1",
            "-1",
            "0755",
            "08",
            "1.5",
            ".5",
            "1e3",
            "0x1F",
            "0b1",
            "1_000",
            "12:30",
            "2024-01-01",
            "2024-1-2 3:04:05",
            "2024-01-01T00:00:00.5+02:00",
            "<<",
        ] {
            check(text, false);
        }
    }
}
