//! What monitoring systems make of our output: Prometheus' node_exporter and promtool, and the Nagios plugins' own parser.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::services::{Peer, free_port};
use crate::support::{Server, fill};

/// A node_exporter that does nothing but read text files.
fn exporter(folder: &Path) -> Peer {
    let port = free_port();
    let mut command = Command::new("prometheus-node-exporter");
    command
        .arg("--collector.disable-defaults")
        .arg("--collector.textfile")
        .arg(format!(
            "--collector.textfile.directory={}",
            folder.display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Peer::start(port, &mut command)
}

fn scrape(exporter: &Peer) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", exporter.port)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn promtool(text: &str) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said += &String::from_utf8_lossy(&output.stdout);
    if !output.status.success() && said.is_empty() {
        said = output.status.to_string();
    }
    said
}

/// The value of a series as it was scraped.
fn value(scraped: &str, series: &str) -> f64 {
    let line = scraped
        .lines()
        .find(|line| {
            line.rsplit_once(' ')
                .is_some_and(|(name, _)| name == series)
        })
        .unwrap_or_else(|| panic!("no {series}:\n{scraped}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn node_exporter_and_promtool_take_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let odd = "it's \\ \"odd\"";
    let server = Server::empty();
    fill(&server.database(), 100);
    fill(&server.root().join("data/odd.db"), 5);
    let server = server.config(&format!(
        "[[database]]\nname = \"odd\"\npath = \"data/odd.db\"\n[[backup.file]]\npath = {odd:?}\n[metrics]\ntextfile_dir = {:?}",
        folder.path()
    ));
    fs::create_dir(server.root().join(odd)).unwrap();
    fs::write(server.root().join(odd).join("file"), "content").unwrap();
    let report = server.json("backup").1;
    server.run("verify-backup").expect(0);
    server.run("verify-backup --all").expect(0);
    server.run("health");
    server.run("health --check http,listen,disk,logins");
    server.run("alerts flush").expect(0);
    let to = server.path().join("x.db");
    server
        .run(&format!("restore app_db --to {}", to.display()))
        .expect(0);
    // Parts of a task leave the whole one's figures alone.
    let before = fs::read_to_string(folder.path().join("empire_maint_backup.prom")).unwrap();
    let name = server.list("odd")[0].file_name().unwrap().to_owned();
    server
        .run(&format!("backup pin {}", name.to_str().unwrap()))
        .expect(0);
    server.run("health --check disk").expect(0);
    let after = fs::read_to_string(folder.path().join("empire_maint_backup.prom")).unwrap();
    assert_eq!(before, after);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(
            promtool(&fs::read_to_string(&path).unwrap()),
            "",
            "{path:?}"
        );
        names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "empire_maint_alerts_flush",
            "empire_maint_backup",
            "empire_maint_health",
            "empire_maint_health_light",
            "empire_maint_restore",
            "empire_maint_verify_all",
            "empire_maint_verify_backup",
        ]
    );
    assert!(
        !promtool("# HELP a b\n# TYPE a gauge\na{ 1\n").is_empty(),
        "it does refuse"
    );
    let exporter = exporter(folder.path());
    let scraped = scrape(&exporter);
    assert_eq!(value(&scraped, "node_textfile_scrape_error"), 0.0);
    for task in ["health", "health-light", "verify-all", "backup", "restore"] {
        let series = format!("empire_maint_last_exit_code{{task=\"{task}\"}}");
        assert!(value(&scraped, &series) <= 3.0);
    }
    for metric in report["metrics"].as_array().unwrap() {
        let Some(database) = metric["labels"]["database"].as_str() else {
            continue;
        };
        let series = format!(
            "empire_maint_{}{{database=\"{database}\",task=\"backup\"}}",
            metric["name"].as_str().unwrap()
        );
        let told = metric["value"].as_f64().unwrap();
        assert!(
            (value(&scraped, &series) - told).abs() <= told.abs() * 1e-9,
            "{series}"
        );
    }
    // A file that somebody has broken is what the exporter tells: it does look.
    fs::write(folder.path().join("broken.prom"), "a{ 1\n").unwrap();
    assert_eq!(value(&scrape(&exporter), "node_textfile_scrape_error"), 1.0);
}

/// Monitoring::Plugin is what Nagios add-ons written in Perl read performance data with.
#[test]
fn the_nagios_plugins_parser_reads_every_figure() {
    let server = Server::empty();
    fill(&server.database(), 50);
    let odd = server.root().join("data/odd.db");
    fill(&odd, 5);
    let server = server.config("[[database]]\nname = \"it is odd\"\npath = \"data/odd.db\"");
    for line in ["backup", "verify-backup --all", "health", "backup list"] {
        let ran = server.run(&format!("{line} --format nagios"));
        let first = ran.out.lines().next().unwrap();
        let figures = first.split_once(" | ").map_or("", |(_, figures)| figures);
        let output = Command::new("perl")
            .args(["-MMonitoring::Plugin::Performance", "-e"])
            .arg("for (Monitoring::Plugin::Performance->parse_perfstring($ARGV[0])) { print join('|', $_->label, $_->value, $_->uom // ''), qq(\n) }")
            .arg(figures)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let read = String::from_utf8(output.stdout).unwrap();
        // As many as there are values, each with its number.
        let wanted = figures.matches('=').count();
        assert_eq!(read.lines().count(), wanted, "{figures}\n{read}");
        for line in read.lines() {
            let value = line.split('|').nth(1).unwrap();
            assert!(value == "U" || value.parse::<f64>().is_ok(), "{line}");
        }
        if line == "backup" {
            assert!(read.contains("backup_size_bytes it is odd|"), "{read}");
        }
    }
}
