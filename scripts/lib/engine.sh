# shellcheck shell=bash
# shellcheck disable=SC2034  # the versions wanted are read by the other engine scripts
# What is known of the engine on this machine, and how it is started where no init system runs.

compose_needed=2.24.4
engine_needed=24
engine_log=${STACKCTL_DOCKERD_LOG:-/var/log/dockerd.log}
PATH=$PATH:/usr/sbin:/sbin # dockerd is there, and a plain user's PATH is not

# at_least HAVE WANTED: versions such as 2.40.3-3, v2.26.1 or 28.5.2+dfsg4.
at_least() {
  local have=${1#v}
  have=${have%%[-+~]*}
  [[ -n $have && $(printf '%s\n%s\n' "$2" "$have" | sort -V | head -n1) == "$2" ]]
}

engine_version() { timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null || true; }
engine_answers() { [[ -n $(engine_version) ]]; }
compose_version() { docker compose version --short 2>/dev/null || true; }
compose_will_do() { at_least "$(compose_version)" "$compose_needed"; }
dockerd_will_do() {
  local version
  version=$(dockerd --version 2>/dev/null) || return 1
  version=${version#Docker version }
  at_least "${version%%,*}" "$engine_needed"
}

# A daemon that was killed leaves its process id behind; where no init collects the dead, or where
# the number is another's by now, the next one would take it for running.
engine_forget_the_dead() {
  local file pid name
  for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
    pid=$(cat "$file" 2>/dev/null) || continue
    name=$([[ $file == */containerd.pid ]] && echo containerd || echo dockerd)
    if [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") != *"$name"* ]]; then rm -f "$file"; fi
  done
}

# engine_start: returns when the engine answers; fails with the end of its log.
engine_start() {
  local pid deadline=$((SECONDS + ${STACKCTL_ENGINE_TIMEOUT:-60}))
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker || die 'systemd could not start docker' 'journalctl -u docker -e'
    pid=
  else
    engine_forget_the_dead
    # Left open, the lock's descriptor (9) and make's would belong to the daemon for its whole life.
    setsid dockerd </dev/null >"$engine_log" 2>&1 3>&- 4>&- 9>&- &
    pid=$!
    disown "$pid"
  fi
  until engine_answers; do
    if [[ -n $pid ]] && ! kill -0 "$pid" 2>/dev/null; then
      tail -n 15 "$engine_log" >&2
      die 'dockerd ended at once' "its whole log: $engine_log"
    fi
    ((SECONDS < deadline)) || die 'dockerd does not answer' "its log: $engine_log"
    sleep 0.1
  done
}
