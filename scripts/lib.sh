# Sourced by the scripts beside it: where things are, and how progress is told.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/foretoken

# Fresh clones of the project share compiled objects whatever folder they are in.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1

step_number=0
step_started=$SECONDS
# step TITLE: the next of $steps parts begins.
step() {
  step_number=$((step_number + 1))
  step_started=$SECONDS
  printf '\n[%d/%d] %s\n' "$step_number" "$steps" "$1"
}
# step_done [NOTE]: the part has ended.
step_done() { printf '      done in %d s%s\n' "$((SECONDS - step_started))" "${1:+: $1}"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 1
}
# usage_of FILE: the comment block that opens a script, less the first line.
usage_of() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$1"; }
