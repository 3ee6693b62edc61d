//! The console's pages, over real HTTP.

use domain::journal::Outcome;
use reqwest::StatusCode;
use sandbox::webhook;
use tests::program::Program;
use tests::stage::{ENV, FLOW, Stage, client, secrets};

/// A console that looks at a stage, and its address.
async fn console(stage: &Stage, more: &[&str], env: &[(&str, &str)]) -> (Program, String) {
    let mut args = vec![
        format!("--config={}", stage.path("gluehook.toml").display()),
        format!("--database-url={}", stage.database_url()),
        "console".to_owned(),
        "--admin-listen=127.0.0.1:0".to_owned(),
    ];
    if !more.iter().any(|flag| flag.starts_with("--listen")) {
        args.push("--listen=127.0.0.1:0".to_owned());
    }
    args.extend(more.iter().map(ToString::to_string));
    let mut all = secrets();
    all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let program = Program::start("gluehook", &args, &all);
    let line = program.line("the console is at").await;
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("http://")).expect("an address");
    (program, format!("http://{}", address.trim_end_matches('/')))
}

async fn page(url: String) -> (StatusCode, String) {
    let answer = client().get(url).send().await.expect("an answer");
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script"), "{policy}");
    (answer.status(), answer.text().await.expect("a page"))
}

#[tokio::test]
async fn the_pages_show_what_the_commands_do_and_lead_to_each_other() {
    let stage = Stage::start().await;
    stage.hotglue.tenant(ENV, FLOW, "1414_1").with_target("optiply");
    let synced = stage.post(&webhook::job(|_| {})).await;
    stage.settled(&synced, Outcome::Done).await;
    let failed = stage.post(&webhook::failed_job("Kaboom in stream orders")).await;
    stage.settled(&failed, Outcome::Done).await;
    let (mut program, at) = console(&stage, &[], &[]).await;

    let (status, overview) = page(format!("{at}/")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(overview.contains(r#"<span class="number">2</span> <span class="outcome done">"#), "{overview}");
    assert!(overview.contains(&format!("/events/{failed}")) && overview.contains("/tenants/1414%5F1"));

    let (_, listed) = page(format!("{at}/events?error=kaboom")).await;
    assert!(listed.contains(&failed) && !listed.contains(&synced), "{listed}");
    let (_, event) = page(format!("{at}/events/{failed}")).await;
    for part in
        ["Kaboom in stream orders", "job-failed", "exact-unauthorized", "401 Client Error", "SYNC_FAILED"]
    {
        assert!(event.contains(part), "{part} is missing:\n{event}");
    }
    let (_, told) = page(format!("{at}/tenants/1414%5F1")).await;
    assert!(told.contains("first-sync-done: source schedule of 1414_1"), "{told}");
    assert!(told.contains(&format!("<a href=\"/events/{}\">", &failed[..12])), "{told}");
    let (_, rules) = page(format!("{at}/rules")).await;
    assert!(rules.contains("exact-unauthorized") && rules.contains("limit"), "{rules}");

    for (path, expected, part) in [
        ("/events/ffffffffffff", StatusCode::NOT_FOUND, "ffffffffffff"),
        ("/events/ff", StatusCode::BAD_REQUEST, "too short"),
        ("/tenants", StatusCode::OK, "/tenants/1414%5F1"),
        ("/tenants/nobody", StatusCode::NOT_FOUND, "nobody"),
        ("/elsewhere", StatusCode::NOT_FOUND, "no such page"),
        ("/events?outcome=lost", StatusCode::BAD_REQUEST, "no_rule"),
        ("/events?tenants=x", StatusCode::BAD_REQUEST, "tenants"),
    ] {
        let (status, said) = page(format!("{at}{path}")).await;
        assert!(status == expected && said.contains(part), "{path}: {status} {said}");
    }
    assert!(program.stop().await.success());
}

#[tokio::test]
async fn what_a_sender_wrote_is_text_on_every_page() {
    let stage = Stage::start().await;
    let evil = "<script>alert(1)</script>";
    let id = stage
        .post(&webhook::job(|sent| {
            sent["tenant"] = evil.into();
            sent["tap"] = evil.into();
            sent["status"] = "SYNC_FAILED".into();
            sent["error"] = evil.into();
        }))
        .await;
    stage.settled(&id, Outcome::Done).await;
    let (_program, at) = console(&stage, &[], &[]).await;
    for path in [
        "/".to_owned(),
        "/events".to_owned(),
        format!("/events?tenant={}", "%3Cscript%3E"),
        format!("/events/{id}"),
        "/tenants/%3Cscript%3Ealert%281%29%3C%2Fscript%3E".to_owned(),
        "/events/%3Cscript%3E".to_owned(),
    ] {
        let (_, said) = page(format!("{at}{path}")).await;
        assert!(!said.contains("<script"), "{path}: {said}");
        assert!(said.contains("&lt;script&gt;"), "{path}: {said}");
    }
}

#[tokio::test]
async fn the_console_is_this_machines_alone_or_wants_its_token() {
    let stage = Stage::start().await;
    let (_program, at) = console(&stage, &[], &[]).await;
    let foreign = client().get(format!("{at}/")).header("host", "evil.example").send().await.expect("answer");
    assert_eq!(foreign.status(), StatusCode::MISDIRECTED_REQUEST);

    let token = [("CONSOLE_TOKEN", "open sesame")];
    let (_program, at) =
        console(&stage, &["--listen=127.0.0.1:0", "--token=env:CONSOLE_TOKEN"], &token).await;
    let ask = |password: Option<&'static str>| {
        let request = client().get(format!("{at}/"));
        let request = if password.is_some() { request.basic_auth("me", password) } else { request };
        async move { request.send().await.expect("an answer").status() }
    };
    assert_eq!(ask(None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Some("open")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Some("open sesame")).await, StatusCode::OK);
    let (code, _, errors) = stage.gluehook(&["console", "--listen", "0.0.0.0:0"]).await;
    assert!(code == 2 && errors.contains("--token"), "{errors}");
}
