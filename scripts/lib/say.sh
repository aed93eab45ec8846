# shellcheck shell=bash
# What the scripts say, always on standard error: standard output is for results.

if [[ -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  say_bold=$'\e[1m' say_dim=$'\e[2m' say_green=$'\e[32m' say_red=$'\e[31m' say_off=$'\e[0m'
else
  say_bold='' say_dim='' say_green='' say_red='' say_off=''
fi

step() { printf '%s==> %s%s\n' "$say_bold" "$*" "$say_off" >&2; }
note() { printf '    %s%s%s\n' "$say_dim" "$*" "$say_off" >&2; }
good() { printf '    %sok%s %s\n' "$say_green" "$say_off" "$*" >&2; }

# kept …: what was there already; not worth a line where QUIET is set.
kept() { if [[ -z ${QUIET:-} ]]; then good "$@"; fi; }

# die MESSAGE [HINT]
die() {
  printf '%serror:%s %s\n' "$say_red" "$say_off" "$1" >&2
  if [[ -n ${2:-} ]]; then printf 'hint: %s\n' "$2" >&2; fi
  exit 1
}

# quietly LABEL COMMAND…: one line when it works, the whole output when it does not.
quietly() {
  local label=$1 log status=0
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  if ((status)); then
    cat "$log" >&2
    rm -f "$log"
    die "$label failed (exit $status)"
  fi
  rm -f "$log"
  good "$label"
}
