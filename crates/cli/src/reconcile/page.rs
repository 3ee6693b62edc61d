//! What a person sees of it.

use std::io;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::Report;
use crate::output::{self, Cell, Table, clean, count, stamp, telling_line, yellow};

/// Names of places that are told one by one.
const NAMED: usize = 5;

/// On stderr, and only when a person watches.
pub(super) fn bar(what: &'static str, all: u64) -> ProgressBar {
    let bar = ProgressBar::new(all).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg} {pos}/{len} {wide_bar} {eta}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

pub(super) fn print(report: &Report, now: Timestamp) -> io::Result<()> {
    for line in warnings(report) {
        output::note(format!("{} {line}", yellow("!")));
    }
    output::line(summary(report))?;
    if report.missing.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["ended", "~tenant", "flow", "~job", "~tap", "status", "~error"]);
    for missing in &report.missing {
        let event = &missing.event;
        table.row([
            Cell::new(stamp(event.occurred_at, now, output::on_terminal())),
            Cell::new(&event.tenant),
            Cell::new(&event.flow_id),
            Cell::new(&event.job_id),
            Cell::new(&event.tap),
            Cell::new(&event.status).yellow(),
            Cell::new(telling_line(&event.error)),
        ]);
    }
    table.print()
}

fn summary(report: &Report) -> String {
    let missing = match (report.ended, report.missing.len()) {
        (0, _) => String::new(),
        (_, 0) if report.refused == 0 => ": the end of each was received".to_owned(),
        (_, 0) => String::new(),
        (_, 1) => ": the end of 1 was never received".to_owned(),
        (_, many) => format!(": the ends of {many} were never received"),
    };
    let ended = if report.ended == 0 { "no job".to_owned() } else { count(report.ended, "job") };
    let answered = report.places - report.unanswered.len();
    let of_all = if answered == report.places { String::new() } else { format!(" of {}", report.places) };
    let places = match answered {
        1 => format!("1{of_all} tenant in a flow"),
        many => format!("{many}{of_all} tenants in flows"),
    };
    format!(
        "{ended} ended between {} and {} for {places}{missing}",
        report.since.strftime("%Y-%m-%d %H:%M:%SZ"),
        report.until.strftime("%Y-%m-%d %H:%M:%SZ"),
    )
}

/// Where the look has holes.
fn warnings(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, why) in report.unanswered.iter().take(NAMED) {
        let (tenant, flow) = (clean(&place.tenant), clean(&place.flow_id));
        lines.push(format!("no answer about {tenant} in {flow}: {}", clean(why)));
    }
    if report.unanswered.len() > NAMED {
        lines.push(format!("and none about {} more", report.unanswered.len() - NAMED));
    }
    for place in report.cut.iter().take(NAMED) {
        let (tenant, flow) = (clean(&place.tenant), clean(&place.flow_id));
        lines
            .push(format!("{tenant} in {flow} has more jobs of that time than were asked for: raise --jobs"));
    }
    if report.cut.len() > NAMED {
        lines.push(format!("and so have {} more", report.cut.len() - NAMED));
    }
    if let Some(begun) = report.begun.filter(|begun| *begun >= report.since) {
        let begun = begun.strftime("%Y-%m-%d %H:%M:%SZ");
        lines.push(format!("the first event was received at {begun}: jobs that ended before are left alone"));
    }
    if report.refused > 0 {
        let (jobs, were) =
            (count(report.refused, "more webhook"), if report.refused == 1 { "was" } else { "were" });
        lines.push(format!("{jobs} {were} refused for want of proof: gluehook rejected list"));
    }
    if report.unlisted > 0 {
        let places = count(report.unlisted, "place");
        lines.push(format!("hotglue shows no list of jobs for {places}: tenants that are gone, or a key for another environment"));
    }
    if report.foreign > 0 {
        let jobs = count(report.foreign, "job");
        lines.push(format!("hotglue lists {jobs} of other tenants or flows among those of one: left alone"));
    }
    if report.undated > 0 {
        let jobs = count(report.undated, "job");
        lines.push(format!("hotglue does not say when {jobs} ended: left out"));
    }
    lines
}

pub(super) fn print_stored(report: &Report) -> io::Result<()> {
    for (job_id, why) in &report.failed {
        output::note(format!("gluehook: job {} was not stored: {}", clean(job_id), clean(why)));
    }
    for stored in &report.stored {
        let again = if stored.duplicate { ", stored before" } else { "" };
        output::line(format!("{} job {}{again}", stored.id, clean(&stored.job_id)))?;
    }
    output::line(format!("{} stored", count(report.stored.len(), "event")))
}
