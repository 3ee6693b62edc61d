//! A mistake on the command line is told without the password in it.

use tests::program;

const SECRETS: [&str; 6] = [
    "http://bob:s3cret@h:x",
    "bob:s3cret@h",
    "ftp://bob:s3cret@h:4222",
    "nats://bob:s3c 'ret@s3cret@ho st:4222",
    "postgres://bob:s3cret@h:99999/log",
    "ftp://h/?password=s3cret",
];

async fn said(name: &str, args: &[String], env: &[(String, String)]) -> String {
    let (code, said, errors) = program::run(name, args, env).await;
    assert_ne!(code, 0, "{name} {args:?}: {said}{errors}");
    said + &errors
}

fn tells_nobody(said: &str, how: &str) {
    assert!(!said.contains("s3c") && !said.contains("bob"), "{how}: {said}");
}

#[tokio::test]
async fn no_program_repeats_a_password_in_a_mistyped_url() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("gluehook.toml");
    std::fs::write(&config, "[[endpoint]]\nname = \"x\"\nsource = \"hotglue\"\nsecrets = [\"env:SECRET\"]\n")
        .unwrap();
    let config = format!("--config={}", config.display());
    let programs = [
        ("gluehook-ingest", vec!["nats-url", "nats-monitor-url"]),
        ("gluehook-worker", vec!["nats-url", "database-url"]),
        ("gluehook", vec!["nats-url", "nats-monitor-url", "database-url"]),
    ];
    for (name, flags) in programs {
        for flag in flags {
            // As a host's name it is right, and a worker would wait for it.
            let is_right =
                |url: &str| flag == "nats-url" && !url.starts_with("ftp") && !url.starts_with("http");
            let is_postgres = |url: &str| flag == "database-url" && url.starts_with("postgres");
            for url in SECRETS {
                if name != "gluehook" && (is_right(url) || is_postgres(url)) {
                    continue;
                }
                let mut args = vec![config.clone(), format!("--{flag}={url}")];
                if name == "gluehook" {
                    args.insert(0, "doctor".to_owned());
                }
                let secret = ("SECRET".to_owned(), "whsec".to_owned());
                // Not where the test runs.
                let log = format!("sqlite://{}", home.path().join("log.db").display());
                let log = ("GLUEHOOK_DATABASE_URL".to_owned(), log);
                tells_nobody(
                    &said(name, &args, &[secret.clone(), log.clone()]).await,
                    &format!("{name} {args:?}"),
                );
                let by_environment = format!("GLUEHOOK_{}", flag.to_uppercase().replace('-', "_"));
                args.pop();
                let env = [secret, log, (by_environment, url.to_owned())];
                tells_nobody(&said(name, &args, &env).await, &format!("{name} {env:?}"));
            }
        }
        // A flag or a command that there is not.
        for wrong in [format!("--nats-ulr={}", SECRETS[0]), SECRETS[0].to_owned()] {
            tells_nobody(&said(name, std::slice::from_ref(&wrong), &[]).await, &format!("{name} {wrong}"));
        }
    }
}

#[tokio::test]
async fn help_shows_no_url_of_the_environment() {
    for name in ["gluehook-ingest", "gluehook-worker", "gluehook"] {
        let env = ["NATS_URL", "NATS_MONITOR_URL", "DATABASE_URL"]
            .map(|flag| (format!("GLUEHOOK_{flag}"), "http://bob:s3cret@h:1".to_owned()));
        let mut args = vec!["--help".to_owned()];
        if name == "gluehook" {
            args.insert(0, "doctor".to_owned());
        }
        let (code, said, errors) = program::run(name, &args, &env).await;
        assert_eq!(code, 0, "{errors}");
        tells_nobody(&said, name);
    }
}
