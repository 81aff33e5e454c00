#!/usr/bin/env bash
# Resolves requirements/*.in into hash-locked *.txt: `make lock`. Everything that shares .venv is resolved together
# first, so that the layers agree with each other; then each layer is written with those versions.
#
# torch and what only torch pulls in stay out: a lock pins either one machine's CPU build or the CUDA build and its
# packages. The locks name no index, so that everyone's pip uses its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
uv=${UV:-.venv/bin/uv}

compile() { # LAYER OPTION...
    local layer=$1
    shift
    echo "requirements/$layer.txt"
    "$uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes \
        --no-header --no-annotate "$@" "requirements/$layer.in" --output-file "$scratch/$layer.txt"
    { echo "# Written by \`make lock\` from $layer.in."; cat "$scratch/$layer.txt"; } > "requirements/$layer.txt"
}

shared=(run triton train dev)
files=("${shared[@]/#/requirements/}")
"$uv" pip compile --quiet --universal --python-version 3.10 --excludes requirements/torch.txt \
    "${files[@]/%/.in}" --output-file "$scratch/all.txt"
for layer in "${shared[@]}"; do
    compile "$layer" --excludes requirements/torch.txt --constraints "$scratch/all.txt"
done
# Without the upper bound of pyproject.toml: the client and the stubs also run on newer Pythons.
compile client --no-config --constraints "$scratch/all.txt"
for layer in protobuf-5 protobuf-6 protobuf-7 proto; do
    compile "$layer" --no-config
done
