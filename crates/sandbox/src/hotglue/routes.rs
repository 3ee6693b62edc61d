//! From a request to the model and back: paths, checks, and the shapes of hotglue's answers.

use serde_json::{Map, Value, json};

use super::model::{Key, Link, Model, Tenant};
use super::{NullState, Schedule, ScheduleState};
use crate::http::{Incoming, Reply};

pub(super) fn answer(model: &mut Model, request: &Incoming, order: usize) -> Reply {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let env = match segments[..] {
        ["tenant" | "tenants", env, ..] => Some(env),
        [env, _, ..] => Some(env),
        _ => None,
    };
    if !model.takes_key(env, request.header("x-api-key")) {
        return if model.bad_key_as_403 {
            Reply::json(403, &json!({"message": "Forbidden"}))
        } else {
            error(401, "UnauthorizedError", "Invalid x-api-key")
        };
    }
    // `/tenant…` and `/{env}/flows/…` come first: they would fit the general pattern too.
    match (request.method.as_str(), &segments[..]) {
        ("GET", ["tenants", env]) => {
            Reply::json(200, &json!(model.tenants_of(env, request.param("tenant").unwrap_or_default())))
        }
        ("GET", ["tenant", env, tenant, "config"]) => config(model, env, tenant),
        ("PUT" | "PATCH", ["tenant", env, tenant, "config"]) => {
            set_config(model, env, tenant, request, order)
        }
        ("GET", [env, "flows", "supported"]) => Reply::json(200, &json!(model.flows_of(env))),
        (method, [env, flow, tenant, rest @ ..]) => {
            let key = Key { env: (*env).into(), flow: (*flow).into(), tenant: (*tenant).into() };
            of_tenant(model, &key, method, rest, request, order)
        }
        _ => not_found(),
    }
}

fn of_tenant(
    model: &mut Model,
    key: &Key,
    method: &str,
    rest: &[&str],
    request: &Incoming,
    order: usize,
) -> Reply {
    match (method, rest) {
        ("GET", ["linkedSources"]) => links(model, key, request, "tap", |tenant| &tenant.sources),
        ("GET", ["linkedSources", "state"]) => state(model, key),
        ("GET", ["linkedTargets"]) => links(model, key, request, "target", |tenant| &tenant.targets),
        ("POST", ["linkedTargets"]) => link_target(model, key, request, order),
        ("PUT", ["jobs", "schedule"]) => put_schedule(model, key, request, order),
        ("GET", ["jobs", "schedule"]) => schedule(model, key, request),
        ("GET", ["jobs", "status"]) => job_status(model, key, request),
        ("GET", ["jobs"]) => jobs(model, key, request),
        ("POST", ["jobs"]) => match object(request) {
            Ok(asked) => Reply::json(200, &model.start_job(key, &asked, order)),
            Err(reply) => reply,
        },
        _ => not_found(),
    }
}

fn config(model: &Model, env: &str, tenant: &str) -> Reply {
    match model.configs.get(&(env.to_owned(), tenant.to_owned())) {
        Some(config) => Reply::json(200, config),
        None => {
            let code = if model.no_config_status == 404 { "NotFoundError" } else { "BadRequestError" };
            error(model.no_config_status, code, "no config for the tenant")
        }
    }
}

fn set_config(model: &mut Model, env: &str, tenant: &str, request: &Incoming, order: usize) -> Reply {
    let mut wanted = match object(request) {
        Ok(wanted) => wanted,
        Err(reply) => return reply,
    };
    if request.method == "PATCH"
        && let Some(Value::Object(present)) = model.configs.get(&(env.to_owned(), tenant.to_owned()))
    {
        let mut merged = present.clone();
        merged.append(&mut wanted);
        wanted = merged;
    }
    model.set_config(env, tenant, Value::Object(wanted), order);
    done()
}

fn links(
    model: &Model,
    key: &Key,
    request: &Incoming,
    id_key: &str,
    of: impl Fn(&Tenant) -> &[Link],
) -> Reply {
    let with_config = request.param("config") == Some("true");
    let links = model.tenants.get(key).map(of).unwrap_or_default();
    let listed: Vec<Value> = links
        .iter()
        .map(|link| {
            let mut item = json!({
                "domain": format!("{}.com", link.id),
                "label": link.id,
                "type": "oauth",
                "fieldMap": {},
                "connector_props": {},
                "category": "",
                "isForked": false,
                "connection_name": null,
            });
            item[id_key] = link.id.clone().into();
            if id_key == "tap" {
                for name in ["default_import_scheduler", "default_export_scheduler"] {
                    item[name] = Value::Null;
                }
            }
            if with_config {
                item["config"] = link.config.clone();
            }
            item
        })
        .collect();
    Reply::json(200, &json!(listed))
}

fn state(model: &Model, key: &Key) -> Reply {
    let Some(tenant) = model.tenants.get(key) else { return not_found() };
    match (&tenant.state, model.null_state) {
        (Some(state), _) => Reply::json(200, state),
        (None, NullState::NotFound) => not_found(),
        (None, NullState::BadRequest) => bad_request("no state for the tenant"),
        (None, NullState::EmptyBody) => Reply::text(200, ""),
        (None, NullState::Null) => Reply::json(200, &Value::Null),
        (None, NullState::EmptyObject) => Reply::json(200, &json!({})),
        (None, NullState::EmptyBookmarks) => Reply::json(200, &json!({"bookmarks": {}})),
        (None, NullState::StateNull) => Reply::json(200, &json!({"state": null})),
    }
}

fn link_target(model: &mut Model, key: &Key, request: &Incoming, order: usize) -> Reply {
    let asked = match object(request) {
        Ok(asked) => asked,
        Err(reply) => return reply,
    };
    let wanted = asked.get("target");
    let Some(target) = wanted.and_then(|wanted| wanted.get("target")).and_then(Value::as_str) else {
        return bad_request("target.target is required");
    };
    let schedule = match asked.get("schedule") {
        None | Some(Value::Null) => None,
        Some(given) => match checked_schedule(given) {
            Ok(schedule) => Some(schedule),
            Err(why) => return bad_request(why),
        },
    };
    let config = wanted.and_then(|wanted| wanted.get("config")).cloned().unwrap_or_else(|| json!({}));
    model.link_target(key, target, config, order);
    if let Some((expression, state)) = schedule {
        model.put_schedule(key, Some(target.into()), expression, state, order);
    }
    done()
}

fn put_schedule(model: &mut Model, key: &Key, request: &Incoming, order: usize) -> Reply {
    let asked = match object(request) {
        Ok(asked) => Value::Object(asked),
        Err(reply) => return reply,
    };
    let scope = match &asked["connector_id"] {
        Value::Null => None,
        Value::String(connector) => Some(connector.clone()),
        _ => return bad_request("connector_id must be a string"),
    };
    match checked_schedule(&asked) {
        Ok((expression, state)) => {
            model.put_schedule(key, scope, expression, state, order);
            done()
        }
        Err(why) => bad_request(why),
    }
}

/// The documented rules: an expression is required and is a 5-field cron in `cron(…)`; the state defaults to ENABLED.
fn checked_schedule(asked: &Value) -> Result<(String, ScheduleState), &'static str> {
    let expression = asked
        .get("schedule_expression")
        .filter(|given| !given.is_null())
        .ok_or("schedule_expression is required")?;
    let expression = expression
        .as_str()
        .filter(|text| {
            let fields = text.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')'));
            fields.is_some_and(|fields| fields.split_whitespace().count() == 5)
        })
        .ok_or("schedule_expression must be cron(...) with five fields")?;
    let state = match asked.get("state") {
        None | Some(Value::Null) => ScheduleState::Enabled,
        Some(given) => match given.as_str() {
            Some("ENABLED") => ScheduleState::Enabled,
            Some("DISABLED") => ScheduleState::Disabled,
            _ => return Err("state must be ENABLED or DISABLED"),
        },
    };
    Ok((expression.to_owned(), state))
}

/// The vendor documents no shape for this; the keys are those of the PUT.
fn schedule(model: &Model, key: &Key, request: &Incoming) -> Reply {
    let scope = request.param("connector_id").map(str::to_owned);
    let found = model.tenants.get(key).and_then(|tenant| tenant.schedules.get(&scope));
    match found {
        Some(Schedule { expression, state, .. }) if model.schedules_readable => Reply::json(
            200,
            &json!({"schedule_expression": expression, "state": state, "connector_id": scope}),
        ),
        _ => not_found(),
    }
}

fn jobs(model: &Model, key: &Key, request: &Incoming) -> Reply {
    let count = request.param("count").and_then(|count| count.parse().ok()).unwrap_or(usize::MAX);
    let jobs = model.tenants.get(key).map(|tenant| tenant.jobs.as_slice()).unwrap_or_default();
    let newest_first: Vec<&Value> = jobs.iter().rev().take(count).collect();
    Reply::json(200, &json!(newest_first))
}

fn job_status(model: &Model, key: &Key, request: &Incoming) -> Reply {
    let Some(root) = request.param("job_root") else { return bad_request("job_root is required") };
    let jobs = model.tenants.get(key).map(|tenant| tenant.jobs.as_slice()).unwrap_or_default();
    let found = jobs.iter().find(|job| job.get("s3_root").and_then(Value::as_str) == Some(root));
    match found.cloned() {
        Some(Value::Object(mut job)) => {
            // The documented sample of this one call says `flow`.
            if let Some(flow) = job.remove("flow_id") {
                job.insert("flow".into(), flow);
            }
            Reply::json(200, &Value::Object(job))
        }
        _ => not_found(),
    }
}

/// The body as a JSON object; an empty body is an empty object.
fn object(request: &Incoming) -> Result<Map<String, Value>, Reply> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    match request.json() {
        Some(Value::Object(fields)) => Ok(fields),
        _ => Err(bad_request("Invalid request body")),
    }
}

fn done() -> Reply {
    Reply::json(200, &json!({}))
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"Code": code, "Message": message}))
}

fn bad_request(message: &str) -> Reply {
    error(400, "BadRequestError", message)
}

fn not_found() -> Reply {
    error(404, "NotFoundError", "Resource not found")
}
