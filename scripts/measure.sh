#!/bin/sh
# `measure.sh [VIEWERS…]`: what the release build costs on this machine, for each number of viewers (0 1 10): CPU by thread,
# memory, latency. A built-in pattern of 1280x720 at 30 fps, loopback only, 20 seconds each. Build first:
# cargo build --release --examples --bins
set -eu

cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 0 1 10
seconds=20
work=$(mktemp -d)
daemon='' load=''
stop() {
    for pid in $load $daemon; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

cat >"$work/fanlight.toml" <<'TOML'
[http]
listen = "127.0.0.1:0"

[auth]
mode = "none"

[[stream]]
name = "pattern"
pattern = true
always_on = true
TOML

# Clock ticks of user and system time by thread name.
cpu() { awk '{ sub(/^.*\(/, ""); name = $0; sub(/\).*$/, "", name); sub(/^.*\) /, ""); print name, $12 + $13 }' "/proc/$1"/task/*/stat; }

for viewers in "$@"; do
    STATE_DIRECTORY=$work/state target/release/fanlight --config "$work/fanlight.toml" >"$work/out" 2>"$work/log" &
    daemon=$!
    until url=$(sed -n 's/^fanlight: open //p' "$work/out") && [ -n "$url" ]; do sleep 0.1; done
    for n in $(seq "$viewers"); do
        target/release/examples/viewer "${url}whep" --seconds $((seconds + 6)) --json >"$work/viewer.$n" 2>&1 &
        load="$load $!"
    done
    sleep 3
    cpu "$daemon" >"$work/before"
    curl -s "${url}metrics" >"$work/metrics.before"
    sleep "$seconds"
    cpu "$daemon" >"$work/after"
    curl -s "${url}metrics" >"$work/metrics.after"
    rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status")
    echo "== $viewers viewers: RSS $rss kB; CPU in milliseconds a second:"
    awk -v seconds="$seconds" 'NR == FNR { before[$1] += $2; next } { after[$1] += $2 }
        END { for (name in after) printf "   %-16s %6.1f\n", name, (after[name] - before[name]) * 10 / seconds }' \
        "$work/before" "$work/after" | sort
    awk -v seconds="$seconds" '
        function sum(name) { return after[name] - before[name] }
        /^#/ { next }
        { split($1, part, "{") }
        NR == FNR { before[part[1] (($1 ~ /_bucket/) ? $1 : "")] = $2; next }
        { key = part[1] (($1 ~ /_bucket/) ? $1 : ""); after[key] = $2
          if ($1 ~ /^fanlight_latency_seconds_bucket/) { match($1, /le="[^"]*/); bound[++n] = substr($1, RSTART + 4, RLENGTH - 4); bucket[n] = key } }
        END {
            frames = sum("fanlight_frames_encoded_total")
            if (frames > 0) printf "   %d frames; convert %.2f ms, encode %.2f ms a frame\n", frames, \
                sum("fanlight_convert_seconds_sum") / frames * 1000, sum("fanlight_encode_seconds_sum") / frames * 1000
            packets = sum("fanlight_packets_sent_total")
            if (packets > 0) printf "   %d packets sent, %d frames dropped before encoding, %d send errors\n", packets, \
                sum("fanlight_frames_dropped_total"), sum("fanlight_send_errors_total")
            total = sum("fanlight_latency_seconds_count")
            if (total > 0) for (p = 50; p <= 99; p += 49) for (i = 1; i <= n; i++)
                if (sum(bucket[i]) >= total * p / 100) { printf "   from capture to last packet: p%d at most %.1f ms\n", p, bound[i] * 1000; break }
        }' "$work/metrics.before" "$work/metrics.after"
    for pid in $load; do wait "$pid" || echo "   a viewer failed: $(tail -n 1 "$work"/viewer.*)"; done
    load=''
    kill "$daemon"
    wait "$daemon" || true
    daemon=''
done
