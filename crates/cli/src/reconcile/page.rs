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
    let missing = match report.missing.len() {
        0 => "the end of each was received".to_owned(),
        1 => "the end of 1 was never received".to_owned(),
        many => format!("the ends of {many} were never received"),
    };
    format!(
        "{} ended between {} and {} for {}: {missing}",
        count(report.ended, "job"),
        report.since.strftime("%Y-%m-%d %H:%M:%SZ"),
        report.until.strftime("%Y-%m-%d %H:%M:%SZ"),
        count(report.places, "tenant in a flow").replace("flows", "flow"),
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
