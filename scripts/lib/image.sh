# shellcheck shell=bash
# Images as values: each carries the digest of what it was made from in a label,
# so that nothing is made twice.

# shellcheck disable=SC2034  # read by the scripts that source this
image_label=io.stackctl.image=1

# image_inputs TAG: the digest that the image was made from; empty where there is no such image.
image_inputs() {
  docker image inspect --format '{{index .Config.Labels "io.stackctl.inputs"}}' "$1" 2>/dev/null || true
}

image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

# image_drop_replaced ID TAG: the image that TAG named before, unless another name or a container holds it.
image_drop_replaced() {
  if [[ -z $1 || $1 == "$(image_id "$2")" ]]; then return; fi
  if [[ $(docker image inspect --format '{{len .RepoTags}}' "$1" 2>/dev/null) == 0 ]]; then
    docker image rm "$1" >/dev/null 2>&1 || true
  fi
}

# digest_of TEXT_OR_PATH…: one digest over texts and over the files below paths.
digest_of() {
  local item
  for item in "$@"; do
    if [[ -d $item ]]; then
      (cd "$item" && find . -type f ! -path '*/__pycache__/*' -print0 | sort -z |
        xargs -0r sha256sum)
    elif [[ -f $item ]]; then
      sha256sum <"$item"
    else
      printf '%s\n' "$item"
    fi
  done | sha256sum | cut -c1-64
}
