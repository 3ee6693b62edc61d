//! Lines for a terminal as HTML: what the commands print is what the pages show.

use console::AnsiCodeIterator;

/// Escaped, with the styles that [`crate::output`] knows as spans.
pub(super) fn html<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut html = String::new();
    for line in lines {
        let mut open = 0;
        for (part, is_code) in AnsiCodeIterator::new(line) {
            if !is_code {
                escape(part, &mut html);
            } else if let Some(class) = class(part) {
                html.push_str(&format!("<span class=\"{class}\">"));
                open += 1;
            } else if part == "\u{1b}[0m" {
                html.push_str(&"</span>".repeat(std::mem::take(&mut open)));
            }
        }
        html.push_str(&"</span>".repeat(open));
        html.push('\n');
    }
    html
}

fn class(code: &str) -> Option<&'static str> {
    match code {
        "\u{1b}[1m" => Some("bold"),
        "\u{1b}[2m" => Some("dim"),
        "\u{1b}[31m" => Some("red"),
        "\u{1b}[32m" => Some("green"),
        "\u{1b}[33m" => Some("yellow"),
        _ => None,
    }
}

fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#x27;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{bold, dim, green, red, yellow};

    #[test]
    fn styles_become_spans_and_everything_else_is_text() {
        let line = format!("{} a<b & {}", bold("<h1>"), red("\"x\""));
        assert_eq!(
            html([line.as_str(), "y"]),
            "<span class=\"bold\">&lt;h1&gt;</span> a&lt;b &amp; <span class=\"red\">&quot;x&quot;</span>\ny\n"
        );
    }

    #[test]
    fn every_style_has_its_class_and_none_stays_open() {
        for styled in [bold("x"), dim("x"), red("x"), green("x"), yellow("x")] {
            let html = html([styled.as_str()]);
            assert!(html.starts_with("<span class=") && html.ends_with("x</span>\n"), "{html}");
        }
        assert_eq!(html(["\u{1b}[1mx"]), "<span class=\"bold\">x</span>\n");
        // Another code is neither shown nor obeyed.
        assert_eq!(html(["\u{1b}[2Jx"]), "x\n");
    }
}
