//! The webhooks hotglue sends: documented payloads byte for byte, variations that change only what was asked for, and
//! the signature.
//!
//! Bodies are compact JSON in the documented order of keys, because the signature is over the bytes.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha1::Sha1;

/// The documented job payload (the current generation).
pub const JOB: &str = include_str!("../fixtures/job.json");
/// The documented job payload of 2020: 13 fields.
pub const JOB_GEN1: &str = include_str!("../fixtures/job-gen1.json");
/// The documented discover payload.
pub const DISCOVER: &str = include_str!("../fixtures/discover.json");
/// The documented connection payload.
pub const CONNECTION: &str = include_str!("../fixtures/connection.json");
/// What [`failed_job`] says of a tap that lost its connection.
pub const FAILED_JOB: &str = include_str!("../fixtures/failed-job.json");
/// What [`exact_401_job`] says.
pub const EXACT_401: &str = include_str!("../fixtures/exact-401.json");
/// What [`buy_order_failures`] says of 2 orders.
pub const BUY_ORDERS: &str = include_str!("../fixtures/buy-orders.json");

/// All ready-made payloads by name. The first four are the vendor's own, the others are made from the first.
pub const FIXTURES: &[(&str, &str)] = &[
    ("job", JOB),
    ("job-gen1", JOB_GEN1),
    ("discover", DISCOVER),
    ("connection", CONNECTION),
    ("failed-job", FAILED_JOB),
    ("exact-401", EXACT_401),
    ("buy-orders", BUY_ORDERS),
];

/// The tenant of [`exact_401_job`].
pub const EXACT_TENANT: &str = "2077_1";
/// The tenant of [`buy_order_failures`].
pub const BUY_ORDER_TENANT: &str = "3120_1";

/// What Exact's tap leaves behind when its token endpoint answers 401.
pub const EXACT_401_TRACEBACK: &str = concat!(
    "Traceback (most recent call last):\n",
    "  File \"tap_exact/auth.py\", line 118, in update_access_token\n",
    "    token_response.raise_for_status()\n",
    "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: ",
    "https://start.exactonline.nl/api/oauth2/token\n",
    "\n",
    "During handling of the above exception, another exception occurred:\n",
    "\n",
    "Traceback (most recent call last):\n",
    "  File \"tap_exact/auth.py\", line 122, in update_access_token\n",
    "    raise RuntimeError(\n",
    "RuntimeError: Failed OAuth login, response was '{'error': 'unauthorized_client', ",
    "'error_description': 'Old refresh token used.'}'. ",
    "401 Client Error: Unauthorized for url: https://start.exactonline.nl/api/oauth2/token",
);

/// The name of the header that carries [`sign_sha1_hex`].
pub const SIGNATURE_HEADER: &str = "X-Hub-Signature";

/// HMAC-SHA1 of the body in lower-case hex without a prefix, as hotglue puts it into `X-Hub-Signature`.
#[must_use]
pub fn sign_sha1_hex(secret: &str, body: impl AsRef<[u8]>) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body.as_ref());
    hex::encode(mac.finalize().into_bytes())
}

/// The headers hotglue sends with a body; without a secret there is no signature.
#[must_use]
pub fn headers(secret: Option<&str>, body: impl AsRef<[u8]>) -> Vec<(&'static str, String)> {
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    headers.extend(secret.map(|secret| (SIGNATURE_HEADER, sign_sha1_hex(secret, body))));
    headers
}

/// The documented job payload with changes: `job(|v| v["status"] = "SYNC_FAILED".into())`.
#[must_use]
pub fn job(change: impl FnOnce(&mut Value)) -> String {
    vary(JOB, change)
}

/// The 2020 job payload with changes.
#[must_use]
pub fn job_gen1(change: impl FnOnce(&mut Value)) -> String {
    vary(JOB_GEN1, change)
}

/// The documented discover payload with changes.
#[must_use]
pub fn discover(change: impl FnOnce(&mut Value)) -> String {
    vary(DISCOVER, change)
}

/// The documented connection payload with changes.
#[must_use]
pub fn connection(change: impl FnOnce(&mut Value)) -> String {
    vary(CONNECTION, change)
}

/// The documented job, tenant `1414_1`, failed in its tap with this `error` (any JSON). The vendor shows no failed
/// payload: the shape of `error` is not known.
#[must_use]
pub fn failed_job(error: impl Into<Value>) -> String {
    job(|v| {
        rename_job(v, "fAil1", "1414_1");
        v["status"] = "SYNC_FAILED".into();
        v["sync_type"] = "incremental_sync".into();
        v["error"] = error.into();
    })
}

/// A job of [`EXACT_TENANT`] that failed because Exact refuses its refresh token.
#[must_use]
pub fn exact_401_job() -> String {
    job(|v| {
        rename_job(v, "eX401", EXACT_TENANT);
        v["tap"] = "exact".into();
        v["target"] = "optiply".into();
        v["status"] = "SYNC_FAILED".into();
        v["sync_type"] = "incremental_sync".into();
        v["metrics"] = json!({"recordCount": {}});
        v["error"] = EXACT_401_TRACEBACK.into();
    })
}

/// A job of [`BUY_ORDER_TENANT`] that completed although Exact refused `count` buy orders; its `state` has the form
/// in which Exact's target keeps results. One more order went well.
#[must_use]
pub fn buy_order_failures(count: usize) -> String {
    let mut bookmarks = vec![json!({
        "hash": format!("{:064x}", 0xb0_u32),
        "success": true,
        "id": "0a1b2c3d-0000-4000-8000-000000000001",
        "externalId": "BO-1000",
    })];
    bookmarks.extend((1..=count).map(|number| {
        json!({
            "hash": format!("{:064x}", 0xb0 + number),
            "success": false,
            "error": "Supplier: the account is blocked for purchase orders",
            "externalId": format!("BO-{}", 1000 + number),
        })
    }));
    job(|v| {
        rename_job(v, "bOrd1", BUY_ORDER_TENANT);
        v["tap"] = "optiply".into();
        v["target"] = "exact".into();
        v["sync_type"] = "incremental_sync".into();
        v["metrics"] = json!({"recordCount": {"BuyOrders": count + 1}});
        v["state"] = json!({
            "bookmarks": {"BuyOrders": bookmarks},
            "summary": {"BuyOrders": {"success": 1, "fail": count, "existing": 0, "updated": 0}},
        });
    })
}

/// The same JSON with everything beyond ASCII as `\uXXXX`, as Python's `json.dumps` writes it.
#[must_use]
pub fn ascii(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    for character in body.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(text, "\\u{unit:04x}").expect("writing to a String doesn't fail");
            }
        }
    }
    text
}

fn rename_job(v: &mut Value, job_id: &str, tenant: &str) {
    v["job_id"] = job_id.into();
    v["tenant"] = tenant.into();
    v["started_by"] = tenant.into();
    v["job_name"] = format!("JClkCC05S-{job_id}").into();
    v["s3_root"] = format!("{tenant}/flows/JClkCC05S/jobs/2024/10/1/06/05/{job_id}").into();
}

/// Changes a payload and leaves every byte of the fields that didn't change: same order, same spelling of numbers.
/// New fields come last.
///
/// # Panics
/// When `change` turns the payload into something else than an object.
#[must_use]
pub fn vary(payload: &str, change: impl FnOnce(&mut Value)) -> String {
    let written = fields_as_written(payload);
    let before: Map<String, Value> = serde_json::from_str(payload).expect("a payload is a JSON object");
    let mut changed = Value::Object(before.clone());
    change(&mut changed);
    let Value::Object(mut after) = changed else { panic!("a payload must stay an object") };
    let mut fields = Vec::new();
    for (name, raw) in written {
        match after.remove(&name) {
            Some(value) if before.get(&name) == Some(&value) => fields.push((name, raw.get().to_owned())),
            Some(value) => fields.push((name, value.to_string())),
            None => {}
        }
    }
    fields.extend(after.into_iter().map(|(name, value)| (name, value.to_string())));
    let fields: Vec<String> =
        fields.into_iter().map(|(name, value)| format!("{}:{value}", Value::String(name))).collect();
    format!("{{{}}}", fields.join(","))
}

/// The fields of a JSON object in their order, each with the text it was written in.
fn fields_as_written(payload: &str) -> Vec<(String, Box<RawValue>)> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Vec<(String, Box<RawValue>)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::new();
            while let Some(field) = map.next_entry()? {
                fields.push(field);
            }
            Ok(fields)
        }
    }
    serde_json::Deserializer::from_str(payload).deserialize_map(Fields).expect("a payload is a JSON object")
}
