//! Acting as someone else: the `Impersonate-*` headers.
//!
//! Each thing asked for (the name, every group, the UID, every extra value) needs the verb `impersonate` of its own.

use crate::{ANONYMOUS, AUTHENTICATED, Attributes, UNAUTHENTICATED, User, service_account};

/// Whom a request wants to act as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    user: String,
    groups: Vec<String>,
    uid: String,
    extra: Vec<(String, String)>,
}

const EXTRA: &str = "impersonate-extra-";

/// Reads a request's headers, whose names are in lower case. `None` when they ask for nothing.
pub fn parse<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Option<Request>, String> {
    let mut request = Request::default();
    let mut asked = false;
    for (name, value) in headers {
        match name {
            "impersonate-user" if request.user.is_empty() => request.user = value.to_owned(),
            "impersonate-uid" if request.uid.is_empty() => request.uid = value.to_owned(),
            "impersonate-group" => request.groups.push(value.to_owned()),
            _ => match name.strip_prefix(EXTRA) {
                Some(key) => request.extra.push((unescape(key), value.to_owned())),
                None => continue,
            },
        }
        asked = true;
    }
    if !asked {
        return Ok(None);
    }
    if !request.user.is_empty() {
        return Ok(Some(request));
    }
    if request.uid.is_empty() && request.groups.is_empty() && request.extra.is_empty() {
        return Ok(None);
    }
    Err(format!(
        "requested groups {:?}, uid {:?} and extra {:?} without impersonating a user",
        request.groups, request.uid, request.extra
    ))
}

/// Percent-decodes the key of an extra header; a malformed one stays as it is.
fn unescape(key: &str) -> String {
    let bytes = key.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let Some(byte) = key
            .get(at + 1..at + 3)
            .and_then(|h| u8::from_str_radix(h, 16).ok())
        else {
            return key.to_owned();
        };
        out.push(byte);
        at += 3;
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}

impl Request {
    /// What `requestor` must be allowed, all of it.
    pub fn attributes<'a>(&'a self, requestor: &'a User) -> Vec<Attributes<'a>> {
        let blank = Attributes::of(requestor, "impersonate");
        let authentication = "authentication.k8s.io";
        let mut all = vec![match service_account::split_name(&self.user) {
            Some((namespace, name)) => Attributes {
                resource: "serviceaccounts",
                namespace,
                name,
                ..blank
            },
            None => Attributes {
                resource: "users",
                name: &self.user,
                ..blank
            },
        }];
        all.extend(self.groups.iter().map(|group| Attributes {
            resource: "groups",
            name: group,
            ..blank
        }));
        all.extend(self.extra.iter().map(|(key, value)| Attributes {
            group: authentication,
            resource: "userextras",
            subresource: key,
            name: value,
            ..blank
        }));
        if !self.uid.is_empty() {
            all.push(Attributes {
                group: authentication,
                resource: "uids",
                name: &self.uid,
                ..blank
            });
        }
        all
    }

    /// The user the request goes on as.
    pub fn user(self) -> User {
        let mut user = User {
            groups: self.groups,
            uid: self.uid,
            ..User::default()
        };
        if user.groups.is_empty()
            && let Some((namespace, _)) = service_account::split_name(&self.user)
        {
            user.groups = service_account::groups(namespace);
        }
        let missing = match self.user == ANONYMOUS {
            true => (!user.in_group(UNAUTHENTICATED)).then_some(UNAUTHENTICATED),
            false => {
                (!user.in_group(AUTHENTICATED) && !user.in_group(UNAUTHENTICATED)).then_some(AUTHENTICATED)
            }
        };
        user.groups.extend(missing.map(str::to_owned));
        for (key, value) in self.extra {
            user.extra.entry(key).or_default().push(value);
        }
        user.name = self.user;
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_users() {
        let check = |headers: &[(&str, &str)], needs: &[&str], groups: &[&str]| {
            let request = parse(headers.iter().copied()).unwrap().unwrap();
            let root = User::new("root", &[]);
            let found: Vec<String> = request
                .attributes(&root)
                .iter()
                .map(|a| format!("{}/{}/{}/{}", a.resource, a.subresource, a.namespace, a.name))
                .collect();
            assert_eq!(found, needs, "{headers:?}");
            assert_eq!(request.user().groups, groups, "{headers:?}");
        };
        check(&[("impersonate-user", "ann")], &["users///ann"], &[AUTHENTICATED]);
        check(
            &[
                ("impersonate-user", "ann"),
                ("impersonate-group", "dev"),
                ("impersonate-uid", "7"),
            ],
            &["users///ann", "groups///dev", "uids///7"],
            &["dev", AUTHENTICATED],
        );
        check(
            &[("impersonate-user", "system:serviceaccount:a:bot")],
            &["serviceaccounts//a/bot"],
            &[
                "system:serviceaccounts",
                "system:serviceaccounts:a",
                AUTHENTICATED,
            ],
        );
        check(
            &[
                ("impersonate-user", "system:serviceaccount:a:bot"),
                ("impersonate-group", "g"),
            ],
            &["serviceaccounts//a/bot", "groups///g"],
            &["g", AUTHENTICATED],
        );
        check(
            &[
                ("impersonate-user", "ann"),
                ("impersonate-group", UNAUTHENTICATED),
            ],
            &["users///ann", "groups///system:unauthenticated"],
            &[UNAUTHENTICATED],
        );
        check(
            &[("impersonate-user", ANONYMOUS)],
            &["users///system:anonymous"],
            &[UNAUTHENTICATED],
        );
        check(
            &[
                ("impersonate-user", "ann"),
                ("impersonate-extra-acme.com%2fteam", "red"),
            ],
            &["users///ann", "userextras/acme.com/team//red"],
            &[AUTHENTICATED],
        );
    }

    #[test]
    fn nothing_and_not_enough() {
        assert_eq!(parse([("accept", "x")].into_iter()), Ok(None));
        assert!(parse([("impersonate-group", "x")].into_iter()).is_err());
        assert!(parse([("impersonate-uid", "x")].into_iter()).is_err());
        assert_eq!(unescape("a%zz"), "a%zz");
        assert_eq!(unescape("a%é"), "a%é");
    }
}
