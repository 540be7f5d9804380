#!/usr/bin/env bash
# User-space instructions that the media plane spends on one packet to one viewer, counted by callgrind: the same on
# every run, whatever else the machine does. 20 viewers at 2.5 Mbit/s with 1 % loss on a simulated network; what their
# joining costs is left out (the difference of two runs). The kernel's part and system calls are not in it.
# With --profile, prints the functions that cost most.
set -euo pipefail

cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "bench-instructions: install valgrind" >&2; exit 1; }
cargo test --locked --release --lib --no-run
binary=$(cargo test --locked --release --lib --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

run() {  # SECONDS: prints instructions and packets
    valgrind --tool=callgrind --callgrind-out-file="$work/out.$1" --collect-atstart=no \
        --toggle-collect='*simulation::Simulation::fan_out*' \
        --toggle-collect='*simulation::Simulation::receive*' \
        --toggle-collect='*simulation::Simulation::ring*' \
        "$binary" --exact --nocapture "rtc::plane::endpoint::tests::cost_of_$1_seconds" >"$work/log.$1" 2>&1
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p; s/^packets: \([0-9]*\)$/\1/p' "$work/log.$1" | sort -rn | tr '\n' ' '
}

read -r instructions2 packets2 <<<"$(run 2)"
read -r instructions7 packets7 <<<"$(run 7)"
packets=$((packets7 - packets2))
echo "$(((instructions7 - instructions2) / packets)) instructions a packet, over $packets packets"
if [ "${1:-}" = --profile ]; then
    callgrind_annotate "$work/out.7" | sed -n '1,60p'
fi
