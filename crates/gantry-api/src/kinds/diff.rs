//! The difference of two values as people read it: a unified diff of their JSON.
//!
//! Source of which lines are matched: github.com/pmezard/go-difflib, after Python's difflib. It looks for the longest
//! run of equal lines, then for the longest on either side of it. In a long text, lines that are often there begin
//! no run.

use crate::schema::Internal;
use std::collections::HashMap;
use std::ops::Range;

const CONTEXT: usize = 3;
/// A text of so many lines is long.
const LONG: usize = 200;
/// So many pairs of lines are compared at most. What is left then counts as changed.
const MAX_PAIRS: usize = 20_000_000;

/// The lines that differ, each with three around it.
pub fn diff(old: Internal, new: Internal) -> String {
    unified(&old.pretty(), &new.pretty())
}

fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut text = String::new();
    for group in groups(&changes(&old, &new)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let span = |a: &Range<usize>, b: &Range<usize>| match b.end - a.start {
            0 => format!("{},0", a.start),
            1 => format!("{}", a.start + 1),
            length => format!("{},{length}", a.start + 1),
        };
        text.push_str(&format!(
            "@@ -{} +{} @@\n",
            span(&first.old, &last.old),
            span(&first.new, &last.new)
        ));
        for step in group {
            let mut put = |mark: char, lines: &[&str]| {
                for line in lines {
                    text.push(mark);
                    text.push_str(line);
                    text.push('\n');
                }
            };
            if step.equal {
                put(' ', &old[step.old]);
            } else {
                put('-', &old[step.old]);
                put('+', &new[step.new]);
            }
        }
    }
    text
}

/// Lines of the old text and the lines of the new one that stand in their place.
#[derive(Clone)]
struct Step {
    equal: bool,
    old: Range<usize>,
    new: Range<usize>,
}

/// A run of equal lines: where it begins in each text, and how long it is.
#[derive(Clone, Copy)]
struct Run {
    old: usize,
    new: usize,
    length: usize,
}

/// The way from one text to the other.
fn changes(old: &[&str], new: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut i, mut j) = (0, 0);
    let end = Run {
        old: old.len(),
        new: new.len(),
        length: 0,
    };
    for run in runs(old, new).into_iter().chain([end]) {
        if i < run.old || j < run.new {
            steps.push(Step {
                equal: false,
                old: i..run.old,
                new: j..run.new,
            });
        }
        (i, j) = (run.old + run.length, run.new + run.length);
        if run.length > 0 {
            steps.push(Step {
                equal: true,
                old: run.old..i,
                new: run.new..j,
            });
        }
    }
    steps
}

fn runs(old: &[&str], new: &[&str]) -> Vec<Run> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(j);
    }
    if new.len() >= LONG {
        places.retain(|_, at| at.len() <= new.len() / 100 + 1);
    }
    let mut pairs = MAX_PAIRS;
    let mut open = vec![(0..old.len(), 0..new.len())];
    let mut found: Vec<Run> = Vec::new();
    while let Some((a, b)) = open.pop() {
        let run = longest(old, new, &a, &b, &places, &mut pairs);
        if run.length == 0 {
            continue;
        }
        found.push(run);
        let sides = [
            (a.start..run.old, b.start..run.new),
            (run.old + run.length..a.end, run.new + run.length..b.end),
        ];
        open.extend(sides.into_iter().filter(|(a, b)| !a.is_empty() && !b.is_empty()));
    }
    found.sort_by_key(|run| run.old);
    let mut joined: Vec<Run> = Vec::new();
    for run in found {
        match joined.last_mut() {
            Some(last) if last.old + last.length == run.old && last.new + last.length == run.new => {
                last.length += run.length;
            }
            _ => joined.push(run),
        }
    }
    joined
}

/// The longest run within two ranges; of several the first.
fn longest(
    old: &[&str],
    new: &[&str],
    a: &Range<usize>,
    b: &Range<usize>,
    places: &HashMap<&str, Vec<usize>>,
    pairs: &mut usize,
) -> Run {
    let mut best = Run {
        old: a.start,
        new: b.start,
        length: 0,
    };
    // How long the run is that ends at the line before, by its place in the new text.
    let mut ending: HashMap<usize, usize> = HashMap::new();
    for i in a.clone() {
        let mut ends = HashMap::new();
        let at = places.get(old[i]).map_or(&[][..], Vec::as_slice);
        let from = at.partition_point(|j| *j < b.start);
        for &j in at[from..].iter().take_while(|j| **j < b.end) {
            if *pairs == 0 {
                return best;
            }
            *pairs -= 1;
            let length = 1 + j
                .checked_sub(1)
                .and_then(|j| ending.get(&j))
                .copied()
                .unwrap_or(0);
            ends.insert(j, length);
            if length > best.length {
                best = Run {
                    old: i + 1 - length,
                    new: j + 1 - length,
                    length,
                };
            }
        }
        ending = ends;
    }
    while best.old > a.start && best.new > b.start && old[best.old - 1] == new[best.new - 1] {
        best = Run {
            old: best.old - 1,
            new: best.new - 1,
            length: best.length + 1,
        };
    }
    while best.old + best.length < a.end
        && best.new + best.length < b.end
        && old[best.old + best.length] == new[best.new + best.length]
    {
        best.length += 1;
    }
    best
}

/// The steps in groups, each with a little of what is equal around it.
fn groups(steps: &[Step]) -> Vec<Vec<Step>> {
    let head = |r: &Range<usize>| r.start..r.end.min(r.start + CONTEXT);
    let tail = |r: &Range<usize>| r.start.max(r.end.saturating_sub(CONTEXT))..r.end;
    let mut groups = vec![Vec::new()];
    for (at, step) in steps.iter().enumerate() {
        let (first, last) = (at == 0, at + 1 == steps.len());
        let mut put = |old: Range<usize>, new: Range<usize>| {
            if let Some(group) = groups.last_mut() {
                group.push(Step {
                    equal: step.equal,
                    old,
                    new,
                });
            }
        };
        if !step.equal {
            put(step.old.clone(), step.new.clone());
        } else if first && !last {
            put(tail(&step.old), tail(&step.new));
        } else if last && !first {
            put(head(&step.old), head(&step.new));
        } else if step.old.len() > 2 * CONTEXT {
            put(head(&step.old), head(&step.new));
            groups.push(Vec::new());
            if let Some(group) = groups.last_mut() {
                group.push(Step {
                    equal: true,
                    old: tail(&step.old),
                    new: tail(&step.new),
                });
            }
        } else {
            put(step.old.clone(), step.new.clone());
        }
    }
    groups.retain(|group| group.iter().any(|step| !step.equal));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unified_diffs() {
        let check = |old: &str, new: &str, expected: &str| {
            let lines = |text: &str| text.replace(' ', "\n");
            assert_eq!(unified(&lines(old), &lines(new)), expected, "{old} {new}");
        };
        check("a b c", "a b c", "");
        check("a b c", "a x c", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
        check("", "a", "@@ -0,0 +1 @@\n+a\n");
        check("a", "", "@@ -1 +0,0 @@\n-a\n");
        // The longest run is kept whole, not the first that fits.
        check("a b", "a c a b", "@@ -1,2 +1,4 @@\n+a\n+c\n a\n b\n");
        check(
            "1 2 3 4 5 6 7 8 9 10 11 12",
            "x 2 3 4 5 6 7 8 9 10 11 y",
            "@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n@@ -9,4 +9,4 @@\n 9\n 10\n 11\n-12\n+y\n",
        );
        check(
            "1 2 3 4 5 6 7",
            "x 2 3 4 5 6 y",
            "@@ -1,7 +1,7 @@\n-1\n+x\n 2\n 3\n 4\n 5\n 6\n-7\n+y\n",
        );
    }
}
