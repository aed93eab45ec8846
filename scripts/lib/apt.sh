# shellcheck shell=bash
# What this machine's own apt sources say. No archive's address stands in the project.

# The code name of this machine's release, such as bookworm.
apt_codename() { (. /etc/os-release && printf '%s\n' "${VERSION_CODENAME:-}"); }

# "URI RELEASE COMPONENT" of every package index that this machine is configured for.
apt_indexes() {
  # shellcheck disable=SC2016  # apt's own placeholders
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sort -u
}

# The address of the archive that serves this machine's release.
apt_archive() {
  apt_indexes | awk -v release="$(apt_codename)" '$2 == release && !seen++ { print $1 }'
}

apt_keyring() {
  local ring
  for ring in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
    if [[ -r $ring ]]; then printf '%s\n' "$ring" && return; fi
  done
}

# The "[option…]" part of a one-line apt source.
apt_source_options() {
  local ring
  ring=$(apt_keyring)
  if [[ -n $ring ]]; then printf '[signed-by=%s]' "$ring"; fi
}

# apt_install PACKAGE…: installs what is missing, as root only.
apt_install() {
  local missing=() package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == 'install ok installed' ]] ||
      missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then return; fi
  command -v apt-get >/dev/null || die "${missing[*]} is missing, and this is no Debian machine"
  ((EUID == 0)) || die "${missing[*]} is missing" "sudo apt-get install ${missing[*]}"
  apt_update_once
  quietly "installed ${missing[*]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
}

apt_updated=
apt_update_once() {
  if [[ -n $apt_updated ]]; then return; fi
  quietly 'refreshed the package lists' apt-get update
  apt_updated=yes
}
