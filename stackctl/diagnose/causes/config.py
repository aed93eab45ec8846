"""Causes in the configuration: what the value says, and why it is not the one that was meant."""

from stackctl.diagnose.causes.model import Cause

_SET = "stackctl writes this for you: {compose} … with {variable}: {good}"
_FAILS = "connect.bad|name.failed|answer.foreign|404.not_ollama|http.silent|http.reset|value.blank|value.unreadable|connect.other"

ROWS = (
    Cause(
        "quoted-env-value", "config", ("value.quoted",),
        "the quotes are part of {variable}: {value}",
        "Quotes survive in the list form `- {variable}=\"…\"`. Use the map form, or quote the whole item.",
        ("environment:", "  {variable}: {bare}"), fix="set-url",
    ),
    Cause(
        "inline-comment-in-env-value", "config", ("value.comment",),
        "a comment is part of {variable}: {value}",
        "Put the comment on a line of its own.", ("environment:", "  {variable}: {bare}"), fix="set-url",
    ),
    Cause(
        "whitespace-or-cr-in-url", "config", ("value.space",),
        "{variable} holds white space or a control character: {value!r}",
        "Remove it where the value is made (an entrypoint, a secret, a file from Windows).",
        ("tr -d '\\r\\n ' <FILE", "environment:", "  {variable}: {bare}"), fix="set-url",
    ),
    Cause(
        "shell-overrides-dotenv", "config", ("shell.wins", _FAILS),
        "{shell_variable} of the shell wins over the one in .env",
        "Unset it where it is exported, and bring the service up again.",
        ("unset {shell_variable}", "{compose} up -d {consumer}"), fix="set-dotenv",
    ),
    Cause(
        "environment-overrides-env-file", "config", ("env_file.loses", _FAILS),
        "`environment:` of {consumer} overrides {variable} of its env_file",
        "Keep {variable} in one place: remove it from `environment:`.",
        ("{compose} config {consumer} | grep {variable}", "# {env_file} says {variable}={env_file_value}"), fix="set-env-file",
    ),
    Cause(
        "dotenv-not-injected", "config", ("dotenv.unused",),
        "{variable} stands in .env, and no container is given it",
        ".env only fills in ${{…}} of Compose files; name the variable under `environment:`.",
        ("environment:", "  {variable}: ${{{variable}}}"), fix="set-dotenv",
    ),
    Cause(
        "unset-variable-blank", "config", ("value.blank", "value.unset"),
        "{variable} of {consumer} is blank, because {unset} is set nowhere",
        "Set {unset} in .env, or make Compose refuse: ${{{unset}:?set me}}.",
        ("echo '{unset}={good}' >> .env", "{compose} up -d {consumer}"), fix="set-good",
    ),
    Cause(
        "unset-variable-blank", "config", ("value.blank",),
        "{variable} of {consumer} is blank",
        "Set it.", ("environment:", "  {variable}: {good}"), without=("told.stale",), fix="set-good",
    ),
    Cause(
        "restart-instead-of-recreate", "config", ("told.stale", _FAILS),
        "{consumer} still has the {variable} that it was created with; the files say otherwise now",
        "`docker compose restart` does not read the files again; `up -d` recreates.",
        ("{compose} up -d {consumer}",), fix="recreate",
    ),
    Cause(
        "restart-instead-of-recreate", "advice", ("told.stale",),
        "{consumer} still has the {variable} that it was created with; the files say otherwise now",
        "`docker compose restart` does not read the files again; `up -d` recreates.",
        ("{compose} up -d {consumer}",), fix="recreate", severity="warning",
    ),
    Cause(
        "deprecated-env-name", "config", ("name.deprecated",),
        "{variable} is not read any more: the name is {current} now",
        "Use the current name.", ("environment:", "  {current}: {good}"), fix="set-current",
    ),
    Cause(
        "full-endpoint-as-base", "config", ("url.endpoint",),
        "{variable} is a whole endpoint ({suffix}), and the client appends its own path",
        "Give the base only.", ("environment:", "  {variable}: {good}"), fix="set-url",
    ),
    Cause(
        "mixed-content", "config", ("page.https", "client.browser"),
        "{variable} is http, and browsers that load {page} refuse it",
        "Let the app's server ask Ollama, or put TLS in front of it.", ("stackctl host-setup caddy",),
    ),
    Cause(
        "browser-side-url", "config", ("browser.cannot", "client.browser"),
        "{variable} goes to browsers, where {host} means nothing",
        "Use the app's server-side setting, or an address of the LAN, with OLLAMA_ORIGINS for the page.",
        ("environment:", "  {variable}: http://<address of this machine in the LAN>:11434"),
    ),
    Cause(
        "localhost-in-container", "config", ("url.loopback", "connect.refused|connect.no_network|http.silent|connect.timeout"),
        "{variable} is {url}: in a container that is the container itself, where nothing listens on {port}",
        "Name the server instead.", ("environment:", "  {variable}: {good}"),
        without=("net.host", "url.zero", "net.shared", "proxy.loopback"), evidence=("connect.bad",), fix="set-good",
    ),
    Cause(
        "localhost-in-container", "config", ("url.loopback", "probe.unable"),
        "{variable} is {url}: in a container that is the container itself",
        "Name the server instead.", ("environment:", "  {variable}: {good}"), without=("net.host", "net.shared"), fix="set-good",
    ),
    Cause(
        "zero-address-as-client-url", "config", ("url.zero", "connect.bad|probe.unable"),
        "{variable} is {url}: 0.0.0.0 is an address to listen on, not one to call",
        "Set OLLAMA_HOST=0.0.0.0 on the server only, and give {consumer} the server's name.",
        ("environment:", "  {variable}: {good}"), fix="set-good",
    ),
    Cause(
        "url-missing-scheme", "config", ("value.no_scheme",),
        "{variable} has no scheme: {value}",
        "Clients need http:// (curl does not, and is no judge).", ("environment:", "  {variable}: {bare}"),
        without=("value.blank",), fix="set-url",
    ),
    Cause(
        "url-port-omitted-or-80", "config", ("url.port_omitted", "port.standard_open"),
        "{variable} names no port, so {port} is meant; Ollama answers on 11434",
        "Write the port.", ("environment:", "  {variable}: {with_port}"), evidence=("connect.bad",), fix="set-port",
    ),
    Cause(
        "localhost-resolves-ipv6-first", "config", ("url.localhost", "v6.first_fails", "net.host", "exec.node"),
        "localhost is ::1 first for {consumer}, and Ollama listens on 127.0.0.1",
        "Write 127.0.0.1.", ("environment:", "  {variable}: {v4_url}"), fix="set-v4", severity="warning",
    ),
    Cause(
        "persisted-setting-overrides-env", "config", ("log.other_host", "api.ok"),
        "{consumer} is told {url}, which answers, and goes to {other_host} all the same",
        "The app keeps its own setting (a database). Open WebUI: RESET_CONFIG_ON_START=true once, or "
        "ENABLE_PERSISTENT_CONFIG=false; others: edit the stored connection.",
        ("environment:", "  ENABLE_PERSISTENT_CONFIG: 'false'"), fix="persistent-off",
    ),
)
