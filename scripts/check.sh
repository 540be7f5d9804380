#!/bin/sh
# `check.sh quick` is what to run before every commit, `check.sh all` is what CI runs. Stops at the first failure;
# the tests come last, so that their summary closes the output.
set -eu

cd "$(dirname "$0")/.."
step() { echo "check: $*" >&2; "$@"; }

case ${1:-} in quick | all) ;; *) echo "usage: check.sh quick|all" >&2; exit 2 ;; esac
for script in scripts/*.sh examples/*.sh .ci/run; do bash -n "$script"; done
step cargo fmt --all --check
step cargo clippy --locked --all-targets -- -D warnings
if [ "$1" = quick ]; then
    step cargo test --locked --lib --bins
    exit
fi
RUSTDOCFLAGS='-D warnings' step cargo doc --locked --no-deps --document-private-items
step scripts/deny.sh
step cargo test --locked
