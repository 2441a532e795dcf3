//! `gpu` with a stand-in for NVIDIA's library: what it reports and finds, what each kind of trouble says, and the one change it makes.

use serde_json::{Value, json};

use crate::support::gpus::{Gpus, real_driver};
use crate::support::{Server, actions, finding, finding_ids};

fn device(number: u32) -> String {
    format!("GPU-0000000{number}-aaaa-bbbb-cccc-dddddddddddd")
}

fn failure(report: &Value) -> (&str, &str) {
    let failure = &report["failure"];
    (
        failure["kind"].as_str().unwrap(),
        failure["message"].as_str().unwrap(),
    )
}

#[test]
fn all_is_well() {
    for number in [2, 8] {
        let gpus = Gpus::new(&format!("devices {number}\nall utilization 40\n"));
        let (code, report) = gpus.server.json("gpu");
        assert_eq!(
            (code, finding_ids(&report, "")),
            (0, Vec::new()),
            "{report:#}"
        );
        assert_eq!(report["data"]["driver"], "580.65.06");
        let devices = report["data"]["devices"].as_array().unwrap();
        assert_eq!(devices.len(), number);
        let second = &devices[1];
        for (key, value) in [
            ("uuid", json!(device(1))),
            ("name", json!("Stand-in H100")),
            ("bus", json!("00000000:66:00.0")),
            ("utilization_percent", json!(40)),
            ("temperature", json!(45)),
            ("slowdown_temperature", json!(90)),
            ("power", json!(120.0)),
            ("power_limit", json!(700.0)),
            ("clock", json!(1500)),
            ("memory_clock", json!(2619)),
            ("persistence", json!(true)),
            ("mig", json!(false)),
            ("throttled_by", json!([])),
        ] {
            assert_eq!(second[key], value, "{key}: {second:#}");
        }
        assert_eq!(second["memory"]["total"], 81_920u64 << 20);
        assert_eq!(second["link"]["width"], 16);
        // Retired pages are of older devices; that is said, and is no finding.
        assert_eq!(second["unknown"]["retired pages"], "this device has none");
        let shown = gpus.server.run("gpu").expect(0).out;
        assert!(
            shown.contains("GPU 1 (Stand-in H100)") && shown.contains("45 °C"),
            "{shown}"
        );
        assert_eq!(gpus.server.run("gpu --quiet").expect(0).out, "");
    }
}

#[test]
fn what_is_wrong_is_found_of_the_device_that_has_it() {
    for (setting, id, severity, code, words) in [
        (
            "1 memory_used 75000",
            "gpu.memory",
            "medium",
            1,
            "91.6% full (limit 90%)",
        ),
        (
            "1 temperature 86",
            "gpu.temperature",
            "medium",
            1,
            "86 °C (limit 85 °C)",
        ),
        ("1 temperature 91", "gpu.temperature", "high", 2, "91 °C"),
        (
            "1 throttle 64",
            "gpu.throttled",
            "medium",
            1,
            "heat, by the hardware",
        ),
        ("1 width 8", "gpu.link", "medium", 1, "8 of 16 lanes"),
        ("1 failed 1", "gpu.rows", "high", 2, "no spare rows"),
        ("1 pending 1", "gpu.rows", "medium", 1, "at the next reset"),
    ] {
        let gpus = Gpus::new(&format!("devices 3\n{setting}\n"));
        let (exit, report) = gpus.server.json("gpu");
        let found = finding(&report, id);
        assert_eq!(
            (exit, &found["severity"]),
            (code, &severity.into()),
            "{report:#}"
        );
        assert_eq!(found["subject"], device(1));
        assert!(
            found["message"].as_str().unwrap().contains(words),
            "{found:#}"
        );
        assert_eq!(finding_ids(&report, ""), [id], "{setting}");
    }
    // What is no trouble: at rest, at its power limit, a slow link while nothing is asked of it.
    let calm = Gpus::new("all throttle 5\nall generation 1\n1 memory_used 73728\n");
    let (code, report) = calm.server.json("gpu");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (0, Vec::new()),
        "{report:#}"
    );
    let busy = Gpus::new("all utilization 80\n0 generation 1\n");
    assert!(
        finding(&busy.server.json("gpu").1, "gpu.link")["message"]
            .as_str()
            .unwrap()
            .contains("generation 1 of 4")
    );
}

/// A reset is never done: the command is printed.
#[test]
fn a_reset_is_left_to_people() {
    let gpus = Gpus::new("0 pending 1\n");
    let (_, report) = gpus.server.json("gpu");
    let hint = finding(&report, "gpu.rows")["hint"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(hint.contains("nvidia-smi --gpu-reset -i 0"), "{hint}");
    assert!(report["actions"].as_array().unwrap().is_empty());
}

#[test]
fn only_errors_since_the_last_look_are_news() {
    let gpus = Gpus::new("0 corrected 7\n0 uncorrected 2\n0 replays 5000\n");
    assert_eq!(gpus.server.json("gpu").0, 0, "the first look learns");
    assert_eq!(gpus.server.json("gpu").0, 0);
    gpus.scene("0 corrected 9\n0 uncorrected 2\n0 replays 5000\n");
    let (code, dry) = gpus.server.json("gpu --dry-run");
    assert_eq!(
        (code, finding_ids(&dry, "")),
        (0, vec!["gpu.ecc".to_owned()])
    );
    let (_, report) = gpus.server.json("gpu");
    let found = finding(&report, "gpu.ecc");
    assert_eq!(
        (&found["severity"], &found["value"]),
        (&json!("low"), &json!(2.0)),
        "a dry run learns nothing"
    );
    gpus.scene("0 corrected 9\n0 uncorrected 3\n0 replays 5101\n");
    let (code, report) = gpus.server.json("gpu");
    assert_eq!(
        (code, &finding(&report, "gpu.ecc")["severity"]),
        (2, &"high".into())
    );
    assert_eq!(finding(&report, "gpu.link")["value"], 101.0);
    assert_eq!(gpus.server.json("gpu").0, 0);
}

#[test]
fn what_the_kernel_wrote() {
    let gpus = Gpus::new("devices 2\n");
    gpus.kernel_says(
        "4,50,11,-;NVRM: Xid (PCI:0000:66:00): 79, pid=12, GPU has fallen off the bus.",
    );
    gpus.kernel_says("4,51,12,-;NVRM: Xid (PCI:0000:65:00): 31, pid=13, name=python, MMU Fault");
    let (code, report) = gpus.server.json("gpu");
    assert_eq!(code, 2, "{report:#}");
    let messages: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["severity"].as_str().unwrap(),
                one["message"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert!(
        messages[1].0 == "high" && messages[1].1.starts_with("GPU 1 (Stand-in H100): Xid 79"),
        "{messages:?}"
    );
    assert!(
        messages[0].0 == "low" && messages[0].1.contains("Xid 31"),
        "{messages:?}"
    );
    assert_eq!(gpus.server.json("gpu").0, 0, "once");
    gpus.kernel_says("4,52,13,-;NVRM: Xid (PCI:0000:66:00): 79, pid=12, again");
    let (code, report) = gpus.server.json("gpu");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (2, vec!["gpu.xid".to_owned()])
    );
}

/// A file that syslog writes into has no numbers, outlives the machine's runs, and is rotated.
#[test]
fn what_syslog_wrote() {
    let gpus = Gpus::new("devices 2\n");
    let says = |at: &str, code: u32| {
        gpus.kernel_says(&format!(
            "Nov 29 {at} web1 kernel: [123.4] NVRM: Xid (PCI:0000:65:00): {code}, pid=1, text"
        ));
    };
    says("16:00:00", 79);
    let (code, report) = gpus.server.json("gpu");
    assert_eq!(
        (code, &finding(&report, "gpu.xid")["subject"]),
        (2, &"0000:65:00 Xid 79".into())
    );
    assert_eq!(gpus.server.json("gpu").0, 0, "once");
    says("16:00:00", 79);
    let log = gpus.server.path().join("kmsg");
    std::fs::rename(&log, gpus.server.path().join("kmsg.1")).unwrap();
    says("17:00:00", 79);
    let (_, report) = gpus.server.json("gpu");
    assert_eq!(finding(&report, "gpu.xid")["value"], 2.0, "{report:#}");
    std::fs::remove_file(&log).unwrap();
    let (code, report) = gpus.server.json("gpu");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (0, vec!["gpu.log-unread".to_owned()])
    );
    let message = finding(&report, "gpu.log-unread")["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("kmsg"), "{message}");
}

#[test]
fn persistence_mode() {
    let gpus = Gpus::new("devices 3\n");
    gpus.set_persistence("10011111");
    let (code, report) = gpus.server.json("gpu");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (0, vec!["gpu.persistence".to_owned(); 2])
    );
    let (_, dry) = gpus.server.json("gpu --set-persistence --dry-run");
    assert_eq!(gpus.persistence(), "10011111", "a dry run changes nothing");
    let (code, report) = gpus.server.json("gpu --set-persistence");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (0, Vec::new()),
        "{report:#}"
    );
    assert_eq!(gpus.persistence(), "11111111");
    let targets = |report: &Value| {
        actions(report)
            .into_iter()
            .map(|(kind, target, _)| format!("{kind} {target}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        targets(&report),
        [
            "set persistence mode of GPU 1 (Stand-in H100)",
            "set persistence mode of GPU 2 (Stand-in H100)"
        ]
    );
    assert_eq!(targets(&dry), targets(&report));
    let (_, report) = gpus.server.json("gpu --set-persistence");
    assert!(
        report["actions"].as_array().unwrap().is_empty(),
        "nothing is left to do"
    );
    // Only root may.
    gpus.set_persistence("01111111");
    gpus.scene("devices 3\nfail nvmlDeviceSetPersistenceMode 4\n");
    let (code, report) = gpus.server.json("gpu --set-persistence");
    assert_eq!(code, 2, "{report:#}");
    assert!(failure(&report).1.contains("may not"), "{report:#}");
    assert_eq!(actions(&report)[0].2, "failed");
}

#[test]
fn who_holds_memory() {
    let child = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let scene = format!(
        "0 process_pid {}\n0 process_memory 8000\n0 memory_used 80000\n",
        child.id()
    );
    let gpus = Gpus::new(&scene);
    let at = |time: &str| gpus.server.json(&format!("gpu --now {time}")).1;
    let report = at("2026-11-20T06:53:00Z");
    let process = &report["data"]["devices"][0]["processes"][0];
    assert_eq!(
        (&process["name"], &process["memory"]),
        (&"sleep".into(), &(8000u64 << 20).into())
    );
    assert!(process["owner"].is_string());
    assert!(
        finding(&report, "gpu.memory")["message"]
            .as_str()
            .unwrap()
            .contains("most by sleep of "),
        "{report:#}"
    );
    let ids = |report: &Value| finding_ids(report, &format!("{} pid {}", device(0), child.id()));
    assert!(ids(&at("2026-11-22T06:53:00Z")).is_empty(), "two days");
    assert_eq!(ids(&at("2026-11-23T06:53:00Z")), ["gpu.idle-process"]);
    gpus.scene(&format!("{scene}0 utilization 3\n"));
    assert!(ids(&at("2026-11-24T06:53:00Z")).is_empty());
    gpus.scene(&scene);
    assert!(
        ids(&at("2026-11-25T06:53:00Z")).is_empty(),
        "it was used in between"
    );
    // In a divided device nobody knows how much; what is gone has no name.
    gpus.scene("0 process_pid 4000000\n0 process_memory -1\n0 mig 1\n");
    let report = at("2026-11-26T06:53:00Z");
    let device = &report["data"]["devices"][0];
    assert_eq!(
        (
            &device["mig"],
            &device["processes"][0]["memory"],
            &device["processes"][0]["name"]
        ),
        (&true.into(), &Value::Null, &Value::Null)
    );
    let mut child = child;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Each kind of trouble has an answer of its own.
#[test]
fn no_driver_no_device_no_permission() {
    for (scene, word) in [
        ("init 9\n", "not running"),
        ("init 18\n", "different versions"),
        ("init 4\n", "may not talk"),
        ("devices 0\n", "sees no device"),
    ] {
        let (code, report) = Gpus::new(scene).server.json("gpu");
        assert_eq!((code, failure(&report).0), (3, "missing"), "{report:#}");
        assert!(failure(&report).1.contains(word), "{scene}: {report:#}");
    }
    if !real_driver() {
        let (code, report) = Server::empty().json("gpu");
        assert_eq!((code, failure(&report).0), (3, "missing"));
        assert!(
            failure(&report).1.contains("no NVIDIA driver"),
            "{report:#}"
        );
    }
    let gpus = Gpus::new("");
    std::fs::write(&gpus.library, "no library").unwrap();
    assert_eq!(gpus.server.json("gpu").0, 3);
    std::fs::remove_file(&gpus.library).unwrap();
    let (code, report) = gpus.server.json("gpu");
    assert_eq!((code, failure(&report).0), (3, "config"));
}

#[test]
fn what_one_figure_costs() {
    for (scene, key, reason) in [
        (
            "fail nvmlDeviceGetPowerUsage 3\n",
            "power",
            "this device has none",
        ),
        (
            "fail nvmlDeviceGetPersistenceMode 4\n",
            "persistence",
            "this user may not ask for it",
        ),
    ] {
        let (code, report) = Gpus::new(scene).server.json("gpu");
        let device = &report["data"]["devices"][0];
        assert_eq!(
            (code, &device[key], &device["unknown"][key]),
            (0, &Value::Null, &reason.into()),
            "{report:#}"
        );
        assert_eq!(device["temperature"], 45);
    }
    let (code, report) = Gpus::old("").server.json("gpu");
    assert_eq!(code, 0, "{report:#}");
    let device = &report["data"]["devices"][1];
    for key in ["memory", "throttling", "mig", "remapped rows"] {
        assert_eq!(
            device["unknown"][key], "this driver is too old to say",
            "{device:#}"
        );
    }
    assert_eq!(device["temperature"], 45);
}

#[test]
fn a_device_that_falls_off() {
    for calls in [0, 1, 5, 12, 20] {
        let gpus = Gpus::new(&format!("devices 3\n1 dies {calls}\n2 memory_used 80000\n"));
        let (code, report) = gpus.server.json("gpu");
        assert_eq!(code, 2, "{calls}: {report:#}");
        let lost = finding(&report, "gpu.lost");
        assert_eq!(
            (&lost["severity"], &lost["subject"]),
            (&"critical".into(), &"GPU 1".into())
        );
        assert!(lost["hint"].as_str().unwrap().contains("--gpu-reset -i 1"));
        assert_eq!(
            finding(&report, "gpu.memory")["subject"],
            device(2),
            "the others are looked at"
        );
    }
}

/// A driver that answers a device's name from memory, and has no answer to all the rest.
#[test]
fn a_device_of_which_nothing_can_be_read() {
    let silent: String = [
        "Temperature",
        "TemperatureThreshold",
        "MemoryInfo_v2",
        "UtilizationRates",
        "TotalEccErrors",
        "CurrentClocksThrottleReasons",
        "CurrPcieLinkWidth",
        "FieldValues",
        "PersistenceMode",
        "ComputeRunningProcesses_v3",
        "PowerUsage",
        "ClockInfo",
        "PciInfo_v3",
    ]
    .iter()
    .map(|what| format!("fail nvmlDeviceGet{what} 999\n"))
    .collect();
    let gpus = Gpus::new(&format!("devices 1\n{silent}"));
    let (code, report) = gpus.server.json("gpu");
    assert_eq!(code, 2, "{report:#}");
    let lost = finding(&report, "gpu.lost");
    assert_eq!(lost["subject"], "GPU 0");
    let message = lost["message"].as_str().unwrap();
    assert!(
        message.contains("failed at 14 of 21 questions"),
        "{message}"
    );
    let summary = report["summary"].as_str().unwrap();
    assert_eq!(
        summary, "1 GPU; 1 critical finding",
        "no figure where nothing is known"
    );
    // What the device does not have, or we may not ask, is not its end.
    gpus.scene(&format!("devices 1\n{}", silent.replace("999", "3")));
    assert_eq!(gpus.server.json("gpu").0, 0);
}

/// One that is not listed any more is missed, until it comes back or has been away for two weeks.
#[test]
fn a_device_that_is_gone() {
    let gpus = Gpus::new("devices 3\n");
    let at = |time: &str| gpus.server.json(&format!("gpu --now {time}"));
    assert_eq!(at("2026-11-01T06:53:00Z").0, 0);
    gpus.scene("devices 2\n");
    for time in ["2026-11-02T06:53:00Z", "2026-11-03T06:53:00Z"] {
        let (code, report) = at(time);
        let lost = finding(&report, "gpu.lost");
        assert_eq!((code, &lost["subject"]), (2, &device(2).into()));
        let message = lost["message"].as_str().unwrap();
        assert!(
            message.starts_with("GPU 2 (Stand-in H100) is gone") && message.contains("2026-11-01"),
            "{message}"
        );
    }
    gpus.scene("devices 0\n");
    let (code, report) = at("2026-11-04T06:53:00Z");
    assert_eq!((code, finding_ids(&report, "").len()), (2, 3), "{report:#}");
    gpus.scene("devices 3\n2 dies 0\n");
    let (_, report) = at("2026-11-05T06:53:00Z");
    assert_eq!(finding_ids(&report, ""), ["gpu.lost"], "told once");
    gpus.scene("devices 3\n");
    assert_eq!(at("2026-11-06T06:53:00Z").0, 0, "it is back");
    gpus.scene("devices 2\n");
    assert_eq!(at("2026-11-19T06:53:00Z").0, 2);
    assert_eq!(at("2026-11-21T06:53:00Z").0, 0, "it was taken out");
}

#[test]
fn a_driver_that_hangs() {
    for function in ["nvmlInit_v2", "nvmlDeviceGetTemperature"] {
        let gpus = Gpus::new(&format!("hang {function}\n"));
        let (code, report) = gpus.server.json("gpu --timeout 1s");
        assert_eq!(code, 2, "{report:#}");
        finding(&report, "task.failed");
    }
}

/// A library that others could have written would run as us.
#[test]
fn a_library_that_others_can_write_is_not_loaded() {
    use std::os::unix::fs::PermissionsExt as _;
    let gpus = Gpus::new("");
    std::fs::set_permissions(&gpus.library, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (code, report) = gpus.server.json("gpu");
    assert_eq!((code, failure(&report).0), (3, "config"), "{report:#}");
}

#[test]
fn one_works_and_one_rests_for_a_week() {
    let gpus = Gpus::new(
        "devices 3\n0 utilization 95\n0 process_pid 4000000\n0 process_memory 8000\n1 utilization 40\n",
    );
    for day in 20..24 {
        let (_, report) = gpus
            .server
            .json(&format!("gpu --now 2026-11-{day}T06:53:00Z"));
        assert!(
            finding_ids(&report, "gpus").is_empty(),
            "a few looks say nothing"
        );
    }
    gpus.server.run("gpu --now 2026-11-24T06:53:00Z").expect(0);
    let (code, report) = gpus.server.json("gpu --now 2026-11-25T06:53:00Z");
    let found = finding(&report, "gpu.imbalance");
    assert_eq!(
        (code, &found["severity"], &found["value"]),
        (0, &json!("low"), &json!(95.0))
    );
    let hint = found["hint"].as_str().unwrap();
    assert!(
        hint.contains("pid 4000000") && hint.contains("CUDA_VISIBLE_DEVICES=2"),
        "{hint}"
    );
    let (_, report) = gpus.server.json("gpu --now 2026-12-25T06:53:00Z");
    assert!(
        finding_ids(&report, "gpus").is_empty(),
        "a month later that is past"
    );
}

#[test]
fn a_benchmark_and_its_past() {
    let folder = tempfile::tempdir().unwrap();
    let speed = folder.path().join("speed");
    let lines = format!(
        "benchmark = [\"/bin/sh\", \"-c\", \"echo $(cat {}) images/s\", \"sh\", \"{{batch}}\"]\nbenchmark_batches = [1, 8]\n",
        speed.display()
    );
    let gpus = Gpus::with("", &lines);
    std::fs::write(&speed, "100").unwrap();
    let (code, dry) = gpus.server.json("gpu --benchmark --dry-run");
    assert_eq!((code, actions(&dry).len()), (0, 2));
    assert!(dry["data"]["benchmarks"].as_array().unwrap().is_empty());
    for _ in 0..5 {
        let (code, report) = gpus.server.json("gpu --benchmark");
        assert_eq!(code, 0, "{report:#}");
        let figures = &report["data"]["benchmarks"];
        assert_eq!(
            (
                &figures[1]["batch"],
                &figures[1]["value"],
                &figures[1]["median"]
            ),
            (&8.into(), &100.0.into(), &Value::Null)
        );
    }
    std::fs::write(&speed, "91").unwrap();
    assert_eq!(
        gpus.server.json("gpu --benchmark --batch 8").0,
        0,
        "9% worse"
    );
    std::fs::write(&speed, "85").unwrap();
    let (code, report) = gpus.server.json("gpu --benchmark --batch 8,32");
    assert_eq!(
        (code, finding_ids(&report, "")),
        (1, vec!["gpu.benchmark".to_owned()]),
        "32 has no past: {report:#}"
    );
    assert_eq!(
        finding(&report, "gpu.benchmark")["subject"],
        "benchmark, batch 8"
    );
    std::fs::write(&speed, "nothing").unwrap();
    let (code, report) = gpus.server.json("gpu --benchmark --batch 8");
    assert_eq!(code, 2);
    assert!(failure(&report).1.contains("no number"), "{report:#}");
    assert_eq!(
        report["data"]["devices"].as_array().unwrap().len(),
        2,
        "what was seen is told all the same"
    );
    assert_eq!(
        Gpus::new("").server.json("gpu --benchmark").0,
        3,
        "there is none"
    );
    assert_eq!(gpus.server.json("gpu --batch 8").0, 3);
    assert_eq!(gpus.server.json("gpu --benchmark --batch 0").0, 3);
}

/// On a machine with a real driver, the program is run on it as it is.
#[test]
fn a_real_driver_where_there_is_one() {
    if !real_driver() {
        return;
    }
    let (code, report) = Server::empty().json("gpu");
    assert_ne!(code, 3, "{report:#}");
    for device in report["data"]["devices"].as_array().unwrap() {
        assert!(
            device["uuid"].as_str().unwrap().starts_with("GPU-"),
            "{device:#}"
        );
        assert!(
            device["memory"]["total"].as_u64().unwrap() > 1 << 28,
            "{device:#}"
        );
    }
}

#[test]
fn bad_configuration() {
    let server = Server::empty().config("[gpu]\nmemory_pct = 0\n");
    assert_eq!(server.json("gpu").0, 3);
    let server = Server::empty().config("[gpu]\nmemory_percent = 90\n");
    let ran = server.run("gpu").expect(3);
    assert!(ran.err.contains("memory_pct"), "{}", ran.err);
}

#[test]
fn a_library_that_is_none_is_named() {
    let server = Server::empty().config("[gpu]\nnvml_library = \"/etc/passwd\"");
    let ran = server.run("gpu").expect(3);
    assert!(
        ran.err
            .contains("[gpu] nvml_library /etc/passwd cannot be loaded"),
        "{}",
        ran.err
    );
}
