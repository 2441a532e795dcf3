"""The real FAISS beside ours: makes indices from a rag.db as an application would, and tells what it finds in a file."""

import json
import os
import sqlite3
import sys

import faiss
import numpy as np

faiss.omp_set_num_threads(1)


def rows(database):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    found = connection.execute("SELECT id, vector FROM embeddings WHERE vector IS NOT NULL ORDER BY id").fetchall()
    ids = np.array([one[0] for one in found], dtype="int64")
    width = len(found[0][1]) // 4 if found else 1
    vectors = np.frombuffer(b"".join(one[1] for one in found), dtype="float32").reshape(-1, width)
    return ids, vectors


def fill(database, count, dimension, seed=7):
    """Clustered vectors, some of them twice, under ids with gaps."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(count // 50, 1), dimension))
    vectors = (centres[random.integers(len(centres), size=count)] + 0.9 * random.normal(size=(count, dimension))).astype("float32")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    connection = sqlite3.connect(database)
    connection.executemany(
        "INSERT INTO embeddings (id, vector, last_accessed) VALUES (?, ?, datetime('2026-11-07'))",
        ((int(at), vectors[at].tobytes()) for at in range(count)),
    )
    connection.executemany("INSERT INTO chunks (id, embedding_id, text) VALUES (?, ?, 'some text')", ((at, at) for at in range(count)))
    connection.commit()


def make(database, path, factory, metric, normalise):
    ids, vectors = rows(database)
    if normalise == "normalise":
        vectors = vectors.copy()
        faiss.normalize_L2(vectors)
    metric = faiss.METRIC_L2 if metric == "L2" else faiss.METRIC_INNER_PRODUCT
    index = faiss.index_factory(vectors.shape[1], factory, metric)
    index.train(vectors)
    if "IDMap" in factory or "IVF" in factory:
        index.add_with_ids(vectors, ids)
    else:
        index.add(vectors)
    faiss.write_index(index, path)


def again(database, before, path):
    """The table's vectors in an IVF with the centroids of another one."""
    ids, vectors = rows(database)
    old = faiss.read_index(before)
    inner = faiss.downcast_index(old.index) if hasattr(old, "id_map") else old
    ivf = faiss.IndexIVFFlat(inner.quantizer, inner.d, inner.nlist, inner.metric_type)
    ivf.nprobe = inner.nprobe
    index = faiss.IndexIDMap2(ivf) if hasattr(old, "id_map") else ivf
    index.is_trained = True
    index.add_with_ids(vectors, ids)
    faiss.write_index(index, path)


def look(database, path):
    """Which ids it holds, and how much of what is nearest a search finds."""
    ids, vectors = rows(database)
    index = faiss.read_index(path)
    queries = vectors[:: max(len(vectors) // 200, 1)]
    order = 1 if index.metric_type == faiss.METRIC_L2 else -1
    recall, selves, wide = 1.0, 1.0, None
    if len(queries):
        if index.metric_type == faiss.METRIC_L2:
            far = (queries**2).sum(1)[:, None] + (vectors**2).sum(1)[None] - 2 * queries @ vectors.T
        else:
            far = queries @ vectors.T
        k = min(10, len(vectors))
        exact = ids[np.argsort(order * far, axis=1, kind="stable")[:, :k]]
        searched = lambda: index.search(queries, k)[1]
        share = lambda found: float(np.mean([len(set(a) & set(b)) / k for a, b in zip(exact, found)]))
        found = searched()
        recall = share(found)
        if isinstance(index, faiss.IndexIVF):
            index.nprobe = 8
            wide = share(searched())
        selves = float(np.mean(found[:, 0] == exact[:, 0]))
    inner = index
    if hasattr(index, "id_map"):
        held = faiss.vector_to_array(index.id_map).tolist()
        inner = faiss.downcast_index(index.index)
    elif isinstance(index, faiss.IndexIVF):
        held = [
            int(one)
            for at in range(index.nlist)
            for one in faiss.rev_swig_ptr(index.invlists.get_ids(at), index.invlists.list_size(at))
        ]
    else:
        held = list(range(index.ntotal))
    print(json.dumps({
        "ntotal": index.ntotal,
        "d": index.d,
        "type": type(inner).__name__,
        "outer": type(index).__name__,
        "ids": sorted(held),
        "recall": recall,
        "recall_of_8_lists": wide,
        "selves": selves,
        "longest": max(inner.invlists.list_size(at) for at in range(inner.nlist)) if isinstance(inner, faiss.IndexIVF) else None,
    }))


def spoil(path, database):
    """Centroids of which one takes nearly everything."""
    ids, vectors = rows(database)
    quantizer = faiss.IndexFlatL2(vectors.shape[1])
    far = np.random.default_rng(3).normal(size=(15, vectors.shape[1])).astype("float32") * 5
    quantizer.add(np.concatenate([vectors.mean(0, keepdims=True), far]))
    index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], 16)
    index.is_trained = True
    index.add_with_ids(vectors, ids)
    faiss.write_index(index, path)


def flats(database, folder, dimension):
    """What FAISS writes of the table, in each of the Flat kinds that keep its ids."""
    ids, vectors = rows(database)
    vectors = vectors.reshape(-1, int(dimension))
    for name, metric in (("L2", faiss.METRIC_L2), ("IP", faiss.METRIC_INNER_PRODUCT)):
        bare = faiss.IndexFlat(int(dimension), metric)
        bare.add(vectors)
        faiss.write_index(bare, f"{folder}/bare.{name}")
        mapped = faiss.IndexIDMap2(faiss.IndexFlat(int(dimension), metric))
        mapped.add_with_ids(vectors, ids)
        faiss.write_index(mapped, f"{folder}/mapped.{name}")


def positions(database, path, form):
    """The ids of a bare index, in the order in which it was filled."""
    ids, _ = rows(database)
    if form == "npy":
        np.save(open(path, "wb"), ids)
    else:
        json.dump(ids.tolist(), open(path, "w"))


def pairs(database, *paths):
    """For each index with its map: vectors, ids, and how many positions have the id of a row with another vector."""
    ids, vectors = rows(database)
    held = {int(one): vectors[at] for at, one in enumerate(ids)}
    found = []
    for index, positions in zip(paths[::2], paths[1::2]):
        index = faiss.read_index(index)
        with open(positions, "rb") as file:
            known = np.load(file).tolist() if file.read(1) == b"\x93" and not file.seek(0) else json.load(open(positions))
        wrong = sum(
            1
            for at, one in enumerate(known[: index.ntotal])
            if one in held and not np.array_equal(index.reconstruct(at), held[one])
        )
        found.append({"ntotal": index.ntotal, "ids": known, "wrong": wrong})
    print(json.dumps(found))


def watch(path, stop):
    """Reads and searches the file over and over until the other one is there."""
    reads, failed, totals = 0, [], set()
    print("ready", flush=True)
    while not os.path.exists(stop):
        try:
            index = faiss.read_index(path)
            query = np.full((1, index.d), 0.1, dtype="float32")
            if index.search(query, 1)[1][0][0] < 0:
                failed.append("found nothing")
            totals.add(index.ntotal)
        except Exception as error:
            failed.append(str(error))
        reads += 1
    print(json.dumps({"reads": reads, "failed": failed, "totals": sorted(totals)}))


def main():
    verb, *words = sys.argv[1:]
    if verb == "fill":
        fill(words[0], int(words[1]), int(words[2]))
    elif verb == "make":
        make(*words)
    elif verb == "again":
        again(*words)
    elif verb == "look":
        look(*words)
    elif verb in ("flats", "spoil", "positions", "pairs", "watch"):
        globals()[verb](*words)
    else:
        sys.exit(f"no such verb: {verb}")


main()
