//! What may stand in a rulebook: the reader complains about anything else, and the schema for editors is made of it.

use crate::rulebook::Of;

/// A field of a table, with what people are told of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::rulebook) struct Field {
    pub(in crate::rulebook) name: &'static str,
    pub(in crate::rulebook) shape: Shape,
    pub(in crate::rulebook) about: &'static str,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::rulebook) enum Shape {
    /// Of a rule: no slash, no line breaks.
    Name,
    /// It may be empty.
    Note,
    Text,
    /// Not only blanks.
    Words,
    Texts,
    TextOrTexts,
    Action,
    Mode,
    Kinds,
    /// With what holds unless it is given.
    Of(Of),
    Limit,
    Fold,
    Steps,
}

pub(in crate::rulebook) const fn field(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, about }
}

/// Of `[[rule]]`.
pub(in crate::rulebook) const RULE: &[Field] = &[
    field("name", Shape::Name, "What it is called; each name is used once."),
    field("about", Shape::Note, "One sentence for people."),
    field("mode", Shape::Mode, "live; shadow decides and records but does nothing; off."),
    field("on", Shape::Kinds, "Kinds of events; all unless given."),
    field(
        "when",
        Shape::Texts,
        "Conditions, Jinja expressions: all must hold, each is explained on its own.",
    ),
    field(
        "changed",
        Shape::Text,
        "An expression: the rule acts only when its value differs from the last one seen for this tenant and flow.",
    ),
    field("instead_of", Shape::Texts, "Rules that keep silent when this one matches."),
    field("limit", Shape::Limit, "The blast radius: how many tenants it may touch within a time."),
    field(
        "fold",
        Shape::Fold,
        "Storms: how many Slack messages of one kind are posted on their own within a time; the rest is told in one.",
    ),
    field("do", Shape::Steps, "The steps, done in order."),
];

pub(super) fn names(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name).collect()
}
