//! A double of hotglue's V1 REST API: tenants with config, source state, links, schedules and jobs.
//!
//! What the vendor documents is followed; what is unknown there is a switch here ([`Hotglue::no_config_status`],
//! [`Hotglue::null_state_as`], [`Hotglue::bad_key_as_403`], [`Hotglue::schedules_readable`]). V2 twins are not served.

mod demo;
mod model;
mod routes;
mod tenant;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::call::Call;
use crate::door::Door;
use crate::fault::Fault;
use crate::http::{self, Incoming, Outcome, Reply, Server};
pub use demo::{DEMO_ENV, DEMO_FLOW, valid_config};
use model::Model;
pub use tenant::TenantHandle;

/// `ENABLED` or `DISABLED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ScheduleState {
    /// The schedule starts jobs.
    Enabled,
    /// The schedule exists and starts nothing.
    Disabled,
}

impl fmt::Display for ScheduleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
        })
    }
}

/// One schedule, of a whole flow or of one connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    /// With its wrapping: `cron(0 */4 * * *)`.
    pub expression: String,
    /// On or off.
    pub state: ScheduleState,
    /// The call that changed it last; `None` when it was set up by the test.
    pub changed_by: Option<usize>,
}

impl Schedule {
    /// True when it starts jobs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.state == ScheduleState::Enabled
    }
}

/// Something that took place because of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// The order of the call that made it, see [`Call::at_order`].
    pub at_order: usize,
    /// The environment.
    pub env: String,
    /// The flow; `None` for what belongs to the tenant in all flows (its config).
    pub flow: Option<String>,
    /// The tenant.
    pub tenant: String,
    /// What changed.
    pub change: Change,
}

/// The kinds of change hotglue's double knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// A schedule was put, be it to the same value.
    SchedulePut {
        /// The connector, or `None` for the flow's schedule.
        scope: Option<String>,
        /// The expression put.
        expression: String,
        /// The state put.
        state: ScheduleState,
        /// What was there before.
        was: Option<Schedule>,
    },
    /// A target was linked, or linked over.
    TargetLinked {
        /// The target's id.
        target: String,
        /// True when the tenant had it already.
        again: bool,
    },
    /// A job was started.
    JobStarted {
        /// The id the double gave it.
        job_id: String,
        /// The name asked for, or the automatic one.
        job_name: String,
        /// The tap it runs.
        tap: Option<String>,
    },
    /// The tenant's config was replaced or updated.
    ConfigSet,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.flow {
            Some(flow) => write!(f, "{flow}/{}: ", self.tenant)?,
            None => write!(f, "{}: ", self.tenant)?,
        }
        match &self.change {
            Change::SchedulePut { scope, expression, state, .. } => {
                let scope = scope.as_deref().unwrap_or("the flow");
                write!(f, "schedule of {scope} is {state}, {expression}")
            }
            Change::TargetLinked { target, again: false } => write!(f, "target {target} linked"),
            Change::TargetLinked { target, again: true } => write!(f, "target {target} linked again"),
            Change::JobStarted { job_id, job_name, .. } => write!(f, "job {job_name} started as {job_id}"),
            Change::ConfigSet => f.write_str("config written"),
        }
    }
}

/// How a source state that is null is answered. All of these are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NullState {
    /// 404 with hotglue's error object.
    #[default]
    NotFound,
    /// 400 with hotglue's error object.
    BadRequest,
    /// 200 with no body.
    EmptyBody,
    /// 200 `null`.
    Null,
    /// 200 `{}`.
    EmptyObject,
    /// 200 `{"bookmarks":{}}`.
    EmptyBookmarks,
    /// 200 `{"state":null}`.
    StateNull,
}

impl NullState {
    /// Every form, for a test that walks through them.
    pub const ALL: [Self; 7] = [
        Self::NotFound,
        Self::BadRequest,
        Self::EmptyBody,
        Self::Null,
        Self::EmptyObject,
        Self::EmptyBookmarks,
        Self::StateNull,
    ];
}

#[derive(Debug)]
struct Inner {
    door: Door,
    model: Model,
}

/// The double. Clones share one model.
#[derive(Debug, Clone)]
pub struct Hotglue {
    inner: Arc<Mutex<Inner>>,
    moved: Arc<Notify>,
}

impl Hotglue {
    /// An empty hotglue whose environments all take this API key.
    #[must_use]
    pub fn new(api_key: &str) -> Self {
        let inner = Inner { door: Door::default(), model: Model::new(api_key) };
        Self { inner: Arc::new(Mutex::new(inner)), moved: Arc::default() }
    }

    /// Gives one environment a key of its own.
    #[must_use]
    pub fn with_environment(self, env: &str, api_key: &str) -> Self {
        self.lock().model.env_keys.insert(env.into(), api_key.into());
        self
    }

    /// A tenant in one flow of one environment. Naming it doesn't create it; giving it something does.
    #[must_use]
    pub fn tenant(&self, env: &str, flow: &str, tenant: &str) -> TenantHandle {
        TenantHandle::new(self.clone(), env, flow, tenant)
    }

    /// The status that goes with the text `no config for the tenant`: 404 (the default) or 400.
    pub fn no_config_status(&self, status: u16) {
        self.lock().model.no_config_status = status;
    }

    /// How a null state is answered from now on.
    pub fn null_state_as(&self, form: NullState) {
        self.lock().model.null_state = form;
    }

    /// Answer a wrong key as API Gateway does, 403 `{"message":"Forbidden"}`, instead of hotglue's 401.
    pub fn bad_key_as_403(&self, yes: bool) {
        self.lock().model.bad_key_as_403 = yes;
    }

    /// Whether `GET …/jobs/schedule` exists (the default) or is a 404. The vendor doesn't document it.
    pub fn schedules_readable(&self, yes: bool) {
        self.lock().model.schedules_readable = yes;
    }

    /// The next call goes wrong like this.
    pub fn next(&self, fault: Fault) {
        self.lock().door.faults.next(fault);
    }

    /// The next call with this method whose path contains `path_part` goes wrong like this.
    pub fn next_on(&self, method: &str, path_part: &str, fault: Fault) {
        self.lock().door.faults.next_on(method, path_part, fault);
    }

    /// Every `n`-th call goes wrong like this; `every(1, …)` is all of them.
    pub fn every(&self, n: usize, fault: Fault) {
        self.lock().door.faults.every(n, fault);
    }

    /// Every `n`-th call with this method whose path contains `path_part` goes wrong like this.
    pub fn every_on(&self, n: usize, method: &str, path_part: &str, fault: Fault) {
        self.lock().door.faults.every_on(n, method, path_part, fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.lock().door.faults.clear();
    }

    /// How many faults ordered by `next` and `next_on` no call has met yet.
    #[must_use]
    pub fn faults_waiting(&self) -> usize {
        self.lock().door.faults.waiting()
    }

    /// Every request received, in order, the failed ones too.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().door.calls.clone()
    }

    /// Every change that calls made, in order.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        self.lock().model.effects.clone()
    }

    /// The whole model as JSON: what `GET /_sandbox/hotglue` shows. It has no API keys.
    #[must_use]
    pub fn page(&self) -> Value {
        let inner = self.lock();
        inner.model.page(&inner.door.calls)
    }

    /// Waits until `condition` holds, looking after every call; false when it doesn't within `limit`.
    pub async fn until(&self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        crate::door::until(&self.moved, limit, || condition(self)).await
    }

    /// Serves the double on a bound listener. Must be called inside a tokio runtime.
    #[must_use]
    pub fn serve(&self, listener: TcpListener) -> Server {
        let double = self.clone();
        http::serve(listener, move |request| double.handle(request))
    }

    /// Serves the double on a free port of 127.0.0.1.
    pub async fn start(&self) -> Server {
        self.serve(http::free_listener().await)
    }

    fn handle(&self, request: &Incoming) -> Outcome {
        if request.path == "/_sandbox/hotglue" {
            return Reply::json(200, &self.page()).into();
        }
        let outcome = {
            let mut inner = self.lock();
            let Inner { door, model } = &mut *inner;
            door.pass(request, |order| routes::answer(model, request, order))
        };
        self.moved.notify_waiters();
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked while it held the model has failed already; the model itself is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
