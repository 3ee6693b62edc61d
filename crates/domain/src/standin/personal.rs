//! Recognises what is a person's or an account's in a text: addresses of mail and of machines, telephone, card, account
//! and citizen service numbers, dates of birth. Times, version numbers, codes and counts are none of these.

mod fields;
mod numbers;
#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

pub(super) use self::fields::{Field, field};

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A time with its date: it stays.
    Time,
    /// A UUID: it may be a customer's, or a key.
    Id,
    Email,
    Ip,
    Mac,
    Phone,
    Card,
    /// Burgerservicenummer, the Dutch citizen service number.
    Bsn,
    Iban,
    /// A date of birth.
    Birth,
    /// A person's name; known by its field alone.
    Name,
    /// A place where somebody lives or works; known by its field alone.
    Address,
}

impl Kind {
    /// What its tokens begin with.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Time | Self::Id => "id",
            Self::Email => "email",
            Self::Ip => "ip",
            Self::Mac => "mac",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Bsn => "bsn",
            Self::Iban => "iban",
            Self::Birth => "birth",
            Self::Name => "name",
            Self::Address => "address",
        }
    }

    /// As a person calls it.
    pub(super) fn said(self) -> &'static str {
        match self {
            Self::Time => "a time",
            Self::Id => "a UUID",
            Self::Email => "an email address",
            Self::Ip => "an IP address",
            Self::Mac => "a MAC address",
            Self::Phone => "a telephone number",
            Self::Card => "a card number",
            Self::Bsn => "a citizen service number",
            Self::Iban => "an IBAN",
            Self::Birth => "a date of birth",
            Self::Name => "a name",
            Self::Address => "an address",
        }
    }

    /// A value as it is however it was written: `NL91 ABNA …` and `nl91abna…` are one.
    pub(super) fn canonical(self, text: &str) -> String {
        let only = |keep: fn(&char) -> bool| text.chars().filter(keep).collect::<String>();
        match self {
            Self::Time | Self::Name | Self::Address | Self::Birth => text.trim().to_owned(),
            Self::Email | Self::Id => text.trim().to_lowercase(),
            Self::Ip => text.parse::<Ipv6Addr>().map_or_else(|_| text.to_owned(), |ip| ip.to_string()),
            Self::Mac => only(char::is_ascii_hexdigit).to_ascii_lowercase(),
            Self::Card | Self::Bsn => only(char::is_ascii_digit),
            Self::Iban => only(char::is_ascii_alphanumeric).to_ascii_uppercase(),
            Self::Phone => {
                let digits = only(char::is_ascii_digit);
                digits.strip_prefix("00").map(str::to_owned).unwrap_or(digits)
            }
        }
    }
}

/// Something recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) at: Range<usize>,
    pub(super) kind: Kind,
}

/// What is recognised in a text, in its order and without overlaps.
pub(super) fn find(text: &str) -> Vec<Found> {
    // Two of these each are in everything that is recognised.
    if !text.bytes().any(|byte| byte.is_ascii_digit() || byte == b'@') {
        return Vec::new();
    }
    let mut all = All { text, found: Vec::new() };
    // What says more of itself comes first, and nothing is taken out of it.
    all.captured(&BORN, Kind::Birth, |_| true);
    all.captured(&TIME, Kind::Time, |_| true);
    all.captured(&UUID, Kind::Id, |_| true);
    all.captured(&EMAIL, Kind::Email, |_| true);
    all.numbers(Kind::Iban, numbers::ibans(text));
    all.ipv6();
    all.captured(&MAC, Kind::Mac, |_| true);
    all.ipv4();
    all.captured(&HOST, Kind::Ip, |_| true);
    all.captured(&BSN, Kind::Bsn, numbers::is_bsn);
    all.numbers(Kind::Card, numbers::cards(text));
    all.numbers(Kind::Phone, numbers::phones(text));
    all.found.sort_by_key(|found| found.at.start);
    all.found
}

struct All<'t> {
    text: &'t str,
    found: Vec<Found>,
}

impl All<'_> {
    /// Unless something else was recognised there, or it is a part of a longer word.
    fn add(&mut self, at: Range<usize>, kind: Kind) {
        let free = self.found.iter().all(|other| at.end <= other.at.start || other.at.end <= at.start);
        if free && alone(self.text, &at) {
            self.found.push(Found { at, kind });
        }
    }

    fn captured(&mut self, pattern: &Regex, kind: Kind, is_one: fn(&str) -> bool) {
        for captures in pattern.captures_iter(self.text) {
            if let Some(found) = captures.name("it").filter(|found| is_one(found.as_str())) {
                self.add(found.range(), kind);
            }
        }
    }

    fn numbers(&mut self, kind: Kind, found: Vec<Range<usize>>) {
        found.into_iter().for_each(|at| self.add(at, kind));
    }

    fn ipv6(&mut self) {
        for found in IPV6.find_iter(self.text) {
            let mut at = found.range();
            // `addr:2001:db8::1: refused`
            while at.len() > 2 {
                let candidate = &self.text[at.clone()];
                if candidate.parse::<Ipv6Addr>().is_ok() {
                    // `dead::beef` may be a path of a program.
                    if candidate.bytes().any(|byte| byte.is_ascii_digit()) {
                        self.add(at, Kind::Ip);
                    }
                    break;
                }
                if candidate.ends_with(':') {
                    at.end -= 1;
                } else if candidate.starts_with(':') {
                    at.start += 1;
                } else {
                    break;
                }
            }
        }
    }

    fn ipv4(&mut self) {
        for found in IPV4.find_iter(self.text) {
            let parts = found.as_str().split('.');
            let fits = parts.clone().count() == 4 && parts.clone().all(|part| part.parse::<u8>().is_ok());
            if fits && !VERSION_BEFORE.is_match(&self.text[..found.start()]) {
                self.add(found.range(), Kind::Ip);
            }
        }
    }
}

/// Does neither a letter nor a digit stand directly before and after? The letter of `\n`, in a text that quotes another, is
/// none.
fn alone(text: &str, at: &Range<usize>) -> bool {
    let of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
    let before = &text[..at.start];
    let escaped = [r"\n", r"\r", r"\t"].iter().any(|escape| before.ends_with(escape));
    (escaped || !of_word(before.chars().next_back())) && !of_word(text[at.end..].chars().next())
}

macro_rules! pattern {
    ($name:ident, $($part:literal),+) => {
        static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(concat!($($part),+)).expect("the pattern is tested"));
    };
}

pattern!(
    BORN,
    r"(?i)(?:date[ _\-]?of[ _\-]?birth|birth[ _\-]?(?:date|day)|(?-u:\b)dob(?-u:\b)|(?-u:\b)born(?-u:\b)|geboren|geboorte[ _\-]?datum)",
    r"[^\d\n]{0,20}?(?P<it>\d{4}[\-/.]\d{1,2}[\-/.]\d{1,2}(?:T[\d:.]+(?:Z|[+\-]\d\d:?\d\d)?)?",
    r"|\d{1,2}[\-/. ]\d{1,2}[\-/. ]\d{2,4}|\d{1,2}(?:st|nd|rd|th)?[ \-]\p{L}{3,9}\.?[ \-]\d{4}|\p{L}{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}|\d{8})"
);
pattern!(TIME, r"(?P<it>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+\-]\d\d:?\d\d)?)");
pattern!(UUID, r"(?i)(?P<it>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})");
pattern!(
    EMAIL,
    r"(?P<it>[\p{L}\p{N}_][\p{L}\p{N}._%+\-']*@[\p{L}\p{N}\-]+(?:\.[\p{L}\p{N}\-]*[\p{L}\p{N}])+)"
);
pattern!(MAC, r"(?i)(?P<it>[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5}))");
pattern!(IPV6, r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.\d{1,3}){3})?");
// `ip-10-0-0-7.ec2.internal`
pattern!(HOST, r"(?i)(?P<it>ip(?:-[0-9]{1,3}){4})");
pattern!(IPV4, r"\d+(?:\.\d+)+");
// `v1.2.3.4`, `version 1.2.3.4`, `pandas==1.2.3.4`, `Chrome/120.0.0.0`
pattern!(
    VERSION_BEFORE,
    r"(?:(?i:(?-u:\b)(?:v|ver|version|release)[.:=\s]*)|[=~<>]=\s*|(?-u:\b)[A-Z][A-Za-z]*/)$"
);
pattern!(
    BSN,
    r"(?i)(?:bsn|burgerservicenummer|sofi[ \-]?nummer|citizen service number)[^\d\n]{0,20}(?P<it>\d(?:[ .\-]?\d){7,8})"
);
