//! What the double knows and how it changes. No HTTP here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Change, Effect, NullState, Schedule, ScheduleState};
use crate::call::Call;

/// Where links, schedules, state and jobs live.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) env: String,
    pub(super) flow: String,
    pub(super) tenant: String,
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) id: String,
    pub(super) config: Value,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tenant {
    pub(super) state: Option<Value>,
    pub(super) sources: Vec<Link>,
    pub(super) targets: Vec<Link>,
    pub(super) schedules: BTreeMap<Option<String>, Schedule>,
    /// Oldest first.
    pub(super) jobs: Vec<Value>,
}

#[derive(Debug)]
pub(super) struct Model {
    api_key: String,
    pub(super) env_keys: BTreeMap<String, String>,
    /// By environment and tenant: hotglue's path for configs has no flow.
    pub(super) configs: BTreeMap<(String, String), Value>,
    pub(super) tenants: BTreeMap<Key, Tenant>,
    pub(super) effects: Vec<Effect>,
    pub(super) no_config_status: u16,
    pub(super) null_state: NullState,
    pub(super) bad_key_as_403: bool,
    pub(super) schedules_readable: bool,
    jobs_started: usize,
}

impl Model {
    pub(super) fn new(api_key: &str) -> Self {
        Self {
            api_key: api_key.into(),
            env_keys: BTreeMap::new(),
            configs: BTreeMap::new(),
            tenants: BTreeMap::new(),
            effects: Vec::new(),
            no_config_status: 404,
            null_state: NullState::default(),
            bad_key_as_403: false,
            schedules_readable: true,
            jobs_started: 0,
        }
    }

    pub(super) fn takes_key(&self, env: Option<&str>, key: Option<&str>) -> bool {
        let wanted = env.and_then(|env| self.env_keys.get(env)).unwrap_or(&self.api_key);
        key == Some(wanted.as_str())
    }

    pub(super) fn tenant_mut(&mut self, key: &Key) -> &mut Tenant {
        self.tenants.entry(key.clone()).or_default()
    }

    /// All tenants of an environment whose id starts with `prefix`, sorted.
    pub(super) fn tenants_of(&self, env: &str, prefix: &str) -> Vec<&str> {
        let by_flow = self.tenants.keys().map(|key| (key.env.as_str(), key.tenant.as_str()));
        let by_config = self.configs.keys().map(|(env, tenant)| (env.as_str(), tenant.as_str()));
        let mut found: Vec<&str> = by_flow
            .chain(by_config)
            .filter(|(of, tenant)| *of == env && tenant.starts_with(prefix))
            .map(|(_, tenant)| tenant)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(super) fn flows_of(&self, env: &str) -> Vec<Value> {
        let mut flows: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        for (key, tenant) in self.tenants.iter().filter(|(key, _)| key.env == env) {
            let (taps, targets) = flows.entry(&key.flow).or_default();
            taps.extend(tenant.sources.iter().map(|link| link.id.as_str()));
            targets.extend(tenant.targets.iter().map(|link| link.id.as_str()));
        }
        flows
            .into_iter()
            .map(|(id, (mut taps, mut targets))| {
                for ids in [&mut taps, &mut targets] {
                    ids.sort_unstable();
                    ids.dedup();
                }
                json!({"id": id, "name": id, "description": "", "type": "integration",
                       "taps": taps, "targets": targets})
            })
            .collect()
    }

    pub(super) fn put_schedule(
        &mut self,
        key: &Key,
        scope: Option<String>,
        expression: String,
        state: ScheduleState,
        order: usize,
    ) {
        let schedule = Schedule { expression: expression.clone(), state, changed_by: Some(order) };
        let was = self.tenant_mut(key).schedules.insert(scope.clone(), schedule);
        self.took_place(key, order, Change::SchedulePut { scope, expression, state, was });
    }

    pub(super) fn link_target(&mut self, key: &Key, target: &str, config: Value, order: usize) {
        let targets = &mut self.tenant_mut(key).targets;
        let before = targets.len();
        targets.retain(|link| link.id != target);
        let again = targets.len() < before;
        targets.push(Link { id: target.into(), config });
        self.took_place(key, order, Change::TargetLinked { target: target.into(), again });
    }

    /// Starts a job and returns it in the documented shape.
    pub(super) fn start_job(&mut self, key: &Key, asked: &Map<String, Value>, order: usize) -> Value {
        self.jobs_started += 1;
        let number = self.jobs_started;
        let job_id = format!("J{number:04}");
        let text = |name: &str| asked.get(name).and_then(Value::as_str).map(str::to_owned);
        let tap = text("tap").or_else(|| {
            self.tenants.get(key).and_then(|tenant| tenant.sources.first()).map(|source| source.id.clone())
        });
        let (hour, minute, second) = (8 + number / 3600 % 16, number / 60 % 60, number % 60);
        let time = format!("2024-10-07T{hour:02}:{minute:02}:{second:02}.000000+00:00");
        let job_name = text("job_name").unwrap_or_else(|| {
            let tap = tap.as_deref().unwrap_or("none");
            format!("{}-{tap}-20241007-{hour:02}{minute:02}{second:02}", key.flow)
        });
        let job = json!({
            "job_id": job_id,
            "env_id": key.env,
            "flow_id": key.flow,
            "job_name": job_name,
            "tenant": key.tenant,
            "started_by": key.tenant,
            "s3_root": format!("{}/flows/{}/jobs/2024/10/1/07/{hour:02}/{job_id}", key.tenant, key.flow),
            "start_time": time,
            "state": asked.get("state").cloned().unwrap_or_else(|| json!({})),
            "tap": tap,
            "status": "JOB_CREATED",
            "scheduled_job": false,
            "message": "Job created",
            "last_updated": time,
            "processed_rows": 0,
        });
        let tenant = self.tenant_mut(key);
        if asked.get("reset_source_state") == Some(&Value::Bool(true)) {
            tenant.state = None;
        }
        tenant.jobs.push(job.clone());
        self.took_place(key, order, Change::JobStarted { job_id, job_name, tap });
        job
    }

    pub(super) fn set_config(&mut self, env: &str, tenant: &str, config: Value, order: usize) {
        self.configs.insert((env.into(), tenant.into()), config);
        self.effects.push(Effect {
            at_order: order,
            env: env.into(),
            flow: None,
            tenant: tenant.into(),
            change: Change::ConfigSet,
        });
    }

    fn took_place(&mut self, key: &Key, order: usize, change: Change) {
        self.effects.push(Effect {
            at_order: order,
            env: key.env.clone(),
            flow: Some(key.flow.clone()),
            tenant: key.tenant.clone(),
            change,
        });
    }

    pub(super) fn page(&self, calls: &[Call]) -> Value {
        let tenants: Vec<Value> = self
            .tenants
            .iter()
            .map(|(key, tenant)| {
                let schedules: Vec<Value> = tenant
                    .schedules
                    .iter()
                    .map(|(scope, schedule)| json!({"connector_id": scope, "schedule": schedule}))
                    .collect();
                let ids = |links: &[Link]| links.iter().map(|link| link.id.clone()).collect::<Vec<_>>();
                json!({
                    "env_id": key.env,
                    "flow_id": key.flow,
                    "tenant": key.tenant,
                    "config": self.configs.get(&(key.env.clone(), key.tenant.clone())),
                    "state": tenant.state,
                    "linked_sources": ids(&tenant.sources),
                    "linked_targets": ids(&tenant.targets),
                    "schedules": schedules,
                    "jobs": tenant.jobs,
                })
            })
            .collect();
        json!({"tenants": tenants, "effects": self.effects, "calls": calls.len()})
    }
}
