//! Files that the program prints and the repository holds are the same. Refresh them with:
//! `UPDATE_GENERATED=1 cargo nextest run generated`

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::BINARY;

fn print(arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn same(file: &str, arguments: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let printed = print(arguments);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &printed).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == printed,
        "{file} is not what `empire-maint {}` prints; refresh with UPDATE_GENERATED=1 cargo nextest run generated",
        arguments.join(" ")
    );
}

#[test]
fn completions_are_fresh() {
    same("completions/empire-maint.bash", &["completions", "bash"]);
    same("completions/_empire-maint", &["completions", "zsh"]);
    same("completions/empire-maint.fish", &["completions", "fish"]);
}

#[test]
fn manual_pages_are_fresh_and_none_is_left_over() {
    let mut pages = Vec::new();
    for (page, section) in empire_maint::meta::pages() {
        let file = format!("{page}.{section}");
        same(&format!("man/{file}"), &["man", &page]);
        pages.push(file);
    }
    // Also a command of a command has the page that its parent's names.
    assert!(pages.contains(&"empire-maint-backup-list.8".to_owned()));
    assert_eq!(
        print(&["man", "backup-list"]),
        print(&["man", "empire-maint-backup-list"])
    );
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(pages.contains(&name), "man/{name} belongs to no command");
    }
}

#[test]
fn schemas_are_fresh() {
    same("schema/report.json", &["schema", "report"]);
    same("schema/config.json", &["schema", "config"]);
}

#[test]
fn the_crontab_example_is_what_the_program_prints() {
    same(
        "crontab.example",
        &[
            "schedule",
            "crontab",
            "--program",
            "/usr/local/bin/empire-maint",
        ],
    );
}

/// A real shell reads the completions.
#[test]
fn bash_takes_the_completions() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions/empire-maint.bash");
    let script = format!(
        "source {}; COMP_WORDS=(empire-maint ver); COMP_CWORD=1; function=$(complete -p empire-maint | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $function empire-maint ver empire-maint; echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "verify-backup",
        "{output:?}"
    );
}

/// The real function of zsh, at a pseudo-terminal of zsh's own: a word is begun, the tab key pressed.
#[test]
fn zsh_takes_the_completions() {
    const SCRIPT: &str = r#"
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; print loa''ded"
        zpty -r z out '*loaded*'
        zpty -w -n z $'empire-maint veri\t'
        zpty -r z out '*verify-backup*' && print complete
        zpty -d z"#;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    let output = Command::new("timeout")
        .args(["60", "zsh", "-fc", SCRIPT, "zsh"])
        .arg(folder)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("complete"), "{output:?}");
}

#[test]
fn fish_takes_the_completions() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions/empire-maint.fish");
    let script = format!(
        "source {}; complete -C 'empire-maint veri'; complete -C 'empire-maint backup --fre'",
        file.display()
    );
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("fish")
        .args(["--no-config", "-c", &script])
        .env("HOME", home.path())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<_> = shown
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(words, ["verify-backup", "--fresh"], "{output:?}");
}
