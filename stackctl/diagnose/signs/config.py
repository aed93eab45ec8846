"""Signs of the configuration: the text of the value, where it came from, what else speaks against it."""

from __future__ import annotations

import re

from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board, Case
from stackctl.diagnose.url_text import BROWSER

_DEPRECATED = {
    "open-webui": {"OLLAMA_API_BASE_URL": "OLLAMA_BASE_URL"},
    "chatbot-ollama": {"OLLAMA_URL": "OLLAMA_HOST"},
}
_PAGE = re.compile(r"(?:SITE|WEBUI|APP|PUBLIC|NEXTAUTH|PAGE|FRONTEND|DOMAIN).*(?:URL|HOST|DOMAIN)?", re.IGNORECASE)


def read(case: Case, board: Board) -> None:
    """The text, its origin, and the file it should have come from."""
    setting = case.setting
    board.on |= setting.marks
    url = str(setting.url) if setting.url else ""
    board.words.update(
        {
            "consumer": setting.consumer,
            "variable": setting.variable,
            "value": setting.text or setting.value,
            "before": setting.before,
            "after": setting.after,
            "url": url,
            "host": case.host,
            "port": str(case.port),
            "compose": case.scene.compose,
            "suffix": setting.suffix,
            "origin": f"{setting.url.scheme}://{setting.url.netloc}" if setting.url else "",
            "place": setting.place,
            "told_by": setting.place or setting.variable,
            "source": setting.source,
            "port_variable": setting.port_variable,
        }
    )
    if case.container is not None and case.container.state != "running":
        board.remark(f"the container {case.container.name} is {case.container.state}")
    if Sign.VALUE_NEVER_GIVEN in setting.marks and case.container is not None:
        line = f"the running container {case.container.name} has no {setting.variable}"
        board.note(Sign.VALUE_NEVER_GIVEN, line)
    if case.on_host_network:
        board.note(Sign.NET_HOST)
    if case.network_mode == "none":
        board.note(Sign.NET_NONE, f"network_mode of {setting.consumer} is none")
    _stale(case, board)
    _files(case, board)
    _names(case, board)


def _stale(case: Case, board: Board) -> None:
    """The running container against what the files say now."""
    if case.container is None or case.service is None or case.setting.source != "container":
        return
    want = case.service.environment.get(case.setting.variable)
    have = case.container.environment.get(case.setting.variable)
    if want is not None and have is not None and want.replace("$$", "$") != have:
        board.note(
            Sign.VALUE_STALE,
            f"the container {case.container.name} was created with another {case.setting.variable}"
            " than the files say now",
        )


def _files(case: Case, board: Board) -> None:
    """``.env``, the shell, ``env_file`` and ``environment`` against each other."""
    name, value = case.setting.variable, case.setting.value
    text = "\n".join(case.scene.texts.values())
    for variable, from_file in case.scene.dotenv.items():
        from_shell = case.scene.shell.get(variable)
        used = re.search(rf"\$\{{?{re.escape(variable)}\b", text) is not None
        if from_shell is not None and from_shell != from_file and used and from_shell and from_shell in value:
            board.note(
                Sign.SHELL_WINS,
                f"{variable} is exported in the shell and set otherwise in .env: the shell wins",
                shell_variable=variable,
                dotenv_value=from_file,
            )
        if not used and variable == name and name not in case.environment:
            board.note(
                Sign.DOTENV_UNUSED, f"{variable} is in .env, and no Compose file names it", dotenv_value=from_file
            )
    if case.setting.marks & {Sign.VALUE_BLANK, Sign.VALUE_NO_HOST}:
        warned = re.findall(r'The \\?"?([A-Za-z_][A-Za-z0-9_]*)\\?"? variable is not set', case.scene.warnings)
        written = _written(case)
        mentioned = [v for v in warned if re.search(rf"\$\{{?{re.escape(v)}\b", written)]
        if mentioned:
            board.note(
                Sign.VALUE_UNSET,
                f"Compose warns that {mentioned[0]} is not set, and puts a blank string into `{written}`",
                unset=mentioned[0],
            )
    _env_file(case, board)


def _written(case: Case) -> str:
    """What the user's files say of this variable, before anything is filled in; the last file wins."""
    import yaml  # noqa: PLC0415  (only where a value is blank)

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = ""
    for path, text in case.scene.texts.items():
        if path.startswith("env_file:"):
            continue
        try:
            service = (yaml.load(text, Loader=loader)["services"] or {}).get(case.setting.consumer) or {}  # noqa: S506
        except (yaml.YAMLError, TypeError, KeyError, AttributeError):  # a tag of Compose, or no map
            continue
        entries = service.get("environment") or {}
        pairs = entries.items() if isinstance(entries, dict) else (str(e).partition("=")[::2] for e in entries)
        found = next((str(value) for key, value in pairs if key == case.setting.variable), found)
    return found


def _env_file(case: Case, board: Board) -> None:
    """The same key in ``env_file`` with another value than the files come to: ``environment`` beats it."""
    now = case.service.environment.get(case.setting.variable) if case.service else None
    for path, text in case.scene.texts.items():
        if not path.startswith(f"env_file:{case.setting.consumer}:"):
            continue
        for line in text.splitlines():
            key, equals, found = line.strip().removeprefix("export ").partition("=")
            found = found.strip().strip("\"'")
            if equals and key.strip() == case.setting.variable and found not in ("", case.setting.value, now):
                board.note(
                    Sign.ENV_FILE_LOSES,
                    f"{path.rpartition(':')[2]} says {key.strip()}={found}; `environment:` says otherwise and wins",
                    env_file_value=found,
                    env_file=path.rpartition(":")[2],
                )


def _names(case: Case, board: Board) -> None:
    """Names of variables: deprecated ones, those for a browser, those that other programs read."""
    image = (case.service.image if case.service else "") or ""
    if "open-webui" in image:
        board.note(Sign.APP_OPEN_WEBUI)
    for app, names in _DEPRECATED.items():
        current = names.get(case.setting.variable)
        if current and app in image and current not in case.environment:
            board.note(Sign.NAME_DEPRECATED, f"{image} reads {current}, not {case.setting.variable}", current=current)
    if BROWSER.match(case.setting.variable) and case.setting.url:
        pages = [v for k, v in case.environment.items() if _PAGE.match(k) and v.startswith("https://")]
        if case.setting.url.scheme == "http" and Sign.URL_LOOPBACK not in case.setting.marks and pages:
            board.note(Sign.PAGE_HTTPS, f"the page is {pages[0]}", page=pages[0])
        known = case.bearers or case.host == "host.docker.internal"
        if known or Sign.URL_SINGLE_LABEL in case.setting.marks:
            board.note(
                Sign.BROWSER_CANNOT,
                f"{case.host} is a name of the containers, and {case.setting.variable} goes to browsers",
            )
    if "v1" in case.setting.suffix and any(
        "NUM_CTX" in k.upper() or "CONTEXT_LENGTH" in k.upper() for k in case.environment
    ):
        key = next(k for k in case.environment if "NUM_CTX" in k.upper() or "CONTEXT_LENGTH" in k.upper())
        board.note(
            Sign.V1_NUM_CTX,
            f"{key} is set, and {case.setting.variable} ends in /v1, which takes no num_ctx",
            ctx_variable=key,
        )
