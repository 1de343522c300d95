#!/usr/bin/env bash
# Runs the realm: ./run.sh is ./run.sh up. Everything else goes to the command line tool; ./run.sh --help lists what it can do.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! command -v dotnet >/dev/null 2>&1; then
  echo "The .NET 10 SDK is missing. Install it from your distribution or from https://dot.net, then run this again." >&2
  exit 2
fi
# Benchmarks are a program of their own, with packages that the realm does not need.
project=src/Archipelago.Cli tool=archipelago
case "${1:-}" in bench | probe) project=benchmarks/Archipelago.Benchmarks tool=Archipelago.Benchmarks ;; esac
if [ "${1:-}" = bench ]; then
  case " $* " in *" --results "*) ;; *) set -- "$@" --results "$here/benchmarks/results" ;; esac
fi
if ! log=$(cd "$here" && dotnet build "$project" -c Release -v quiet -nologo 2>&1); then
  printf '%s\n' "$log" >&2
  exit 1
fi
[ $# -gt 0 ] || set -- up
exec dotnet "$here/$project/bin/Release/net10.0/$tool.dll" "$@"
