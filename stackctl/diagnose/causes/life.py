"""Causes in the life of containers: those that keep one from being made, started, or healthy."""

from itertools import chain

from stackctl.diagnose.causes.model import Cause


def _started(cause: str, sign: str, summary: str, remedy: str, commands: tuple[str, ...], fix: str = "") -> tuple[Cause, ...]:
    """The same cause at the server that the URL means, at the consumer itself, and at a service on its own."""
    return (
        Cause(cause, "life", (f"target.{sign}",), summary.replace("{it}", "{target_container}"), remedy, commands, fix=fix),
        Cause(cause, "life", (f"own.{sign}",), summary.replace("{it}", "{consumer}"), remedy, commands, fix=fix),
        Cause(cause, "life", (f"server.{sign}|own.{sign}",), summary.replace("{it}", "{service}"), remedy, commands, scope="server", fix=fix),
        Cause(cause, "life", (f"own.{sign}",), summary.replace("{it}", "{service}"), remedy, commands, scope="project", fix=fix),
    )


def _logged(cause: str, sign: str, summary: str, remedy: str, commands: tuple[str, ...], fix: str = "") -> tuple[Cause, ...]:
    """A container that does not run, and whose log says why."""
    return (
        Cause(cause, "life", ("target.down", sign), summary.replace("{it}", "{target_container}"), remedy, commands,
              evidence=("target.down",), fix=fix),
        Cause(cause, "life", ("server.down", sign), summary.replace("{it}", "{service}"), remedy, commands, scope="server", fix=fix),
    )


ROWS = tuple(chain(
    _started("port-already-allocated", "error.port_engine", "{it} cannot start: another container has the port",
             "Drop `ports:` (containers need none), or use another port.", ("docker ps --filter publish={busy_port}", "ports: !reset []"), "no-ports"),
    _started("port-already-allocated", "error.port_host", "{it} cannot start: a process of the host has the port",
             "Drop `ports:`, use another port, or stop that process.", ("sudo ss -ltnp 'sport = :{busy_port}'", "sudo systemctl disable --now ollama"), "no-ports"),
    _started("gpu-driver-not-registered", "error.gpu_driver", "{it} cannot start: it reserves an NVIDIA GPU, and the engine has no such driver",
             "Install the NVIDIA toolkit, or take the reservation out.",
             ("sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker", "# or in stackctl.yaml: local: {{gpu: none}}"), "no-gpu"),
    _started("nvml-driver-mismatch", "error.nvml_mismatch", "{it} cannot start: the NVIDIA driver was updated, and its old module is loaded",
             "Load the new module.", ("sudo reboot",)),
    _started("nvidia-driver-too-old", "error.driver_old", "{it} cannot start: the NVIDIA driver is too old for the image",
             "Update the driver, or take an older image.", ("nvidia-smi",)),
    _started("rocm-device-or-permission", "error.rocm_device", "{it} cannot start: the AMD device files are not there",
             "Take the devices out, or install the driver.", ("ls -l /dev/kfd /dev/dri",), "no-gpu"),
    _started("host-gateway-underivable", "error.host_gateway", "{it} cannot start: the engine has no address for host-gateway",
             "Write the host's address instead, or tell the daemon one.", ('daemon.json: "host-gateway-ips": ["<address of this host>"]',)),
    _started("firewall-reload-wiped-docker-rules", "error.chains_gone", "{it} cannot start: Docker's iptables chains are gone",
             "Let Docker write them again.", ("sudo systemctl restart docker",)),
    _started("container-oom-killed", "oom", "{it} was killed for want of memory", "Raise its limit, or take a smaller model.",
             ("docker stats --no-stream", "mem_limit: 8g"), "more-memory"),
    _logged("command-duplicates-entrypoint", "log.entrypoint", "{it} ends at once: the image's entrypoint is `ollama` already",
            "Write `command: serve`, or override the entrypoint.", ("services:", "  {target_service}:", "    command: serve"), "command-serve"),
    _logged("volume-permission-denied", "log.permission", "{it} ends at once: it may not write to its store",
            "Give the store to the user that it runs as.", ("sudo chown -R <uid>:<gid> <the mounted directory>",), "own-user"),
    _logged("bind-before-docker0", "log.bind_absent", "{it} ends at once: the address that it is to listen on is not there",
            "Let it listen on 0.0.0.0.", ("environment: {{OLLAMA_HOST: 0.0.0.0:11434}}",), "bind-all"),
    _logged("disk-full", "log.disk", "{it} ended: the disk is full", "Make room.", ("docker system df",)),
    _logged("cpu-illegal-instruction", "log.illegal", "{it} ended: the CPU lacks an instruction", "Give the virtual machine the host's CPU type.", ()),
    _logged("thread-or-pids-limit", "log.threads", "{it} ended: it may start no more processes", "Raise pids_limit.", ("pids_limit: -1",), "pids"),
    (
        Cause("crash-loop", "life", ("target.loops",), "{target_container} ends again and again", "Read its log.",
              ("{compose} logs --tail 50 {target_service}",), without=("target.oom",), evidence=("target.down",)),
        Cause("crash-loop", "life", ("own.loops",), "{consumer} ends again and again", "Read its log.",
              ("{compose} logs --tail 50 {consumer}",), without=("own.oom",), evidence=("own.down",)),
        Cause("crash-loop", "life", ("server.loops",), "{service} ends again and again", "Read its log.",
              ("{compose} logs --tail 50 {service}",), without=("server.oom",), evidence=("server.down",), scope="server"),
        Cause("healthcheck-tool-missing", "life", ("server.health_tool",), "the healthcheck of {service} calls {tool}, which its image does not have",
              "Use what the image has.", ("healthcheck:", "  test: [CMD, ollama, list]"), scope="server", fix="healthcheck"),
        Cause("healthcheck-tool-missing", "life", ("own.health_tool",), "the healthcheck of {consumer} calls {tool}, which its image does not have",
              "Use what the image has.", ("healthcheck:", "  test: [CMD-SHELL, …]"), severity="warning", without=("connect.bad", "name.failed")),
        Cause("proxy-env-breaks-ollama-cli", "life", ("server.http_proxy", "server.unhealthy|server.health_proxy"),
              "{service} has {proxy_variable}, and its own healthcheck goes through that proxy",
              "Except 0.0.0.0 and loopback, or give it HTTPS_PROXY only.",
              ("environment: {{NO_PROXY: 'localhost,127.0.0.1,0.0.0.0', no_proxy: 'localhost,127.0.0.1,0.0.0.0'}}",), scope="server", fix="server-no-proxy"),
        Cause("proxy-env-breaks-ollama-cli", "advice", ("server.http_proxy",),
              "{service} has {proxy_variable}, and its own command line goes through that proxy",
              "Except 0.0.0.0 and loopback, or give it HTTPS_PROXY only.",
              ("environment: {{NO_PROXY: 'localhost,127.0.0.1,0.0.0.0'}}",), severity="warning", scope="server", fix="server-no-proxy",
              without=("server.unhealthy",)),
        Cause("selinux-volume-denied", "life", ("target.down", "log.permission", "engine.selinux"), "SELinux keeps the container from its mount",
              "Label the mount.", ("volumes: [./data:/root/.ollama:Z]",)),
        Cause("container-name-conflict", "life", ("name.taken",), "{service} cannot be made: the container name {name} is taken",
              "Remove the other container, or drop container_name.", ("docker rm {rival}", "container_name: !reset null"), scope="project", fix="no-container-name"),
        Cause("external-network-missing", "life", ("network.external_missing",), "{service} cannot be made: the network {network} is not there",
              "Create it.", ("docker network create {network}",), scope="project", fix="create-network"),
        Cause("subnet-pool-overlap", "life", ("network.subnet_taken",), "{service} cannot be made: {subnet} is taken by the network {rival}",
              "Take another subnet.", ("networks:", "  default: {{ipam: !reset null}}"), scope="project", fix="no-ipam"),
        Cause("address-pools-exhausted", "life", ("pools.exhausted",), "{service} cannot be made: no subnet is left for its network",
              "Remove networks that nobody uses.", ("docker network prune", 'daemon.json: "default-address-pools": [{{"base": "10.200.0.0/16", "size": 24}}]'), scope="project"),
        Cause("image-pull-fails", "life", ("image.absent", "registry.unreachable"), "{service} cannot be made: its image {image} is not here, and no registry answers",
              "Load the image, or give the daemon a proxy.", ("docker pull {image}", "sudo systemctl edit docker   # [Service] Environment=HTTPS_PROXY=…"),
              scope="project"),
        Cause("snap-docker-confinement", "life", ("target.error.mount|own.error.mount|server.error.mount", "engine.snap"),
              "Docker is a snap, which may not read that directory", "Use Docker's own packages.", ("sudo snap remove docker",), scope="server"),
    ),
))
