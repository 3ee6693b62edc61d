//! The whole outside, built from the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use domain::action::{Action, Place};
use domain::config::{Config, Hotglue, SecretRef, Slack as SlackSettings};
use domain::facts::{Fact, Need};
use domain::journal::{Before, Message, NOTHING_TO_SWITCH_OFF};
use domain::schema::Schema;
use domain::would::{Call, Would};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::hotglue::{Api, expression};
use crate::http::Leave;
use crate::outcome::{Check, EffectError, Receipt, Service, Told};
use crate::question::Question;
use crate::request::Request;
use crate::scrub::{self, Scrub};
use crate::slack::{Door as SlackDoor, Slack};

/// hotglue's environments and Slack. Cheap to share behind an `Arc`; every call opens or reuses a connection.
pub struct World {
    settings: Hotglue,
    apis: Vec<Api>,
    schemas: BTreeMap<PathBuf, Schema>,
    slack: Option<Slack>,
    scrub: Scrub,
}

impl World {
    /// Makes the clients. `resolve` gives a secret's value and is asked only for those needed here. `base_dir` is the
    /// directory of `gluehook.toml`: the JSON Schemas of flows are read from there, once. Nothing is connected to.
    ///
    /// # Errors
    /// Everything that is wrong, a sentence each.
    pub fn build(
        config: &Config,
        base_dir: &Path,
        resolve: &dyn Fn(&SecretRef) -> Result<SecretString, String>,
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut scrub = Scrub::default();
        let mut keys = Vec::new();
        for environment in &config.hotglue.environment {
            match resolve(&environment.api_key) {
                Ok(key) => {
                    scrub.add(key.expose_secret());
                    keys.push((environment, key));
                }
                Err(why) => problems
                    .push(format!("the api_key of hotglue environment `{}`: {why}", environment.env_id)),
            }
        }
        let door =
            config.slack.as_ref().map(|settings| slack_door(settings, resolve, &mut scrub)).transpose();
        // All secrets are known from here on: every client takes all of them out of what it hears.
        let mut apis = Vec::new();
        for (environment, key) in keys {
            match Api::new(environment, &key, config.hotglue.timeout, scrub.clone()) {
                Ok(api) => apis.push(api),
                Err(problem) => problems.push(problem),
            }
        }
        let slack = door.and_then(|door| {
            let (Some(settings), Some(door)) = (&config.slack, door) else { return Ok(None) };
            Slack::new(settings, &door, scrub.clone()).map(Some)
        });
        let slack = slack.unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let mut schemas = BTreeMap::new();
        let flows = config.hotglue.flow.iter();
        let paths = flows
            .map(|flow| (format!("flow `{}`", flow.flow_id), &flow.config_schema))
            .chain([("[hotglue.defaults]".to_owned(), &config.hotglue.defaults.config_schema)]);
        for (flow, path) in paths {
            let Some(path) = path.as_ref().filter(|path| !path.as_os_str().is_empty()) else { continue };
            if schemas.contains_key(path) {
                continue;
            }
            match read_schema(&base_dir.join(path)) {
                Ok(schema) => {
                    schemas.insert(path.clone(), schema);
                }
                Err(why) => problems.push(format!("{flow}: config_schema {}: {why}", path.display())),
            }
        }
        if problems.is_empty() {
            Ok(Self { settings: config.hotglue.clone(), apis, schemas, slack, scrub })
        } else {
            Err(problems.iter().map(|problem| scrub.literal(problem)).collect())
        }
    }

    /// Whom [`World::observe`] asks about a place.
    #[must_use]
    pub fn asked_about(&self, place: &Place) -> Service {
        // Of the configured ones, or every event could invent a service; an event may leave its own empty.
        let environment = self.settings.environment(&place.env_id);
        Service::Hotglue { env_id: environment.map(|known| known.env_id.clone()).unwrap_or_default() }
    }

    /// Whom [`World::perform`] calls for an action.
    #[must_use]
    pub fn called_for(&self, action: &Action) -> Service {
        match action {
            Action::Slack { .. } => Service::Slack,
            Action::SetSchedule { place, .. }
            | Action::LinkTarget { place, .. }
            | Action::RunJob { place, .. } => self.asked_about(place),
        }
    }

    /// Asks hotglue: one request, which changes nothing.
    ///
    /// # Errors
    /// [`EffectError`]; never uncertain.
    pub async fn observe(&self, place: &Place, need: &Need) -> Result<Fact, EffectError> {
        self.ask(place, need).await.map_err(|error| error.scrubbed(&self.scrub))
    }

    async fn ask(&self, place: &Place, need: &Need) -> Result<Fact, EffectError> {
        let flow = self.settings.flow(&place.flow_id);
        match need {
            Need::Config => {
                let schema = flow.config_schema.and_then(|path| self.schemas.get(&path));
                self.api(place)?.config(place, schema).await
            }
            Need::State => self.api(place)?.state(place).await,
            Need::LinkedSources => self.api(place)?.linked_sources(place).await.map(Fact::LinkedSources),
            Need::LinkedTargets => self.api(place)?.linked_targets(place).await.map(Fact::LinkedTargets),
            Need::Schedule => {
                let scope = flow.schedule_connector_id;
                self.api(place)?.schedule(place, scope.as_deref()).await.map(Fact::Schedule)
            }
            Need::LastValue { rule } => Err(EffectError::permanent(format!(
                "the last value of rule `{rule}` was asked of hotglue, but it is in the event log: this is a bug in Gluehook"
            ))),
        }
    }

    /// The schedule that an action would change, as hotglue reports it now: one request, which changes nothing.
    ///
    /// # Errors
    /// [`EffectError`]; never uncertain.
    pub async fn schedule_before(&self, action: &Action) -> Result<Before, EffectError> {
        let Action::SetSchedule { place, connector_id, .. } = action else {
            return Ok(Before::No { why: "it is no change of a schedule".to_owned() });
        };
        let read = async { self.api(place)?.schedule_before(place, connector_id.as_deref()).await };
        read.await.map_err(|error| error.scrubbed(&self.scrub))
    }

    /// The jobs of a place as hotglue lists them, of the newest so many: one request, which changes nothing. None when hotglue
    /// shows no list for it, as of a tenant that has none.
    ///
    /// # Errors
    /// [`EffectError`]; never uncertain.
    pub async fn jobs(&self, place: &Place, count: u32) -> Result<Option<Vec<Value>>, EffectError> {
        let listed = async { self.api(place)?.jobs(place, count).await };
        listed.await.map_err(|error| error.scrubbed(&self.scrub))
    }

    /// Does it. What hotglue would do twice is looked up first; a Slack message is posted each time.
    ///
    /// # Errors
    /// [`EffectError`]; when it is uncertain the effect may have taken place.
    pub async fn perform(&self, action: &Action) -> Result<Receipt, EffectError> {
        self.perform_after(0, action, None, &Leave::default()).await
    }

    /// Does it after so many attempts that may have had the effect (their answer was lost). What can't be looked up then is
    /// done once more at most. `schedule`: as it was read just now, for a change that needs its expression. Of an action that takes several calls, no further one is made once `leave` is withdrawn.
    ///
    /// # Errors
    /// As of [`World::perform`]; and [`EffectError::Unknown`].
    pub async fn perform_after(
        &self,
        lost: u32,
        action: &Action,
        schedule: Option<&Before>,
        leave: &Leave,
    ) -> Result<Receipt, EffectError> {
        let acted = self.act(lost, action, schedule, leave).await;
        let receipt = acted.map_err(|error| error.scrubbed(&self.scrub))?;
        Ok(self.scrubbed(&receipt))
    }

    fn scrubbed(&self, receipt: &Receipt) -> Receipt {
        Receipt {
            request: self.scrub.literal(&receipt.request),
            answer: self.scrub.literal(&receipt.answer),
            perhaps_twice: receipt.perhaps_twice,
        }
    }

    /// Posts a text to Slack, or puts it in the place of that of `message`: that may be done twice, a post may not.
    ///
    /// # Errors
    /// [`EffectError`]; when it is uncertain the message may have been posted.
    pub async fn tell(
        &self,
        channel: Option<&str>,
        message: Option<&Message>,
        text: &str,
    ) -> Result<Told, EffectError> {
        let told = async { self.slack()?.tell(channel, message, &self.scrub.text(text)).await };
        Ok(match told.await.map_err(|error| error.scrubbed(&self.scrub))? {
            Told::Posted { receipt, message } => Told::Posted { receipt: self.scrubbed(&receipt), message },
            Told::Updated(receipt) => Told::Updated(self.scrubbed(&receipt)),
            Told::Gone { why } => Told::Gone { why },
        })
    }

    fn slack(&self) -> Result<&Slack, EffectError> {
        self.slack.as_ref().ok_or_else(|| {
            EffectError::permanent("a rule posts to Slack, but gluehook.toml has no [slack]: add it with a token or a webhook_url")
        })
    }

    async fn act(
        &self,
        lost: u32,
        action: &Action,
        schedule: Option<&Before>,
        leave: &Leave,
    ) -> Result<Receipt, EffectError> {
        let api = |place| self.api(place).map(|api| api.while_given(leave));
        match action {
            Action::Slack { .. } => self.slack()?.post(&self.request(action, "")?).await,
            Action::SetSchedule { place, which, connector_id, expression, enabled } => {
                let api = api(place)?;
                let mut read_back = String::new();
                if expression.is_none() {
                    let scope = connector_id.as_deref();
                    match api.read_back(place, *which, scope, schedule, *enabled).await? {
                        Ok(expression) => read_back = expression,
                        Err(nothing) => return Ok(nothing),
                    }
                }
                api.set_schedule(&self.request(action, &read_back)?).await
            }
            Action::LinkTarget { place, target } => {
                api(place)?.link_target(place, target, &self.request(action, "")?).await
            }
            Action::RunJob { place, name, .. } => {
                api(place)?.run_job(name, lost, &self.request(action, "")?).await
            }
        }
    }

    /// The call that an action comes to in the end. Pure: all that is done and all that is only noted has it from here.
    fn request(&self, action: &Action, read_back: &str) -> Result<Request, EffectError> {
        match action {
            Action::Slack { channel, text } => {
                self.slack()?.request(channel.as_deref(), &self.scrub.text(text))
            }
            Action::SetSchedule { place, .. } | Action::RunJob { place, .. } => {
                self.api(place)?.request(action, read_back, &Value::Null)
            }
            Action::LinkTarget { place, target } => {
                let config = self.target_config(place, target);
                self.api(place)?.request(action, read_back, &config)
            }
        }
    }

    /// What [`World::perform`] would call, without calling anyone. `schedule`: as it was read just now, for a change that needs its
    /// expression ([`World::schedule_before`]). What else it would look up before is told as a condition.
    #[must_use]
    pub fn would(&self, action: &Action, schedule: Option<&Before>) -> Would {
        match self.rehearse(action, schedule) {
            Ok(would) => would,
            Err(error) => Would::Fail { why: error.scrubbed(&self.scrub).why().to_owned() },
        }
    }

    fn rehearse(&self, action: &Action, schedule: Option<&Before>) -> Result<Would, EffectError> {
        let mut unread = None;
        let read_back = match (action, schedule) {
            (Action::SetSchedule { expression: Some(_), .. }, _) => String::new(),
            (
                Action::SetSchedule { place, which, enabled, .. },
                Some(before @ (Before::Schedule { .. } | Before::Absent)),
            ) => match expression(place, *which, before.into(), *enabled)? {
                Some(expression) => expression,
                None => return Ok(Would::Nothing { why: NOTHING_TO_SWITCH_OFF.to_owned() }),
            },
            (Action::SetSchedule { .. }, schedule) => {
                let why = match schedule {
                    Some(Before::No { why }) => why.as_str(),
                    _ => "it was not asked for",
                };
                unread = Some(self.scrub.literal(why));
                String::new()
            }
            (Action::Slack { .. } | Action::LinkTarget { .. } | Action::RunJob { .. }, _) => String::new(),
        };
        let mut request = self.request(action, &read_back)?;
        let url = match action {
            Action::Slack { .. } => self.slack()?.url(&request.path),
            Action::SetSchedule { place, .. }
            | Action::LinkTarget { place, .. }
            | Action::RunJob { place, .. } => self.api(place)?.url(&request.path),
        };
        let condition = match action {
            Action::SetSchedule { .. } => unread.map(|why| {
                // Nothing is made up in its place.
                request.body["schedule_expression"] = Value::Null;
                format!("schedule_expression is not known: it is the one that hotglue reports, which could not be read: {why}")
            }),
            Action::Slack { .. } => None,
            Action::LinkTarget { .. } => {
                domain::redact::blank(&mut request.body["target"]["config"]);
                Some("unless the target is linked already".to_owned())
            }
            Action::RunJob { .. } => Some("unless a job of this name is listed".to_owned()),
        };
        Ok(Would::Call(Call {
            method: request.method.to_string(),
            url: self.scrub.literal(&url),
            body: self.scrub.json(request.body),
            condition,
        }))
    }

    /// Is everything there that the configuration names? One line per environment and one for Slack.
    pub async fn check(&self) -> Vec<Check> {
        let told = |result: Result<String, EffectError>| {
            result.map_err(|error| error.scrubbed(&self.scrub).why().to_owned())
        };
        let mut checks = Vec::new();
        for api in &self.apis {
            let name = format!("hotglue environment {}", api.env_id());
            checks.push(Check { name, result: told(api.check().await) });
        }
        if let Some(slack) = &self.slack {
            checks.push(Check { name: "Slack".to_owned(), result: told(slack.check().await) });
        }
        checks
    }

    /// The neutral question of each service that has one.
    #[must_use]
    pub fn questions(&self) -> BTreeMap<Service, Question> {
        let of_api = |api: &Api| {
            (Service::Hotglue { env_id: api.env_id().to_owned() }, Question::to_hotglue(api, &self.scrub))
        };
        let slack = self.slack.as_ref().and_then(|slack| Question::to_slack(slack, &self.scrub));
        self.apis.iter().map(of_api).chain(slack.map(|question| (Service::Slack, question))).collect()
    }

    fn api(&self, place: &Place) -> Result<&Api, EffectError> {
        let env_id = &place.env_id;
        let environment = self.settings.environment(env_id);
        environment
            .and_then(|environment| self.apis.iter().find(|api| api.env_id() == environment.env_id))
            .ok_or_else(|| {
                EffectError::permanent(if env_id.is_empty() {
                    "the event names no environment, and gluehook.toml does not have exactly one [[hotglue.environment]]".to_owned()
                } else {
                    let env_id = scrub::shortened(env_id, 80);
                    format!("no [[hotglue.environment]] has env_id `{env_id}`: add it to gluehook.toml")
                })
            })
    }

    /// The config that goes with the flow's own target, and with no other.
    fn target_config(&self, place: &Place, target: &str) -> Value {
        let flow = self.settings.flow(&place.flow_id);
        let is_the_flows = flow.target.as_deref().is_none_or(|of_flow| of_flow == target);
        let config = flow.target_config.filter(|_| is_the_flows).unwrap_or_default();
        // Only a map with keys that are no text can fail, and TOML has none.
        let mut config = serde_json::to_value(config).unwrap_or_default();
        dates_as_text(&mut config);
        config
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: a target's config may hold secrets.
        f.debug_struct("World")
            .field("hotglue", &self.apis)
            .field("slack", &self.slack)
            .finish_non_exhaustive()
    }
}

fn slack_door(
    settings: &SlackSettings,
    resolve: &dyn Fn(&SecretRef) -> Result<SecretString, String>,
    scrub: &mut Scrub,
) -> Result<SlackDoor, String> {
    match (&settings.token, &settings.webhook_url) {
        (Some(token), _) => {
            let token = resolve(token).map_err(|why| format!("the token of [slack]: {why}"))?;
            scrub.add(token.expose_secret());
            Ok(SlackDoor::Token(token))
        }
        (None, Some(url)) => {
            let url = resolve(url).map_err(|why| format!("the webhook_url of [slack]: {why}"))?;
            scrub.add(url.expose_secret().trim());
            // The path is what is secret about it.
            if let Ok(url) = url::Url::parse(url.expose_secret().trim()) {
                scrub.add(url.path().trim_start_matches('/'));
            }
            Ok(SlackDoor::Webhook(url))
        }
        (None, None) => Err("[slack] needs a token or a webhook_url".to_owned()),
    }
}

fn read_schema(path: &Path) -> Result<Schema, String> {
    let text = std::fs::read(path).map_err(|error| format!("it can't be read: {error}"))?;
    let json = serde_json::from_slice(&text).map_err(|error| format!("it is not JSON: {error}"))?;
    Schema::compile(&json)
}

/// TOML's dates have no JSON form; serde wraps them in an object with this key.
fn dates_as_text(value: &mut Value) {
    match value {
        Value::Object(fields) => match fields.get("$__toml_private_datetime").cloned() {
            Some(date) => *value = date,
            None => fields.values_mut().for_each(dates_as_text),
        },
        Value::Array(items) => items.iter_mut().for_each(dates_as_text),
        _ => {}
    }
}
