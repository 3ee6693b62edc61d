//! The actions of a rulebook: a table of their words and fields, and what is made of them.

use std::ops::Range;

use toml::de::DeTable;

use super::fields::{Placed, Reader, get};
use super::table::{Field, Shape, field, names};
use super::{CompiledAction, checked};
use crate::config::{Complaint, nearest};
use crate::rulebook::language::{Text, Texts};
use crate::rulebook::lint::{Finding, Severity};
use crate::rulebook::{Of, StepAction, check};

/// Of every `[[rule.do]]`.
pub(in crate::rulebook) const STEP: &[Field] = &[
    field("action", Shape::Action, "What is done."),
    field("when", Shape::TextOrTexts, "Conditions of this step: all must hold for it to be taken."),
];

/// An action's word and the fields it has besides those of every step.
#[derive(Debug, Clone, Copy)]
pub(in crate::rulebook) struct Action {
    pub(in crate::rulebook) word: &'static str,
    pub(in crate::rulebook) about: &'static str,
    pub(in crate::rulebook) fields: &'static [Field],
    pub(in crate::rulebook) required: &'static [&'static str],
}

pub(in crate::rulebook) const ACTIONS: &[Action] = &[
    Action {
        word: "slack",
        about: "Posts a message.",
        fields: &[
            field("channel", Shape::Note, "Where to; the configured channel unless given."),
            field("text", Shape::Words, "A Jinja text; values in it are escaped unless `|safe`."),
        ],
        required: &["action", "text"],
    },
    Action {
        word: "enable_schedule",
        about: "Turns schedules of the tenant on.",
        fields: &[field("of", Shape::Of(Of::Source), "Which schedules.")],
        required: &["action"],
    },
    Action {
        word: "disable_schedule",
        about: "Turns schedules of the tenant off.",
        fields: &[field("of", Shape::Of(Of::All), "Which schedules.")],
        required: &["action"],
    },
    Action {
        word: "link_target",
        about: "Links a target to the tenant.",
        fields: &[field("target", Shape::Text, "Which one; the flow's unless given.")],
        required: &["action"],
    },
    Action {
        word: "run_job",
        about: "Starts a job, unless one of this name is listed already.",
        fields: &[
            field("tap", Shape::Text, "Of which tap; the event's unless given."),
            field("name", Shape::Words, "The job's identity: take it from the event, not from the clock."),
        ],
        required: &["action", "name"],
    },
];

/// `tap` of `run_job` unless given.
const OWN_TAP: &str = "{{ event.tap }}";

/// The fields of one step.
struct Fields<'r, 't, 'd, 'i> {
    reader: &'r mut Reader<'t>,
    texts: &'r mut Texts,
    table: &'d DeTable<'i>,
    /// `rule `x`, step 1 (slack)`
    place: String,
    /// Begin of the names of this step's texts.
    text_name: &'r str,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    texts: &mut Texts,
    table: &DeTable<'_>,
    at: &Range<usize>,
    place: &str,
    text_name: &str,
) -> Option<(StepAction, CompiledAction)> {
    let words = || ACTIONS.iter().map(|action| action.word);
    let Some(item) = get(table, "action") else {
        reader.say(at, format!("{place} needs an action: {}", words().collect::<Vec<_>>().join(", ")));
        return None;
    };
    let action = reader.text(item, "action", &format!("{place}: "))?;
    let Some(Action { word, fields, .. }) = ACTIONS.iter().find(|known| known.word == action.text) else {
        let hint = nearest(&action.text, words()).map_or_else(
            || format!("known here: {}", words().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        reader.say(&action.span, format!("{place}: unknown action `{}`; {hint}", action.text));
        return None;
    };
    let place = format!("{place} ({word})");
    reader.only(table, &names(&[STEP, fields].concat()), &format!("{place}: "));
    let at = action.span;
    let mut step = Fields { reader, texts, table, place, text_name };
    match *word {
        "slack" => {
            let channel = step.optional("channel", false)?;
            let (text, compiled) = step.required("text", true, &at)?;
            let (channel, compiled_channel) = channel.unzip();
            Some((
                StepAction::Slack { channel, text },
                CompiledAction::Slack { channel: compiled_channel, text: compiled },
            ))
        }
        "enable_schedule" => {
            let of = step.of(Of::Source)?;
            Some((StepAction::EnableSchedule { of }, CompiledAction::SetSchedule { of, enabled: true }))
        }
        "disable_schedule" => {
            let of = step.of(Of::All)?;
            Some((StepAction::DisableSchedule { of }, CompiledAction::SetSchedule { of, enabled: false }))
        }
        "link_target" => {
            let (target, compiled) = step.optional("target", false)?.unzip();
            Some((StepAction::LinkTarget { target }, CompiledAction::LinkTarget { target: compiled }))
        }
        "run_job" => {
            let tap = match step.optional("tap", false)? {
                Some(given) => given,
                None => step.compile("tap", false, &Placed { text: OWN_TAP.to_owned(), span: at.clone() })?,
            };
            let (name, compiled_name) = step.required("name", false, &at)?;
            Some((
                StepAction::RunJob { tap: tap.0, name },
                CompiledAction::RunJob { tap: tap.1, name: compiled_name },
            ))
        }
        other => unreachable!("`{other}` stands in the table of actions"),
    }
}

impl Fields<'_, '_, '_, '_> {
    fn compile(&mut self, field: &str, for_slack: bool, source: &Placed) -> Option<(String, Text)> {
        let place = format!("{} {field}: ", self.place);
        let reads = checked(self.reader, source, &place, check::text(&source.text))?;
        // A message may say when it was written. A name made of the clock is another one in every replay.
        if !for_slack && field != "channel" && reads.has_single("now") {
            self.reader.doubt(
                &source.span,
                format!("{place}it reads `now`, so that a replay names another one: take the date from the event, such as {{{{ event.occurred_at|date }}}}"),
            );
        }
        match self.texts.add(&format!("{}.{field}", self.text_name), for_slack, source, reads) {
            Ok(text) => Some((source.text.clone(), text)),
            Err(why) => {
                self.reader.say(&source.span, format!("{place}{why}"));
                None
            }
        }
    }

    /// Outer none: given, and wrong.
    fn optional(&mut self, field: &str, for_slack: bool) -> Option<Option<(String, Text)>> {
        let Some(item) = get(self.table, field) else { return Some(None) };
        let source = self.reader.text(item, field, &format!("{}: ", self.place))?;
        // No channel is the configured one; nothing else may be missing.
        if source.text.trim().is_empty() && field != "channel" {
            let sentence = format!("{} `{field}` is empty: leave it out, or name one", self.place);
            let complaint = Complaint::at_offset(self.reader.text, source.span.start, sentence);
            self.reader.doubts.push(Finding { severity: Severity::Error, complaint });
        }
        self.compile(field, for_slack, &source).map(Some)
    }

    fn required(&mut self, field: &str, for_slack: bool, at: &Range<usize>) -> Option<(String, Text)> {
        let Some(given) = self.optional(field, for_slack)? else {
            self.reader.say(at, format!("{} needs `{field}`", self.place));
            return None;
        };
        if given.0.trim().is_empty() {
            let at = get(self.table, field).map_or_else(|| at.clone(), toml::Spanned::span);
            self.reader.say(&at, format!("{} `{field}` is empty", self.place));
            return None;
        }
        Some(given)
    }

    fn of(&mut self, otherwise: Of) -> Option<Of> {
        let Some(item) = get(self.table, "of") else { return Some(otherwise) };
        let place = format!("{}: ", self.place);
        let given = self.reader.text(item, "of", &place)?;
        self.reader.one_of(&given, "schedule", &place, &Of::ALL, Of::as_str)
    }
}
