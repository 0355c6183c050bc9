//! The difference of two objects as people read it: a unified diff of their JSON.

use serde_json::Value;

const CONTEXT: usize = 3;
/// Above this many pairs of differing lines the lines are not matched any more.
const MAX_PAIRS: usize = 4_000_000;

/// The lines that differ, each with three around it.
pub fn diff(old: &Value, new: &Value) -> String {
    let (old, new) = (pretty(old), pretty(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let tail = (0..most)
        .take_while(|i| old[old.len() - 1 - i] == new[new.len() - 1 - i])
        .count();
    let mut lines: Vec<(char, &str)> = old[..head].iter().map(|l| (' ', *l)).collect();
    middle(
        &old[head..old.len() - tail],
        &new[head..new.len() - tail],
        &mut lines,
    );
    lines.extend(old[old.len() - tail..].iter().map(|l| (' ', *l)));
    hunks(&lines)
}

/// JSON with one space of indentation, as Go's json.MarshalIndent writes it.
fn pretty(value: &Value) -> String {
    let two = serde_json::to_string_pretty(value).unwrap_or_default();
    let halve = |line: &str| {
        let rest = line.trim_start_matches(' ');
        format!("{}{rest}\n", " ".repeat((line.len() - rest.len()) / 2))
    };
    two.lines().map(halve).collect()
}

/// Matches lines by their longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str], lines: &mut Vec<(char, &'a str)>) {
    let width = new.len() + 1;
    let (mut i, mut j) = (0, 0);
    if old.len() * new.len() <= MAX_PAIRS {
        let mut longest = vec![0u32; (old.len() + 1) * width];
        for i in (0..old.len()).rev() {
            for j in (0..new.len()).rev() {
                longest[i * width + j] = match old[i] == new[j] {
                    true => longest[(i + 1) * width + j + 1] + 1,
                    false => longest[(i + 1) * width + j].max(longest[i * width + j + 1]),
                };
            }
        }
        while i < old.len() && j < new.len() {
            if old[i] == new[j] {
                lines.push((' ', old[i]));
                (i, j) = (i + 1, j + 1);
            } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
                lines.push(('-', old[i]));
                i += 1;
            } else {
                lines.push(('+', new[j]));
                j += 1;
            }
        }
    }
    lines.extend(old[i..].iter().map(|l| ('-', *l)));
    lines.extend(new[j..].iter().map(|l| ('+', *l)));
}

fn hunks(lines: &[(char, &str)]) -> String {
    let mut text = String::new();
    let changed: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].0 != ' ').collect();
    let mut at = 0;
    while at < changed.len() {
        let first = changed[at];
        let mut last = first;
        while at < changed.len() && changed[at] <= last + 2 * CONTEXT + 1 {
            last = changed[at];
            at += 1;
        }
        let start = first.saturating_sub(CONTEXT);
        let end = (last + CONTEXT + 1).min(lines.len());
        let count = |lines: &[(char, &str)], not: char| lines.iter().filter(|l| l.0 != not).count();
        let hunk = &lines[start..end];
        text.push_str(&format!(
            "@@ -{},{} +{},{} @@\n",
            count(&lines[..start], '+') + 1,
            count(hunk, '+'),
            count(&lines[..start], '-') + 1,
            count(hunk, '-'),
        ));
        for (mark, line) in hunk {
            text.push_str(&format!("{mark}{line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_changed_field() {
        let (old, new) = (json!({"a": 1, "b": {"c": 2}}), json!({"a": 1, "b": {"c": 3}}));
        let expected = "@@ -1,6 +1,6 @@\n {\n  \"a\": 1,\n  \"b\": {\n-  \"c\": 2\n+  \"c\": 3\n  }\n }\n";
        assert_eq!(diff(&old, &new), expected);
        assert_eq!(diff(&old, &old), "");
    }
}
