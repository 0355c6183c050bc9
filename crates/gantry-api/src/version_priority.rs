//! Which of a group's versions is preferred: `v2` before `v1`, `v1` before `v1beta2`, `v1beta2` before `v1alpha1`, and
//! names of other forms last. Source: k8s.io/apimachinery/pkg/version/helpers.go.

use std::cmp::{Ordering, Reverse};

/// Compares two versions' names; the preferred one is greater.
pub fn compare(a: &str, b: &str) -> Ordering {
    match (parts(a), parts(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        // Of names that say nothing, the first in the alphabet comes first.
        (None, None) => Reverse(a).cmp(&Reverse(b)),
    }
}

/// Stability, major and minor number of `v1`, `v1beta2` and the like.
fn parts(name: &str) -> Option<(u8, u64, u64)> {
    let rest = name.strip_prefix('v')?;
    let number = |text: &str| match text.starts_with('0') {
        true => None,
        false => text.parse::<u64>().ok(),
    };
    for (word, stability) in [("alpha", 0), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((stability, number(major)?, number(minor)?));
        }
    }
    Some((2, number(rest)?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_order() {
        let expected = [
            "v10",
            "v2",
            "v1",
            "v11beta2",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
        ];
        let mut sorted = expected;
        sorted.sort_unstable();
        sorted.sort_by(|a, b| compare(b, a));
        assert_eq!(sorted, expected);
    }
}
