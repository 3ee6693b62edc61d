//! Where something of a configuration file stands, for what is found once all of it is known.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step into a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum At<'a> {
    Key(&'a str),
    /// From 0.
    Item(usize),
}

/// The offset, in bytes, of what the steps lead to, or of the last of them that is there.
pub(super) fn offset(text: &str, path: &[At<'_>]) -> Option<usize> {
    let file = DeTable::parse(text).ok()?;
    let mut table = Some(file.get_ref());
    let mut list: Option<&[Spanned<DeValue<'_>>]> = None;
    let mut found = None;
    for step in path {
        let value = match *step {
            At::Key(name) => {
                let here = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name));
                let Some((key, value)) = here else { break };
                found = Some(key.span().start);
                value
            }
            At::Item(number) => {
                let Some(item) = list.and_then(|list| list.get(number)) else { break };
                found = Some(item.span().start);
                item
            }
        };
        (table, list) = match value.get_ref() {
            DeValue::Table(inner) => (Some(inner), None),
            DeValue::Array(items) => (None, Some(&**items)),
            _ => (None, None),
        };
    }
    found
}
