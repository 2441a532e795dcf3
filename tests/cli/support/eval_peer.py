"""What our figures of retrieval are compared with: trec_eval's own code, and the real FAISS."""

import json
import os
import sqlite3
import sys


def measures(folder, k):
    """For every pair `N.qrels`, `N.run` of the folder the four measures a query, by trec_eval's code."""
    import pytrec_eval

    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".qrels"):
            continue
        number = name.removesuffix(".qrels")
        with open(os.path.join(folder, name)) as file:
            qrels = pytrec_eval.parse_qrel(file)
        with open(os.path.join(folder, number + ".run")) as file:
            run = pytrec_eval.parse_run(file)
        asked = {f"P.{k}", f"recall.{k}", "recip_rank", f"ndcg_cut.{k}"}
        scores = pytrec_eval.RelevanceEvaluator(qrels, asked).evaluate(run)
        found[number] = {
            query: [one[f"P_{k}"], one[f"recall_{k}"], one["recip_rank"], one[f"ndcg_cut_{k}"]]
            for query, one in scores.items()
        }
    print(json.dumps(found))


def rows(database):
    import numpy as np

    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    found = connection.execute("SELECT id, vector FROM embeddings WHERE vector IS NOT NULL ORDER BY id").fetchall()
    ids = np.array([one[0] for one in found], dtype="int64")
    return ids, np.frombuffer(b"".join(one[1] for one in found), dtype="float32").reshape(len(found), -1)


def labels(database, path, count, k):
    """Queries near to stored vectors, labelled with what is exactly nearest."""
    import numpy as np

    ids, vectors = rows(database)
    random = np.random.default_rng(11)
    chosen = random.choice(len(ids), size=count, replace=False)
    queries = (vectors[chosen] + 0.05 * random.normal(size=(count, vectors.shape[1]))).astype("float32")
    far = (queries**2).sum(1)[:, None] + (vectors**2).sum(1)[None] - 2 * queries @ vectors.T
    exact = ids[np.argsort(far, axis=1, kind="stable")[:, :k]]
    with open(path, "w") as file:
        for at in range(count):
            line = {"id": f"q{at:04}", "query": f"question {at}", "vector": queries[at].tolist(), "relevant": exact[at].tolist()}
            print(json.dumps(line), file=file)


def sweep(path, labels, k, settings):
    """recall@k of an index as FAISS searches it, for each setting."""
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(1)
    index = faiss.read_index(path)
    lines = [json.loads(line) for line in open(labels)]
    queries = np.array([one["vector"] for one in lines], dtype="float32")
    inner = faiss.downcast_index(index.index) if hasattr(index, "id_map") else index
    found = {}
    for setting in settings:
        if isinstance(inner, faiss.IndexIVF):
            inner.nprobe = setting
        else:
            inner.hnsw.efSearch = setting
        _, ids = index.search(queries, k)
        truth = [set(one["relevant"]) for one in lines]
        found[setting] = float(np.mean([len(truth[at] & set(ids[at].tolist())) / k for at in range(len(lines))]))
    print(json.dumps(found))


def main():
    verb, *words = sys.argv[1:]
    if verb == "measures":
        measures(words[0], int(words[1]))
    elif verb == "labels":
        labels(words[0], words[1], int(words[2]), int(words[3]))
    elif verb == "sweep":
        sweep(words[0], words[1], int(words[2]), [int(one) for one in words[3].split(",")])
    else:
        sys.exit(f"no such verb: {verb}")


main()
