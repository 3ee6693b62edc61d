//! The JSON Schema of `rules.toml`, for editors: made of the very tables that the reader reads by.

use serde_json::{Map, Value, json};

use super::read::{ACTIONS, RULE, STEP, Shape};
use super::{Mode, Of};
use crate::event::Kind;

/// JSON Schema (draft 2020-12) of a rulebook. Says what may stand where; expressions are checked by `gluehook rules
/// check`.
#[must_use]
pub fn schema() -> Value {
    let rule = table(RULE, &["name"], &[("do", json!({ "type": "array", "items": step() }))]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rules.toml of Gluehook",
        "description": "The rules: what is done about each event.",
        "type": "object",
        "properties": { "rule": { "type": "array", "items": rule } },
        "additionalProperties": false,
    })
}

/// One of the actions, told apart by their word.
fn step() -> Value {
    let every = ACTIONS.iter().map(|action| {
        let word = json!({ "const": action.word });
        let own = table(&[STEP, action.fields].concat(), action.required, &[("action", word)]);
        described(own, action.about)
    });
    json!({ "oneOf": every.collect::<Vec<_>>() })
}

fn table(fields: &[super::read::Field], required: &[&str], more: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let own = more.iter().find(|(name, _)| *name == field.name).map(|(_, schema)| schema.clone());
        properties
            .insert(field.name.to_owned(), described(own.unwrap_or_else(|| shape(field.shape)), field.about));
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn described(mut schema: Value, about: &str) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".to_owned(), about.into());
    }
    schema
}

fn shape(shape: Shape) -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string", "minLength": 1 } });
    match shape {
        Shape::Name => json!({
            "type": "string",
            "pattern": r"^[^/\u0000-\u001f]*[^/\s\u0000-\u001f][^/\u0000-\u001f]*$",
        }),
        Shape::Note => json!({ "type": "string" }),
        Shape::Words => json!({ "type": "string", "pattern": r"\S" }),
        Shape::Text => json!({ "type": "string", "minLength": 1 }),
        Shape::Texts => texts,
        Shape::TextOrTexts => json!({ "anyOf": [{ "type": "string", "minLength": 1 }, texts] }),
        Shape::Mode => json!({ "enum": Mode::ALL.map(Mode::as_str), "default": Mode::Live.as_str() }),
        Shape::Kinds => json!({
            "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": Kind::ALL.map(Kind::as_str) },
        }),
        Shape::Of(default) => json!({ "enum": Of::ALL.map(Of::as_str), "default": default.as_str() }),
        Shape::Limit => json!({
            "type": "object",
            "properties": {
                "tenants": { "type": "integer", "minimum": 1, "maximum": u32::MAX, "description": "How many tenants it may touch." },
                "per": { "type": "string", "pattern": crate::span::DURATION, "description": "Within this time, such as \"10m\"." },
            },
            "required": ["tenants", "per"],
            "additionalProperties": false,
        }),
        Shape::Fold => json!({
            "type": "object",
            "properties": {
                "after": { "type": "integer", "minimum": 0, "maximum": u32::MAX, "description": "How many are posted on their own; 0 for none." },
                "per": { "type": "string", "pattern": crate::span::DURATION, "description": "Within this time, such as \"10m\"; it is over once none came for so long." },
            },
            "required": ["after", "per"],
            "additionalProperties": false,
        }),
        Shape::Action | Shape::Steps => json!({}),
    }
}
