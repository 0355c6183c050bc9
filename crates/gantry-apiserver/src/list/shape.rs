//! What a list looks like on the wire.

use super::Objects;
use crate::stored::decode_as;
use crate::table;
use crate::view::{self, View};
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
    pub fn frame(&self, objects: &Objects) -> Result<(String, String), Status> {
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
            let text = |value: &Value| serde_saphyr::to_string(value).map_err(Status::internal);
            let tail = match after.as_object().is_none_or(serde_json::Map::is_empty) {
                true => String::new(),
                false => text(&after)?,
            };
            return Ok((
                format!("{}\n{items}:", text(&list)?.trim_end()),
                format!("\n{tail}"),
            ));
        }
        let mut head = list.to_string();
        head.pop();
        head.push_str(&format!(",\"{items}\":["));
        Ok((head, "]}".into()))
    }

    /// Appends an item.
    pub fn write(
        &self,
        objects: &Objects,
        entry: &Entry,
        first: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        if !self.yaml && !first {
            out.push(b',');
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
            let text = serde_saphyr::to_string(&object).map_err(Status::internal)?;
            for (n, line) in text.trim_end().lines().enumerate() {
                out.extend_from_slice(if n == 0 { b"\n- " } else { b"\n  " });
                out.extend_from_slice(line.as_bytes());
            }
            return Ok(());
        }
        serde_json::to_writer(out, &object).map_err(Status::internal)
    }
}
