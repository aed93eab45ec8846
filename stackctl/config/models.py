"""The shape of ``stackctl.yaml``: frozen pydantic models, an unknown key is an error.

Rules that need two places at once (a profile that names an instance, a template
that needs a token) are in :mod:`stackctl.config.rules`, so that they are
reported together with the ones here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from stackctl.config.secrets import SecretRef
from stackctl.config.url import OllamaUrl, UrlError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
ENV_PATTERN = r"^[^=\s\x00]+$"
_DURATION = re.compile(r"^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$")


class Model(BaseModel):
    """Base: frozen, strict about keys and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


def _seconds(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected a duration such as 60s, 5m or 1h30m")  # noqa: TRY004  (pydantic reports ValueError)
    if isinstance(value, str):
        match = _DURATION.match(value)
        if match is None or not value:
            raise ValueError("expected a duration such as 60s, 5m or 1h30m")
        hours, minutes, seconds = match.groups()
        value = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)
    if not 0 < value <= 86400:
        raise ValueError("a duration is more than 0 and at most 24h")
    return float(value)


Duration = Annotated[
    float,
    BeforeValidator(
        _seconds,
        json_schema_input_type=Annotated[str, Field(examples=["60s", "5m"])] | float,
    ),
]
"""Seconds, written ``60s``, ``5m``, ``1h30m`` or as a number of seconds."""


class _UrlType:
    """Teaches pydantic to parse an :class:`OllamaUrl` from text."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        def parse(value: str) -> OllamaUrl:
            try:
                return OllamaUrl.parse(value)
            except UrlError as error:
                mend = f" → {error.corrected}" if error.corrected else ""
                raise ValueError(f"{error.message}{mend}") from None

        return core_schema.chain_schema(
            [core_schema.str_schema(strict=True), core_schema.no_info_plain_validator_function(parse)]
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "format": "uri", "pattern": "^https?://", "examples": ["http://cuda.local:11434"]}


class _SecretType:
    """Teaches pydantic to take a secret as a reference only."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.chain_schema(
            [core_schema.str_schema(strict=True), core_schema.no_info_plain_validator_function(SecretRef.parse)]
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": r"^\$\{.+\}$", "examples": ["${GPU_BOX_TOKEN}"]}


def _version(value: object) -> object:
    if type(value) is not int or value != 1:
        raise ValueError("this stackctl reads version 1 → 1")
    return value


Url = Annotated[OllamaUrl, _UrlType]
SecretField = Annotated[SecretRef, _SecretType]
Text = Annotated[str, Field(min_length=1)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$", examples=["qwen3:8b"])]
ServiceName = Annotated[str, Field(pattern=NAME_PATTERN)]
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
ApiPath = Annotated[str, Field(pattern=r"^/[^\s?#\x00-\x1f\x7f]*$")]


class Compose(Model):
    """Which Compose project this is; by default, what ``docker compose`` finds here."""

    project: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] | None = None
    files: list[Text] = []
    env_files: list[Text] = []
    profiles: list[Text] = []


class Environment(Model):
    """What an environment adds to ``compose``: files after the base ones, later ones win."""

    files: list[Text] = []
    env_files: list[Text] = []
    profiles: list[Text] = []


class Verify(Model):
    """How to ask a consumer whether it can use its Ollama: one of ``http`` or ``exec``."""

    http: Annotated[str, Field(pattern=r"^https?://")] | None = None
    exec: Annotated[list[Text], Field(min_length=1)] | None = None


class Consumer(Model):
    """A service that uses Ollama, and the variables through which it is told.

    ``env`` maps a variable to a template over ``{url} {scheme} {host} {port} {model} {token}``.
    ``command`` and ``entrypoint`` are whole argument lists with such templates in
    them, for a service that is told by a flag; each replaces the service's own.
    ``fixed`` is the place that tells a service its Ollama and that no override
    reaches: such a service stays with the local server, and is told nothing.
    """

    env: dict[Annotated[str, Field(pattern=ENV_PATTERN)], str] = {}
    command: Annotated[list[str], Field(min_length=1)] | None = None
    entrypoint: Annotated[list[str], Field(min_length=1)] | None = None
    fixed: Annotated[str, Field(min_length=1, examples=["tabby/config.toml:3"])] | None = None
    verify: Verify | None = None


class GpuDevice(Model):
    """An explicit reservation: a driver, with a count or with device ids."""

    driver: Literal["nvidia", "cdi", "amd"]
    count: Annotated[int, Field(ge=1)] | Literal["all"] | None = None
    device_ids: Annotated[list[Text], Field(min_length=1)] | None = None


class Tuning(Model):
    """Settings of the local server, as the variables that Ollama really reads."""

    num_parallel: Annotated[int, Field(ge=1, le=1024)] | None = None
    max_loaded_models: Annotated[int, Field(ge=0, le=1024)] | None = None
    max_queue: Annotated[int, Field(ge=1)] | None = None
    keep_alive: Annotated[str, Field(pattern=r"^-?(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$|^-?\d+$")] | int | None = (
        None
    )
    context_length: Annotated[int, Field(ge=4)] | None = None
    load_timeout: Annotated[str, Field(pattern=r"^-?(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$")] | None = None
    flash_attention: bool | None = None
    kv_cache_type: Literal["f16", "q8_0", "q4_0"] | None = None
    gpu_overhead: Annotated[int, Field(ge=0)] | None = None
    sched_spread: bool | None = None
    origins: list[Text] | None = None
    debug: bool | None = None


class Local(Model):
    """The Ollama container: the project's own service where it has one, otherwise added."""

    service: ServiceName = "ollama"
    image: Text | None = None
    gpu: Literal["auto", "none", "nvidia", "cdi", "amd"] | GpuDevice = "auto"
    volume: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    models: list[ModelName] | None = None
    publish: Annotated[str, Field(pattern=r"^(?:(?:\[[0-9A-Fa-f:]+\]|[0-9.]+):)?\d{1,5}$")] | None = None
    tuning: Tuning = Tuning()


class Basic(Model):
    """User and password for HTTP basic authentication."""

    user: Text
    password: SecretField


class Auth(Model):
    """How an instance wants to be asked: a bearer token or basic credentials."""

    bearer: SecretField | None = None
    basic: Basic | None = None


class Tls(Model):
    """TLS towards an instance; ``ca_file`` is relative to the directory of ``stackctl.yaml``."""

    verify: bool = True
    ca_file: Text | None = None
    server_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$")] | None = None


class Endpoints(Model):
    """Own paths of an instance, below the URL's prefix, instead of Ollama's."""

    chat: ApiPath | None = None
    generate: ApiPath | None = None
    list_models: ApiPath | None = None
    health: ApiPath | None = None
    version: ApiPath | None = None


class Instance(Model):
    """An Ollama server elsewhere."""

    url: Url
    address: Annotated[str, Field(pattern=r"^(?:host-gateway|[0-9.]+|[0-9A-Fa-f:]+)$")] | None = None
    models: list[ModelName] | None = None
    priority: Annotated[int, Field(ge=1, le=10)] = 5
    timeout: Duration = 60.0
    enabled: bool = True
    auth: Auth | None = None
    headers: dict[HeaderName, str] = {}
    tls: Tls = Tls()
    endpoints: Endpoints = Endpoints()


class Profile(Model):
    """A target by name over one or several instances."""

    use: Annotated[list[Text], Field(min_length=1)]
    policy: Literal["priority", "least_conn"] = "priority"
    fallback: Text | None = None


class Gateway(Model):
    """The reverse proxy that gives consumers one address for good."""

    image: Text | None = None


class Network(Model):
    """A network that other stacks share."""

    shared: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None


class StackConfig(Model):
    """The whole of ``stackctl.yaml``."""

    version: Annotated[Literal[1], BeforeValidator(_version, json_schema_input_type=Literal[1])]
    compose: Compose = Compose()
    environments: dict[Annotated[str, Field(pattern=NAME_PATTERN)], Environment] = {}
    default_environment: Text | None = None
    consumers: dict[ServiceName, Consumer] = {}
    models: list[ModelName] = []
    local: Local = Local()
    instances: dict[Annotated[str, Field(pattern=NAME_PATTERN)], Instance] = {}
    profiles: dict[Annotated[str, Field(pattern=NAME_PATTERN)], Profile] = {}
    default: Text | None = None
    on_unreachable: Literal["fail", "degrade", "local"] = "fail"
    gateway: bool | Gateway = False
    network: Network = Network()

    @property
    def told(self) -> dict[str, Consumer]:
        """The consumers that stackctl tells their Ollama: all but those that cannot be told otherwise."""
        return {name: consumer for name, consumer in self.consumers.items() if consumer.fixed is None}
