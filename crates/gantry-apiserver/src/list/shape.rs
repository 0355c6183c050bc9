//! What a list looks like on the wire.

use super::Objects;
use crate::stored::decode_as;
use crate::table;
use crate::view::{self, View};
use crate::yaml;
use gantry_api::status::Status;
use gantry_store::Entry;
use serde_json::{Value, json};

/// A look of lists, but for protobuf.
pub struct Shape {
    /// How its objects look.
    pub view: View,
    /// Whether it is YAML, not JSON.
    pub yaml: bool,
    /// The time that ages in tables are as of.
    pub now: i64,
}

/// A list's own object, without its items.
pub fn list_of(objects: &Objects, view: View) -> Value {
    match view {
        View::Whole => objects.list(),
        View::Metadata(meta) => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": meta.api_version(), "metadata": objects.metadata(),
        }),
        View::Table(_, meta) => json!({
            "kind": "Table", "apiVersion": meta.api_version(), "metadata": objects.metadata(),
            "columnDefinitions": table::columns(&objects.kind),
        }),
    }
}

impl Shape {
    /// The type of the answer.
    pub fn content_type(&self) -> &'static str {
        match self.yaml {
            true => "application/yaml",
            false => "application/json",
        }
    }

    /// What comes before the items, and after them.
    pub fn frame(&self, objects: &Objects) -> (String, String) {
        let mut list = list_of(objects, self.view);
        let items = match self.view {
            View::Table(..) => "rows",
            _ => "items",
        };
        if self.yaml {
            // Upstream's YAML is in the order of the alphabet, in which only metadata and kind may follow.
            let mut after = json!({});
            for field in ["kind", "metadata"]
                .into_iter()
                .filter(|f| *f > items || items == "items")
            {
                after[field] = list[field].take();
            }
            let fields = list.as_object_mut();
            fields
                .into_iter()
                .for_each(|fields| fields.retain(|_, v| !v.is_null()));
            let tail = match after.as_object().is_none_or(serde_json::Map::is_empty) {
                true => String::new(),
                false => yaml::write(&after),
            };
            return (format!("{}{items}:", yaml::write(&list)), tail);
        }
        let mut head = list.to_string();
        head.pop();
        head.push_str(&format!(",\"{items}\":"));
        (head, "}".into())
    }

    /// What stands after the last item, or in the place of all if there are none.
    pub fn end(&self, empty: bool) -> &'static str {
        let null = matches!(self.view, View::Metadata(_));
        match (self.yaml, empty) {
            (true, true) if null => " null\n",
            (true, true) => " []\n",
            (true, false) => "",
            (false, true) if null => "null",
            (false, true) => "[]",
            (false, false) => "]",
        }
    }

    /// Appends an item.
    pub fn write(
        &self,
        objects: &Objects,
        entry: &Entry,
        first: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        match (self.yaml, first) {
            (true, true) => out.push(b'\n'),
            (true, false) => {}
            (false, true) => out.push(b'['),
            (false, false) => out.push(b','),
        }
        if !self.yaml && self.view == View::Whole && objects.head.write_item(entry, out) {
            return Ok(());
        }
        let mut object = decode_as(&objects.kind, entry)?;
        match self.view {
            View::Table(include, meta) => {
                object = table::row(&objects.kind, &object, include, meta, self.now);
            }
            View::Metadata(meta) => object = view::metadata(&object, meta),
            // Items of custom resources say themselves what they are.
            View::Whole if objects.kind.custom.is_some() => {}
            View::Whole => {
                if let Some(map) = object.as_object_mut() {
                    map.remove("apiVersion");
                    map.remove("kind");
                }
            }
        }
        if self.yaml {
            out.extend_from_slice(yaml::write_item(&object).as_bytes());
            return Ok(());
        }
        serde_json::to_writer(out, &object).map_err(Status::internal)
    }
}
