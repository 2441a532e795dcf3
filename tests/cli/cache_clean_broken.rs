//! `cache-clean` when something happens to it or to the server: nothing goes that should not, and what was done is said.

use std::process::{Child, Stdio};

use redis::Pipeline;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::keys::{Keys, Way, at, cluster, rule, way};
use crate::support::{Ran, Server, finding, send};

fn start(server: &Server, line: &str) -> Child {
    server
        .command(line.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

/// Waits until the first keys are gone.
fn until_it_works(keys: &mut Keys, of: u64) {
    while keys.size() >= of {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn changed(report: &Value) -> u64 {
    let rules = report["data"]["rules"].as_array().unwrap();
    rules
        .iter()
        .map(|rule| rule["keys"].as_u64().unwrap())
        .sum()
}

/// The race: a client gives 10,000 keys an end while they are being removed for want of one. None of those goes.
#[test]
fn a_key_that_gains_an_end_survives() {
    const NUMBER: u64 = 10_000;
    let mut keys = Keys::start(&[]);
    keys.fill("session", 10_000);
    let server = keys.server(&rule("session:*", "no-ttl", "unlink"));
    let run = start(&server, "cache-clean --over 3s --json");
    until_it_works(&mut keys, NUMBER);
    let mut saved = Vec::new();
    for chunk in (0..NUMBER).collect::<Vec<_>>().chunks(50) {
        let mut pipeline = Pipeline::new();
        for number in chunk {
            pipeline
                .cmd("EXPIRE")
                .arg(format!("session:{number}"))
                .arg(3600);
        }
        let answers: Vec<bool> = pipeline.query(&mut keys.connection).unwrap();
        saved.extend(
            chunk
                .iter()
                .zip(answers)
                .filter(|(_, saved)| *saved)
                .map(|(number, _)| *number),
        );
    }
    let ran = end(run);
    let report = ran.json();
    assert_eq!(ran.code, 0, "{report:#}");
    let saved_number = saved.len() as u64;
    assert!(
        saved_number > 0 && saved_number < NUMBER,
        "{saved_number} of {NUMBER}"
    );
    for number in saved {
        assert!(
            keys.ask::<bool>(&["EXISTS", &format!("session:{number}")]),
            "session:{number} was lost"
        );
    }
    assert_eq!(keys.size(), saved_number);
    assert_eq!(changed(&report), NUMBER - saved_number);
}

/// The same for keys that are written all the time while they are looked for: they are not idle any more.
#[test]
fn a_key_that_is_written_survives() {
    const NUMBER: u64 = 4000;
    let mut keys = Keys::start(&[]);
    keys.fill("page", 4000);
    while keys.ask::<u64>(&["OBJECT", "IDLETIME", "page:0"]) < 5 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let server = keys.server(&rule("page:*", "idle>4s", "unlink"));
    let mut run = start(&server, "cache-clean --over 2s --json");
    until_it_works(&mut keys, NUMBER);
    let mut saved: Vec<u64> = (0..NUMBER).collect();
    let mut ended = None;
    while ended.is_none() {
        let mut pipeline = Pipeline::new();
        for number in &saved {
            let set = pipeline.cmd("SET").arg(format!("page:{number}"));
            set.arg("new").arg("XX");
        }
        let written: Vec<bool> = pipeline.query(&mut keys.connection).unwrap();
        if saved.len() < usize::try_from(NUMBER).unwrap() {
            assert!(written.iter().all(|written| *written), "one was lost");
        }
        let mut written = written.into_iter();
        saved.retain(|_| written.next() == Some(true));
        ended = run.try_wait().unwrap();
    }
    let ran = end(run);
    assert_eq!(ran.code, 0, "{ran:?}");
    let left = saved.len() as u64;
    assert!(left > 0 && left < NUMBER, "{left}");
    assert_eq!((keys.size(), changed(&ran.json())), (left, NUMBER - left));
}

#[test]
fn killed_midway() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 5000);
    keys.fill("deal", 500);
    let server = keys.server("");
    let mut run = start(&server, "cache-clean --over 1h");
    until_it_works(&mut keys, 5500);
    let (code, report) = server.json("cache-clean");
    assert_eq!((code, &report["failure"]["kind"]), (3, &"locked".into()));
    run.kill().unwrap();
    run.wait().unwrap();
    let left = keys.count("cache:*");
    assert!(left > 0 && left < 5000, "{left}");
    let (code, report) = server.json("cache-clean");
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "task.interrupted");
    assert_eq!(changed(&report), left as u64);
    assert_eq!((keys.count("cache:*"), keys.count("deal:*")), (0, 500));
}

/// A run that is asked to stop says what it did; the next one goes on there, unless the server was started anew meanwhile.
#[test]
fn a_run_that_was_stopped_is_gone_on_with() {
    for restarted in [false, true] {
        let mut keys = Keys::start(&[]);
        keys.fill("cache", 20_000);
        let server = keys.server(&rule("cache:*", "always", "unlink"));
        let run = start(&server, "cache-clean --over 10s --json");
        until_it_works(&mut keys, 15_000);
        send(run.id(), Signal::TERM);
        let ran = end(run);
        assert_eq!(ran.code, 143, "{ran:?}");
        let report = ran.json();
        let done = changed(&report);
        assert_eq!(keys.size(), 20_000 - done);
        let summary = report["summary"].as_str().unwrap();
        assert!(summary.contains(&format!("{done} changed")), "{summary}");
        // What has come meanwhile into the part that is behind us is left for the next round.
        if restarted {
            keys.restart();
        }
        keys.fill("cache", 20_000);
        let (_, dry) = server.json("cache-clean --dry-run");
        let (code, report) = server.json("cache-clean");
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(changed(&dry), changed(&report));
        let left = keys.count("cache:*");
        if restarted {
            assert_eq!(
                left, 0,
                "a new order of keys is gone through from the beginning"
            );
        } else {
            finding(&report, "cache.resumed");
            assert!(left > 1000, "{left}");
            let rule = &report["data"]["rules"][0];
            assert_eq!(
                (&rule["complete"], &rule["resumed"]),
                (&false.into(), &true.into()),
                "the part before may have been filled anew"
            );
        }
        let (_, report) = server.json("cache-clean");
        // A busy machine may make it slower, which it says.
        let resumed = report["findings"].to_string().contains("cache.resumed");
        assert!(!resumed, "{report:#}");
        assert_eq!(keys.count("cache:*"), 0);
        assert_eq!(changed(&report), left as u64);
        assert_eq!(report["data"]["rules"][0]["complete"], true);
    }
}

/// The server becomes somebody's replica in the middle.
#[test]
fn a_server_that_becomes_read_only() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 5000);
    let server = keys.server("");
    let run = start(&server, "cache-clean --over 1h --json");
    until_it_works(&mut keys, 5000);
    let nobody = crate::support::services::free_port().to_string();
    keys.ask::<()>(&["REPLICAOF", "127.0.0.1", &nobody]);
    let ran = end(run);
    assert_eq!(ran.code, 2, "{ran:?}");
    let report = ran.json();
    assert_eq!(finding(&report, "task.failed")["severity"], "high");
    let summary = report["summary"].as_str().unwrap();
    let done = changed(&report);
    assert_eq!(keys.size(), 5000 - done);
    assert!(
        done > 0 && summary.contains("read-only") && summary.contains(&format!("{done} changed")),
        "{summary}"
    );
    let unlinked = &report["actions"][1];
    assert!(
        unlinked["reason"]
            .as_str()
            .unwrap()
            .contains(&done.to_string()),
        "{report:#}"
    );
    let (code, report) = server.json("cache-clean");
    assert_eq!(
        (code, &report["failure"]["kind"]),
        (3, &"refused".into()),
        "{report:#}"
    );
    keys.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    server.run("cache-clean").expect(0);
    assert_eq!(keys.size(), 0);
}

/// Looking changes nothing, on a replica too.
#[test]
fn a_replica_is_looked_at() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 500);
    let nobody = crate::support::services::free_port().to_string();
    keys.ask::<()>(&["REPLICAOF", "127.0.0.1", &nobody]);
    let server = keys.server("");
    let (code, report) = server.json("cache-clean --report");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["databases"][0]["keys"], 500);
    let (code, report) = server.json("cache-clean --dry-run");
    assert_eq!((code, changed(&report)), (0, 500), "{report:#}");
    let replica = finding(&report, "cache.replica");
    assert_eq!(replica["subject"], format!("127.0.0.1:{}", keys.port));
    assert_eq!(server.json("cache-clean").0, 3);
    assert_eq!(keys.size(), 500);
}

#[test]
fn a_server_that_is_loading() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 5000);
    keys.ask::<()>(&["SAVE"]);
    let dump = keys.folder.path().join("dump.rdb");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(dump, folder.path().join("dump.rdb")).unwrap();
    let peer = crate::support::services::redis(
        folder.path(),
        &["--key-load-delay 10000 --loading-process-events-interval-bytes 1024"],
    );
    let (code, report) = at(peer.port, "").json("cache-clean");
    assert_eq!(code, 3, "{report:#}");
    assert!(
        report["summary"].as_str().unwrap().contains("loading"),
        "{report:#}"
    );
}

/// A full Redis refuses writes, and that is when it has to be cleaned; one that cannot save refuses removals too.
#[test]
fn a_server_that_is_full_and_one_that_cannot_save() {
    let mut keys = Keys::start(&[
        "--maxmemory-policy noeviction",
        "--enable-protected-configs yes",
    ]);
    keys.fill("cache", 5000);
    keys.ask::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let refused: redis::RedisResult<()> = redis::cmd("SET")
        .arg("a")
        .arg("b")
        .query(&mut keys.connection);
    assert!(refused.is_err(), "it is full");
    keys.server("").run("cache-clean").expect(1);
    assert_eq!(keys.size(), 0);
    keys.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    keys.fill("cache", 500);
    keys.ask::<()>(&["CONFIG", "SET", "save", "3600 1"]);
    keys.ask::<()>(&["CONFIG", "SET", "dir", "/proc"]);
    let _: redis::RedisResult<()> = redis::cmd("BGSAVE").query(&mut keys.connection);
    while keys
        .ask::<String>(&["INFO", "persistence"])
        .contains("rdb_bgsave_in_progress:1")
    {}
    let (code, report) = keys.server("").json("cache-clean");
    assert_eq!(
        (code, changed(&report), keys.size()),
        (2, 0, 500),
        "{report:#}"
    );
    assert!(
        report["summary"].as_str().unwrap().contains("cannot save"),
        "{report:#}"
    );
    finding(&report, "redis.save");
}

#[test]
fn a_server_that_hangs() {
    breaks(Way::Silent, "does not answer in time");
}

#[test]
fn a_server_that_goes_away() {
    breaks(Way::Closed, "closed the connection");
}

/// At the beginning, and in the middle.
fn breaks(what: Way, word: &str) {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 20_000);
    let server = at(way(keys.port, 0, what), "");
    let (code, report) = server.json("cache-clean");
    assert_eq!(
        (code, &report["failure"]["kind"]),
        (3, &"missing".into()),
        "{report:#}"
    );
    assert_eq!(keys.size(), 20_000);
    let server = at(way(keys.port, 300, what), "");
    let (code, report) = server.json("cache-clean --sample 100");
    assert_eq!(code, 2, "{report:#}");
    let summary = report["summary"].as_str().unwrap();
    assert!(summary.contains(word), "{summary}");
    let (done, unknown) = (
        changed(&report),
        report["data"]["rules"][0]["unknown"].as_u64().unwrap(),
    );
    let gone = 20_000 - keys.size();
    assert!(
        done > 0 && (done..=done + unknown).contains(&gone),
        "{done} {unknown} {gone}"
    );
    keys.server("").run("cache-clean").expect(0);
    assert_eq!(keys.size(), 0);
}

#[test]
fn a_server_that_takes_its_time() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 1000);
    let server = at(way(keys.port, 0, Way::Slow), "");
    let (code, report) = server.json("cache-clean --sample 0");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!((changed(&report), keys.size()), (1000, 0));
    // A way of 30 ms is no work of ours: nothing becomes slower for it.
    assert!(
        report["data"]["pings"]["median_ms"].as_f64().unwrap() >= 30.0,
        "{report:#}"
    );
}

/// Others wait: then we take smaller steps.
#[test]
fn others_that_wait_make_it_slower() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 30_000);
    let server = keys.server("");
    let run = start(&server, "cache-clean --over 2s --max-latency 10ms --json");
    until_it_works(&mut keys, 30_000);
    for _ in 0..5 {
        keys.ask::<()>(&["DEBUG", "SLEEP", "0.1"]);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let ran = end(run);
    let report = ran.json();
    assert_eq!((ran.code, changed(&report)), (0, 30_000), "{report:#}");
    let slowed = finding(&report, "cache.slowed");
    assert_eq!(
        (&slowed["severity"], slowed["threshold"].as_f64()),
        (&"info".into(), Some(10.0))
    );
    assert!(report["data"]["pings"]["slowed"].as_u64().unwrap() > 0);
}

/// As many keys `cache:…` on each, and a `deal:…` beside each of them.
fn fill_each(servers: &mut [Keys; 3], number: usize) {
    for server in servers {
        let mut set = 0;
        for at in 0.. {
            let key = format!("cache:{at}");
            let other = format!("deal:{{{key}}}");
            // A key that is another server's is refused.
            let mut pipeline = Pipeline::new();
            pipeline
                .cmd("SET")
                .arg(&key)
                .arg("x")
                .cmd("SET")
                .arg(&other)
                .arg("x");
            if pipeline.query::<()>(&mut server.connection).is_ok() {
                set += 1;
                if set == number {
                    break;
                }
            }
        }
    }
}

/// Each primary of a cluster is gone through; where one falls out, the others are finished.
#[test]
fn a_cluster_of_three() {
    let mut servers = cluster();
    fill_each(&mut servers, 300);
    let port = servers[1].port;
    let lines = [
        rule("cache:*", "always", "unlink"),
        rule("deal:*", "no-ttl", "expire:1h"),
    ]
    .concat();
    let server = at(port, &lines);
    let (_, dry) = server.json("cache-clean --dry-run");
    assert_eq!(
        (changed(&dry), servers[2].count("cache:*")),
        (1800, 300),
        "{dry:#}"
    );
    let (code, report) = server.json("cache-clean");
    assert_eq!((code, changed(&report)), (0, 1800), "{report:#}");
    assert_eq!(report["data"]["servers"].as_array().unwrap().len(), 3);
    for server in &mut servers {
        assert_eq!((server.count("cache:*"), server.count("deal:*")), (0, 300));
        for key in server.ask::<Vec<String>>(&["KEYS", "*"]) {
            assert!(server.ask::<i64>(&["TTL", &key]) > 3500, "{key}");
        }
    }
    let elsewhere = at(
        port,
        &(rule("cache:*", "always", "unlink") + "databases = [1]\n"),
    );
    let (code, report) = elsewhere.json("cache-clean");
    assert_eq!(
        (code, &report["failure"]["kind"]),
        (3, &"config".into()),
        "{report:#}"
    );
    // One takes no writes any more in the middle of the night.
    fill_each(&mut servers, 100);
    servers[0].ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let (code, report) = server.json("cache-clean");
    assert_eq!((code, changed(&report)), (2, 400), "{report:#}");
    let stopped = finding(&report, "cache.stopped");
    assert_eq!(stopped["subject"], format!("127.0.0.1:{}", servers[0].port));
    assert!(
        stopped["message"].as_str().unwrap().contains("replicas"),
        "{stopped:#}"
    );
    let left: Vec<_> = servers
        .iter_mut()
        .map(|server| server.count("cache:*"))
        .collect();
    assert_eq!(left, [100, 0, 0]);
}

/// One that is down before we begin stops nobody either.
#[test]
fn a_cluster_that_lacks_one() {
    let mut servers = cluster();
    fill_each(&mut servers, 100);
    for server in &mut servers {
        server.ask::<()>(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    servers[2].stop();
    let gone = format!("127.0.0.1:{}", servers[2].port);
    let server = at(servers[0].port, &rule("cache:*", "always", "unlink"));
    for (line, number) in [
        ("cache-clean --report", None),
        ("cache-clean --dry-run", Some(200)),
        ("cache-clean", Some(200)),
    ] {
        let (code, report) = server.json(line);
        assert_eq!(code, 2, "{line}: {report:#}");
        let stopped = finding(&report, "cache.stopped");
        assert_eq!(stopped["subject"], gone);
        let hint = stopped["hint"].as_str().unwrap();
        assert!(hint.contains("CLUSTER NODES"), "{hint}");
        if let Some(number) = number {
            assert_eq!(changed(&report), number, "{line}: {report:#}");
        }
    }
    let left = servers[..2].iter_mut().map(|one| one.count("cache:*"));
    assert_eq!(left.sum::<usize>(), 0);
}
