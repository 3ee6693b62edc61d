//! The rulebook in force, reloaded when its file changes. A bad file changes nothing and says why.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::rulebook::{Rulebook, Severity};
use tokio_util::sync::CancellationToken;

use crate::Deps;

/// How often the file is looked at. Looking is one read of a few kilobytes; notifications of the file system would
/// miss the way configuration maps are swapped.
const LOOK: Duration = Duration::from_secs(1);

/// The rulebook in force. Whoever decides takes one [`Arc`] of it and decides with that to the end.
#[derive(Debug)]
pub(crate) struct Rules {
    current: RwLock<Arc<Rulebook>>,
    file: Option<PathBuf>,
}

impl Rules {
    /// Loads `file`, or the built-in rulebook.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, String> {
        let rulebook = match file {
            Some(file) => parse(file, &read(file)?)?,
            None => Rulebook::built_in(),
        };
        tell_findings(file, &rulebook);
        Ok(Self { current: RwLock::new(Arc::new(rulebook)), file: file.map(Path::to_owned) })
    }

    pub(crate) fn current(&self) -> Arc<Rulebook> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, rulebook: Rulebook) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rulebook);
    }
}

/// What can hardly be meant is no reason to refuse a rulebook, and one to tell.
fn tell_findings(file: Option<&Path>, rulebook: &Rulebook) {
    let file = file.unwrap_or(Path::new("the built-in rulebook")).display();
    for finding in rulebook.findings() {
        tracing::warn!("{file}: {}", finding.complaint);
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("the rulebook {} can't be read: {error}", file.display()))
}

fn parse(file: &Path, text: &str) -> Result<Rulebook, String> {
    Rulebook::parse(text).map_err(|complaints| {
        let said: Vec<_> =
            complaints.iter().map(|complaint| format!("{}: {complaint}", file.display())).collect();
        said.join("\n")
    })
}

/// What can't be meant puts no rulebook in force that was not in force before. (One that a worker is started with is, and is
/// told of: an upgrade that finds more must not stop it.)
fn sound(file: &Path, rulebook: Rulebook) -> Result<Rulebook, String> {
    let findings = rulebook.findings();
    let wrong = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let said: Vec<_> = wrong.map(|finding| format!("{}: {}", file.display(), finding.complaint)).collect();
    if said.is_empty() { Ok(rulebook) } else { Err(said.join("\n")) }
}

/// An editor may empty a file before it writes it: a file without anything in it is not taken for "no rules".
fn whole<'a>(file: &Path, text: &'a str) -> Result<&'a str, String> {
    if text.trim().is_empty() { Err(format!("{} is empty", file.display())) } else { Ok(text) }
}

/// Watches the file until `stop`.
pub(crate) async fn watch(deps: &Deps, stop: CancellationToken) {
    let Some(file) = deps.rules.file.as_deref() else { return stop.cancelled().await };
    let mut refused: Option<String> = None;
    let mut looks = tokio::time::interval(LOOK);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let text = read(file);
        if text.as_ref().is_ok_and(|text| text == deps.rules.current().text()) {
            if refused.take().is_some() {
                accept(deps, "the rulebook is again the one in force");
            }
            continue;
        }
        match text.and_then(|text| sound(file, parse(file, whole(file, &text)?)?)) {
            Ok(rulebook) => {
                let version = rulebook.version().to_owned();
                if let Err(error) =
                    deps.store.rulebook_seen(&version, rulebook.text(), deps.clock.now()).await
                {
                    tracing::warn!(%error, "the new rulebook waits until it can be written to the event log");
                    continue;
                }
                tell_findings(Some(file), &rulebook);
                deps.rules.replace(rulebook);
                refused = None;
                accept(deps, &format!("rulebook {version} is in force"));
            }
            Err(why) if refused.as_deref() == Some(why.as_str()) => {}
            Err(why) => {
                deps.metrics.rulebook_bad();
                deps.readiness.warn_about("rulebook", Some(&format!("the old rules stay in force: {why}")));
                tracing::error!("the changed rulebook is refused, the old rules stay in force: {why}");
                refused = Some(why);
            }
        }
    }
}

fn accept(deps: &Deps, said: &str) {
    deps.metrics.rulebook_good();
    deps.readiness.warn_about("rulebook", None);
    tracing::info!("{said}");
}
