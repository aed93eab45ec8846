"""Causes in HTTP: proxies on either side, paths, authentication, time-outs."""

from stackctl.diagnose.causes.model import Cause

_NO_PROXY = ("environment:", "  NO_PROXY: localhost,127.0.0.1,{host}", "  no_proxy: localhost,127.0.0.1,{host}")

ROWS = (
    Cause(
        "app-ssrf-filter-blocks-private-ip", "proxy", ("proxy.denies", "proxy.ssrf"),
        "the app's proxy against SSRF ({proxy}) denies {host}",
        "Allow the address in its squid.conf, or in the app's setting.", ("acl ollama dst {address}", "http_access allow ollama"),
    ),
    Cause(
        "loopback-proxy-in-container", "proxy", ("proxy.applies", "proxy.loopback"),
        "{proxy_variable} of {consumer} is a loopback address: in a container that is the container itself",
        "Blank it for this service, or use host.docker.internal.", ("environment:", "  {proxy_variable}: ''"),
        without=("proxy.works",), fix="no-proxy",
    ),
    Cause(
        "docker-cli-injects-proxies", "proxy", ("proxy.applies", "proxy.injected", "proxy.fails"),
        "the Docker client's config.json puts {proxy_variable} into {consumer}, and the proxy keeps it from {host}",
        "Extend its noProxy, or blank the proxies for this service.", _NO_PROXY, fix="no-proxy",
    ),
    Cause(
        "no-proxy-pattern-ineffective", "proxy", ("proxy.applies", "proxy.near_miss", "proxy.fails"),
        "NO_PROXY lists {near_miss}, which most clients do not take for {host}",
        "List exact names and exact addresses.", _NO_PROXY, fix="no-proxy",
    ),
    Cause(
        "http-proxy-captures-ollama", "proxy", ("proxy.applies", "proxy.fails"),
        "{proxy_variable} sends the calls of {consumer} for {host} through {proxy}",
        "List {host} in NO_PROXY, upper and lower case.", _NO_PROXY, fix="no-proxy",
    ),
    Cause(
        "host-header-403", "http", ("status.403", "403.empty", "403.host"),
        "Ollama listens on loopback and refuses the Host name {host}; with `Host: localhost` it answers",
        "Let the proxy in front send `Host: localhost:11434`, or let Ollama listen on all addresses.",
        ("proxy_set_header Host localhost:11434;   # nginx", "header_up Host localhost:11434   # caddy"),
    ),
    Cause(
        "cors-origin-403", "http", ("access.403|client.403|client.browser", "api.ok", "origin.refused|access.403"),
        "Ollama refuses the Origin that {consumer} sends; without it the same request is answered",
        "Allow the origin.", ("services:", "  {target_service}:", "    environment: {{OLLAMA_ORIGINS: '{origin_header}'}}"), fix="origins",
    ),
    Cause(
        "cors-origin-403", "http", ("status.403", "403.empty"),
        "403 with an empty body: Ollama refuses the Origin or the Host name",
        "Allow the origin, or see to the Host header.", ("OLLAMA_ORIGINS=<origin>",), also=("host-header-403",),
        decide="curl -i -H 'Host: localhost:11434' {url}/api/version", without=("403.host",),
    ),
    Cause(
        "cloud-model-unauthorized", "api", ("401.cloud",),
        "the model is one of the cloud, and this server is not signed in",
        "Sign in, with /root/.ollama kept in a volume.", ("docker exec -it {target_container} ollama signin",),
    ),
    Cause(
        "basic-auth-in-url-dropped", "http", ("401.challenge|401.bare", "url.userinfo", "401.userinfo_works"),
        "the user and password in {variable} are dropped by the client: 401 without them, 200 with them",
        "Hand them over as a header.", ("# in stackctl.yaml:", "auth: {{basic: {{user: …, password: '${{…}}'}}}}", "gateway: true"),
    ),
    Cause(
        "auth-required-401", "http", ("401.challenge|401.bare",),
        "{host} wants credentials ({scheme}), and none (or wrong ones) were sent",
        "Give the instance its token.", ("# in stackctl.yaml:", "auth: {{bearer: '${{OLLAMA_TOKEN}}'}}"), without=("401.cloud",),
    ),
    Cause(
        "http-to-https-redirect-breaks-post", "http", ("redirect.https",),
        "{host} redirects to {location}: a POST becomes a GET on the way",
        "Write https.", ("environment:", "  {variable}: {https_url}"), fix="set-https",
    ),
    Cause(
        "stale-resolved-ip-in-proxy", "http", ("gateway.error", "upstream.stale"),
        "{target_container} still sends to {upstream}, an address that Ollama had before",
        "Let nginx resolve anew, or reload it.",
        ("resolver 127.0.0.11 valid=10s; set $u http://ollama:11434; proxy_pass $u;", "docker exec {target_container} nginx -s reload"),
        fix="restart-target",
    ),
    Cause(
        "cdn-100s-524", "http", ("status.524|generate.524|client.524",),
        "the CDN in front gave up after about 100 s (524)",
        "Stream, or take the CDN out of the way of the API.", (), evidence=("status.524",),
    ),
    Cause(
        "proxy-read-timeout-504", "http", ("status.504|generate.504|client.504",),
        "the proxy in front gave up before Ollama answered (504)",
        "Give it more time.", ("proxy_read_timeout 600s;   # nginx", "transport http {{ response_header_timeout 600s }}   # caddy"),
        evidence=("gateway.error",),
    ),
    Cause(
        "proxy-upstream-down-502", "http", ("status.502|status.503", "gateway.error"),
        "the proxy at {host} answers, and cannot reach the Ollama behind it",
        "Look from the proxy: its upstream's name, port and address.",
        ("docker exec {target_container} getent hosts ollama", "{compose} logs --tail 20 {target_service}"), evidence=("upstream.down",),
    ),
    Cause(
        "queue-full-503", "api", ("503.busy|log.busy", "503.busy"),
        "Ollama's queue is full",
        "Let it serve more at once, or send less.", ("environment: {{OLLAMA_MAX_QUEUE: '1024', OLLAMA_NUM_PARALLEL: '4'}}",),
    ),
    Cause(
        "body-too-large-413", "http", ("status.413|client.413",),
        "the proxy in front takes no large requests (413)",
        "Raise its limit.", ("client_max_body_size 100m;   # nginx",), evidence=("client.413",),
    ),
    Cause(
        "reverse-proxy-400", "http", ("400.html",),
        "the proxy in front answers 400 itself",
        "Give it a minimal configuration.", ("proxy_http_version 1.1;", "proxy_set_header Host $host;"), without=("plain.tls_answers",),
    ),
    Cause(
        "openai-client-without-v1", "http", ("url.openai_bare", "root.ollama|api.version"),
        "{variable} is for an OpenAI client, which needs the base to end in /v1",
        "Add it.", ("environment:", "  {variable}: {v1_url}"), without=("template.bare",), fix="set-v1",
    ),
    Cause(
        "v1-suffix-on-native-client", "http", ("url.v1|url.api", "client.native", "root.ollama|api.version"),
        "{variable} ends in {suffix}, and the client appends /api/… to it",
        "Give the origin only.", ("environment:", "  {variable}: {good}"), without=("template.v1",), fix="set-url",
    ),
    Cause(
        "trailing-slash-405", "http", ("url.slash", "slash.redirects"),
        "{variable} ends in a slash: `//api/chat` is redirected, and the POST becomes a GET",
        "Take the slash away.", ("environment:", "  {variable}: {bare_root}"), fix="set-url",
    ),
    Cause(
        "client-drops-path-prefix", "http", ("url.prefix", "log.prefix_lost"),
        "{variable} has a path, and the client drops it: it asks for /api/… at the root",
        "Give Ollama a host name or a port of its own.", ("stackctl host-setup caddy",),
    ),
    Cause(
        "client-drops-path-prefix", "http", ("url.prefix", "status.404", "origin.ollama"),
        "{variable} has a path that the server does not know; at the root Ollama answers",
        "Take the path away.", ("environment:", "  {variable}: {origin}"), fix="set-origin",
    ),
    Cause(
        "reverse-proxy-vhost-404", "http", ("status.404", "404.not_ollama", "server.gateway|404.route|target.lan|target.public|answer.html"),
        "what answers for {host} is a proxy that knows no such site ({server})",
        "Add the name to its configuration.", ("server_name {host};   # nginx", "Host(`{host}`)   # traefik"),
        without=("answer.html.200",),
    ),
    Cause(
        "endpoint-missing-in-old-version", "api", ("route.missing",),
        "Ollama {version} does not know an endpoint that clients use",
        "Update it.", ("{compose} pull {target_service}", "{compose} up -d {target_service}"),
    ),
    Cause(
        "wrong-service-answers", "http", ("answer.foreign|404.not_ollama|answer.html|http.garbage",),
        "something else answers at {host}:{port}, not Ollama",
        "Use the right host and port.", ("environment:", "  {variable}: {good}"), without=("root.ollama",), fix="set-good",
    ),
    Cause(
        "url-port-omitted-or-80", "http", ("url.port_omitted", "port.standard_open"),
        "{variable} names no port, so {port} is meant; Ollama answers on 11434",
        "Write the port.", ("environment:", "  {variable}: {with_port}"), fix="set-port",
    ),
    Cause(
        "client-aborts-cold-load", "http", ("http.silent", "log.client_left"),
        "the server takes longer to answer than its clients wait",
        "Wait longer, or load the model beforehand.", ("OLLAMA_KEEP_ALIVE=-1",),
    ),
    Cause(
        "startup-race", "http", ("http.silent", "target.running"),
        "{host}:{port} accepts, and gives no answer yet: Ollama looks for GPUs before it serves",
        "Wait for its health before {consumer} starts.",
        ("depends_on:", "  {target_service}: {{condition: service_healthy}}"), also=("crash-loop",), decide="{compose} logs --tail 20 {target_service}",
    ),
    Cause(
        "proxy-read-timeout-504", "http", ("http.silent",),
        "{host}:{port} accepts, and gives no answer",
        "Look at the server.", ("curl -m 5 -v {url}/api/version",), also=("mtu-blackhole",), decide="ping -M do -s 1472 {host}",
    ),
    Cause(
        "dead-endpoint-blocks-ui", "config", ("list.one_dead",),
        "one of the addresses in {variable} is dead, and the app waits for it each time",
        "Take it out of the list.", ("environment:", "  {variable}: {alive}", "  AIOHTTP_CLIENT_TIMEOUT_MODEL_LIST: '3'"), fix="drop-dead",
    ),
    Cause(
        "wrong-container-makes-the-call", "advice", ("call.elsewhere",),
        "{caller} makes the calls, not {consumer}, and it is not told the same",
        "Give {caller} the same variables, networks and extra_hosts.", ("services:", "  {caller}: {{extra_hosts: …, networks: …, environment: …}}"),
    ),
    Cause(
        "client-5min-timeout", "advice", ("client.five_minutes|log.five_minutes",),
        "the client gave up after five minutes (Node's headers time-out)",
        "Stream, or raise the app's time-out.", ("stream: true",), severity="warning",
    ),
    Cause(
        "client-aborts-cold-load", "advice", ("log.client_left",),
        "a client left before the model was loaded, and so it never gets loaded",
        "Raise the client's time-out, or load the model beforehand.", ("environment: {{OLLAMA_KEEP_ALIVE: '-1'}}",), severity="warning",
        fix="keep-alive",
    ),
    Cause(
        "proxy-buffers-stream", "advice", ("generate.buffered",),
        "a proxy on the way holds the stream back and hands it over in one piece",
        "Switch its buffering off.", ("proxy_buffering off; proxy_cache off; gzip off; proxy_http_version 1.1;   # nginx",), severity="warning",
    ),
    Cause(
        "startup-race", "advice", ("race", "api.ok"),
        "{consumer} started before {target_container} answered; it holds now, until the next start",
        "Wait for its health.", ("depends_on:", "  {target_service}: {{condition: service_healthy}}"), severity="warning", fix="wait-healthy",
    ),
)
