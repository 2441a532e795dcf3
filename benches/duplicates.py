"""Texts with planted duplicates, datasketch on them, and a judge of what was found that is exact.

    make random|man N FILE     N texts of 20 words and more, one a line; one in ten is another one with some words changed
    datasketch FILE THRESHOLD [checked]  who stays and who goes for it, as benches/similar.rs prints it; processor seconds to standard
                               error. "checked": what it proposes counts only where the true likeness of the two is enough
    judge FILE THRESHOLD FOUND precision and recall

"Random" words come from a vocabulary of 50,000. "man" are this machine's manual pages (MAN, a folder), their commands left out, cut
into pieces of 120 words: real text, with licences and options that many pages share.
"""

import gzip
import os
import random
import re
import sys
import time
from collections import defaultdict
from math import ceil

WORDS = {"random": 150, "man": 120}
WORD = re.compile(r"[^\W_]+")


def shingles(text):
    words = [word.lower() for word in WORD.findall(text)]
    return {" ".join(words[at : at + 3]) for at in range(len(words) - 2)}


def manual(limit):
    folder = os.environ.get("MAN", "/usr/share/man")
    seen = 0
    for name in sorted(os.listdir(folder)):
        if not re.fullmatch(r"man\d", name):
            continue
        for page in sorted(os.listdir(os.path.join(folder, name))):
            path = os.path.join(folder, name, page)
            if os.path.islink(path) or not page.endswith(".gz"):
                continue
            with gzip.open(path, "rt", errors="replace") as file:
                lines = [line for line in file if not line.startswith(("'\\\"", ".\\\"", "'\\"))]
            text = " ".join(re.sub(r"^[.'][A-Za-z]+ ?", "", line) for line in lines)
            text = re.sub(r"\\f.|\\[&%|^ ]|\\\(..", " ", text).replace("\\-", "-")
            words = text.split()
            for at in range(0, len(words), WORDS["man"]):
                piece = words[at : at + WORDS["man"]]
                if len(WORD.findall(" ".join(piece))) >= 20:
                    yield piece
                    seen += 1
                    if seen == limit:
                        return


def make(kind, count, path):
    dice = random.Random(7)
    fresh = count - count // 10
    if kind == "man":
        texts = list(manual(10**9))
        dice.shuffle(texts)
        if len(texts) < fresh:
            sys.exit(f"only {len(texts)} pieces of manual pages are here, {fresh} are needed")
        texts = texts[:fresh]
    else:
        texts = [[f"w{dice.randrange(50_000)}" for _ in range(WORDS[kind])] for _ in range(fresh)]
    for at in range(count // 10):
        copy = list(texts[dice.randrange(fresh)])
        # From nothing to a word in ten, which is a likeness of about a half.
        for _ in range(dice.randrange(len(copy) // 10 + 1)):
            place, what = dice.randrange(len(copy)), dice.randrange(3)
            if what == 0:
                copy[place] = f"changed{dice.randrange(1000)}"
            elif what == 1:
                copy.insert(place, f"added{dice.randrange(1000)}")
            elif len(copy) > 25:
                del copy[place]
        texts.append(copy)
    with open(path, "w") as file:
        file.writelines(" ".join(text).replace("\x85", " ").replace("\u2028", " ") + "\n" for text in texts)


def read(path):
    with open(path, newline="\n") as file:
        return file.read().split("\n")[:-1]


def datasketch(path, threshold, checked=False):
    from datasketch import MinHash, MinHashLSH

    texts = read(path)
    began = time.process_time()
    lsh = MinHashLSH(threshold=threshold, num_perm=128)
    staying = {}
    for at, text in enumerate(texts):
        sketch, own = MinHash(num_perm=128), shingles(text)
        sketch.update_batch([one.encode() for one in own])
        found = lsh.query(sketch)
        if checked:
            found = [one for one in found if len(own & staying[one]) >= threshold * len(own | staying[one])]
        if found:
            print(min(found), at)
        else:
            lsh.insert(at, sketch)
            if checked:
                staying[at] = own
    print(f"{time.process_time() - began:.2f} s of a processor", file=sys.stderr)


def truth(texts, threshold):
    """For each text the earlier ones with at least that likeness: exact, as two such sets share one of their rarest members."""
    sets = [shingles(text) for text in texts]
    often = defaultdict(int)
    for one in sets:
        for shingle in one:
            often[shingle] += 1
    index, twins = defaultdict(list), []
    for at, one in enumerate(sets):
        rarest = sorted(one, key=lambda shingle: (often[shingle], shingle))
        prefix = rarest[: len(one) - ceil(threshold * len(one)) + 1]
        others = {other for shingle in prefix for other in index[shingle]}
        found = []
        for other in others:
            a, b = len(one), len(sets[other])
            if min(a, b) < threshold * max(a, b):
                continue
            common = len(one & sets[other])
            if common >= threshold * (a + b - common):
                found.append(other)
        twins.append(found)
        for shingle in prefix:
            index[shingle].append(at)
    return sets, twins


def judge(path, threshold, found):
    texts = read(path)
    sets, twins = truth(texts, threshold)
    # Every pair of some of them, to show that the truth is one.
    some = random.Random(3).sample(range(len(texts)), min(1500, len(texts)))
    some = sorted(some + [len(texts) - 1 - at for at in range(min(500, len(texts) // 10))])
    for first, at in enumerate(some):
        for other in some[:first]:
            common = len(sets[at] & sets[other])
            alike = common >= threshold * (len(sets[at]) + len(sets[other]) - common) and common > 0
            assert at == other or alike == (other in twins[at]), (at, other)
    gone = {int(line.split()[1]) for line in open(found)}
    both = defaultdict(set)
    for at, others in enumerate(twins):
        for other in others:
            both[at].add(other)
            both[other].add(at)
    right = sum(any(other not in gone for other in both[at]) for at in gone)
    missed = sum(at not in gone and any(other not in gone for other in twins[at]) for at in range(len(texts)))
    print(
        f"{len(gone)} go, precision {right / max(len(gone), 1):.4f}, recall {right / max(right + missed, 1):.4f}"
        f" ({len(gone) - right} without a twin that stays, {missed} stay beside one; {sum(map(bool, twins))} have one before them)"
    )


def main():
    verb, *words = sys.argv[1:]
    if verb == "make":
        make(words[0], int(words[1]), words[2])
    elif verb == "datasketch":
        datasketch(words[0], float(words[1]), words[2:] == ["checked"])
    elif verb == "judge":
        judge(words[0], float(words[1]), words[2])
    else:
        sys.exit(f"no such verb: {verb}")


main()
