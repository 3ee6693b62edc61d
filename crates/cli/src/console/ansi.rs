//! Lines for a terminal as HTML: what the commands print is what the pages show.

use console::AnsiCodeIterator;

use crate::events::SHORT;

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

/// With the short ids of events as links, where they stand alone and dim.
pub(super) fn linked(html: &str) -> String {
    const DIM: &str = "<span class=\"dim\">";
    let mut linked = String::with_capacity(html.len());
    for (number, part) in html.split(DIM).enumerate() {
        let id = part.split("</span>").next().filter(|_| number > 0).unwrap_or_default();
        let is_id = id.len() == SHORT && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        match part.strip_prefix(id).and_then(|rest| rest.strip_prefix("</span>")) {
            Some(rest) if is_id => linked.push_str(&format!("<a href=\"/events/{id}\">{id}</a>{rest}")),
            _ => {
                linked.push_str(if number > 0 { DIM } else { "" });
                linked.push_str(part);
            }
        }
    }
    linked
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
    fn only_what_is_an_id_becomes_a_link() {
        let line = format!("{} {} {}", dim("0123456789ab"), dim("not an id at"), bold("0123456789ab"));
        assert_eq!(
            linked(&html([line.as_str()])),
            concat!(
                "<a href=\"/events/0123456789ab\">0123456789ab</a> <span class=\"dim\">not an id at</span> ",
                "<span class=\"bold\">0123456789ab</span>\n"
            )
        );
        assert_eq!(linked("plain\n"), "plain\n");
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
