#!/bin/sh
# Installs what building (`setup.sh build`) or testing (`setup.sh test`) needs and the machine lacks.
# Asks nothing, names what it installs, and touches neither network nor root rights when nothing is missing.
set -eu

# Each need: what shows that it is there, and the Debian package that brings it.
#   command NAME     a program
#   header NAME      a header that the C compiler finds
#   libclang         the library that reads the kernel's headers for the V4L2 bindings
BUILD='
command c++         g++
command cmake       cmake
command nasm        nasm
libclang -          libclang-dev
header linux/videodev2.h linux-libc-dev
'
TEST='
command chromium        chromium
command chromedriver    chromium-driver
command certutil        libnss3-tools
command ffmpeg          ffmpeg
command ip              iproute2
command nft             nftables
command systemd-analyze systemd
command python3         python3
command curl            curl
command xz              xz-utils
command nginx           nginx
command apache2         apache2-bin
command haproxy         haproxy
command socat           socat
command script          bsdutils
'

# Of these packages some bring a service, which nobody asked for: tests run the programs by themselves.
SERVICES='nginx haproxy'
# What Debian's packages ask before they start a service.
POLICY=/usr/sbin/policy-rc.d

# Where Debian keeps some of it, and users that are not root don't look.
PATH=$PATH:/usr/sbin:/sbin

say() { echo "setup: $*" >&2; }

work=
policy_is_ours=
clean_up() {
    [ -z "$work" ] || rm -rf "$work"
    [ -z "$policy_is_ours" ] || as_root rm -f "$POLICY"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

have() {  # KIND NAME
    case $1 in
        command) command -v "$2" >/dev/null ;;
        header) echo "#include <$2>" | cc -E - >/dev/null 2>&1 ;;
        libclang)
            [ -n "${LIBCLANG_PATH:-}" ] ||
                find /usr/lib /usr/lib64 /usr/local/lib -name 'libclang*.so*' 2>/dev/null | grep -qE '/libclang(-[0-9.]+)?\.so' ;;
    esac
}

missing() {  # the packages that are missing out of a list of needs
    echo "$1" | while read -r kind name package; do
        [ -z "$kind" ] || have "$kind" "$name" || printf '%s ' "$package"
    done
}

rust() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null; then
        say "Rust is missing: install stable Rust $wanted or newer with rustup, then try again"
        exit 1
    fi
    found=$(cargo --version | sed -E 's/^cargo ([0-9]+\.[0-9]+).*/\1/')
    if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        say "Rust $found is too old: fanlight needs $wanted or newer (rustup update stable)"
        exit 1
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install() {  # PACKAGE...
    if ! command -v apt-get >/dev/null; then
        say "missing, under Debian's names: $*"
        say "this is no Debian or Ubuntu system: install the like with its own package manager, then try again"
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        say "missing: $*"
        say "neither root nor sudo is at hand; as root, run: apt-get update && apt-get install --no-install-recommends $*"
        exit 1
    fi
    say "installing with apt-get: $*"
    as_root apt-get update -q >/dev/null
    if ! [ -e "$POLICY" ]; then
        policy_is_ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null >/dev/null
    for service in $SERVICES; do
        # Not at the next boot either.
        case " $* " in *" $service "*) as_root systemctl disable --quiet "$service" 2>/dev/null || true ;; esac
    done
}

cd "$(dirname "$0")/.."
case ${1:-} in
    build) needs=$BUILD ;;
    test) needs=$BUILD$TEST ;;
    *) echo "usage: setup.sh build|test" >&2; exit 2 ;;
esac
rust
packages=$(missing "$needs")
# Package names hold no blanks: the list is meant to be split.
# shellcheck disable=SC2086
[ -z "$packages" ] || install $packages
still=$(missing "$needs")
if [ -n "$still" ]; then
    say "still missing after the installation: $still"
    exit 1
fi

# promtool judges what /metrics says. It is unpacked and not installed: the package would start a Prometheus.
if [ "$1" = test ] && ! command -v promtool >/dev/null && [ ! -x target/tools/promtool ] && command -v apt-get >/dev/null; then
    say "unpacking promtool from the package prometheus into target/tools"
    ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || as_root apt-get update -q >/dev/null
    work=$(mktemp -d)
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download prometheus && dpkg-deb -x prometheus_*.deb .)
    mkdir -p target/tools
    mv "$work/usr/bin/promtool" target/tools/
fi

# The virtual machine of the camera tests unpacks packages of its own, for which apt has to know what there is.
if [ "$1" = test ] && command -v apt-get >/dev/null && ! ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1; then
    say "fetching the list of packages with apt-get"
    as_root apt-get update -q >/dev/null
fi
