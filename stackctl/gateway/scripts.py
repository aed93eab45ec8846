"""The scripts that run inside the gateway's container: POSIX shell, so that any public HAProxy image will do.

``BOOT`` is carried by the service; the others are sent with each ``docker exec``.
Nothing in them depends on the configuration, so the service is the same for every target.
"""

from __future__ import annotations

from stackctl.gateway.haproxy import waiting
from stackctl.gateway.names import ADMIN_PORT, CONFIGURATION_MARK, FRONT_PORT, HOME, SECRET_PREFIX, SOCKETS_DIR

_HOME = f"""\
umask 077
home={HOME}
# A volume that another image's user owns cannot be written to.
if ! [ -w "$home" ]; then home=/tmp/stackctl-gateway-home; mkdir -p "$home"; fi
cd "$home" || exit 1
"""

BOOT = f"""\
{_HOME}\
if [ -e /proc/net/if_inet6 ]; then export STACKCTL_GATEWAY_IPV6=1; fi
mkdir -p {SOCKETS_DIR}
[ -e secrets.cfg ] || echo global >secrets.cfg
if [ -e gateway.cfg ] && ! haproxy -c -f secrets.cfg -f gateway.cfg; then mv -f gateway.cfg refused.cfg; fi
[ -s gateway.cfg ] || cat >gateway.cfg <<'CONFIGURATION'
{waiting()}\
CONFIGURATION
exec haproxy -W -f secrets.cfg -f gateway.cfg
"""

HEALTHY = f"""\
wget -q -T 3 -O - http://127.0.0.1:{ADMIN_PORT}/about >/dev/null ||
bash -c 'exec 3<>/dev/tcp/127.0.0.1/{ADMIN_PORT} && printf "GET /about HTTP/1.0\\r\\n\\r\\n" >&3 && grep -q worker <&3'
"""

COMMON = f"""\
{_HOME}\
write_files() {{
  sed -n 's/^#@\\(ca-[0-9a-f]*\\.pem\\) .*/\\1/p' "$1" | while read -r name; do
    sed -n "s/^#@$name //p" "$1" | base64 -d >"$name"
  done
}}
secrets_of() {{ grep -h -o 'proc\\.{SECRET_PREFIX}[A-Za-z0-9_]*' "$@" | sort -u; }}
get() {{
  if command -v wget >/dev/null; then
    timeout 3 wget -q -O - "http://127.0.0.1:{ADMIN_PORT}$1" 2>/dev/null
  else
    timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/{ADMIN_PORT}" && printf "GET %s HTTP/1.0\\r\\n\\r\\n" "$1" >&3 &&
      sed "1,/^\\r*$/d" <&3' - "$1" 2>/dev/null
  fi
}}
"""

APPLY = f"""\
{COMMON}
digest=$1
fail() {{ rm -f incoming next.cfg next-secrets.cfg refusal; echo "$2" >&2; exit "$1"; }}
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
# For a moment both the new worker and the previous one accept connections.
still_takes() {{
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ here _ status _ _ _ _ _ inode _; do
    case $status$here in 0A*:{FRONT_PORT:04X})
      case $(ls -l "/proc/$1/fd" 2>/dev/null) in *"socket:[$inode]"*) echo yes ;; esac ;;
    esac
  done | grep -q yes
}}
cat >incoming
sed '1,/^{CONFIGURATION_MARK}$/d' incoming >next.cfg
# The sender may be killed midway, and half a configuration may be valid by itself.
if [ "$digest" != none ] && [ "$(sed "s/$digest/%DIGEST%/" next.cfg | sha256sum)" != "$digest  -" ]; then
  fail 5 "the configuration came in incomplete"
fi
# Secrets of the configuration in force are kept until the next one: it may have to be restored.
{{
  echo global
  secrets_of next.cfg gateway.cfg | while read -r name; do
    grep -h "^    set-var-fmt $name " incoming secrets.cfg | head -n 1
  done
}} >next-secrets.cfg
rm -f incoming
before=$(worker)
write_files next.cfg
haproxy -c -f next-secrets.cfg -f next.cfg >refusal 2>&1 || fail 3 "$(cat refusal)"
cp gateway.cfg previous.cfg
mv -f next-secrets.cfg secrets.cfg
mv -f next.cfg gateway.cfg
kill -USR2 1
if ! arrived "$digest\\""; then
  mv -f previous.cfg gateway.cfg
  before=$(worker)
  kill -USR2 1
  arrived ''
  fail 4 "the new configuration was valid, and no worker came up with it; the former one is back"
fi
while still_takes "$before" && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.02; done
rm -f refusal
for file in ca-*.pem; do
  if [ -e "$file" ] && ! grep -q "^#@$file " gateway.cfg; then rm -f "$file"; fi
done
"""

STATE = f"{COMMON}\nget /about && echo && get '/state;csv;norefresh'\n"

RUNNING = f"{COMMON}\ncat gateway.cfg\n"

REQUESTS = """\
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ _ there status _; do
  for wanted in "$@"; do
    case $there:$status in "$wanted") echo . ;; esac
  done
done | grep -c . || true
"""

SECRET_DIGESTS = f"""\
{COMMON}
secrets_of gateway.cfg | while read -r name; do
  echo "$(grep "^    set-var-fmt $name " secrets.cfg | sha256sum | cut -c 1-64) ${{name#proc.}}"
done
"""
