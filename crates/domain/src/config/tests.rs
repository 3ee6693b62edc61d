use super::*;

const SAMPLE: &str = r##"
[[endpoint]]
name    = "hotglue"
source  = "hotglue"
secrets = ["env:HOTGLUE_WEBHOOK_SECRET"]

[[hotglue.environment]]
env_id   = "dev.hotglue.com"
base_url = "https://api.hotglue.com"
api_key  = "env:HOTGLUE_API_KEY"

[hotglue.defaults]
schedule = "cron(0 6 * * *)"

[[hotglue.flow]]
flow_id         = "JClkCC05S"
schedule        = "cron(0 */4 * * *)"
target          = "optiply"
target_schedule = "cron(30 */4 * * *)"
config_schema   = "schemas/optiply.json"

[slack]
token   = "env:SLACK_BOT_TOKEN"
channel = "#hotglue-webhooks"
"##;

fn complaint(text: &str) -> String {
    let complaints = Config::parse(text).expect_err("refused");
    complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_of_the_design_is_read() {
    let config = Config::parse(SAMPLE).expect("valid");
    assert_eq!(config.endpoint[0].max_body, 1 << 20);
    let flow = config.hotglue.flow("JClkCC05S");
    assert_eq!(
        (flow.schedule.as_deref(), flow.target.as_deref()),
        (Some("cron(0 */4 * * *)"), Some("optiply"))
    );
    let other = config.hotglue.flow("unlisted");
    assert_eq!((other.schedule.as_deref(), other.target), (Some("cron(0 6 * * *)"), None));
    assert!(config.hotglue.environment("").is_some() && config.hotglue.environment("x").is_none());
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_right_one() {
    let text = SAMPLE.replace("secrets =", "secretz =");
    assert_eq!(complaint(&text), "line 5, column 1: unknown name `secretz`; did you mean `secrets`?");
    let text = SAMPLE.replace("source  = \"hotglue\"", "source  = \"hotgleu\"");
    assert!(complaint(&text).contains("line 4"), "{}", complaint(&text));
    assert!(complaint("[slak]\n").contains("did you mean `slack`?"));
}

#[test]
fn a_secret_that_is_written_out_is_refused_and_not_repeated() {
    let text = SAMPLE.replace("env:HOTGLUE_WEBHOOK_SECRET", "hunter2");
    let said = complaint(&text);
    assert!(said.contains("\"env:NAME\" or \"file:PATH\"") && !said.contains("hunter2"), "{said}");
}

#[test]
fn an_endpoint_without_secrets_must_say_so() {
    let text = SAMPLE.replace("secrets = [\"env:HOTGLUE_WEBHOOK_SECRET\"]", "");
    assert!(complaint(&text).contains("proof = \"none\""));
    let text = SAMPLE.replace("secrets = [\"env:HOTGLUE_WEBHOOK_SECRET\"]", "proof = \"none\"");
    assert_eq!(Config::parse(&text).expect("valid").endpoint[0].proof(), Proof::None);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let text = SAMPLE
        .replace("cron(0 */4 * * *)", "every day")
        .replace("name    = \"hotglue\"", "name = \"Hot Glue\"");
    let said = complaint(&text);
    assert!(said.contains("lower-case letters") && said.contains("must be written as cron("), "{said}");
}

#[test]
fn an_ack_wait_that_no_worker_could_keep_is_refused() {
    let said = complaint("[jetstream]\nack_wait = \"10ms\"\n");
    assert!(said.contains("ack_wait is too short") && said.contains("\"1s\""), "{said}");
}

#[test]
fn an_empty_text_says_none_where_there_is_a_default() {
    let text = format!("{SAMPLE}\n[[hotglue.flow]]\nflow_id = \"x\"\nschedule = \"\"\n");
    assert_eq!(Config::parse(&text).expect("valid").hotglue.flow("x").schedule, None);
}
