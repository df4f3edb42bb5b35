# Where the recipes keep what they build: outside the checkout. Sourced.
linux_cache=${SOC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/soc-reference}/linux
mkdir -p "$linux_cache"
linux_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Installs Debian packages if a command or file they bring is missing: need TEST-COMMAND PACKAGE...
need() {
	local test=$1
	shift
	if eval "$test" >/dev/null 2>&1; then return 0; fi
	if ! command -v apt-get >/dev/null; then
		echo "linux: install the counterparts of these Debian packages: $*" >&2
		return 1
	fi
	local sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "$@" >&2 && return 0
	$sudo apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "$@" >&2
}
