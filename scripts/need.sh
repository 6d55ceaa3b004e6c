#!/usr/bin/env bash
# Installs Debian packages that are missing, and nothing else: need.sh PACKAGE|COMMAND=PACKAGE ...
# COMMAND=PACKAGE is there as soon as the command is, whoever installed it; the same for a PACKAGE that
# is named like its command.
# Needs: root and apt-get, but only if something is missing. Leaves: the packages.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

missing=()
for need in "$@"; do
	package=${need#*=}
	command -v "${need%%=*}" >/dev/null && continue
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] && continue
	missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "this machine lacks: ${missing[*]}" >&2
	echo "hint: as root, apt-get install ${missing[*]}" >&2
	exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# The programs are wanted, not the services that their packages would start (nginx takes port 80).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
fi
install() { apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null; }
# The list of packages may be old, or absent on a new machine.
install 2>/dev/null || { apt-get update -qq </dev/null && install; }
