#!/usr/bin/env bash
# gpu on eight devices of the stand-in library that the tests use: what our own work takes, without the driver's. Where a driver is,
# nvidia-smi and we ask the same devices. ROUNDS=20.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-20}
cargo build --release --locked --quiet --bin empire-maint
program=$PWD/target/release/empire-maint
work=$(mktemp -d -p "${WORK:-/var/tmp}" empire-maint-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT

cc -shared -fPIC -O1 -o "$work/libnvidia-ml.so.1" tests/cli/support/nvml.c -ldl
printf 'devices 8\n' >"$work/libnvidia-ml.so.1.scene"
touch "$work/kmsg"
settings() { printf '[state]\ndir = "%s"\n[gpu]\nkernel_log = "%s"\n%s' "$work/state-$1" "$work/kmsg" "$2" >"$work/$1.toml"; }
settings stand-in "nvml_library = \"$work/libnvidia-ml.so.1\"
"
settings driver ""

median() { # median NAME COMMAND...: milliseconds, with the shortest and the longest
    local name=$1 from to
    shift
    for _ in $(seq "$rounds"); do
        from=$(date +%s%N)
        "$@" >"$work/output" 2>&1 || [ $? -lt 2 ] || { cat "$work/output" >&2; exit 1; }
        to=$(date +%s%N)
        echo $(((to - from) / 1000))
    done | sort -n | awk -v name="$name" '{ t[NR] = $1 } END { printf "| %s | %.1f | %.1f | %.1f |\n", name, t[int((NR + 1) / 2)] / 1000, t[1] / 1000, t[NR] / 1000 }'
}

echo "load $(cut -d' ' -f1-3 /proc/loadavg)"
echo "| what | ms, median | least | most |"
echo "|---|---|---|---|"
median "gpu, 8 devices of the stand-in" "$program" -c "$work/stand-in.toml" gpu --json
if [ -e /proc/driver/nvidia/version ]; then
    median "gpu, the driver's devices" "$program" -c "$work/driver.toml" gpu --json
    median "nvidia-smi -q, the same devices" nvidia-smi -q
fi
jq -r '"\(.data.devices | length) devices"' < <("$program" -c "$work/stand-in.toml" gpu --json || true)
