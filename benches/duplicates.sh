#!/usr/bin/env bash
# Near-duplicates beside datasketch (MinHash and MinHashLSH, 128 permutations, runs of three words, threshold 0.7), on the same texts.
#   benches/duplicates.sh        about twenty minutes, most of it the judge, which is exact and in Python
# COUNTS="10000 100000" ROUNDS=3 WORK=/path MAN=/usr/share/man change the numbers of texts, the rounds, and the folders.
# The processors' seconds count: all of ours, reading and printing too; of datasketch only those from the first text to the last.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in python3; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 3; }
done
[ -x /usr/bin/time ] || { echo "needs time" >&2; exit 3; }
cargo build --release --locked --quiet --example similar
ours=$PWD/target/release/examples/similar
peer=$PWD/benches/duplicates.py
work=$(mktemp -d -p "${WORK:-/var/tmp}" empire-maint-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet datasketch
export OMP_NUM_THREADS=1

for kind in man random; do
    for count in ${COUNTS:-10000 100000}; do
        python3 "$peer" make "$kind" "$count" texts
        for _ in $(seq "${ROUNDS:-3}"); do
            nice /usr/bin/time -f "$kind $count, ours: %U + %S s of the processors, %e s, %M KiB" "$ours" texts 0.7 >ours
            nice /usr/bin/time -f "$kind $count, datasketch: %U + %S s in all, %e s, %M KiB" venv/bin/python "$peer" datasketch texts 0.7 >theirs
            nice /usr/bin/time -f "$kind $count, datasketch, checked: %U + %S s in all, %e s, %M KiB" venv/bin/python "$peer" datasketch texts 0.7 checked >checked
        done
        echo "$kind $count, ours: $(python3 "$peer" judge texts 0.7 ours)"
        echo "$kind $count, datasketch: $(python3 "$peer" judge texts 0.7 theirs)"
        echo "$kind $count, datasketch, checked: $(python3 "$peer" judge texts 0.7 checked)"
    done
done
