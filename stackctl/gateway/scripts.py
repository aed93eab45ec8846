"""What runs inside the gateway's container: POSIX shell, so that a public HAProxy image serves as it is.

Every script begins with ``COMMON``. Nothing in them depends on the
configuration, so the service is the same for every target.
"""

from __future__ import annotations

from stackctl.gateway.haproxy import waiting
from stackctl.gateway.names import ADMIN_PORT, FRONT_PORT, SECRET_PREFIX, SECRETS_DIR, SOCKETS_DIR

COMMON = f"""\
umask 077
home=/var/lib/haproxy
# A volume that another image's user owns cannot be written to.
if ! [ -w "$home" ]; then home=/tmp/stackctl-gateway-home; mkdir -p "$home"; fi
cd "$home" || exit 1
secrets=/dev/shm/stackctl-gateway-secrets.cfg
# In memory, and only while HAProxy reads it: single quotes are literal in its language.
write_secrets() {{
  {{
    echo global
    for file in {SECRETS_DIR}/{SECRET_PREFIX}*; do
      [ -r "$file" ] || continue
      value=$(tr -d '\\r\\n' <"$file" | sed "s/'/'\\"'\\"'/g")
      printf "    setenv %s '%s'\\n" "${{file##*/}}" "$value"
    done
  }} >"$secrets"
}}
write_files() {{
  sed -n 's/^#@\\(ca-[0-9a-f]*\\.pem\\) .*/\\1/p' "$1" | while read -r name; do
    sed -n "s/^#@$name //p" "$1" | base64 -d >"$name"
  done
}}
valid() {{ write_files "$1" && haproxy -c -f "$secrets" -f "$1"; }}
get() {{
  if command -v wget >/dev/null; then
    timeout 3 wget -q -O - "http://127.0.0.1:{ADMIN_PORT}$1" 2>/dev/null
  else
    timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/{ADMIN_PORT}" && printf "GET %s HTTP/1.0\\r\\n\\r\\n" "$1" >&3 &&
      sed "1,/^\\r*$/d" <&3' - "$1" 2>/dev/null
  fi
}}
"""

BOOT = f"""\
{COMMON}
if [ -e /proc/net/if_inet6 ]; then export STACKCTL_GATEWAY_IPV6=1; fi
rm -rf {SOCKETS_DIR} && mkdir -p {SOCKETS_DIR}
write_secrets
if [ -e gateway.cfg ] && ! valid gateway.cfg; then mv -f gateway.cfg refused.cfg; fi
if ! [ -s gateway.cfg ]; then cat >gateway.cfg <<'CONFIGURATION'
{waiting()}CONFIGURATION
fi
(
  tries=0
  until [ -n "$(get /about)" ] || [ "$tries" -ge 100 ]; do tries=$((tries + 1)); sleep 0.1; done
  rm -f "$secrets"
) &
exec haproxy -W -f "$secrets" -f gateway.cfg
"""

APPLY = f"""\
{COMMON}
digest=$1
fail() {{ rm -f next.cfg "$secrets"; echo "$2" >&2; exit "$1"; }}
worker() {{ get /about | sed -n 's/.*"worker": *\\([0-9]*\\).*/\\1/p'; }}
arrived() {{
  deadline=$(($(date +%s) + 8))
  while [ "$(date +%s)" -lt "$deadline" ]; do
    about=$(get /about)
    case $about in
      *"\\"worker\\": $before}}"*) ;;
      *"\\"digest\\": \\"$1"*) return 0 ;;
    esac
    sleep 0.05
  done
  return 1
}}
# For a moment the new worker and the one before it both take connections.
still_takes() {{
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ here _ status _ _ _ _ _ inode _; do
    case $status$here in 0A*:{FRONT_PORT:04X})
      case $(ls -l "/proc/$1/fd" 2>/dev/null) in *"socket:[$inode]"*) echo yes ;; esac ;;
    esac
  done | grep -q yes
}}
cat >next.cfg
# Whoever sends may die in the middle, and half a configuration may be a valid one.
if [ "$digest" != none ] && [ "$(sed "s/$digest/%DIGEST%/" next.cfg | sha256sum)" != "$digest  -" ]; then
  fail 5 "the configuration came in incomplete"
fi
before=$(worker)
write_secrets
valid next.cfg >refusal 2>&1 || fail 3 "$(cat refusal)"
cp gateway.cfg previous.cfg
mv -f next.cfg gateway.cfg
kill -USR2 1
if ! arrived "$digest\\""; then
  mv -f previous.cfg gateway.cfg
  before=$(worker)
  write_secrets
  kill -USR2 1
  arrived ''
  fail 4 "the new configuration was valid, and no worker came up with it; the former one is back"
fi
while still_takes "$before" && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.02; done
rm -f "$secrets" refusal
for file in ca-*.pem; do
  if [ -e "$file" ] && ! grep -q "^#@$file " gateway.cfg; then rm -f "$file"; fi
done
"""

HEALTHY = f'{COMMON}\n[ -n "$(get /about)" ]\n'

STATE = f"{COMMON}\nget /about && echo && get '/state;csv;norefresh'\n"

RUNNING = f"{COMMON}\ncat gateway.cfg\n"

REQUESTS = """\
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ _ there status _; do
  for wanted in "$@"; do
    case $there:$status in "$wanted") echo . ;; esac
  done
done | grep -c . || true
"""

SECRET_DIGESTS = f"cd {SECRETS_DIR} 2>/dev/null || exit 0\nsha256sum {SECRET_PREFIX}* 2>/dev/null || true\n"

STORE_SECRETS = f"umask 022\nmkdir -p {SECRETS_DIR} && tar -xf - -C {SECRETS_DIR}\n"
