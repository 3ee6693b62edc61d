//! A hotglue with something to do, for `gluehook demo` and docker compose.

use serde_json::{Value, json};

use super::{Hotglue, ScheduleState};
use crate::webhook;

/// The environment of the documented payloads.
pub const DEMO_ENV: &str = "dev.hotglue.com";
/// The flow of the documented payloads.
pub const DEMO_FLOW: &str = "JClkCC05S";

/// A tenant config with everything that a tenant of Optiply has. All values are made up.
#[must_use]
pub fn valid_config() -> Value {
    json!({
        "importCredentials": {
            "username": "import-user",
            "password": "sandbox-import-password",
            "client_id": "import-client",
            "client_secret": "sandbox-import-client-secret",
            "access_token": "sandbox-import-access-token",
            "account_id": 1414,
            "webshop_uuid": "5f0c7a0e-6f0f-4c39-9d43-2f3f6f6b9a11",
        },
        "apiCredentials": {
            "username": "api-user",
            "password": "sandbox-api-password",
            "client_id": "api-client",
            "client_secret": "sandbox-api-client-secret",
            "access_token": "sandbox-api-access-token",
            "account_id": 1414,
            "webshop_uuid": "5f0c7a0e-6f0f-4c39-9d43-2f3f6f6b9a11",
        },
        "hotglue_metadata": {"metadata": {"webshop_handle": "sandbox-shop"}},
    })
}

impl Hotglue {
    /// Tenants on which every rule of the shipped rulebook finds something:
    ///
    /// - `1414_1`, of the documented payloads: config is valid, state null, source linked, no target, schedule off.
    /// - [`webhook::EXACT_TENANT`]: an Exact tenant in full swing, its schedules on.
    /// - [`webhook::BUY_ORDER_TENANT`]: the same, for orders that Exact refuses.
    /// - `98_1`: its config lacks a password and an account.
    /// - `77_1`: no config at all.
    /// - `default` in flow `l8odS2mce` of the oldest payload.
    #[must_use]
    pub fn demo(api_key: &str) -> Self {
        use ScheduleState::{Disabled, Enabled};
        let hotglue = Self::new(api_key);
        hotglue
            .tenant(DEMO_ENV, DEMO_FLOW, "1414_1")
            .with_config(valid_config())
            .with_null_state()
            .with_source("salesforce")
            .with_schedule(None, "cron(0 */4 * * *)", Disabled);
        for tenant in [webhook::EXACT_TENANT, webhook::BUY_ORDER_TENANT] {
            hotglue
                .tenant(DEMO_ENV, DEMO_FLOW, tenant)
                .with_config(valid_config())
                .with_state(
                    json!({"bookmarks": {"Items": {"replication_key_value": "2024-10-06T22:00:00Z"}}}),
                )
                .with_source("exact")
                .with_target("optiply")
                .with_schedule(None, "cron(0 */4 * * *)", Enabled)
                .with_schedule(Some("optiply"), "cron(30 */4 * * *)", Enabled);
        }
        let mut incomplete = valid_config();
        if let Some(credentials) = incomplete["importCredentials"].as_object_mut() {
            credentials.remove("password");
            credentials.remove("account_id");
        }
        hotglue
            .tenant(DEMO_ENV, DEMO_FLOW, "98_1")
            .with_config(incomplete)
            .with_null_state()
            .with_source("shopify")
            .with_schedule(None, "cron(0 */4 * * *)", Disabled);
        hotglue.tenant(DEMO_ENV, DEMO_FLOW, "77_1").without_config().with_source("woocommerce");
        hotglue
            .tenant(DEMO_ENV, "l8odS2mce", "default")
            .with_config(valid_config())
            .with_source("quickbooks:sandbox")
            .with_schedule(None, "cron(0 0 * * *)", Enabled);
        hotglue
    }
}
