//! Finds the events to replay: in the stream itself, or through the event log where only that knows what was asked for.

use anyhow::{Context, Result, anyhow, bail};
use bus::Bus;
use bus::replay::Selection;
use domain::journal::{EventRow, Outcome};
use domain::names::EventId;
use indicatif::ProgressBar;
use jiff::Timestamp;
use store::Store;

use super::Which;
use super::plan::{Plan, Planner};
use crate::events::{Select, unknown};

/// Rows of the event log that are read at once.
const PAGE: u32 = 1_000;
/// Characters of a whole id.
const WHOLE: usize = 32;

/// What a person asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) which: &'a Which,
    pub(super) only_failed: bool,
    pub(super) now: Timestamp,
}

/// Does only the event log know some of it?
fn needs_log(select: &Select) -> bool {
    let Select {
        tenant: _,
        kind: _,
        status: _,
        endpoint: _,
        since: _,
        until: _,
        flow,
        tap,
        job,
        outcome,
        rule,
        error,
        why,
        env,
    } = select;
    [flow, tap, job, rule, error, why, env].iter().any(|text| text.is_some()) || outcome.is_some()
}

/// Plans for each event that is meant, in the order of the stream.
pub(super) async fn each(
    bus: &Bus,
    wanted: Wanted<'_>,
    log: &Result<Store>,
    bar: &ProgressBar,
    plan: &mut Plan,
    planner: &Planner<'_>,
) -> Result<()> {
    let Which { ids, select, .. } = wanted.which;
    if !ids.is_empty() {
        let (rows, unlogged) = by_id(ids, log).await?;
        let missing = from_rows(bus, rows, bar, plan, planner).await?;
        let missing = [missing, unlogged].concat();
        if !missing.is_empty() {
            let found = plan.items.len();
            let selection = Selection { ids: missing.clone(), ..Selection::default() };
            scan(bus, &selection, bar, plan, planner).await?;
            plan.gone += missing.len().saturating_sub(plan.items.len() - found);
        }
    } else if needs_log(select) || wanted.only_failed {
        let log = log
            .as_ref()
            .map_err(|error| anyhow!("{error:#}"))
            .context("only the event log knows some of what was asked for")?;
        let rows = from_log(log, wanted).await?;
        plan.gone += from_rows(bus, rows, bar, plan, planner).await?.len();
    } else {
        scan(bus, &selection(wanted), bar, plan, planner).await?;
    }
    plan.items.sort_unstable_by_key(|item| item.sequence);
    plan.items.dedup_by_key(|item| item.sequence);
    Ok(())
}

fn selection(Wanted { which, now, .. }: Wanted<'_>) -> Selection {
    let filter = which.select.filter(now);
    Selection {
        ids: Vec::new(),
        since: filter.since,
        until: filter.until,
        from_sequence: which.from_seq,
        to_sequence: which.to_seq,
        endpoint: filter.endpoint,
        tenant: filter.tenant,
        status: filter.status,
        kind: filter.kind,
    }
}

async fn scan(
    bus: &Bus,
    selection: &Selection,
    bar: &ProgressBar,
    plan: &mut Plan,
    planner: &Planner<'_>,
) -> Result<()> {
    let mut selecting = bus::replay::select(bus, selection).await?;
    bar.set_length(selecting.total());
    while let Some(selected) = selecting.next().await? {
        plan.take(planner.plan(&selected).await?);
        bar.set_position(selecting.looked_at());
    }
    plan.unreadable += selecting.unreadable();
    Ok(())
}

/// The rows of ids that the event log knows, and whole ids that it doesn't.
async fn by_id(ids: &[String], log: &Result<Store>) -> Result<(Vec<EventRow>, Vec<EventId>)> {
    let (mut rows, mut unlogged) = (Vec::new(), Vec::new());
    for id in ids {
        let whole = id.len() == WHOLE;
        let known = match log {
            Ok(log) => log.event(id).await?.map(|record| record.row),
            Err(_) if whole => None,
            Err(error) => bail!("only the event log knows ids by their beginning: {error:#}"),
        };
        match known {
            Some(row) => rows.push(row),
            // A worker may not have taken it yet.
            None if whole => unlogged.push(EventId::from_text(id.to_ascii_lowercase())),
            None => bail!(unknown(id)),
        }
    }
    Ok((rows, unlogged))
}

async fn from_log(log: &Store, Wanted { which, only_failed, now }: Wanted<'_>) -> Result<Vec<EventRow>> {
    let mut filter = which.select.filter(now);
    (filter.from_sequence, filter.to_sequence) = (which.from_seq, which.to_seq);
    if only_failed {
        // What is being retried is at work already: it is gone on with only where it was asked for.
        filter.outcome = filter.outcome.or(Some(Outcome::Dead));
    }
    let mut rows = Vec::new();
    loop {
        let page = log.events(&filter, PAGE).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        filter.before_row = Some(last.row);
        rows.extend(page);
    }
}

/// Plans for events at the sequences that the event log knows; what is not there (any more) is returned.
async fn from_rows(
    bus: &Bus,
    mut rows: Vec<EventRow>,
    bar: &ProgressBar,
    plan: &mut Plan,
    planner: &Planner<'_>,
) -> Result<Vec<EventId>> {
    rows.sort_by_key(|row| row.stream_sequence);
    rows.dedup_by(|one, other| one.row == other.row);
    bar.set_length(rows.len().try_into().unwrap_or(u64::MAX));
    let mut missing = Vec::new();
    for row in rows {
        match bus::replay::get(bus, row.stream_sequence).await? {
            Some(selected) if selected.envelope.id == row.event.id => {
                plan.take(planner.plan(&selected).await?)
            }
            _ => missing.push(row.event.id),
        }
        bar.inc(1);
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_log_is_asked_only_for_what_the_stream_does_not_know() {
        let tenant =
            Select { tenant: Some("a".to_owned()), kind: Some("job".to_owned()), ..Select::default() };
        assert!(!needs_log(&tenant));
        assert!(needs_log(&Select { outcome: Some(Outcome::Dead), ..tenant.clone() }));
        assert!(needs_log(&Select { tap: Some("exact".to_owned()), ..tenant }));
    }
}
