#!/usr/bin/env bash
# Makes the virtual environment in the folder that is named, with the first Python that will do.
set -euo pipefail

venv=${1:?usage: make-venv.sh FOLDER}

for candidate in ${PYTHON_FOR_VENV:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "${python:-}" ]; then
  found=$(python3 --version 2>/dev/null || echo "no python3 at all")
  echo "Python 3.11 or newer is needed, and $found was found; on Debian: sudo apt-get install python3 python3-venv" >&2
  exit 1
fi

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "$python cannot make virtual environments; on Debian: sudo apt-get install python$version-venv" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q </dev/null
  apt-get install -qy --no-install-recommends "python$version-venv" </dev/null
fi

"$python" -m venv --clear "$venv"
# Dependency groups came to pip with 25.1.
"$venv/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'
