"""How often `rag-eval` suspects an ordinary text, and how many of our samples of injections it finds.

    python3 benches/memories.py target/release/empire-maint [FOLDER...]

Puts every text under the folders (by default the manual pages and documentation of this Debian) into a rag.db, in chunks of about
1,500 characters at the ends of paragraphs, and the lines of benches/injections.txt into another one.
"""

import collections
import gzip
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

TABLES = """
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, vector BLOB);
    CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id TEXT, embedding_id INTEGER, text TEXT);
"""
SIZE = 1500


def texts(folders):
    seen = set()
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if not path.is_file() or path.resolve() in seen:
                continue
            seen.add(path.resolve())
            raw = path.read_bytes()
            try:
                raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
                yield path, raw.decode()
            except (UnicodeDecodeError, OSError, EOFError):
                continue


def chunks(text):
    part = ""
    for paragraph in re.split(r"\n\s*\n", text):
        if part and len(part) + len(paragraph) > SIZE:
            yield part
            part = ""
        part += paragraph + "\n\n"
    if part.strip():
        yield part


def run(program, rows):
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(f"{folder}/rag.db")
        connection.executescript(TABLES)
        connection.executemany("INSERT INTO chunks (document_id, text) VALUES (?, ?)", rows)
        connection.commit()
        connection.close()
        config = f'[app]\nroot = "{folder}"\n[state]\ndir = "{folder}/state"\n[[database]]\nname = "rag_db"\npath = "rag.db"\n'
        pathlib.Path(f"{folder}/config.toml").write_text(config)
        command = [program, "-c", f"{folder}/config.toml", "rag-eval", "--only", "memories", "--json"]
        before = os.times()
        output = subprocess.run(command, capture_output=True, text=True)
        after = os.times()
        seconds = after.children_user - before.children_user + after.children_system - before.children_system
        return json.loads(output.stdout)["data"]["memories"], seconds


def main():
    program, *folders = sys.argv[1:]
    rows, size = [], 0
    for path, text in texts(folders or ["/usr/share/man", "/usr/share/doc"]):
        for chunk in chunks(text):
            rows.append((str(path), chunk))
            size += len(chunk)
    found, seconds = run(program, rows)
    rules = collections.Counter(one["rule"] for one in found["suspects"])
    flagged = {one["id"] for one in found["suspects"]}
    print(f"ordinary: {len(rows)} chunks, {size / 1e6:.0f} MB, {seconds:.1f} s of processor time; {len(flagged)} suspected")
    for rule, count in rules.most_common():
        print(f"  {rule}: {count}")
    for one in [one for one in found["suspects"] if not one["rule"].startswith("secret.")][:60]:
        print("   ", one["rule"], rows[int(one["id"]) - 1][0], "|", one["message"][:200])
    lines = pathlib.Path(__file__).with_name("injections.txt").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    lines = [re.sub(r"\\u\{([0-9a-f]+)\}", lambda hit: chr(int(hit[1], 16)), line) for line in lines]
    found, _ = run(program, [("", line) for line in lines])
    flagged = {int(one["id"]) for one in found["suspects"]}
    print(f"samples: {len(flagged)} of {len(lines)} found")
    for at, line in enumerate(lines, 1):
        if at not in flagged:
            print("    not found:", line)


main()
