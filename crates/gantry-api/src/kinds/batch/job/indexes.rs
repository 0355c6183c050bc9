//! The indexes of completions as texts write them: `1,3-5,7`.

/// How many indexes a text names; an error says what is wrong with it.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut last, mut total) = (None, 0);
    for part in text.split(',') {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that stands in both texts. What cannot be read is passed over, for it is told elsewhere.
pub(super) fn common(a: &str, b: &str, completions: i64) -> Option<i64> {
    let mut others = intervals(b, completions).peekable();
    for (first, last) in intervals(a, completions) {
        while let Some((other, end)) = others.peek().copied() {
            if first <= end && other <= last {
                return Some(first.max(other));
            }
            // Whichever begins first cannot meet what follows in the other.
            if first <= other {
                break;
            }
            others.next();
        }
    }
    None
}

fn intervals(text: &str, completions: i64) -> impl Iterator<Item = (i64, i64)> {
    text.split(',').filter_map(move |part| interval(part, completions).ok())
}

fn interval(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let mut ends = part.split('-');
    let (first, last, more) = (ends.next().unwrap_or(""), ends.next(), ends.next());
    if more.is_some() {
        return Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        ));
    }
    let index = |text: &str| -> Result<i64, String> {
        let index: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        match index < completions {
            true => Ok(index),
            false => Err(format!("too large index: {text:?}")),
        }
    };
    let first = index(first)?;
    let last = last.map(index).transpose()?;
    match last {
        Some(last) if first >= last => Err(format!("non-increasing order, previous: {first}, current: {last}")),
        last => Ok((first, last.unwrap_or(first))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(count(text, 10), expected.map_err(String::from), "{text}");
        };
        check("", Ok(0));
        check("0", Ok(1));
        check("1,3-5,7", Ok(5));
        check("5,3", Err("non-increasing order, previous: 5, current: 3"));
        check("5-3", Err("non-increasing order, previous: 5, current: 3"));
        check("10", Err("too large index: \"10\""));
        check("a", Err("cannot convert string to integer for index: \"a\""));
        check(
            "1-2-3",
            Err("the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts \
                 separated by '-'"),
        );
    }

    #[test]
    fn meeting() {
        let check = |a: &str, b: &str, expected: Option<i64>| {
            assert_eq!(common(a, b, 100), expected, "{a} {b}");
            assert_eq!(common(b, a, 100), expected, "{b} {a}");
        };
        check("1,3-5", "2,6-8", None);
        check("1,3-5", "5", Some(5));
        check("0-9", "4-5", Some(4));
        check("", "1", None);
        check("x,2", "2", Some(2));
    }
}
