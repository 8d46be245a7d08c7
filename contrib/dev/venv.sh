#!/bin/sh
# venv.sh PYTHON VENV: a virtual environment with the pinned dependencies and this checkout in it.
set -eu
python=$1 venv=$2

recent() { "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
complete() { "$python" -c 'import ensurepip' 2>/dev/null; }

# Debian has the venv module in a package of its own, which brings Python, too
if [ "$python" = python3 ] && { ! command -v python3 >/dev/null || { recent && ! complete; }; }; then
    sh contrib/dev/packages.sh 'so there is no virtual environment' python3-venv
fi
if ! command -v "$python" >/dev/null; then
    echo "there is no '$python' here; saslpy needs Python 3.11 or newer" >&2
    exit 1
fi
if ! recent; then
    echo "saslpy needs Python 3.11 or newer; '$python' is not. Name one: make PYTHON=python3.12" >&2
    exit 1
fi
if ! complete; then
    echo "the venv module of '$python' is not complete; on Debian it is in the package python3-venv" >&2
    exit 1
fi
# one that was cut short, or whose Python is gone, is made anew
"$venv/bin/pip" --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
echo "installing the dependencies into $venv …"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
