"""Causes in the life of containers: those that keep one from being made, started, or healthy."""

from itertools import chain

from stackctl.diagnose.causes.model import Cause
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.trouble import LIVES, Trouble


def _started(
    cause: str, trouble: Trouble, summary: str, remedy: str, commands: tuple[str, ...], fix: str = ""
) -> tuple[Cause, ...]:
    """The same cause at the server that the URL means, at the consumer itself, and at a service on its own."""
    target, own, server = LIVES["target"][trouble], LIVES["own"][trouble], LIVES["server"][trouble]
    return (
        Cause(cause, "life", (target,), summary.replace("{it}", "{target_container}"), remedy, commands, fix=fix),
        Cause(cause, "life", (own,), summary.replace("{it}", "{consumer}"), remedy, commands, fix=fix),
        Cause(
            cause,
            "life",
            ((server, own),),
            summary.replace("{it}", "{service}"),
            remedy,
            commands,
            scope="server",
            fix=fix,
        ),
        Cause(
            cause,
            "life",
            (own,),
            summary.replace("{it}", "{service}"),
            remedy,
            commands,
            scope="project",
            fix=fix,
        ),
    )


def _logged(
    cause: str, sign: Sign, summary: str, remedy: str, commands: tuple[str, ...], fix: str = ""
) -> tuple[Cause, ...]:
    """A container that does not run, and whose log says why."""
    return (
        Cause(
            cause,
            "life",
            (Sign.TARGET_DOWN, sign),
            summary.replace("{it}", "{target_container}"),
            remedy,
            commands,
            evidence=(Sign.TARGET_DOWN,),
            fix=fix,
        ),
        Cause(
            cause,
            "life",
            (Sign.SERVER_DOWN, sign),
            summary.replace("{it}", "{service}"),
            remedy,
            commands,
            scope="server",
            fix=fix,
        ),
    )


ROWS = tuple(
    chain(
        _started(
            "port-already-allocated",
            Trouble.PORT_ENGINE,
            "{it} cannot start: another container has the port",
            "Drop `ports:` (containers need none), or use another port.",
            ("docker ps --filter publish={busy_port}", "ports: !reset []"),
            "no-ports",
        ),
        _started(
            "port-already-allocated",
            Trouble.PORT_HOST,
            "{it} cannot start: a process of the host has the port",
            "Drop `ports:`, use another port, or stop that process.",
            ("sudo ss -ltnp 'sport = :{busy_port}'", "sudo systemctl disable --now ollama"),
            "no-ports",
        ),
        _started(
            "gpu-driver-not-registered",
            Trouble.GPU_DRIVER,
            "{it} cannot start: it reserves an NVIDIA GPU, and the engine has no such driver",
            "Install the NVIDIA toolkit, or take the reservation out.",
            (
                "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
                "# or in stackctl.yaml: local: {{gpu: none}}",
            ),
            "no-gpu",
        ),
        _started(
            "nvml-driver-mismatch",
            Trouble.NVML_MISMATCH,
            "{it} cannot start: the NVIDIA driver was updated, and its old module is loaded",
            "Load the new module.",
            ("sudo reboot",),
        ),
        _started(
            "nvidia-driver-too-old",
            Trouble.DRIVER_OLD,
            "{it} cannot start: the NVIDIA driver is too old for the image",
            "Update the driver, or take an older image.",
            ("nvidia-smi",),
        ),
        _started(
            "rocm-device-or-permission",
            Trouble.ROCM_DEVICE,
            "{it} cannot start: the AMD device files are not there",
            "Take the devices out, or install the driver.",
            ("ls -l /dev/kfd /dev/dri",),
            "no-gpu",
        ),
        _started(
            "host-gateway-underivable",
            Trouble.HOST_GATEWAY,
            "{it} cannot start: the engine has no address for host-gateway",
            "Write the host's address instead, or tell the daemon one.",
            ('daemon.json: "host-gateway-ips": ["<address of this host>"]',),
        ),
        _started(
            "firewall-reload-wiped-docker-rules",
            Trouble.CHAINS_GONE,
            "{it} cannot start: Docker's iptables chains are gone",
            "Let Docker write them again.",
            ("sudo systemctl restart docker",),
        ),
        _started(
            "container-oom-killed",
            Trouble.OOM,
            "{it} was killed for want of memory",
            "Raise its limit, or take a smaller model.",
            ("docker stats --no-stream", "mem_limit: 8g"),
            "more-memory",
        ),
        _logged(
            "command-duplicates-entrypoint",
            Sign.LOG_ENTRYPOINT,
            "{it} ends at once: the image's entrypoint is `ollama` already",
            "Write `command: serve`, or override the entrypoint.",
            ("services:", "  {target_service}:", "    command: serve"),
            "command-serve",
        ),
        _logged(
            "volume-permission-denied",
            Sign.LOG_PERMISSION,
            "{it} ends at once: it may not write to its store",
            "Give the store to the user that it runs as.",
            ("sudo chown -R <uid>:<gid> <the mounted directory>",),
            "own-user",
        ),
        _logged(
            "bind-before-docker0",
            Sign.LOG_BIND_ABSENT,
            "{it} ends at once: the address that it is to listen on is not there",
            "Let it listen on 0.0.0.0.",
            ("environment: {{OLLAMA_HOST: 0.0.0.0:11434}}",),
            "bind-all",
        ),
        _logged("disk-full", Sign.LOG_DISK, "{it} ended: the disk is full", "Make room.", ("docker system df",)),
        _logged(
            "cpu-illegal-instruction",
            Sign.LOG_ILLEGAL,
            "{it} ended: the CPU lacks an instruction",
            "Give the virtual machine the host's CPU type.",
            (),
        ),
        _logged(
            "thread-or-pids-limit",
            Sign.LOG_THREADS,
            "{it} ended: it may start no more processes",
            "Raise pids_limit.",
            ("pids_limit: -1",),
            "pids",
        ),
        (
            Cause(
                "crash-loop",
                "life",
                (Sign.TARGET_LOOPS,),
                "{target_container} ends again and again",
                "Read its log.",
                ("{compose} logs --tail 50 {target_service}",),
                without=(Sign.TARGET_OOM,),
                evidence=(Sign.TARGET_DOWN,),
            ),
            Cause(
                "crash-loop",
                "life",
                (Sign.OWN_LOOPS,),
                "{consumer} ends again and again",
                "Read its log.",
                ("{compose} logs --tail 50 {consumer}",),
                without=(Sign.OWN_OOM,),
                evidence=(Sign.OWN_DOWN,),
            ),
            Cause(
                "crash-loop",
                "life",
                (Sign.SERVER_LOOPS,),
                "{service} ends again and again",
                "Read its log.",
                ("{compose} logs --tail 50 {service}",),
                without=(Sign.SERVER_OOM,),
                evidence=(Sign.SERVER_DOWN,),
                scope="server",
            ),
            Cause(
                "healthcheck-tool-missing",
                "life",
                (Sign.SERVER_HEALTH_TOOL,),
                "the healthcheck of {service} calls {tool}, which its image does not have",
                "Use what the image has.",
                ("healthcheck:", "  test: [CMD, ollama, list]"),
                scope="server",
                fix="healthcheck",
            ),
            Cause(
                "healthcheck-tool-missing",
                "life",
                (Sign.OWN_HEALTH_TOOL,),
                "the healthcheck of {consumer} calls {tool}, which its image does not have",
                "Use what the image has.",
                ("healthcheck:", "  test: [CMD-SHELL, …]"),
                severity="warning",
                without=(Sign.CONNECT_BAD, Sign.NAME_FAILED),
            ),
            Cause(
                "proxy-env-breaks-ollama-cli",
                "life",
                (Sign.SERVER_HTTP_PROXY, (Sign.SERVER_UNHEALTHY, Sign.SERVER_HEALTH_PROXY)),
                "{service} has {proxy_variable}, and its own healthcheck goes through that proxy",
                "Except 0.0.0.0 and loopback, or give it HTTPS_PROXY only.",
                ("environment: {{NO_PROXY: 'localhost,127.0.0.1,0.0.0.0', no_proxy: 'localhost,127.0.0.1,0.0.0.0'}}",),
                scope="server",
                fix="server-no-proxy",
            ),
            Cause(
                "proxy-env-breaks-ollama-cli",
                "advice",
                (Sign.SERVER_HTTP_PROXY,),
                "{service} has {proxy_variable}, and its own command line goes through that proxy",
                "Except 0.0.0.0 and loopback, or give it HTTPS_PROXY only.",
                ("environment: {{NO_PROXY: 'localhost,127.0.0.1,0.0.0.0'}}",),
                severity="warning",
                scope="server",
                fix="server-no-proxy",
                without=(Sign.SERVER_UNHEALTHY,),
            ),
            Cause(
                "selinux-volume-denied",
                "life",
                (Sign.TARGET_DOWN, Sign.LOG_PERMISSION, Sign.ENGINE_SELINUX),
                "SELinux keeps the container from its mount",
                "Label the mount.",
                ("volumes: [./data:/root/.ollama:Z]",),
            ),
            Cause(
                "container-name-conflict",
                "life",
                (Sign.NAME_TAKEN,),
                "{service} cannot be made: the container name {name} is taken",
                "Remove the other container, or drop container_name.",
                ("docker rm {rival}", "container_name: !reset null"),
                scope="project",
                fix="no-container-name",
            ),
            Cause(
                "external-network-missing",
                "life",
                (Sign.NETWORK_EXTERNAL_MISSING,),
                "{service} cannot be made: the network {network} is not there",
                "Create it.",
                ("docker network create {network}",),
                scope="project",
                fix="create-network",
            ),
            Cause(
                "subnet-pool-overlap",
                "life",
                (Sign.NETWORK_SUBNET_TAKEN,),
                "{service} cannot be made: {subnet} is taken by the network {rival}",
                "Take another subnet.",
                ("networks:", "  default: {{ipam: !reset null}}"),
                scope="project",
                fix="no-ipam",
            ),
            Cause(
                "address-pools-exhausted",
                "life",
                (Sign.POOLS_EXHAUSTED,),
                "{service} cannot be made: no subnet is left for its network",
                "Remove networks that nobody uses.",
                (
                    "docker network prune",
                    'daemon.json: "default-address-pools": [{{"base": "10.200.0.0/16", "size": 24}}]',
                ),
                scope="project",
            ),
            Cause(
                "image-pull-fails",
                "life",
                (Sign.IMAGE_ABSENT, Sign.REGISTRY_UNREACHABLE),
                "{service} cannot be made: its image {image} is not here, and no registry answers",
                "Load the image, or give the daemon a proxy.",
                ("docker pull {image}", "sudo systemctl edit docker   # [Service] Environment=HTTPS_PROXY=…"),
                scope="project",
            ),
            Cause(
                "snap-docker-confinement",
                "life",
                ((Sign.TARGET_ERROR_MOUNT, Sign.OWN_ERROR_MOUNT, Sign.SERVER_ERROR_MOUNT), Sign.ENGINE_SNAP),
                "Docker is a snap, which may not read that directory",
                "Use Docker's own packages.",
                ("sudo snap remove docker",),
                scope="server",
            ),
        ),
    )
)
