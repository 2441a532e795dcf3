#!/usr/bin/env bash
# data-clean beside the statements of the sqlite3 shell: one row in ten of ten million deleted, then archived, while four writers go on.
#   benches/clean.sh             about ten minutes and 8 GiB of disk
#   benches/clean.sh --among     the same with the old rows among the others, not before them: as failed jobs are
# ROWS=10000000 ROUNDS=1 WORK=/path change the number of rows, of rounds, and the folder that everything happens in.
# Each runs at nice 10, as empire-maint sets for itself, on a fresh copy of the same database. A writer's wait counts from the
# moment that it asks for the write lock until its commit is on the disk.
set -euo pipefail
cd "$(dirname "$0")/.."

rows=${ROWS:-10000000}
rounds=${ROUNDS:-1}
case ${1:-} in
"") is_old="n <= $rows / 10" ;;
--among) is_old="n % 10 = 0" ;;
*)
    echo "usage: benches/clean.sh [--among]" >&2
    exit 3
    ;;
esac
for tool in sqlite3 jq; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 3; }
done
[ -x /usr/bin/time ] || { echo "needs time" >&2; exit 3; }

cargo build --release --locked --quiet --bin empire-maint --example live
program=$PWD/target/release/empire-maint
live=$PWD/target/release/examples/live
work=$(mktemp -d -p "${WORK:-/var/tmp}" empire-maint-bench-XXXXXX)
writers=()
stop_writers() {
    local pid
    for pid in "${writers[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    writers=()
}
finish() {
    stop_writers
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
mkdir -p root/data
db=$work/root/data/app.db

config() { # the lines of the rule
    cat >config.toml <<TOML
[app]
root = "$work/root"
[state]
dir = "$work/state"
[[database]]
name = "app_db"
path = "data/app.db"
[[data_clean.rule]]
name = "old-trades"
database = "app_db"
table = "trades"
column = "created_at"
older_than = "90d"
$1
TOML
}

echo "building $rows rows" >&2
sqlite3 base.db >/dev/null <<SQL
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;
CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, logins INTEGER);
CREATE TABLE logs (id INTEGER PRIMARY KEY, timestamp TEXT, level TEXT, message TEXT, context TEXT);
CREATE TABLE trades (id INTEGER PRIMARY KEY, deal_id INTEGER, symbol TEXT, price REAL, quantity INTEGER, reference TEXT, created_at TEXT);
CREATE TABLE archived_trades (id INTEGER PRIMARY KEY, deal_id INTEGER, symbol TEXT, price REAL, quantity INTEGER, reference TEXT, created_at TEXT);
BEGIN;
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000) INSERT INTO users SELECT n, 'user' || n, 0 FROM c;
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $rows)
  INSERT INTO trades SELECT n, n % 60000, substr('AAPLMSFTNVDAGOOG', n % 4 * 4 + 1, 4), n % 10000 / 100.0, n % 900, printf('%016x', n * 2654435761),
    datetime('now', '-' || iif($is_old, 200, 20) || ' days', '+' || (n % 86400) || ' seconds') FROM c;
COMMIT;
CREATE INDEX trades_by_time ON trades (created_at);
PRAGMA wal_checkpoint(TRUNCATE);
SQL

measure() { # name, then the command: one line of the table
    local name=$1 n began took
    shift
    rm -rf "$db"* state waits.*
    cp base.db "$db"
    sync
    for n in 1 2 3 4; do
        "$live" write "$db" "waits.$n" waits &
        writers+=($!)
    done
    sleep 2
    began=$(date +%s%N)
    nice -n 10 /usr/bin/time -o peak -f %M "$@" >output 2>&1 || { cat output >&2; exit 1; }
    took=$((($(date +%s%N) - began) / 1000000))
    stop_writers
    local left longest median commits
    left=$(sqlite3 "$db" "SELECT count(*) FROM trades WHERE created_at < datetime('now', '-90 days')")
    [ "$left" = 0 ] || { echo "$name left $left rows" >&2; exit 1; }
    awk -v from="$began" '$1 >= from { print $2 / 1000 }' waits.* | sort -n >sorted
    commits=$(wc -l <sorted)
    longest=$(tail -1 sorted)
    median=$(sed -n "$((commits / 2 + 1))p" sorted)
    over=$(awk '$1 > 100' sorted | wc -l)
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$name" "$((took / 1000)).$(printf %03d $((took % 1000)))" \
        "$commits" "$median" "$longest" "$over" "$(($(cat peak) / 1024))"
    [ "${1##*/}" != empire-maint ] || jq -r '.data.databases[0] | "  the write lock was held for \(.longest_lock_ms) ms at most, in \(.transactions) transactions"' output >&2
}

# `datetime('now')` would be another one for each statement: one cut-off for both.
old="created_at < '$(date -u -d '-90 days' '+%Y-%m-%d %H:%M:%S')'"
shell() { measure "$1" sqlite3 -cmd '.timeout 60000' "$db" "PRAGMA synchronous=NORMAL; $2"; }
ours() { measure "$1" "$program" -c "$work/config.toml" data-clean --no-backup-check --json; }

echo "| what | s | commits | median wait, ms | longest wait, ms | waits over 100 ms | peak, MiB |"
echo "|---|---|---|---|---|---|---|"
for _ in $(seq "$rounds"); do
    shell "sqlite3: DELETE" "DELETE FROM trades WHERE $old"
    config 'action = "delete"'
    ours "data-clean: delete"
    columns="id, deal_id, symbol, price, quantity, reference, created_at"
    shell "sqlite3: INSERT … SELECT; DELETE" "BEGIN IMMEDIATE; INSERT INTO archived_trades ($columns) SELECT $columns FROM trades WHERE $old; DELETE FROM trades WHERE $old; COMMIT"
    config $'action = "archive"\ninto = "archived_trades"'
    ours "data-clean: archive into a table"
    rm -rf root/archive
    config $'action = "archive"\ninto = "file:archive"'
    ours "data-clean: archive into a file"
done
