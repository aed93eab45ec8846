"""The probe for a vantage point with Python 3.7 or later; standard library only.

It is sent whole into the container and never written there. One JSON object a
line comes back: ``facts``, ``resolve``, ``name``, ``connect``, ``tls``, ``ask``, ``end``.
"""

import base64
import errno
import json
import os
import re
import socket
import sys
import threading
import time

SYSTEM_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
lock = threading.Lock()
ssl = None  # imported where an aim needs it: it costs as much as the rest of the probe


def out(kind, **values):
    with lock:
        sys.stdout.write(json.dumps(dict(values, k=kind)) + "\n")
        sys.stdout.flush()


def since(start):
    return round((time.monotonic() - start) * 1000, 2)


def name_of(error):
    if isinstance(error, (socket.timeout, TimeoutError)) and not getattr(error, "errno", None):
        return "TIMEOUT"
    return errno.errorcode.get(getattr(error, "errno", None) or 0, type(error).__name__)


def facts(files, paths):
    found = {}
    for path in files:
        try:
            with open(path, "rb") as stream:
                found[path] = stream.read(65536).decode("utf-8", "replace")
        except OSError:
            pass
    space = {}
    for path in paths:
        try:
            stat = os.statvfs(path)
            space[path] = [stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize]
        except OSError:
            pass
    out("facts", files=found, space=space, now=time.time(), tool="python3 " + sys.version.split()[0])


def lookup(host, port):
    start = time.monotonic()
    try:
        rows = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        seen = []
        for row in rows:
            if row[4][0] not in seen:
                seen.append(row[4][0])
        return {"ms": since(start), "addresses": seen, "code": 0, "text": ""}
    except socket.gaierror as error:
        return {"ms": since(start), "addresses": [], "code": error.errno, "text": str(error.strerror)}
    except Exception as error:
        return {"ms": since(start), "addresses": [], "code": 1, "text": str(error)[:200]}


def within(seconds, work, *arguments):
    box = []
    thread = threading.Thread(target=lambda: box.append(work(*arguments)), daemon=True)
    start = time.monotonic()
    thread.start()
    thread.join(seconds)
    if box:
        return box[0]
    return {"ms": since(start), "addresses": [], "code": "TIMEOUT", "text": "no answer in time"}


def dial(address, port, timeout):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect((address, port))
    except Exception:
        sock.close()
        raise
    return sock


def try_connect(address, port, timeout):
    start = time.monotonic()
    try:
        dial(address, port, timeout).close()
        return "", since(start)
    except Exception as error:
        return name_of(error), since(start)


contexts = {}


def context_for(aim, store):
    """Reading a trust store takes tens of milliseconds; each is read once."""
    key = (aim["id"] if store == "given" else "", store)
    if key not in contexts:
        contexts[key] = new_context(aim, store)
    return contexts[key]


def new_context(aim, store):
    if store == "any":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if store == "given":
        context = (
            ssl.create_default_context() if not aim["trust_only"] else ssl.create_default_context(cadata=aim["trust"])
        )
        if not aim["trust_only"]:
            context.load_verify_locations(cadata=aim["trust"])
        return context
    context = ssl.create_default_context(cafile=store if store != "default" else None)
    if store == "default":
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # the image's clients read them, ssl does not
            try:
                context.load_verify_locations(cafile=os.environ[name])
            except (KeyError, OSError):
                pass
    return context


def shake(aim, address, store, timeout):
    start = time.monotonic()
    seen = {"store": store, "address": address, "ok": False, "verify": None, "text": "", "error": "", "chain": []}
    sock = None
    try:
        sock = dial(address, aim["port"], timeout)
        sock = context_for(aim, store).wrap_socket(sock, server_hostname=aim["server_name"])
        seen["ok"] = True
        seen["version"] = sock.version()
        try:
            if hasattr(sock, "get_unverified_chain"):
                chain = sock.get_unverified_chain()
            else:
                chain = [
                    c.public_bytes(2) if hasattr(c, "public_bytes") else c for c in sock._sslobj.get_unverified_chain()
                ]
        except Exception:
            chain = [sock.getpeercert(True)]
            seen["chain_known"] = False
        seen["chain"] = [base64.b64encode(c).decode() for c in chain[:6] if c]
    except ssl.SSLCertVerificationError as error:
        seen["verify"] = error.verify_code
        seen["text"] = str(error.verify_message)
        seen["error"] = "VERIFY"
    except ssl.SSLError as error:
        seen["error"] = error.reason or type(error).__name__
        seen["text"] = str(error)[:300]
    except Exception as error:
        seen["error"] = name_of(error)
        seen["text"] = str(error)[:300]
    finally:
        if sock is not None:
            sock.close()
    seen["ms"] = since(start)
    return seen


def tls(aim, address, timeout):
    """The verdict of the runtime's own store first; only when it refuses (or differs), what else is to be seen."""
    first = shake(aim, address, "given" if aim["trust"] else "default", timeout)
    if not aim["verify"]:
        first = shake(aim, address, "any", timeout)
    out("tls", aim=aim["id"], **first)
    if not first["ok"] and first["error"] != "VERIFY":
        return False  # no other store would help, and a server that dawdles would dawdle again
    stores = []
    try:
        import site

        site.main()  # the probe is started without it
        import certifi

        if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")):
            stores.append(("certifi", certifi.where()))
    except ImportError:
        pass
    if first["error"] == "VERIFY":
        out("tls", aim=aim["id"], **shake(aim, address, "any", timeout))
        stores += [("system", s) for s in SYSTEM_STORES if os.path.exists(s)][:1]
    for label, path in stores if aim["verify"] else ():
        seen = shake(aim, address, path, timeout)
        seen["store"] = label
        out("tls", aim=aim["id"], **seen)
    return first["ok"]


def complete(data):
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    status = head[9:12]
    if status in (b"204", b"304"):
        return True
    length = re.search(rb"(?im)^content-length:[ \t]*(\d+)", head)
    if length:
        return len(body) >= int(length.group(1)[:12])
    if re.search(rb"(?im)^transfer-encoding:[^\r\n]*chunked", head):
        return body.endswith(b"0\r\n\r\n")
    return False


def exchange(aim, ask, address, ready):
    start = time.monotonic()
    deadline = start + ask["timeout"]
    data, marks, end, first = b"", [], "eof", None
    sock = None
    try:
        proxy = ask["proxy"]
        target = (proxy[0], proxy[1]) if proxy else (address, aim["port"])
        if proxy:
            sock = socket.create_connection(target, ask["timeout"])
        else:
            sock = dial(target[0], target[1], ask["timeout"])
        if aim["tls"]:
            if proxy:
                line = "CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % ((aim["host"], aim["port"]) * 2)
                sock.sendall(line.encode())
                while b"\r\n\r\n" not in data and len(data) < 8192:
                    sock.settimeout(max(0.01, deadline - time.monotonic()))
                    piece = sock.recv(1024)
                    if not piece:
                        break
                    data += piece
                if not re.match(rb"HTTP/1\.\d 200", data):
                    raise ConnectionRefusedError(errno.ECONNREFUSED, "proxy")
                data = b""
            store = "any" if not aim["verify"] else "given" if aim["trust"] else "default"
            sock = context_for(aim, store).wrap_socket(sock, server_hostname=aim["server_name"])
        sock.sendall(ask["request"].encode("latin-1"))
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                end = "TIMEOUT"
                break
            sock.settimeout(left)
            piece = sock.recv(65536)
            if not piece:
                break
            first = since(start) if first is None else first
            if len(marks) < 64:
                marks.append([since(start), len(piece)])
            data += piece
            if len(data) >= ask["limit"]:
                data = data[: ask["limit"]]
                end = "limit"
                break
            if complete(data):
                end = "complete"
                break
    except Exception as error:
        end = name_of(error) if ssl is None or not isinstance(error, ssl.SSLError) else "SSL:" + str(error.reason)
    finally:
        if sock is not None:
            sock.close()
    out(
        "ask",
        aim=aim["id"],
        ask=ask["id"],
        address=address,
        ms=since(start),
        ttfb=first,
        end=end,
        marks=marks,
        raw=base64.b64encode(data).decode(),
        ready=ready,
    )


def other_dialect(aim, address, timeout):
    """After a refused handshake a plain request, after a dead plain request a handshake: what speaks here?"""
    start = time.monotonic()
    data = b""
    try:
        sock = dial(address, aim["port"], timeout)
        sock.sendall(("GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % aim["host"]).encode())
        end = time.monotonic() + 2
        while len(data) < 4096 and time.monotonic() < end:
            sock.settimeout(max(0.01, end - time.monotonic()))
            piece = sock.recv(4096)
            if not piece:
                break
            data += piece
        sock.close()
    except Exception:
        pass
    out(
        "ask",
        aim=aim["id"],
        ask="plain",
        address=address,
        ms=since(start),
        ttfb=None,
        end="eof",
        marks=[],
        raw=base64.b64encode(data).decode(),
        ready=True,
    )


def climb(aim, plan):
    timeout = plan["connect_timeout"]
    addresses = aim["addresses"]
    if not addresses:
        answer = within(plan["resolve_timeout"], lookup, aim["host"], aim["port"])
        out("resolve", aim=aim["id"], host=aim["host"], **answer)
        addresses = answer["addresses"]
    results = {}

    def one(address):
        results[address] = try_connect(address, aim["port"], timeout)
        out(
            "connect",
            aim=aim["id"],
            address=address,
            port=aim["port"],
            errno=results[address][0],
            ms=results[address][1],
        )

    together([(one, (address,)) for address in addresses[:8]])
    ready = [a for a in addresses[:8] if results.get(a, ("x",))[0] == ""]
    proxied = [ask for ask in aim["asks"] if ask["proxy"]]
    jobs = []
    usable = bool(ready)
    if ready and aim["tls"]:
        usable = tls(aim, ready[0], timeout)
        if not usable:
            other_dialect(aim, ready[0], timeout)
    if usable:
        for ask in aim["asks"]:
            if not ask["proxy"]:
                for address in ready if ask["everywhere"] else ready[:1]:
                    jobs.append((exchange, (aim, ask, address, True)))
    for ask in proxied:
        jobs.append((exchange, (aim, ask, addresses[0] if addresses else "", False)))
    together(jobs)


def together(jobs):
    threads = []
    for job, arguments in jobs:
        thread = threading.Thread(target=job, args=arguments, daemon=True)
        try:
            thread.start()
            threads.append(thread)
        except RuntimeError as error:  # the container's limit on processes: one after the other, then
            out("limit", text=str(error)[:200])
            job(*arguments)
    for thread in threads:
        thread.join()


def extra_name(name, plan):
    out("name", host=name, **within(plan["resolve_timeout"], lookup, name, 0))


def extra_connect(address, port, plan):
    error, ms = try_connect(address, port, plan["connect_timeout"])
    out("connect", aim="", address=address, port=port, errno=error, ms=ms)


def main(plan):
    if any(aim["tls"] for aim in plan["aims"]):
        globals()["ssl"] = __import__("ssl")

    def work():
        # Without facts it still says who answers: silence would be taken for an image that cannot probe.
        facts(*((plan["files"], plan["paths"]) if plan["facts"] else ((), ())))
        jobs = [(climb, (aim, plan)) for aim in plan["aims"]]
        jobs += [(extra_name, (name, plan)) for name in plan["names"]]
        jobs += [(extra_connect, (address, port, plan)) for address, port in plan["connects"]]
        together(jobs)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(plan["budget"])
    out("end", complete=not thread.is_alive())
    os._exit(0)


main(json.loads(PLAN))  # set by the line that runs this
