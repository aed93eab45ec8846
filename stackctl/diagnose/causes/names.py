"""Causes in name resolution."""

from stackctl.diagnose.causes.model import Cause

ROWS = (
    Cause(
        "network-none", "name", ("net.none",),
        "{consumer} has no network at all (network_mode: none)",
        "Give it one.", ("services:", "  {consumer}:", "    networks: [default]"), fix="give-network",
    ),
    Cause(
        "shared-netns-lost", "name", ("shared.gone|shared.restarted", "net.only_lo|name.failed|connect.bad|probe.unable"),
        "{consumer} still holds the old network of {owner}, which was started again or is gone",
        "Recreate {consumer}, and let Compose do so by itself the next time.",
        ("{compose} up -d --force-recreate {consumer}", "depends_on:", "  {owner}: {{condition: service_started, restart: true}}"),
        without=("net.host",), evidence=("net.only_lo",), fix="recreate",
    ),
    Cause(
        "shared-netns-lost", "name", ("net.only_lo",),
        "{consumer} has lost its network: only lo is left",
        "Recreate it.", ("{compose} up -d --force-recreate {consumer}",), without=("net.none", "net.internal"), fix="recreate",
    ),
    Cause(
        "internal-network", "name", ("net.internal", "connect.no_network|name.failed|connect.bad"),
        "{consumer} is on internal networks only, and {host} lies outside",
        "Let {consumer} join a network that is not internal as well.",
        ("services:", "  {consumer}:", "    networks: [{network}, default]"),
        without=("named.elsewhere", "target.container", "named.stopped"), evidence=("route.none",), fix="add-egress",
    ),
    Cause(
        "host-docker-internal-undefined", "name", ("name.failed", "url.host_alias"),
        "host.docker.internal is not defined in {consumer}",
        "On Linux it exists only where extra_hosts names it.",
        ("extra_hosts:", '  - "host.docker.internal:host-gateway"'), without=("name.pinned", "net.host"), fix="host-alias",
    ),
    Cause(
        "default-bridge-no-dns", "name", ("name.failed", "net.default_bridge"),
        "{consumer} is on Docker's default bridge, where containers have no names",
        "Put both on a network of their own.", ("docker network create llm", "docker network connect llm {container}"),
        without=("url.host_alias",),
    ),
    Cause(
        "hostnet-cannot-resolve-services", "name", ("name.failed", "net.host", "named.running|named.service"),
        "{consumer} is on the host's network, where {host} is no name",
        "Publish the port and call 127.0.0.1, or take {consumer} off the host's network.",
        ("environment:", "  {variable}: {host_net_url}"), fix="hostnet",
    ),
    Cause(
        "vpn-sidecar-firewall", "name", ("net.shared", "net.vpn|net.tunnel", "name.failed"),
        "{consumer} uses the network of {owner}, whose resolver does not know {host}",
        "Put a network with Ollama on {owner}, let its DNS keep Docker's, or use an address.",
        ("# on {owner}:", "DNS_KEEP_NAMESERVER=on", "FIREWALL_OUTBOUND_SUBNETS=172.16.0.0/12,192.168.0.0/16"),
    ),
    Cause(
        "profile-disabled-service", "name", ("named.profile_off", "name.failed|probe.unable"),
        "{host} is a service of the profile {profile}, which is off",
        "Switch the profile on.", ("COMPOSE_PROFILES={profile} {compose} up -d {target_service}",), fix="profile-on",
    ),
    Cause(
        "service-on-other-network", "name", ("name.failed", "named.elsewhere"),
        "{target_container} runs, and {consumer} shares no network with it",
        "Put both on one network.",
        ("networks:", "  {target_network}: {{external: true}}", "services:", "  {consumer}:", "    networks: [default, {target_network}]"),
        without=("net.default_bridge", "net.host", "named.on_default_bridge"), fix="join-network",
    ),
    Cause(
        "default-bridge-no-dns", "name", ("name.failed", "named.on_default_bridge"),
        "{target_container} is on Docker's default bridge, which has no name service",
        "Put it on a network of {consumer}.", ("docker network connect {network} {target_container}",),
    ),
    Cause(
        "no-restart-after-reboot", "name", ("named.stopped|connect.bad", "target.since_boot"),
        "{target_container} was not started again after the last start of the machine",
        "Give it a restart policy.", ("{compose} up -d {target_service}", "restart: unless-stopped"), fix="restart-policy",
    ),
    Cause(
        "service-stopped-name-vanishes", "name", ("name.failed", "named.stopped"),
        "{target_container} is {state}, so Docker's DNS does not know {host}",
        "Start it, and read why it stopped.",
        ("{compose} up -d {target_service}", "{compose} logs --tail 50 {target_service}"), evidence=("target.down",), fix="start",
    ),
    Cause(
        "service-stopped-name-vanishes", "name", ("name.failed", "named.never"),
        "the service {host} has no container, so Docker's DNS does not know it",
        "Bring it up.", ("{compose} up -d {target_service}",), without=("named.profile_off",), fix="start",
    ),
    Cause(
        "mdns-local-name", "name", ("name.failed", "url.mdns"),
        "{host} is a name of multicast DNS, which containers do not have",
        "Pin its address, or use a name of the real DNS.",
        ("extra_hosts:", '  - "{host}:{host_address}"'), evidence=("host.resolves",), fix="pin",
    ),
    Cause(
        "tailnet-magicdns", "name", ("name.failed", "url.tailnet"),
        "{host} is a name of a tailnet, which the container's resolver does not know",
        "Use MagicDNS in the service, or the 100.x address.",
        ("dns: [100.100.100.100]", "# or", "extra_hosts:", '  - "{host}:{host_address}"'), evidence=("host.resolves",), fix="pin",
    ),
    Cause(
        "search-domain-wildcard", "name", ("name.foreign", "resolver.search"),
        "{host} is no container here: a wildcard of the search domain {search} answers with {foreign}",
        "Start the service that was meant, and keep search domains out.",
        ("dns_search: [.]", "{compose} up -d {suggestion}"), fix="dns-search",
    ),
    Cause(
        "resolved-split-dns", "name", ("name.failed", "host.resolves", "resolver.stub|resolver.stub_on_host|name.unknown|name.again"),
        "the host resolves {host}, containers do not: Docker asks other servers than the host does",
        "Give the service the resolver that knows the name, or pin the address.",
        ("extra_hosts:", '  - "{host}:{host_address}"', "# or", "dns: [<the resolver of that network>]"),
        without=("name.silent",), fix="pin",
    ),
    Cause(
        "upstream-dns-unreachable", "name", ("name.failed", "name.silent|name.again"),
        "the resolver behind Docker does not answer for {host} ({code})",
        "Give the service (or the daemon) a resolver that answers.",
        ("dns: [<a resolver that answers here>]", "# asked now: {ext_servers}"),
        without=("url.single_label", "route.none"), evidence=("names.of_network_ok", "host.resolves"), fix="pin",
    ),
    Cause(
        "service-name-not-in-project", "name", ("name.failed", "named.nobody"),
        "nothing here is called {host}",
        "Use the name of the service.", ("environment:", "  {variable}: {good}"), fix="set-good",
        without=("url.host_alias",),
    ),
    Cause(
        "upstream-dns-unreachable", "name", ("name.failed", "name.silent"),
        "the resolver behind Docker does not answer for {host}",
        "Give the service a resolver that answers.", ("dns: [<a resolver that answers here>]",), without=("route.none",), fix="pin",
    ),
    Cause(
        "alias-collision", "name", ("name.collision",),
        "{host} is the name of several containers at once: {rivals}",
        "Give yours a name of its own.", ("networks:", "  {network}:", "    aliases: [{project}-ollama]", "environment:", "  {variable}: {unique_url}"),
        evidence=("api.differs",), fix="unique-name",
    ),
)
