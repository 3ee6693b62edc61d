//! `gluehook send`: signs a documented or own payload as hotglue would and posts it to ingest.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::config::{Config, SecretRef};
use domain::signature::{Encoding, Hash, Proof, sign_hotglue};
use sandbox::webhook::{self, FIXTURES};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde_json::{Value, json};

use crate::files::Loaded;
use crate::{Common, Misused, files, output};

/// Where ingest listens unless told otherwise.
pub(crate) const URL: &str = "http://127.0.0.1:8080";
/// The endpoint that examples have.
pub(crate) const ENDPOINT: &str = "hotglue";

/// `gluehook send`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of a documented payload (see --list), a file, or - for stdin
    #[arg(value_name = "PAYLOAD", required_unless_present = "list")]
    payload: Option<String>,

    /// List the documented payloads
    #[arg(long)]
    list: bool,

    /// Where ingest listens
    #[arg(long, env = "GLUEHOOK_URL", value_name = "URL", default_value = URL)]
    url: String,

    /// The endpoint to post to
    #[arg(long, env = "GLUEHOOK_ENDPOINT", value_name = "NAME", default_value = ENDPOINT)]
    endpoint: String,

    /// Post it as the webhook of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,

    /// Change a field, as in tenant=77 or state.bookmarks={}; values are JSON, or text if they are none. The documented
    /// payloads are of 2024: what comes later is told by last_updated="2026-03-02T12:00:00Z"
    #[arg(long, value_name = "PATH=JSON")]
    set: Vec<String>,

    // Not a doc comment: rustdoc takes file:PATH for a URL.
    #[arg(
        help = "The secret to sign with, env:NAME or file:PATH [default: the endpoint's first one in the configuration]"
    )]
    #[arg(long, value_name = "REF", value_parser = secret_ref, conflicts_with = "unsigned")]
    secret: Option<SecretRef>,

    /// Post it so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,

    /// Post it without a signature
    #[arg(long)]
    unsigned: bool,
}

pub(crate) fn secret_ref(text: &str) -> Result<SecretRef, String> {
    SecretRef::try_from(text.to_owned())
        .map_err(|_| "write env:NAME or file:PATH, never the secret itself".to_owned())
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    if args.list {
        list(common.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let body =
        changed(read(args.payload.as_deref().unwrap_or_default())?, args.tenant.as_deref(), &args.set)?;
    let signature = if args.unsigned { None } else { signature(common, &args, &body)? };
    let url = endpoint_url(&args.url, &args.endpoint);
    let http = client()?;
    let mut all_taken = true;
    if !common.json {
        let signed = if signature.is_some() { "signed" } else { "unsigned" };
        output::note(format!("posting {} bytes, {signed}, to {url}", body.len()));
    }
    for _ in 0..args.times {
        let (status, text) = post(&http, &url, signature.as_ref(), body.clone()).await?;
        all_taken &= (200..300).contains(&status);
        if common.json {
            let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
            output::print_json_line(&json!({"status": status, "answer": answer}))?;
        } else {
            output::line(format!("{status} {}", output::clean(&text)))?;
        }
    }
    Ok(if all_taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The URL of an endpoint; one that names an endpoint already, as it is pasted into hotglue, is taken as it is.
fn endpoint_url(url: &str, endpoint: &str) -> String {
    let url = url.trim_end_matches('/');
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    if path.split('/').any(|segment| segment == "hooks") {
        url.to_owned()
    } else {
        format!("{url}/hooks/{endpoint}")
    }
}

fn list(as_json: bool) -> std::io::Result<()> {
    let mut all = Vec::new();
    for (name, text) in FIXTURES {
        let payload: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default();
        let status = if field("status").is_empty() { field("event") } else { field("status") };
        if as_json {
            let tenant = field("tenant");
            all.push(json!({"name": name, "status": status, "tenant": tenant, "bytes": text.len()}));
        } else {
            let (tenant, bytes) = (field("tenant"), text.len());
            output::line(format!("{name:<12} {status:<18} tenant {tenant:<9} {bytes:>5} bytes"))?;
        }
    }
    if as_json { output::print_json(&all) } else { Ok(()) }
}

/// The payload's bytes as they are.
fn read(payload: &str) -> Result<Vec<u8>> {
    if payload == "-" {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).context("stdin can't be read")?;
        return Ok(body);
    }
    if let Some((_, text)) = FIXTURES.iter().find(|(name, _)| *name == payload) {
        return Ok(text.as_bytes().to_vec());
    }
    std::fs::read(payload).map_err(|error| {
        let names: Vec<_> = FIXTURES.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        Misused(format!("{payload} is no documented payload ({names}) and can't be read as a file: {error}"))
            .into()
    })
}

/// With the changes asked for; the very bytes when there are none.
fn changed(body: Vec<u8>, tenant: Option<&str>, set: &[String]) -> Result<Vec<u8>> {
    if tenant.is_none() && set.is_empty() {
        return Ok(body);
    }
    let sets = set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>, _>>()?;
    let text = String::from_utf8(body)
        .map_err(|_| Misused("a payload that is not UTF-8 can't be changed".into()))?;
    if !serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object()) {
        return Err(Misused("only a payload that is a JSON object can be changed".into()).into());
    }
    let mut wrong = None;
    let changed = webhook::vary(&text, |payload| {
        if let Some(tenant) = tenant {
            payload["tenant"] = tenant.into();
        }
        for (path, value) in sets {
            wrong = wrong.take().or_else(|| put(payload, &path, value).err());
        }
    });
    match wrong {
        Some(wrong) => Err(wrong.into()),
        None => Ok(changed.into_bytes()),
    }
}

fn parse_set(text: &str) -> Result<(String, Value), Misused> {
    match text.split_once('=') {
        Some((path, value)) if !path.is_empty() => {
            Ok((path.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
        }
        _ => Err(Misused(format!("--set {text}: write PATH=JSON, as in status=SYNC_FAILED"))),
    }
}

fn put(payload: &mut Value, path: &str, value: Value) -> Result<(), Misused> {
    let mut place = payload;
    for name in path.split('.') {
        if place.is_null() {
            *place = json!({});
        }
        place = match place {
            Value::Object(fields) => fields.entry(name).or_insert(Value::Null),
            Value::Array(items) => {
                let item = name.parse::<usize>().ok().and_then(|at| items.get_mut(at));
                item.ok_or_else(|| Misused(format!("--set {path}: the list has no entry {name}")))?
            }
            _ => {
                return Err(Misused(format!(
                    "--set {path}: what is above {name} is neither object nor list"
                )));
            }
        };
    }
    *place = value;
    Ok(())
}

/// Header and value; none where the endpoint proves nothing.
fn signature(common: &Common, args: &Args, body: &[u8]) -> Result<Option<(String, String)>> {
    let (proof, secret) = match &args.secret {
        Some(reference) => {
            let loaded = files::load_config(&common.config).ok();
            let proof = loaded.and_then(|loaded| Some(endpoint(&loaded.config, &args.endpoint)?.proof()));
            (
                proof.unwrap_or_else(Proof::hotglue),
                files::resolve(Path::new("."), reference).map_err(Misused)?,
            )
        }
        None => match configured(common, &args.endpoint)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    sign(&proof, &secret, &args.endpoint, body)
}

/// The header with the proof that an endpoint wants of a body; none where it wants none.
///
/// # Errors
/// [`Misused`] when we can't sign for such an endpoint.
pub(crate) fn sign(
    proof: &Proof,
    secret: &SecretString,
    endpoint: &str,
    body: &[u8],
) -> Result<Option<(String, String)>> {
    match proof {
        Proof::None => Ok(None),
        Proof::Hmac { header, hash: Hash::Sha1, encoding: Encoding::Hex, .. } => {
            let secret = SecretSlice::from(secret.expose_secret().as_bytes().to_vec());
            Ok(Some((header.clone(), sign_hotglue(&secret, body))))
        }
        Proof::Hmac { .. } => Err(Misused(format!(
            "the endpoint `{endpoint}` has a proof that is not hotglue's (SHA-1 in hex): we can't sign for it"
        ))
        .into()),
    }
}

/// Proof and first secret of the endpoint in the configuration.
fn configured(common: &Common, name: &str) -> Result<Option<(Proof, SecretString)>> {
    let Loaded { config, base } = files::load_config(&common.config).map_err(|wrong| {
        Misused(format!(
            "{wrong}\nno secret to sign with: name one with --secret env:NAME, or post --unsigned"
        ))
    })?;
    let known: Vec<_> = config.endpoint.iter().map(|endpoint| endpoint.name.as_str()).collect();
    let endpoint = endpoint(&config, name).ok_or_else(|| {
        Misused(format!(
            "{} has no endpoint `{name}` (it has: {}); name the secret with --secret, or post --unsigned",
            common.config.display(),
            known.join(", ")
        ))
    })?;
    let Some(first) = endpoint.secrets.first() else { return Ok(None) };
    Ok(Some((endpoint.proof(), files::resolve(&base, first).map_err(Misused)?)))
}

fn endpoint<'a>(config: &'a Config, name: &str) -> Option<&'a domain::config::Endpoint> {
    config.endpoint.iter().find(|endpoint| endpoint.name == name)
}

fn client() -> Result<reqwest::Client> {
    effects::install_crypto();
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
        .user_agent(concat!("gluehook-send/", env!("CARGO_PKG_VERSION")))
        .build();
    client.context("no HTTP client can be built")
}

/// Posts one webhook; status and body of the answer.
async fn post(
    http: &reqwest::Client,
    url: &str,
    signature: Option<&(String, String)>,
    body: Vec<u8>,
) -> Result<(u16, String)> {
    let mut request = http.post(url).header("Content-Type", "application/json").body(body);
    if let Some((header, value)) = signature {
        request = request.header(header, value);
    }
    let unreachable = || format!("{url} can't be reached: is ingest running there? name it with --url");
    let answer = request.send().await.map_err(reqwest::Error::without_url).with_context(unreachable)?;
    let status = answer.status().as_u16();
    let text = answer.text().await.map_err(reqwest::Error::without_url).context("the answer broke off")?;
    Ok((status, text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_as_it_is_pasted_into_hotglue_is_taken_as_it_is() {
        assert_eq!(endpoint_url("http://127.0.0.1:8080/", "hotglue"), "http://127.0.0.1:8080/hooks/hotglue");
        assert_eq!(endpoint_url("https://x/hooks/other", "hotglue"), "https://x/hooks/other");
        assert_eq!(endpoint_url("https://x/behind/hooks/other/", "hotglue"), "https://x/behind/hooks/other");
        assert_eq!(endpoint_url("https://hooks.example", "hotglue"), "https://hooks.example/hooks/hotglue");
    }

    #[test]
    fn an_unchanged_payload_keeps_every_byte_even_when_it_is_no_json() {
        let odd = b"{ \"a\" : 1 }\n\xff\0".to_vec();
        assert_eq!(changed(odd.clone(), None, &[]).unwrap(), odd);
    }

    #[test]
    fn a_change_touches_its_field_only() {
        let sets = ["status=SYNC_FAILED", "state.a.b=[1]"].map(str::to_owned);
        let body = changed(webhook::JOB.as_bytes().to_vec(), Some("77_1"), &sets).unwrap();
        let expected = webhook::JOB
            .replace("\"tenant\":\"1414_1\"", "\"tenant\":\"77_1\"")
            .replace("JOB_COMPLETED", "SYNC_FAILED")
            .replace("\"state\":{}", "\"state\":{\"a\":{\"b\":[1]}}");
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn values_are_json_or_else_text() {
        assert_eq!(parse_set("a=1").unwrap().1, json!(1));
        assert_eq!(parse_set("a=\"1\"").unwrap().1, json!("1"));
        assert_eq!(parse_set("a=x=y").unwrap().1, json!("x=y"));
        assert!(parse_set("=1").is_err() && parse_set("a").is_err());
    }

    #[test]
    fn a_path_through_a_text_is_wrong_usage() {
        let error = changed(webhook::JOB.into(), None, &["status.a=1".to_owned()]).unwrap_err();
        assert!(error.is::<Misused>(), "{error}");
        let error = changed(b"[]".to_vec(), Some("t"), &[]).unwrap_err();
        assert!(error.is::<Misused>(), "{error}");
    }

    #[test]
    fn what_is_no_payload_is_refused_with_the_names_that_are() {
        let error = read("no-such-payload").unwrap_err();
        assert!(error.is::<Misused>() && error.to_string().contains("job-gen1"), "{error}");
    }

    #[test]
    fn a_secret_in_place_of_a_reference_is_not_repeated() {
        let error = secret_ref("hunter2").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
