//! Results as CI servers read them: JUnit's XML, which is three elements and needs no library.

use std::fmt::Write as _;

use super::scenarios::Played;

/// One `<testsuite>` for each file, one `<testcase>` for each case.
pub(super) fn report(played: &[Played]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let total: usize = played.iter().map(Played::len).sum();
    let failed: usize = played.iter().map(Played::failed).sum();
    // Writing into a text can't fail.
    let _ =
        writeln!(xml, "<testsuites name=\"gluehook rules test\" tests=\"{total}\" failures=\"{failed}\">");
    for file in played {
        let name = escaped(&file.file.display().to_string());
        let (tests, failures) = (file.len(), file.failed());
        let _ = writeln!(xml, "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">");
        for case in &file.cases {
            let place = Place { file: &name, line: Some(case.line) };
            let says = escaped(&case.says);
            match &case.difference {
                None => {
                    let _ = writeln!(xml, "    <testcase {} name=\"{says}\"/>", place.attributes());
                }
                Some(difference) => failure(&mut xml, &place, &says, difference),
            }
        }
        if !file.complaints.is_empty() {
            let place = Place { file: &name, line: file.at };
            failure(&mut xml, &place, "can be read", &file.complaints.join("\n"));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Where a case is.
struct Place<'a> {
    /// Escaped.
    file: &'a str,
    line: Option<usize>,
}

impl Place<'_> {
    /// `file` and `line` are what CI servers link to.
    fn attributes(&self) -> String {
        let file = self.file;
        let line = self.line.map(|line| format!(" line=\"{line}\"")).unwrap_or_default();
        format!("classname=\"{file}\" file=\"{file}\"{line}")
    }
}

fn failure(xml: &mut String, place: &Place<'_>, name: &str, why: &str) {
    let first = escaped(why.lines().next().unwrap_or_default());
    let at = place.line.map_or_else(|| place.file.to_owned(), |line| format!("{}:{line}", place.file));
    let _ = writeln!(
        xml,
        "    <testcase {} name=\"{name}\">\n      <failure message=\"{first}\">{at}: {}</failure>\n    </testcase>",
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
<testsuites name="gluehook rules test" tests="3" failures="2">
  <testsuite name="a.toml" tests="2" failures="1">
    <testcase classname="a.toml" file="a.toml" line="3" name="fine"/>
    <testcase classname="a.toml" file="a.toml" line="3" name="&quot;odd&quot; &lt;�&gt;">
      <failure message="a &amp; b">a.toml:3: a &amp; b&#10;more</failure>
    </testcase>
  </testsuite>
  <testsuite name="b.toml" tests="1" failures="1">
    <testcase classname="b.toml" file="b.toml" line="1" name="can be read">
      <failure message="b.toml:1:1: no">b.toml:1: b.toml:1:1: no</failure>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
