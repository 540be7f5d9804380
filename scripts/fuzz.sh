#!/usr/bin/env bash
# fuzz.sh [TARGET…] [SECONDS]: fuzzes these targets, or all, for so long each (600). An input that is too much for one ends it, and is kept in
# target/fuzz/crashes: mend the cause, and put the input into tests/fuzz/seeds/TARGET, which `cargo test` runs.
set -euo pipefail

cd "$(dirname "$0")/.."
say() { echo "fuzz: $*" >&2; }

seconds=600
targets=()
for word in "$@"; do
    case $word in *[!0-9]*) targets+=("$word") ;; *) seconds=$word ;; esac
done
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's|^path = "targets/\(.*\)\.rs"$|\1|p' tests/fuzz/Cargo.toml)
# The flags of `cargo fuzz --sanitizer none`, which stable Rust has too. No sanitizer: the fuzzed code is safe Rust, and ten times as
# fast without. `--target` keeps the flags from build scripts and macros.
flags='--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares'
host=$(rustc -vV | sed -n 's/^host: //p')
binaries=()
for target in "${targets[@]}"; do binaries+=(--bin "$target"); done
RUSTFLAGS=$(echo $flags) cargo build --release --manifest-path tests/fuzz/Cargo.toml --target "$host" --target-dir target/fuzz "${binaries[@]}"
failed=()
for target in "${targets[@]}"; do
    say "$target for $seconds s"
    mkdir -p "target/fuzz/corpus/$target" target/fuzz/crashes
    # Inputs up to the largest body of a request. `offer` bounds its own time more tightly, by its input's length.
    "target/fuzz/$host/release/$target" "target/fuzz/corpus/$target" "tests/fuzz/seeds/$target" \
        -max_total_time="$seconds" -timeout=20 -max_len=131072 -len_control=1000 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/crashes/$target-" || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || { say "failed: ${failed[*]}"; exit 1; }
