"""Signs of HTTP: proxies, who answers, statuses, redirects, paths."""

from __future__ import annotations

import re

from stackctl.diagnose import http_reply as http
from stackctl.diagnose.answers import Answered
from stackctl.diagnose.http_reply import HttpReply
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board, Case
from stackctl.project.proxyrules import chosen
from stackctl.redaction import without_credentials

_STATUSES = {
    400: Sign.STATUS_400,
    403: Sign.STATUS_403,
    404: Sign.STATUS_404,
    413: Sign.STATUS_413,
    502: Sign.STATUS_502,
    503: Sign.STATUS_503,
    504: Sign.STATUS_504,
    524: Sign.STATUS_524,
}
GREETING = b"Ollama is running"
_GATEWAYS = re.compile(
    r"nginx|openresty|caddy|traefik|haproxy|squid|envoy|cloudflare|apache|litespeed|varnish|kong|gunicorn|uvicorn",
    re.IGNORECASE,
)


def read(case: Case, board: Board) -> None:
    """The proxy first, then what came back."""
    if case.setting.url is None:
        return
    _proxy(case, board)
    root, tags, large = case.aim.ask("root"), case.aim.ask("tags"), case.aim.ask("large")
    version = case.aim.ask("version")
    asked = [a for a in (version, tags, root) if a is not None]
    if not asked:
        return
    spoken = next((a for a in asked if http.read(a.raw).status), None)
    if spoken is None:
        _silence(case, board, asked[0])
        return
    reply = http.read((tags or spoken).raw)
    if not reply.status:
        reply = http.read(spoken.raw)
    first = http.read(root.raw) if root else HttpReply(0)
    if GREETING in first.body:
        board.note(Sign.ROOT_OLLAMA, f"GET / answers {GREETING.decode()!r}")
    _status(case, board, reply, first, tags or spoken)
    _paths(case, board, reply, first)
    if (
        large is not None
        and not http.read(large.raw).status
        and large.end in ("TIMEOUT", "EMPTY", "eof")
        and large.ms > 1500
    ):
        board.note(
            Sign.LARGE_STALLS, f"a request of 6 kB gets no answer in {large.ms:.0f} ms, small ones do, {case.where}"
        )
    if large is not None and http.read(large.raw).status == 413:
        board.note(Sign.STATUS_413, "a request of 6 kB is answered 413")
    mtu = (case.seen.files if case.seen else {}).get("/sys/class/net/eth0/mtu", "").strip()
    if mtu.isdigit() and case.scene.host.egress_mtu and case.scene.host.egress_mtu < int(mtu):
        board.note(
            Sign.MTU_LARGER, f"the container's MTU is {mtu}, the host's way out has {case.scene.host.egress_mtu}"
        )


def _silence(case: Case, board: Board, first: Answered) -> None:
    end = first.end
    if end == "TIMEOUT" or (end == "EMPTY" and first.ms > 1500):
        board.note(Sign.HTTP_SILENT, f"connected, and no answer within {first.ms:.0f} ms, {case.where}")
    elif first.raw:
        board.note(Sign.HTTP_GARBAGE, f"what answers speaks no HTTP: {first.raw[:40]!r}, {case.where}")
    else:
        board.note(Sign.HTTP_RESET, f"connected, and closed before any byte ({end}), {case.where}")


def _proxy(case: Case, board: Board) -> None:
    url = case.setting.url
    proxy = chosen(case.environment, url, [c.address for c in case.aim.connected]) if url else None
    if proxy is None:
        return
    board.note(
        Sign.PROXY_APPLIES,
        f"{proxy.variable}={without_credentials(proxy.value)} applies to {url} in {case.setting.consumer}",
        proxy=f"{proxy.host}:{proxy.port}",
        proxy_variable=proxy.variable,
    )
    if proxy.host in ("localhost", "127.0.0.1", "::1"):
        board.note(Sign.PROXY_LOOPBACK, f"the proxy {proxy.host}:{proxy.port} means the container itself")
    if proxy.near_miss:
        board.note(
            Sign.PROXY_NEAR_MISS,
            f"NO_PROXY lists {proxy.near_miss}, which most clients do not take for {case.host}",
            near_miss=proxy.near_miss,
        )
    wanted = case.service.environment if case.service else {}
    if proxy.variable not in wanted and case.container is not None:
        configured = (case.scene.host.client_config.get("proxies") or {}).get("default") or {}
        if configured or case.setting.source == "container":
            board.note(
                Sign.PROXY_INJECTED,
                f"no Compose file sets {proxy.variable}: the Docker client's config.json injects it",
            )
    through = case.aim.ask("proxied") or case.further_aim(case.setting.aim).ask("proxied")
    if through is None:
        return
    answer = http.read(through.raw)
    if http.version(answer) is None:
        shown = f"{answer.status} {answer.type}".strip() if answer.status else through.end
        board.note(
            Sign.PROXY_FAILS,
            f"through the proxy {proxy.host}:{proxy.port}: {shown}; straight to {case.host} it is another matter",
        )
        if answer.status == 403 and ("squid" in str(answer.headers).lower() or b"ERR_ACCESS_DENIED" in answer.body):
            board.note(
                Sign.PROXY_DENIES,
                f"the proxy answers 403 ({answer.headers.get('x-squid-error') or answer.headers.get('server', '')})",
                proxy=f"{proxy.host}:{proxy.port}",
            )
        if any("SSRF" in k.upper() for k in case.environment) or "ssrf" in proxy.host:
            board.note(Sign.PROXY_SSRF, "the proxy is one against SSRF")
    else:
        board.note(Sign.PROXY_WORKS)


def _status(case: Case, board: Board, reply: HttpReply, root: HttpReply, answer: Answered) -> None:
    server, status = reply.headers.get("server", ""), reply.status
    line = f"GET {case.setting.url.prefix if case.setting.url else ''}/api/tags answers {status} {reply.type}".rstrip()

    if status in _STATUSES:
        board.note(_STATUSES[status], f"{line}, {case.where}")
    else:
        board.remark(f"{line}, {case.where}")
    if server and _GATEWAYS.search(server):
        board.note(Sign.SERVER_GATEWAY, f"the answer comes from {server}")
    if reply.is_html or root.is_html:
        board.note(Sign.ANSWER_HTML, f"{line}: a page, not an API")
    _denied(case, board, reply, line)
    _from_a_proxy(board, reply, line, answer)
    if said := re.match(
        r"stackctl gateway: (?:no Ollama of )?(\S+) (?:can(?:not)? be|broke off|said nothing)", reply.error
    ):
        board.note(Sign.GATEWAY_OURS, f"the gateway answers {status}: {reply.error[:120]}", upstream=said[1])
    if status == 503 and "busy" in reply.error:
        board.note(Sign.HTTP_503_BUSY, f"{line}: {reply.error[:80]}")
    if status == 200 and http.model_names(reply) is None:
        board.note(Sign.ANSWER_FOREIGN, f"{line}, and it is no list of models: {_short(reply.text)}")


def _denied(case: Case, board: Board, reply: HttpReply, line: str) -> None:
    """What the request was refused for, as other requests show."""
    if reply.status == 403:
        if not reply.body:
            board.note(Sign.HTTP_403_EMPTY, f"{line} with an empty body")
        plain = case.further_aim("localhost").ask("version")
        if plain is not None and http.read(plain.raw).status == 200:
            board.note(Sign.HTTP_403_HOST, "the same request with `Host: localhost` answers 200")
    if reply.status == 401:
        challenge = reply.headers.get("www-authenticate", "")
        board.note(
            Sign.HTTP_401_CHALLENGE if challenge else Sign.HTTP_401_BARE,
            f"{line}, WWW-Authenticate: {challenge or 'none'}",
            scheme=challenge.split(" ")[0] or "Bearer",
        )
        if "signin_url" in reply.text:
            board.note(Sign.HTTP_401_CLOUD, "the body holds a signin_url")
        with_user = case.further_aim("userinfo").ask("version")
        if with_user is not None and http.read(with_user.raw).status == 200:
            board.note(Sign.HTTP_401_USERINFO_WORKS, "with the user and password of the URL it answers 200")


def _from_a_proxy(board: Board, reply: HttpReply, line: str, answer: Answered) -> None:
    """Answers that something in front of Ollama gives in its place."""
    if 300 <= reply.status < 400:
        to = reply.headers.get("location", "")
        if to.startswith("https://"):
            board.note(Sign.REDIRECT_HTTPS, f"{line}, Location: {to}", location=to)
    if reply.status in (502, 503, 504, 524) and not reply.error:
        board.note(
            Sign.GATEWAY_ERROR, f"{line} from {reply.headers.get('server') or 'a proxy'} after {answer.ms:.0f} ms"
        )
    if reply.status == 400 and (reply.is_html or "HTTPS" in reply.text or "HTTP request to an HTTPS" in reply.text):
        tls = "HTTPS" in reply.text
        board.note(
            Sign.HTTP_400_TLS if tls else Sign.HTTP_400_HTML,
            f"{line}: {' '.join(re.sub('<[^>]+>', ' ', reply.text).split())[:80]}",
        )


def _paths(case: Case, board: Board, reply: HttpReply, root: HttpReply) -> None:
    setting = case.setting
    if reply.status == 404:
        if reply.type == "text/plain" and b"404 page not found" in reply.body:
            board.note(Sign.HTTP_404_ROUTE, "404 as text: no such route")
        if not root.body.startswith(GREETING):
            board.note(
                Sign.HTTP_404_NOT_OLLAMA,
                f"GET / is not Ollama's greeting: {root.status} {_short(root.text)}",
                server=reply.headers.get("server") or "no Server header",
            )
    origin = case.further_aim("origin")
    tags = origin.ask("tags")
    if tags is not None and http.model_names(http.read(tags.raw)) is not None:
        board.note(
            Sign.ORIGIN_OLLAMA,
            f"without the path, /api/tags of {case.host}:{case.port} answers 200",
        )
    slash = case.further_aim(setting.aim).ask("slash") or case.aim.ask("slash")
    if slash is not None:
        answer = http.read(slash.raw)
        if answer.status in (301, 302):
            board.note(Sign.SLASH_REDIRECTS, f"POST //api/show answers {answer.status}, which turns it into a GET")
    embed = case.further_aim(setting.aim).ask("embed")
    if embed is not None:
        answer = http.read(embed.raw)
        if answer.status == 404 and not answer.error:
            asked = case.aim.ask("version")
            board.note(
                Sign.ROUTE_MISSING,
                "POST /api/embed answers 404 as text: this server does not know it",
                version=(http.version(http.read(asked.raw)) if asked else None) or "of an unknown version",
            )


def _short(text: str) -> str:
    return " ".join(text.split())[:60]
