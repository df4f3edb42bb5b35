#!/usr/bin/env bash
# Makes the guest's initramfs: busybox from Debian, the two drivers, our module and our test program. Usage: build-initramfs.sh MODULES-DIR OUT.cpio.gz
# Exit code 77: something that it needs cannot be had here.
set -euo pipefail
. "$(dirname "$0")/cache.sh"
modules=${1:?usage: build-initramfs.sh MODULES-DIR OUT.cpio.gz}
out=${2:?usage: build-initramfs.sh MODULES-DIR OUT.cpio.gz}
need 'command -v aarch64-linux-gnu-gcc && test -e /usr/aarch64-linux-gnu/include/misc/uacce/uacce.h' gcc-aarch64-linux-gnu libc6-dev-arm64-cross linux-libc-dev-arm64-cross || exit 77
need 'command -v cpio' cpio || exit 77

# A foreign architecture's package, fetched with a package list of our own so that the host's configuration stays as it is.
busybox=$linux_cache/busybox-arm64
if [ ! -x "$busybox" ]; then
	apt=$(mktemp -d)
	trap 'rm -rf "$apt"' EXIT
	mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
	touch "$apt/state/status"
	options=(-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$apt/state" -o Dir::State::status="$apt/state/status" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
	apt-get -q "${options[@]}" update >&2 || exit 77
	(cd "$apt" && apt-get -q "${options[@]}" download busybox-static:arm64 >&2 && dpkg-deb -x busybox-static_*.deb unpacked) || exit 77
	cp "$apt"/unpacked/bin/busybox "$busybox.new" 2>/dev/null || cp "$apt"/unpacked/usr/bin/busybox "$busybox.new"
	mv "$busybox.new" "$busybox"
fi

root=$(mktemp -d)
trap 'rm -rf "$root" "${apt:-}"' EXIT
mkdir -p "$root"/{bin,sbin,dev,proc,sys,scratch,lib/modules}
cp "$busybox" "$root/bin/busybox"
for applet in sh mount mkdir cut cat grep sed tr basename nproc insmod rmmod modprobe poweroff setsid cttyhack gunzip gzip cmp ls dmesg sleep echo kill ps wc head tail usleep readlink dirname test; do
	ln -s busybox "$root/bin/$applet"
done
cp "$modules"/{hisi_qm,hisi_zip,soc_acomp}.ko "$root/lib/modules/"
aarch64-linux-gnu-gcc -static -pthread -O2 -Wall -Wextra -Werror -o "$root/bin/uacce-zip" "$linux_here"/guest/*.c
install -m 755 "$linux_here/guest/manage.sh" "$root/bin/manage.sh"
install -m 755 "$linux_here/init" "$root/init"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --owner 0:0 --reproducible) | gzip -n9 >"$out.new"
mv "$out.new" "$out"
