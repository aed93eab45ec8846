"""What an image's name says."""

from __future__ import annotations

import re

_OLLAMA = re.compile(
    r"^ollama(?:[-_.](?:server|serve|rocm|cuda|cpu|gpu|nvidia|amd|intel|arc|ipex|vulkan|jetson|l4t|arm64|amd64|docker|service|api|base|linux|musa))*$"
)
_INFRASTRUCTURE = {
    "postgres",
    "postgresql",
    "pgvector",
    "postgis",
    "timescaledb",
    "mysql",
    "mariadb",
    "mongo",
    "mongodb",
    "redis",
    "valkey",
    "keydb",
    "memcached",
    "meilisearch",
    "typesense",
    "qdrant",
    "chroma",
    "chromadb",
    "milvus",
    "etcd",
    "minio",
    "weaviate",
    "elasticsearch",
    "opensearch",
    "kibana",
    "neo4j",
    "surrealdb",
    "clickhouse",
    "cassandra",
    "couchdb",
    "influxdb",
    "rabbitmq",
    "kafka",
    "zookeeper",
    "nats",
    "mosquitto",
    "prometheus",
    "grafana",
    "loki",
    "promtail",
    "jaeger",
    "tempo",
    "alertmanager",
    "cadvisor",
    "exporter",
    "mailpit",
    "mailhog",
    "searxng",
    "tika",
    "docling",
    "gotenberg",
    "alpine",
    "busybox",
    "curl",
    "pgadmin",
    "pgadmin4",
    "adminer",
    "phpmyadmin",
    "watchtower",
    "autoheal",
    "browserless",
    "chrome",
    "chromium",
    "selenium",
    "vault",
    "consul",
    "keycloak",
    "authentik",
    "certbot",
    "registry",
    "cloudflared",
    "tailscale",
    "wireguard",
    "gluetun",
    "vllm",
    "tei",
    "whisper",
    "kokoro",
    "piper",
    "sandbox",
    "otel",
    "opentelemetry",
    "redisinsight",
    "portainer",
    "traefik",
}
_ONLOOKERS = {
    "prometheus",
    "grafana",
    "loki",
    "promtail",
    "alloy",
    "alertmanager",
    "blackbox",
    "otel",
    "vector",
    "dashy",
    "homepage",
    "homarr",
    "homer",
    "heimdall",
    "glance",
    "flame",
    "organizr",
    "gatus",
    "kuma",
    "dozzle",
    "portainer",
    "watchtower",
}
_GATEWAYS = {
    "litellm",
    "nginx",
    "traefik",
    "caddy",
    "haproxy",
    "envoy",
    "olla",
    "ngrok",
    "httpd",
    "openresty",
    "kong",
    "apisix",
    "ollama-proxy",
    "ovai",
    "one-api",
    "new-api",
    "bifrost",
    "portkey",
    "gateway",
    "llm-gateway",
    "lb",
    "nginx-proxy",
    "cloudflared",
}


def repository(image: str) -> str:
    """The image's path without registry, tag and digest, lower case: ``ghcr.io/a/b:c@sha256:…`` is ``a/b``."""
    path = image.split("@", 1)[0].lower()
    head, slash, last = path.rpartition("/")
    path = head + slash + last.split(":", 1)[0]
    first, slash, rest = path.partition("/")
    return rest if slash and ("." in first or ":" in first or first == "localhost") else path


def name(image: str) -> str:
    """The last part of the image's path."""
    return repository(image).rpartition("/")[2]


def tag(image: str) -> str:
    """The tag, or empty."""
    last = image.split("@", 1)[0].rpartition("/")[2]
    return last.partition(":")[2]


def is_ollama(image: str) -> bool:
    """Whether the image is an Ollama server by its name: official, mirrored, or named after it."""
    path = repository(image)
    return bool(image) and (bool(_OLLAMA.match(name(image))) or path.endswith("ollama/ollama"))


def bundles_ollama(image: str) -> bool:
    """Whether an app's image carries a server of its own: the tags ``ollama`` and ``cuda-ollama`` of Open WebUI."""
    return name(image) == "open-webui" and "ollama" in re.split(r"[-_.]", tag(image))


def is_infrastructure(image: str) -> bool:
    """Whether the image is a database, a queue, a bare system or the like: it calls no language model."""
    return bool(image) and bool(_INFRASTRUCTURE & set(re.split(r"[-_.]", name(image))))


def only_looks_on(image: str) -> bool:
    """Whether the image watches services or links to them: an address that it holds is none of a model to ask."""
    return bool(image) and bool(_ONLOOKERS & set(re.split(r"[-_.]", name(image))))


def is_gateway(image: str) -> bool:
    """Whether the image is a reverse proxy or a gateway for language models."""
    last = name(image)
    return last in _GATEWAYS or bool({"litellm", "traefik", "haproxy", "nginx"} & set(re.split(r"[-_.]", last)))
