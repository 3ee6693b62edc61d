//! The files around the queries: migrations in, descriptions out.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// What describes each query, by file name.
pub(crate) type Queries = BTreeMap<String, Vec<u8>>;

/// In the order in which sqlx applies them: by the number that begins the name.
pub(crate) fn migrations(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("there are no migrations in {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.context("a migration can't be listed")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".sql") || name.ends_with(".down.sql") {
            continue;
        }
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = name[..digits]
            .parse()
            .with_context(|| format!("the migration {name} does not begin with a number"))?;
        found.push((number, path));
    }
    if found.is_empty() {
        bail!("there are no migrations in {}", directory.display());
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The `query-*.json` in a directory, which need not exist.
pub(crate) fn queries(directory: &Path) -> Result<Queries> {
    let unreadable = || format!("{} can't be read", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Queries::new()),
        entries => entries.with_context(unreadable)?,
    };
    let mut found = Queries::new();
    for entry in entries {
        let entry = entry.with_context(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") && name.ends_with(".json") {
            found.insert(name, fs::read(entry.path()).with_context(unreadable)?);
        }
    }
    Ok(found)
}

/// Those that are asked of one kind of database, as sqlx calls it.
pub(crate) fn of_database(queries: &Queries, name: &str) -> Queries {
    let says = format!(r#""db_name": "{name}""#);
    let is_of = |text: &[u8]| String::from_utf8_lossy(text).contains(&says);
    queries.iter().filter(|(_, text)| is_of(text)).map(|(file, text)| (file.clone(), text.clone())).collect()
}

/// Writes what differs and removes what is gone: a file that stays as it is keeps its time.
pub(crate) fn replace(directory: &Path, kept: &Queries, fresh: &Queries) -> Result<()> {
    let unwritable = || format!("{} can't be written", directory.display());
    fs::create_dir_all(directory).with_context(unwritable)?;
    for (name, text) in fresh.iter().filter(|&(name, text)| kept.get(name) != Some(text)) {
        fs::write(directory.join(name), text).with_context(unwritable)?;
    }
    for name in kept.keys().filter(|&name| !fresh.contains_key(name)) {
        fs::remove_file(directory.join(name)).with_context(unwritable)?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    new: usize,
    changed: usize,
    gone: usize,
}

impl Difference {
    pub(crate) fn between(kept: &Queries, fresh: &Queries) -> Self {
        Self {
            new: fresh.keys().filter(|&name| !kept.contains_key(name)).count(),
            changed: fresh
                .iter()
                .filter(|&(name, text)| kept.get(name).is_some_and(|old| old != text))
                .count(),
            gone: kept.keys().filter(|&name| !fresh.contains_key(name)).count(),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self { new: 0, changed: 0, gone: 0 }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} new, {} changed, {} gone", self.new, self.changed, self.gone)
    }
}

/// The variable that a crate's `sqlx.toml` has sqlx read in place of `DATABASE_URL`.
pub(crate) fn database_url_var(sqlx_toml: &str) -> Option<&str> {
    sqlx_toml.lines().find_map(|line| {
        let value = line.trim().strip_prefix("database-url-var")?.trim_start().strip_prefix('=')?;
        value.trim().strip_prefix('"')?.split_once('"').map(|(variable, _)| variable)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(entries: &[(&str, &str)]) -> Queries {
        entries.iter().map(|&(name, text)| (format!("query-{name}.json"), text.into())).collect()
    }

    #[test]
    fn migrations_come_in_the_order_of_their_numbers() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["10_c.sql", "2_b.up.sql", "2_b.down.sql", "0001_a.sql", "README.md"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let found = migrations(directory.path()).unwrap();
        assert_eq!(found, ["0001_a.sql", "2_b.up.sql", "10_c.sql"].map(|name| directory.path().join(name)));
    }

    #[test]
    fn directory_without_migrations_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(migrations(directory.path()).is_err());
        assert!(migrations(&directory.path().join("missing")).is_err());
    }

    #[test]
    fn replacing_leaves_exactly_the_fresh_ones() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join(".sqlx");
        let (first, second) = (some(&[("a", "1"), ("b", "1")]), some(&[("b", "2"), ("c", "1")]));
        replace(&directory, &Queries::new(), &first).unwrap();
        replace(&directory, &first, &second).unwrap();
        assert_eq!(queries(&directory).unwrap(), second);
    }

    #[test]
    fn queries_are_told_apart_by_their_database() {
        let both = some(&[("a", r#"{ "db_name": "SQLite" }"#), ("b", r#"{ "db_name": "PostgreSQL" }"#)]);
        let of_one = of_database(&both, "SQLite");
        assert_eq!(of_one.keys().collect::<Vec<_>>(), ["query-a.json"]);
    }

    #[test]
    fn difference_is_counted() {
        let (kept, fresh) = (some(&[("a", "1"), ("b", "1")]), some(&[("b", "2"), ("c", "1"), ("d", "1")]));
        let difference = Difference::between(&kept, &fresh);
        assert_eq!(difference.to_string(), "2 new, 1 changed, 1 gone");
        assert!(Difference::between(&fresh, &fresh).is_none() && !difference.is_none());
    }

    #[test]
    fn own_variable_of_a_crate_is_found() {
        let settings = "[common]\ndatabase-url-var = \"STORE_SQLITE_URL\" # ours\n";
        assert_eq!(database_url_var(settings), Some("STORE_SQLITE_URL"));
        assert_eq!(database_url_var("[common]\n"), None);
    }
}
