//! Each page: read, put into words, filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::journal::{EventRow, Filter, Outcome, Paused};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{House, ansi};
use crate::events::{self, Row};
use crate::output::{When, ago};
use crate::{explain, files, tenant};

/// Events on one page.
const PAGE: u32 = 50;
/// Most events that are counted for the overview: looking must not hurt the database.
const COUNTED: u32 = 1_000;
/// The overview is of so long a time.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Most events of a tenant that are told of.
const TOLD: u32 = 100;
/// Storms that are over and still shown.
const CLOSED_STORMS: u32 = 5;

/// A page, or the sentence of what went wrong with us.
async fn shown(house: &House, page: impl Future<Output = Result<Response>>) -> Response {
    match page.await {
        Ok(page) => page,
        Err(error) => {
            // What was asked for can't be meant, such as an id that is too short.
            let refused = matches!(error.downcast_ref(), Some(store::StoreError::Refused(_)));
            let status = if refused { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
            house.view.problem(status, &format!("{error:#}"))
        }
    }
}

/// An event in a listing, in the words of the page.
#[derive(Debug, Serialize)]
struct Line {
    at: String,
    ago: String,
    id: String,
    short: String,
    kind: String,
    status: String,
    tenant: String,
    tap: String,
    outcome: &'static str,
    rules: String,
    why: String,
}

impl Line {
    fn of(house: &House, row: &EventRow) -> Self {
        let Row { tap, rules, why } = Row::of(row);
        let at = row.event.received_at;
        Self {
            at: at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            ago: ago(at, house.clock.now()),
            id: row.event.id.to_string(),
            short: events::short(row.event.id.as_str()).to_owned(),
            kind: row.event.kind.clone(),
            status: row.event.status.clone(),
            tenant: row.event.tenant.clone(),
            tap,
            outcome: row.outcome.as_str(),
            rules,
            why,
        }
    }
}

fn all(house: &House, rows: &[EventRow]) -> Vec<Line> {
    rows.iter().map(|row| Line::of(house, row)).collect()
}

#[derive(Debug, Serialize)]
struct Overview {
    /// Of the newest events of a day.
    outcomes: BTreeMap<&'static str, usize>,
    /// There are more than were counted.
    more: bool,
    counted: u32,
    /// What waits for a person, or for a service.
    dead: Vec<Line>,
    held: Vec<Line>,
    waiting: Vec<Line>,
    newest: Vec<Line>,
    paused: Vec<String>,
    storms: usize,
}

pub(super) async fn overview(State(house): State<Arc<House>>) -> Response {
    let house = &*house;
    shown(house, async {
        let since = house.clock.now().checked_sub(DAY)?;
        let of_a_day = Filter { since: Some(since), ..Filter::default() };
        let rows = house.store.events(&of_a_day, COUNTED).await?;
        let mut outcomes = BTreeMap::new();
        for row in &rows {
            *outcomes.entry(row.outcome.as_str()).or_default() += 1;
        }
        let of = async |outcome| {
            let filter = Filter { outcome: Some(outcome), ..Filter::default() };
            Ok::<_, store::StoreError>(all(house, &house.store.events(&filter, 10).await?))
        };
        let page = Overview {
            more: rows.len() >= usize::try_from(COUNTED).unwrap_or(usize::MAX),
            counted: COUNTED,
            outcomes,
            dead: of(Outcome::Dead).await?,
            held: of(Outcome::Held).await?,
            waiting: of(Outcome::Retrying).await?,
            newest: all(house, &rows[..rows.len().min(10)]),
            paused: house.store.paused().await?.into_iter().map(|paused| paused.rule).collect(),
            storms: house.store.storms(0).await?.len(),
        };
        Ok(house.view.page(StatusCode::OK, "overview.html", &page))
    })
    .await
}

/// What a person looks for. A field that is left empty does not narrow.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Search {
    tenant: String,
    status: String,
    outcome: String,
    rule: String,
    error: String,
    since: String,
    /// The next page: rows before this one.
    before: Option<i64>,
}

impl Search {
    /// # Errors
    /// A sentence about the field that can't be meant.
    fn filter(&self, now: jiff::Timestamp) -> Result<Filter, String> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let outcome = match text(&self.outcome) {
            None => None,
            Some(word) => {
                let known = || Outcome::ALL.map(Outcome::as_str).join(", ");
                let found = Outcome::from_text(&word);
                Some(found.ok_or_else(|| format!("{word} is no outcome; there are {}", known()))?)
            }
        };
        let since = match text(&self.since) {
            None => None,
            Some(when) => Some(when.parse::<When>().map_err(|how| format!("since when? {how}"))?.at(now)),
        };
        Ok(Filter {
            tenant: text(&self.tenant),
            status: text(&self.status),
            rule: text(&self.rule),
            error: text(&self.error),
            outcome,
            since,
            before_row: self.before,
            ..Filter::default()
        })
    }
}

#[derive(Debug, Serialize)]
struct Listing {
    search: Search,
    outcomes: [&'static str; Outcome::ALL.len()],
    events: Vec<Line>,
    /// Where older ones are.
    older: Option<i64>,
}

pub(super) async fn list(
    State(house): State<Arc<House>>,
    search: Result<Query<Search>, QueryRejection>,
) -> Response {
    let house = &*house;
    let Ok(Query(search)) = search else {
        let sentence = "this page is narrowed by tenant, status, outcome, rule, error, since and before, each once; gluehook events list knows more";
        return house.view.problem(StatusCode::BAD_REQUEST, sentence);
    };
    let filter = match search.filter(house.clock.now()) {
        Ok(filter) => filter,
        Err(sentence) => return house.view.problem(StatusCode::BAD_REQUEST, &sentence),
    };
    shown(house, async {
        let rows = house.store.events(&filter, PAGE).await?;
        let is_full = rows.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let page = Listing {
            search,
            outcomes: Outcome::ALL.map(Outcome::as_str),
            older: rows.last().filter(|_| is_full).map(|last| last.row),
            events: all(house, &rows),
        };
        Ok(house.view.page(StatusCode::OK, "events.html", &page))
    })
    .await
}

#[derive(Debug, Serialize)]
struct OneEvent {
    line: Line,
    /// HTML.
    record: String,
    explained: String,
}

pub(super) async fn event(State(house): State<Arc<House>>, Path(id): Path<String>) -> Response {
    let house = &*house;
    shown(house, async {
        let Some(record) = house.store.event(&id).await? else {
            return Ok(house.view.problem(StatusCode::NOT_FOUND, &events::unknown(&id)));
        };
        let id = record.row.event.id.as_str();
        let explained =
            match Box::pin(explain::recorded_lines(&house.common, &house.config, &house.store, id)).await {
                Ok(Ok(lines)) => lines,
                Ok(Err(sentence)) => vec![sentence],
                Err(error) => vec![format!("it can't be explained: {error:#}")],
            };
        let record_lines = events::show::lines(&record, house.clock.now(), true);
        let page = OneEvent {
            line: Line::of(house, &record.row),
            record: ansi::html(record_lines.iter().flat_map(|lines| lines.lines())),
            explained: ansi::html(explained.iter().flat_map(|lines| lines.lines())),
        };
        Ok(house.view.page(StatusCode::OK, "event.html", &page))
    })
    .await
}

#[derive(Debug, Serialize)]
struct OneTenant {
    tenant: String,
    more: bool,
    /// HTML.
    story: String,
}

pub(super) async fn tenant(State(house): State<Arc<House>>, Path(name): Path<String>) -> Response {
    let house = &*house;
    shown(house, async {
        let filter = Filter { tenant: Some(name.clone()), ..Filter::default() };
        let (records, more) = tenant::read(&house.store, &filter, TOLD).await?;
        if records.is_empty() {
            let sentence = format!("there is no event of tenant {name} in the event log");
            return Ok(house.view.problem(StatusCode::NOT_FOUND, &sentence));
        }
        let story = tenant::Timeline::of(&name, &records).lines(house.clock.now(), true);
        let story = ansi::linked(&ansi::html(story.iter().flat_map(|lines| lines.lines())));
        Ok(house.view.page(StatusCode::OK, "tenant.html", &OneTenant { tenant: name, more, story }))
    })
    .await
}

#[derive(Debug, Serialize)]
struct Tenants {
    tenants: Vec<String>,
}

pub(super) async fn tenants(State(house): State<Arc<House>>) -> Response {
    let house = &*house;
    shown(house, async {
        let mut tenants: Vec<_> = house.store.places().await?.into_iter().map(|place| place.tenant).collect();
        tenants.sort();
        tenants.dedup();
        Ok(house.view.page(StatusCode::OK, "tenants.html", &Tenants { tenants }))
    })
    .await
}

#[derive(Debug, Serialize)]
struct OneRule {
    name: String,
    about: String,
    mode: &'static str,
    on: Vec<&'static str>,
    when: Vec<String>,
    limited: bool,
    folds: bool,
}

#[derive(Debug, Serialize)]
struct Rules {
    version: String,
    file: String,
    rules: Vec<OneRule>,
    paused: Vec<Paused>,
    storms: Vec<domain::journal::Storm>,
    /// As it is written.
    text: String,
}

pub(super) async fn rules(State(house): State<Arc<House>>) -> Response {
    let house = &*house;
    shown(house, async {
        let file = house.common.rules.as_deref();
        let book = match files::load_rulebook(file) {
            Ok(book) => book,
            Err(wrong) => {
                let sentence = format!(
                    "{wrong}. A worker that runs goes on with the rules that it has; one that is started with this file does not start"
                );
                return Ok(house.view.problem(StatusCode::INTERNAL_SERVER_ERROR, &sentence));
            }
        };
        let rules = book.rules().iter().map(|rule| OneRule {
            name: rule.name.clone(),
            about: rule.about.clone(),
            mode: rule.mode.as_str(),
            on: rule.on.iter().map(|kind| kind.as_str()).collect(),
            when: rule.when.clone(),
            limited: rule.limit.is_some(),
            folds: rule.fold.is_some(),
        });
        let page = Rules {
            version: book.version().to_owned(),
            file: file.map_or_else(
                || "the rules that ship with Gluehook".to_owned(),
                |path| path.display().to_string(),
            ),
            rules: rules.collect(),
            paused: house.store.paused().await?,
            storms: house.store.storms(CLOSED_STORMS).await?,
            text: book.text().to_owned(),
        };
        Ok(house.view.page(StatusCode::OK, "rules.html", &page))
    })
    .await
}

pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("templates/style.css"))
}

pub(super) async fn nothing(State(house): State<Arc<House>>) -> Response {
    house.view.problem(StatusCode::NOT_FOUND, "the console has no such page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_left_empty_does_not_narrow() {
        let now = "2026-03-02T12:00:00Z".parse().unwrap();
        let empty = Search { tenant: " ".to_owned(), ..Search::default() };
        assert_eq!(empty.filter(now), Ok(Filter::default()));
        let search = Search {
            outcome: "dead".to_owned(),
            since: "2h".to_owned(),
            tenant: " 1414_1 ".to_owned(),
            ..Search::default()
        };
        let filter = search.filter(now).unwrap();
        assert_eq!((filter.outcome, filter.tenant.as_deref()), (Some(Outcome::Dead), Some("1414_1")));
        assert_eq!(filter.since, Some("2026-03-02T10:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_can_not_be_meant_is_told_with_what_can() {
        let now = "2026-03-02T12:00:00Z".parse().unwrap();
        let wrong = |search: Search| search.filter(now).unwrap_err();
        assert!(wrong(Search { outcome: "lost".to_owned(), ..Search::default() }).contains("no_rule"));
        assert!(wrong(Search { since: "soon".to_owned(), ..Search::default() }).contains("2h"));
    }
}
