//! `cache-clean` on a real Redis: what it reports, what each rule does to which keys, and that a dry run says exactly that.

use std::collections::BTreeSet;

use serde_json::Value;

use empire_maint::redis::Pattern;

use crate::support::keys::{Keys, rule};
use crate::support::{actions, finding, finding_ids};

/// Keys that each rule changed, by pattern.
fn changed(report: &Value) -> Vec<(String, u64)> {
    let rules = report["data"]["rules"].as_array().unwrap();
    rules
        .iter()
        .map(|rule| {
            assert_eq!(rule["complete"], true, "{report:#}");
            let pattern = rule["pattern"].as_str().unwrap().to_owned();
            (pattern, rule["keys"].as_u64().unwrap())
        })
        .collect()
}

fn metric(report: &Value, name: &str) -> f64 {
    let all = report["metrics"].as_array().unwrap();
    let found = all.iter().find(|metric| metric["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:#}"))["value"]
        .as_f64()
        .unwrap()
}

/// The plan's own two rules.
#[test]
fn the_plans_rules() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 3000);
    keys.fill("session", 500);
    keys.fill("deal", 700);
    for number in 0..200 {
        keys.ask::<()>(&["EXPIRE", &format!("session:{number}"), "3600"]);
    }
    let server = keys.server("");
    let (code, dry) = server.json("cache-clean --dry-run");
    assert_eq!(code, 0, "{dry:#}");
    assert_eq!(keys.size(), 4200, "a dry run changes nothing");
    let expected = [("cache:*".to_owned(), 3000), ("session:*".to_owned(), 300)];
    assert_eq!(changed(&dry), expected);
    let (code, real) = server.json("cache-clean");
    assert_eq!(code, 0, "{real:#}");
    assert_eq!(changed(&real), expected);
    let listed = |report: &Value| {
        let all = report["actions"].as_array().unwrap();
        all.iter()
            .map(|one| [&one["kind"], &one["target"], &one["reason"]].map(Value::to_string))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&dry), listed(&real));
    assert!(
        actions(&dry)
            .iter()
            .all(|(.., outcome)| outcome == "planned")
    );
    assert!(actions(&real).iter().all(|(.., outcome)| outcome == "done"));
    assert_eq!(
        (
            keys.count("cache:*"),
            keys.count("session:*"),
            keys.count("deal:*")
        ),
        (0, 200, 700)
    );
    assert_eq!(metric(&real, "cache_changed_keys"), 3000.0);
    let (code, again) = server.json("cache-clean");
    assert_eq!((code, keys.size()), (0, 900));
    assert_eq!(
        changed(&again),
        [("cache:*".to_owned(), 0), ("session:*".to_owned(), 0)]
    );
    let (_, history) = server.json("history --task cache-clean --limit 5");
    let runs = history["data"]["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "there was no journal yet for the dry one");
}

#[test]
fn every_condition_and_action() {
    let mut keys = Keys::start(&[]);
    for number in 0..100 {
        let n = number.to_string();
        keys.ask::<()>(&["SET", &format!("idle:{n}"), "x"]);
        keys.ask::<()>(&[
            "SET",
            &format!("long:{n}"),
            "x",
            "EX",
            if number < 40 { "90000" } else { "60" },
        ]);
        let value = "x".repeat(if number < 30 { 5000 } else { 5 });
        keys.ask::<()>(&["SET", &format!("large:{n}"), &value]);
        keys.ask::<()>(&["SET", &format!("mail:{n}"), "x"]);
        let ttl = if number < 20 { "10" } else { "90000" };
        keys.ask::<()>(&["SET", &format!("code:{n}"), "x", "EX", ttl]);
    }
    while keys.ask::<u64>(&["OBJECT", "IDLETIME", "idle:99"]) < 3 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for number in 0..60 {
        keys.ask::<String>(&["GET", &format!("idle:{number}")]);
    }
    let lines = [
        rule("idle:*", "idle>2s", "unlink"),
        rule("long:*", "ttl>1d", "unlink"),
        rule("large:*", "size>4KiB", "unlink"),
        rule("mail:*", "no-ttl", "expire:1h"),
        rule("code:*", "always", "expire:1h"),
    ]
    .concat();
    let server = keys.server(&lines);
    let (_, dry) = server.json("cache-clean --dry-run");
    let (code, report) = server.json("cache-clean");
    assert_eq!(code, 0, "{report:#}");
    let counts: Vec<_> = changed(&report).into_iter().map(|(_, keys)| keys).collect();
    assert_eq!(counts, [40, 40, 30, 100, 80]);
    assert_eq!(changed(&dry), changed(&report));
    for (pattern, left) in [
        ("idle:*", 60),
        ("long:*", 60),
        ("large:*", 70),
        ("mail:*", 100),
        ("code:*", 100),
    ] {
        assert_eq!(keys.count(pattern), left, "{pattern}");
    }
    let mut ttl = |key: &str| keys.ask::<i64>(&["TTL", key]);
    assert!((3500..=3600).contains(&ttl("mail:0")) && (3500..=3600).contains(&ttl("code:99")));
    assert!(ttl("code:0") <= 10, "no life is made longer");
}

/// A key is the first rule's that holds for it, in a dry run as in a real one.
#[test]
fn rules_that_overlap_count_each_key_once() {
    let mut keys = Keys::start(&[]);
    keys.fill("session:admin", 300);
    keys.fill("session:guest", 400);
    for number in 0..100 {
        keys.ask::<()>(&["EXPIRE", &format!("session:admin:{number}"), "3600"]);
    }
    let lines = [
        rule("session:admin:*", "no-ttl", "expire:1h"),
        rule("session:*", "ttl>30m", "expire:10m"),
        rule("*:guest:*", "always", "unlink"),
    ]
    .concat();
    let server = keys.server(&lines);
    let expected = [
        ("session:admin:*".to_owned(), 200),
        ("session:*".to_owned(), 100),
        ("*:guest:*".to_owned(), 400),
    ];
    for line in ["cache-clean --dry-run", "cache-clean"] {
        let (_, report) = server.json(line);
        assert_eq!(changed(&report), expected, "{line}");
    }
    assert_eq!(keys.size(), 300);
}

/// Whatever bytes a key is made of, and whatever a pattern means, ours is what the server says.
#[test]
fn patterns_are_those_of_the_server() {
    let mut keys = Keys::start(&[]);
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let letters = [
        &b"a"[..],
        b"b",
        b"c",
        b"-",
        b"*",
        b"?",
        b"[",
        b"]",
        b"^",
        b"\\",
        b"\n",
        b"\0",
        b"\xff",
    ];
    let mut all = BTreeSet::new();
    for _ in 0..3000 {
        let length = next(5) + 1;
        let key: Vec<u8> = (0..length)
            .flat_map(|_| letters[next(letters.len())].to_vec())
            .collect();
        redis::cmd("SET")
            .arg(&key)
            .arg("x")
            .query::<()>(&mut keys.connection)
            .unwrap();
        all.insert(key);
    }
    for _ in 0..2000 {
        let length = next(7) + 1;
        let pattern: String = (0..length)
            .map(|_| char::from(b"aabbc--***??[[]]^\\"[next(18)]))
            .collect();
        let found: Vec<Vec<u8>> = redis::cmd("KEYS")
            .arg(&pattern)
            .query(&mut keys.connection)
            .unwrap();
        let found: BTreeSet<_> = found.into_iter().collect();
        let own = Pattern::new(&pattern);
        let ours: BTreeSet<_> = all.iter().filter(|key| own.matches(key)).cloned().collect();
        assert_eq!(ours, found, "{pattern}");
    }
}

#[test]
fn binary_keys_and_special_characters() {
    let mut keys = Keys::start(&[]);
    let names: [&[u8]; 6] = [
        b"cache:\0\xff\r\n",
        b"cache:'\"$(reboot)",
        b"cache:*",
        b"c[a]che:1",
        b"cxche:1",
        b"other:\xff",
    ];
    for name in names {
        redis::cmd("SET")
            .arg(name)
            .arg("x")
            .query::<()>(&mut keys.connection)
            .unwrap();
    }
    let lines = [
        rule("cache:*", "always", "unlink"),
        rule("c\\[a\\]che:*", "always", "unlink"),
    ]
    .concat();
    let (code, report) = keys.server(&lines).json("cache-clean");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(
        changed(&report)
            .iter()
            .map(|(_, keys)| *keys)
            .collect::<Vec<_>>(),
        [3, 1]
    );
    let mut left: Vec<Vec<u8>> = keys.ask(&["KEYS", "*"]);
    left.sort();
    assert_eq!(left, [b"cxche:1".to_vec(), b"other:\xff".to_vec()]);
}

#[test]
fn several_databases() {
    let mut keys = Keys::start(&[]);
    for database in ["0", "2", "5"] {
        keys.ask::<()>(&["SELECT", database]);
        keys.fill("cache", 100);
    }
    let lines = rule("cache:*", "always", "unlink") + "databases = [2, 5]\n";
    let (code, report) = keys.server(&lines).json("cache-clean");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(changed(&report).len(), 2);
    let info: String = keys.ask(&["INFO", "keyspace"]);
    assert!(
        info.contains("db0:keys=100") && !info.contains("db2") && !info.contains("db5"),
        "{info}"
    );
}

#[test]
fn what_takes_the_memory() {
    let mut keys = Keys::start(&["--maxmemory 100mb --maxmemory-policy noeviction"]);
    keys.fill("cache", 2000);
    keys.fill("user", 3000);
    keys.ask::<()>(&["SET", "report:big", &"x".repeat(100_000)]);
    keys.ask::<()>(&["EXPIRE", "user:1", "100"]);
    for _ in 0..150 {
        keys.ask::<Option<String>>(&["GET", "user:1"]);
    }
    for _ in 0..50 {
        keys.ask::<Option<String>>(&["GET", "none"]);
    }
    let server = keys.server("");
    let (code, report) = server.json("cache-clean --report");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(keys.size(), 5001, "a report removes nothing");
    let figures = &report["data"]["servers"][0];
    assert_eq!(figures["limit_bytes"], 100 << 20);
    assert_eq!(figures["hit_percent_before"], 75.0);
    assert_eq!(
        figures["hit_percent_after"],
        Value::Null,
        "nobody but us asked: {figures:#}"
    );
    let contents = &report["data"]["databases"][0];
    assert_eq!(
        (&contents["keys"], &contents["keys_with_ttl"]),
        (&5001.into(), &1.into())
    );
    assert_eq!(
        (&contents["exact"], &contents["sampled"]),
        (&true.into(), &5001.into())
    );
    assert_eq!(contents["largest"][0]["key"], "report:big");
    let user = contents["prefixes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["prefix"] == "user:")
        .unwrap();
    assert_eq!(
        (
            &user["keys"],
            &user["keys_error"],
            &user["keys_without_ttl"]
        ),
        (&3000.into(), &0.into(), &2999.into())
    );
    let endless = finding(&report, "cache.endless");
    assert!(
        endless["subject"].as_str().unwrap().ends_with("/0 user:"),
        "cache: has its rule: {report:#}"
    );
    assert!(
        endless["hint"]
            .as_str()
            .unwrap()
            .contains("pattern = \"user:*\"")
    );
    // A sample says what it does not know.
    let (_, report) = server.json("cache-clean --report --sample 1000");
    let contents = &report["data"]["databases"][0];
    assert_eq!(contents["exact"], false);
    let user = contents["prefixes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["prefix"] == "user:")
        .unwrap();
    let (about, error) = (
        user["keys"].as_f64().unwrap(),
        user["keys_error"].as_f64().unwrap(),
    );
    assert!(
        error > 50.0 && (about - 3000.0).abs() < 3.0 * error,
        "{user:#}"
    );
    // What others looked up meanwhile is the rate afterwards, and ours is not in it.
    let (_, report) = server.json("cache-clean");
    assert_eq!(
        report["data"]["servers"][0]["hit_percent_after"],
        Value::Null,
        "{report:#}"
    );
    keys.ask::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let (code, report) = server.json("cache-clean --report");
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "redis.memory");
}

#[test]
fn a_pattern_without_bounds_needs_yes() {
    let mut keys = Keys::start(&[]);
    keys.fill("any", 50);
    for pattern in ["*", "?*", "[a-z]*"] {
        let server = keys.server(&rule(pattern, "always", "unlink"));
        for line in ["cache-clean", "cache-clean --dry-run"] {
            let (code, report) = server.json(line);
            assert_eq!(
                (code, &report["failure"]["kind"]),
                (3, &"refused".into()),
                "{pattern}"
            );
        }
        let (_, report) = server.json("cache-clean --dry-run --yes");
        assert_eq!(changed(&report)[0].1, 50);
        assert_eq!(keys.size(), 50);
    }
    keys.server(&rule("*", "no-ttl", "unlink"))
        .run("cache-clean --yes")
        .expect(0);
    assert_eq!(keys.size(), 0);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 10);
    for (lines, line, word) in [
        (
            rule("a*", "idle>7", "unlink"),
            "cache-clean",
            "not a duration",
        ),
        (
            rule("a*", "old>7d", "unlink"),
            "cache-clean",
            "no condition",
        ),
        (rule("a*", "always", "delete"), "cache-clean", "no action"),
        (rule("", "always", "unlink"), "cache-clean", "empty"),
        ("ca_file = \"ca.pem\"".to_owned(), "cache-clean", "TLS"),
        (String::new(), "cache-clean --over 3h", "time limit"),
        (
            String::new(),
            "cache-clean --max-latency 0s",
            "--max-latency",
        ),
        (String::new(), "cache-clean --over", "--over"),
        (String::new(), "cache-clean --report --over 1m", "--over"),
    ] {
        let ran = keys.server(&lines).run(line).expect(3);
        assert!(ran.err.contains(word), "{line} {lines}: {}", ran.err);
    }
    assert_eq!(keys.size(), 10);
}

/// With such a policy there are no idle times: the rule that needs them is left out, and the others are done.
#[test]
fn idle_keys_where_nobody_knows_which_they_are() {
    let mut keys = Keys::start(&["--maxmemory-policy allkeys-lfu"]);
    keys.fill("page", 20);
    keys.fill("cache", 30);
    let lines = [
        rule("page:*", "idle>1s", "unlink"),
        rule("cache:*", "always", "unlink"),
    ]
    .concat();
    let server = keys.server(&lines);
    let (code, report) = server.json("cache-clean");
    assert_eq!(
        (code, changed(&report)),
        (1, vec![("cache:*".to_owned(), 30)]),
        "{report:#}"
    );
    let found = finding(&report, "cache.no-idle");
    let subject = format!("127.0.0.1:{}/0 page:*", keys.port);
    assert_eq!(
        (&found["severity"], &found["subject"]),
        (&"medium".into(), &subject.into())
    );
    assert_eq!(keys.size(), 20);
    keys.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let (code, report) = server.json("cache-clean");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (0, Vec::new()),
        "{report:#}"
    );
}

/// The rule that names a database which is not there is named, and the number.
#[test]
fn a_database_that_is_not_there() {
    let mut keys = Keys::start(&[]);
    keys.fill("cache", 10);
    let lines = rule("old:*", "always", "unlink") + "databases = [0, 99]\n";
    let (code, report) = keys.server(&lines).json("cache-clean");
    assert_eq!((code, &report["failure"]["kind"]), (3, &"config".into()));
    let message = report["summary"].as_str().unwrap();
    assert!(
        message.contains("'old:*'") && message.contains("has no database 99"),
        "{message}"
    );
}

/// A server without keys, and one without Redis.
#[test]
fn nothing_there() {
    let keys = Keys::start(&[]);
    let (code, report) = keys.server("").json("cache-clean");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (0, Vec::new()),
        "{report:#}"
    );
    let port = crate::support::services::free_port();
    let (code, report) = crate::support::keys::at(port, "").json("cache-clean");
    assert_eq!((code, &report["failure"]["kind"]), (3, &"missing".into()));
}
