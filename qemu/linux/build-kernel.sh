#!/usr/bin/env bash
# Builds Debian's linux-source-6.1 for arm64 with kernel.fragment into the cache (about 5 minutes on two cores, once) and prints where Image and modules lie.
# Exit code 77: something that it needs cannot be had here.
set -euo pipefail
. "$(dirname "$0")/cache.sh"
need 'command -v aarch64-linux-gnu-gcc' gcc-aarch64-linux-gnu libc6-dev-arm64-cross || exit 77
need 'command -v flex && command -v bison && command -v bc && command -v rsync && command -v xz' flex bison bc rsync xz-utils || exit 77
need 'test -e /usr/include/openssl/opensslv.h && test -e /usr/include/libelf.h' libssl-dev libelf-dev || exit 77
need 'ls /usr/src/linux-source-6.1.tar.xz' linux-source-6.1 || exit 77

stamp=$(cat "$linux_here/kernel.fragment" "$linux_here/build-kernel.sh" "$linux_here"/module/* /usr/src/linux-source-6.1.tar.xz | sha256sum | cut -c1-16)
out=$linux_cache/kernel-$stamp
if [ ! -e "$out/done" ]; then
	rm -rf "$out" && mkdir -p "$out"
	echo "linux: unpacking and building into $out" >&2
	tar -C "$out" -xf /usr/src/linux-source-6.1.tar.xz
	make=(make -s -C "$out/linux-source-6.1" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- KBUILD_BUILD_TIMESTAMP=0 KBUILD_BUILD_USER=soc KBUILD_BUILD_HOST=soc)
	"${make[@]}" KCONFIG_ALLCONFIG="$linux_here/kernel.fragment" allnoconfig >&2
	while read -r line; do # each wish of the fragment must have survived the dependencies
		case $line in CONFIG_*) grep -qx "$line" "$out/linux-source-6.1/.config" || { echo "linux: the configuration lost $line" >&2; exit 1; } ;; esac
	done <"$linux_here/kernel.fragment"
	"${make[@]}" -j"$(nproc)" Image modules >&2
	mkdir "$out/modules"
	cp -r "$linux_here/module" "$out/module"
	"${make[@]}" M="$out/module" modules >&2
	find "$out/linux-source-6.1/drivers" "$out/module" -name '*.ko' -exec cp {} "$out/modules/" \;
	cp "$out/linux-source-6.1/arch/arm64/boot/Image" "$out/Image"
	rm -rf "$out/linux-source-6.1" "$out/module"
	touch "$out/done"
fi
echo "$out"
