//! `audit` from outside: each part well and not well, alone and together, with a baseline, as SARIF, on hostile trees.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::registry::Registry;
use crate::support::{Ran, Server, finding, finding_ids, gzip, sql};

/// Made up, in the form of the real one; in two pieces, so that nobody else's scanner stumbles.
fn access_key() -> String {
    ["AKIA", "Q3ZNWV6TLB5RKX7D"].concat()
}

fn write(server: &Server, path: &str, text: &str) {
    let path = server.root().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn outcome(report: &Value, part: &str) -> String {
    let parts = report["data"]["parts"].as_array().unwrap();
    let found = parts.iter().find(|answer| answer["part"] == part);
    found.unwrap_or_else(|| panic!("no {part}: {report:#}"))["outcome"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The lines of a file in which something was found.
fn lines(report: &Value, file: &str) -> Vec<u64> {
    let found = report["data"]["details"]["secrets"]["found"]
        .as_array()
        .unwrap();
    found
        .iter()
        .filter(|one| one["file"].as_str().unwrap().ends_with(file))
        .map(|one| one["line"].as_u64().unwrap())
        .collect()
}

fn secrets(server: &Server) -> Value {
    server.json("audit --only secrets").1
}

#[test]
fn a_clean_server_is_well_and_quiet() {
    let server = Server::new();
    write(
        &server,
        "src/app.js",
        "const password = process.env.DB_PASSWORD;\n",
    );
    fs::set_permissions(server.database(), fs::Permissions::from_mode(0o640)).unwrap();
    let (code, report) = server.json("audit --only secrets,permissions,certs");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(outcome(&report, "secrets"), "well");
    assert_eq!(outcome(&report, "permissions"), "well");
    assert_eq!(outcome(&report, "certs"), "nothing");
    assert_eq!(server.run("audit --only secrets --quiet").expect(0).out, "");
    // The one thing that was asked for is not there.
    for part in ["npm", "certs", "access-log", "ids"] {
        assert_eq!(server.json(&format!("audit --only {part}")).0, 3, "{part}");
    }
    server.run("audit --only nonsense").expect(3);
}

#[test]
fn secrets_are_found_and_never_shown() {
    let server = Server::new();
    let key = access_key();
    write(
        &server,
        "config/aws.js",
        &format!("module.exports = {{\n  äd: '{key}',\n}};\n"),
    );
    write(
        &server,
        ".env",
        "NODE_ENV=production\nDB_PASSWORD=correct-horse-7\n",
    );
    let (code, report) = server.json("audit --only secrets");
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(lines(&report, "aws.js"), [2]);
    assert_eq!(lines(&report, ".env"), [2]);
    for format in ["human -v", "json", "sarif", "nagios", "prometheus"] {
        let ran = server.run(&format!("audit --only secrets --format {format}"));
        let all = ran.out + &ran.err;
        assert!(
            !all.contains(&key[..6]) && !all.contains("horse"),
            "{format}: {all}"
        );
    }
    let found = report["findings"].as_array().unwrap();
    let found = found
        .iter()
        .find(|one| one["location"]["line"] == 2 && one["severity"] == "high");
    let found = found.unwrap();
    assert!(
        found["message"].as_str().unwrap().contains("(AKIA…)"),
        "{found:#}"
    );
    // In characters, as the report and SARIF's columnKind have it: the ä is one.
    assert_eq!(found["location"]["column"], 8);
}

#[test]
fn a_key_beside_its_certificate_is_where_it_belongs() {
    let server = Server::new();
    let key = |kind: &str| {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n".repeat(20);
        format!("-----BEGIN {kind}PRIVATE KEY-----\n{body}-----END {kind}PRIVATE KEY-----\n")
    };
    write(&server, "certs/key.pem", &key(""));
    let (code, report) = server.json("audit --only secrets");
    assert_eq!((code, finding_ids(&report, "")), (0, vec![]), "{report:#}");
    let note = report["data"]["parts"][0]["note"].as_str().unwrap();
    assert!(
        note.ends_with("1 private key beside its certificate, where it belongs"),
        "{note}"
    );
    write(&server, "src/key.pem", &key("RSA "));
    let (code, report) = server.json("audit --only secrets");
    assert_eq!((code, finding_ids(&report, "").len()), (2, 1), "{report:#}");
}

/// What stands in real files, and what only looks like it: `+` before a line that must be found, `-` before one that must not.
const CORPUS: [(&str, &str); 22] = [
    (
        ".env",
        "-NODE_ENV=production\n+DB_PASSWORD=hunter2x\n+export SECRET_KEY=9f8a7c6d5e4b3a2910\n-API_KEY=${API_KEY}\n-PASSWORD=\n-PASS=changeme\n-TOKEN_URL=https://x.test/token\n",
    ),
    (
        "src/db.js",
        "+  password: 's3cr3tPw',\n+const url = 'postgres://app:Xk29fPq@db.internal/app';\n-  password: process.env.PW,\n-const url = 'postgres://user:password@localhost/app';\n-  password: 'password',\n-const passwordField = 'input-password';\n-  token: req.headers.authorization,\n-if (password === 'x1y2z3') {}\n-  password: `${user}x`,\n",
    ),
    (
        "src/login.py",
        "+client.login(username='bob', password='secret')\n+PASSWORD = \"tr0ub4dor\"\n-password = getpass()\n-password = self.cleaned_data['password']\n-PASSWORD_RESET_TIMEOUT = '86400s'\n-labels = {'password': 'Password'}\n-raise ValueError('password: too short')\n",
    ),
    (
        "conf/app.yml",
        "+  password: hunter2x\n-  password: \"{{ vault_password }}\"\n-  password: ${DB_PASSWORD}\n-  secretName: app-tls\n-  password: !vault |\n+  api_key: 7d1f3a9c5e8b2460aa17\n",
    ),
    (
        "src/Main.java",
        "+        ds.setPassword(\"storepwd\");\n+    static final String SECRET = \"s3cr3t99\";\n-        ds.setPassword(config.getPassword());\n-    static final String PASSWORD = \"spring.datasource.password\";\n-    String hash = \"5f4dcc3b5aa765d61d8327deb882cf99\";\n",
    ),
    (
        "web.config",
        "+<add name=\"Db\" connectionString=\"Server=db;User Id=sa;Password=Pass@word1;\" />\n+<password>hunter2x</password>\n-<password></password>\n-<password>${db.password}</password>\n",
    ),
    (
        "deploy.sh",
        "+curl -u deploy:Fh38sKq2 https://x.test/\n+export PGPASSWORD=hunter2x\n+mysqldump --password=hunter2x app\n-export PGPASSWORD=$(cat /run/pw)\n-read -s password\n-echo \"password: $password\"\n",
    ),
    (
        "src/http.js",
        "+headers: { Authorization: 'Basic YWRtaW46aHVudGVyMg==' }\n-headers: { Authorization: 'Basic ' + token }\n-// Basic correctness tests\n+headers: { authorization: 'Bearer 8f3kd02jf93kd84hfk20dk48' }\n",
    ),
    (
        "locales/de.json",
        "-  \"password\": \"Kennwort1\",\n-  \"secret\": \"geheim12\",\n",
    ),
    (
        "src/names.js",
        "-const ACCESS_TOKEN = 'access_token';\n-const KEY = 'user:password';\n-autocomplete='new-password'\n-const token = 'csrf_token';\n-tokens = ['user', 'password', 'email'];\n-const publicKey = 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE';\n-const primaryKey = 'a1b2c3d4e5f6a7b8';\n-password_hash = '$2b$12$abcdefghijklmnopqrstuv'\n",
    ),
    (
        "package.json",
        "-    \"minipass\": \"^7.1.2\",\n-    \"pgpass\": \"1.0.5\"\n-    \"integrity\": \"sha512-W7s+uC5bikET2twEFg7B1fY0d2E3\"\n",
    ),
    (
        "README.md",
        "+    app --password hunter2x\n-Set the password: your own one.\n-    app --password <password>\n-    DB_PASSWORD=your_password\n",
    ),
    (
        "php.php",
        "+define('DB_PASSWORD', 'wpPass99');\n-define('DB_PASSWORD', getenv('DB_PASSWORD'));\n+$cfg['Servers'][1]['password'] = 'pmapass';\n",
    ),
    (
        "Makefile",
        "+SECRET = testing4711\n-ask_password: ask_password.c\n-TOKEN = $(shell cat token)\n-PASSWORD ?=\n",
    ),
    (
        "tests/settings.py",
        "+SECRET_KEY = 'fake_tests_secret_key'\n+SHARED_SECRET = 'verysecretkey'\n-SECRET_KEY = 'webhook_secret'\n-SECRET_KEY = get_secret('app')\n+encoded = make_password('letmein', hasher='bcrypt')\n-encoded = make_password(raw, hasher='bcrypt')\n+user['password'] = 'f\u{e4}kepass2'\n-labels['password'] = 'l\u{f6}senord'\n+admin.password = 'testPass'\n-form.password = 'resetPassword'\n",
    ),
    (
        "users.yaml",
        "+jane: { password: letmein, roles: [admin] }\n-jane: { password: \"%{control:pw}\", roles: [admin] }\n-jane: { password: !vault x, roles: [admin] }\n-jane: { password: %env(PW)%, roles: [admin] }\n",
    ),
    (
        "docs/api.rst",
        "+    X-Auth-Token: 4be1c0de-77aa-4b3c-91d4-0f7e52c8ab16\n-    X-Auth-Token: your-token\n-    Password: required\n",
    ),
    (
        "src/short.js",
        "+const apiToken = '7fk29xq0';\n-const token = 'prime256v1';\n-const sessionToken = 'session01';\n",
    ),
    (
        "tests/users.go",
        "+users := []*User{{Username: \"ivan\", Password: \"password\"}}\n+check(User{Username: \"root\", Password: \"123\"})\n-form := Field{Name: \"password\", Label: \"password\"}\n+nc := connect(\"nats://ivan:secret@127.0.0.1:4222\")\n-nc := connect(\"nats://username:secret@127.0.0.1:4222\")\n-const ResetPassword = \"00299570-246d-11d0-a768-00aa006e0529\"\n+password: \"pa$$worD\",\n",
    ),
    (
        "directory.ldif",
        "+userPassword: tsaerwol\n-secretary: cn=somebody\n-pwdMustChange: FALSE\n",
    ),
    (
        "src/words.py",
        "+    'password': 'battery staple',\n-    'password': 'enter your password',\n-has_password = 'x9k2m4'\n-form.setTokenSalt('patrol')\n-url_password = 'admin/realms/{name}/reset1'\n-password = '{$ETCD.PASSWORD}'\n-env.MYSQLPASS = \"$mysql_pass1$\"\n",
    ),
    (
        "ignored.js",
        "-const password = 'hunter2x'; // empire-maint:allow\n-const password = 'hunter2x'; // gitleaks:allow\n",
    ),
];

#[test]
fn real_forms_are_found_and_look_alikes_are_not() {
    let server = Server::empty();
    let mut wanted = Vec::new();
    for (file, text) in CORPUS {
        let plain: Vec<_> = text.lines().map(|line| &line[1..]).collect();
        write(&server, file, &(plain.join("\n") + "\n"));
        for (number, line) in (1u64..).zip(text.lines()) {
            if line.starts_with('+') {
                wanted.push((file, number));
            }
        }
    }
    let report = secrets(&server);
    let mut found = Vec::new();
    for (file, _) in CORPUS {
        found.extend(
            lines(&report, &format!("root/{file}"))
                .into_iter()
                .map(|line| (file, line)),
        );
    }
    assert_eq!(found, wanted);
}

#[test]
fn a_private_key_is_one_and_a_public_one_is_none() {
    let server = Server::empty();
    let key = server.root().join("data/tls.key");
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
        ])
        .arg(&key)
        .output();
    assert!(made.unwrap().status.success());
    let public = Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(&key)
        .output()
        .unwrap();
    write(
        &server,
        "data/tls.pub",
        &String::from_utf8(public.stdout).unwrap(),
    );
    let text = fs::read_to_string(&key).unwrap();
    write(&server, "src/key.js", &format!("const key = {text:?};\n"));
    let report = secrets(&server);
    assert_eq!(lines(&report, "tls.key"), [1]);
    assert_eq!(lines(&report, "key.js"), [1]);
    assert!(lines(&report, "tls.pub").is_empty());
    assert!(
        report["findings"][0]["message"]
            .as_str()
            .unwrap()
            .contains("a private key")
    );
}

/// Only SQLite opens a configured database: the locks of this very process would be gone otherwise, and the file may be large.
#[test]
fn databases_packages_and_what_is_left_out_are_never_opened() {
    let server = Server::new().config("[audit]\nexclude = [\"old\"]\ngitignore = true\n");
    let held = rusqlite::Connection::open(server.database()).unwrap();
    held.execute_batch("PRAGMA wal_autocheckpoint=0; CREATE TABLE t (x); INSERT INTO t VALUES ('password=\"hunter2x\"')").unwrap();
    let secret = "const password = 'hunter2x';\n";
    for path in [
        "node_modules/a/index.js",
        ".git/config",
        "old/a.js",
        "ignored/a.js",
        "kept/a.js",
        "ignored.log",
    ] {
        write(&server, path, secret);
    }
    write(&server, ".gitignore", "ignored/\n*.log\n");
    write(&server, "kept/.gitignore", "!a.js\n");
    let trace = server.path().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", "trace=open,openat", "-o"])
        .arg(&trace);
    let plain = server.command(["audit", "--only", "secrets", "--json", "--dry-run"]);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .arg(plain.get_program())
        .args(plain.get_args());
    let ran = crate::support::Ran::of(&mut command);
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let found = report["data"]["details"]["secrets"]["found"]
        .as_array()
        .unwrap();
    assert_eq!(found.len(), 1, "{report:#}");
    assert!(found[0]["file"].as_str().unwrap().ends_with("kept/a.js"));
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains("kept/a.js\""), "{trace}");
    for never in ["data/app.db", "node_modules/a", "old/a.js"] {
        assert!(!trace.contains(never), "{never}");
    }
}

#[test]
fn pipes_devices_loops_and_changing_files_stop_nothing() {
    let server = Server::empty();
    let root = server.root();
    write(&server, "a.js", "const password = 'hunter2x';\n");
    write(&server, "z.js", "const password = 'hunter3x';\n");
    let made = Command::new("mkfifo")
        .arg(root.join("b.js"))
        .arg(root.join(".gitignore"))
        .status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink(".", root.join("loop")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.join("zero.js")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("gone.js")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket.js")).unwrap();
    let _ = Command::new("mknod")
        .arg(root.join("device.js"))
        .args(["c", "1", "5"])
        .output();
    write(&server, "binary.js", "\0password = 'hunter4x'\n");
    write(
        &server,
        "minified.js",
        &format!(
            "{}var o={{password:\"hunter5x\"}};{}",
            "a=1;".repeat(200_000),
            "b=2;".repeat(200_000)
        ),
    );
    let utf16: Vec<u8> = "\u{feff}DB_PASSWORD=hunter6x\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(root.join("windows.env"), utf16).unwrap();
    fs::write(
        root.join("latin.env"),
        b"# gr\xfc\xdfe\nDB_PASSWORD=hunter7x\n",
    )
    .unwrap();
    let growing = root.join("growing.log");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopped, file) = (stop.clone(), growing.clone());
    let writer = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            fs::write(&file, "x\n".repeat(1000)).unwrap();
            let _ = fs::remove_file(&file);
        }
    });
    let server = server.config("[audit]\ngitignore = true\n");
    let (code, report) = server.json("audit --only secrets --timeout 60s");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(code, 1, "{report:#}");
    for file in ["a.js", "z.js", "minified.js", "windows.env", "latin.env"] {
        assert_eq!(lines(&report, file).len(), 1, "{file}: {report:#}");
    }
    assert!(lines(&report, "binary.js").is_empty());
    let detail = &report["data"]["details"]["secrets"];
    assert!(detail["special_files"].as_u64().unwrap() >= 6, "{detail:#}");
    assert_eq!(detail["binary_files"], 1);
}

#[test]
fn what_may_not_be_read_is_told() {
    let server = Server::empty();
    write(&server, "open.js", "const password = 'hunter2x';\n");
    write(&server, "closed/a.js", "const password = 'hunter2x';\n");
    if !server.give_to(23_456) {
        return;
    }
    fs::set_permissions(
        server.root().join("closed"),
        fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    let ran = crate::support::Ran::of(
        &mut server.command_as(23_456, ["audit", "--only", "secrets", "--json"]),
    );
    let report = ran.json();
    assert_eq!(lines(&report, "open.js"), [1], "{report:#}");
    let told = finding(&report, "secrets.unreadable");
    assert!(
        told["message"].as_str().unwrap().contains("closed"),
        "{told:#}"
    );
}

/// A name that is no text panics in whoever takes it for one.
#[test]
fn a_file_whose_name_is_no_text_is_found_like_any_other() {
    use std::os::unix::ffi::OsStrExt as _;
    let server = Server::empty();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.js");
    fs::write(server.root().join(name), "const password = 'hunter2x';\n").unwrap();
    let report = secrets(&server);
    let found = finding(&report, "secrets.found");
    assert!(
        found["subject"]
            .as_str()
            .unwrap()
            .contains("caf\u{fffd}.js"),
        "{found:#}"
    );
    let listed = &report["data"]["details"]["secrets"]["found"][0]["file"];
    assert!(
        listed.as_str().unwrap().ends_with("caf\u{fffd}.js"),
        "{listed}"
    );
}

#[test]
fn what_is_too_large_to_be_looked_into_is_told() {
    let server = Server::empty();
    let file = fs::File::create(server.root().join("export.txt")).unwrap();
    file.set_len(65 << 20).unwrap();
    let report = secrets(&server);
    let note = report["data"]["parts"][0]["note"].as_str().unwrap();
    assert!(
        note.ends_with("1 file over 64 MiB not looked into"),
        "{note}"
    );
}

#[test]
fn a_teams_own_rules_are_used_as_gitleaks_would() {
    let rules = r#"
[[rules]]
id = "badge"
description = "a badge"
regex = '''badge[_-]?id\s*[=:]\s*["']([a-z0-9]{8,20})["']'''
keywords = ["badge"]
entropy = 2.5
[[rules.allowlists]]
stopwords = ["sample"]
[[rules]]
id = "dump"
description = "a dump"
path = '''\.dump$'''
[[allowlists]]
paths = ['''^vendor/''']
"#;
    let server = Server::empty().config("[audit]\nrules = \"team.toml\"\n");
    write(&server, "team.toml", rules);
    write(
        &server,
        "a.js",
        "badge_id = 'q7x2k9w4'\nbadge_id = 'aaaaaaaa'\nbadge_id = 'sample99x1'\npassword = 'hunter2x'\n",
    );
    write(&server, "vendor/a.js", "badge_id = 'q7x2k9w4'\n");
    write(&server, "old.dump", "x\n");
    let report = secrets(&server);
    assert_eq!(lines(&report, "root/a.js"), [1], "{report:#}");
    assert_eq!(lines(&report, "old.dump"), [1]);
    assert_eq!(finding_ids(&report, "").len(), 2, "{report:#}");
    // With the built-in ones behind them.
    write(
        &server,
        "team.toml",
        &format!("[extend]\nuseDefault = true\n{rules}"),
    );
    assert_eq!(lines(&secrets(&server), "root/a.js"), [1, 4]);
    for wrong in ["[[rules]]\nid = \"x\"\nregex = \"(\"\n", "nonsense", ""] {
        write(&server, "team.toml", wrong);
        let (code, report) = server.json("audit --only secrets");
        assert_eq!(code, 3, "{wrong}");
        let message = report["failure"]["message"].as_str().unwrap();
        assert!(message.contains("team.toml"), "{message}");
    }
}

#[test]
fn what_is_accepted_is_no_news_until_its_day() {
    let server = Server::empty().config("[audit]\nbaseline = \"accepted.toml\"\n");
    write(&server, "a.js", "const password = 'hunter2x';\n");
    write(&server, "accepted.toml", "");
    let report = secrets(&server);
    let subject = finding(&report, "secrets.found")["subject"]
        .as_str()
        .unwrap()
        .to_owned();
    let entry = |until: &str| {
        format!(
            "[[accept]]\nid = \"secrets.found\"\nsubject = {subject:?}\nwho = \"jo\"\nwhy = \"opens nothing\"\nuntil = \"{until}\"\n"
        )
    };
    write(&server, "accepted.toml", &entry("2030-01-31"));
    let at = |day: &str| server.json(&format!("audit --only secrets --now {day}T12:00:00Z"));
    let (code, report) = at("2030-01-31");
    assert_eq!(code, 0, "{report:#}");
    let found = finding(&report, "secrets.found");
    assert_eq!(found["severity"], "info");
    assert!(
        found["message"]
            .as_str()
            .unwrap()
            .contains("accepted by jo until 2030-01-31: opens nothing")
    );
    assert_eq!(report["data"]["accepted"], 1);
    let line = "audit --only secrets --format sarif --now 2030-01-31T12:00:00Z";
    let log: Value = serde_json::from_str(&server.run(line).expect(0).out).unwrap();
    let result = &log["runs"][0]["results"][0];
    assert_eq!(
        result["suppressions"],
        json!([{"kind": "external", "status": "accepted", "justification": "accepted by jo until 2030-01-31: opens nothing"}])
    );
    let (code, report) = at("2030-02-01");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(finding(&report, "baseline.expired")["severity"], "low");
    // The secret moves within its line's file: the same place. Another line: another place.
    write(&server, "a.js", "\n\nconst password = 'hunter2x';\n");
    assert_eq!(at("2030-01-31").0, 0);
    write(&server, "a.js", "const adminPassword = 'hunter2x';\n");
    assert_eq!(at("2030-01-31").0, 1);
    for (wrong, said) in [
        ("until", "unknown field"),
        (&*entry("soon"), "no day"),
        (&*entry("2030-01-31").replace("jo", " "), "who and why"),
        (&*entry("2030-01-31").replace("who = \"jo\"\n", ""), "who"),
    ] {
        let wrong = if wrong == "until" {
            "[[accept]]\nnonsense = 1\n"
        } else {
            wrong
        };
        write(&server, "accepted.toml", wrong);
        let (code, report) = at("2030-01-01");
        assert_eq!(code, 3, "{wrong}");
        let message = report["failure"].to_string();
        assert!(message.contains(said), "{said}: {message}");
    }
}

#[test]
fn sarif_is_for_audits_and_is_one_log() {
    let server = Server::empty();
    write(
        &server,
        "my app/a.js",
        "// x\nconst password = 'hunter2x';\n",
    );
    let ran = server
        .run("audit --only secrets,certs --format sarif")
        .expect(1);
    let log: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let result = results
        .iter()
        .find(|result| result["ruleId"] == "secrets.found")
        .unwrap();
    let place = &result["locations"][0]["physicalLocation"];
    assert!(
        place["artifactLocation"]["uri"]
            .as_str()
            .unwrap()
            .ends_with("/root/my%20app/a.js")
    );
    assert_eq!(place["region"], json!({"startLine": 2, "startColumn": 19}));
    assert_eq!(result["level"], "warning");
    for result in results {
        let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][at]["id"], result["ruleId"]);
    }
    // In a test it is less urgent, wherever the tree lies.
    write(
        &server,
        "my app/test/b.js",
        "const password = 'hunter3x';\n",
    );
    let report = secrets(&server);
    let severities: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["severity"])
        .collect();
    assert_eq!(severities, ["medium", "low"], "{report:#}");
    // A failed run is one log too; other commands have no such output.
    let ran = server.run("audit --only certs --format sarif").expect(3);
    let log: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        log["runs"][0]["invocations"][0]["executionSuccessful"],
        false
    );
    for line in [
        "health --format sarif",
        "config show --format sarif",
        "backup list --format sarif",
    ] {
        let ran = server.run(line).expect(3);
        assert!(ran.err.contains("no output in that format"), "{ran:?}");
    }
}

const NOW: &str = "2026-11-25T12:00:00Z";

fn request(address: &str, time: &str, path: &str, status: u16, size: u32) -> String {
    format!(
        "{address} - - [{time} +0000] \"GET {path} HTTP/1.1\" {status} {size} \"-\" \"curl/401.403\"\n"
    )
}

/// §2.2: `grep "401\|403\|500"` counts byte counts and paths; the status field says something else.
#[test]
fn the_status_counts_and_nothing_else() {
    let server = Server::empty();
    let mut log = String::new();
    for number in 0..1000 {
        log += &request(
            "10.0.0.1",
            "25/Nov/2026:10:00:00",
            &format!("/item/{number}"),
            200,
            40_100 + number,
        );
    }
    log += &request("10.0.0.2", "25/Nov/2026:10:00:01", "/a?code=500", 403, 5);
    log += &request("10.0.0.2", "25/Nov/2026:10:00:02", "/a", 500, 5);
    write(&server, "logs/access.log", &log);
    let (code, report) = server.json(&format!("audit --only access-log --now {NOW}"));
    assert_eq!(code, 0, "{report:#}");
    let detail = &report["data"]["details"]["access-log"];
    assert_eq!(detail["statuses"], json!({"200": 1000, "403": 1, "500": 1}));
    assert_eq!(detail["addresses"]["top"][0]["address"], "10.0.0.1");
    assert_eq!(detail["addresses"]["counts_too_low_by_at_most"], 0);
    let endpoint = detail["endpoints"]["top"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["path"] == "/a")
        .unwrap();
    assert_eq!(
        (&endpoint["requests"], &endpoint["errors"]),
        (&json!(2), &json!(1))
    );
    let grep = log
        .lines()
        .filter(|line| ["401", "403", "500"].iter().any(|word| line.contains(word)))
        .count();
    assert_eq!(grep, 1002, "what the snippet would count");
}

#[test]
fn bursts_scans_and_failed_logins_of_the_week_are_findings() {
    let server = Server::empty();
    let mut log = String::new();
    for second in 0..60 {
        log += &request(
            "203.0.113.9",
            &format!("24/Nov/2026:03:00:{second:02}"),
            "/api/login",
            401,
            5,
        );
        log += &request(
            "203.0.113.9",
            &format!("24/Nov/2026:03:00:{second:02}"),
            "/api/x",
            403,
            5,
        );
    }
    log += &request("198.51.100.7", "23/Nov/2026:01:00:00", "/.env", 200, 500);
    log += &request(
        "198.51.100.7",
        "23/Nov/2026:01:00:00",
        "/wp-login.php",
        404,
        5,
    );
    log += &request(
        "198.51.100.7",
        "01/Nov/2026:01:00:00",
        "/.git/config",
        200,
        5,
    );
    log += "\x1b[2J\u{202e}garbage\nTLS \x16\x03\n";
    log += &format!("{}\n", "x".repeat(100_000));
    write(&server, "logs/access.log", &log);
    let rotated: String = (0..300)
        .map(|number| {
            request(
                "10.1.1.1",
                "22/Nov/2026:01:00:00",
                "/old",
                if number % 10 == 0 { 502 } else { 200 },
                5,
            )
        })
        .collect();
    crate::support::gzip(
        rotated.as_bytes(),
        &server.root().join("logs/access.log.2.gz"),
    );
    let (code, report) = server.json(&format!("audit --only access-log --now {NOW}"));
    assert_eq!(code, 1, "{report:#}");
    let denied = finding(&report, "access.denied");
    assert_eq!(denied["value"], 120.0, "{denied:#}");
    assert!(
        denied["message"]
            .as_str()
            .unwrap()
            .starts_with("203.0.113.9 got 120"),
        "{denied:#}"
    );
    assert_eq!(finding(&report, "access.logins")["value"], 60.0);
    assert_eq!(finding(&report, "access.exposed")["subject"], "/.env");
    assert!(
        finding(&report, "access.probes")["message"]
            .as_str()
            .unwrap()
            .starts_with("2 requests")
    );
    assert_eq!(finding(&report, "access.errors")["severity"], "medium");
    let detail = &report["data"]["details"]["access-log"];
    assert_eq!(detail["statuses"]["502"], 30);
    assert_eq!(detail["requests_of_another_time"], 1);
    assert_eq!(
        (
            &detail["lines_not_understood"],
            &detail["lines_too_long"],
            &detail["lines_hostile"]
        ),
        (&json!(3), &json!(1), &json!(2))
    );
    let shown = server
        .run(&format!("audit --only access-log -v --now {NOW}"))
        .out;
    assert!(
        !shown.contains('\x1b') && !shown.contains('\u{202e}'),
        "{shown:?}"
    );
}

#[test]
fn a_log_of_which_nothing_is_understood_is_a_finding() {
    let server = Server::empty();
    write(&server, "logs/access.log", "one\ntwo\n");
    let (code, report) = server.json("audit --only access-log");
    assert_eq!(code, 1, "{report:#}");
    assert!(
        finding(&report, "log.unparsed")["message"]
            .as_str()
            .unwrap()
            .starts_with("2 of 2 lines")
    );
    for (text, why) in [
        ("", "it is empty"),
        (
            &*request("192.0.2.1", "01/Oct/2020:10:00:00", "/", 200, 5),
            "is older",
        ),
    ] {
        write(&server, "logs/access.log", text);
        let (_, report) = server.json("audit --only access-log");
        let told = finding(&report, "log.stale");
        assert_eq!(told["severity"], "low");
        assert!(told["message"].as_str().unwrap().ends_with(why), "{told:#}");
        assert_eq!(outcome(&report, "access-log"), "found");
    }
    let server = Server::empty().config("[audit]\naccess_log = \"logs/none.log\"\n");
    let (code, report) = server.json("audit --only access-log");
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "log.missing");
}

/// npm ends with 1 for advisories and for a registry that refuses: only one of them is "vulnerable".
#[test]
fn npm_is_clean_vulnerable_or_unknown() {
    let registry = Registry::start();
    let server = Server::empty().config(&format!("[audit]\nregistry = {:?}\n", registry.url));
    let package = json!({"name": "app", "version": "1.0.0", "dependencies": {"outer": "^1.0.0"}});
    let lock = json!({"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
        "": package, "node_modules/left": {"version": "1.0.0"},
        "node_modules/outer": {"version": "1.0.0", "dependencies": {"left": "^1.0.0"}}}});
    write(&server, "package.json", &package.to_string());
    write(&server, "package-lock.json", &lock.to_string());
    let (code, report) = server.json("audit --only npm");
    assert_eq!(
        (code, outcome(&report, "npm")),
        (0, "well".to_owned()),
        "{report:#}"
    );
    registry.warns_of_left("moderate", "1.0.1");
    let (code, report) = server.json("audit --only npm");
    assert_eq!(code, 1, "{report:#}");
    let told = finding(&report, "npm.vulnerable");
    assert_eq!(told["severity"], "medium");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("through outer; a fix is available"),
        "{told:#}"
    );
    registry.warns_of_left("low", "1.0.1");
    assert_eq!(server.json("audit --only npm").0, 0);
    registry.refuses_audits();
    let (code, report) = server.json("audit --only npm");
    assert_eq!(code, 1, "{report:#}");
    finding(&report, "npm.unknown");
}

#[test]
fn failed_ssh_logins_are_counted_and_a_success_after_them_is_told() {
    let server = Server::empty();
    let log = server.root().join("auth.log");
    let mut text = String::from(
        "Nov 25 10:59:00 web sshd[1]: Failed password for invalid user a from 9.9.9.9 from 203.0.113.5 port 1 ssh2\n",
    );
    for second in 0..12 {
        text += &format!(
            "Nov 25 11:00:{second:02} web sshd[1]: Failed password for root from 203.0.113.5 port 1 ssh2\n"
        );
    }
    text +=
        "Nov 25 11:02:00 web sshd[1]: Accepted password for deploy from 203.0.113.5 port 1 ssh2\n";
    text += "Nov 25 11:03:00 web sudo:  deploy : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh\n";
    text += "Nov  1 11:00:00 web sshd[1]: Failed password for root from 192.0.2.1 port 1 ssh2\n";
    fs::write(&log, text).unwrap();
    let server = server.config(&format!("[audit]\nauth_log = {log:?}\n"));
    let (code, report) = server.json(&format!("audit --only auth-log --now {NOW}"));
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(finding(&report, "auth.failures")["value"], 12.0);
    let breach = finding(&report, "auth.breach");
    assert_eq!(
        (&breach["subject"], &breach["severity"]),
        (&json!("203.0.113.5"), &json!("high"))
    );
    assert_eq!(finding(&report, "auth.sudo")["subject"], "deploy");
    assert_eq!(report["data"]["details"]["auth-log"]["failures"], 13);
    fs::remove_file(&log).unwrap();
    let (code, report) = server.json("audit --only auth-log");
    assert_eq!(
        (code, outcome(&report, "auth-log")),
        (1, "unknown".to_owned())
    );
}

/// The week as it really lies there: rotated, what came again at once told once, and tries without a password.
#[test]
fn a_week_of_logins_is_seen_whole() {
    let server = Server::empty();
    let log = server.root().join("auth.log");
    let server = server.config(&format!("[audit]\nauth_log = {log:?}\n"));
    let at = |day: u32, time: &str, message: &str| format!("Nov {day} {time} web {message}\n");
    let old = at(
        20,
        "01:00:00",
        "sshd[1]: Failed password for root from 203.0.113.5 port 1 ssh2",
    ) + &at(
        20,
        "01:00:01",
        "sshd[1]: message repeated 25 times: [ Failed password for root from 203.0.113.5 port 1 ssh2]",
    );
    gzip(old.as_bytes(), &server.root().join("auth.log.2.gz"));
    // Keys only: no "Failed" follows. With passwords one does, and it is the same try.
    let keys = at(
        23,
        "01:00:00",
        "sshd[2]: Invalid user admin from 203.0.113.6 port 9",
    ) + &at(
        23,
        "01:00:01",
        "sshd[2]: Connection closed by invalid user admin 203.0.113.6 port 9 [preauth]",
    ) + &at(
        23,
        "01:00:02",
        "sshd[3]: Invalid user admin from 203.0.113.7 port 9",
    ) + &at(
        23,
        "01:00:03",
        "sshd[3]: Failed password for invalid user admin from 203.0.113.7 port 9 ssh2",
    ) + &at(
        23,
        "01:00:04",
        "sshd[3]: Failed password for invalid user admin from 203.0.113.7 port 9 ssh2",
    );
    fs::write(server.root().join("auth.log.1"), keys).unwrap();
    fs::write(
        &log,
        at(25, "01:00:00", "sudo: pam_unix(sudo:auth): authentication failure; logname=bob uid=7 euid=0 tty=/dev/pts/0 ruser=bob rhost=  user=bob")
            + &at(25, "01:00:09", "sudo:      bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh"),
    )
    .unwrap();
    let line = format!("audit --only auth-log --now {NOW}");
    let (code, report) = server.json(&line);
    assert_eq!(code, 1, "{report:#}");
    let detail = &report["data"]["details"]["auth-log"];
    let of = |address: &str| {
        let all = detail["addresses"].as_array().unwrap();
        all.iter().find(|one| one["address"] == address).unwrap()["failures"].clone()
    };
    assert_eq!(
        [of("203.0.113.5"), of("203.0.113.6"), of("203.0.113.7")],
        [26, 1, 2].map(Value::from),
        "{report:#}"
    );
    assert_eq!(finding(&report, "auth.failures")["value"], 26.0);
    let sudo = finding(&report, "auth.sudo");
    assert_eq!(
        (&sudo["subject"], &sudo["severity"]),
        (&json!("bob"), &json!("low"))
    );
    assert_eq!(sudo["message"], "bob gave sudo a wrong password 3 times");
    let note = report["data"]["parts"][0]["note"].as_str().unwrap();
    assert!(note.ends_with("from 3 sources"), "{note}");
}

#[test]
fn a_log_of_logins_that_says_nothing_is_a_finding() {
    let server = Server::empty();
    let log = server.root().join("auth.log");
    let server = server.config(&format!("[audit]\nauth_log = {log:?}\n"));
    for (text, id) in [
        ("", "log.stale"),
        (
            "Nov  1 11:00:00 web sshd[1]: Server listening on 0.0.0.0 port 22.\n",
            "log.stale",
        ),
        (
            "{\"at\":1,\"message\":\"Failed password\"}\n",
            "log.unparsed",
        ),
    ] {
        fs::write(&log, text).unwrap();
        let (code, report) = server.json(&format!("audit --only auth-log --now {NOW}"));
        assert_eq!(
            (code, finding_ids(&report, "")),
            (1, vec![id.to_owned()]),
            "{text}: {report:#}"
        );
    }
}

/// What a configured path leads to, keys by what they hold, and what somebody has put aside.
#[test]
fn copies_keys_without_an_ending_and_what_links_lead_to_are_found() {
    let server = Server::new();
    for folder in server
        .root()
        .ancestors()
        .take_while(|path| path.starts_with(server.path()))
    {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let elsewhere = server.path().join("elsewhere.db");
    fs::rename(server.database(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, server.database()).unwrap();
    let key =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n";
    let found = [
        ("ssh/id_ed25519", key),
        ("ssh/deploy_rsa.old", key),
        ("store.p12", "x"),
        ("data/app.db.bak", "SQLite format 3"),
        ("rows.sql", "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"),
        ("rows.sql.gz", "x"),
        ("all.dump", "x"),
    ];
    let sound = [
        ("ssh/id_ed25519.pub", "ssh-ed25519 AAAA\n"),
        ("migrations/1.sql", "CREATE TABLE a (b);\n"),
        ("Makefile", "all:\n"),
    ];
    for (path, text) in found.iter().chain(&sound) {
        write(&server, path, text);
        let path = server.root().join(path);
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, report) = server.json("audit --only permissions");
    let mut told: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["id"] == "permissions.readable")
        .map(|one| one["subject"].as_str().unwrap().to_owned())
        .collect();
    told.sort();
    let mut wanted: Vec<_> = found
        .iter()
        .map(|(path, _)| server.root().join(path))
        .chain([elsewhere])
        .map(|path| fs::canonicalize(path).unwrap().display().to_string())
        .collect();
    wanted.sort();
    assert_eq!(told, wanted, "{report:#}");
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_told() {
    let server = Server::new();
    let user = 23_456;
    if !server.give_to(user) {
        return;
    }
    fs::create_dir(server.root().join("closed")).unwrap();
    fs::set_permissions(
        server.root().join("closed"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    let mut command = server.command_as(user, ["audit", "--only", "permissions", "--json"]);
    let report = Ran::of(command.env("STATE_DIRECTORY", server.state())).json();
    let told = finding(&report, "permissions.unreadable");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("1 folder could not"),
        "{told:#}"
    );
    let note = report["data"]["parts"][0]["note"].as_str().unwrap();
    assert!(note.ends_with("1 folder not looked into"), "{note}");
}

#[test]
fn what_could_not_be_looked_at_is_not_well_for_that() {
    let server = Server::new();
    let user = 23_458;
    let closed = server.root().join("closed");
    fs::create_dir(&closed).unwrap();
    let [hidden, mended, gone] =
        ["closed/.env", "mended.env", "gone.env"].map(|name| server.root().join(name));
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for path in [&hidden, &mended, &gone] {
        fs::write(path, "A=1").unwrap();
        mode(path, 0o644);
    }
    server.json("audit --only permissions");
    let open = || {
        let (_, report) = server.json("alerts list");
        let incidents = report["data"]["incidents"].as_array().unwrap().clone();
        let about = |path: &Path| {
            let subject = path.display().to_string();
            incidents.iter().any(|one| one["subject"] == *subject)
        };
        [&hidden, &mended, &gone].map(|path| about(path))
    };
    assert_eq!(open(), [true; 3]);
    if !server.give_to(user) {
        return;
    }
    mode(&closed, 0o700);
    std::os::unix::fs::chown(&closed, Some(0), Some(0)).unwrap();
    mode(&mended, 0o600);
    fs::remove_file(&gone).unwrap();
    let mut command = server.command_as(user, ["audit", "--only", "permissions", "--json"]);
    Ran::of(command.env("STATE_DIRECTORY", server.state())).json();
    assert_eq!(open(), [true, false, false]);
    server.json("audit --only permissions");
    assert_eq!(open(), [true, false, false]);
    mode(&hidden, 0o600);
    server.json("audit --only permissions");
    assert_eq!(open(), [false; 3]);
}

#[test]
fn what_is_too_open_is_told_with_the_command_that_mends_it() {
    let server = Server::new();
    let open = |path: &Path| {
        for folder in path
            .ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(server.path()))
        {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
    };
    write(&server, ".env", "X=1\n");
    write(&server, "bin/tool", "x");
    write(&server, "upload/note", "x");
    for (path, mode) in [
        ("data/app.db", 0o644),
        (".env", 0o640),
        ("bin/tool", 0o4755),
        ("upload/note", 0o666),
    ] {
        let path = server.root().join(path);
        open(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let (code, report) = server.json("audit --only permissions");
    assert_eq!(code, 2, "{report:#}");
    let database = server.database().display().to_string();
    let told = finding(&report, "permissions.readable");
    assert_eq!(
        (&told["subject"], &told["severity"]),
        (&json!(database), &json!("high"))
    );
    finding(&report, "permissions.setuid");
    assert_eq!(
        finding(&report, "permissions.writable")["subject"],
        server.root().join("upload/note").display().to_string()
    );
    // Every hint is a command, and together they mend it all.
    for found in report["findings"].as_array().unwrap() {
        let hint = found["hint"].as_str().unwrap();
        assert!(
            Command::new("sh")
                .args(["-c", hint])
                .status()
                .unwrap()
                .success(),
            "{hint}"
        );
    }
    let (code, report) = server.json("audit --only permissions");
    assert_eq!(code, 0, "{report:#}");
    sql(&server.database(), "SELECT 1");
}

#[test]
fn a_database_of_somebody_else_is_told() {
    let server = Server::new();
    if !server.give_to(23_456) {
        return;
    }
    let given = Command::new("chown")
        .arg("23457")
        .arg(server.database())
        .status();
    assert!(given.unwrap().success());
    fs::set_permissions(server.database(), fs::Permissions::from_mode(0o600)).unwrap();
    let (_, report) = server.json("audit --only permissions");
    let told = finding(&report, "permissions.owner");
    assert!(
        told["message"].as_str().unwrap().contains("uid 23457"),
        "{told:#}"
    );
}

#[test]
fn new_and_unexpected_listeners_are_told() {
    let server = Server::empty();
    assert_eq!(
        server.json("audit --only sockets").0,
        0,
        "the first look only learns"
    );
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = format!("0.0.0.0:{port}");
    let (_, report) = server.json("audit --only sockets");
    assert!(
        finding_ids(&report, &address).contains(&"sockets.new".to_owned()),
        "{report:#}"
    );
    let (_, report) = server.json("audit --only sockets");
    assert!(finding_ids(&report, &address).is_empty(), "it is known now");
    let server = server.config("[audit]\nallowed_sockets = [\"1\"]\n");
    let (code, report) = server.json("audit --only sockets");
    assert_eq!(code, 1);
    assert!(
        finding_ids(&report, &address).contains(&"sockets.unexpected".to_owned()),
        "{report:#}"
    );
    let told = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["subject"] == *address)
        .unwrap()
        .clone();
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains(&format!("pid {}", std::process::id())),
        "{told:#}"
    );
}

/// That the next run knows it is no reason to call it over.
#[test]
fn a_new_listener_is_over_when_it_listens_no_more() {
    let server = Server::empty();
    let log = server.path().join("told");
    let server = server.config(&format!(
        "[[alerts.channel]]\nname = \"log\"\nkind = \"command\"\ncommand = [\"tee\", \"-a\", {log:?}]\n[[alerts.route]]\nmin_severity = \"medium\"\nchannels = [\"log\"]\n"
    ));
    server.json("audit --only sockets");
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let address = format!("0.0.0.0:{}", listener.local_addr().unwrap().port());
    let told = |what: &str| {
        let text = fs::read_to_string(&log).unwrap_or_default().to_lowercase();
        text.lines()
            .any(|line| line.contains(&address) && line.contains(what))
    };
    server.json("audit --only sockets");
    assert!(told("listens"));
    server.json("audit --only sockets");
    assert!(!told("resolved"), "it still listens");
    drop(listener);
    server.json("audit --only sockets");
    assert!(told("resolved"));
}

#[test]
fn an_intrusion_test_of_ones_own_is_heard() {
    let server =
        Server::empty().config("[audit]\nids_command = [\"/bin/sh\", \"-c\", \"echo all fine\"]\n");
    assert_eq!(server.json("audit --only ids").0, 0);
    let server = Server::empty()
        .config("[audit]\nids_command = [\"/bin/sh\", \"-c\", \"echo rootkit; exit 1\"]\n");
    let (code, report) = server.json("audit --only ids");
    assert_eq!(code, 2, "{report:#}");
    assert!(
        finding(&report, "ids.alert")["message"]
            .as_str()
            .unwrap()
            .contains("rootkit")
    );
    let server = Server::empty().config("[audit]\nids_command = [\"/no/such\"]\n");
    let (code, report) = server.json("audit --only ids");
    assert_eq!((code, outcome(&report, "ids")), (1, "unknown".to_owned()));
}

/// A dry run looks at the same and leaves nothing behind; a broken section elsewhere is told and stops nothing.
#[test]
fn dry_runs_and_broken_sections() {
    let server = Server::empty().config("[gpu]\nnonsense = 1\n");
    write(&server, "a.js", "const password = 'hunter2x';\n");
    let before = server.fingerprint(&server.root());
    let (code, report) = server.json("audit --only secrets,permissions --dry-run");
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "secrets.found");
    finding(&report, "config.invalid");
    assert_eq!(server.fingerprint(&server.root()), before);
    assert!(!server.state().join("journal.db").exists());
    let server = Server::empty().config("[audit]\nsource = [\".\"]\n");
    let ran = server.run("audit").expect(3);
    assert!(ran.err.contains("source"), "{ran:?}");
}
