#!/usr/bin/env bash
# cache-clean beside the plan's own lines and other usual ways, on a Redis of its own with 1 M keys, while a second client pings.
# Everything runs at nice 10, as cache-clean does by itself. One run each; about five minutes. KEYS=100000 makes it smaller.
set -euo pipefail
cd "$(dirname "$0")/.."

keys=${KEYS:-1000000}
loop=${LOOP:-2000} # keys of the plan's loop; its time is per key
port=${PORT:-16399}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
missing=()
for pair in redis-server:redis-server redis-cli:redis-tools jq:jq time:time; do
    command -v "${pair%%:*}" >/dev/null || [ -x "/usr/bin/${pair%%:*}" ] || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
cargo build --release --locked --quiet --bin empire-maint --example pinger
program=$PWD/target/release/empire-maint
pinger=$PWD/target/release/examples/pinger
work=$(mktemp -d -p "${WORK:-/var/tmp}" empire-maint-bench-XXXXXX)
redis-server --port "$port" --bind 127.0.0.1 --save "" --dir "$work" --enable-debug-command yes >"$work/log" &
server=$!
finish() {
    kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cli() { redis-cli -p "$port" "$@"; }
until cli ping >/dev/null 2>&1; do sleep 0.1; done

config() { # config NAME RULES
    printf '[state]\ndir = "%s"\n[redis]\nurl = "redis://127.0.0.1:%s/0"\n%s' "$work/state" "$port" "$2" >"$work/$1.toml"
}
rule() { printf '[[cache.rule]]\npattern = "%s"\nwhen = "%s"\naction = "unlink"\n' "$1" "$2"; }
config both ""
config cache "$(rule 'cache:*' always)"
config session "$(rule 'session:*' no-ttl)"

# Half cache, a fifth sessions that never end, a tenth sessions that do, the rest other keys.
fill() { # fill KEYS
    cli flushall sync >/dev/null
    cli debug populate $(($1 / 2)) cache 100 >/dev/null
    cli debug populate $(($1 / 10)) session:live 100 >/dev/null
    cli --raw eval "for i = 0, ARGV[1] - 1 do redis.call('EXPIRE', 'session:live:' .. i, 86400) end" 0 $(($1 / 10)) >/dev/null
    cli debug populate $(($1 / 5)) session 100 >/dev/null
    cli debug populate $(($1 / 5)) user 100 >/dev/null
    sleep 2 # tables come to rest
}

declare -A took p99 stall
measure() { # measure NAME COMMAND...
    local name=$1 seconds percentile longest
    shift
    read -r seconds percentile longest <<<"$("$pinger" "$port" nice -n 10 "$@")"
    took[$name]=$seconds p99[$name]=$percentile stall[$name]=$longest
    printf '  %-44s %9s s   p99 %7s ms   longest %7s ms\n' "$name" "${took[$name]}" "${p99[$name]}" "${stall[$name]}" >&2
}
export port loop
plan_loop='redis-cli -p $port --scan --pattern "session:[0-9]*" | head -n $loop | while read -r key; do
    ttl=$(redis-cli -p $port TTL "$key"); if [ "$ttl" -eq -1 ]; then redis-cli -p $port DEL "$key"; fi; done'
keys_del='redis-cli -p $port KEYS "cache:*" | xargs redis-cli -p $port DEL'
scan_unlink='redis-cli -p $port --scan --pattern "cache:*" | xargs redis-cli -p $port UNLINK'

printf '%s keys, %s cores, load %s\n' "$keys" "$(nproc)" "$(cut -d' ' -f1-3 /proc/loadavg)" >&2
fill "$keys"
measure "nothing at all, 3 s" sleep 3
measure "the plan's loop, $loop sessions" bash -c "$plan_loop"
fill "$keys"
measure "KEYS | xargs DEL, cache:*" bash -c "$keys_del"
fill "$keys"
measure "--scan | xargs UNLINK, cache:*" bash -c "$scan_unlink"
fill "$keys"
measure "ours, cache:* always" "$program" -c "$work/cache.toml" cache-clean --sample 0
fill "$keys"
measure "ours, session:* no-ttl" "$program" -c "$work/session.toml" cache-clean --sample 0
fill "$keys"
measure "ours, both rules and the report" "$program" -c "$work/both.toml" cache-clean
left=$(cli dbsize)
[ "$left" = $((keys * 3 / 10)) ] || { echo "$left keys are left" >&2; exit 1; }

peak() { # MiB
    fill "$1"
    /usr/bin/time -o "$work/peak" -f %M "$program" -c "$work/both.toml" cache-clean >/dev/null
    awk 'END { printf "%.1f", $1 / 1024 }' "$work/peak"
}
small=$(peak $((keys / 10)))
large=$(peak "$keys")

figure() { # figure WHAT VALUE at-least|at-most LIMIT
    local verdict=missed
    if awk -v v="$2" -v l="$4" -v how="$3" 'BEGIN { exit !(how == "at-least" ? v >= l : v <= l) }'; then verdict=met; fi
    printf '| %-62s | %8s | %8s %5s | %s |\n' "$1" "$2" "${3/-/ }" "$4" "$verdict"
}
ours="ours, both rules and the report"
loop_factor=$(awk -v t="${took["the plan's loop, $loop sessions"]}" -v n="$loop" -v m="$((keys / 5))" -v o="${took["ours, session:* no-ttl"]}" \
    'BEGIN { printf "%.0f", t / n * m / o }')
scan_factor=$(awk -v a="${took["--scan | xargs UNLINK, cache:*"]}" -v b="${took["ours, cache:* always"]}" 'BEGIN { printf "%.1f", a / b }')
printf '\n| %-44s | %9s | %9s | %11s |\n|---|---|---|---|\n' way "s" "p99 ms" "longest ms"
for name in "nothing at all, 3 s" "the plan's loop, $loop sessions" "KEYS | xargs DEL, cache:*" "--scan | xargs UNLINK, cache:*" \
    "ours, cache:* always" "ours, session:* no-ttl" "$ours"; do
    printf '| %-44s | %9s | %9s | %11s |\n' "${name/ | / then }" "${took[$name]}" "${p99[$name]}" "${stall[$name]}"
done
printf '\n| %-62s | %8s | %14s | |\n|---|---|---|---|\n' figure measured wanted
figure "the plan's loop over all sessions (per key) over ours" "$loop_factor" at-least 500
figure "--scan then xargs UNLINK over ours" "$scan_factor" at-least 4
figure "a second client's longest wait, ms" "${stall[$ours]}" at-most 10
figure "its 99th percentile, ms" "${p99[$ours]}" at-most 0.5
figure "peak memory at $keys keys over a tenth of them ($large and $small MiB)" "$(awk -v a="$large" -v b="$small" 'BEGIN { printf "%.2f", a / b }')" at-most 1.1
