//! The links of a page. Source of the tags and attributes: k8s.io/apimachinery/pkg/util/proxy/transport.go.

use bytes::Bytes;

/// Attributes that hold links, by tag.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];
/// Tags whose content is text up to their end tag.
const RAW: [&str; 5] = ["script", "style", "textarea", "title", "xmp"];

/// The page with each link replaced by what `link` makes of it. All else stays as it is, byte for byte.
pub fn rewrite(page: &[u8], link: &dyn Fn(&str) -> String) -> Bytes {
    // Pages in other encodings than UTF-8 are rare, and what is not ASCII is never part of a tag's syntax.
    let Ok(page) = std::str::from_utf8(page) else {
        return Bytes::copy_from_slice(page);
    };
    let mut out = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        rest = match construct(tag) {
            Construct::Skip(len) => {
                out.push_str(&tag[..len]);
                &tag[len..]
            }
            Construct::Tag(name, len) => {
                rewrite_tag(&tag[..len], &name, link, &mut out);
                let after = &tag[len..];
                let raw = if RAW.contains(&name.as_str()) {
                    raw_text(after, &name)
                } else {
                    0
                };
                out.push_str(&after[..raw]);
                &after[raw..]
            }
        };
    }
    out.push_str(rest);
    out.into()
}

/// What begins with `<`, and how long it is.
enum Construct {
    Skip(usize),
    Tag(String, usize),
}

fn construct(text: &str) -> Construct {
    if let Some(comment) = text.strip_prefix("<!--") {
        let len = comment.find("-->").map_or(text.len(), |end| 4 + end + 3);
        return Construct::Skip(len);
    }
    let name: String = text[1..]
        .chars()
        .take_while(|c| !c.is_ascii_whitespace() && !matches!(c, '/' | '>'))
        .collect::<String>()
        .to_ascii_lowercase();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Construct::Skip(1);
    }
    let mut quote = None;
    for (at, c) in text.char_indices().skip(1) {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') if text[..at].trim_end().ends_with('=') => quote = Some(c),
            (None, '>') => return Construct::Tag(name, at + 1),
            _ => {}
        }
    }
    Construct::Skip(text.len())
}

/// How long the text of a raw tag is.
fn raw_text(text: &str, name: &str) -> usize {
    let end = format!("</{name}");
    text.to_ascii_lowercase().find(&end).unwrap_or(text.len())
}

fn rewrite_tag(tag: &str, name: &str, link: &dyn Fn(&str) -> String, out: &mut String) {
    let Some((_, wanted)) = LINKS.iter().find(|(n, _)| *n == name) else {
        out.push_str(tag);
        return;
    };
    let mut rest = tag;
    // Each round writes what stands before a value, then the value.
    while let Some(equals) = rest.find('=') {
        let attribute = rest[..equals]
            .trim_end()
            .rsplit(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '/'))
            .next()
            .unwrap_or("")
            .to_ascii_lowercase();
        let after = &rest[equals + 1..];
        let spaces = after.len() - after.trim_start().len();
        out.push_str(&rest[..=equals + spaces]);
        let after = &after[spaces..];
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, next) = match quote {
            Some(quote) => {
                out.push(quote);
                let inner = &after[1..];
                inner.split_at(inner.find(quote).unwrap_or(inner.len()))
            }
            None => {
                let end = after.find(|c: char| c.is_ascii_whitespace() || c == '>');
                after.split_at(end.unwrap_or(after.len()))
            }
        };
        match wanted.contains(&attribute.as_str()) {
            true => out.push_str(&link(value)),
            false => out.push_str(value),
        }
        rest = next;
        if let (Some(quote), Some(closed)) = (quote, rest.strip_prefix(['"', '\''])) {
            out.push(quote);
            rest = closed;
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_pages() {
        let check = |page: &str, expected: &str| {
            let prefix = |link: &str| match link.starts_with('/') {
                true => format!("/p{link}"),
                false => link.to_owned(),
            };
            let found = rewrite(page.as_bytes(), &prefix);
            assert_eq!(String::from_utf8_lossy(&found), expected, "{page}");
        };
        check(
            "<a href=\"/rewriteme\">test</a>",
            "<a href=\"/p/rewriteme\">test</a>",
        );
        check(
            "<A class=x HREF = '/a?b=/c' id=\"/d\">",
            "<A class=x HREF = '/p/a?b=/c' id=\"/d\">",
        );
        check(
            "<img src=/a.png alt=\"1 > 0\"><p>",
            "<img src=/p/a.png alt=\"1 > 0\"><p>",
        );
        check("<p href=\"/a\">1 < 2 and <b>", "<p href=\"/a\">1 < 2 and <b>");
        check(
            "<!-- <a href=\"/a\"> --><a href=b>",
            "<!-- <a href=\"/a\"> --><a href=b>",
        );
        check(
            "<script src=\"/a.js\">if (a<b) x='<a href=\"/c\">'</script><link href='/d'/>",
            "<script src=\"/p/a.js\">if (a<b) x='<a href=\"/c\">'</script><link href='/p/d'/>",
        );
        check("<a href=\"/unclosed", "<a href=\"/unclosed");
        check(
            "<a data-x=\"y\" href=\"/é\">ß</a>",
            "<a data-x=\"y\" href=\"/p/é\">ß</a>",
        );
        check("text only", "text only");
        assert_eq!(
            rewrite(b"<a href=\"/\xff\">", &|_| String::new()),
            &b"<a href=\"/\xff\">"[..]
        );
    }
}
