"""What runs in a container for :mod:`stackctl.adapters.hub`, in whatever its image has.

Lines go both ways: ``C number host port``, ``D number base64`` and ``X number``
(leave) in, ``O number`` (it stands), ``D number base64`` and ``E number reason``
(it ended) out. bash has digits of its own instead of base64, and says so.
"""

from __future__ import annotations

_PYTHON = r"""
import base64, os, socket, sys, threading
lock, known = threading.Lock(), {}
def say(text):
    data = (text + "\n").encode("utf-8", "replace")
    with lock:
        while data: data = data[os.write(1, data):]
def serve(n, host, port):
    try:
        s = socket.create_connection((host, int(port)))
    except Exception as e:
        say("E %s %s" % (n, getattr(e, "strerror", None) or e)); return
    known[n] = s
    say("O " + n)
    try:
        while True:
            d = s.recv(49152)
            if not d: break
            say("D %s %s" % (n, base64.b64encode(d).decode()))
    except Exception: pass
    say("E " + n)
say("stackctl-hub ok")
while True:
    line = sys.stdin.readline()
    if not line: os._exit(0)
    w = line.split()
    if w[0] == "C":
        t = threading.Thread(target=serve, args=w[1:4]); t.daemon = True; t.start()
    elif w[1] in known:
        try:
            if w[0] == "D": known[w[1]].sendall(base64.b64decode(w[2]))
            else: known.pop(w[1]).shutdown(socket.SHUT_RDWR)
        except Exception: pass
"""
_NODE = r"""
const net = require("net"), known = {};
const say = t => process.stdout.write(t + "\n");
say("stackctl-hub ok");
require("readline").createInterface({ input: process.stdin }).on("line", line => {
  const [k, n, a, b] = line.split(" ");
  if (k === "C") {
    const s = known[n] = net.connect(Number(b), a);
    s.on("connect", () => say("O " + n));
    s.on("data", d => say("D " + n + " " + d.toString("base64")));
    s.on("error", e => say("E " + n + " " + e.code + " " + e.message));
    s.on("close", () => say("E " + n));
  } else if (known[n]) {
    if (k === "D") known[n].write(Buffer.from(a, "base64")); else { known[n].destroy(); delete known[n]; }
  }
}).on("close", () => process.exit(0));
"""
# Nothing is started for a byte that passes: bytes are read one by one and go as hexadecimal digits.
_BASH = r"""
LC_ALL=C
trap '' PIPE
d=$(mktemp -d 2>/dev/null || mktemp -d -p /dev/shm 2>/dev/null)
declare -A to pid
hex() {
  local i x
  for ((i = 0; i < ${#1}; i++)); do printf -v x %02x "'${1:i:1}"; h+=${x: -2}; done
}
hear() {
  local c h more ended=
  while [ -z "$ended" ] && IFS= read -r -d '' -n 1 c; do
    h=; hex "$c"; [ -n "$c" ] || h=00
    IFS= read -r -d '' -n 1800 -t 0.02 more
    case $? in 0) hex "$more"; [ ${#more} -eq 1800 ] || h+=00;; 1) hex "$more"; ended=1;; *) hex "$more";; esac
    printf 'D %s %s\n' "$1" "$h"
  done
  printf 'E %s\n' "$1"
}
serve() {
  local f why= note=/dev/null
  for f in "${to[@]}"; do exec {f}>&-; done
  [ -z "$d" ] || note=$d/$1
  if ! { exec 3<>"/dev/tcp/$2/$3"; } 2>"$note"; then
    read -r why <"$note"; printf 'E %s %s\n' "$1" "${why#*: }"; return
  fi
  hear "$1" <&3 & f=$!
  trap 'kill "$f"; exit' TERM
  printf 'O %s\n' "$1"
  while read -r f2; do printf %b "$f2" >&3 || break; done
  kill "$f"; wait
}
echo "stackctl-hub hex"
while read -r k n a b; do case $k in
  C) exec {w}> >(serve "$n" "$a" "$b"); to[$n]=$w pid[$n]=$!;;
  D) printf '%s\n' "$a" >&"${to[$n]}";;
  X) w=${to[$n]}; exec {w}>&-; kill "${pid[$n]}"; unset "to[$n]" "pid[$n]";;
esac; done 2>/dev/null
for n in "${!to[@]}"; do w=${to[$n]}; exec {w}>&-; kill "${pid[$n]}"; done 2>/dev/null
[ -z "$d" ] || rm -rf "$d"
"""
# A line of a chunk is shorter than what a pipe takes in one piece, so that lines of two connections do not mix.
SHELL = r"""
for p in python3 python node bash; do command -v "$p" >/dev/null 2>&1 && case $p in
  python*) exec "$p" -c "$H_PYTHON";;
  node) exec node -e "$H_NODE";;
  bash) exec bash -c "$H_BASH" hub;;
esac; done
if command -v nc >/dev/null 2>&1; then out() { exec nc "$1" "$2"; }
elif command -v busybox >/dev/null 2>&1; then out() { exec busybox nc "$1" "$2"; }
else exit 8; fi
for p in base64 dd mkfifo mktemp rm; do command -v "$p" >/dev/null 2>&1 || exit 8; done
d=$(mktemp -d 2>/dev/null || mktemp -d -p /dev/shm 2>/dev/null) || exit 8
# A named pipe that is opened both ways does not wait for anybody.
tell() { [ -e "$d/$1.say" ] && printf '%s\n' "$2" 1<>"$d/$1.say"; }
trap 'for f in "$d"/*.say; do [ -e "$f" ] && echo X 1<>"$f"; done; wait; rm -rf "$d"' EXIT
chunk() { dd bs=2700 count=1 2>/dev/null | base64 -w 0; }
encode() { while c=$(chunk) && [ -n "$c" ]; do printf 'D %s %s\n' "$1" "$c"; done; }
decode() { while read -r x && [ "$x" != X ]; do printf %s "$x" | base64 -d; done; }
serve() {
  trap - EXIT
  exec 6<>"$d/$1.say"
  ( exec 6<&-; out "$2" "$3" ) <"$d/$1.in" >"$d/$1.out" 2>"$d/$1.why" & p=$!
  ( decode <&6; exec >/dev/null; kill "$p" 2>/dev/null ) >"$d/$1.in" &
  printf 'O %s\n' "$1"
  encode "$1" <"$d/$1.out"
  echo X >&6
  wait
  why=; read -r why <"$d/$1.why"
  printf 'E %s %s\n' "$1" "$why"
  rm -f "$d/$1".*
}
echo "stackctl-hub ok"
while read -r k n a b; do case $k in
  C) mkfifo "$d/$n.say" "$d/$n.in" "$d/$n.out"; : >"$d/$n.why"; serve "$n" "$a" "$b" </dev/null & ;;
  D) tell "$n" "$a";;
  X) tell "$n" X;;
esac; done
"""
SCRIPTS = {"H_PYTHON": _PYTHON, "H_NODE": _NODE, "H_BASH": _BASH}
