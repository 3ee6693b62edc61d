//! The rulebook in force, reloaded when its file changes. A bad file changes nothing and says why.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::config;
use domain::rulebook::{Finding, Rulebook, Severity, scenario};
use tokio_util::sync::CancellationToken;

use crate::Deps;

/// How often the file is looked at. Looking is one read of a few kilobytes; notifications of the file system would
/// miss the way configuration maps are swapped.
const LOOK: Duration = Duration::from_millis(500);

/// The rulebook in force. Whoever decides takes one [`Arc`] of it and decides with that to the end.
#[derive(Debug)]
pub(crate) struct Rules {
    current: RwLock<Arc<Rulebook>>,
    file: Option<PathBuf>,
    /// What can't be meant in the rulebook that the worker was started with.
    unsound: Option<Unsound>,
}

#[derive(Debug)]
struct Unsound {
    version: String,
    said: String,
}

impl Rules {
    /// Loads `file`, or the built-in rulebook. What can't be meant is told, and no reason to refuse it: an upgrade that finds
    /// more must not stop a worker.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, String> {
        let rulebook = match file {
            Some(file) => parse(file, &read(file)?)?,
            None => Rulebook::built_in(),
        };
        let name = file.unwrap_or(Path::new("the built-in rulebook"));
        let Judged { wrong, doubtful } = judged(name, &rulebook);
        let unsound = (!wrong.is_empty())
            .then(|| Unsound { version: rulebook.version().to_owned(), said: wrong.join("\n") });
        for said in &wrong {
            tracing::error!("the rulebook is taken and is not sound: {said}");
        }
        tell(&doubtful);
        Ok(Self { current: RwLock::new(Arc::new(rulebook)), file: file.map(Path::to_owned), unsound })
    }

    pub(crate) fn current(&self) -> Arc<Rulebook> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What can't be meant in the rulebook in force.
    fn warning(&self) -> Option<String> {
        let unsound = self.unsound.as_ref().filter(|unsound| unsound.version == self.current().version())?;
        let Unsound { version, said } = unsound;
        Some(format!("rulebook {version} is in force and is not sound: {said}"))
    }

    fn replace(&self, rulebook: Rulebook) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rulebook);
    }
}

/// What is found in a rulebook that can be read, each with file, line and column.
struct Judged {
    /// What can't be meant, in the rules themselves or on the events of the scenarios that ship.
    wrong: Vec<String>,
    /// What can hardly be meant.
    doubtful: Vec<String>,
}

fn judged(file: &Path, rulebook: &Rulebook) -> Judged {
    let findings = rulebook.review(&scenario::shipped()).findings;
    let (wrong, doubtful): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.severity == Severity::Error);
    let said = |finding: Finding| format!("{}: {}", file.display(), finding.complaint);
    Judged {
        wrong: wrong.into_iter().map(said).collect(),
        doubtful: doubtful.into_iter().map(said).collect(),
    }
}

fn tell(doubtful: &[String]) {
    for said in doubtful {
        tracing::warn!("{said}");
    }
}

fn read(file: &Path) -> Result<String, String> {
    let bytes = std::fs::read(file)
        .map_err(|error| format!("the rulebook {} can't be read: {error}", file.display()))?;
    config::utf8(bytes).map_err(|complaint| format!("{}: {complaint}", file.display()))
}

fn parse(file: &Path, text: &str) -> Result<Rulebook, String> {
    Rulebook::parse(text).map_err(|complaints| {
        let said: Vec<_> =
            complaints.iter().map(|complaint| format!("{}: {complaint}", file.display())).collect();
        said.join("\n")
    })
}

/// What can't be meant puts no rulebook in force that was not in force before.
fn sound(file: &Path, text: &str) -> Result<(Rulebook, Vec<String>), String> {
    let rulebook = parse(file, whole(file, text)?)?;
    let Judged { wrong, doubtful } = judged(file, &rulebook);
    if wrong.is_empty() { Ok((rulebook, doubtful)) } else { Err(wrong.join("\n")) }
}

/// An editor may empty a file before it writes it: a file without anything in it is not taken for "no rules".
fn whole<'a>(file: &Path, text: &'a str) -> Result<&'a str, String> {
    if text.trim().is_empty() { Err(format!("{} is empty", file.display())) } else { Ok(text) }
}

/// Watches the file until `stop`.
pub(crate) async fn watch(deps: &Deps, stop: CancellationToken) {
    deps.readiness.warn_about("rulebook", deps.rules.warning().as_deref());
    let Some(file) = deps.rules.file.as_deref() else { return stop.cancelled().await };
    let (mut seen, mut refused) = (None, None);
    let mut looks = tokio::time::interval(LOOK);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let found = read(file);
        if found.as_ref().is_ok_and(|text| text == deps.rules.current().text()) {
            if refused.take().is_some() {
                accept(deps, "the rulebook is again the one in force");
            }
            continue;
        }
        // What is still being written is another text at the next look, and may read as a rulebook with fewer rules.
        if seen.as_ref() != Some(&found) {
            seen = Some(found);
            continue;
        }
        if refused.as_ref() == Some(&found) {
            continue;
        }
        match judge(file, found.clone()).await {
            Ok((rulebook, doubtful)) => {
                let version = rulebook.version().to_owned();
                if let Err(error) =
                    deps.store.rulebook_seen(&version, rulebook.text(), deps.clock.now()).await
                {
                    tracing::warn!(%error, "the new rulebook waits until it can be written to the event log");
                    continue;
                }
                tell(&doubtful);
                let gone = gone(&deps.rules.current(), &rulebook);
                deps.rules.replace(rulebook);
                refused = None;
                accept(deps, &format!("rulebook {version} is in force{gone}"));
            }
            Err(why) => {
                deps.metrics.rulebook_bad();
                deps.readiness.warn_about("rulebook", Some(&format!("the old rules stay in force: {why}")));
                tracing::error!("the changed rulebook is refused, the old rules stay in force: {why}");
                refused = Some(found);
            }
        }
    }
}

/// Rules of the old rulebook that the new one has not: a file may also have been cut off.
fn gone(old: &Rulebook, new: &Rulebook) -> String {
    let kept = |name: &str| new.rules().iter().any(|rule| rule.name == name);
    let names: Vec<_> =
        old.rules().iter().map(|rule| rule.name.as_str()).filter(|name| !kept(name)).collect();
    if names.is_empty() { String::new() } else { format!("; rules that are gone: {}", names.join(", ")) }
}

/// Playing scenarios may take a while where rules are many; events are not to wait for it.
async fn judge(file: &Path, found: Result<String, String>) -> Result<(Rulebook, Vec<String>), String> {
    let (file, text) = (file.to_owned(), found?);
    let judging = tokio::task::spawn_blocking(move || sound(&file, &text));
    judging.await.map_err(|error| format!("the rulebook could not be looked at: {error}"))?
}

fn accept(deps: &Deps, said: &str) {
    deps.metrics.rulebook_good();
    deps.readiness.warn_about("rulebook", deps.rules.warning().as_deref());
    tracing::info!("{said}");
}
