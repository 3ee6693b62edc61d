//! One nats-server or a cluster of three, whose nodes are killed, stopped and started again on what they have stored.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::Process;
use super::reached;
use crate::nats;
use crate::program::free_ports;

/// The nodes; each has its port and its store for the whole run.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) nodes: Vec<Process>,
    ports: Vec<u16>,
    home: PathBuf,
}

impl Broker {
    /// Configures `nodes` servers under `home`, and starts them.
    ///
    /// # Panics
    /// When there is no nats-server.
    #[must_use]
    pub(super) fn start(home: &Path, nodes: usize) -> Self {
        let program = nats::program().expect("nats-server is there");
        let ports = free_ports(2 * nodes);
        let (clients, routes) = ports.split_at(nodes);
        let mut processes = Vec::new();
        for (place, port) in clients.iter().enumerate() {
            let store = home.join(format!("nats-{place}"));
            let mut config = format!("server_name: node{place}\njetstream {{ store_dir: {store:?} }}\n");
            if nodes > 1 {
                let all: Vec<_> = routes.iter().map(|route| format!("nats://127.0.0.1:{route}")).collect();
                writeln!(
                    config,
                    "cluster {{ name: chaos, listen: \"127.0.0.1:{}\", routes: [{}] }}",
                    routes[place],
                    all.join(", ")
                )
                .expect("text grows");
            }
            let path = home.join(format!("nats-{place}.conf"));
            fs::write(&path, config).expect("the configuration is written");
            let args = ["-a", "127.0.0.1", "-p", &port.to_string(), "-c", &path.display().to_string()];
            let args = args.map(str::to_owned).into();
            let log = home.join(format!("nats-{place}.log"));
            processes.push(Process::new(program.clone(), args, Vec::new(), &log));
        }
        let mut broker = Self { nodes: processes, ports: clients.to_vec(), home: home.to_owned() };
        broker.start_all();
        broker
    }

    /// Of all nodes, with commas between.
    #[must_use]
    pub(super) fn url(&self) -> String {
        self.urls().join(",")
    }

    /// Of each node.
    #[must_use]
    pub(super) fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect()
    }

    /// Starts every node that does not run.
    pub(super) fn start_all(&mut self) {
        self.nodes.iter_mut().for_each(Process::start);
    }

    /// Waits until every node takes connections.
    pub(super) async fn listens(&self) {
        for port in &self.ports {
            reached("nats-server listens", async || {
                tokio::net::TcpStream::connect(("127.0.0.1", *port)).await.is_ok()
            })
            .await;
        }
    }

    /// Kills every node.
    pub(super) async fn kill(&mut self) {
        for node in &mut self.nodes {
            node.kill().await;
        }
    }

    /// Sends every node a signal.
    pub(super) async fn signal(&self, name: &str) {
        for node in &self.nodes {
            node.signal(name).await;
        }
    }

    /// A copy of all that the first node has written.
    pub(super) fn store(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a directory is made");
        nats::copy_tree(&self.home.join("nats-0"), copy.path());
        copy
    }

    /// Makes the store of the first node what it was when it was copied. It must not run.
    pub(super) fn restore(&self, copy: &TempDir) {
        let store = self.home.join("nats-0");
        fs::remove_dir_all(&store).expect("the store is removed");
        nats::copy_tree(copy.path(), &store);
    }
}
