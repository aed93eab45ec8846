"""Causes in the API and its models."""

from stackctl.diagnose.causes.model import Cause

ROWS = (
    Cause(
        "different-instance-or-store", "model", ("model.missing", "model.elsewhere"),
        "{model} is not at {url}, and another Ollama of this machine ({other}) has it",
        "Use that one, or one store for both.", ("environment:", "  {variable}: http://host.docker.internal:11434"),
    ),
    Cause(
        "models-lost-new-volume", "model", ("models.none", "store.other_volume"),
        "{target_container} has no models, and the volume {volume} of another project is there",
        "Name the volume that holds them.", ("volumes:", "  ollama_data: {{name: {volume}, external: true}}"),
    ),
    Cause(
        "model-name-mismatch", "model", ("model.missing", "model.near"),
        "{model} is not there under this name; {near} is",
        "Use the exact name.", ("ollama cp {near} {model}   # or: the exact name in the setting",), fix="model-name",
    ),
    Cause(
        "pull-needs-newer-ollama", "model", ("model.missing", "log.needs_newer"),
        "{model} was not pulled: it requires a newer Ollama",
        "Update the server.", ("{compose} pull {target_service}", "{compose} up -d {target_service}"), evidence=("log.needs_newer",),
    ),
    Cause(
        "pull-model-name-typo", "model", ("model.missing", "log.pull_typo"),
        "{model} was not pulled: the library has no such name",
        "Correct it.", ("https://ollama.com/library",), evidence=("log.pull_typo",),
    ),
    Cause(
        "pull-dns-failure", "model", ("model.missing", "log.pull_dns"),
        "{model} was not pulled: the server cannot resolve registry.ollama.ai",
        "Give it a resolver.", ("services:", "  {target_service}:", "    dns: [<a resolver that answers here>]"), evidence=("log.pull_dns",),
    ),
    Cause(
        "tls-interception", "model", ("model.missing", "log.interception"),
        "{model} was not pulled: something re-signs TLS on the way, with a CA that the image lacks",
        "Mount that CA.", ("volumes: [/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro]",), evidence=("log.interception",),
    ),
    Cause(
        "disk-full", "model", ("model.missing", "log.disk|store.full"),
        "{model} was not pulled: the disk is full",
        "Make room, or move the volume.", ("docker system df",), evidence=("log.disk", "store.full"),
    ),
    Cause(
        "pull-egress-blocked", "model", ("model.missing", "log.pull_blocked"),
        "{model} was not pulled: the way to the registry is blocked",
        "Give the server an HTTPS_PROXY.", ("environment: {{HTTPS_PROXY: 'http://<proxy>:3128'}}",), evidence=("log.pull_blocked",),
    ),
    Cause(
        "blob-digest-mismatch", "model", ("model.missing", "log.digest"),
        "{model} was not pulled: a part of it is damaged",
        "Pull again.", ("docker exec {target_container} ollama pull {model}",), evidence=("log.digest",),
    ),
    Cause(
        "empty-identity-key", "model", ("model.missing", "log.empty_key"),
        "{model} was not pulled: the server's key file is empty",
        "Remove it, the server makes a new one.", ("docker exec {target_container} rm /root/.ollama/id_ed25519", "{compose} restart {target_service}"),
        evidence=("log.empty_key",),
    ),
    Cause(
        "pull-interrupted", "model", ("model.missing", "log.pull_interrupted"),
        "the pull of {model} broke off",
        "Pull again: it goes on where it was.", ("stackctl models pull {model}",), evidence=("log.pull_interrupted",),
    ),
    Cause(
        "model-not-pulled", "model", ("model.missing",),
        "{model} is not on the Ollama at {url}",
        "Pull it.", ("stackctl models pull {model}", "docker exec {target_container} ollama pull {model}"), fix="pull-model",
    ),
    Cause(
        "capability-mismatch-400", "model", ("model.cannot",),
        "{model} cannot complete text, and it is the model that {consumer} is to use",
        "Pick a model that can.", ("stackctl models list",),
    ),
    Cause(
        "insufficient-system-memory", "load", ("text.memory",),
        "the model needs more memory than there is",
        "Take a smaller one, or a smaller context.", ("environment: {{OLLAMA_CONTEXT_LENGTH: '4096'}}",), evidence=("generate.error",),
    ),
    Cause(
        "vram-oom", "load", ("text.vram",),
        "the GPU's memory is full",
        "Load less at once.", ("environment: {{OLLAMA_MAX_LOADED_MODELS: '1', OLLAMA_NUM_PARALLEL: '1'}}",), evidence=("generate.error",), fix="less-vram",
    ),
    Cause(
        "old-server-unknown-architecture", "load", ("text.architecture",),
        "this Ollama is too old for the model",
        "Update it.", ("{compose} pull {target_service}", "{compose} up -d {target_service}"), evidence=("generate.error",),
    ),
    Cause(
        "capability-mismatch-400", "load", ("text.capability",),
        "the model cannot do what is asked of it", "Pick one that can.", ("stackctl models show {model}",), evidence=("generate.error",),
    ),
    Cause(
        "cpu-illegal-instruction", "load", ("text.illegal",), "the CPU lacks an instruction that the runner needs",
        "Give the virtual machine the host's CPU type.", ("grep -o avx /proc/cpuinfo | head -1",),
    ),
    Cause(
        "container-oom-killed", "load", ("text.killed",), "the model's runner was killed for want of memory",
        "Raise the limit, or take a smaller model.", ("docker stats --no-stream {target_container}",),
    ),
    Cause(
        "error-inside-200-stream", "load", ("generate.error_in_stream",),
        "the answer begins with 200 and ends in an error",
        "See to the error; clients must read every line.", (), evidence=("generate.error",),
    ),
    Cause(
        "keep-alive-unload", "advice", ("server.keep_alive_0|generate.cold",),
        "the model is unloaded when idle, and each call after that waits for the load",
        "Keep it loaded.", ("environment: {{OLLAMA_KEEP_ALIVE: '-1'}}",), severity="warning", fix="keep-alive",
    ),
    Cause(
        "keep-alive-unload", "advice", ("server.keep_alive_0",),
        "{service} unloads its model after every call",
        "Keep it loaded.", ("environment: {{OLLAMA_KEEP_ALIVE: '-1'}}",), severity="warning", scope="server", fix="keep-alive",
    ),
    Cause(
        "v1-ignores-num-ctx", "advice", ("v1.num_ctx",),
        "{ctx_variable} has no effect through /v1",
        "Set the context on the server.", ("environment: {{OLLAMA_CONTEXT_LENGTH: '8192'}}",), severity="warning", fix="context-length",
    ),
    Cause(
        "context-truncated", "advice", ("log.truncated",),
        "prompts are longer than the context, and lose their middle",
        "Give the server a longer context.", ("environment: {{OLLAMA_CONTEXT_LENGTH: '16384'}}",), severity="warning", scope="server", fix="context-length",
    ),
    Cause(
        "client-aborts-cold-load", "advice", ("log.client_left",),
        "a client of {service} left before the model was loaded", "Raise its time-out, or keep the model loaded.",
        ("environment: {{OLLAMA_KEEP_ALIVE: '-1'}}",), severity="warning", scope="server", fix="keep-alive",
    ),
    Cause(
        "client-5min-timeout", "advice", ("log.five_minutes",),
        "clients of {service} give up after five minutes", "Stream, or raise the app's time-out.", ("stream: true",),
        severity="warning", scope="server",
    ),
    *(
        Cause(cause, "advice", (sign,), summary, remedy, commands, severity="warning", scope="server", fix=fix)
        for cause, sign, summary, remedy, commands, fix in (
            ("pull-needs-newer-ollama", "log.needs_newer", "a model requires a newer Ollama than {service} is", "Update it.",
             ("{compose} pull {service}", "{compose} up -d {service}"), ""),
            ("old-server-unknown-architecture", "log.architecture", "{service} is too old for one of its models", "Update it.",
             ("{compose} pull {service}", "{compose} up -d {service}"), ""),
            ("pull-interrupted", "log.pull_interrupted", "a pull of {service} broke off", "Pull again.", ("stackctl models pull <model>",), ""),
            ("pull-dns-failure", "log.pull_dns", "{service} cannot resolve the registry", "Give it a resolver.", ("dns: [<resolver>]",), ""),
            ("pull-egress-blocked", "log.pull_blocked", "the way from {service} to the registry is blocked", "Give it an HTTPS_PROXY.",
             ("environment: {{HTTPS_PROXY: 'http://<proxy>:3128'}}",), ""),
            ("pull-model-name-typo", "log.pull_typo", "a model asked of {service} does not exist", "Correct the name.", ("https://ollama.com/library",), ""),
            ("empty-identity-key", "log.empty_key", "the key file of {service} is empty", "Remove it.", ("docker exec {target_container} rm /root/.ollama/id_ed25519",), ""),
            ("blob-digest-mismatch", "log.digest", "a part of a model of {service} is damaged", "Pull again.", ("stackctl models pull <model>",), ""),
            ("tls-interception", "log.interception", "something re-signs TLS between {service} and the registry", "Mount its CA.",
             ("volumes: [/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro]",), ""),
            ("capability-mismatch-400", "log.capability", "a client asks a model for what it cannot do", "Pick one that can.", ("stackctl models list",), ""),
            ("queue-full-503", "log.busy", "the queue of {service} was full", "Let it serve more at once.", ("environment: {{OLLAMA_MAX_QUEUE: '1024'}}",), ""),
        )
    ),
)
