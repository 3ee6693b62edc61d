//! How a test speaks to one tenant of the model.

use serde_json::{Value, json};

use super::model::{Key, Link, Model, Tenant};
use super::{Hotglue, Schedule, ScheduleState};

/// One tenant in one flow of one environment. `with_…` sets it up, the others look. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TenantHandle {
    hotglue: Hotglue,
    key: Key,
}

impl TenantHandle {
    pub(super) fn new(hotglue: Hotglue, env: &str, flow: &str, tenant: &str) -> Self {
        Self { hotglue, key: Key { env: env.into(), flow: flow.into(), tenant: tenant.into() } }
    }

    /// Gives the tenant a config. It is the same in every flow of the environment, as at hotglue.
    pub fn with_config(self, config: Value) -> Self {
        let at = (self.key.env.clone(), self.key.tenant.clone());
        self.change(|model, key| {
            model.tenant_mut(key);
            model.configs.insert(at, config);
        })
    }

    /// Takes the config away.
    pub fn without_config(self) -> Self {
        let at = (self.key.env.clone(), self.key.tenant.clone());
        self.change(|model, key| {
            model.tenant_mut(key);
            model.configs.remove(&at);
        })
    }

    /// The source's state is this JSON, whatever it is, and is answered as it is.
    pub fn with_state(self, state: Value) -> Self {
        self.set(|tenant| tenant.state = Some(state))
    }

    /// The source has no state; how that is answered is [`Hotglue::null_state_as`].
    pub fn with_null_state(self) -> Self {
        self.set(|tenant| tenant.state = None)
    }

    /// Links a source. Its config holds a made-up secret, to be found where it mustn't be.
    pub fn with_source(self, tap: &str) -> Self {
        let config = json!({"refresh_token": format!("sandbox-secret-of-{tap}")});
        self.with_source_config(tap, config)
    }

    /// Links a source with this config.
    pub fn with_source_config(self, tap: &str, config: Value) -> Self {
        let link = Link { id: tap.into(), config };
        self.set(|tenant| tenant.sources.push(link))
    }

    /// Links a target.
    pub fn with_target(self, target: &str) -> Self {
        let config = json!({"api_key": format!("sandbox-secret-of-{target}")});
        let link = Link { id: target.into(), config };
        self.set(|tenant| tenant.targets.push(link))
    }

    /// Sets a schedule: `None` is the flow's, `Some(connector)` a connector's.
    pub fn with_schedule(self, scope: Option<&str>, expression: &str, state: ScheduleState) -> Self {
        let schedule = Schedule { expression: expression.into(), state, changed_by: None };
        let scope = scope.map(str::to_owned);
        self.set(|tenant| {
            tenant.schedules.insert(scope, schedule);
        })
    }

    /// Takes a schedule away.
    pub fn without_schedule(self, scope: Option<&str>) -> Self {
        let scope = scope.map(str::to_owned);
        self.set(|tenant| {
            tenant.schedules.remove(&scope);
        })
    }

    /// Puts a job, as the API would list it, into the tenant's list.
    pub fn with_job(self, job: Value) -> Self {
        self.set(|tenant| tenant.jobs.push(job))
    }

    /// Moves a job to another status; false when there is no such job.
    #[must_use]
    pub fn job_became(&self, job_id: &str, status: &str) -> bool {
        let mut inner = self.hotglue.lock();
        let jobs = inner.model.tenants.get_mut(&self.key).map(|tenant| tenant.jobs.iter_mut());
        let job =
            jobs.into_iter().flatten().find(|job| job.get("job_id").and_then(Value::as_str) == Some(job_id));
        job.map(|job| job["status"] = status.into()).is_some()
    }

    /// The schedule of a scope.
    #[must_use]
    pub fn schedule(&self, scope: Option<&str>) -> Option<Schedule> {
        self.look(|tenant| tenant.schedules.get(&scope.map(str::to_owned)).cloned()).flatten()
    }

    /// All schedules with their scopes, the flow's first.
    #[must_use]
    pub fn schedules(&self) -> Vec<(Option<String>, Schedule)> {
        self.look(|tenant| {
            tenant.schedules.iter().map(|(scope, schedule)| (scope.clone(), schedule.clone())).collect()
        })
        .unwrap_or_default()
    }

    /// Linked targets in the order they were linked.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.look(|tenant| tenant.targets.iter().map(|link| link.id.clone()).collect()).unwrap_or_default()
    }

    /// Linked sources in the order they were linked.
    #[must_use]
    pub fn sources(&self) -> Vec<String> {
        self.look(|tenant| tenant.sources.iter().map(|link| link.id.clone()).collect()).unwrap_or_default()
    }

    /// Jobs, oldest first.
    #[must_use]
    pub fn jobs(&self) -> Vec<Value> {
        self.look(|tenant| tenant.jobs.clone()).unwrap_or_default()
    }

    /// Names of the jobs, oldest first.
    #[must_use]
    pub fn job_names(&self) -> Vec<String> {
        let name = |job: &Value| job.get("job_name").and_then(Value::as_str).map(str::to_owned);
        self.jobs().iter().filter_map(name).collect()
    }

    /// The source's state.
    #[must_use]
    pub fn state(&self) -> Option<Value> {
        self.look(|tenant| tenant.state.clone()).flatten()
    }

    /// The tenant's config.
    #[must_use]
    pub fn config(&self) -> Option<Value> {
        let at = (self.key.env.clone(), self.key.tenant.clone());
        self.hotglue.lock().model.configs.get(&at).cloned()
    }

    fn change(self, how: impl FnOnce(&mut Model, &Key)) -> Self {
        how(&mut self.hotglue.lock().model, &self.key);
        self
    }

    fn set(self, how: impl FnOnce(&mut Tenant)) -> Self {
        self.change(|model, key| how(model.tenant_mut(key)))
    }

    fn look<T>(&self, how: impl FnOnce(&Tenant) -> T) -> Option<T> {
        self.hotglue.lock().model.tenants.get(&self.key).map(how)
    }
}
