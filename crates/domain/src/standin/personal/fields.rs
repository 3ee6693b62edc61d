//! Fields whose name says that their value is a person's.

use super::Kind;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::standin) enum Field {
    Of(Kind),
    /// `name`: a person's beside something that is a person's.
    Name,
}

/// A part of the name, lower-case and without what is neither letter nor digit.
const PARTS: &[(&str, Kind)] = &[
    ("birth", Kind::Birth),
    ("geboorte", Kind::Birth),
    ("creditcard", Kind::Card),
    ("burgerservice", Kind::Bsn),
];

/// Its end.
const ENDINGS: &[(&str, Kind)] = &[
    ("email", Kind::Email),
    ("emails", Kind::Email),
    ("emailaddress", Kind::Email),
    ("phone", Kind::Phone),
    ("phones", Kind::Phone),
    ("phonenumber", Kind::Phone),
    ("telephone", Kind::Phone),
    ("telefoon", Kind::Phone),
    ("telefoonnummer", Kind::Phone),
    ("mobilenumber", Kind::Phone),
    ("faxnumber", Kind::Phone),
    ("ipaddress", Kind::Ip),
    ("remoteaddr", Kind::Ip),
    ("macaddress", Kind::Mac),
    ("iban", Kind::Iban),
    ("bsn", Kind::Bsn),
    ("cardnumber", Kind::Card),
    ("firstname", Kind::Name),
    ("middlename", Kind::Name),
    ("lastname", Kind::Name),
    ("fullname", Kind::Name),
    ("givenname", Kind::Name),
    ("familyname", Kind::Name),
    ("maidenname", Kind::Name),
    ("nickname", Kind::Name),
    ("contactname", Kind::Name),
    ("contactperson", Kind::Name),
    ("customername", Kind::Name),
    ("cardholder", Kind::Name),
    ("accountholder", Kind::Name),
    ("surname", Kind::Name),
    ("voornaam", Kind::Name),
    ("achternaam", Kind::Name),
    ("address", Kind::Address),
    ("addresses", Kind::Address),
    ("addressline1", Kind::Address),
    ("addressline2", Kind::Address),
    ("adres", Kind::Address),
    ("street", Kind::Address),
    ("straat", Kind::Address),
    ("streetname", Kind::Address),
    ("housenumber", Kind::Address),
    ("huisnummer", Kind::Address),
    ("postcode", Kind::Address),
    ("zipcode", Kind::Address),
    ("postalcode", Kind::Address),
    ("woonplaats", Kind::Address),
];

/// The whole of it: as an ending it would be found in other words.
const WHOLE: &[(&str, Kind)] = &[
    ("tel", Kind::Phone),
    ("mobile", Kind::Phone),
    ("mobiel", Kind::Phone),
    ("gsm", Kind::Phone),
    ("fax", Kind::Phone),
    ("whatsapp", Kind::Phone),
    ("mail", Kind::Email),
    ("ip", Kind::Ip),
    ("ipv4", Kind::Ip),
    ("ipv6", Kind::Ip),
    ("clientip", Kind::Ip),
    ("remoteip", Kind::Ip),
    ("sourceip", Kind::Ip),
    ("userip", Kind::Ip),
    ("mac", Kind::Mac),
    ("ssn", Kind::Bsn),
    ("dob", Kind::Birth),
    ("initials", Kind::Name),
    ("voorletters", Kind::Name),
    ("tussenvoegsel", Kind::Name),
    ("username", Kind::Name),
    ("address1", Kind::Address),
    ("address2", Kind::Address),
    ("zip", Kind::Address),
    ("city", Kind::Address),
    ("town", Kind::Address),
    ("latitude", Kind::Address),
    ("longitude", Kind::Address),
];

pub(in crate::standin) fn field(name: &str) -> Option<Field> {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let of = |list: &'static [(&str, Kind)], fits: fn(&str, &str) -> bool| {
        // `ipaddress` is an address of a machine: the longest that fits says what it is.
        let fitting = list.iter().filter(|(part, _)| fits(&plain, part));
        fitting.max_by_key(|(part, _)| part.len()).map(|(_, kind)| Field::Of(*kind))
    };
    of(WHOLE, |name, whole| name == whole)
        .or_else(|| of(PARTS, |name, part| name.contains(part)))
        .or_else(|| of(ENDINGS, |name, ending| name.ends_with(ending)))
        .or_else(|| (plain == "name" || plain == "naam").then_some(Field::Name))
}
