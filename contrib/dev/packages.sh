#!/bin/sh
# packages.sh WHY PACKAGE…: install Debian packages that are missing. Their services are neither started nor will they be
# at the next boot: the tests start private ones. Without root the packages are only named, and WHY they are wanted.
set -eu
why=$1
shift
missing=
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, $why:$missing" >&2
    echo "install with: sudo apt install$missing" >&2
    exit 0
fi
echo "installing Debian packages:$missing"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
# a machine that has just booted may be busy with updates of its own: wait for it
apt='apt-get -o DPkg::Lock::Timeout=300'
$apt update >/dev/null
$apt install -y --no-install-recommends $missing >/dev/null
if command -v systemctl >/dev/null; then
    units=$(dpkg -L $missing | sed -n 's,^\(/usr\)*/lib/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$,\2,p')
    [ -z "$units" ] || systemctl disable $units >/dev/null 2>&1 || :
fi
