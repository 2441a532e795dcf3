#!/usr/bin/env bash
# integrity_check and foreign_key_check as optimize-db and verify-backup make them, on two connections, beside the sqlite3 shell's, on
# three databases: rows in several tables, in one that has nearly all of them, and in one with an index in another order.
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

echo "building three databases, the first of $mib MiB" >&2
"$live" create data/several.db "$mib"
trades() {
    sqlite3 "data/$1.db" >/dev/null <<SQL
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;
CREATE TABLE trades (id INTEGER PRIMARY KEY, deal_id INTEGER, symbol TEXT, reference TEXT, created_at TEXT);
BEGIN;
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $2)
  INSERT INTO trades SELECT n, n % 60000, substr('AAPLMSFTNVDAGOOG', n % 4 * 4 + 1, 4), printf('%016x', n * 2654435761 % 4294967296),
    datetime('2025-01-01', '+' || n || ' seconds') FROM c;
COMMIT;
CREATE INDEX the_index ON trades ($3);
PRAGMA wal_checkpoint(TRUNCATE);
SQL
}
trades one $((mib * 9000)) created_at
trades other $((mib * 4000)) reference

for name in several one other; do
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

echo "| database | rows | sqlite3, integrity_check: s | and foreign_key_check: s | ours, both: s | over the first | over both (wanted: 0.6) |"
echo "|---|---|---|---|---|---|---|"
for name in several one other; do
    rm -f theirs keys ours
    for _ in $(seq "$rounds"); do
        cat "data/$name.db" >/dev/null
        /usr/bin/time -o took -f '%e' sqlite3 -readonly "data/$name.db" 'PRAGMA integrity_check' >said
        [ "$(cat said)" = ok ] || { cat said >&2; exit 1; }
        cat took >>theirs
        /usr/bin/time -o took -f '%e' sqlite3 -readonly "data/$name.db" 'PRAGMA foreign_key_check' >said
        [ ! -s said ] || { cat said >&2; exit 1; }
        cat took >>keys
        # A dry run ends with these checks and a look at the pages, which is not counted in the clock.
        "$program" -c "$name.toml" optimize-db --no-backup-check --dry-run --json >report
        [ "$(jq '.data.databases[0].sound' report)" = true ] || { cat report >&2; exit 1; }
        jq '.data.databases[0].check_ms / 1000' report >>ours
    done
    rows=$(sqlite3 -readonly "data/$name.db" 'SELECT count(*) FROM trades')
    integrity=$(median "$rounds" <theirs) foreign=$(median "$rounds" <keys) both=$(median "$rounds" <ours)
    over() { echo "scale=2; $both / ($1)" | bc; }
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$name" "$rows" "$integrity" "$foreign" "$both" \
        "$(over "$integrity")" "$(over "$integrity + $foreign")"
done
