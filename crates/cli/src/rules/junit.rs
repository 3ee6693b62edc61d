//! Results as CI servers read them: JUnit's XML, which is three elements and needs no library.

use std::fmt::Write as _;
use std::time::Duration;

use super::scenarios::Played;

/// One `<testsuite>` for each file, one `<testcase>` for each case.
pub(super) fn report(played: &[Played]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let total: usize = played.iter().map(Played::len).sum();
    let errors: usize = played.iter().map(errors_in).sum();
    let failures = played.iter().map(Played::failed).sum::<usize>() - errors;
    let time = seconds(played.iter().map(took).sum());
    // Writing into a text can't fail.
    let _ = writeln!(
        xml,
        "<testsuites name=\"gluehook rules test\" tests=\"{total}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time}\">"
    );
    for file in played {
        let name = escaped(&file.file.display().to_string());
        let (tests, errors, time) = (file.len(), errors_in(file), seconds(took(file)));
        let failures = file.failed() - errors;
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{time}\">"
        );
        for case in &file.cases {
            let place = Place { file: &name, line: Some(case.line), took: case.took };
            let says = escaped(&case.says);
            match &case.difference {
                None => {
                    let _ = writeln!(xml, "    <testcase {} name=\"{says}\"/>", place.attributes());
                }
                Some(difference) => fault(&mut xml, &place, &says, "failure", difference),
            }
        }
        if !file.complaints.is_empty() {
            let place = Place { file: &name, line: file.at, took: Duration::ZERO };
            fault(&mut xml, &place, "can be read", "error", &file.complaints.join("\n"));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// A file that can't be read is an error: nothing was tried that could have failed.
fn errors_in(file: &Played) -> usize {
    usize::from(!file.complaints.is_empty())
}

fn took(file: &Played) -> Duration {
    file.cases.iter().map(|case| case.took).sum()
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// Where a case is, and how long it took.
struct Place<'a> {
    /// Escaped.
    file: &'a str,
    line: Option<usize>,
    took: Duration,
}

impl Place<'_> {
    /// `file` and `line` are what CI servers link to.
    fn attributes(&self) -> String {
        let file = self.file;
        let line = self.line.map(|line| format!(" line=\"{line}\"")).unwrap_or_default();
        format!("classname=\"{file}\" file=\"{file}\"{line} time=\"{}\"", seconds(self.took))
    }
}

/// `element`: `failure` or `error`.
fn fault(xml: &mut String, place: &Place<'_>, name: &str, element: &str, why: &str) {
    let first = escaped(why.lines().next().unwrap_or_default());
    let at = place.line.map_or_else(|| place.file.to_owned(), |line| format!("{}:{line}", place.file));
    let _ = writeln!(
        xml,
        "    <testcase {} name=\"{name}\">\n      <{element} message=\"{first}\" type=\"{element}\">{at}: {}</{element}>\n    </testcase>",
        place.attributes(),
        escaped(why)
    );
}

/// For element and attribute alike; what XML 1.0 has no place for becomes the replacement character.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' => safe.push_str("&#10;"),
            '\t' => safe.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::scenarios::Case;
    use super::*;

    #[test]
    fn a_report_names_what_passed_what_failed_and_what_could_not_be_read() {
        let case = |says: &str, difference: Option<&str>| Case {
            says: says.to_owned(),
            line: 3,
            passed: difference.is_none(),
            difference: difference.map(str::to_owned),
            matched: vec![],
            took: Duration::from_micros(1500),
        };
        let played = [
            Played {
                file: "a.toml".into(),
                cases: vec![case("fine", None), case("\"odd\" <\u{1b}>", Some("a & b\nmore"))],
                complaints: vec![],
                at: None,
            },
            Played {
                file: "b.toml".into(),
                cases: vec![],
                complaints: vec!["b.toml:1:1: no".into()],
                at: Some(1),
            },
        ];
        assert_eq!(
            report(&played),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="gluehook rules test" tests="3" failures="1" errors="1" time="0.003000">
  <testsuite name="a.toml" tests="2" failures="1" errors="0" skipped="0" time="0.003000">
    <testcase classname="a.toml" file="a.toml" line="3" time="0.001500" name="fine"/>
    <testcase classname="a.toml" file="a.toml" line="3" time="0.001500" name="&quot;odd&quot; &lt;�&gt;">
      <failure message="a &amp; b" type="failure">a.toml:3: a &amp; b&#10;more</failure>
    </testcase>
  </testsuite>
  <testsuite name="b.toml" tests="1" failures="0" errors="1" skipped="0" time="0.000000">
    <testcase classname="b.toml" file="b.toml" line="1" time="0.000000" name="can be read">
      <error message="b.toml:1:1: no" type="error">b.toml:1: b.toml:1:1: no</error>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
