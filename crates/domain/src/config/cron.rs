//! Schedules as hotglue takes them: the five fields of UNIX cron in `cron(…)`, UTC.
//!
//! What can't be is told from what is only not documented: AWS writes a sixth field, `?`, `L`, `W` and `#`, and hotglue may
//! hand them on.

/// What is to be said of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// No cron takes it.
    Wrong(String),
    /// Others than UNIX cron take it.
    Unusual(String),
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words for its numbers, from `least` on.
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, words: &[] },
    Field { name: "hour", least: 0, most: 23, words: &[] },
    Field { name: "day of the month", least: 1, most: 31, words: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        words: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    },
    // Sunday is 0 and 7.
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    },
];

/// Looks at an expression with its wrapping.
///
/// # Errors
/// What is wrong with it, or not documented: a sentence.
pub fn look(expression: &str) -> Result<(), Doubt> {
    let inner = expression.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')'));
    let Some(inner) = inner else {
        return Err(Doubt::Wrong("it must be written as cron(0 */4 * * *)".to_owned()));
    };
    let given: Vec<_> = inner.split_whitespace().collect();
    match given.len() {
        5 => {}
        6 => {
            return Err(Doubt::Unusual(
                "it has six fields, as AWS writes it; hotglue documents five: minute, hour, day of the month, month, day of the week".to_owned(),
            ));
        }
        number => {
            return Err(Doubt::Wrong(format!(
                "it has {number} fields and not five: minute, hour, day of the month, month, day of the week"
            )));
        }
    }
    let mut unusual = None;
    for (field, text) in FIELDS.iter().zip(given) {
        for part in text.split(',') {
            match field.part(part) {
                Ok(()) => {}
                Err(Doubt::Unusual(said)) => unusual = unusual.or(Some(said)),
                Err(wrong) => return Err(wrong),
            }
        }
    }
    unusual.map_or(Ok(()), |said| Err(Doubt::Unusual(said)))
}

impl Field {
    /// `*`, `5`, `1-5`, `MON`, each with `/2` or without.
    fn part(&self, part: &str) -> Result<(), Doubt> {
        let name = self.name;
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let aws = |c: char| matches!(c, '?' | 'L' | 'W' | '#');
        let word = |text: &str| self.words.iter().any(|word| word.eq_ignore_ascii_case(text));
        if part.contains(aws) && !range.split('-').all(word) {
            return Err(Doubt::Unusual(format!(
                "its {name} `{part}` is none of UNIX cron, which hotglue documents"
            )));
        }
        if let Some(step) = step {
            match step.parse::<u32>() {
                Ok(0) | Err(_) => {
                    return Err(Doubt::Wrong(format!(
                        "its {name} `{part}` has no number from 1 on behind the `/`"
                    )));
                }
                Ok(step) if step > self.most - self.least + 1 => {
                    return Err(Doubt::Unusual(format!(
                        "its {name} `{part}` takes steps that are longer than the whole"
                    )));
                }
                Ok(_) => {}
            }
        }
        if range == "*" {
            return Ok(());
        }
        let number = |text: &str| {
            let named = self.words.iter().zip(self.least..).find(|(word, _)| word.eq_ignore_ascii_case(text));
            let number = named.map(|(_, number)| number).or_else(|| text.parse().ok());
            match number {
                Some(number) if (self.least..=self.most).contains(&number) => Ok(number),
                Some(_) => Err(Doubt::Wrong(format!(
                    "its {name} `{text}` is not between {} and {}",
                    self.least, self.most
                ))),
                None if text.is_empty() => Err(Doubt::Wrong(format!("its {name} `{part}` is not whole"))),
                None => Err(Doubt::Wrong(format!("its {name} `{text}` is no number"))),
            }
        };
        match range.split_once('-') {
            None => number(range).map(drop),
            Some((from, to)) if number(from)? <= number(to)? => Ok(()),
            Some(_) => Err(Doubt::Unusual(format!("its {name} `{part}` runs backwards"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hotglue_documents_is_not_doubted() {
        for fields in [
            "0 0 * * *",
            "0 */4 * * *",
            "30 */4 * * *",
            "0,30 8-18/2 1-15 JAN-jun,12 mon-FRI",
            "*/5 * * * 0",
            "15 3 31 12 7",
            "0 6 * JUL WED",
        ] {
            assert_eq!(look(&format!("cron({fields})")), Ok(()), "{fields}");
        }
    }

    #[test]
    fn what_no_cron_takes_is_wrong_with_the_field_that_is() {
        for (fields, says) in [
            ("60 * * * *", "its minute `60` is not between 0 and 59"),
            ("0 25 * * *", "its hour `25` is not between 0 and 23"),
            ("0 0 0 * *", "its day of the month `0`"),
            ("0 0 * 13 *", "its month `13`"),
            ("0 0 * * 8", "its day of the week `8`"),
            ("0 0 * * MOO", "`MOO` is no number"),
            ("0 */0 * * *", "no number from 1 on behind the `/`"),
            ("0 1, * * *", "its hour `` is not whole"),
            ("0 1- * * *", "its hour `1-` is not whole"),
            ("* * * *", "it has 4 fields and not five"),
            ("", "it has 0 fields"),
        ] {
            let found = look(&format!("cron({fields})"));
            assert!(matches!(&found, Err(Doubt::Wrong(said)) if said.contains(says)), "{fields}: {found:?}");
        }
        assert!(matches!(look("every day"), Err(Doubt::Wrong(_))));
    }

    #[test]
    fn what_others_take_is_only_unusual() {
        for fields in
            ["0 12 * * ? *", "0 0 L * *", "0 0 ? * MON#1", "0 0 15W * *", "0 22-4 * * *", "*/90 * * * *"]
        {
            let found = look(&format!("cron({fields})"));
            assert!(matches!(found, Err(Doubt::Unusual(_))), "{fields}: {found:?}");
        }
    }
}
