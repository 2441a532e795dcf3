"""An external_command as an operator would write one: builds an index of a kind from the table, and lists the ids. How it misbehaves is
its second argument."""

import os
import sqlite3
import sys
import time

import faiss
import numpy as np

faiss.omp_set_num_threads(1)
factory, how = sys.argv[1:]
told = {name: os.environ["EMPIRE_MAINT_" + name] for name in ("DATABASE", "TABLE", "ID", "VECTOR", "INDEX", "OUTPUT", "IDS")}
if how == "fail":
    sys.exit("there is no model")
if how == "slow":
    time.sleep(600)
connection = sqlite3.connect(f"file:{told['DATABASE']}?mode=ro", uri=True)
found = connection.execute(f"SELECT {told['ID']}, {told['VECTOR']} FROM {told['TABLE']} ORDER BY 1").fetchall()
if how == "short":
    found = found[:-3]
ids = np.array([one[0] for one in found], dtype="int64")
vectors = np.frombuffer(b"".join(one[1] for one in found), dtype="float32").reshape(len(ids), -1)
old = faiss.read_index(told["INDEX"])
index = faiss.index_factory(vectors.shape[1], factory, old.metric_type)
index.train(vectors)
index.add_with_ids(vectors, ids)
faiss.write_index(index, told["OUTPUT"])
if how == "lie":
    ids = ids[:-1]
if how != "silent":
    np.save(open(told["IDS"], "wb"), ids)
