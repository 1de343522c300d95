#!/usr/bin/env bash
# Installs what the tests need and is missing, builds with warnings as errors, runs every test, and ends with a line "N passed, N failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

install() { # command, Debian packages, what to say elsewhere
  command -v "$1" >/dev/null 2>&1 && return
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing $2"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $2 >/dev/null
  else
    echo "$1 is missing. $3" >&2
    exit 2
  fi
}
if ! command -v dotnet >/dev/null 2>&1; then
  echo "The .NET 10 SDK is missing. Install it from your distribution or from https://dot.net." >&2
  exit 2
fi
install node nodejs "Install Node.js 20 or newer."
install npm npm "Install npm, which usually comes with Node.js."
install nats-server nats-server "Install nats-server 2.9 or newer."
install chromium chromium "Install Chromium."

js=tests/Interop.Tests/js
if ! cmp -s "$js/package-lock.json" "$js/node_modules/.installed"; then
  echo "Installing the reference JavaScript libraries"
  (cd "$js" && npm ci --loglevel=error)
  cp "$js/package-lock.json" "$js/node_modules/.installed"
fi

dotnet build Archipelago.slnx -v quiet -nologo
results=$(mktemp)
trap 'rm -f "$results"' EXIT
code=0
dotnet test Archipelago.slnx --no-build -nologo "$@" 2>&1 | grep -v '^Test run for\|^A total of\|^$' | tee "$results" || code=$?
# Each test project ends with "Passed!  - Failed:     0, Passed:    53, …".
awk -v code="$code" '
  /(Passed|Failed)! +- Failed:/ { gsub(",", ""); for (i = 1; i < NF; i++) { if ($i == "Failed:") failed += $(i + 1); if ($i == "Passed:") passed += $(i + 1) } }
  END { if (code != 0 && failed == 0) failed = 1; printf "%d passed, %d failed\n", passed, failed; exit (failed > 0 || passed == 0) }' "$results"
