//! A nats-server of our own, with `JetStream` and every message on disk before it is acknowledged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Spec, private_dir};

/// Above the largest body an endpoint takes unless told otherwise (1 MiB) and its headers.
const MAX_PAYLOAD: &str = "8MB";

/// Where a nats-server is to listen and keep its streams.
#[derive(Debug)]
pub(crate) struct NatsServer<'a> {
    pub(crate) program: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Where it tells of itself.
    pub(crate) monitor: SocketAddr,
    /// Holds the streams, the configuration file and the log.
    pub(crate) data: &'a Path,
}

impl NatsServer<'_> {
    /// Writes the server's configuration and says how to start it.
    pub(crate) fn spec(self) -> Result<Spec> {
        let streams = self.data.join("nats");
        private_dir(&streams)?;
        let streams = std::path::absolute(&streams).context("the data directory has no absolute path")?;
        let file = self.data.join("nats.conf");
        std::fs::write(&file, configuration(self.listen, self.monitor, &streams))
            .with_context(|| format!("{} can't be written", file.display()))?;
        Ok(Spec {
            name: "nats",
            program: self.program,
            args: vec!["-c".into(), file.into()],
            env: Vec::new(),
            clean: true,
        })
    }
}

fn configuration(listen: SocketAddr, monitor: SocketAddr, streams: &Path) -> String {
    let streams = streams.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "server_name: gluehook\nlisten: \"{listen}\"\nhttp: \"{monitor}\"\nmax_payload: {MAX_PAYLOAD}\njetstream {{\n  store_dir: \
         \"{streams}\"\n  sync_interval: always\n}}\n"
    )
}

/// A nats-server that will do: `given`, one on `PATH`, or one that is fetched into `cache`. `say` is told what takes
/// time. Fetching runs on a thread of its own.
pub(crate) async fn find_nats_server(
    given: Option<PathBuf>,
    cache: PathBuf,
    say: fn(&str),
) -> Result<PathBuf> {
    let looking = tokio::task::spawn_blocking(move || {
        provision::nats_server(given.as_deref(), &cache, &mut |line| say(line))
    });
    looking.await.context("looking for nats-server was interrupted")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_on_disk_before_it_is_acknowledged() {
        let [listen, monitor] = ["127.0.0.1:4222", "127.0.0.1:8222"].map(|text| text.parse().unwrap());
        let text = configuration(listen, monitor, Path::new("/data \"x\"/nats"));
        assert!(text.contains("sync_interval: always"), "{text}");
        assert!(text.contains(r#"store_dir: "/data \"x\"/nats""#), "{text}");
        assert!(text.contains(r#"listen: "127.0.0.1:4222""#), "{text}");
        assert!(text.contains(r#"http: "127.0.0.1:8222""#), "{text}");
    }
}
