//! The schemas that editors are given are those of the code, and what they allow is what the readers read.

use std::path::{Path, PathBuf};

use domain::config::Config;
use domain::rulebook::{Rulebook, schema};
use serde_json::Value;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn valid(schema: &Value, toml: &str) -> bool {
    let value: Value =
        serde_json::to_value(toml::from_str::<toml::Table>(toml).expect("TOML")).expect("JSON");
    jsonschema::validator_for(schema).expect("a JSON Schema").is_valid(&value)
}

#[test]
fn the_schemas_that_ship_are_those_of_the_code() {
    for (name, schema, command) in [
        ("rules.schema.json", schema(), "rules"),
        ("gluehook.schema.json", domain::config::schema(), "config"),
    ] {
        let kept: Value = serde_json::from_str(&text(name)).expect("JSON");
        assert!(kept == schema, "run `gluehook schema {command} > deploy/{name}`");
    }
}

#[test]
fn what_ships_satisfies_its_schema_and_names_it() {
    for (name, schema) in [("rules", schema()), ("gluehook", domain::config::schema())] {
        let file = text(&format!("{name}.toml"));
        assert!(valid(&schema, &file), "{name}.toml");
        assert!(file.starts_with(&format!("#:schema ./{name}.schema.json\n")), "{name}.toml");
    }
}

#[test]
fn the_schema_of_rules_refuses_what_the_reader_refuses() {
    let schema = schema();
    for (rules, right) in [
        ("[[rule]]\nname = 'r'\n", true),
        ("[[rule]]\nname = 'r'\n[[rule.do]]\naction = 'slack'\ntext = 'x'\nwhen = 'event.failed'\n", true),
        (
            "[[rule]]\nname = 'r'\n[[rule.do]]\naction = 'enable_schedule'\nof = 'all'\nwhen = ['event.tap']\n",
            true,
        ),
        ("[[rule]]\nname = 'r'\nlimit = { tenants = 1, per = '10m' }\n", true),
        ("[[rule]]\nname = 'r'\nfold = { after = 0, per = '10m' }\n", true),
        ("[[rule]]\nname = 'r'\nfold = { after = -1, per = '10m' }\n", false),
        ("[[rule]]\nname = 'r'\nfold = { per = '10m' }\n", false),
        ("[[rule]]\nname = 'r'\nabout = ''\n[[rule.do]]\naction = 'slack'\ntext = 'x'\nchannel = ''\n", true),
        ("[[rule]]\nname = 'a/b'\n", false),
        ("[[rule]]\nname = ' '\n", false),
        ("[[rule]]\nname = 'r'\nlimit = { tenants = 4294967296, per = '10m' }\n", false),
        ("[[rule]]\nname = 'r'\nlimit = { tenants = 1, per = 60 }\n", false),
        ("[[rule]]\nname = 'r'\n[[rule.do]]\naction = 'slack'\ntext = ' '\n", false),
        ("[[rule]]\nabout = 'r'\n", false),
        ("[[rule]]\nname = 'r'\nmode = 'lve'\n", false),
        ("[[rule]]\nname = 'r'\non = ['jobs']\n", false),
        ("[[rule]]\nname = 'r'\nwhen = 'event.failed'\n", false),
        ("[[rule]]\nname = 'r'\nwhn = []\n", false),
        ("[[rule]]\nname = 'r'\nlimit = { tenants = 0, per = '10m' }\n", false),
        ("[[rule]]\nname = 'r'\nlimit = { tenants = 1, per = 'soon' }\n", false),
        ("[[rule]]\nname = 'r'\n[[rule.do]]\naction = 'slak'\ntext = 'x'\n", false),
        ("[[rule]]\nname = 'r'\n[[rule.do]]\naction = 'slack'\n", false),
        ("[[rule]]\nname = 'r'\n[[rule.do]]\naction = 'slack'\ntext = 'x'\nname = 'y'\n", false),
        ("[[rule]]\nname = 'r'\n[[rule.do]]\naction = 'link_target'\nof = 'all'\n", false),
    ] {
        assert_eq!(Rulebook::parse(rules).is_ok(), right, "the reader:\n{rules}");
        assert_eq!(valid(&schema, rules), right, "the schema:\n{rules}");
    }
}

#[test]
fn the_schema_of_the_configuration_refuses_what_the_reader_refuses() {
    let schema = domain::config::schema();
    for (config, right) in [
        ("", true),
        ("[[endpoint]]\nname = 'a'\nsource = 'hotglue'\nproof = 'none'\n", true),
        ("[[endpoint]]\nname = 'a'\nsource = 'hotglue'\nsecrets = ['env:A']\nmax_body = '2 MiB'\n", true),
        ("[hotglue]\ntimeout = '5s'\n[hotglue.defaults]\ntarget = 'optiply'\n", true),
        ("[retry]\nfirst = '250ms'\n", true),
        ("[[endpoint]]\nname = 'a'\nsource = 'hotglue'\nsecrets = ['hunter2']\n", false),
        ("[[endpoint]]\nname = 'a'\nsource = 'hotgleu'\nproof = 'none'\n", false),
        ("[[endpoint]]\nsource = 'hotglue'\n", false),
        ("[hotglue]\ntimeout = '5 years'\n", false),
        ("[hotglue]\ntimeot = '5s'\n", false),
        ("[[hotglue.flow]]\nschedule = 'cron(0 6 * * *)'\n", false),
        ("[hotglue.defaults]\nschedule = ''\ntarget_schedule = 'cron(0 12 * * ? *)'\n", true),
        ("[hotglue.defaults]\nschedule = 'every day'\n", false),
        ("[[hotglue.flow]]\nflow_id = 'x'\ntarget_schedule = 'hourly'\n", false),
        ("[[hotglue.environment]]\nenv_id = 'x'\napi_key = 'env:K'\nbase_url = 'ftp://x'\n", false),
        ("[[endpoint]]\nname = 'Hot'\nsource = 'hotglue'\nproof = 'none'\n", false),
        ("[retry]\nattempts = 0\n", false),
        ("[slack]\nwebhook_url = 'https://hooks.slack.com/x'\n", false),
    ] {
        assert_eq!(Config::parse(config).is_ok(), right, "the reader:\n{config}");
        assert_eq!(valid(&schema, config), right, "the schema:\n{config}");
    }
}
