"""FAISS indices built by `rag-clean --rebuild-index` beside faiss-cpu's own, and a million chunks cleaned beside a reader and a writer.

    target/python/bin/python3 benches/rag.py target/release/empire-maint [index|clean]

./test sets that Python up. `index` takes about six minutes and 2 GiB of memory, `clean` two. COUNT=100000 DIMENSION=384 ROUNDS=4
LISTS=1024 CHUNKS=1000000 change the sizes. Both sides have the same two threads and nice 10. What faiss-cpu takes is `train` and `add` alone, with
the vectors in memory; ours is reading rag.db, building, writing and syncing, and on its own line the whole run with its proof.
"""

import json
import os
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import faiss
import numpy as np

COUNT, DIMENSION = int(os.environ.get("COUNT", 100_000)), int(os.environ.get("DIMENSION", 384))
LISTS = int(os.environ.get("LISTS", 1024))
ROUNDS, CHUNKS = int(os.environ.get("ROUNDS", 4)), int(os.environ.get("CHUNKS", 1_000_000))
THREADS = len(os.sched_getaffinity(0))
TABLES = """
    PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
    CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT);
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB, last_accessed TEXT);
    CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER, embedding_id INTEGER, text TEXT);
    CREATE INDEX chunks_by_embedding ON chunks (embedding_id);
"""


def clustered(random, centres, count):
    """Directions around centres, as texts about the same thing have."""
    near = centres[random.integers(len(centres), size=count)]
    vectors = (near + 0.9 * random.normal(size=near.shape)).astype("float32")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def database(path, vectors, accessed):
    connection = sqlite3.connect(path)
    connection.executescript(TABLES)
    connection.executemany("INSERT INTO embeddings VALUES (?, ?, ?)", ((at, one.tobytes(), accessed(at)) for at, one in enumerate(vectors)))
    connection.executemany("INSERT INTO chunks VALUES (?, NULL, ?, ?)", ((at, at, f"text number {at} of a memory that is searched") for at in range(len(vectors))))
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def configuration(root, lines):
    path = root / "config.toml"
    path.write_text(f'[app]\nroot = "{root}"\n[state]\ndir = "{root}/state"\n[[database]]\nname = "rag_db"\npath = "rag.db"\n[rag]\ndatabase = "rag_db"\n{lines}')
    return path


def ours(program, config, *words):
    """The report, the seconds of the clock, and the peak of memory in MiB."""
    peak = config.with_suffix(".peak")
    began = time.monotonic()
    # A child of ours would have our own peak: it is kept over exec.
    command = ["/usr/bin/time", "-o", peak, "-f", "%M", program, "-c", config, "rag-clean", "--no-backup-check", "--json", *words]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    took = time.monotonic() - began
    if ran.returncode > 1:
        sys.exit(ran.stdout.decode())
    return json.loads(ran.stdout), took, int(peak.read_text().split()[-1]) / 1024


def recalls(path, order, queries, exact, widths):
    """How many of the ten nearest the index finds, whose ids count in its own order."""
    index = faiss.read_index(str(path))
    found = []
    for width in widths:
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efSearch = width
        else:
            index.nprobe = width
        _, got = index.search(queries, 10)
        found.append(float(np.mean([len(set(order[a]) & set(b)) / 10 for a, b in zip(got, exact)])))
    return found


def indices(program, folder):
    random = np.random.default_rng(7)
    centres = random.normal(size=(COUNT // 50, DIMENSION))
    vectors, queries = clustered(random, centres, COUNT), clustered(random, centres, 10_000)
    flat = faiss.IndexFlatL2(DIMENSION)
    flat.add(vectors)
    _, exact = flat.search(queries, 10)
    print(f"{COUNT} x {DIMENSION}, {THREADS} threads, {ROUNDS} rounds, each with the vectors in another order\n")
    print("| index | faiss-cpu: train and add, s | ours: read, build, write, s | over it | the whole run with its proof, s | its peak, MiB |")
    print("|---|---|---|---|---|---|")
    found = []
    for factory, widths in [("Flat", []), ("HNSW32", [16, 32, 64, 128, 256]), (f"IVF{LISTS},Flat", [1, 8])]:
        theirs_took, ours_took, whole, peaks, theirs, mine = [], [], [], [], [], []
        for at in range(ROUNDS):
            root = folder / f"{factory.replace(',', '-')}-{at}"
            root.mkdir()
            order = random.permutation(COUNT)
            ordered = vectors[order]
            database(root / "rag.db", ordered, lambda _: "2026-11-07 00:00:00")
            config = configuration(root, '[[rag.index]]\npath = "rag.faiss"\n')
            index = faiss.index_factory(DIMENSION, factory, faiss.METRIC_L2)
            began = time.monotonic()
            index.train(ordered)
            index.add(ordered)
            theirs_took.append(time.monotonic() - began)
            faiss.write_index(index, str(root / "theirs"))
            shutil.copy(root / "theirs", root / "rag.faiss")
            report, took, peak = ours(program, config, "--rebuild-index", *(["--retrain"] if "IVF" in factory else []))
            one = report["data"]["indices"][0]
            assert one["rebuilt"], report
            ours_took.append(one["build_ms"] / 1000)
            whole.append(took)
            peaks.append(peak)
            if widths:
                theirs.append(recalls(root / "theirs", order, queries, exact, widths))
                mine.append(recalls(root / "rag.faiss", order, queries, exact, widths))
            elif (root / "theirs").read_bytes() != (root / "rag.faiss").read_bytes():
                sys.exit(f"{factory}: other bytes than FAISS's")
            shutil.rmtree(root)
        ratio = statistics.median(b / a for a, b in zip(theirs_took, ours_took))
        a, b, c = map(statistics.median, (theirs_took, ours_took, whole))
        print(f"| {factory} | {a:.2f} | {b:.2f} | {ratio:.2f} | {c:.2f} | {max(peaks):.0f} |", flush=True)
        found.append((factory, widths, theirs, mine))
    for factory, widths, theirs, mine in found[1:]:
        name = "efSearch" if "HNSW" in factory else "nprobe"
        print(f"\n| {factory}, recall@10 of {len(queries)} queries at {name} | " + " | ".join(map(str, widths)) + " |\n|---" + "|---" * len(widths) + "|")
        for whose, rows in [("faiss-cpu", theirs), ("ours", mine)]:
            cells = (f"{np.mean(one):.4f} ({min(one):.4f} to {max(one):.4f})" for one in zip(*rows))
            print(f"| {whose}: mean (least to most) | " + " | ".join(cells) + " |")


def clean(program, folder):
    """A third of the memory is idle and goes, while a reader reads and a writer commits."""
    path = folder / "rag.db"
    random = np.random.default_rng(7)
    vectors = random.normal(size=(CHUNKS, 32)).astype("float32")
    database(path, vectors, lambda at: time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 86400 * (200 if at % 3 == 0 else 1))))
    config = configuration(folder, "max_fraction = 0.5\n")
    waits, reads, over = [], [0], threading.Event()

    def write():
        connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        at = 0
        while not over.is_set():
            asked = time.monotonic()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE embeddings SET last_accessed = datetime('now') WHERE id = ?", (at * 3 % CHUNKS + 1,))
            connection.execute("COMMIT")
            waits.append((time.monotonic() - asked) * 1000)
            at += 1
            time.sleep(0.02)

    def read():
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        while not over.is_set():
            connection.execute("SELECT count(*) FROM chunks JOIN embeddings ON embeddings.id = chunks.embedding_id WHERE chunks.id < 10000").fetchone()
            reads[0] += 1

    workers = [threading.Thread(target=write), threading.Thread(target=read)]
    [one.start() for one in workers]
    report, took, peak = ours(program, config)
    over.set()
    [one.join() for one in workers]
    data = report["data"]
    held = [one["value"] for one in report["metrics"] if one["name"].endswith("longest_lock_ms")]
    print(f"{CHUNKS} chunks, {report['summary']}: {took:.1f} s, peak {peak:.0f} MiB")
    print(f"the write lock was held for {max(held):.1f} ms at most; {len(waits)} commits beside it, the longest {max(waits):.0f} ms; {reads[0]} reads")
    left = sqlite3.connect(path).execute("SELECT (SELECT count(*) FROM embeddings), (SELECT count(*) FROM chunks), (SELECT count(*) FROM chunks WHERE embedding_id NOT IN (SELECT id FROM embeddings))").fetchone()
    print(f"left: {left[0]} embeddings, {left[1]} chunks, {left[2]} of them without theirs")


def main():
    program = os.path.abspath(sys.argv[1])
    what = sys.argv[2:] or ["index", "clean"]
    faiss.omp_set_num_threads(THREADS)
    os.nice(10)
    with tempfile.TemporaryDirectory(prefix="empire-maint-bench-", dir=os.environ.get("WORK", "/var/tmp")) as folder:
        for one in what:
            place = pathlib.Path(folder) / one
            place.mkdir()
            {"index": indices, "clean": clean}[one](program, place)


main()
