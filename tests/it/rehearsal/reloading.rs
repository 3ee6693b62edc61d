//! Files that are changed under a worker.

use domain::rulebook::Rulebook;

use super::*;

/// It can be read, and its text can't be written.
fn unwritable() -> String {
    format!("{}{}", shipped(), TOLD.replace("event.tenant", "payload.nope"))
}

async fn admin(stage: &mut Stage) -> String {
    let started = stage.worker().line("admin on http://").await;
    let admin = started.split("admin on ").nth(1).and_then(|rest| rest.split_whitespace().next());
    admin.expect("an address").to_owned()
}

/// As an editor does: the old file or the new one is there, and no half of either.
fn rewrite(stage: &Stage, text: &str) {
    file(stage, "rules.new", text);
    std::fs::rename(stage.path("rules.new"), stage.path("rules.toml")).expect("renamed");
}

#[tokio::test]
async fn a_text_that_cannot_be_written_in_the_scenarios_keeps_the_old_rules_and_is_told_everywhere() {
    let mut stage = Stage::with(Setting { rules: Some(shipped()), ..Setting::default() }).await;
    let admin = admin(&mut stage).await;
    let place = format!("line {}, column 8", unwritable().lines().count());
    rewrite(&stage, &unwritable());
    let line = stage.worker().line("the old rules stay in force").await;
    assert!(line.contains(&place) && line.contains("its text can't be written"), "{line}");
    let metrics = told(&admin, "/metrics").await;
    assert!(metrics.contains("gluehook_rulebook_ok 0"), "{metrics}");
    assert!(metrics.contains("gluehook_rulebook_reload_failures_total 1"), "{metrics}");
    let ready = told(&admin, "/readyz").await;
    assert!(ready.contains("the old rules stay in force") && ready.contains(&place), "{ready}");
    let (code, said, _) = stage.gluehook(&["doctor", "--offline"]).await;
    assert!(code == 1 && said.contains(&place) && said.contains("its text can't be written"), "{said}");
    let id = stage.post(&of_tenant("a", "x")).await;
    let version = stage.settled(&id, Outcome::Done).await.row.rulebook;
    let old = Rulebook::parse(&shipped()).expect("sound");
    assert_eq!(version.as_deref(), Some(old.version()));
}

#[tokio::test]
async fn a_worker_that_is_started_with_such_a_text_works_and_says_so_until_it_is_mended() {
    let mut stage = Stage::with(Setting { rules: Some(unwritable()), ..Setting::default() }).await;
    let admin = admin(&mut stage).await;
    let place = format!("line {}, column 8", unwritable().lines().count());
    let line = stage.worker().line("the rulebook is taken and is not sound").await;
    assert!(line.contains(&place) && line.contains("its text can't be written"), "{line}");
    let ready = told(&admin, "/readyz").await;
    assert!(ready.contains("is in force and is not sound") && ready.contains(&place), "{ready}");
    let (code, said, _) = stage.gluehook(&["doctor", "--offline"]).await;
    assert!(code == 1 && said.contains(&place), "{said}");

    // A file that is worse is refused, and what is said of the one in force comes back with it.
    rewrite(&stage, "[[rule]]\nname = \"r\"\nwhen = [\"event.tennant\"]\n");
    stage.worker().line("the old rules stay in force").await;
    rewrite(&stage, &unwritable());
    stage.worker().line("is again the one in force").await;
    assert!(told(&admin, "/readyz").await.contains("is in force and is not sound"));

    rewrite(&stage, &shipped());
    let line = stage.worker().line("rulebook aa").await;
    assert!(line.contains("is in force; rules that are gone: told"), "{line}");
    assert!(!told(&admin, "/readyz").await.contains("sound"));
}

#[tokio::test]
async fn a_rulebook_is_taken_however_its_file_is_replaced() {
    let mut stage = Stage::with(Setting { rules: Some(shipped()), ..Setting::default() }).await;
    let taken = async |stage: &mut Stage, text: &str| {
        let version = Rulebook::parse(text).expect("sound").version().to_owned();
        stage.worker().line(&format!("rulebook {version} is in force")).await;
        version
    };
    let variant = |name: &str| format!("{}\n# {name}\n", shipped());

    // A directory that is swapped behind two links, as Kubernetes does it.
    let folder = |name: &str, text: &str| {
        std::fs::create_dir(stage.path(name)).expect("a folder");
        file(&stage, &format!("{name}/rules.toml"), text);
    };
    folder("data-1", &shipped());
    folder("data-2", &variant("swapped"));
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, stage.path("link")).expect("a link");
        std::fs::rename(stage.path("link"), stage.path(name)).expect("renamed");
    };
    link("data-1", "data");
    link("data/rules.toml", "rules.toml");
    link("data-2", "data");
    taken(&mut stage, &variant("swapped")).await;

    rewrite(&stage, &variant("renamed"));
    taken(&mut stage, &variant("renamed")).await;

    // Written in place, twice at once.
    file(&stage, "rules.toml", &variant("first"));
    file(&stage, "rules.toml", &variant("second"));
    taken(&mut stage, &variant("second")).await;

    // As Windows writes it.
    let windows = format!("\u{feff}{}", variant("windows").replace('\n', "\r\n"));
    file(&stage, "rules.toml", &windows);
    let version = taken(&mut stage, &windows).await;
    assert!(!stage.worker().log().contains("the old rules stay in force"), "{}", stage.worker().log());
    let id = stage.post(&of_tenant("a", "x")).await;
    assert_eq!(stage.settled(&id, Outcome::Done).await.row.rulebook, Some(version));

    std::fs::write(stage.path("rules.toml"), b"[[rule]]\nname = \"caf\xe9\"\n").expect("written");
    let line = stage.worker().line("the old rules stay in force").await;
    assert!(line.contains("line 2, column 12: this is no text in UTF-8"), "{line}");
}
