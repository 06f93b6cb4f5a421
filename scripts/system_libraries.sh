#!/usr/bin/env bash
# system_libraries.sh ipopt | chromium: Debian packages that some tests need, installed only where we are root and apt
# exists; elsewhere the script says what to install, and those tests are skipped.
#   ipopt      Ipopt's headers and libraries, from which pip builds cyipopt (about two minutes)
#   chromium   the browser that opens the arena's report (about 15 seconds)
set -u

case "${1:-}" in
    ipopt) packages=(coinor-libipopt-dev libblas-dev liblapack-dev pkg-config) ;;
    chromium) packages=(chromium) ;;
    *) echo "usage: $0 ipopt | chromium" >&2; exit 2 ;;
esac

there() {
    case "$1" in
        ipopt) command -v pkg-config >/dev/null && pkg-config --exists ipopt ;;
        chromium) command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ;;
    esac
}

if there "$1"; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" && exit 0
fi
echo "Not installed: ${packages[*]} (Debian names). Going on without."
exit 1
