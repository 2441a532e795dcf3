//! FAISS files beside the real FAISS: what we write is what it would write, or is searched as well; what is gone is gone from them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::broken::{copy, everywhere};
use crate::support::faults::Kind;
use crate::support::memory::{Memory, NOW, peer};
use crate::support::{BINARY, Paused, Ran, actions, finding, finding_ids, number, sql};

#[test]
fn a_flat_index_is_byte_for_byte_what_faiss_writes() {
    for (factory, metric, count, dimension) in [
        ("IDMap2,Flat", "L2", 500, 384),
        ("IDMap2,Flat", "IP", 200, 3),
        ("IDMap,Flat", "IP", 37, 16),
        ("IDMap,Flat", "L2", 1, 1536),
        ("IDMap2,Flat", "L2", 40, 1),
    ] {
        let memory = Memory::new(factory, metric, count, dimension);
        let was = fs::read(memory.index()).unwrap();
        memory.idle("id % 7 = 3");
        let (code, report) = memory.clean("");
        assert_eq!(code, 0, "{factory}: {report:#}");
        let expected = memory.server.path().join("expected");
        memory.make(&expected, "plain");
        let same = fs::read(memory.index()).unwrap() == fs::read(&expected).unwrap();
        assert!(same, "{factory} {metric} {count} x {dimension}");
        memory.require_true();
        if count > 3 {
            assert_eq!(report["data"]["indices"][0]["rebuilt"], true);
            // The one before is kept.
            assert_eq!(
                fs::read(memory.server.root().join("data/rag.faiss.bak")).unwrap(),
                was
            );
        }
        // Nothing is left to do.
        let (_, again) = memory.clean("");
        assert!(actions(&again).is_empty(), "{again:#}");
        assert_eq!(again["data"]["indices"][0]["stale"], 0);
    }
}

/// Also of no vector at all, and of one.
#[test]
fn a_flat_index_of_every_dimension_is_what_faiss_writes() {
    let mut all: Vec<(u32, u32)> = [1, 2, 3, 7, 64, 384, 768, 1536]
        .map(|one| (one, 37))
        .to_vec();
    all.extend([(1, 0), (384, 0), (3, 1), (1536, 1)]);
    if std::env::var_os("SLOW_TESTS").is_some() {
        all.push((384, 100_000));
    }
    let names = ["bare.L2", "bare.IP", "mapped.L2", "mapped.IP"];
    let mut indices = String::new();
    for name in &names[1..] {
        indices.push_str(&format!("[[rag.index]]\npath = \"data/{name}\"\n"));
    }
    for (dimension, count) in all {
        let memory = Memory::empty(&indices);
        memory.fill(count, dimension);
        let data = memory.server.root().join("data");
        let words = [Path::new("flats"), &memory.database(), &data].map(Path::to_owned);
        peer(
            words
                .iter()
                .map(|one| one.as_os_str().to_owned())
                .chain([dimension.to_string().into()]),
        );
        fs::rename(data.join(names[0]), memory.index()).unwrap();
        let paths: Vec<_> = [memory.index()]
            .into_iter()
            .chain(names[1..].iter().map(|name| data.join(name)))
            .collect();
        let theirs: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        let (code, report) = memory.clean("--rebuild-index --no-backup-check");
        assert_eq!(code, 0, "{dimension} x {count}: {report:#}");
        for (at, (path, theirs)) in paths.iter().zip(&theirs).enumerate() {
            let place = format!("{} of {count} x {dimension}", path.display());
            assert_eq!(report["data"]["indices"][at]["rebuilt"], true, "{place}");
            assert!(fs::read(path).unwrap() == *theirs, "{place}");
        }
    }
}

#[test]
fn an_ivf_index_keeps_its_lists_true() {
    for (factory, metric, left) in [
        ("IVF16,Flat", "L2", "full"),
        ("IVF16,Flat", "IP", "full"),
        ("IDMap2,IVF8,Flat", "L2", "full"),
        // Most lists become empty, which FAISS writes in another form.
        ("IVF64,Flat", "L2", "sprs"),
    ] {
        let memory = Memory::new(factory, metric, 2000, 24);
        memory.idle(match left {
            "full" => "id % 9 = 0",
            _ => "id > 12",
        });
        let before = memory.look();
        let (code, report) = memory.clean("--yes");
        assert_eq!(code, 0, "{factory}: {report:#}");
        assert_eq!(report["data"]["indices"][0]["rebuilt"], true);
        let after = memory.require_true();
        assert_eq!(after["type"], "IndexIVFFlat");
        assert_eq!(after["outer"], before["outer"]);
        let bytes = fs::read(memory.index()).unwrap();
        assert!(
            bytes.windows(4).any(|four| four == left.as_bytes()),
            "{left}"
        );
        // With the centroids that it had, FAISS would write the same bytes.
        let expected = memory.server.path().join("expected");
        let kept = memory.server.root().join("data/rag.faiss.bak");
        let paths =
            [&memory.database(), &kept, &expected].map(|path| path.to_str().unwrap().to_owned());
        peer(["again".to_owned()].iter().chain(&paths));
        assert!(
            fs::read(memory.index()).unwrap() == fs::read(&expected).unwrap(),
            "{factory} {metric}"
        );
    }
}

#[test]
fn an_hnsw_index_is_searched_as_well_as_faiss_own() {
    for (factory, metric) in [("IDMap2,HNSW16,Flat", "L2"), ("IDMap,HNSW8,Flat", "IP")] {
        let memory = Memory::new(factory, metric, 1200, 24);
        memory.idle("id % 9 = 0");
        let (code, report) = memory.clean("");
        assert_eq!(code, 0, "{factory}: {report:#}");
        let ours = memory.require_true();
        assert_eq!(ours["type"], "IndexHNSWFlat");
        let first = fs::read(memory.index()).unwrap();
        assert_eq!(memory.clean("--rebuild-index").0, 0);
        assert!(
            fs::read(memory.index()).unwrap() == first,
            "not the same twice"
        );
        memory.make(&memory.index(), "plain");
        let theirs = memory.look();
        let recall = |found: &Value| found["recall"].as_f64().unwrap();
        assert!(
            recall(&ours) >= recall(&theirs) - 0.01,
            "{} {}",
            ours["recall"],
            theirs["recall"]
        );
    }
}

#[test]
fn a_cosine_index_of_normalised_vectors_stays_one() {
    let memory = Memory::new("IDMap2,Flat", "IP", 100, 8);
    // Each twice as long in the table.
    let connection = rusqlite::Connection::open(memory.database()).unwrap();
    let rows: Vec<(i64, Vec<u8>)> = connection
        .prepare("SELECT id, vector FROM embeddings")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (id, bytes) in rows {
        let doubled: Vec<u8> = bytes
            .chunks_exact(4)
            .flat_map(|four| (f32::from_le_bytes(four.try_into().unwrap()) * 2.0).to_le_bytes())
            .collect();
        connection
            .execute(
                "UPDATE embeddings SET vector = ?1 WHERE id = ?2",
                (doubled, id),
            )
            .unwrap();
    }
    drop(connection);
    memory.make(&memory.index(), "normalise");
    memory.idle("id < 10");
    let (code, report) = memory.clean("");
    assert_eq!(code, 0, "{report:#}");
    let outcome = &report["data"]["indices"][0];
    assert_eq!(
        (&outcome["normalised"], &outcome["moved"]),
        (&true.into(), &0.into())
    );
    let index = memory.server.path().join("plain");
    memory.make(&index, "plain");
    assert!(fs::read(memory.index()).unwrap() != fs::read(&index).unwrap());
    memory.require_true();
}

#[test]
fn drift_is_told_and_rebuilt_when_it_is_too_much() {
    let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
    sql(
        &memory.database(),
        "INSERT INTO embeddings SELECT id + 1000, vector, last_accessed FROM embeddings WHERE id < 10;
         INSERT INTO chunks SELECT id + 1000, NULL, id + 1000, 'some text' FROM embeddings WHERE id < 10;
         UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE id = 1) WHERE id = 2;",
    );
    let before = fs::read(memory.index()).unwrap();
    let (code, report) = memory.clean("");
    assert_eq!(code, 0, "{report:#}");
    let outcome = &report["data"]["indices"][0];
    assert_eq!(
        (&outcome["missing"], &outcome["stale"], &outcome["moved"]),
        (&10.into(), &0.into(), &1.into())
    );
    assert_eq!(finding(&report, "rag-clean.index-drift")["severity"], "low");
    let (_, report) = memory.clean("--rebuild-if-stale 0.2");
    assert!(actions(&report).is_empty());
    assert_eq!(fs::read(memory.index()).unwrap(), before);
    let (code, report) = memory.clean("--rebuild-if-stale 0.05");
    assert_eq!(code, 0);
    assert_eq!(report["data"]["indices"][0]["rebuilt"], true);
    assert!(finding_ids(&report, "").is_empty(), "{report:#}");
    assert_eq!(memory.require_true()["ntotal"], 110);
}

#[test]
fn positions_are_never_mixed_up() {
    for factory in ["Flat", "HNSW8,Flat"] {
        let memory = Memory::new(factory, "L2", 100, 8);
        let before = fs::read(memory.index()).unwrap();
        // As they are, positions and ids agree.
        let (code, report) = memory.clean("--rebuild-index");
        assert_eq!(code, 0, "{report:#}");
        if factory == "Flat" {
            assert_eq!(fs::read(memory.index()).unwrap(), before);
        }
        let before = fs::read(memory.index()).unwrap();
        memory.idle("id = 5");
        let (code, report) = memory.clean("");
        assert_eq!(code, 2);
        let refused = finding(&report, "rag-clean.refused");
        assert!(
            refused["message"].as_str().unwrap().contains("positions"),
            "{refused}"
        );
        let hint = refused["hint"].as_str().unwrap();
        assert!(
            hint.contains("positions_map") && hint.contains("IDMap2"),
            "{hint}"
        );
        assert_eq!(
            number(&memory.database(), "SELECT count(*) FROM embeddings"),
            100
        );
        sql(
            &memory.database(),
            "DELETE FROM embeddings WHERE id = 5; DELETE FROM chunks WHERE id = 5",
        );
        let (code, report) = memory.clean("--rebuild-index");
        assert_eq!(code, 2);
        assert!(
            finding_ids(&report, "").contains(&"rag-clean.index-refused".to_owned()),
            "{report:#}"
        );
        assert_eq!(fs::read(memory.index()).unwrap(), before);
    }
}

/// Where the table has another dimension, nobody is sent to a rebuild that would be refused.
#[test]
fn an_index_of_another_dimension_is_the_applications() {
    let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
    sql(
        &memory.database(),
        "UPDATE embeddings SET vector = substr(vector, 1, 16)",
    );
    let (code, report) = memory.clean("");
    assert_eq!(code, 2, "{report:#}");
    let hint = finding(&report, "rag-clean.index-drift")["hint"]
        .as_str()
        .unwrap();
    assert!(
        hint.contains("the application write it anew") && !hint.contains("--rebuild-index"),
        "{hint}"
    );
}

#[test]
fn an_index_that_cannot_follow_keeps_its_embeddings() {
    for (content, told) in [
        ("", "kind IxPq"),
        ("\0\0\0\0 not an index", "no FAISS index"),
        ("garbage", "no FAISS index"),
    ] {
        let mut memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
        if content.is_empty() {
            memory.factory = "PQ4x4".to_owned();
            memory.make(&memory.index(), "plain");
        } else {
            fs::write(memory.index(), content).unwrap();
        }
        memory.idle("id < 10");
        let before = fs::read(memory.index()).unwrap();
        let (code, report) = memory.clean("");
        assert_eq!(code, 2, "{report:#}");
        let unusable = finding(&report, "rag-clean.index-unusable");
        assert!(
            unusable["message"].as_str().unwrap().contains(told),
            "{unusable}"
        );
        assert_eq!(
            number(&memory.database(), "SELECT count(*) FROM embeddings"),
            100
        );
        assert_eq!(fs::read(memory.index()).unwrap(), before);
    }
}

#[test]
fn an_index_that_is_not_there_is_missed_by_who_asks_for_it() {
    let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
    fs::remove_file(memory.index()).unwrap();
    assert_eq!(memory.clean("").0, 0);
    let (code, report) = memory.clean("--rebuild-index");
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(finding(&report, "rag-clean.no-index")["severity"], "medium");
}

#[test]
fn an_index_behind_a_link_is_rebuilt_where_it_is() {
    let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
    let real = memory.index().with_file_name("elsewhere.faiss");
    fs::rename(memory.index(), &real).unwrap();
    std::os::unix::fs::symlink(&real, memory.index()).unwrap();
    memory.idle("id < 10");
    let (code, report) = memory.clean("");
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["data"]["indices"][0]["rebuilt"], true);
    assert_eq!(fs::read_link(memory.index()).unwrap(), real);
    assert!(!fs::symlink_metadata(&real).unwrap().is_symlink());
    assert_eq!(
        number(&memory.database(), "SELECT count(*) FROM embeddings"),
        90
    );
}

/// An index takes nothing away, and can be brought in line without a backup.
#[test]
fn without_a_backup_an_index_is_looked_at_all_the_same() {
    let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
    sql(&memory.database(), "DELETE FROM embeddings WHERE id < 10");
    let line = "rag-clean --now 2027-01-01T00:00:00Z --step orphans";
    let (code, report) = memory.server.json(&format!("{line} --dry-run"));
    assert_eq!(code, 2, "{report:#}");
    assert_eq!(report["data"]["indices"][0]["stale"], 10);
    assert_eq!(report["data"]["steps"].as_array().unwrap().len(), 0);
    let (code, report) = memory.server.json(line);
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "rag-clean.no-backup");
    assert_eq!(report["data"]["indices"][0]["rebuilt"], true);
}

/// That it could not be rebuilt afterwards is known before.
#[test]
fn nothing_goes_that_an_index_would_not_follow() {
    let others = "UPDATE embeddings SET vector = (SELECT vector FROM embeddings AS o WHERE o.id = (embeddings.id + 1) % 100) WHERE id < 99";
    let shorter = "UPDATE embeddings SET vector = substr(vector, 1, 16)";
    for (change, told) in [
        (others, "was not made from them"),
        (shorter, "8 dimensions"),
    ] {
        let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
        sql(&memory.database(), change);
        memory.idle("id < 10");
        let before = fs::read(memory.index()).unwrap();
        let (code, report) = memory.clean("--step idle");
        assert_eq!(code, 2, "{report:#}");
        let refused = finding(&report, "rag-clean.refused");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(told), "{refused}");
        let summary = report["summary"].as_str().unwrap();
        assert!(
            summary.starts_with("no rows removed; not done: idle; "),
            "{summary}"
        );
        assert_eq!(
            number(&memory.database(), "SELECT count(*) FROM embeddings"),
            100
        );
        assert_eq!(fs::read(memory.index()).unwrap(), before);
    }
}

#[test]
fn an_index_is_named_once_whatever_it_is_called() {
    let more = "[[rag.index]]\npath = \"data/other.faiss\"\n";
    let memory = Memory::with("IDMap2,Flat", "L2", 100, 8, more);
    std::os::unix::fs::symlink("rag.faiss", memory.index().with_file_name("other.faiss")).unwrap();
    memory.idle("id < 10");
    let (code, report) = memory.clean("");
    assert_eq!(code, 3, "{report:#}");
    let failed = finding(&report, "task.failed");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("are one file"), "{failed}");
    assert_eq!(
        number(&memory.database(), "SELECT count(*) FROM embeddings"),
        100
    );
}

#[test]
fn what_stands_where_the_old_index_is_kept_stops_it_before_anything_goes() {
    let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
    fs::create_dir(memory.index().with_file_name("rag.faiss.bak")).unwrap();
    memory.idle("id < 10");
    let before = fs::read(memory.index()).unwrap();
    let (code, report) = memory.clean("");
    assert_eq!(code, 2, "{report:#}");
    let refused = finding(&report, "rag-clean.refused");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("rag.faiss.bak is a folder"), "{refused}");
    assert_eq!(
        number(&memory.database(), "SELECT count(*) FROM embeddings"),
        100
    );
    assert_eq!(fs::read(memory.index()).unwrap(), before);
    for left in ["rag.faiss.new", "rag.faiss.bak.new"] {
        assert!(!memory.index().with_file_name(left).exists(), "{left}");
    }
}

#[test]
fn an_index_of_other_vectors_is_not_replaced() {
    let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
    sql(
        &memory.database(),
        "UPDATE embeddings SET vector = (SELECT vector FROM embeddings AS o WHERE o.id = (embeddings.id + 1) % 100) WHERE id < 99",
    );
    let before = fs::read(memory.index()).unwrap();
    let (code, report) = memory.clean("--rebuild-index");
    assert_eq!(code, 2);
    let refused = finding(&report, "rag-clean.index-refused");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("was not made from them"),
        "{refused}"
    );
    assert_eq!(fs::read(memory.index()).unwrap(), before);
}

/// Ids of another column, a part of the table, a table that lost its rows: nobody asked for another index.
#[test]
fn an_index_of_other_ids_or_of_a_part_is_left_as_it_is() {
    for (statement, said, always) in [
        (
            "UPDATE embeddings SET id = id + 1000000",
            "none of its 100 ids is in the table",
            false,
        ),
        (
            "DELETE FROM embeddings",
            "none of its 100 ids is in the table",
            false,
        ),
        (
            "INSERT INTO embeddings SELECT id + 1000 * n, vector, last_accessed FROM embeddings, (SELECT 1 AS n UNION ALL SELECT 2)",
            "it holds 99 of 299 rows of the table, perhaps on purpose",
            true,
        ),
    ] {
        let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
        sql(&memory.database(), statement);
        sql(&memory.database(), "DELETE FROM embeddings WHERE id = 7");
        let before = fs::read(memory.index()).unwrap();
        let rows = memory.ids();
        let (code, report) = memory.clean("--no-backup-check");
        assert_eq!(code, 2, "{report:#}");
        let refused = finding(&report, "rag-clean.index-refused");
        assert!(refused["message"].to_string().contains(said), "{refused}");
        assert_eq!(fs::read(memory.index()).unwrap(), before);
        assert_eq!(memory.ids(), rows);
        let (code, report) = memory.clean("--no-backup-check --rebuild-index");
        assert_eq!(code, if always { 0 } else { 2 }, "{report:#}");
        assert_eq!(fs::read(memory.index()).unwrap() != before, always);
    }
}

#[test]
fn a_dry_run_lists_the_rebuild_and_writes_nothing() {
    let memory = Memory::new("IDMap2,Flat", "L2", 100, 8);
    memory.idle("id < 10");
    // SQLite itself makes the side files of whoever reads.
    let print = || {
        let mut all = memory.server.fingerprint(&memory.server.root());
        all.retain(|(path, _)| !path.to_string_lossy().contains(".db-"));
        all
    };
    let before = print();
    let (_, dry) = memory.clean("--dry-run");
    assert_eq!(print(), before);
    let (_, real) = memory.clean("");
    assert_eq!(steps(&dry), steps(&real));
    assert_eq!(steps(&real).last().unwrap().0, "rebuild");
}

const SOME: &str = "id % 7 = 3";
/// One was used lately, else it would be told that nobody keeps the time. It has no text.
const ALL: &str = "id > 0; UPDATE chunks SET text = '' WHERE id = 0";

fn steps(report: &Value) -> Vec<(Value, Value, Value)> {
    let actions = report["actions"].as_array().unwrap();
    let one = |one: &Value| {
        (
            one["kind"].clone(),
            one["target"].clone(),
            one["reason"].clone(),
        )
    };
    actions.iter().map(one).collect()
}

/// Whether an index was made from its table is told by what both have: that has to be asked while it is still there.
#[test]
fn what_was_decided_before_rows_went_holds_when_they_are_gone() {
    // Few rows stay that it has; none; and none at all.
    for (held, more, idle, line) in [
        (60, 50, "id < 25", "--yes"),
        (5, 19, "id < 5", "--yes --rebuild-index"),
        (60, 0, ALL, "--yes"),
    ] {
        let memory = Memory::new("IDMap2,Flat", "L2", held, 8);
        sql(
            &memory.database(),
            &format!(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {more})
                 INSERT INTO embeddings SELECT 1000 + n, vector, last_accessed FROM n, embeddings WHERE id = n % 5 AND n <= {more};
                 INSERT INTO chunks SELECT id, NULL, id, 'some text' FROM embeddings WHERE id > 1000;"
            ),
        );
        memory.idle(idle);
        let (_, dry) = memory.clean(&format!("{line} --dry-run"));
        let (code, report) = memory.clean(line);
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(steps(&dry), steps(&report));
        assert_eq!(report["data"]["indices"][0]["rebuilt"], true, "{report:#}");
        memory.require_true();
        let (code, again) = memory.clean("");
        assert_eq!((code, actions(&again)), (0, Vec::new()), "{again:#}");
    }
}

/// What is left of an index is judged by its own numbers, whatever its table has: never more than all of it differs.
#[test]
fn no_more_than_all_of_an_index_differs() {
    let memory = Memory::new("IDMap2,Flat", "L2", 20, 8);
    sql(
        &memory.database(),
        "UPDATE embeddings SET id = id + 1000; UPDATE chunks SET embedding_id = embedding_id + 1000",
    );
    let (_, report) = memory.clean("");
    let told = finding(&report, "rag-clean.index-drift")["message"].to_string();
    assert!(told.contains("100.0% of the index differ"), "{told}");
}

/// Killed when all is gone that the index and the table had in common, which is what tells that one is made from the other.
#[test]
fn killed_when_everything_is_gone_the_next_run_empties_the_index() {
    for line in ["", "--rebuild-index"] {
        let memory = Memory::new("IDMap2,Flat", "L2", 60, 8);
        memory.idle(ALL);
        let mut command = memory
            .server
            .command(["rag-clean", "--yes", "--now", NOW, "--json"]);
        let data = memory.server.root().join("data");
        drop(Paused::before(
            "unlink",
            "rag.faiss.new",
            &data,
            &mut command,
        ));
        assert_eq!(
            (memory.ids().len(), data.join("rag.faiss.pending").exists()),
            (0, true)
        );
        let (_, dry) = memory.clean(&format!("{line} --dry-run"));
        let (code, report) = memory.clean(line);
        assert_eq!(code, 0, "{report:#}"); // the killed one was told of already
        assert_eq!(steps(&dry), steps(&report));
        memory.require_true();
        assert!(!data.join("rag.faiss.pending").exists());
    }
}

/// A mark is about the file that was there: what somebody has written since is judged as it is.
#[test]
fn a_mark_says_nothing_of_an_index_that_is_newer() {
    let memory = Memory::new("IDMap2,Flat", "L2", 60, 8);
    let data = memory.server.root().join("data");
    fs::write(data.join("rag.faiss.pending"), "").unwrap();
    // As it is, nothing is left to do.
    let (code, report) = memory.clean("");
    assert_eq!((code, actions(&report)), (0, Vec::new()), "{report:#}");
    assert!(!data.join("rag.faiss.pending").exists());
    fs::write(data.join("rag.faiss.pending"), "").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let index = fs::read(memory.index()).unwrap();
    fs::write(memory.index(), &index).unwrap();
    sql(&memory.database(), "UPDATE embeddings SET id = id + 1000");
    let (code, report) = memory.clean("--step idle");
    assert_eq!(code, 2, "{report:#}");
    let refused = finding(&report, "rag-clean.index-refused")["message"].to_string();
    assert!(refused.contains("none of its 60 ids"), "{refused}");
    assert_eq!(fs::read(memory.index()).unwrap(), index);
}

/// The folder is the application's: what it has put under the name of the mark is not written to.
#[test]
fn what_has_the_name_of_the_mark_stays_as_it_is() {
    let memory = Memory::new("IDMap2,Flat", "L2", 60, 8);
    memory.idle("id < 6");
    let mark = memory.index().with_file_name("rag.faiss.pending");
    fs::create_dir(&mark).unwrap();
    let (code, report) = memory.clean("");
    assert_eq!((code, memory.ids().len()), (2, 60), "{report:#}");
    fs::remove_dir(&mark).unwrap();
    let other = memory.server.path().join("other");
    fs::write(&other, "something").unwrap();
    fs::hard_link(&other, &mark).unwrap();
    let (code, report) = memory.clean("");
    assert_eq!(code, 0, "{report:#}");
    assert!(!mark.exists());
    assert_eq!(fs::read_to_string(&other).unwrap(), "something");
    memory.require_true();
}

#[test]
fn the_largest_id_is_one_like_any_other() {
    for factory in ["IDMap2,Flat", "Flat"] {
        let memory = Memory::new(factory, "L2", 20, 8);
        sql(
            &memory.database(),
            "UPDATE embeddings SET id = 9223372036854775807 WHERE id = 19;
             UPDATE chunks SET embedding_id = 9223372036854775807 WHERE embedding_id = 19",
        );
        let (code, report) = memory.clean("--rebuild-index");
        match factory {
            "Flat" => {
                let refused = finding(&report, "rag-clean.index-refused")["message"].to_string();
                assert!(refused.contains("are not 0 to 19"), "{refused}");
            }
            _ => {
                assert_eq!(code, 0, "{report:#}");
                memory.require_true();
            }
        }
    }
    // As many as there are positions, and the last one is right, and yet they are others.
    let memory = Memory::new("Flat", "L2", 20, 8);
    sql(
        &memory.database(),
        "UPDATE embeddings SET id = -1 WHERE id = 0; UPDATE chunks SET embedding_id = -1 WHERE embedding_id = 0",
    );
    let (code, report) = memory.clean("--rebuild-index");
    assert_eq!(code, 2, "{report:#}");
    finding(&report, "rag-clean.index-refused");
}

/// A real disk that has room for the index, but not for the log of the rows that go. Mounting it needs root.
#[test]
fn the_log_of_what_goes_has_to_fit_too() {
    let mounts = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .status();
    if !mounts.is_ok_and(|status| status.success()) {
        return;
    }
    let memory = Memory::new("IDMap2,Flat", "L2", 4_000, 16);
    memory.idle("id % 5 = 0");
    let script = format!(
        "cd '{root}'; cp -a data data.kept; mount -t tmpfs -o size=8m tmpfs data || exit 99
         cp -a data.kept/. data
         clean() {{ {BINARY} -c '{config}' rag-clean --yes --now {NOW} --json >\"../$1\"; echo $? >>../codes; }}
         head -c $(($(df --output=avail -B1 data | tail -1) - 700000)) /dev/zero >data/fill
         clean first; ls data >../left; rm data/fill; clean second
         cp -a data/. data.kept; umount data; cp -a data.kept/. data",
        root = memory.server.root().display(),
        config = memory.server.config_path().display(),
    );
    let ran = Ran::of(Command::new("unshare").args(["-m", "sh", "-c", &script]));
    let read = |name: &str| fs::read_to_string(memory.server.path().join(name)).unwrap();
    assert_eq!(read("codes"), "2\n0\n", "{ran:?}");
    let first: Value = serde_json::from_str(&read("first")).unwrap();
    let refused = finding(&first, "rag-clean.refused")["message"].to_string();
    assert!(
        refused.contains("the new index and the log of what goes"),
        "{refused}"
    );
    assert!(!read("left").contains("pending"), "{}", read("left"));
    assert_eq!(memory.ids().len(), 3_200);
    memory.require_true();
}

/// Breaks a run at many points: at each the application finds a whole index and a sound database, and the next run finishes.
fn survives(factory: &str, idle: &str, kind: Kind) {
    let bare = matches!(factory, "Flat" | "HNSW8,Flat");
    let lines = match bare {
        true => "positions_map = \"data/rag.ids.npy\"\n",
        false => "",
    };
    let memory = Memory::with(factory, "L2", 300, 8, lines);
    let map = match bare {
        true => memory.map("npy"),
        false => memory.index(),
    };
    let old_map = fs::read(&map).unwrap();
    memory.idle(idle);
    let old = fs::read(memory.index()).unwrap();
    let read = || (fs::read(memory.index()).unwrap(), fs::read(&map).unwrap());
    let line = format!("rag-clean --yes --now {NOW} --json");
    everywhere(
        &memory.server,
        &line,
        kind,
        30,
        || {
            let end = read();
            assert!(end.0 != old);
            end
        },
        |(new, new_map), broken, place| {
            let (now, its) = read();
            assert!(
                now == old || now == *new,
                "half an index; {factory} {place}"
            );
            // The old map may be with the new index for a moment, never the new one with the old.
            assert!(
                its == old_map || its == *new_map && now == *new,
                "half a map; {factory} {place}"
            );
            let sound = "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
            let look = memory.server.path().join("look");
            let _ = fs::remove_dir_all(&look);
            copy(&memory.server.root().join("data"), &look);
            assert_eq!(number(&look.join("rag.db"), sound), 0, "{factory} {place}");
            let again = memory.server.run(&line);
            let place = format!("{factory} {place}\nand again: {again:?}");
            assert_eq!(again.code, i32::from(broken.code == -1), "{place}"); // a killed run is told of
            assert!(read() == (new.clone(), new_map.clone()), "{place}");
            for left in [
                "rag.faiss.new",
                "rag.faiss.bak.new",
                "rag.faiss.pending",
                "rag.faiss.pending.new",
                "rag.ids.npy.new",
                "rag.ids.npy.bak.new",
            ] {
                assert!(
                    !memory.server.root().join("data").join(left).exists(),
                    "{left}; {place}"
                );
            }
        },
    );
}

#[test]
fn killed_anywhere_the_index_is_whole() {
    survives("IDMap2,Flat", SOME, Kind::Kill);
    survives("IDMap2,Flat", ALL, Kind::Kill);
    survives("IVF4,Flat", SOME, Kind::Kill);
    survives("HNSW8,Flat", SOME, Kind::Kill);
}

#[test]
fn a_disk_that_fills_up_costs_neither_row_nor_index() {
    survives("IDMap2,Flat", SOME, Kind::Enospc { sticky: true });
    survives("IDMap2,Flat", ALL, Kind::Enospc { sticky: true });
    survives("HNSW8,Flat", SOME, Kind::Enospc { sticky: true });
}
