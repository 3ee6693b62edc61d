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

#[test]
fn each_mistake_in_a_proof_is_named() {
    let said = |proof: &str| complaint(&SAMPLE.replace("secrets =", &format!("proof = {proof}\nsecrets =")));
    for (proof, told) in [
        (
            r#"{ header = "X-S", hash = "md5" }"#,
            r#"hash = "md5" in proof is not supported; known here: sha1, sha256"#,
        ),
        (r#"{ header = "X-S", hash = "SHA-256" }"#, "did you mean sha256?"),
        (
            r#"{ header = "X-S", hash = "sha1", encoding = "base32" }"#,
            "encoding = \"base32\" in proof is not supported; known here: hex, base64",
        ),
        (
            r#"{ header = "X-S", hash = "sha1", template = "{ts}.{body}" }"#,
            "`template` in proof is not supported yet",
        ),
        (r#"{ basic = true }"#, "`basic` in proof is not supported yet"),
        (r#"{ heder = "X-S", hash = "sha1" }"#, "unknown name `heder`; did you mean `header`?"),
        (r#"{ header = 5, hash = "sha1" }"#, "`header` in proof must be a text in quotes"),
        (r#"{ hash = "sha1" }"#, "proof has no `header`"),
        (r#"{ header = "X-S" }"#, "proof has no `hash`"),
        (r#""basic""#, "proof = \"basic\" is not supported yet"),
        (r#""nome""#, "did you mean \"none\"?"),
        ("5", "proof as \"none\", or as a table such as"),
    ] {
        let said = said(proof);
        assert!(said.starts_with("line 5, ") && said.contains(told), "{proof}: {said}");
    }
    let text = SAMPLE.replace(
        "secrets =",
        "proof = { header = \"X-S\", hash = \"sha256\", encoding = \"base64\", prefix = \"v1=\" }\nsecrets =",
    );
    let Proof::Hmac { header, prefix, .. } = Config::parse(&text).expect("valid").endpoint[0].proof() else {
        panic!()
    };
    assert_eq!((header.as_str(), prefix.as_deref()), ("x-s", Some("v1=")));
}

#[test]
fn a_source_that_is_planned_is_not_called_unknown() {
    let said = complaint(&SAMPLE.replace("source  = \"hotglue\"", "source = \"etlworks\""));
    assert_eq!(said, "line 4, column 10: source = \"etlworks\" is not supported yet; known here: hotglue");
}

#[test]
fn an_endpoint_that_takes_nothing_or_proves_nothing_with_secrets_is_refused() {
    let said = complaint(&SAMPLE.replace("secrets =", "max_body = \"0\"\nsecrets ="));
    assert!(said.contains("endpoint `hotglue`: max_body = \"0\" takes no body"), "{said}");
    let said = complaint(&SAMPLE.replace("secrets =", "proof = \"none\"\nsecrets ="));
    assert!(said.contains("has secrets and proof = \"none\""), "{said}");
}
