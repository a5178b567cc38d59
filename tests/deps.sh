#!/bin/sh
# Installs the Debian packages that are missing: sh tests/deps.sh PACKAGE...
# COMMAND=PACKAGE: only if there is no such command, whoever installed it.
# Services among them are not started. Elsewhere it says what to install.
# SPDX-License-Identifier: MIT
set -eu
if ! command -v apt-get >/dev/null 2>&1; then
    echo "This is not Debian or Ubuntu; please install what these packages hold:"
    printf '  %s\n' "$@" | sed 's/[a-z0-9]*=//'
    exit 0
fi
missing=
for package in "$@"; do
    case $package in
    *=*) command -v "${package%%=*}" >/dev/null 2>&1 && continue ;;
    esac
    package=${package#*=}
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
    *'ok installed'*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0
root=
[ "$(id -u)" -eq 0 ] || root=sudo
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
    $root chmod +x $policy
    trap '$root rm -f $policy' EXIT
fi
$root apt-get update -q || echo "apt-get update failed; going on with what is known"
DEBIAN_FRONTEND=noninteractive $root apt-get install -q -y --no-install-recommends $missing
