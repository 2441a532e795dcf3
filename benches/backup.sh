#!/usr/bin/env bash
# empire-maint beside other tools, on the same database, in one run, while two processes keep writing into it.
#   benches/backup.sh            three rounds on 1 GiB: about seven minutes and 6 GiB of disk
#   benches/backup.sh --memory   only peak memory, at 100 MiB and at 4 GiB: about three minutes and 16 GiB of disk
# ROUNDS=5 MIB=1024 WORK=/path change the number of rounds, the size, and the folder that everything happens in.
# Whatever is compared runs at nice 10 and low I/O priority, as empire-maint sets for itself, and ends with its output synced.
# shellcheck disable=SC2016 # the scripts of the peers are expanded by their own shell
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-3}
mib=${MIB:-1024}
mode=${1:-}
case $mode in
"" | --memory) ;;
*)
    echo "usage: benches/backup.sh [--memory]" >&2
    exit 3
    ;;
esac

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
missing=()
for pair in sqlite3:sqlite3 gzip:gzip pigz:pigz zstd:zstd restic:restic jq:jq ionice:util-linux; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ -x /usr/bin/time ] || missing+=(time)
if [ ${#missing[@]} -gt 0 ]; then
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

cargo build --release --locked --quiet --bin empire-maint --example live
program=$PWD/target/release/empire-maint
live=$PWD/target/release/examples/live
work=$(mktemp -d -p "${WORK:-/var/tmp}" empire-maint-bench-XXXXXX)
writers=()
finish() {
    stop_writers
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
mkdir -p root/data unchecked
db=$work/root/data/app.db
cat >config.toml <<TOML
[app]
root = "$work/root"
[state]
dir = "$work/state"
[[database]]
name = "app_db"
path = "data/app.db"
expect_tables = ["users", "deals", "trades"]
freshness = { trades = "created_at" }
TOML
export RESTIC_PASSWORD=bench RESTIC_CACHE_DIR=$work/restic-cache

start_writers() {
    local n
    for n in 1 2; do
        "$live" write "$db" "$work/commits.$n" &
        writers+=($!)
    done
}
stop_writers() {
    local pid
    for pid in "${writers[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    writers=()
}
ours() { "$program" -c "$work/config.toml" "$@"; }

# ---- peak memory ----------------------------------------------------------------------------------------------------------

peak_mib() { # the command's peak resident memory, MiB
    local file=$work/peak
    /usr/bin/time -o "$file" -f %M "$@" >"$work/output" || { cat "$work/output" >&2; return 1; }
    awk 'END { printf "%.1f", $1 / 1024 }' "$file"
}
if [ "$mode" = --memory ]; then
    printf '%-10s %12s %12s %12s %12s\n' database first further verify restore
    for size in 100 4096; do
        rm -rf root/backups state "$db"* restored.db*
        "$live" create "$db" "$size"
        start_writers
        first=$(peak_mib "$program" -c config.toml backup --database app_db --quiet)
        further=$(peak_mib "$program" -c config.toml backup --database app_db --quiet)
        verify=$(peak_mib "$program" -c config.toml verify-backup app_db --quiet)
        restore=$(peak_mib "$program" -c config.toml restore app_db --to "$work/restored.db" --quiet)
        stop_writers
        printf '%-10s %8s MiB %8s MiB %8s MiB %8s MiB\n' "$size MiB" "$first" "$further" "$verify" "$restore"
    done
    exit 0
fi

# ---- measuring ------------------------------------------------------------------------------------------------------------

declare -A walls cpus sizes
windows=() # "start end" of our backups, nanoseconds
reading=() # the same of verify-backup and restore
measure() { # measure NAME COMMAND...: wall and processor seconds of a command that must succeed
    local name=$1 before after cpu wall
    shift
    sync -f "$work"
    before=$(date +%s%N)
    /usr/bin/time -o "$work/cpu" -f '%U %S' "$@" >"$work/output" 2>"$work/errors" || {
        echo "$name failed:" >&2
        cat "$work/output" "$work/errors" >&2
        exit 1
    }
    after=$(date +%s%N)
    cpu=$(awk 'END { print $1 + $2 }' "$work/cpu")
    wall=$(awk -v n=$((after - before)) 'BEGIN { printf "%.3f", n / 1e9 }')
    printf '  %-26s %8s s, %6s s of the processors\n' "$name" "$wall" "$cpu" >&2
    walls[$name]+="$wall "
    cpus[$name]+="$cpu "
    case $name in
    "ours verify-backup" | "ours restore") reading+=("$before $after") ;;
    "ours "*) windows+=("$before $after") ;;
    esac
}
median() { # of the words of $1
    tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -g | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
note_checks() { walls[$1]+="$(jq '.data.published[0].checks_ms / 1000' "$work/output") "; }
bytes() { stat -c %s "$1"; }

# One script a peer. $1 is the database, $2 the folder that it may use. A read transaction is held around .backup: without one it
# starts over at every commit of somebody else, and with these writers never ends.
copy='sqlite3 "$1" BEGIN "SELECT count(*) FROM sqlite_schema" ".backup $2/copy.db" >/dev/null'
peer_plan='cp "$1" "$2/copy.db" && gzip -6 "$2/copy.db" && sync "$2/copy.db.gz" "$2"'
peer_gzip="$copy"' && gzip -6 "$2/copy.db" && sync "$2/copy.db.gz" "$2"'
peer_pigz="$copy"' && pigz -6 "$2/copy.db" && sync "$2/copy.db.gz" "$2"'
peer_zstd="$copy"' && zstd -q --rm -3 -T2 "$2/copy.db" && sync "$2/copy.db.zst" "$2"'
peer_restic='restic -q -r "$2/repository" backup "$2/copy.db" && sync -f "$2"'
peer() { # peer NAME SCRIPT OUTPUT
    mkdir -p peer
    measure "$1" nice -n 10 ionice -c2 -n7 bash -c "set -e; $2" peer "$db" "$work/peer"
    if [ -n "${3:-}" ]; then
        sizes[$1]=$(bytes "peer/$3")
        rm -rf peer
    fi
}
restic_copy() {
    mkdir -p peer
    rm -f peer/copy.db
    measure "the copy for restic" nice -n 10 ionice -c2 -n7 bash -c "set -e; $copy" peer "$db" "$work/peer"
}
newest() { find "$1" -name 'app_db_*.db.gz' | sort | tail -n 1; }

echo "building a database of $mib MiB" >&2
"$live" create "$db" "$mib"
sync -f "$work"
start_writers
idle=()
for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds, load $(cut -d' ' -f1-3 /proc/loadavg)" >&2
    began=$(date +%s%N)
    sleep 10
    idle+=("$began $(date +%s%N)")

    rm -rf root/backups state unchecked/* restored.db* peer
    measure "ours first" "$program" -c config.toml backup --database app_db --json
    note_checks "SQL checks, first"
    sizes["ours first"]=$(bytes "$(newest root/backups)")
    measure "first without checks" "$live" unchecked "$db" unchecked

    restic_copy
    restic -q -r peer/repository init >/dev/null
    peer "restic first" "$peer_restic"
    sizes["restic first"]=$(du -sb peer/repository | cut -f1)

    "$live" change "$db" mixed "$round"
    measure "ours further" "$program" -c config.toml backup --database app_db --json
    note_checks "SQL checks, further"
    copied=$(jq -r '.data.published[0] | "\(.copied_members) of \(.members)"' output)
    measure "further without checks" "$live" unchecked "$db" unchecked
    restic_copy
    peer "restic second" "$peer_restic"
    rm -rf peer

    "$live" change "$db" scattered "$round"
    measure "ours further, scattered" "$program" -c config.toml backup --database app_db --json
    scattered=$(jq -r '.data.published[0] | "\(.copied_members) of \(.members)"' output)

    measure "ours verify-backup" "$program" -c config.toml verify-backup app_db --json
    measure "ours restore" "$program" -c config.toml restore app_db --to "$work/restored.db" --json

    peer "cp + gzip -6 (the plan)" "$peer_plan" copy.db.gz
    peer ".backup + gzip -6" "$peer_gzip" copy.db.gz
    peer ".backup + pigz -6" "$peer_pigz" copy.db.gz
    peer ".backup + zstd -3 -T2" "$peer_zstd" copy.db.zst
done
for ((n = 0; n < 20; n++)); do measure "start" "$program" --version; done
stop_writers

# ---- the table ------------------------------------------------------------------------------------------------------------

wall() { median "${walls[$1]}"; }
sum() { awk -v a="$(wall "the copy for restic")" -v b="$(wall "$1")" 'BEGIN { print a + b }'; }
plan=$(wall "cp + gzip -6 (the plan)")
plan_bytes=${sizes["cp + gzip -6 (the plan)"]}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
worst() { # worst commit that began in one of the windows "start end", milliseconds
    printf '%s\n' "$@" | awk '
        FILENAME == "-" { n++; from[n] = $1; to[n] = $2; next }
        { for (i = 1; i <= n; i++) if ($1 >= from[i] && $1 <= to[i] && $2 > most) most = $2 }
        END { printf "%.1f", most / 1000 }' - commits.1 commits.2
}

printf '\n%s rounds, %s MiB, %s cores, medians; load at the end %s\n\n' "$rounds" "$mib" "$(nproc)" "$(cut -d' ' -f1-3 /proc/loadavg)"
printf '| %-26s | %8s | %17s | %8s | %10s | %9s |\n' what "wall s" "least to most" "CPU s" "the plan's" "size"
printf '|---|---|---|---|---|---|\n'
for name in "ours first" "first without checks" "SQL checks, first" "ours further" "further without checks" "SQL checks, further" \
    "ours further, scattered" "ours verify-backup" "ours restore" "cp + gzip -6 (the plan)" ".backup + gzip -6" ".backup + pigz -6" \
    ".backup + zstd -3 -T2" "the copy for restic" "restic first" "restic second" start; do
    spread=$(tr ' ' '\n' <<<"${walls[$name]}" | sed '/^$/d' | sort -g | sed -n '1p;$p' | paste -sd' ' | sed 's/ / to /')
    cpu=-
    [ -n "${cpus[$name]:-}" ] && cpu=$(median "${cpus[$name]}")
    size=-
    [ -n "${sizes[$name]:-}" ] && size=$(ratio "${sizes[$name]}" "$plan_bytes")
    printf '| %-26s | %8s | %17s | %8s | %9sx | %9s |\n' "$name" "$(wall "$name")" "$spread" "$cpu" "$(ratio "$plan" "$(wall "$name")")" "$size"
done
printf '\nmembers copied: %s with 1%% of the pages changed as applications do, %s with them scattered\n' "$copied" "$scattered"
idle_worst=$(worst "${idle[@]}")
busy_worst=$(worst "${windows[@]}")
printf 'worst commit of two writers: %s ms with nothing else, %s ms during a backup, %s ms during verify-backup or restore\n\n' \
    "$idle_worst" "$busy_worst" "$(worst "${reading[@]}")"

figure() { # figure WHAT VALUE at-least|at-most LIMIT
    local verdict=missed
    if awk -v v="$2" -v l="$4" -v how="$3" 'BEGIN { exit !(how == "at-least" ? v >= l : v <= l) }'; then verdict=met; fi
    printf '| %-62s | %8s | %8s %5s | %s |\n' "$1" "$2" "${3/-/ }" "$4" "$verdict"
}
printf 'restic alone, on a copy that it got for nothing: %s times as long as ours first, %s times further\n\n' \
    "$(ratio "$(wall "restic first")" "$(wall "ours first")")" "$(ratio "$(wall "restic second")" "$(wall "ours further")")"
printf '| %-62s | %8s | %14s | |\n|---|---|---|---|\n' figure measured wanted
figure "first before the SQL checks, the plan's time over ours" "$(ratio "$plan" "$(wall "first without checks")")" at-least 9
figure "first with them" "$(ratio "$plan" "$(wall "ours first")")" at-least 7
figure "its size over the plan's" "$(ratio "${sizes["ours first"]}" "$plan_bytes")" at-most 1.15
figure ".backup + pigz -6 over ours" "$(ratio "$(wall ".backup + pigz -6")" "$(wall "ours first")")" at-least 4
figure ".backup + zstd -3 -T2 over ours" "$(ratio "$(wall ".backup + zstd -3 -T2")" "$(wall "ours first")")" at-least 1
figure ".backup + restic's first run over ours" "$(ratio "$(sum "restic first")" "$(wall "ours first")")" at-least 2
figure "further before the SQL checks, the plan's time over ours" "$(ratio "$plan" "$(wall "further without checks")")" at-least 30
figure "further with them" "$(ratio "$plan" "$(wall "ours further")")" at-least 10
figure ".backup + restic's second run over ours" "$(ratio "$(sum "restic second")" "$(wall "ours further")")" at-least 2
figure "worst commit beyond the normal one, ms" "$(awk -v a="$busy_worst" -v b="$idle_worst" 'BEGIN { printf "%.1f", a - b }')" at-most 50
figure "--version, s" "$(wall start)" at-most 0.010
