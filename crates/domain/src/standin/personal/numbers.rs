//! Numbers that are somebody's, and the sums that tell them from others.

use std::ops::{Range, RangeInclusive};
use std::sync::LazyLock;

use regex::Regex;

/// How long the IBANs of a country are (ISO 13616, the register of SWIFT).
const IBAN_LENGTHS: &[(usize, &str)] = &[
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HU LB PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

pub(super) fn ibans(text: &str) -> Vec<Range<usize>> {
    static BEGINS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)[A-Z]{2}[0-9]{2}[ \-]?[A-Z0-9]").expect("the pattern is tested"));
    let mut found = Vec::new();
    let mut from = 0;
    // What looks like one and is none may hide one that begins within it.
    while let Some(begun) = BEGINS.find_at(text, from) {
        let start = begun.start();
        from = start + 1;
        let country = text[start..start + 2].to_ascii_uppercase();
        let length = IBAN_LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|c| c == country));
        let Some((end, plain)) = length.and_then(|(length, _)| grouped(text, start, *length)) else {
            continue;
        };
        if is_iban(&plain) {
            found.push(start..end);
            from = end;
        }
    }
    found
}

/// So many letters and digits from there on, one space or hyphen between groups of them left out; and where they end.
fn grouped(text: &str, start: usize, length: usize) -> Option<(usize, String)> {
    let mut plain = String::with_capacity(length);
    let mut between = false;
    for (at, c) in text[start..].char_indices() {
        if c.is_ascii_alphanumeric() {
            plain.push(c.to_ascii_uppercase());
            between = false;
            if plain.len() == length {
                return Some((start + at + 1, plain));
            }
        } else if matches!(c, ' ' | '-') && !between {
            between = true;
        } else {
            return None;
        }
    }
    None
}

/// ISO 7064: the number that its letters and digits make, turned by four places, is 1 when divided by 97.
fn is_iban(plain: &str) -> bool {
    let turned = plain[4..].chars().chain(plain[..4].chars());
    let rest = turned
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, value| if value < 10 { (rest * 10 + value) % 97 } else { (rest * 100 + value) % 97 });
    rest == 1
}

/// Groups of digits with one space, hyphen or full stop between two.
fn groups_of_digits(text: &str) -> impl Iterator<Item = Vec<Range<usize>>> {
    static GROUPS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[0-9]+(?:[ .\-][0-9]+)*").expect("the pattern is tested"));
    GROUPS.find_iter(text).map(|found| {
        let mut groups = Vec::new();
        let mut start = found.start();
        for part in found.as_str().split([' ', '.', '-']) {
            groups.push(start..start + part.len());
            start += part.len() + 1;
        }
        groups
    })
}

/// How numbers of cards begin, from and to, and how long they are: what the issuers publish of Mastercard, Visa, American
/// Express, Discover, Diners Club, JCB, `UnionPay`, Mir and Maestro. No time in milliseconds of this century up to 2096 begins so.
const ISSUED: &[(RangeInclusive<u32>, &[usize])] = &[
    (4..=4, &[13, 16, 19]),
    (51..=55, &[16]),
    (2221..=2720, &[16]),
    (34..=34, &[15]),
    (37..=37, &[15]),
    (6011..=6011, &[16, 17, 18, 19]),
    (644..=659, &[16, 17, 18, 19]),
    (36..=36, &[14, 15, 16, 17, 18, 19]),
    (38..=39, &[14, 15, 16, 17, 18, 19]),
    (300..=305, &[14, 15, 16, 17, 18, 19]),
    (3528..=3589, &[16, 17, 18, 19]),
    (62..=62, &[16, 17, 18, 19]),
    (81..=82, &[16]),
    (2200..=2204, &[16, 17, 18, 19]),
    (5018..=5018, &[13, 14, 15, 16, 17, 18, 19]),
    (5020..=5020, &[13, 14, 15, 16, 17, 18, 19]),
    (5038..=5038, &[13, 14, 15, 16, 17, 18, 19]),
    (5893..=5893, &[13, 14, 15, 16, 17, 18, 19]),
    (6304..=6304, &[13, 14, 15, 16, 17, 18, 19]),
    (6759..=6763, &[13, 14, 15, 16, 17, 18, 19]),
];

/// Numbers of payment cards: 13 to 19 digits that begin as an issuer's, whole or in groups of three to six, whose sum is right.
pub(super) fn cards(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for groups in groups_of_digits(text) {
        let mut first = 0;
        while first < groups.len() {
            let ends = (first..groups.len()).rev();
            let whole = |last: &usize| is_card(text, &groups[first..=*last]);
            match ends.into_iter().find(whole) {
                Some(last) => {
                    found.push(groups[first].start..groups[last].end);
                    first = last + 1;
                }
                None => first += 1,
            }
        }
    }
    found
}

fn is_card(text: &str, groups: &[Range<usize>]) -> bool {
    let length: usize = groups.iter().map(ExactSizeIterator::len).sum();
    let shaped = match groups {
        [_] => true,
        [first, others @ ..] => first.len() == 4 && others.iter().all(|group| (3..=6).contains(&group.len())),
        [] => false,
    };
    let digits: Vec<u32> =
        groups.iter().flat_map(|group| text[group.clone()].chars()).filter_map(|c| c.to_digit(10)).collect();
    shaped && (13..=19).contains(&length) && is_issued(&digits) && luhn(&digits)
}

fn is_issued(digits: &[u32]) -> bool {
    ISSUED.iter().any(|(begins, lengths)| {
        let places = begins.end().ilog10() as usize + 1;
        let first = digits.iter().take(places).fold(0, |first, digit| first * 10 + digit);
        begins.contains(&first) && lengths.contains(&digits.len())
    })
}

/// ISO/IEC 7812: every second digit from the right doubled, the sum of all is a multiple of ten.
fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) => doubled / 10 + doubled % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The Dutch test of eleven: the digits by 9, 8 … 2 and -1 make a multiple of eleven. An older number has eight digits.
pub(super) fn is_bsn(text: &str) -> bool {
    let digits: Vec<i32> =
        text.chars().filter_map(|c| c.to_digit(10)).filter_map(|digit| digit.try_into().ok()).collect();
    let (Some(last), 8..=9) = (digits.last(), digits.len()) else { return false };
    let before = digits.iter().rev().skip(1).zip(2..);
    let sum: i32 = before.map(|(digit, factor)| digit * factor).sum::<i32>() - last;
    digits.iter().any(|digit| *digit != 0) && sum % 11 == 0
}

/// Numbers of telephones: international, national as written with a leading 0 or as in North America, or with a word
/// before them that says so.
pub(super) fn phones(text: &str) -> Vec<Range<usize>> {
    static PHONE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?i)(?:(?-u:\b)(?:tele|mobile|cell)?(?:phone|fon|foon)(?:[ _\-]?(?:number|nummer|no))?|(?-u:\b)(?:tel|mobile|mobiel|gsm|fax|whatsapp)(?-u:\b))[^\d\n+(]{0,12}(?P<said>[+(]?\d[\d ().\-/]{5,20}\d)",
            r"|(?P<abroad>(?:\+[1-9]|00[1-9])[0-9]{0,3}\)?(?:[ .\-/]?(?:\([0-9]{1,4}\)|[0-9]+)){1,7})",
            r"|(?P<american>\([2-9][0-9]{2}\) ?[0-9]{3}[ .\-][0-9]{4}|[2-9][0-9]{2}[.\-][0-9]{3}[.\-][0-9]{4})",
            r"|(?P<home>(?:\(0[1-9][0-9]{0,3}\)|0[1-9][0-9]{0,4})[ .\-/]?(?:[0-9]{2,8})(?:[ .\-][0-9]{2,4}){0,4})",
        ))
        .expect("the pattern is tested")
    });
    static DATE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[0-9]{2}[ .\-/][0-9]{2}[ .\-/](?:19|20)[0-9]{2}(?:[^0-9]|$)")
            .expect("the pattern is tested")
    });
    let mut found = Vec::new();
    for captures in PHONE.captures_iter(text) {
        let kinds = [("said", 7..=15), ("abroad", 8..=16), ("american", 10..=10), ("home", 9..=11)];
        for (name, lengths) in kinds {
            let Some(it) = captures.name(name) else { continue };
            let whole = shortened(it.as_str(), *lengths.end());
            let digits = digits_in(whole);
            if lengths.contains(&digits) && !DATE.is_match(whole) {
                found.push(it.start()..it.start() + whole.len());
            }
        }
    }
    found
}

fn digits_in(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// Without the last groups of digits, when there are too many: another number follows.
fn shortened(mut text: &str, most: usize) -> &str {
    while digits_in(text) > most {
        let Some(end) = text.rfind(|c: char| !c.is_ascii_digit()) else { break };
        text = text[..end].trim_end_matches(|c: char| !c.is_ascii_digit());
    }
    text
}
