//! What an action would have come to, as a rule in shadow leaves it behind.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A call as it would have been made. It has no headers, so no key is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub method: String,
    /// Whole, with tenant and flow; only the address of an incoming webhook is not told, because it is a secret.
    pub url: String,
    /// As it would have been sent. Values of a target's config are blanked: they may be secrets.
    pub body: Value,
    /// What an answer of hotglue decides, such as "unless a job of this name is listed".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// What an action would have come to. Stored with the verdict, so its serialised form is a promise to older records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Would {
    Call(Call),
    /// There was nothing to change, as hotglue reported it.
    Nothing {
        why: String,
    },
    /// No call can be made of it: live, the step would have failed.
    Fail {
        why: String,
    },
}
