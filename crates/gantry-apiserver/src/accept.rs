//! What an Accept header asks for: a format, and how objects should look in it.
//!
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation and handlers/rest.go.

use crate::negotiate::Format;
use crate::view::{Meta, Wanted};
use http::{HeaderMap, header};

/// One of the things a client would take.
struct Clause<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Clause<'_> {
    fn parameter(&self, name: &str) -> &str {
        let mut all = self.parameters.iter();
        all.find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// Whether it asks for another object than the one it names. Streams of others than watches are unknown, too.
    fn converts(&self) -> bool {
        let asks = |name: &str| !self.parameter(name).is_empty();
        ["as", "g", "v"].into_iter().any(asks)
    }

    fn format(&self) -> Option<Format> {
        let stream = self.parameter("stream");
        Format::of(self.name).filter(|_| matches!(stream, "" | "watch"))
    }

    fn wanted(&self) -> Option<Wanted> {
        if !self.converts() {
            return Some(Wanted::Whole);
        }
        let meta = match (self.parameter("g"), self.parameter("v")) {
            ("meta.k8s.io", "v1") => Meta::V1,
            ("meta.k8s.io", "v1beta1") => Meta::V1beta1,
            _ => return None,
        };
        match self.parameter("as") {
            "Table" => Some(Wanted::Table(meta)),
            "PartialObjectMetadata" => Some(Wanted::Metadata(meta)),
            "PartialObjectMetadataList" => Some(Wanted::MetadataList(meta)),
            _ => None,
        }
    }
}

/// The text of the header.
pub fn header(headers: &HeaderMap) -> &str {
    let value = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    value.unwrap_or("").trim()
}

/// What the header asks for, what is liked best first. None is anything.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let accept = if accept.is_empty() { "*/*" } else { accept };
    let clause = |part| {
        let mut words = str::split(part, ';').map(str::trim);
        let name = words.next().unwrap_or("");
        let parameters = words.filter_map(|word| word.split_once('=')).collect();
        Clause { name, parameters }
    };
    let mut all: Vec<Clause> = accept.split(',').map(clause).collect();
    let quality = |clause: &Clause| clause.parameter("q").parse().unwrap_or(1.0f32);
    // The sort keeps the order of those that are liked alike.
    all.sort_by(|a, b| quality(b).total_cmp(&quality(a)));
    all
}

/// What objects can be given as.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offer {
    /// Whole objects have no form in protobuf.
    pub no_protobuf: bool,
    /// There are no tables of them.
    pub no_tables: bool,
}

/// The format and look of objects that the header likes best of those there are.
pub fn of_objects(accept: &str, offer: Offer) -> Option<(Format, Wanted)> {
    let fits = |clause: &Clause| {
        let (format, wanted) = (clause.format()?, clause.wanted()?);
        let good = match wanted {
            Wanted::Whole => format != Format::Protobuf || !offer.no_protobuf,
            Wanted::Table(_) => format != Format::Protobuf && !offer.no_tables,
            Wanted::Metadata(_) | Wanted::MetadataList(_) => true,
        };
        good.then_some((format, wanted))
    };
    clauses(accept).iter().find_map(fits)
}

/// The format the header likes best, of what comes in one form only.
pub fn plain(accept: &str) -> Option<Format> {
    let all = clauses(accept);
    all.iter().filter(|c| !c.converts()).find_map(Clause::format)
}

/// The format of discovery that the header likes best, and whether all of it is to be in one document.
pub fn of_discovery(accept: &str) -> Option<(Format, bool)> {
    clauses(accept).iter().find_map(|clause| {
        let named = ["as", "g", "v"].map(|name| clause.parameter(name));
        let aggregated = named == ["APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"];
        clause
            .format()
            .filter(|_| aggregated || !clause.converts())
            .map(|f| (f, aggregated))
    })
}

/// Whether the header names one of these types or takes any: upstream's router knows no more of it.
pub fn names(accept: &str, types: &[&str]) -> bool {
    clauses(accept)
        .iter()
        .any(|c| c.name == "*/*" || types.contains(&c.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::negotiate::TYPES;

    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

    #[test]
    fn objects() {
        let check = |accept: &str, offer: Offer, expected: Option<(Format, Wanted)>| {
            assert_eq!(of_objects(accept, offer), expected, "{accept} {offer:?}");
        };
        let (all, custom, review) = (
            Offer::default(),
            Offer {
                no_protobuf: true,
                ..Offer::default()
            },
            Offer {
                no_tables: true,
                ..Offer::default()
            },
        );
        let (json, protobuf) = (
            Some((Format::Json, Wanted::Whole)),
            Some((Format::Protobuf, Wanted::Whole)),
        );
        let table = Some((Format::Json, Wanted::Table(Meta::V1)));
        for anything in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "text/html, application/json",
        ] {
            check(anything, all, json);
        }
        check(TABLE, all, table);
        check(TABLE, review, None);
        check(&format!("{TABLE},application/json"), review, json);
        check(&format!("application/json,{TABLE}"), all, json);
        check("application/json;as=Table;v=v9;g=meta.k8s.io", all, None);
        check(&format!("{PROTOBUF},application/json"), all, protobuf);
        check(&format!("{PROTOBUF},application/json"), custom, json);
        check(&format!("{PROTOBUF};q=0.5,application/json"), all, json);
        check(&format!("{PROTOBUF};stream=watch"), all, protobuf);
        check(&format!("{PROTOBUF};stream=other,application/json"), all, json);
        check(PROTOBUF, custom, None);
        let partial = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1beta1";
        let metadata = Some((Format::Protobuf, Wanted::MetadataList(Meta::V1beta1)));
        check(&format!("{PROTOBUF};{partial}"), custom, metadata);
        check(
            &format!("{PROTOBUF};as=Table;g=meta.k8s.io;v=v1,{TABLE}"),
            all,
            table,
        );
        check("text/html", all, None);
    }

    #[test]
    fn discovery() {
        let check = |accept: &str, expected: Option<(Format, bool)>| {
            assert_eq!(of_discovery(accept), expected, "{accept}");
        };
        let whole = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let before = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        check(
            &format!("{whole},{before},application/json"),
            Some((Format::Json, true)),
        );
        check(&format!("{before},application/json"), Some((Format::Json, false)));
        check(before, None);
        check("", Some((Format::Json, false)));
    }

    #[test]
    fn formats() {
        let check = |accept: &str, expected: Option<Format>, named: bool| {
            assert_eq!(plain(accept), expected, "{accept}");
            assert_eq!(names(accept, &TYPES), named, "{accept}");
        };
        check("", Some(Format::Json), true);
        check("application/*", Some(Format::Json), false);
        check(TABLE, None, true);
        check(&format!("{TABLE},application/yaml"), Some(Format::Yaml), true);
        check("text/html", None, false);
        check("text/html, application/yaml", Some(Format::Yaml), true);
    }
}
