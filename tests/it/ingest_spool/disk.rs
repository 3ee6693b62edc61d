use super::*;

/// The shell refuses files of more than 512 KiB; a write beyond is an error, as on a full disk or over a quota.
const SMALL_DISK: &str = "trap '' XFSZ; ulimit -f 1024";

/// A small filesystem of its own for a spool, where one may be mounted.
struct SmallDisk(Option<std::path::PathBuf>);

impl SmallDisk {
    fn below(spool: &SpoolDir) -> Self {
        let at = spool.0.path().join("spool");
        std::fs::create_dir(&at).unwrap();
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&at).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        Self(is_mounted.then_some(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(at) = &self.0 {
            let _left = std::process::Command::new("umount").arg("-l").arg(at).status();
        }
    }
}

#[tokio::test]
async fn over_a_quota_it_is_503_and_what_was_answered_before_arrives() {
    let spool = SpoolDir::new();
    a_disk_gets_full(&spool, Some(SMALL_DISK)).await;
    assert!(std::fs::metadata(spool.file()).unwrap().len() <= 1 << 20);
}

/// On a disk that is full as a whole, nothing can be written, not even that something has left.
#[tokio::test]
async fn a_full_disk_is_503_and_what_was_answered_before_arrives() {
    let spool = SpoolDir::new();
    let disk = SmallDisk::below(&spool);
    // Who may mount nothing tries it with a quota.
    a_disk_gets_full(&spool, if disk.0.is_some() { None } else { Some(SMALL_DISK) }).await;
    drop(disk);
}

async fn a_disk_gets_full(spool: &SpoolDir, shell: Option<&str>) {
    let mut nats = NatsServer::start().await;
    let flags = spool.flags(&[]);
    let setting = Setting { flags: &flags, shell, ..Setting::default() };
    let mut ingest = Ingest::listening(&nats.url, setting).await;
    ingest.until_ready(true).await;
    nats.kill().await;
    let large =
        |number: usize| format!("{{\"job_id\":\"{number}\",\"x\":\"{}\"}}", "x".repeat(4000)).into_bytes();
    let mut answered = Vec::new();
    let full = loop {
        let answer = ingest.post(&large(answered.len())).await;
        if answer.status != 200 {
            break answer;
        }
        answered.push(answer.stored().0);
        assert!(answered.len() < 2000, "the disk never gets full");
    };
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")), "{}", ingest.program.log());
    let ready = ingest.until_ready(false).await;
    assert!(ready["checks"]["spool"].as_str().unwrap().contains("can't grow"), "{ready}");
    // Started anew, it opens what is full.
    ingest.program.kill().await;
    let ingest = Ingest::listening(&nats.url, setting).await;
    nats.start_again().await;
    arrived_once(&ingest, &nats, &answered).await;
    // With what has left, there is room again, also to be kept free.
    let deadline = Instant::now() + PATIENCE;
    while ingest.until_ready(true).await["warnings"].to_string().contains("can't grow") {
        assert!(Instant::now() < deadline, "{}", ingest.program.log());
        sleep(Duration::from_millis(100)).await;
    }
    nats.kill().await;
    answered.push(ingest.post(&body(1)).await.stored().0);
    nats.start_again().await;
    arrived_once(&ingest, &nats, &answered).await;
}

/// What ingest says when it does not start with these flags.
async fn refuses(more: &[String]) -> (i32, String) {
    let home = tempfile::tempdir().unwrap();
    let config = "[[endpoint]]\nname = \"hotglue\"\nsource = \"hotglue\"\nsecrets = [\"env:SECRET\"]\n";
    let mut flags = flags(&home, config, "nats://127.0.0.1:1", false);
    flags.extend_from_slice(more);
    let (code, _, said) = program::run("gluehook-ingest", &flags, &secrets()).await;
    (code, said)
}

#[tokio::test]
async fn a_damaged_spool_is_named_with_what_to_do_and_not_thrown_away() {
    let spool = SpoolDir::new();
    let mut ingest = spool.ingest("nats://127.0.0.1:1", &[]).await;
    assert!(!ingest.post(&body(1)).await.stored().1);
    ingest.program.kill().await;
    let whole = std::fs::read(spool.file()).unwrap();
    let path = spool.file().display().to_string();
    let named =
        |said: &str| said.contains(&format!("{path}: it is damaged")) && said.contains(&format!("mv {path}"));
    let nats = NatsServer::start().await;
    for damaged in
        [&whole[..whole.len() - 100], &whole[..whole.len() - 4096], &[&whole[..], b"garbage"].concat()]
    {
        std::fs::write(spool.file(), damaged).unwrap();
        // A journal is what a 2xx would stand for.
        let (code, said) = refuses(&spool.flags(&["--durability=journal"])).await;
        assert!(code == 1 && named(&said), "{said}");
        // A spool is for the time when NATS is away, which it isn't.
        let ingest = spool.ingest(&nats.url, &[]).await;
        ingest.program.line("it is damaged").await;
        assert_eq!(ingest.post(&body(damaged.len())).await.status, 200);
        // Whoever sends by readiness must go on sending.
        let ready = ingest.until_ready(true).await;
        assert!(
            ready["warnings"].as_array().unwrap().iter().any(|said| named(said.as_str().unwrap())),
            "{ready}"
        );
        assert_eq!(ready["checks"]["streams"], "ok", "{ready}");
        drop(ingest);
        assert_eq!(std::fs::read(spool.file()).unwrap(), damaged, "it is left as it is");
    }
    until_hooks(&nats, 3).await;
    std::fs::write(spool.file(), &whole).unwrap();
    let ingest = spool.ingest(&nats.url, &[]).await;
    until_hooks(&nats, 4).await;
    ingest.until_ready(true).await;
}

#[tokio::test]
async fn wrong_flags_end_with_a_sentence() {
    let (code, said) = refuses(&["--durability=journal".to_owned()]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--spool DIR") && said.lines().count() == 1, "{said}");
    let (code, said) = refuses(&["--spool=/dev/null/x".to_owned()]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/dev/null/x (--spool) can't be made"), "{said}");
    let (code, said) = refuses(&["--spool-max=much".to_owned()]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("`much` is not a size"), "{said}");
    let (code, said) = refuses(&["--nats-monitor-url=nats:8222".to_owned()]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("http://HOST:PORT"), "{said}");
}
