#!/bin/sh
# Makes .venv with the pinned dependencies, and installs the system packages that the lab runs.
#
#   tools/bootstrap.sh            all of it; a second run finds it done and takes no time
#   tools/bootstrap.sh wrk        programs that a target needs beside those of the lab, too
#   PYTHON=python3.12 ...         the interpreter of the virtual environment (3.11 or later)
#
# System packages are installed as root or by a sudo that asks for no password; otherwise the one command that does it is
# printed, and the exit code is 1.
set -eu
cd "$(dirname "$0")/.."

# Containers run as users of their own, who have to read the lab, whatever the umask keeps from others.
umask 022

FURTHER=$*
PYTHON=${PYTHON:-python3}
VENV=.venv
STAMP=$VENV/.installed
COMPILED=$VENV/.compiled
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

fail() {
    printf 'bootstrap: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

# The Debian package that brings each program, and what other distributions call it.
package_of() {
    case $1 in
        nft) echo nftables ;;
        ip) if [ "$manager" = dnf ]; then echo iproute; else echo iproute2; fi ;;
        newuidmap) case $manager in dnf) echo shadow-utils ;; pacman) echo shadow ;; *) echo uidmap ;; esac ;;
        unshare | setpriv) echo util-linux ;;
        wrk) echo wrk ;;
        venv) if [ "$manager" = apt-get ]; then echo python3-venv; else echo python3; fi ;;
    esac
}

find_manager() {
    manager=
    for candidate in apt-get dnf pacman zypper; do
        if command -v "$candidate" >/dev/null 2>&1; then manager=$candidate; return; fi
    done
}

# What was installed from: the same lock file, project and directory (scripts in .venv/bin hold absolute paths).
fingerprint() { { pwd; cat requirements.lock pyproject.toml; } | cksum; }

installed() { [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(fingerprint)" ]; }

has_venv() { "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }

missing_packages() {
    # shellcheck disable=SC2086  # a list of words
    for program in nft ip newuidmap unshare setpriv $FURTHER; do
        command -v "$program" >/dev/null 2>&1 || package_of "$program"
    done
    # A named interpreter that is not there is reported as such, not installed.
    if ! installed && { [ "$PYTHON" = python3 ] || command -v "$PYTHON" >/dev/null 2>&1; }; then
        has_venv || package_of venv
    fi
}

install_command() {
    case $manager in
        apt-get) echo "apt-get install -y --no-install-recommends" ;;
        dnf) echo "dnf install -y" ;;
        pacman) echo "pacman -S --needed --noconfirm" ;;
        zypper) echo "zypper install -y" ;;
    esac
}

install_system_packages() {
    find_manager
    packages=$(missing_packages | sort -u | tr '\n' ' ')
    [ -n "$packages" ] || return 0
    [ -n "$manager" ] || fail "missing system packages: $packages" "install them with this system's package manager"
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        fail "missing system packages; this installs them:" "sudo $(install_command) $packages"
    fi
    echo "installing system packages: $packages"
    if [ "$manager" = apt-get ]; then
        # shellcheck disable=SC2086  # an empty prefix is no word
        $as_root apt-get update -q >/dev/null || echo "bootstrap: apt-get update failed; trying with the lists that are there" >&2
    fi
    # shellcheck disable=SC2046,SC2086  # both are lists of words
    $as_root $(install_command) $packages || fail "could not install: $packages"
}

check_python() {
    command -v "$PYTHON" >/dev/null 2>&1 || fail "$PYTHON is not installed" "choose another: make PYTHON=/path/to/python3 ..."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
        "$PYTHON is $("$PYTHON" -V 2>&1); Python 3.11 or later is needed" "choose another: make PYTHON=/path/to/python3.11 ..."
    has_venv || fail "$PYTHON lacks venv or ensurepip" "install them (Debian, Ubuntu: sudo apt-get install python3-venv)"
}

install_python_packages() {
    if installed; then return 0; fi
    check_python
    # A checkout that was moved has scripts that name its old place.
    if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null || ! grep -qF "$PWD/$VENV/bin/" "$VENV/bin/pip"; then
        echo "making $VENV with $("$PYTHON" -V)"
        "$PYTHON" -m venv --clear "$VENV"
    fi
    echo "installing the pinned Python packages (about a minute)"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    fingerprint >"$STAMP"
}

# A checkout that was made with a strict umask. Where it is not ours to change, `mesh-lab doctor` says what is missing.
open_to_containers() {
    if [ -n "$(find lab ! -perm -004 -print -quit)" ]; then chmod -R go+rX lab || true; fi
}

# Containers may not write beside the lab's modules, so each of their starts would compile them anew.
compile_for_containers() {
    if [ -e "$COMPILED" ] && [ -z "$(find lab -name '*.py' -newer "$COMPILED" -print -quit)" ]; then return 0; fi
    "$VENV/bin/python" -m compileall -qq lab || true
    touch "$COMPILED"
}

open_to_containers
install_system_packages
install_python_packages
compile_for_containers
