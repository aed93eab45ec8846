"""The words that signs bring and that texts of causes, remedies and repairs are filled with."""

from __future__ import annotations

from typing import Literal, TypedDict

Scope = Literal["consumer", "server", "project"]
"""What is judged: one URL of a consumer, an Ollama service, or any service of the project."""


class Words(TypedDict, total=False):
    """Every word, by its name in ``{braces}``."""

    address: str
    after: str
    alive: str
    allow: str
    bare: str
    before: str
    bind: str
    busy_port: str
    caller: str
    code: str
    compose: str
    consumer: str
    container: str
    ctx_variable: str
    current: str
    dns_address: str
    dotenv_value: str
    driver: str
    env_file: str
    env_file_value: str
    exit_code: str
    ext_servers: str
    foreign: str
    good: str
    host: str
    host_address: str
    host_net_url: str
    host_store: str
    http_url: str
    https_url: str
    image: str
    inner: str
    inner_url: str
    issuer: str
    join: str
    listen: str
    listen_url: str
    location: str
    model: str
    name: str
    names: str
    near: str
    near_miss: str
    network: str
    network_service: str
    not_after: str
    not_before: str
    ollama: str
    origin: str
    origin_header: str
    other: str
    other_host: str
    other_url: str
    overlap: str
    overlap_key: str
    own_networks: str
    owner: str
    page: str
    place: str
    port: str
    port_variable: str
    profile: str
    proxy: str
    proxy_variable: str
    rival: str
    rivals: str
    san: str
    san_url: str
    scheme: str
    search: str
    server: str
    service: str
    shell_variable: str
    source: str
    state: str
    subnet: str
    suffix: str
    suggestion: str
    target_container: str
    target_network: str
    target_service: str
    target_subnet_of: str
    target_url: str
    tls_error: str
    told_by: str
    tool: str
    trust_variable: str
    unique: str
    unique_url: str
    unset: str
    upstream: str
    url: str
    v1_url: str
    v4: str
    v4_url: str
    v6: str
    value: str
    variable: str
    version: str
    volume: str
    whose: str
    with_port: str


DEFAULTS: Words = {
    "host_address": "<its address>",
    "ext_servers": "the host's resolver",
    "busy_port": "<the port>",
    "network": "default",
    "target_service": "<its service>",
    "target_container": "<its container>",
    "tls_error": "OpenSSL does not say why",
    "issuer": "a CA whose name could not be read",
    "names": "names that could not be read",
    "not_before": "a date that could not be read",
    "not_after": "a date that could not be read",
    "san_url": "<an address with a name of the certificate>",
}
"""What is said where nothing was seen that says it better; repairs keep away from what is in ``<…>``."""
_OF_SERVICE = frozenset({"compose", "service", *DEFAULTS})
ALWAYS: dict[Scope, frozenset[str]] = {
    "consumer": frozenset(
        {
            *(
                "consumer",
                "variable",
                "value",
                "url",
                "host",
                "port",
                "compose",
                "suffix",
                "place",
                "told_by",
                "ollama",
            ),
            *(
                "good",
                "container",
                "allow",
                "suggestion",
                "origin_header",
                "bare",
                "with_port",
                "http_url",
                "https_url",
            ),
            *("origin", "v1_url", "network_service", "own_networks", "bind", "overlap_key", "target_subnet_of", "join"),
            *("address", "model", "target_url", "host_net_url", *DEFAULTS),
        }
    ),
    "server": _OF_SERVICE,
    "project": _OF_SERVICE,
}
"""Words that are there whatever signs hold, by the scope of the cause."""
DERIVED = {"v4_url": "v4", "listen_url": "listen", "inner_url": "inner", "unique_url": "unique"}
"""Words that ``remedies.complete`` makes of another, wherever that is there."""
