//! What is wrong with a file, as sentences a person can act on.

use std::fmt;

/// One thing wrong with a configuration file or a rulebook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Line and column from 1, where they are known.
    pub at: Option<(usize, usize)>,
    pub sentence: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.sentence),
            None => f.write_str(&self.sentence),
        }
    }
}

impl Complaint {
    #[must_use]
    pub fn general(sentence: impl Into<String>) -> Self {
        Self { at: None, sentence: sentence.into() }
    }

    /// At a byte offset of `text`.
    #[must_use]
    pub fn at_offset(text: &str, offset: usize, sentence: impl Into<String>) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        // A mark of the byte order is no column.
        let of_line = before.rsplit('\n').next().unwrap_or_default().trim_start_matches('\u{feff}');
        let column = of_line.chars().count() + 1;
        Self { at: Some((line, column)), sentence: sentence.into() }
    }

    /// From an error of the TOML reader; an unknown key gets the nearest right one.
    #[must_use]
    pub fn from_toml(error: &toml::de::Error, text: &str) -> Self {
        let message = error.message();
        let sentence = match unknown_name(message) {
            Some((name, known)) => {
                let hint = nearest(name, known.iter().copied()).map_or_else(
                    || format!("known here: {}", known.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                format!("unknown name `{name}`; {hint}")
            }
            None => message.trim().replace('\n', " "),
        };
        match error.span() {
            Some(span) => Self::at_offset(text, span.start, sentence),
            None => Self::general(sentence),
        }
    }
}

/// The text of a file.
///
/// # Errors
/// Where it stops being text, when something in it is no UTF-8.
pub fn utf8(bytes: Vec<u8>) -> Result<String, Complaint> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        Complaint::at_offset(&valid, valid.len(), "this is no text in UTF-8; save the file as UTF-8")
    })
}

/// Takes apart serde's "unknown field `x`, expected one of `a`, `b`" (and "unknown variant").
fn unknown_name(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let name = quoted.next()?;
    Some((name, quoted.collect()))
}

/// The known name most like `name`, if any is like it at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(name.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
