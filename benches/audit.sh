#!/usr/bin/env bash
# audit beside other tools, on the same data, in one run.
#   benches/audit.sh                 an access log of 1 GB, and this checkout's own sources as a tree for secrets
#   TREE=/usr/src/project benches/audit.sh
# RULES=gitleaks.toml takes a rules file for both; by default both use ours. MB=1000 is the size of the log; WORK=/path the folder.
# gitleaks is measured where it is installed; goaccess is installed by its Debian name.
set -euo pipefail
cd "$(dirname "$0")/.."

mb=${MB:-1000}
tree=${TREE:-$PWD}
rules=${RULES:-$PWD/src/secrets/builtin.toml}
gitleaks=${GITLEAKS:-$(command -v gitleaks || true)}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
missing=()
for pair in goaccess:goaccess python3:python3 jq:jq; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ -x /usr/bin/time ] || missing+=(time)
if [ ${#missing[@]} -gt 0 ]; then
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
cargo build --release --locked --quiet --bin empire-maint
program=$PWD/target/release/empire-maint
work=$(mktemp -d -p "${WORK:-/var/tmp}" empire-maint-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p root/logs
cat >config.toml <<TOML
[app]
root = "$work/root"
[state]
dir = "$work/state"
[audit]
sources = ["$tree"]
rules = "$rules"
TOML

# The same on every machine; a tenth of the addresses and paths make nine tenths of the requests.
python3 - "$mb" >root/logs/access.log <<'PY'
import datetime, random, sys
random.seed(7)
limit, size = int(sys.argv[1]) * 1_000_000, 0
start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=6)
paths = [f"/api/v1/items/{n}" for n in range(900)] + ["/", "/login", "/api/login", "/static/app.js"] * 25
agents = ["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "curl/8.5.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)"]
second, out = 0, []
while size < limit:
    second += 1
    at = (start + datetime.timedelta(seconds=second * 0.1)).strftime("%d/%b/%Y:%H:%M:%S +0000")
    for _ in range(40):
        host = random.randrange(2000) if random.random() < 0.9 else random.randrange(1_000_000)
        line = f'10.{host >> 16}.{host >> 8 & 255}.{host & 255} - - [{at}] "GET {random.choice(paths)} HTTP/1.1" {random.choice((200,) * 40 + (304, 401, 404, 500))} {random.randrange(50000)} "https://x.test/" "{random.choice(agents)}"\n'
        size += len(line)
        out.append(line)
    if len(out) > 50000:
        sys.stdout.write("".join(out))
        out = []
sys.stdout.write("".join(out))
PY
bytes=$(stat -c %s root/logs/access.log)

# name, then the command; wall and processor seconds and peak memory.
measure() {
    local name=$1
    shift
    /usr/bin/time -f '%e %U %S %M' -o time.txt "$@" >out.txt 2>err.txt || true
    tail -1 time.txt | awk -v name="$name" '{printf "| %s | %.2f | %.2f | %d |\n", name, $1, $2 + $3, $4 / 1024}'
}
shell() { measure "$1" bash -c "$2"; }

echo "load $(cut -d' ' -f1-3 /proc/loadavg), access log of $bytes bytes, tree of $(du -sb "$tree" | cut -f1) bytes"
echo "| what | wall s | CPU s | peak MiB |"
echo "|---|---|---|---|"
for _ in 1 2 3; do
    measure "ours, access log" "$program" -c config.toml audit --only access-log --json
    took=$(jq '.data.parts[0].took_ms' out.txt)
    echo "| its reading alone: $((bytes / 1000 / (took + 1))) MB/s | | | |"
    shell "the plan's grep -c" "grep -c '401\|403\|500' root/logs/access.log | cat"
    measure "ours, secrets" "$program" -c config.toml audit --only secrets --json
    [ -z "$gitleaks" ] || measure "gitleaks, the same rules" "$gitleaks" dir "$tree" -c "$rules" --no-banner --exit-code 0 -f json -r gitleaks.json
done
measure "goaccess" goaccess root/logs/access.log --log-format=COMBINED -o json --no-progress
