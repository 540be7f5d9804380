#!/bin/sh
# `install.sh install` puts the binary, the systemd unit, the service user and the sample configuration in place,
# `install.sh uninstall` takes them away. An edited configuration and the service's state are never touched, and the user
# stays.
# Environment: DESTDIR (none), PREFIX (/usr/local), SYSCONFDIR (/etc), BINARY (target/release/fanlight).
set -eu

cd "$(dirname "$0")/.."
dest=${DESTDIR:-} prefix=${PREFIX:-/usr/local} etc=${SYSCONFDIR:-/etc} binary=${BINARY:-target/release/fanlight}

program=$prefix/bin/fanlight
unit=$prefix/lib/systemd/system/fanlight.service
users=$prefix/lib/sysusers.d/fanlight.conf
docs=$prefix/share/doc/fanlight
config=$etc/fanlight/fanlight.toml
# Where systemd puts `StateDirectory=fanlight`, whatever the prefix.
state=/var/lib/fanlight
documents='docs/config.md LICENSE LICENSE-MIT LICENSE-APACHE LICENSE-THIRD-PARTY'
running() { [ -z "$dest" ] && [ -d /run/systemd/system ]; }

put() {  # MODE FROM TO
    install -D -m "$1" "$2" "$dest$3"
    echo "$dest$3"
}

is_there() { [ -e "$1" ] || [ -L "$1" ]; }

# As a word of a unit's command (systemd.service(5)): each % doubled, in quotes if it needs them.
unit_word() {
    case $1 in
        *[!A-Za-z0-9_./%:@+-]*) printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g; s/%/%%/g')" ;;
        *) printf %s "$1" | sed 's/%/%%/g' ;;
    esac
}

# For a URL (RFC 3986), in which systemd expands specifiers.
unit_url() { printf %s "$1" | sed 's/%/%%25/g; s/ /%%20/g; s/"/%%22/g; s/\\/%%5C/g'; }

# Replaces a text by another, both as they are.
replace() { sed "s|$(printf %s "$1" | sed 's/[][\\.*^$|]/\\&/g')|$(printf %s "$2" | sed 's/[\\&|]/\\&/g')|g"; }

create_user() {
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$users"
    elif ! id fanlight >/dev/null 2>&1; then
        useradd --system --user-group --groups video --no-create-home --shell /usr/sbin/nologin fanlight
    fi
}

case ${1:-} in
    install)
        if [ ! -x "$binary" ]; then
            echo "$binary is not there: run make build first" >&2
            exit 1
        fi
        put 755 "$binary" "$program"
        patched=$(mktemp); trap 'rm -f "$patched"' EXIT
        replace /usr/local/bin/fanlight "$(unit_word "$program")" <systemd/fanlight.service |
            replace /etc/fanlight/fanlight.toml "$(unit_word "$config")" |
            replace /usr/local/share/doc/fanlight "$(unit_url "$docs")" >"$patched"
        put 644 "$patched" "$unit"
        put 644 systemd/fanlight.sysusers "$users"
        for file in $documents; do put 644 "$file" "$docs/$(basename "$file")"; done
        [ -n "$dest" ] || create_user
        if is_there "$dest$config"; then
            echo "$dest$config: kept as it is"
        else
            # It may hold the password of a TURN server.
            put 640 systemd/fanlight.toml "$config"
            if [ -n "$dest" ]; then
                echo "the service reads it by its group: chgrp fanlight $config, where the user is"
            else
                chown root:fanlight "$config"
            fi
        fi
        if running; then
            systemctl daemon-reload
            echo "start it now and at every boot: systemctl enable --now fanlight"
        fi ;;
    uninstall)
        if running; then systemctl disable --now fanlight 2>/dev/null || true; fi
        rm -f "$dest$program" "$dest$unit" "$dest$users"
        for file in $documents; do rm -f "$dest$docs/$(basename "$file")"; done
        if [ ! -L "$dest$config" ] && cmp -s systemd/fanlight.toml "$dest$config"; then
            rm "$dest$config"
        elif is_there "$dest$config"; then
            echo "$dest$config: kept, since it was edited"
        fi
        if [ -e "$dest$state" ]; then
            echo "$dest$state: kept, with the service's certificate; to remove it: rm -r $dest$state"
        fi
        rmdir "$dest$docs" "$dest$etc/fanlight" 2>/dev/null || true
        if running; then systemctl daemon-reload; fi ;;
    *) echo "usage: install.sh install|uninstall" >&2; exit 2 ;;
esac
