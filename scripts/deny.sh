#!/bin/sh
# Checks the dependencies against deny.toml with cargo-deny, which it builds once (about 3 minutes on 2 cores) into a
# cache that all clones share.
set -eu

version=0.20.2
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fanlight/cargo-deny-$version
say() { echo "deny: $*" >&2; }

deny=$cache/bin/cargo-deny
if [ ! -x "$deny" ]; then
    say "building cargo-deny $version into $cache"
    cargo install --quiet --locked --root "$cache" --version "$version" cargo-deny
fi

# Duplicates are warnings, hidden here: `cargo deny check bans` shows them.
# What only tests need doesn't ship: its licences and bans are its own affair, where it comes from is not.
"$deny" --locked -L error --exclude-dev check bans licenses
"$deny" --locked -L error check sources

# The advisory database is a repository elsewhere, and not every machine reaches it.
if GIT_TERMINAL_PROMPT=0 timeout 60 "$deny" --locked -L off fetch db >/dev/null 2>&1; then
    "$deny" --locked -L error check advisories
else
    say "advisories NOT checked: their database can't be fetched from here"
fi
