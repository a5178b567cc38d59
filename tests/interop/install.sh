# install.sh: what run.sh and peers.sh share; $here and $work are theirs.
# SPDX-License-Identifier: MIT

# install FOLDER PACKAGE.JSON: the scripts, and the packages that they need,
# unless those are there.
install() {
    mkdir -p "$1"
    cp "$here"/*.mjs "$1"
    cmp -s "$2" "$1/installed.json" && return
    rm -rf "$1/node_modules"
    cp "$2" "$1/package.json"
    npm install --prefix "$1" --no-package-lock --ignore-scripts \
        --no-audit --no-fund --loglevel=error >"$work/npm" 2>&1 ||
        { cat "$work/npm"; exit 1; }
    cp "$2" "$1/installed.json"
}
