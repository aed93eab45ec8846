# The probe for a vantage point with nothing but a shell: bash, dash or busybox ash.
# Standard input: the plan for the shell, then a line `@json`, then what python3 or node read.
# Runs python3 or node where there is one, of two that by which the app runs; else bash's /dev/tcp or nc, getent or nslookup, openssl.
# Answers are lines of `key<TAB>value…`; bodies in base64 or hexadecimal. No file is written.
# app_runs: `node` or `python`, by what the container runs, oldest process first; an init before it is neither
app_runs() {
  [ -n "${STACKCTL_APP:-}" ] && { echo "$STACKCTL_APP"; return; }
  looked=0
  for f in /proc/[0-9] /proc/[0-9][0-9] /proc/[0-9][0-9][0-9] /proc/[0-9][0-9][0-9][0-9] /proc/[0-9][0-9][0-9][0-9][0-9]*; do
    [ -r "$f/cmdline" ] || continue
    looked=$((looked + 1))
    [ $looked -gt 24 ] && return
    c=$(tr '\0' ' ' <"$f/cmdline" 2>/dev/null)
    c=${c%% *}
    case ${c##*/} in
      node | nodejs | npm | npx | pnpm | yarn | next-server) echo node; return ;;
      python* | gunicorn* | uvicorn*) echo python; return ;;
    esac
  done
}
p=$(command -v python3) n=$(command -v node)
# Each has a trust store of its own
[ -n "$p" ] && [ -n "$n" ] && [ "$(app_runs)" = node ] && p=
if [ -n "$p" ]; then
  # One start only: what a probe costs is mostly the start of its interpreter
  "$p" -I -B -S -c 'import sys
try:
    import base64, errno, json, os, re, socket, threading, time
    assert sys.version_info >= (3, 7)
except Exception:
    sys.exit(97)
d=sys.stdin.buffer.read().decode().split("\n@json\n",1)[1]
s,PLAN=d.split("\n@plan\n",1)
exec(compile(s.split("\n@node\n",1)[0],"probe","exec"),{"PLAN":PLAN,"__name__":"probe"})'
  [ $? -eq 97 ] || exit 0
fi
if [ -n "$n" ]; then
  exec "$n" -e 'const d=require("fs").readFileSync(0,"utf8").split("\n@json\n")[1].split("\n@plan\n");
new Function("require","process","PLAN",d[0].split("\n@node\n")[1])(require,process,d[1])'
fi
tab=$(printf '\t')
has() { command -v "$1" >/dev/null 2>&1; }
say() { local IFS="$tab"; printf '%s\n' "$*"; }
clean() { tr -d '\000-\037\177' | cut -c1-300; }
now() { read -r up _ </proc/uptime; now=${up%.*}${up#*.}; now=${now#0}; now=${now#0}; }
pack() { if has base64; then base64 | tr -d '\n'; else printf 'hex:'; od -An -v -tx1 | tr -d ' \n'; fi; }
bounded() { if has timeout; then timeout "$@"; else shift; "$@"; fi; }
raw=none
if has bash && has timeout; then raw=bash; elif has nc; then raw=nc; fi
keeps= # OpenBSD's nc closes nothing at the end of its input, and outlives its server until then
if [ $raw = nc ]; then case $(nc -h 2>&1) in OpenBSD*) keeps=1 ;; esac fi
names=none
if has getent; then names=getent; elif has nslookup; then names=nslookup; fi
shaker=none
if has openssl && has timeout; then shaker=openssl; fi
say tool "$raw" "$names" "$shaker" "$(date +%s)"
[ $raw = none ] && exit 0
errno_of() {
  case $1 in
    *refused*) echo ECONNREFUSED ;;
    *'No route'* | *'Host is unreachable'*) echo EHOSTUNREACH ;;
    *'Network is unreachable'* | *'Network unreachable'*) echo ENETUNREACH ;;
    *'reset by peer'*) echo ECONNRESET ;;
    *'timed out'* | *'imed out'*) echo TIMEOUT ;;
    *'Cannot assign'*) echo EADDRNOTAVAIL ;;
    *) echo "${2:-UNKNOWN}" ;;
  esac
}
# resolve NAME SECONDS: sets code, found (blank-separated), text
resolve() {
  found= code=0 text=
  case $1 in
    *:*) found=$1; return ;;
    *[!0-9.]*) ;;
    *) found=$1; return ;;
  esac
  found=$(awk -v n="$1" '{sub(/#.*/,"")} {for(i=2;i<=NF;i++) if($i==n) {print $1; next}}' /etc/hosts 2>/dev/null | tr '\n' ' ')
  [ -n "$found" ] && { text=hosts; return; }
  case $names in
    getent)
      found=$(bounded "$2" getent ahosts "$1" 2>/dev/null | awk '!seen[$1]++ {print $1}' | tr '\n' ' '); code=$?
      # `ahosts` leaves IPv6 out where the container has none; the name resolves all the same
      [ -z "$found" ] && found=$(bounded 2 getent hosts "$1" 2>/dev/null | awk '!/^::ffff:/ && !seen[$1]++ {print $1}' | tr '\n' ' ')
      if [ -z "$found" ]; then
        code=-2
        now; t1=$now
        if [ $((t1 - t0)) -ge $(($2 * 100 - 50)) ]; then
          code=TIMEOUT
        elif has bash; then # getent ends with 2 for every failure; bash says which
          case $(bounded 2 bash -c ": </dev/tcp/$1/9" 2>&1) in *Temporary*) code=-3 ;; esac
        fi
      fi ;;
    nslookup)
      answer=$(bounded "$2" nslookup "$1" 2>&1); rc=$?
      found=$(printf '%s\n' "$answer" | awk '/^Name:/ {on=1; next} on && /^Address/ {sub(/^Address[^:]*:[ \t]*/,""); print $1}' | tr '\n' ' ')
      if [ -z "$found" ]; then
        case $answer in
          *SERVFAIL* | *REFUSED* | *efused*) code=-3 ;;
          *NXDOMAIN* | *"can't resolve"* | *'No answer'*) code=-2 ;;
          *) code=-2; [ $rc -ge 124 ] && code=TIMEOUT; case $answer in *'timed out'*) code=TIMEOUT ;; esac ;;
        esac
        text=$(printf '%s' "$answer" | tail -n1 | clean)
      fi ;;
    *) code=UNKNOWN ;;
  esac
}
# dial ADDRESS PORT SECONDS: sets error and ms
dial() {
  now; t0=$now; error=
  case $raw in
    bash)
      text=$(timeout "$3" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1); rc=$?
      if [ $rc -eq 124 ]; then error=TIMEOUT; elif [ $rc -ne 0 ]; then error=$(errno_of "$text"); fi ;;
    nc)
      # An open connection that says nothing outlives `-w`, which bounds the connecting only
      text=$(printf '' | bounded "$(($3 + 1))" nc -w "$3" "$1" "$2" 2>&1 >/dev/null)
      case $text in
        '' | Terminated*) ;;
        *) error=$(errno_of "$text") ;;
      esac ;;
  esac
  now; ms=$(((now - t0) * 10))
}
store=
for f in "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${CURL_CA_BUNDLE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
  if [ -n "$f" ] && [ -r "$f" ]; then store="-CAfile $f"; break; fi
done
# shake ADDRESS PORT NAME SECONDS: what openssl says of the certificate, as text
shake() {
  at=$1; case $1 in *:*) at="[$1]" ;; esac
  check="-verify_hostname $3"; sni="-servername $3"
  case $3 in *:*) check="-verify_ip $3" sni=-noservername ;; *[!0-9.]*) ;; *) check="-verify_ip $3" sni=-noservername ;; esac
  # shellcheck disable=SC2086
  timeout "$4" openssl s_client -connect "$at:$2" $sni $check $store -showcerts </dev/null 2>&1
}
# send ADDRESS PORT SECONDS NAME: standard input goes out, what comes back is standard output.
# The sending half stays open until the answer has been read: servers take a closed one for a client that left.
send() {
  if [ -n "$4" ]; then
    at=$1; case $1 in *:*) at="[$1]" ;; esac
    # shellcheck disable=SC2086
    timeout "$3" openssl s_client -quiet -verify_return_error $store -connect "$at:$2" -servername "$4" 2>/dev/null
  elif [ $raw = bash ]; then
    timeout "$3" bash -c 'exec 3<>"/dev/tcp/$0/$1" && cat >&3 && cat <&3' "$1" "$2" 2>/dev/null
  else
    # As a writer of the pipe that it reads from, nc never meets the end of its input, at which it would close
    [ -n "$keeps" ] || exec 3<>/proc/self/fd/0
    bounded "$3" nc -w 4 "$1" "$2" 2>/dev/null
  fi
}
now; begin=$now budget=1100 quiet=''
while IFS="$tab" read -r verb a b c d e f g; do
  now
  if [ $((now - begin)) -gt $budget ]; then say end 0; exit 0; fi
  case $verb in
    budget) budget=${a}00 ;;
    file) [ -r "$a" ] && say file "$a" "$(head -c 32768 "$a" 2>/dev/null | pack)" ;;
    space) say space "$a" "$(df -Pk "$a" 2>/dev/null | awk 'END {print $4*1024, $2*1024}')" ;;
    name) now; t0=$now; resolve "$a" "$b"; now; say name "$a" "$code" "$(((now - t0) * 10))" "$found" "$text" ;;
    connect) dial "$a" "$b" "$c"; say connect '' "$a" "$b" "$error" "$ms" ;;
    aim) # aim ID HOST PORT ADDRESSES RESOLVE-SECONDS CONNECT-SECONDS TLS-NAME
      aim=$a port=$c ready='' quiet='' tls=$g aimhost=$b
      [ "$tls" = - ] && tls=''
      if [ "$d" != - ]; then
        found=$(printf '%s' "$d" | tr ',' ' ')
      else
        now; t0=$now; resolve "$b" "$e"; now
        say resolve "$aim" "$b" "$code" "$(((now - t0) * 10))" "$found" "$text"
      fi
      for address in $found; do
        dial "$address" "$port" "$f"
        say connect "$aim" "$address" "$port" "$error" "$ms"
        [ -z "$error" ] && ready="$ready $address"
      done
      if [ -n "$tls" ] && [ -n "$ready" ]; then
        set -- $ready
        now; t0=$now
        text=$(shake "$1" "$port" "$tls" "$f")
        now
        say tls "$aim" "$1" "$(((now - t0) * 10))" "$(printf '%s' "$text" | pack)"
        case $text in
          *'BEGIN CERTIFICATE'*'erify return code: 0 '*) ;;
          *)
            body=$(printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$b" | send "$1" "$port" 2 '' | head -c 4096 | pack)
            say ask "$aim" plain "$1" 0 "$body"
            ready='' ;;
        esac
      fi ;;
    ask) # ask ID SECONDS LIMIT EVERYWHERE PROXY REQUEST
      [ -n "$quiet" ] && continue
      where=$ready to=$port
      if [ "$d" != 1 ]; then set -- $ready; where=$1; fi
      name=$tls
      if [ "$e" != - ]; then where=${e% *} to=${e#* } name=''; fi
      for address in $where; do
        now; t0=$now
        if [ "$a$raw" = largenc ] && has wget; then
          # nc writes a kilobyte at a time, which no small MTU stops; wget fills whole packets
          at=$address; case $at in *:*) at="[$at]" ;; esac
          path=${f#* }; path=${path%% *}
          said=$(timeout "$b" wget -O /dev/null --header "Host: $aimhost" --post-data "$(head -c 6000 /dev/zero | tr '\0' x)" "http://$at:$to$path" 2>&1)
          rc=$?
          line=$(printf '%s\n' "$said" | awk 'match($0, /HTTP\/1\.[01] [0-9][0-9][0-9]/) {print substr($0, RSTART, RLENGTH)}' | tail -n1)
          if [ -n "$line" ]; then body=$(printf '%s x\r\n\r\n' "$line" | pack)
          elif [ $rc -eq 0 ]; then body=$(printf 'HTTP/1.1 200 OK\r\n\r\n' | pack)
          else body=''; fi
        else
          # shellcheck disable=SC2059
          body=$(printf "$f" | send "$address" "$to" "$b" "$name" | head -c "$c" | pack)
        fi
        now; took=$(((now - t0) * 10))
        say ask "$aim" "$a" "$address" "$took" "$body"
        [ $took -ge $((b * 1000 - 200)) ] && [ -z "$body" ] && quiet=1
      done ;;
    end) say end 1; exit 0 ;;
  esac
done
