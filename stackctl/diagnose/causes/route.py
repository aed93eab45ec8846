"""Causes on the way: networks, routes, firewalls."""

from stackctl.diagnose.causes.model import Cause

_LAN = "target.lan|target.public"

ROWS = (
    Cause(
        "stale-hosts-entry", "route", ("pin.differs", "connect.bad|tls.bad|answer.foreign|http.silent"),
        "extra_hosts pins {host} to {address}, and the DNS says {dns_address}",
        "Take the entry out, or correct it.", ("extra_hosts:", '  - "{host}:{dns_address}"'), fix="repin",
    ),
    Cause(
        "ipv6-only-answer", "route", ("name.only_v6", "connect.no_network|connect.bad"),
        "{host} has IPv6 addresses only, and {consumer} has no IPv6",
        "Give the name an IPv4 address, or the network IPv6.", ("networks:", "  default: {{enable_ipv6: true}}"),
    ),
    Cause(
        "internal-network", "route", ("net.internal", "connect.no_network"),
        "{consumer} is on internal networks only, and {address} lies outside",
        "Let {consumer} join a network that is not internal as well.",
        ("services:", "  {consumer}:", "    networks: [{network}, default]"), fix="add-egress",
    ),
    Cause(
        "vpn-sidecar-firewall", "route", ("net.shared", "connect.timeout|connect.forbidden|connect.unreachable|connect.refused", "net.vpn|net.tunnel"),
        "{consumer} uses the network of {owner}, whose firewall lets only the tunnel through",
        "Let {owner} pass the local networks.",
        ("# on {owner}:", "FIREWALL_OUTBOUND_SUBNETS=192.168.0.0/16,172.16.0.0/12"),
    ),
    Cause(
        "macvlan-host-unreachable", "route", ("net.macvlan", "target.host", "connect.bad"),
        "{consumer} is on a {driver} network: from there its own host cannot be reached",
        "Give the service a bridge network as well, or the host a macvlan of its own.",
        ("services:", "  {consumer}:", "    networks: [{network}, default]"), fix="add-egress",
    ),
    Cause(
        "subnet-overlap", "route", ("address.in_docker_subnet", "connect.timeout|connect.unreachable.slow"),
        "{address} lies in {subnet}, which the Docker network {overlap} has taken",
        "Give that network another subnet, and recreate it.",
        ("networks:", "  {overlap}:", "    ipam: {{config: [{{subnet: 10.210.0.0/24}}]}}"),
    ),
    Cause(
        "cross-network-ip", "route", ("address.other_network", "connect.timeout|connect.bad"),
        "{address} is the address of {target_container} on {target_network}, which {consumer} is not on",
        "Join that network, and use the name.", ("environment:", "  {variable}: {target_url}"),
        without=("net.host",), fix="join-and-name",
    ),
    Cause(
        "ip-forward-disabled", "route", (_LAN, "connect.timeout|connect.bad", "host.no_forward"),
        "the host forwards nothing (net.ipv4.ip_forward = 0)",
        "Switch it on, for good.",
        ("sudo sysctl -w net.ipv4.ip_forward=1", "echo net.ipv4.ip_forward=1 | sudo tee /etc/sysctl.d/99-docker-forward.conf"),
        without=("net.host",),
    ),
    Cause(
        "daemon-iptables-false", "route", (_LAN, "connect.timeout|connect.bad", "daemon.no_iptables", "host.try_ok|host.unseen"),
        'the daemon runs with "iptables": false: what containers send out is not masqueraded',
        "Remove the setting, or masquerade yourself.",
        ("sudo sed -i '/\"iptables\"/d' /etc/docker/daemon.json", "sudo systemctl restart docker"), without=("net.host",),
    ),
    Cause(
        "firewall-reload-wiped-docker-rules", "route", (_LAN, "connect.timeout|connect.bad", "rules.no_masquerade", "host.try_ok"),
        "Docker's rules are gone from the host: something flushed them",
        "Let Docker write them again, and order the firewall before it.", ("sudo systemctl restart docker",),
        without=("net.host", "daemon.no_iptables"),
    ),
    Cause(
        "published-port-blocked-from-containers", "connect", ("target.host", "host.published", "connect.timeout|connect.unreachable.fast"),
        "{target_container} publishes {port}, and the host's firewall keeps containers from it",
        "Share a network and use the name, without the way through the host.",
        ("environment:", "  {variable}: {target_url}"), without=("host.published_loopback",), evidence=("rules.block",), fix="join-and-name",
    ),
    Cause(
        "firewall-allows-docker0-only", "connect", ("target.host", "connect.timeout", "host.listens", "bridge.ok"),
        "the host's firewall lets docker0 in, and not the network of {consumer}",
        "Allow the network of this project as well.", ("sudo ufw allow in from {own_subnet} to any port {port} proto tcp",),
        evidence=("rules.block", "rules.docker0_only"),
    ),
    Cause(
        "host-firewall-drops-bridge", "connect", ("target.host", "connect.timeout", "host.listens"),
        "the host listens, and its firewall drops what comes from the containers",
        "Allow the network of this project, never more.", ("sudo ufw allow in from {own_subnet} to any port {port} proto tcp",),
        without=("bridge.ok", "host.published"), evidence=("rules.block", "rules.ufw"),
    ),
    Cause(
        "firewall-rejects-ehostunreach", "connect", ("target.host", "connect.unreachable.fast|connect.forbidden"),
        "a firewall of the host refuses {address}:{port} with an ICMP message",
        "Open the port for Docker's zone.",
        ("sudo firewall-cmd --permanent --zone=docker --add-port={port}/tcp", "sudo firewall-cmd --reload"),
        evidence=("rules.block", "rules.firewalld", "host.listens"),
    ),
    Cause(
        "firewall-rejects-ehostunreach", "connect", ("target.host", "connect.refused|connect.no_network", "host.listens", "rules.block"),
        "the host listens, and a rule of its firewall answers with a refusal",
        "Open the port for the network of this project.",
        ("sudo firewall-cmd --permanent --zone=docker --add-port={port}/tcp", "sudo firewall-cmd --reload"),
        without=("host.v6_only", "net.internal"),
    ),
    Cause(
        "firewall-rejects-ehostunreach", "connect", (_LAN, "connect.unreachable.fast"),
        "a firewall on the way refuses {address}:{port} with an ICMP message",
        "Open {port}/tcp on the machine {host}.", ("sudo firewall-cmd --permanent --add-port={port}/tcp",), without=("net.host",),
    ),
    Cause(
        "wsl2-windows-host", "connect", ("engine.wsl", "connect.bad", "target.host|url.host_alias"),
        "Docker runs in WSL2, and host-gateway is the WSL machine, not Windows",
        "Let Ollama on Windows listen on 0.0.0.0, and let it through for vEthernet (WSL).",
        ("ip route show default   # in WSL: the address of Windows",),
    ),
    Cause(
        "docker-desktop-vm", "connect", ("engine.desktop", "net.host", "connect.bad"),
        "with Docker Desktop the host's network is that of its virtual machine",
        "Use host.docker.internal, off the host's network.", ("environment:", "  {variable}: http://host.docker.internal:{port}"),
    ),
    Cause(
        "rootless-host-loopback", "connect", ("engine.rootless", "target.host|url.host_alias", "connect.bad"),
        "with rootless Docker, host-gateway is not the host",
        "Use the host's address in the LAN, or let rootlesskit pass the loopback.",
        ("DOCKERD_ROOTLESS_ROOTLESSKIT_DISABLE_HOST_LOOPBACK=false",),
    ),
    Cause(
        "remote-docker-context", "connect", ("engine.remote", "url.host_alias|net.host|target.host", "connect.bad"),
        "the engine is on another machine: {host} means that one",
        "Use the right context, or the address of the machine that runs Ollama.", ("docker context ls", "docker context use default"),
    ),
    Cause(
        "lan-server-off", "connect", (_LAN, "connect.unreachable.slow", "host.neighbour_down|host.try_ehostunreach"),
        "nobody answers at {address}: the machine is off, asleep, or has another address",
        "Wake it, or correct the address.", ("ping -c1 {address}", "ip neigh show {address}"),
        without=("address.in_docker_subnet",), evidence=("host.try_bad",),
    ),
    Cause(
        "lan-server-off", "connect", (_LAN + "|target.docker", "connect.unreachable.slow"),
        "nobody answers at {address}: the machine is off, asleep, or has another address",
        "Wake it, or correct the address.", ("ping -c1 {address}",), without=("address.in_docker_subnet",),
    ),
    Cause(
        "lan-server-firewall", "connect", (_LAN, "connect.timeout", "host.try_timeout"),
        "{address} lets nothing through to port {port}, from the host neither",
        "Open {port}/tcp for the LAN on that machine.",
        ("sudo ufw allow from <this LAN> to any port {port} proto tcp   # on {host}", "stackctl host-setup ufw"),
        without=("address.in_docker_subnet",), evidence=("host.try_bad", "host.neighbour_up"),
    ),
    Cause(
        "lan-server-firewall", "connect", (_LAN, "connect.timeout"),
        "{address}:{port} gives no answer at all",
        "Open {port}/tcp for the LAN on that machine.", ("sudo ufw allow from <this LAN> to any port {port} proto tcp   # on {host}",),
        without=("address.in_docker_subnet", "host.try_ok"), also=("lan-server-off", "firewall-reload-wiped-docker-rules"),
        decide="curl -m 5 http://{address}:{port}/api/version   # on the engine's host",
    ),
    Cause(
        "firewall-reload-wiped-docker-rules", "connect", (_LAN, "connect.timeout", "host.try_ok"),
        "the host reaches {address}:{port}, its containers do not",
        "Let Docker write its rules again.", ("sudo iptables -t nat -S POSTROUTING | grep MASQUERADE", "sudo systemctl restart docker"),
        also=("daemon-iptables-false", "ip-forward-disabled"), decide="sudo iptables -t nat -S POSTROUTING; sysctl net.ipv4.ip_forward",
    ),
    Cause(
        "host-firewall-drops-bridge", "connect", ("target.host", "connect.timeout"),
        "the host drops what comes from the containers to port {port}",
        "Allow the network of this project.", ("sudo ufw allow in from {own_subnet} to any port {port} proto tcp",),
        without=("bridge.ok", "host.published"), also=("firewall-allows-docker0-only",), decide="sudo iptables -L INPUT -nv | grep {port}",
    ),
    Cause(
        "mtu-blackhole", "http", ("large.stalls",),
        "small requests pass, large ones vanish: the path takes smaller packets than the container sends",
        "Give the network a smaller MTU, and recreate it.",
        ("networks:", "  default:", "    driver_opts: {{com.docker.network.driver.mtu: '1400'}}"), evidence=("mtu.larger",),
    ),
    Cause(
        "dual-stack-host-gateway", "advice", ("url.host_alias", "v6.first_fails"),
        "host.docker.internal is an IPv6 address first, where Ollama does not listen; clients without fallback fail",
        "Let Ollama listen on both, or pin the IPv4 address.", ("extra_hosts:", '  - "host.docker.internal:{v4}"'),
        fix="pin-v4", severity="warning",
    ),
)
