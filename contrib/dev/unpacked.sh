#!/bin/sh
# unpacked.sh FOLDER PACKAGE…: Debian packages that cannot be installed beside others, as Exim beside Postfix, unpacked into
# FOLDER/PACKAGE. The libraries that they need are installed. Without root, what is missing is only named.
set -eu
folder=$1
shift
download() { (cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2" >/dev/null 2>&1); }

for package in "$@"; do
    place=$folder/$package
    if [ ! -d "$place" ]; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            echo "not unpacked, so the tests that need it are skipped: $package" >&2
            continue
        fi
        echo "unpacking the Debian package $package in $folder"
        rm -rf "$place.new"
        mkdir -p "$place.new"
        # the list of packages may be missing, or older than what the archive has
        download "$place.new" "$package" || { apt-get -q update >/dev/null && download "$place.new" "$package"; } || {
            echo "$package cannot be downloaded" >&2
            exit 1
        }
        dpkg-deb -f "$place.new"/*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ |]*\).*/\1/p' >"$place.new/libraries"
        dpkg-deb -x "$place.new"/*.deb "$place.new"
        rm "$place.new"/*.deb
        mv "$place.new" "$place"
    fi
    sh contrib/dev/packages.sh "so $package does not start" $(cat "$place/libraries")
done
