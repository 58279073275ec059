#!/bin/sh
# Makes .venv with what requirements/$1.txt pins (run or dev) and this checkout in it. Called by the Makefile, often:
# where nothing has changed it returns at once and asks nobody.
set -eu
cd "$(dirname "$0")/.."
kind=$1
here=$(pwd -P)

# What must be as it was: the lock, the place (a venv cannot be moved), and this way of setting up.
wanted="$(cksum <"requirements/$kind.txt") $(cksum <scripts/link_checkout.py) $here"
stamp=.venv/installed-$kind
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

fits='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
if ! .venv/bin/python -c "$fits" 2>/dev/null || ! grep -qsF "$here/.venv" .venv/pyvenv.cfg; then
    python=
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 /usr/bin/python3 /usr/bin/python3.11; do
        if "$candidate" -c "$fits" 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "Python 3.11 or newer with venv is needed (Debian and Ubuntu: apt-get install python3 python3-venv);" \
            "PYTHON=/path/to/python names one that is not found." >&2
        exit 1
    fi
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

echo "Installing requirements/$kind.txt into .venv (once)"
rm -f .venv/installed-*
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes --no-deps --prefer-binary -r "requirements/$kind.txt"
.venv/bin/python scripts/link_checkout.py
echo "$wanted" >"$stamp"
if [ "$kind" = dev ]; then # dev.txt holds all that run.txt does
    echo "$(cksum <requirements/run.txt) $(cksum <scripts/link_checkout.py) $here" >.venv/installed-run
fi
