# shellcheck shell=bash
# What the demo keeps between runs, in .cache/demo: the ports it chose, and the Ollama on the host.

demo_dir=.cache/demo
demo_settings=$demo_dir/settings.mk # make reads it too, so that `make status` sees the same ports
# shellcheck disable=SC2034  # read by the scripts that source this
demo_project=${COMPOSE_PROJECT_NAME:-stackctl-reference}

# port_free ADDRESS PORT
port_free() { ! (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# first_free ADDRESS PORT: that port, or the next one that nobody listens on.
first_free() {
  local port=$2
  until port_free "$1" "$port"; do port=$((port + 1)); done
  printf '%s\n' "$port"
}

# demo_setting NAME: what an earlier run settled on; empty where there was none.
demo_setting() { sed -n "s/^export $1 := //p" "$demo_settings" 2>/dev/null || true; }

demo_save_settings() {
  local name
  mkdir -p "$demo_dir"
  for name in "$@"; do printf 'export %s := %s\n' "$name" "${!name}"; done >"$demo_settings"
}

# The address on which this machine's containers reach it.
host_address() { docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}' 2>/dev/null || true; }

host_double_pid() {
  local pid
  pid=$(cat "$demo_dir/host-ollama.pid" 2>/dev/null) || return 1
  # A process id is used again after a while: what runs under it must be ours.
  [[ $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) == *ollama-double/ollama* ]] || return 1
  printf '%s\n' "$pid"
}

# host_double_start ADDRESS PORT MODEL: a double outside of Docker, as an Ollama on the host would be.
host_double_start() {
  local address=$1 port=$2 model=$3 pid deadline=$((SECONDS + 20))
  mkdir -p "$demo_dir"
  OLLAMA_HOST=$address:$port OLLAMA_DOUBLE_NAME=host-double OLLAMA_DOUBLE_MODELS=$model \
    OLLAMA_MODELS=$PWD/$demo_dir/host-models PYTHONDONTWRITEBYTECODE=1 \
    setsid .venv/bin/python compose/images/ollama-double/ollama serve \
    </dev/null >"$demo_dir/host-ollama.log" 2>&1 3>&- 4>&- &
  pid=$!
  disown "$pid"
  printf '%s\n' "$pid" >"$demo_dir/host-ollama.pid"
  until ! port_free "$address" "$port"; do
    kill -0 "$pid" 2>/dev/null || { cat "$demo_dir/host-ollama.log" >&2 && die 'the Ollama on the host did not start'; }
    ((SECONDS < deadline)) || die 'the Ollama on the host does not listen' "$demo_dir/host-ollama.log"
    sleep 0.1
  done
}

host_double_stop() {
  local pid
  pid=$(host_double_pid) || return 0
  kill "$pid" 2>/dev/null || return 0
  # Its command line is gone when it has ended, also where no init collects what is left of it.
  while host_double_pid >/dev/null; do sleep 0.05; done
}
