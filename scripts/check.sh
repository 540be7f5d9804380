#!/usr/bin/env bash
# `check.sh quick` is what to run before every commit, `check.sh all` is what CI runs. Stops at the first step that
# fails; the tests come last, all of them even if one fails, and their sum closes the output.
set -euo pipefail

cd "$(dirname "$0")/.."
step() { echo "check: $*" >&2; "$@"; }

tests() {  # ARGUMENT...: of cargo test
    local log result=0
    log=$(mktemp)
    step cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$log" || result=$?
    awk '/^test result: / { passed += $4; failed += $6; ignored += $8 }
        END { printf "tests: %d passed, %d failed, %d skipped\n", passed, failed, ignored }' "$log"
    rm "$log"
    return "$result"
}

case ${1:-} in quick | all) ;; *) echo "usage: check.sh quick|all" >&2; exit 2 ;; esac
for script in scripts/*.sh examples/*.sh tests/vm/*.sh .ci/run; do
    [ ! -e "$script" ] || bash -n "$script"
done
step cargo fmt --all --check
step cargo clippy --locked --all-targets -- -D warnings
if [ "$1" = quick ]; then
    tests --lib --bins
    exit
fi
# With the examples the libraries have the same features as for clippy, and need not be checked once more.
RUSTDOCFLAGS='-D warnings' step cargo doc --locked --no-deps --document-private-items --lib --examples
step scripts/deny.sh
step cargo test --locked --doc
# A test runs the example viewer.
step cargo build --locked --examples
tests --lib --bins --tests --example load --example floor
