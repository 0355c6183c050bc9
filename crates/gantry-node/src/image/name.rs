//! Names of images, as upstream checks them before it asks the runtime.

/// Why a name is none, in upstream's words; `None` for one that can be.
pub fn fault(image: &str) -> Option<String> {
    let told = |why: &str| {
        Some(format!(
            "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: {why}"
        ))
    };
    let (rest, digest) = image.split_once('@').map_or((image, None), |(r, d)| (r, Some(d)));
    // What follows the last colon is a tag, unless that colon belongs to the registry's port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let good = tag.is_none_or(is_tag) && digest.is_none_or(is_digest) && !name.is_empty();
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), path),
        _ => (None, name),
    };
    if good && registry.is_none_or(is_registry) {
        if path.split('/').all(is_part) {
            return None;
        }
        let lower = path.to_ascii_lowercase();
        if lower != path && lower.split('/').all(is_part) {
            let whole = match registry {
                None if !path.contains('/') => format!("library/{path}"),
                _ => path.to_string(),
            };
            return told(&format!(
                "invalid reference format: repository name ({whole}) must be lowercase"
            ));
        }
    }
    told("invalid reference format")
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let all = tag.chars().all(|c| word(c) || c == '.' || c == '-');
    all && tag.len() <= 128 && tag.chars().next().is_some_and(word)
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    !algorithm.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = registry
        .rsplit_once(':')
        .map_or((registry, None), |(h, p)| (h, Some(p)));
    let label = |l: &str| {
        !l.is_empty()
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let address = host.starts_with('[') && host.ends_with(']');
    port.is_none_or(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()))
        && (address || host.split('.').all(label))
}

/// A part of a path: words of small letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_part(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separator = String::new();
    for c in part.chars() {
        if !word(c) {
            separator.push(c);
            continue;
        }
        let good = matches!(separator.as_str(), "" | "." | "_" | "__") || separator.chars().all(|c| c == '-');
        if !good {
            return false;
        }
        separator.clear();
    }
    separator.is_empty() && part.chars().next().is_some_and(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for image in [
            "busybox",
            "busybox:1.36",
            "library/busybox",
            "registry.k8s.io/pause:3.10",
            "localhost:5000/a/b__c:v1",
            "localhost/a",
            "[::1]:5000/a",
            "a-b.c/d",
            "a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(fault(image), None, "{image}");
        }
        let check = |image: &str, expected: &str| {
            let told = fault(image).unwrap_or_default();
            assert!(told.ends_with(expected), "{image}: {told}");
        };
        check("", "couldn't parse image name \"\": invalid reference format");
        check("Busybox:1", "repository name (library/Busybox) must be lowercase");
        check("a.b/Foo", "repository name (Foo) must be lowercase");
        for image in [
            "a b",
            "-a",
            "a/",
            "a:",
            "a:-x",
            "a..b",
            "a___b",
            "a@sha256:1",
            "a.b:x/c",
        ] {
            check(image, "invalid reference format");
        }
    }
}
