//! What is one kind, what is told of it, and how fast.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{Kind, running, summary};
use crate::event::Event;
use crate::journal::{Posted, Storm, StormState};
use crate::names::EventId;
use crate::plan::LIVE;
use crate::rulebook::scenario::read_event;

fn event(tenant: &str, job_id: &str, error: &str) -> Event {
    let body =
        r#"{"job_id":"j","env_id":"dev","flow_id":"f","tenant":"t","tap":"exact","status":"SYNC_FAILED"}"#;
    let mut event = read_event(body.as_bytes()).unwrap();
    event.tenant = tenant.to_owned();
    event.job_id = job_id.to_owned();
    event.job_name = format!("wh-{tenant}-{job_id}");
    event.error = error.to_owned();
    event
}

fn kind(event: &Event) -> Kind {
    Kind::of(event, LIVE, "job-failed", None, "told")
}

fn shape(error: &str) -> String {
    kind(&event("1414_1", "aB3dE6", error)).shape
}

/// Errors of life, with what differs in them left open.
const ERRORS: [&str; 12] = [
    "Traceback (most recent call last):\n  File \"/app/tap.py\", line {n}, in <module>\n    sync()\nrequests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://start.exactonline.nl/api/v1/{n}/items?$filter={hex}",
    "Tenant {tenant}: rate limit exceeded per day, please wait until {date}",
    "RuntimeError: Failed OAuth login, response was '{name}'. Bad Request for url: https://start.exactonline.nl/api/oauth2/token",
    "could not connect to server at 10.{n}.0.{n}, port {n}: Connection refused",
    "job {job} of {tenant} was killed: out of memory ({n} MiB)",
    "invalid email address {email} in row {n} of the export",
    "record {uuid} was rejected: the supplier is not active",
    "{date} ERROR target: table \"{name}\" has no column of that type",
    "schema validation of stream items failed at {n} of {n} records, see run {hex}",
    "Read timed out after {n} s while asking for page {n}",
    "the credentials of {email} were revoked on {date}",
    "upload of export-{hex}.csv was denied by the bucket",
];

#[derive(Debug, Clone)]
struct Slots {
    tenant: String,
    job: String,
    number: u32,
    hex: String,
    uuid: String,
    name: String,
    email: String,
    date: String,
}

fn slots() -> impl Strategy<Value = Slots> {
    let date = (1i64..4_000_000_000)
        .prop_map(|second| Timestamp::from_second(second).unwrap().strftime("%Y-%m-%dT%H:%M:%S").to_string());
    let forms = prop_oneof![Just(""), Just("Z"), Just("+00:00"), Just(".123456+02:00")];
    let ids = ("[a-z]{0,4}[0-9]{1,6}_[0-9]{1,2}", "[a-zA-Z]{3}[0-9][a-zA-Z0-9]{4}", "[0-9a-f]{12}[0-9]");
    let more = ("[A-Z][a-z]{2,9} [A-Z][a-z]{2,9}", "[a-z]{2,9}\\.[a-z]{2,9}@[a-z]{3,9}\\.nl", any::<u32>());
    (ids, more, any::<u128>(), date, forms).prop_map(|(ids, more, uuid, date, form)| {
        let hex = format!("{uuid:032x}");
        Slots {
            tenant: ids.0,
            job: ids.1,
            number: more.2,
            hex: ids.2,
            uuid: format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]),
            name: more.0,
            email: more.1,
            date: format!("{date}{form}"),
        }
    })
}

impl Slots {
    fn failure(&self, template: &str) -> Kind {
        let error = template
            .replace("{tenant}", &self.tenant)
            .replace("{job}", &self.job)
            .replace("{n}", &self.number.to_string())
            .replace("{hex}", &self.hex)
            .replace("{uuid}", &self.uuid)
            .replace("{name}", &self.name)
            .replace("{email}", &self.email)
            .replace("{date}", &self.date);
        kind(&event(&self.tenant, &self.job, &error))
    }
}

proptest! {
    #[test]
    fn the_same_error_of_other_tenants_jobs_and_times_is_one_kind(one in slots(), other in slots(), which in 0..ERRORS.len()) {
        let (one, other) = (one.failure(ERRORS[which]), other.failure(ERRORS[which]));
        prop_assert_eq!(&one.shape, &other.shape);
        prop_assert_eq!(one.digest, other.digest);
    }

    #[test]
    fn different_errors_are_different_kinds(slots in slots(), which in 0..ERRORS.len(), other in 0..ERRORS.len()) {
        prop_assume!(which != other);
        prop_assert_ne!(slots.failure(ERRORS[which]).digest, slots.failure(ERRORS[other]).digest);
    }

    #[test]
    fn no_error_is_too_strange(error in ".{0,400}", tenant in ".{0,20}") {
        let kind = kind(&event(&tenant, "j", &error));
        prop_assert!(kind.shape.chars().count() <= 300);
        prop_assert_eq!(kind.digest.len(), 16);
    }
}

#[test]
fn a_traceback_is_told_by_the_exception_that_ended_it() {
    let error = "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    g()\nrequests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://start.exactonline.nl/api/oauth2/token\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b.py\", line 9, in h\n    raise\nKeyError: 'supplier'\n";
    assert_eq!(shape(error), "KeyError: 'supplier'", "what is quoted is all that it says");
    assert_ne!(shape(error), shape(&error.replace("supplier", "warehouse")));
    let cut = "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    g()";
    assert_eq!(shape(cut), "g()");
}

#[test]
fn the_shape_is_readable_and_names_nobody() {
    let error = "401 for tenant 1414_1, job aB3dE6 at 2026-11-24T09:31:05Z: https://api.x.nl/v1/items?token=abc said 'no access for Jan Jansen' (jan@x.nl), status: 403";
    assert_eq!(
        shape(error),
        "# for tenant <tenant>, job <job> at #: https://api.x.nl/v1/items said '…' (<email>), status: 403"
    );
    assert_ne!(shape("upload ended with status 403"), shape("upload ended with status 500"));
    assert_eq!(shape("page 403 could not be read"), shape("page 7 could not be read"));
    assert_eq!(shape(r#"{"error": "invalid_grant"}"#), r#"{"error": "invalid_grant"}"#);
    assert_eq!(shape("failed on Mon, 07 Oct 2026 at last"), shape("failed on Tue, 1 Dec 2026 at last"));
}

#[test]
fn a_status_code_beside_its_name_tells_kinds_apart() {
    let of = |error: &str| kind(&event("1414_1", "aB3dE6", error));
    let http = |code: u16| {
        of(&format!(
            "requests.exceptions.HTTPError: {code} Client Error: for url: https://api.x.com/v1/items"
        ))
    };
    assert_ne!(http(401).digest, http(429).digest);
    assert!(http(401).shape.contains("401 Client Error"), "{}", http(401).shape);
    assert_eq!(of("HTTP 503 for item 504").digest, of("HTTP 503 for item 505").digest);
}

#[test]
fn where_no_error_is_reported_the_text_says_what_kind_it_is() {
    let of = |tenant: &str, problem: &str| {
        let text =
            format!(":warning: *{tenant}* in f: the tenant's config is not valid.\n• {problem} is missing");
        Kind::of(&event(tenant, "j", ""), LIVE, "config-invalid", None, &text)
    };
    assert_eq!(of("1414_1", "importCredentials").digest, of("2077_3", "importCredentials").digest);
    assert_ne!(of("1414_1", "importCredentials").digest, of("1414_1", "exportPath").digest);
}

#[test]
fn rule_flow_environment_channel_and_run_tell_kinds_apart() {
    let event = event("1414_1", "j", "out of memory");
    let kind = |event: &Event, run, rule, channel| Kind::of(event, run, rule, channel, "").digest;
    let one = kind(&event, LIVE, "r", None);
    assert_eq!(one, kind(&event, LIVE, "r", None));
    let mut flow = event.clone();
    flow.flow_id = "other".to_owned();
    let mut environment = event.clone();
    environment.env_id = "other".to_owned();
    for other in [
        kind(&event, LIVE, "s", None),
        kind(&event, LIVE, "r", Some("#c")),
        kind(&event, "r-1", "r", None),
        kind(&flow, LIVE, "r", None),
        kind(&environment, LIVE, "r", None),
    ] {
        assert_ne!(one, other);
    }
}

fn storm() -> Storm {
    let since = Timestamp::from_second(1_700_000_000).unwrap();
    Storm {
        id: 1,
        rule: "job-failed".to_owned(),
        env_id: "dev".to_owned(),
        flow_id: "JClkCC05S".to_owned(),
        run: LIVE.to_owned(),
        channel: None,
        shape: "no access for <tenant> ```".to_owned(),
        state: StormState::Open,
        per_seconds: 600,
        since,
        last_at: since + SignedDuration::from_secs(125),
        alone: 3,
        posted: Posted { alone_posted: 3, ..Posted::default() },
        messages: 197,
        waiting: 7,
        superseded: 0,
        nothing_to_switch_off: 0,
        tenants: 57,
        newest: (0..10).map(|number| format!("t{number}<!here>")).collect(),
        example: EventId::from_text("abcdef0123456789abcdef"),
        example_text: Some(":x: *1414_1* failed <!here>\n\nno access".to_owned()),
        example_corrections: Vec::new(),
        message: None,
        told_at: None,
        failures: 0,
        why: None,
    }
}

#[test]
fn the_message_says_how_many_whose_since_when_and_where_to_look() {
    assert_eq!(
        running(&storm()),
        ":cyclone: *197 more messages* of rule `job-failed` in flow JClkCC05S, from 57 tenants since 2023-11-14 22:13:20 UTC, the last 2023-11-14 22:15:25 UTC; told here together. The first 3 were posted on their own.\n\
         > :x: *1414_1* failed &lt;!here>\n> no access\n\
         ```\nno access for &lt;tenant&gt; '''\n```\n\
         Newest: t0&lt;!here&gt;, t1&lt;!here&gt;, t2&lt;!here&gt;, t3&lt;!here&gt;, t4&lt;!here&gt;, t5&lt;!here&gt;, t6&lt;!here&gt;, t7&lt;!here&gt;, t8&lt;!here&gt;, t9&lt;!here&gt;, … and 47 more\n\
         This one: `gluehook explain abcdef012345`; all: `gluehook events list --rule job-failed`"
    );
    let over = summary(&Storm { messages: 1, tenants: 1, alone: 0, newest: vec!["t".to_owned()], ..storm() });
    assert!(over.starts_with(":checkered_flag: Over: *1 message* of rule"));
    assert!(
        over.contains("from 1 tenant, 2023-11-14 22:13:20 UTC to 2023-11-14 22:15:25 UTC.")
            && over.contains("Newest: t\n"),
        "{over}"
    );
    assert!(running(&Storm { run: "r-7".to_owned(), ..storm() }).contains("(replayed, run r-7)"));
    assert!(running(&Storm { run: "r-7".to_owned(), ..storm() }).contains("explain abcdef012345 --run r-7`"));
}

#[test]
fn the_message_stays_short_whatever_it_is_about() {
    let long = "&".repeat(10_000);
    let text = running(&Storm { rule: long.clone(), shape: long.clone(), newest: vec![long; 50], ..storm() });
    assert!(text.len() < 38_000, "{}", text.len());
}

#[test]
fn only_what_has_been_posted_is_said_to_be() {
    let of = |alone_posted, alone_waiting, alone_unknown, alone_failed| Posted {
        alone_posted,
        alone_waiting,
        alone_unknown,
        alone_failed,
        ..Posted::default()
    };
    let first_line = |text: String, after: &str| {
        text.lines().next().unwrap().split_once(after).unwrap().1.trim().to_owned()
    };
    let says =
        |alone, posted| first_line(running(&Storm { alone, posted, ..storm() }), "told here together.");
    assert_eq!(says(0, of(0, 0, 0, 0)), "");
    assert_eq!(says(1, of(1, 0, 0, 0)), "The first was posted on its own.");
    assert_eq!(says(3, of(3, 0, 0, 0)), "The first 3 were posted on their own.");
    assert_eq!(says(3, of(0, 3, 0, 0)), "The first 3 are being posted on their own.");
    assert_eq!(says(1, of(0, 1, 0, 0)), "The first is being posted on its own.");
    assert_eq!(says(1, of(0, 0, 1, 0)), "The first may not have been posted, or twice.");
    assert_eq!(says(2, of(0, 0, 0, 2)), "The first 2 could not be posted: `gluehook dead list`.");
    assert_eq!(says(2, of(0, 0, 0, 0)), "", "nothing is known of them any more");
    assert_eq!(
        says(6, of(1, 2, 2, 1)),
        "Of the first 6: 1 posted, 2 are being posted, 2 may not have been posted, or twice, 1 could not be posted (`gluehook dead list`)."
    );
    let paused = Posted { alone_held: 1, alone_dropped: 2, ..Posted::default() };
    assert_eq!(says(3, paused), "Of the first 3: 1 held back by a pause of the rule, 2 dropped by a person.");
    let last = |alone, posted| first_line(summary(&Storm { alone, posted, ..storm() }), "22:15:25 UTC.");
    assert_eq!(last(1, of(1, 0, 0, 0)), "The first was posted on its own.");
    assert_eq!(last(1, of(0, 1, 0, 0)), "The first was not yet posted when this was written.");
    assert_eq!(last(2, of(1, 1, 0, 0)), "Of the first 2: 1 posted, 1 not yet posted when this was written.");
}

#[test]
fn what_turned_out_otherwise_is_said_of_the_example_and_of_all() {
    let correction = ":information_source: hotglue reports no source schedule here".to_owned();
    let storm = Storm {
        example_text: Some("1\n2\n3\n4\n5\n6\n7".to_owned()),
        example_corrections: vec![correction.clone()],
        superseded: 2,
        nothing_to_switch_off: 150,
        ..storm()
    };
    for text in [running(&storm), summary(&storm)] {
        assert!(text.contains(&format!("\n> 6\n> …\n> {correction}\n")), "it is not cut off: {text}");
        assert!(text.contains("\n:warning: 2 of these 197: not so, a newer event had already set"), "{text}");
        assert!(
            text.contains("\n:information_source: 150 of these 197: hotglue reports no schedule"),
            "{text}"
        );
    }
}

#[test]
fn the_example_is_as_its_rule_wrote_it_and_short() {
    let example = |text: &str| {
        let text = running(&Storm { example_text: Some(text.to_owned()), ..storm() });
        text.lines().filter_map(|line| line.strip_prefix("> ").map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(
        example(":lock: *1414_1* exact: <https://a.b/c|look>"),
        [":lock: *1414_1* exact: <https://a.b/c|look>"]
    );
    let lines = example("1\n2\n3\n4\n5\n6\n7");
    assert_eq!((lines.len(), lines[6].as_str()), (7, "…"));
    let long = example(&format!("{}<https://a.b/{}|x>", "a".repeat(230), "b".repeat(50)));
    assert_eq!(long, [format!("{}…", "a".repeat(230))], "no link is cut in two");
    let code = example(&format!("{}`{}`", "a".repeat(230), "b".repeat(50)));
    assert_eq!(code, [format!("{}…", "a".repeat(230))]);
    assert_eq!(example("```\nKeyError"), ["'''", "KeyError"], "no block swallows what follows");
    assert_eq!(example("<@U123> see"), ["&lt;@U123> see"], "nobody is called once more");
    assert!(!running(&Storm { example_text: None, ..storm() }).contains("\n>"));
}
