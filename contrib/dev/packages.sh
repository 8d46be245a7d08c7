#!/bin/sh
# packages.sh PACKAGE…: install Debian packages that are missing. Their services are not started: the tests start
# private ones. Without root they are only named; a test that needs one says so and is skipped (in CI it fails).
set -eu
missing=
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, so the tests that need them are skipped:$missing" >&2
    echo "install them with: sudo apt install$missing" >&2
    exit 0
fi
echo "installing Debian packages for the tests:$missing"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update >/dev/null
apt-get install -y --no-install-recommends $missing >/dev/null
