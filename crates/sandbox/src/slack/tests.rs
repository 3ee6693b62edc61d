use serde_json::{Value, json};

use super::*;

const TOKEN: &str = "xoxb-test";

async fn post(
    server: &Server,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> reqwest::Result<reqwest::Response> {
    let mut request = http::testing::client().post(format!("{}/{path}", server.url())).body(body.to_owned());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await
}

async fn say(server: &Server, body: &Value) -> Value {
    let response = post(server, "api/chat.postMessage", Some(TOKEN), &body.to_string()).await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_message_is_kept_and_answered_with_channel_and_ts() {
    let slack = Slack::new(TOKEN);
    let server = slack.start().await;
    let answer = say(&server, &json!({"channel": "#hotglue-webhooks", "text": "hi"})).await;
    assert_eq!(answer["ok"], true);
    assert!(answer["channel"].as_str().unwrap().starts_with('C'));
    let kept = &slack.messages()[0];
    assert_eq!((kept.channel.as_str(), kept.text.as_str()), ("#hotglue-webhooks", "hi"));
    assert_eq!(answer["ts"], kept.ts.as_str());
    assert_eq!(say(&server, &json!({"channel": "C0123456789", "text": "x"})).await["channel"], "C0123456789");

    let url = format!("{}/_sandbox/messages", server.url());
    let page: Value = http::testing::client().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(page[0]["text"], "hi");
    assert_eq!(slack.calls().len(), 2);
}

#[tokio::test]
async fn a_message_is_updated_by_the_channels_id_and_its_ts() {
    let slack = Slack::new(TOKEN);
    let server = slack.start().await;
    let posted = say(&server, &json!({"channel": "#c", "text": "one"})).await;
    let update = |body: Value| {
        let server = &server;
        async move {
            let sent = post(server, "api/chat.update", Some(TOKEN), &body.to_string()).await.unwrap();
            sent.json::<Value>().await.unwrap()
        }
    };
    let ts = &posted["ts"];
    let answer = update(json!({"channel": posted["channel"], "ts": ts, "text": "two"})).await;
    assert_eq!((&answer["ok"], &answer["ts"]), (&json!(true), ts));
    assert_eq!((slack.texts(), slack.messages()[0].updates), (vec!["two".to_owned()], 1));
    let by_name = update(json!({"channel": "#c", "ts": ts, "text": "x"})).await;
    assert_eq!(by_name["error"], "channel_not_found");
    let unknown = update(json!({"channel": posted["channel"], "ts": "1.2", "text": "x"})).await;
    assert_eq!(unknown["error"], "message_not_found");
}

#[tokio::test]
async fn refusals_come_as_ok_false_and_keep_nothing() {
    let slack = Slack::new(TOKEN);
    let server = slack.start().await;
    slack.only_channels(&["#known"]);
    for (body, error) in [
        (json!({"channel": "#other", "text": "x"}), "channel_not_found"),
        (json!({"text": "x"}), "channel_not_found"),
        (json!({"channel": "#known"}), "no_text"),
        (json!([]), "json_not_object"),
    ] {
        assert_eq!(say(&server, &body).await, json!({"ok": false, "error": error}));
    }
    for (token, error) in [(None, "not_authed"), (Some("other"), "invalid_auth")] {
        let body = json!({"channel": "#known", "text": "x"}).to_string();
        let answer: Value =
            post(&server, "api/chat.postMessage", token, &body).await.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({"ok": false, "error": error}));
    }
    assert!(slack.messages().is_empty());
    let test: Value = post(&server, "api/auth.test", Some(TOKEN), "").await.unwrap().json().await.unwrap();
    assert_eq!(test["ok"], true);
}

#[tokio::test]
async fn an_incoming_webhook_answers_the_text_ok() {
    let slack = Slack::new(TOKEN);
    let server = slack.start().await;
    for (body, status, text) in
        [(r#"{"text":"hi"}"#, 200, "ok"), ("{}", 400, "no_text"), ("text=hi", 400, "invalid_payload")]
    {
        let response = post(&server, "services/T0/B0/secret", None, body).await.unwrap();
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (status, text));
    }
    assert_eq!(slack.texts(), ["hi"]);
    assert_eq!(slack.messages()[0].channel, "/services/T0/B0/secret");
}

#[tokio::test]
async fn faults_limit_refuse_and_cut() {
    let slack = Slack::new(TOKEN);
    let server = slack.start().await;
    slack.next(Fault::slack_rate_limited(3));
    slack.next(Fault::slack_error("channel_is_archived"));
    slack.next(Fault::CutAfter);
    let body = json!({"channel": "#c", "text": "once"}).to_string();
    let limited = post(&server, "api/chat.postMessage", Some(TOKEN), &body).await.unwrap();
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"3".parse().unwrap()));
    assert_eq!(say(&server, &json!({"channel": "#c", "text": "x"})).await["error"], "channel_is_archived");
    assert!(post(&server, "api/chat.postMessage", Some(TOKEN), &body).await.is_err());
    assert_eq!(slack.texts(), ["once"], "the message is there although nobody was told");
    assert_eq!(slack.faults_waiting(), 0);
}
