#!/usr/bin/env bash
# The tour: what it must say, on every machine, and that with --icount every run says the same.
set -Eeuo pipefail
cd "$(dirname "$0")/../.."
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

fail() {
    echo "error: $*" >&2
    exit 1
}

# says FILE PATTERN...: every pattern is on a line of its own.
says() {
    local file=$1 pattern
    shift
    for pattern in "$@"; do
        grep -Eq -- "$pattern" "$file" || fail "no line like '$pattern' in: $(cat "$file")"
    done
}

cargo build --quiet
cargo run -q -- --trace "$room/trace" >"$room/plain"
says "$room/trace" '^# stalls [1-9]' '^# violations 0$'
says "$room/plain" '^SMMU: v3\.[0-9]+, .*SubstreamID [1-9][0-9]* bits' '^PCI .*19e5:a250 revision 0x30' \
    'QM V3, [0-9]+ of [0-9]+ queue pairs free' '^102 outputs compared'
for format in zlib gzip deflate; do
    # Device faults at the first touch, none later; no EL1 trap on the warm data path.
    for direction in compress decompress; do
        says "$room/plain" "^$format +$direction +[0-9]+ +[0-9]+ +[0-9.]+ +[1-9][0-9]* +[1-9][0-9]* +0\.00 +0\.00$"
    done
done
! grep -Eiq '^instructions|hash' "$room/plain" || fail "counts without --icount"
cat "$room/plain"

for engines in 1 0 3; do
    for run in first second; do cargo run -q -- --icount --engines "$engines" >"$room/$run"; done
    cmp "$room/first" "$room/second" || fail "two runs with --icount differ: $(diff "$room/first" "$room/second")"
    says "$room/first" '^instructions ' '^trace: .* hash 0x[0-9a-f]{16}$' '^zlib +compress .* 0\.00 +0\.00$'
    cargo run -q -- --icount --engines "$engines" --seed 1 >"$room/other"
    says "$room/other" ' seed 1$'
    if [ "$(sed -n 's/.*hash //p' "$room/first")" = "$(sed -n 's/.*hash //p' "$room/other")" ]; then
        fail "another input has the same hash"
    fi
    echo "--icount, 1+$engines cores: two runs alike, $(sed -n 's/.*hash /hash /p' "$room/first"); seed 1: $(sed -n 's/.*hash /hash /p' "$room/other")"
done

# A device that asks for its pages: as many first touches, no trap later, and counted runs that are one run.
for engines in 1 0; do
    for run in first second; do cargo run -q -- --smmu atspri --icount --engines "$engines" --trace "$room/trace" >"$room/$run"; done
    says "$room/trace" '^# smmu-accesses [1-9]' '^# violations 0$'
    cmp "$room/first" "$room/second" || fail "two runs with --smmu atspri --icount differ: $(diff "$room/first" "$room/second")"
    says "$room/first" '^SMMU: .*TerminateOnly .*by page requests$' '^zlib +decompress +[0-9]+ +[0-9]+ +[0-9.]+ +64 .* 0\.00 +0\.00$' '^102 outputs compared'
    echo "--smmu atspri --icount, 1+$engines cores: two runs alike, $(sed -n 's/.*hash /hash /p' "$room/first")"
done

# The sample programs that need no file of the host.
cargo run -q -- forker >"$room/forker"
says "$room/forker" 'inherited handle is EACCES' '^the copy writes +cafe +dead +cafe +f00d +dead$' '^the parent writes +beef +cafe +beef +f00d +cafe$'
cargo run -q -- abuse >"$room/abuse"
says "$room/abuse" '^entries of random bits: refused$' '^20,000 bad calls in a row: refused$'
! grep -q 'NOT REFUSED' "$room/abuse" || fail "an attack was not refused: $(cat "$room/abuse")"
cargo run -q -- pingpong >"$room/pingpong"
says "$room/pingpong" '^first round: 64 packets .* device page faults [1-9][0-9]*, system calls 0$' '^second round: .* device page faults 0, system calls 0$'

cargo run -q -- --bare >"$room/bare"
says "$room/bare" '^SMMU: v3\.1' '^accelerator: none$'
echo "--bare: $(grep '^SMMU' "$room/bare")"
