//! What counts within a time: `limit` and `fold`.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::fields::{Reader, get};
use crate::rulebook::{Fold, Limit};
use crate::span;

pub(super) fn limit(
    reader: &mut Reader<'_>,
    item: &toml::Spanned<DeValue<'_>>,
    place: &str,
) -> Option<Limit> {
    let table = table(reader, item, place, "limit", "tenants", "tenants = 10")?;
    let tenants = number(reader, item, table, &format!("{place}limit: "), "tenants", 1);
    let per = per(reader, item, table, &format!("{place}limit: "));
    Some(Limit { tenants: tenants?, per: per? })
}

pub(super) fn fold(reader: &mut Reader<'_>, item: &toml::Spanned<DeValue<'_>>, place: &str) -> Option<Fold> {
    let table = table(reader, item, place, "fold", "after", "after = 3")?;
    let place = &format!("{place}fold: ");
    let after = number(reader, item, table, place, "after", 0);
    let per = per(reader, item, table, place)?;
    if per < Duration::from_secs(1) {
        let at = get(table, "per").map_or_else(|| item.span(), toml::Spanned::span);
        reader.say(&at, format!("{place}`per` is too short: write \"1s\" or more"));
        return None;
    }
    Some(Fold { after: after?, per })
}

fn table<'t, 'i>(
    reader: &mut Reader<'_>,
    item: &'t toml::Spanned<DeValue<'i>>,
    place: &str,
    name: &str,
    counts: &str,
    example: &str,
) -> Option<&'t DeTable<'i>> {
    let DeValue::Table(table) = item.get_ref() else {
        let sentence = format!("{place}`{name}` is a table, such as {{ {example}, per = \"10m\" }}");
        reader.say(&item.span(), sentence);
        return None;
    };
    reader.only(table, &[counts, "per"], &format!("{place}{name}: "));
    Some(table)
}

fn number(
    reader: &mut Reader<'_>,
    item: &toml::Spanned<DeValue<'_>>,
    table: &DeTable<'_>,
    place: &str,
    name: &str,
    least: u32,
) -> Option<u32> {
    let number = match get(table, name).map(toml::Spanned::get_ref) {
        Some(DeValue::Integer(number)) => {
            u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| *number >= least)
        }
        _ => None,
    };
    if number.is_none() {
        let at = get(table, name).map_or_else(|| item.span(), toml::Spanned::span);
        reader.say(&at, format!("{place}`{name}` is a whole number of at least {least}"));
    }
    number
}

fn per(
    reader: &mut Reader<'_>,
    item: &toml::Spanned<DeValue<'_>>,
    table: &DeTable<'_>,
    place: &str,
) -> Option<Duration> {
    let Some(given) = get(table, "per") else {
        reader.say(&item.span(), format!("{place}`per` is missing, such as per = \"10m\""));
        return None;
    };
    let given = reader.text(given, "per", place)?;
    span::duration(&given.text).map_err(|why| reader.say(&given.span, format!("{place}{why}"))).ok()
}
