#!/bin/sh
# Installs what is missing to build and run this project; run it again at any time, it does nothing then.
#
#   ./setup.sh          QEMU, a host C compiler, rustup, the toolchain of rust-toolchain.toml
#   ./setup.sh --dev    also what only developers need; a part that cannot be fetched is named and passed over
#
# `./setup.sh && cargo run` goes on in the same shell line even where this script has just installed cargo: a small launcher is put
# into a directory that is on the caller's PATH already, since a child cannot change its parent's PATH. The launcher sets PATH itself,
# because a caller without any PATH has only its shell's built-in one, and that is not handed on to the compiler's linker.
# The script may be sourced too (`. ./setup.sh`); PATH is then set in the calling shell.

# Pinned: Miri and the fuzzers must judge every commit alike.
SOC_NIGHTLY=nightly-2026-05-20
SOC_CARGO_FUZZ=0.13.2

soc_setup() (
    set -eu
    cd "$(dirname "$SOC_SETUP_SELF")"
    [ -f rust-toolchain.toml ] || fail "run me from the project's root"
    dev=no
    for word in "$@"; do
        case $word in
        --dev) dev=yes ;;
        -h | --help)
            sed -n '2,6s/^# \{0,1\}//p' setup.sh
            return 0
            ;;
        *) fail "unknown option $word (known: --dev, --help)" ;;
        esac
    done
    PATH=$SOC_PATH
    export PATH

    system_packages
    cargo_and_rustup
    toolchain
    runner
    if [ "$dev" = yes ]; then
        developer_parts
    fi
    say "ready"
)

say() { echo "setup: $*" >&2; }

fail() {
    echo "setup: error: $*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo: $*"
    fi
}

# Installs Debian packages: one `apt-get update` per run, and only where something is missing.
apt_install() {
    if ! have apt-get; then
        fail "no apt-get here; install by your system's means: QEMU for aarch64 (qemu-system-aarch64), a C compiler (cc), curl," \
            "CA certificates, setpriv (util-linux), rustup; then run me again"
    fi
    if [ -z "${apt_updated-}" ]; then
        as_root apt-get update -qq || say "apt-get update failed; going on with the lists that are there"
        apt_updated=yes
    fi
    say "installing $*"
    apt_words=$(mktemp)
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>"$apt_words" || {
        cat "$apt_words" >&2
        rm -f "$apt_words"
        fail "apt-get could not install $*"
    }
    rm -f "$apt_words"
}

system_packages() {
    packages=
    have qemu-system-aarch64 || packages="$packages qemu-system-arm"
    # Build scripts, procedural macros and the runner are linked on the host.
    have cc || packages="$packages build-essential"
    have setpriv || packages="$packages util-linux"
    have curl || packages="$packages curl"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/ssl/cert.pem ] || packages="$packages ca-certificates"
    if [ -n "$packages" ]; then
        # shellcheck disable=SC2086 # a list of words
        apt_install $packages
    fi
    have qemu-system-aarch64 || fail "qemu-system-aarch64 is still missing after the installation"
}

# A rustup that is there, on the PATH or not; else the distribution's; else rustup's own installer.
cargo_and_rustup() {
    if ! have rustup; then
        if have cargo; then
            say "cargo without rustup found at $(command -v cargo): the toolchain file will not be followed"
            return 0
        elif [ -x "$SOC_CARGO_HOME/bin/rustup" ]; then
            :
        elif have apt-get && apt_has_rustup; then
            apt_install rustup
        else
            say "installing rustup"
            fetch_rustup
        fi
    fi
    PATH="$SOC_CARGO_HOME/bin:$PATH"
    have rustup || fail "rustup is still missing after the installation"
    put_on_callers_path
}

# Fetches rustup's installer where toolchains come from too (a mirror may stand in: RUSTUP_UPDATE_ROOT), checks its sum and runs it.
fetch_rustup() {
    case $(uname -m) in
    x86_64) host=x86_64-unknown-linux-gnu ;;
    aarch64) host=aarch64-unknown-linux-gnu ;;
    *) fail "no rustup installer is known for $(uname -m): install rustup by your system's means, then run me again" ;;
    esac
    from=${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}/dist/$host
    room=$(mktemp -d)
    for file in rustup-init rustup-init.sha256; do
        curl -sSf "$from/$file" -o "$room/$file" || {
            rm -rf "$room"
            fail "rustup's installer cannot be fetched from $from. Name a mirror in RUSTUP_UPDATE_ROOT and RUSTUP_DIST_SERVER, or bring" \
                "rustup by other means (newer Debian and Ubuntu have a package of that name; or copy CARGO_HOME and RUSTUP_HOME from" \
                "another machine), then run me again"
        }
    done
    [ "$(sha256sum <"$room/rustup-init" | cut -d' ' -f1)" = "$(cut -d' ' -f1 <"$room/rustup-init.sha256")" ] || {
        rm -rf "$room"
        fail "rustup's installer from $from does not have the sum that is published beside it"
    }
    chmod 755 "$room/rustup-init"
    "$room/rustup-init" -y -q --no-modify-path --default-toolchain none --profile minimal >/dev/null || {
        rm -rf "$room"
        fail "rustup's installer failed"
    }
    rm -rf "$room"
}

apt_has_rustup() {
    [ -n "$(apt-cache policy rustup 2>/dev/null | sed -n 's/^ *Candidate: *//p' | grep -v '(none)')" ] && return 0
    if [ -z "${apt_updated-}" ]; then
        as_root apt-get update -qq || return 1
        apt_updated=yes
    fi
    [ -n "$(apt-cache policy rustup 2>/dev/null | sed -n 's/^ *Candidate: *//p' | grep -v '(none)')" ]
}

# Makes `cargo` and `rustup` commands of the caller's shell, if they are not yet.
put_on_callers_path() {
    if (PATH=$SOC_PATH && have cargo && have rustup); then
        return 0
    fi
    target=
    old_ifs=$IFS
    IFS=:
    for directory in /usr/local/bin $SOC_PATH; do
        case ":$SOC_PATH:" in *":$directory:"*) ;; *) continue ;; esac
        case $directory in /*) ;; *) continue ;; esac
        if [ -d "$directory" ] && [ -w "$directory" ]; then
            target=$directory
            break
        fi
    done
    IFS=$old_ifs
    if [ -z "$target" ]; then
        [ -n "${SOC_SOURCED-}" ] && return 0
        fail "cargo is installed in $SOC_CARGO_HOME/bin, which is not on your PATH, and no directory of your PATH is writable." \
            "Run \`. \"$SOC_CARGO_HOME/env\"\` and try again"
    fi
    for program in cargo rustup; do
        [ -e "$target/$program" ] && continue
        cat >"$target/$program" <<LAUNCHER
#!/bin/sh
# Written by setup.sh: $program of $SOC_CARGO_HOME, wherever it is called from.
PATH="$SOC_CARGO_HOME/bin:\${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
export PATH
exec "$SOC_CARGO_HOME/bin/$program" "\$@"
LAUNCHER
        chmod 755 "$target/$program"
        say "$program is now $target/$program"
    done
}

# Reads one key of rust-toolchain.toml as words.
toolchain_file() {
    sed -n "s/^$1 *= *//p" rust-toolchain.toml | tr -d '[]"' | tr ',' ' '
}

toolchain() {
    have rustup || return 0
    channel=$(toolchain_file channel | tr -d ' ')
    installed=$(rustup component list --toolchain "$channel" --installed 2>/dev/null || true)
    missing=
    [ -n "$installed" ] || missing=$channel
    for part in $(toolchain_file components) $(toolchain_file targets | sed 's/\([^ ]\{1,\}\)/rust-std-\1/g'); do
        echo "$installed" | grep -q "^$part" || missing="$missing $part"
    done
    [ -z "$missing" ] && return 0
    say "installing the Rust toolchain of rust-toolchain.toml ($missing)"
    # Without arguments it installs what the file says, also where automatic installation is switched off.
    rustup toolchain install --no-self-update >/dev/null ||
        fail "the toolchain cannot be fetched. With a mirror, set RUSTUP_DIST_SERVER; else bring toolchain $channel with target" \
            "$(toolchain_file targets)and run me again"
}

# The runner is a host program that cargo builds on the way to the first boot, silently: better here, with a word.
runner() {
    set -- "${CARGO_TARGET_DIR:-target}"/*/runner/qemu-runner
    [ -x "$1" ] || say "building the runner, about a minute the first time"
    cargo build --quiet --profile runner --target host-tuple --package qemu-runner || fail "the runner does not build"
}

# Says what could not be had, and goes on.
optional() {
    what=$1
    shift
    # In a shell of its own: what ends there does not end this one.
    ("$@") >/dev/null 2>&1 || say "without $what: it cannot be fetched here ($*)"
}

developer_parts() {
    # The mutants, the verdicts and the sample program's judge are Python; the mutants work on the files that git lists.
    have python3 || optional "python3" apt_install python3
    have git || optional "git" apt_install git
    # For the codec's bench beside zlib-ng.
    have cmake || optional "cmake" apt_install cmake
    have rustup || return 0
    if ! rustup component list --toolchain "$SOC_NIGHTLY" --installed 2>/dev/null | grep -q '^miri'; then
        say "installing $SOC_NIGHTLY with Miri"
        optional "Miri" rustup toolchain install --no-self-update --profile minimal --component miri,rust-src "$SOC_NIGHTLY"
    fi
    if ! have cargo-fuzz; then
        say "installing cargo-fuzz"
        optional "cargo-fuzz" cargo install --quiet --locked --version "$SOC_CARGO_FUZZ" cargo-fuzz
    fi
}

# The caller's PATH; a shell without one uses the built-in default that this script sees too.
SOC_PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
# Where HOME is not set, the account database knows it, as rustup does.
SOC_HOME=${HOME:-$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)}
SOC_CARGO_HOME=${CARGO_HOME:-${SOC_HOME:-$PWD}/.cargo}
case ${0##*/} in
setup.sh)
    SOC_SETUP_SELF=$0
    SOC_SOURCED=
    ;;
*)
    SOC_SETUP_SELF=./setup.sh
    SOC_SOURCED=yes
    ;;
esac
if soc_setup "$@"; then
    case ":$SOC_PATH:" in
    *":$SOC_CARGO_HOME/bin:"*) ;;
    *)
        PATH="$SOC_PATH:$SOC_CARGO_HOME/bin"
        export PATH
        ;;
    esac
else
    # `return` where sourced, so that the caller's shell lives on.
    # shellcheck disable=SC2317
    return 1 2>/dev/null || exit 1
fi
