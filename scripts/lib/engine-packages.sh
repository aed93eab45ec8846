# shellcheck shell=bash
# shellcheck disable=SC2154  # engine.sh, sourced before this, says which versions are needed
# Which packages make an engine here. Archives drift, so apt's own simulation decides:
# this machine's release where it is new enough, else a newer suite of the same archive for
# the few packages that matter, with those left out that need a newer C library.

engine_suites=(forky trixie testing)
engine_wanted=(docker.io docker-cli docker-compose docker-buildx iptables ca-certificates)
engine_from_suite=(docker.io docker-cli docker-compose docker-buildx containerd runc tini-static)
engine_left_out=('' 'runc' 'runc containerd' 'runc containerd tini-static')
engine_source=/etc/apt/sources.list.d/stackctl-engine.list
engine_pins=/etc/apt/preferences.d/stackctl-engine

# engine_known: those of the wanted packages that some configured suite has (docker-cli is a
# package of its own only since Debian 13).
engine_known() {
  local package
  for package in "${engine_wanted[@]}"; do
    if [[ $(apt-cache policy "$package" 2>/dev/null) == *'Candidate: '[!\(]* ]]; then
      printf '%s\n' "$package"
    fi
  done
}

# engine_version_of PACKAGE: the version that the simulation ends with.
engine_version_of() {
  local version
  version=$(awk -v package="$1" '$1 == "Inst" && $2 == package {
    match($0, /\([^ ]+/); print substr($0, RSTART + 1, RLENGTH - 1) }' <<<"$engine_simulation")
  if [[ -z $version ]]; then
    version=$(dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true)
  fi
  printf '%s\n' "${version#*:}"
}

# engine_can_install: 0 where apt could install the wanted packages, new enough, removing nothing.
engine_can_install() {
  mapfile -t engine_packages < <(engine_known)
  engine_simulation=$(apt-get -s install --no-install-recommends "${engine_packages[@]}" 2>&1) || return 1
  if [[ $engine_simulation == *$'\nRemv '* ]]; then return 1; fi
  at_least "$(engine_version_of docker.io)" "$engine_needed" &&
    at_least "$(engine_version_of docker-compose)" "$compose_needed"
}

# engine_add_suite SUITE LEFT_OUT: as a source of its own, pinned below everything but for our packages.
engine_add_suite() {
  local package pinned=()
  for package in "${engine_from_suite[@]}"; do
    [[ " $2 " == *" $package "* ]] || pinned+=("$package")
  done
  {
    printf '# Written by stackctl'\''s scripts/engine, for the Docker engine alone; see %s\n' "$engine_pins"
    printf 'deb %s %s %s main\n' "$(apt_source_options)" "$(apt_archive)" "$1"
  } >"$engine_source"
  {
    printf '# Written by stackctl'\''s scripts/engine: nothing but these packages comes from %s.\n' "$1"
    printf 'Package: *\nPin: release n=%s\nPin-Priority: -10\n\n' "$1"
    printf 'Package: %s\nPin: release n=%s\nPin-Priority: 700\n' "${pinned[*]}" "$1"
  } >"$engine_pins"
}

engine_withdraw_suite() { rm -f "$engine_source" "$engine_pins"; }

# engine_refresh_suite: the lists of the added source only.
engine_refresh_suite() {
  apt-get update -o Dir::Etc::SourceList="$engine_source" -o Dir::Etc::SourceParts=/dev/null \
    -o APT::Get::List-Cleanup=0 >/dev/null 2>&1
}

# engine_choose: leaves apt's sources such that `engine_packages` can be installed; fails otherwise.
engine_choose() {
  local suite left_out
  apt_update_once
  if engine_can_install; then
    note "from this machine's own sources"
    return
  fi
  [[ -n $(apt_archive) ]] || return 1
  trap engine_withdraw_suite EXIT
  for suite in "${engine_suites[@]}"; do
    for left_out in "${engine_left_out[@]}"; do
      engine_add_suite "$suite" "$left_out"
      if [[ -z $left_out ]] && ! engine_refresh_suite; then break; fi
      if engine_can_install; then
        trap - EXIT
        note "from $suite${left_out:+, but for $left_out} (pinned in $engine_pins)"
        return
      fi
    done
  done
  return 1
}

engine_install() {
  engine_choose || {
    printf '%s\n' "$engine_simulation" | tail -n 12 >&2
    die 'no package source of this machine has a Docker engine that is new enough' \
      "install Engine >= $engine_needed with Compose >= $compose_needed by hand, then run this again"
  }
  quietly "installed Engine $(engine_version_of docker.io), Compose $(engine_version_of docker-compose)" \
    env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${engine_packages[@]}"
}
