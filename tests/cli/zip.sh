#!/usr/bin/env bash
# The sample program against the host's gzip and zlib, on good data, bad data and bad words. Ends at the first thing that is not as it must be.
#
#   tests/cli/zip.sh            everything
#   tests/cli/zip.sh PART...    only these: round back large corpus bad words
set -Eeuo pipefail
cd "$(dirname "$0")/../.."

LARGE_BYTES=$((40 << 20))
LARGE_SECONDS=60
BAD_SECONDS=2
CORPUS=../shared/corpus/dickens

parts=(round back large corpus bad words)
chosen=("$@")
[ ${#chosen[@]} -gt 0 ] || chosen=("${parts[@]}")
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
trap 'echo "error: ${what-}: line $LINENO failed" >&2' ERR

zip() { cargo run -q -- zip "$@"; }

fail() {
    echo "error: $what: $*" >&2
    exit 1
}

now() { date +%s%N; }
seconds_since() { echo "$((($(now) - $1) / 1000000000)).$(((($(now) - $1) / 100000000) % 10))"; }

# Reads what was compressed, as one stream to its very end, with Python's zlib.
inflate() {
    python3 -c '
import sys, zlib
stream = zlib.decompressobj(int(sys.argv[1]))
data = open(sys.argv[2], "rb").read()
plain = stream.decompress(data) + stream.flush()
assert stream.eof and not stream.unused_data, "not exactly one stream"
sys.stdout.buffer.write(plain)' "$1" "$2"
}

# Writes a stream with Python's zlib.
deflate() {
    python3 -c '
import sys, zlib
stream = zlib.compressobj(int(sys.argv[2]), zlib.DEFLATED, int(sys.argv[1]))
data = open(sys.argv[3], "rb").read()
sys.stdout.buffer.write(stream.compress(data) + stream.flush())' "$1" "$2" "$3"
}

# Archives of what every checkout and toolchain has, sources first, cut to a length.
archive() {
    local sysroot
    sysroot=$(rustc --print sysroot)
    # `head` ends the archiver early.
    {
        tar -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner firmware hal qm smmu uacce zip-engine tests docs qemu || true
        tar -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$sysroot" lib || true
    } 2>/dev/null | head -c "$1"
}

# Documents and sources of this checkout, over and over, cut to a length.
text() {
    python3 -c '
import sys
data = b"".join(open(name, "rb").read() for name in sys.argv[2:])
sys.stdout.buffer.write((data * (int(sys.argv[1]) // len(data) + 1))[:int(sys.argv[1])])' "$1" docs/*.md docs/not_supported/*.md {firmware,zip-engine}/*/src/*.rs
}

inputs() {
    : >"$room/empty"
    printf x >"$room/one"
    text 4096 >"$room/page"
    text 4194304 >"$room/text"
    python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes(4 << 20))' >"$room/random"
}

# Every format of every input, read by the host.
part_round() {
    local name
    for name in empty one page text random; do
        what="$name, gzip"
        zip -g <"$room/$name" >"$room/$name.gz"
        gunzip -c "$room/$name.gz" | cmp - "$room/$name"
        what="$name, zlib"
        zip -z <"$room/$name" >"$room/$name.z"
        inflate 15 "$room/$name.z" | cmp - "$room/$name"
        what="$name, raw"
        zip -r -i "$room/$name" -o "$room/$name.raw"
        inflate -15 "$room/$name.raw" | cmp - "$room/$name"
        echo "  $name: $(stat -c %s "$room/$name") bytes, gzip $(stat -c %s "$room/$name.gz"), zlib $(stat -c %s "$room/$name.z")," \
            "raw $(stat -c %s "$room/$name.raw"): read back by gunzip and zlib"
    done
}

# What the host wrote, read by us.
part_back() {
    local name level
    for name in empty one page text random; do
        for level in 1 6 9; do
            what="$name, gzip -$level"
            gzip "-$level" -c "$room/$name" >"$room/host.gz"
            zip -g -d <"$room/host.gz" | cmp - "$room/$name"
            what="$name, Python's zlib at level $level"
            deflate 15 "$level" "$room/$name" >"$room/host.z"
            zip -z -d <"$room/host.z" | cmp - "$room/$name"
            what="$name, Python's raw deflate at level $level"
            deflate -15 "$level" "$room/$name" >"$room/host.raw"
            zip -r -d -i "$room/host.raw" -o "$room/back"
            cmp "$room/back" "$room/$name"
        done
        echo "  $name: levels 1, 6, 9 of gzip, zlib and raw deflate decompressed"
    done
    what="two gzip members"
    { gzip -c "$room/page"; gzip -c "$room/one"; } >"$room/members.gz"
    zip -g -d <"$room/members.gz" | cmp - <(cat "$room/page" "$room/one")
    what="a gzip file with every optional field"
    python3 -c '
import gzip, struct, sys, zlib
plain = open(sys.argv[1], "rb").read()
body = gzip.compress(plain)[10:]
head = bytes([31, 139, 8, 2 | 4 | 8 | 16]) + bytes(6) + struct.pack("<H", 3) + b"abc" + b"name\0" + b"a comment\0"
sys.stdout.buffer.write(head + struct.pack("<H", zlib.crc32(head) & 0xffff) + body)' "$room/page" >"$room/fields.gz"
    zip -g -d <"$room/fields.gz" | cmp - "$room/page"
    echo "  two members and a full header: decompressed"
}

# Says how long a command took, which must be within the limit.
timed() {
    local limit=$1 start took
    shift
    start=$(now)
    "$@"
    took=$((($(now) - start) / 1000000))
    [ "$took" -le $((limit * 1000)) ] || fail "took $took ms, more than $limit s"
    echo "  $what: $((took / 1000)).$((took / 100 % 10)) s"
}

part_large() {
    archive "$LARGE_BYTES" >"$room/large"
    [ "$(stat -c %s "$room/large")" = "$LARGE_BYTES" ] || fail "the archive is too short"
    what="40 MiB of tar, compressed"
    timed "$LARGE_SECONDS" zip -g -i "$room/large" -o "$room/large.gz"
    gunzip -c "$room/large.gz" | cmp - "$room/large"
    what="40 MiB of tar, decompressed"
    timed "$LARGE_SECONDS" zip -g -d -i "$room/large.gz" -o "$room/large.back"
    cmp "$room/large.back" "$room/large"
    gzip -6 -c "$room/large" >"$room/large.host.gz"
    what="40 MiB of tar as gzip -6 wrote it, decompressed"
    timed "$LARGE_SECONDS" zip -g -d -i "$room/large.host.gz" -o "$room/large.back"
    cmp "$room/large.back" "$room/large"
    what="40 MiB of tar, zlib"
    timed "$LARGE_SECONDS" zip -z -i "$room/large" -o "$room/large.z"
    inflate 15 "$room/large.z" | cmp - "$room/large"
    what="40 MiB of tar, raw"
    timed "$LARGE_SECONDS" zip -r -i "$room/large" -o "$room/large.raw"
    inflate -15 "$room/large.raw" | cmp - "$room/large"
    echo "  40 MiB of tar: $(stat -c %s "$room/large.gz") bytes, gzip -6 $(stat -c %s "$room/large.host.gz")"
}

part_corpus() {
    what="dickens"
    if [ ! -e "$CORPUS" ]; then
        echo "  skipped: there is no $CORPUS"
        return 0
    fi
    zip -g -i "$CORPUS" -o "$room/dickens.gz"
    gunzip -c "$room/dickens.gz" | cmp - "$CORPUS"
    local ours theirs
    ours=$(stat -c %s "$room/dickens.gz")
    theirs=$(gzip -1 -c "$CORPUS" | wc -c)
    echo "  dickens: $ours bytes, gzip -1 $theirs: $((ours * 1000 / theirs)) per mille"
    [ $((ours * 100)) -le $((theirs * 110)) ] || fail "more than 1.10 times what gzip -1 needs"
}

# Bad data of every sort in $room/bad, one file each; the ending names the format.
bad_files() {
    python3 - "$room" <<'PYTHON'
import gzip, os, sys, zlib
room = sys.argv[1]
plain = open(f"{room}/text", "rb").read()[:300000]
g = gzip.compress(plain, 6, mtime=0)
z = zlib.compress(plain, 6)
c = zlib.compressobj(6, zlib.DEFLATED, -15)
r = c.compress(plain) + c.flush()
os.makedirs(f"{room}/bad")
def put(name, data):
    open(f"{room}/bad/{name}", "wb").write(data)
def flipped(data, at, bit):
    data = bytearray(data)
    data[at] ^= 1 << bit
    return bytes(data)
for form, data, header in (("g", g, 10), ("z", z, 2), ("r", r, 0)):
    put(f"empty.{form}", b"")
    put(f"truncated-half.{form}", data[:len(data) // 2])
    put(f"truncated-last.{form}", data[:-1])
    put(f"truncated-early.{form}", data[:header + 3])
    put(f"garbage.{form}", data + b"hello")
for form, data, header in (("g", g, 10), ("z", z, 2)):
    put(f"truncated-header.{form}", data[:header - 1])
    put(f"truncated-trailer.{form}", data[:-4])
    put(f"not-this-format.{form}", plain[:5000])
    for part in range(1, 8):
        put(f"flipped-{part}.{form}", flipped(data, header + (len(data) - header - 8) * part // 8, part))
put("not-this-format.r", b"\xff" * 5000)
put("wrong-crc.g", flipped(g, -8, 0))
put("wrong-length.g", flipped(g, -4, 0))
put("wrong-adler.z", flipped(z, -1, 0))
put("wrong-method.g", flipped(g, 2, 0))
put("reserved-flag.g", flipped(g, 3, 7))
put("bad-second-member.g", g + flipped(g, -8, 3))
put("zlib.g", z)
put("gzip.z", g)
PYTHON
}

# One refusal: exit code 1, one line with a reason and an offset, no file, in time. More tries for a busy host. Leaves the time in `took`.
refused() {
    local file=$1 limit_ms=$((BAD_SECONDS * 1000)) code try start
    for try in 1 2 3 4; do
        start=$(now)
        code=0
        zip "-${file##*.}" -d -i "$file" -o "$room/out/file" 2>"$room/words" || code=$?
        took=$((($(now) - start) / 1000000))
        [ "$took" -gt "$limit_ms" ] || break
    done
    [ "$code" = 1 ] || fail "exit code $code"
    [ "$(wc -l <"$room/words")" = 1 ] || fail "not one line: $(cat "$room/words")"
    grep -Eq '^zip: bad (data|header) at offset [0-9]+: .+' "$room/words" || fail "says: $(cat "$room/words")"
    [ -z "$(ls -A "$room/out")" ] || fail "left $(ls -A "$room/out")"
    [ "$took" -le "$limit_ms" ] || fail "took $took ms, try $try"
}

part_bad() {
    mkdir "$room/out"
    bad_files
    local file slowest=0
    for file in "$room"/bad/*; do
        what=${file##*/}
        refused "$file"
        [ "$took" -le "$slowest" ] || slowest=$took
        echo "  $what: $(cat "$room/words")"
    done
    echo "  $(ls "$room/bad" | wc -l) bad files refused, the slowest in $slowest ms"

    what="bad data to standard output"
    if zip -g -d <"$room/bad/wrong-crc.g" >"$room/stdout" 2>/dev/null; then fail "accepted"; fi
    [ ! -s "$room/stdout" ] || fail "something was written"
    what="bad data over a file that was there"
    echo old >"$room/out/file"
    if zip -g -d -i "$room/bad/wrong-crc.g" -o "$room/out/file" 2>/dev/null; then fail "accepted"; fi
    [ "$(cat "$room/out/file")" = old ] || fail "the file has changed"
    echo "  standard output stays empty, an old file stays"
}

# Words that cannot be followed: one sentence on standard error, and the exit code given.
complains() {
    local expected=$1 pattern=$2 code=0
    shift 2
    "$@" </dev/null >"$room/stdout" 2>"$room/words" || code=$?
    [ "$code" = "$expected" ] || fail "exit code $code: $(cat "$room/words")"
    grep -q '^error: ' "$room/words" && grep -Eq -- "$pattern" "$room/words" || fail "says: $(cat "$room/words")"
    [ "$(wc -l <"$room/words")" = 1 ] || fail "says more than one line: $(cat "$room/words")"
    [ ! -s "$room/stdout" ] || fail "writes to standard output"
    echo "  $what: $(head -1 "$room/words")"
}

part_words() {
    what="unknown command"
    complains 2 "dance" cargo run -q -- dance
    what="zip without a format"
    complains 2 "-z.-g.-r" cargo run -q -- zip
    what="missing file"
    complains 1 "cannot read .*missing" cargo run -q -- zip -g -i "$room/missing"
    what="a directory for a file"
    complains 1 "cannot read .*directory" cargo run -q -- zip -g -i "$room"
    what="no such directory for the output"
    complains 1 "cannot write .*missing" cargo run -q -- zip -g -i "$room/page" -o "$room/missing/file"
    what="missing QEMU"
    complains 1 "SOC_QEMU names /nonexistent" env SOC_QEMU=/nonexistent cargo run -q -- zip -g -i "$room/page" -o "$room/never"
    [ ! -e "$room/never" ] || fail "left a file"
    what="missing kernel of a guest"
    complains 1 "missing" cargo run -q -- linux --kernel "$room/missing" --initrd "$room/page"
    if [ "$(id -u)" != 0 ]; then
        what="unreadable file"
        chmod 0 "$room/page"
        complains 1 "cannot read" cargo run -q -- zip -g -i "$room/page"
        chmod 644 "$room/page"
    fi
}

cargo build --quiet
inputs
for part in "${chosen[@]}"; do
    begin=$(now)
    what=$part
    "part_$part"
    echo "$part: ok, $(seconds_since "$begin") s"
done
