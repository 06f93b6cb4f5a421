#!/usr/bin/env bash
# Ipopt's headers and libraries, from which pip builds cyipopt (about two minutes). Installed only where we are root and
# apt exists; elsewhere the script says what to install and the tests that need Ipopt are skipped.
set -u

packages=(coinor-libipopt-dev libblas-dev liblapack-dev pkg-config)

if command -v pkg-config >/dev/null && pkg-config --exists ipopt; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" && exit 0
fi
echo "Ipopt's development files are missing: install ${packages[*]} (Debian names). Going on without Ipopt."
exit 1
