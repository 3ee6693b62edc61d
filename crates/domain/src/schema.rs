//! What a valid tenant config is: the flow's JSON Schema. Problems name paths and what is wrong there, never values,
//! because a tenant's config is full of secrets.

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

/// A compiled JSON Schema.
#[derive(Debug, Clone)]
pub struct Schema(std::sync::Arc<Validator>);

impl Schema {
    /// # Errors
    /// A sentence that says what is wrong with the schema.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        jsonschema::validator_for(schema)
            .map(|validator| Self(std::sync::Arc::new(validator)))
            .map_err(|error| format!("it is not a JSON Schema: {error}"))
    }
}

/// Problems of a tenant's config; empty = valid. `config` none = hotglue has none for the tenant. Without a schema a
/// config is valid when there is one.
#[must_use]
pub fn problems(schema: Option<&Schema>, config: Option<&Value>) -> Vec<String> {
    let Some(config) = config.filter(|config| config.as_object().is_none_or(|fields| !fields.is_empty()))
    else {
        return vec!["there is no config for the tenant".to_owned()];
    };
    let Some(Schema(validator)) = schema else { return Vec::new() };
    let mut problems: Vec<String> = validator
        .iter_errors(config)
        .map(|error| {
            let path = error.instance_path().to_string();
            sentence(if path.is_empty() { "the config" } else { &path }, error.kind())
        })
        .collect();
    problems.sort();
    problems.dedup();
    problems
}

fn sentence(path: &str, kind: &Kind) -> String {
    match kind {
        Kind::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            if path.starts_with('/') {
                format!("{path}/{property} is missing")
            } else {
                format!("/{property} is missing")
            }
        }
        Kind::Type { .. } => format!("{path} has the wrong type"),
        Kind::MinLength { .. } => format!("{path} is too short"),
        Kind::MaxLength { .. } => format!("{path} is too long"),
        Kind::MinItems { .. } | Kind::MinProperties { .. } => format!("{path} has too few entries"),
        Kind::MaxItems { .. } | Kind::MaxProperties { .. } => format!("{path} has too many entries"),
        Kind::Enum { .. } | Kind::Constant { .. } => format!("{path} is not one of the allowed values"),
        Kind::Pattern { .. } | Kind::Format { .. } => format!("{path} does not have the expected form"),
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } | Kind::FalseSchema => {
            format!("{path} has entries that are not allowed")
        }
        other => format!("{path} does not satisfy `{}`", other.keyword()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::compile(&json!({
            "type": "object",
            "required": ["apiCredentials"],
            "properties": {
                "apiCredentials": {
                    "type": "object", "required": ["username", "password"],
                    "properties": {"username": {"type": "string", "minLength": 1}, "password": {"type": "string", "pattern": "^[a-z]+$"}},
                },
            },
        }))
        .expect("a schema")
    }

    #[test]
    fn problems_name_paths_and_never_values() {
        let config = json!({"apiCredentials": {"username": "", "password": "S3CRET!"}});
        let found = problems(Some(&schema()), Some(&config));
        assert_eq!(
            found,
            [
                "/apiCredentials/password does not have the expected form",
                "/apiCredentials/username is too short"
            ]
        );
        let found = problems(Some(&schema()), Some(&json!({"apiCredentials": {"username": 5}})));
        assert_eq!(
            found,
            ["/apiCredentials/password is missing", "/apiCredentials/username has the wrong type"]
        );
    }

    #[test]
    fn a_config_that_satisfies_the_schema_has_no_problems() {
        let config = json!({"apiCredentials": {"username": "jo", "password": "abc"}, "more": 1});
        assert!(problems(Some(&schema()), Some(&config)).is_empty());
    }

    #[test]
    fn no_config_is_a_problem_with_and_without_a_schema() {
        for config in [None, Some(json!({}))] {
            assert_eq!(problems(Some(&schema()), config.as_ref()).len(), 1);
            assert_eq!(problems(None, config.as_ref()).len(), 1);
        }
        assert!(problems(None, Some(&json!({"a": 1}))).is_empty());
    }
}
