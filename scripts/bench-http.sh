#!/usr/bin/env bash
# What the HTTP side does by itself, over loopback: requests a second on 50 connections that stay open, and the time from
# an offer to its answer when 50 join at once. Method and figures: docs/measurements.md. ARGS go to examples/load.
set -euo pipefail

cd "$(dirname "$0")/.."
cargo build --quiet --locked --release --bins --example load
state=$(mktemp -d)
trap 'kill "$daemon" 2>/dev/null; wait "$daemon" 2>/dev/null || true; rm -r "$state"' EXIT
: >"$state/out"
printf '[auth]\nmode = "none"\n[[stream]]\nname = "camera"\npattern = true\n' >"$state/fanlight.toml"
STATE_DIRECTORY=$state/state target/release/fanlight --config "$state/fanlight.toml" --listen 127.0.0.1:0 >"$state/out" 2>/dev/null &
daemon=$!
until url=$(sed -n 's,^fanlight: open \(http://127[^ ]*\)/$,\1,p' "$state/out") && [ -n "$url" ]; do
    kill -0 "$daemon"
    sleep 0.1
done
load() { target/release/examples/load "$url$1" --http "$2" --viewers 50 "${@:3}"; }
load /healthz get "$@"
load / get "$@"
load /whep options "$@"
load /whep join "$@"
# 50 viewers at once, handshakes included.
target/release/examples/load "$url/whep" --viewers 50 --ramp 0 --seconds 1 |
    sed -n '/ joined,/p; /ms since POST/,/first keyframe/p'
grep -E '^Vm(RSS|HWM)' "/proc/$daemon/status"
