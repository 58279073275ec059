#!/bin/sh
# Resolves pyproject.toml into requirements/run.txt and requirements/dev.txt, with hashes, for every platform. Run by
# `make lock`. What is pinned stays unless pyproject.toml forbids it; `sh scripts/lock.sh --upgrade` takes the newest.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    [ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
    uv=.venv/bin/uv
fi
compile() {
    out=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
        --extra embedded --extra mail --extra passkeys "$@" pyproject.toml -o "$out"
}
compile requirements/run.txt "$@"
compile requirements/dev.txt --extra passwords --group dev --constraint requirements/run.txt "$@"
