#!/usr/bin/env bash
# integrity_check as optimize-db and verify-backup make it, on two connections, beside the sqlite3 shell's, on two databases of one
# size: rows in several tables, and one table that has nearly all of them.
#   benches/integrity.sh         about five minutes and 3 GiB of disk, on a machine that does nothing else: the clock is what counts
# MIB=1024 ROUNDS=3 WORK=/path change the size, the number of interleaved rounds, and the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

mib=${MIB:-1024}
rounds=${ROUNDS:-3}
for tool in sqlite3 jq bc; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 3; }
done
[ -x /usr/bin/time ] || { echo "needs time" >&2; exit 3; }

cargo build --release --locked --quiet --bin empire-maint --example live
program=$PWD/target/release/empire-maint
live=$PWD/target/release/examples/live
work=$(mktemp -d -p "${WORK:-/var/tmp}" empire-maint-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir data

echo "building two databases of $mib MiB" >&2
"$live" create data/several.db "$mib"
sqlite3 data/one.db >/dev/null <<SQL
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;
CREATE TABLE trades (id INTEGER PRIMARY KEY, deal_id INTEGER, symbol TEXT, reference TEXT, created_at TEXT);
BEGIN;
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $mib * 9000)
  INSERT INTO trades SELECT n, n % 60000, substr('AAPLMSFTNVDAGOOG', n % 4 * 4 + 1, 4), printf('%016x', n * 2654435761),
    datetime('2025-01-01', '+' || n || ' seconds') FROM c;
COMMIT;
CREATE INDEX trades_by_time ON trades (created_at);
PRAGMA wal_checkpoint(TRUNCATE);
SQL

for name in several one; do
    cat >"$name.toml" <<TOML
[app]
root = "$work"
[state]
dir = "$work/state"
[[database]]
name = "$name"
path = "data/$name.db"
TOML
done

median() { sort -n | sed -n "$(($1 / 2 + 1))p"; }

echo "| database | rows | sqlite3: s | its CPU s | ours: s | its CPU s, all threads | ours / sqlite3 (wanted: 0.6) |"
echo "|---|---|---|---|---|---|---|"
for name in several one; do
    rm -f theirs ours
    for _ in $(seq "$rounds"); do
        cat "data/$name.db" >/dev/null
        /usr/bin/time -o took -f '%e %U %S' sqlite3 -readonly "data/$name.db" 'PRAGMA integrity_check' >said
        [ "$(cat said)" = ok ] || { cat said >&2; exit 1; }
        awk '{ print $1, $2 + $3 }' took >>theirs
        # A dry run ends with the check and a look at the pages, which is not counted in the clock.
        /usr/bin/time -o took -f '%U %S' "$program" -c "$name.toml" optimize-db --no-backup-check --dry-run --json >report
        [ "$(jq '.data.databases[0].sound' report)" = true ] || { cat report >&2; exit 1; }
        echo "$(jq '.data.databases[0].check_ms / 1000' report) $(awk '{ print $1 + $2 }' took)" >>ours
    done
    of() { cut -d ' ' -f "$2" "$1" | median "$rounds"; }
    rows=$(sqlite3 -readonly "data/$name.db" 'SELECT count(*) FROM trades')
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$name" "$rows" "$(of theirs 1)" "$(of theirs 2)" "$(of ours 1)" "$(of ours 2)" \
        "$(echo "scale=2; $(of ours 1) / $(of theirs 1)" | bc)"
done
