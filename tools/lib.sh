# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts in this directory; source it.
# shellcheck shell=bash
set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly REPO

# Debian's own interpreter: one test uses a module that Debian has for it, the others none.
readonly PYTHON=/usr/bin/python3

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

require_root() {
  [[ $(id -u) -eq 0 ]] ||
    die "must run as root: it makes network namespaces and cgroups, and loads BPF programs"
}

# Package names below are Debian 12's; other releases name some of them differently.
require_debian12() {
  local ID='' VERSION_ID='' PRETTY_NAME=unknown
  # shellcheck disable=SC1091
  [[ -r /etc/os-release ]] && . /etc/os-release
  [[ $ID == debian && $VERSION_ID == 12 ]] ||
    die "packages are missing and this is $PRETTY_NAME, not Debian 12: install them by hand: $*"
}
