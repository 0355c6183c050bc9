//! Prometheus' text format.

use std::fmt::Write;

/// Metrics, one family after the other.
#[derive(Default)]
pub struct Text(pub String);

impl Text {
    /// Begins a family.
    pub fn family(&mut self, name: &str, type_: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {type_}");
    }

    /// A value of the family.
    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    /// A family of one value.
    pub fn one(&mut self, name: &str, type_: &str, help: &str, value: f64) {
        self.family(name, type_, help);
        self.value(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format() {
        let mut text = Text::default();
        text.one("a_total", "counter", "How many.", 3.0);
        text.value("b", &[("x", "say \"hi\"\\"), ("y", "")], 0.25);
        assert_eq!(
            text.0,
            "# HELP a_total How many.\n# TYPE a_total counter\na_total 3\nb{x=\"say \\\"hi\\\"\\\\\",y=\"\"} 0.25\n"
        );
    }
}
