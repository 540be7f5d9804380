#!/usr/bin/env bash
# fuzz.sh [TARGET…] [SECONDS]: fuzzes these targets, or all, for so long each (600). What is too much for one ends it, and is kept in
# target/fuzz/crashes: mend the cause, and put the input into tests/fuzz/seeds/TARGET, which `cargo test` runs.
set -euo pipefail

cd "$(dirname "$0")/.."
say() { echo "fuzz: $*" >&2; }

seconds=600
targets=()
for word in "$@"; do
    case $word in *[!0-9]*) targets+=("$word") ;; *) seconds=$word ;; esac
done
if ! cargo +nightly --version >/dev/null 2>&1 || ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    say 'this needs nightly Rust and cargo-fuzz: rustup toolchain install nightly && cargo install cargo-fuzz'
    exit 1
fi
# No sanitizer: what is fuzzed is safe Rust, and ten times as fast without.
fuzz=(cargo +nightly fuzz)
options=(--fuzz-dir tests/fuzz --sanitizer none --target-dir target/fuzz)
"${fuzz[@]}" build "${options[@]}"
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <("${fuzz[@]}" list --fuzz-dir tests/fuzz)
failed=()
for target in "${targets[@]}"; do
    say "$target for $seconds s"
    mkdir -p "target/fuzz/corpus/$target" target/fuzz/crashes
    "${fuzz[@]}" run "${options[@]}" "$target" "target/fuzz/corpus/$target" "tests/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=20 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/crashes/$target-" || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || { say "failed: ${failed[*]}"; exit 1; }
