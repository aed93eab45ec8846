"""Names and numbers that the gateway's parts agree on."""

from __future__ import annotations

from stackctl.config.target import GATEWAY_SERVICE

SERVICE = GATEWAY_SERVICE
"""The Compose service, and the host name that consumers use for it unless they already use another."""

LOCAL_ALIAS = "ollama-local"
"""The name of the stack's own Ollama on the gateway's network, where no consumer is."""

NETWORK = "stackctl-inner"
"""The gateway's own network: its way out, and its way to the stack's own Ollama."""

VOLUME = "stackctl-gateway"
"""The volume that keeps the running configuration and its secrets, which only HAProxy can read."""

HOME = "/var/lib/haproxy"
"""Where the volume is in the container."""

FRONT_PORT = 11434
ADMIN_PORT = 11435
"""On the loopback of the gateway's container: read-only, and reachable only by a process started inside it."""

IMAGE_PUBLIC = "haproxy:3.2-alpine"
IMAGE_HOME = "stackctl.local/gateway:dev"

SECRET_PREFIX = "stackctl_secret_"  # noqa: S105  (a prefix of names)
CONFIGURATION_MARK = "#@configuration"
"""The line between secrets and configuration where both are sent to the gateway at once."""

START_VARIABLE = "STACKCTL_GATEWAY_START"
"""Holds the script that the container starts with: a Compose ``config`` cannot be written to a read-only root."""

SOCKETS_DIR = "/tmp/stackctl-gateway"  # noqa: S108  (inside the gateway's container, which holds nothing else)

INSTANCE_HEADER = "X-Stackctl-Instance"
"""Response header that names the instance that answered."""

TRIED_HEADER = "X-Stackctl-Tried"
"""Request header in which the gateway lists the instances that could not take this request."""
