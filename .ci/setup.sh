#!/usr/bin/env bash
# Makes .venv with exactly the packages of requirements.lock; needs only a Python from 3.11 to 3.13.
# PYTHON=... names one; otherwise the first that fits is taken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        if fits "$name"; then command -v "$name"; return; fi
    done
    echo "error: no Python from 3.11 to 3.13 among: ${PYTHON:-the PATH}" >&2
    return 1
}

if ! fits .venv/bin/python; then
    python=$(find_python)
    echo "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

# uv installs the same files against the same hashes in 5 s where pip takes 70. It is itself locked, and
# where it does not work (no wheel for the platform, an index that only pip is told of) pip does the job.
pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet install --no-compile)
uv=(.venv/bin/uv pip install --quiet --system-certs --python .venv/bin/python) # a proxy may have its own
only_uv=$(mktemp)
trap 'rm -f "$only_uv"' EXIT
awk '/^[^ ]/ {on = /^uv==/} on' requirements.lock > "$only_uv"

echo "installing the packages of requirements.lock"
if "${pip[@]}" --require-hashes --no-deps -r "$only_uv" &&
    "${uv[@]}" --require-hashes --no-deps -r requirements.lock; then
    "${uv[@]}" --no-deps --no-build-isolation --editable .
else
    echo "uv cannot do it here; pip can (a minute or two)"
    "${pip[@]}" --require-hashes --no-deps -r requirements.lock
    "${pip[@]}" --no-deps --no-build-isolation --editable .
fi
