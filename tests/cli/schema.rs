//! Every task's output fits the published JSON Schema, also when the task failed, was misused or misconfigured.

use serde_json::Value;

use crate::support::memory::{Memory, NOW};
use crate::support::{Ran, Server, fill};

fn validator(which: &str) -> jsonschema::Validator {
    let ran = Server::empty().run(&format!("schema {which}")).expect(0);
    let schema: Value = serde_json::from_str(&ran.out).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn every_report_fits_its_schema() {
    let validator = validator("report");
    let server = Server::new();
    let broken = Server::empty().raw_config("[backup]\nthreads = \"many\"\n");
    let memory = Memory::new("IDMap2,Flat", "L2", 20, 8);
    memory.idle("id < 3");
    let clean = format!("rag-clean --now {NOW}");
    let lines = [
        (&server, "backup", 0),
        (&server, "backup list", 0),
        (&server, "verify-backup", 0),
        (&server, "optimize-db", 0),
        (&server, "restore app_db --dry-run --force", 0),
        (&server, "restore app_db", 3),
        (&server, "restore nothing", 3),
        (&server, "health --check database,backups,uptime", 0),
        (&server, "health --check uptime", 3),
        (&server, "history --findings", 0),
        (&server, "schedule show", 0),
        (&server, "schedule check", 0),
        (&server, "schedule crontab", 0),
        (&server, "schedule systemd", 0),
        (&server, "runbook list", 0),
        (&server, "runbook show restore", 0),
        (&server, "backup --nonsense", 3),
        (&server, "config show", 0),
        (&server, "config check", 0),
        (&memory.server, &clean, 0),
        (&broken, "backup", 3),
        (&broken, "config check", 3),
    ];
    for (server, line, code) in lines {
        let (found, report) = server.json(line);
        assert_eq!(found, code, "{line}: {report:#}");
        let errors: Vec<_> = validator
            .iter_errors(&report)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{line}: {errors:#?}\n{report:#}");
    }
}

#[test]
fn a_wrong_report_does_not_fit() {
    let validator = validator("report");
    let (_, mut report) = Server::new().json("backup");
    report["data"]["published"][0]["plain_bytes"] = "many".into();
    assert!(!validator.is_valid(&report));
    let (_, mut report) = Server::new().json("history");
    report["status"] = "fine".into();
    assert!(!validator.is_valid(&report));
}

#[test]
fn the_configuration_schema_takes_the_full_file_and_refuses_a_typo() {
    let validator = validator("config");
    let text = Server::empty().run("config init").expect(0).out;
    let value: toml::Value = toml::from_str(&text).unwrap();
    let value = serde_json::to_value(value).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&value)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut typo = value;
    typo["backup"]["thread"] = 1.into();
    assert!(!validator.is_valid(&typo));
}

#[test]
fn json_is_one_object_whatever_is_wrong_with_the_command_line() {
    let server = Server::empty();
    fill(&server.database(), 1);
    for line in [
        "--json",
        "backup --json --nope",
        "nope --json",
        "restore --format json --at x --latest",
    ] {
        let ran: Ran = server.run(line);
        assert_eq!(ran.code, 3, "{line}");
        let report = ran.json();
        assert_eq!(report["status"], "unknown", "{line}");
        assert_eq!(report["failure"]["kind"], "usage", "{line}");
        assert_eq!(report["findings"][0]["id"], "task.failed");
    }
    // What is missing, or does not go together, is named.
    for (line, named) in [
        ("data-clean restore-archive", "not provided: <RULE>"),
        ("query-review --for 3s", "not provided: --profile <COMMAND>"),
        ("restore --at x --latest", "--latest"),
    ] {
        let report = server.run(&format!("{line} --json")).expect(3).json();
        let message = report["failure"]["message"].as_str().unwrap();
        assert!(message.contains(named), "{line}: {message}");
        assert!(!message.ends_with(':'), "{line}: {message}");
    }
}
