#!/usr/bin/env bash
# audit beside other tools, on the same data, in one run.
#   benches/audit.sh                 an access log of 1 GB, and two trees for secrets: an export of this checkout's commit, and Debian's
#                                    source of Django as apt-get gives it
#   TREE=/usr/src/project benches/audit.sh      that tree instead of the second
# What git ignores is in no tree, so that all tools read the same files. RULES=gitleaks.toml takes a rules file for both; by default both
# use ours, without the literals, which only we have. MB=1000 is the size of the log; WORK=/path the folder.
# gitleaks, ripsecrets and detect-secrets are measured where they are installed; goaccess is installed by its Debian name.
set -euo pipefail
cd "$(dirname "$0")/.."

mb=${MB:-1000}
rules=${RULES:-$PWD/src/secrets/builtin.toml}
gitleaks=${GITLEAKS:-$(command -v gitleaks || true)}
ripsecrets=${RIPSECRETS:-$(command -v ripsecrets || true)}
detect=${DETECT_SECRETS:-$(command -v detect-secrets || true)}

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
mkdir -p "$work/root/logs" "$work/checkout" "$work/django"
git archive HEAD | tar -x -C "$work/checkout"
cd "$work"
tree=${TREE:-}
if [ -z "$tree" ]; then
    # The source package as it is published; where apt has no source entries, TREE names another.
    (cd django && apt-get source -qq --download-only python-django >/dev/null 2>&1 && tar -xf python-django_*.orig.tar.*) || true
    [ -n "$(ls -d django/*/ 2>/dev/null)" ] && tree=$work/django || echo "no source of Django: TREE=/path names a larger tree" >&2
fi
config() {
    cat >"$1" <<TOML
[app]
root = "$work/root"
[state]
dir = "$work/state"
[audit]
sources = ["$2"]
$3
TOML
}
trees=("$work/checkout")
[ -z "$tree" ] || trees+=("$tree")
config config.toml "$work/checkout" ""

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

echo "load $(cut -d' ' -f1-3 /proc/loadavg), access log of $bytes bytes"
for one in "${trees[@]}"; do
    echo "tree ${one##*/}: $(find "$one" -type f | wc -l) files, $(du -sb "$one" | cut -f1) bytes"
done
echo "| what | wall s | CPU s | peak MiB |"
echo "|---|---|---|---|"
for _ in 1 2 3; do
    measure "ours, access log" "$program" -c config.toml audit --only access-log --json
    took=$(jq '.data.parts[0].took_ms' out.txt)
    echo "| its reading alone: $((bytes / 1000 / (took + 1))) MB/s | | | |"
    shell "the plan's grep -c" "grep -c '401\|403\|500' root/logs/access.log | cat"
    for one in "${trees[@]}"; do
        name=${one##*/}
        config same.toml "$one" "rules = \"$rules\""
        config own.toml "$one" ""
        measure "$name: ours" "$program" -c own.toml audit --only secrets --json
        measure "$name: ours, rules of the file alone" "$program" -c same.toml audit --only secrets --json
        [ -z "$gitleaks" ] || measure "$name: gitleaks, the same rules" "$gitleaks" dir "$one" -c "$rules" --no-banner --exit-code 0 -f json -r gitleaks.json
        [ -z "$ripsecrets" ] || measure "$name: ripsecrets" "$ripsecrets" "$one"
    done
done
[ -z "$detect" ] || measure "checkout: detect-secrets" "$detect" scan --all-files "$work/checkout"
measure "goaccess" goaccess root/logs/access.log --log-format=COMBINED -o json --no-progress
