#!/bin/sh
# venv.sh FOLDER: makes a virtual environment there with the first Python 3.10 to 3.12 that really runs ($PYTHON, where
# it is set, and no other), or says in one line what is missing. A shim on PATH that only prints an error is passed over.
set -eu

usable() { # supported version, and able to make an environment with pip in it
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' > /dev/null 2>&1
}

for python in ${PYTHON:-python3.12 python3.11 python3.10 python3}; do
    if usable "$python"; then
        echo "$1: a virtual environment with $("$python" --version)"
        rm -rf "$1"
        exec "$python" -m venv "$1"
    fi
done
echo "Tagwright needs Python 3.10, 3.11 or 3.12 with venv and ensurepip (Debian: python3-venv); tried: ${PYTHON:-python3.12 python3.11 python3.10 python3}. Name another with PYTHON=/path/to/python." >&2
exit 1
