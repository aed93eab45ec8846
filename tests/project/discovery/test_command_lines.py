"""Consumers that are told on their command line: in a flag, in two, or in a script."""

from __future__ import annotations

from tests.project.discovery.conftest import Find, told


def test_a_flag_on_the_command_line(find: Find) -> None:
    findings = find(
        """\
services:
  a: {image: x, command: ["serve", "--ollama-url", "http://ollama:11434"]}
  b: {image: x, entrypoint: ["/run", "--backend=http://ollama:11434/v1"]}
  c: {image: x, command: "--listen 0.0.0.0:11434"}
""",
        server=True,
    )
    assert told(findings) == {"a": {"command:--ollama-url": "{url}"}, "b": {"entrypoint:--backend": "{url}/v1"}}
    assert [c.arguments for c in findings.consumers] == [
        (("command", ("serve", "--ollama-url", "{url}")),),
        (("entrypoint", ("/run", "--backend={url}/v1")),),
    ]
    assert all(c.switchable for c in findings.consumers)


def test_host_and_port_in_two_flags(find: Find) -> None:
    findings = find(
        """\
services:
  a: {image: x, command: ["--ollama-host", "ollama", "--ollama-port", "11434"]}
  b: {image: x, command: ["serve", "--port=11434", "--host=ollama"]}
  c: {image: x, command: ["--host", "0.0.0.0", "--port", "11434"]}
  d: {image: x, command: ["--ollama-host", "ollama"]}
  e: {image: x, command: ["--host", "db", "--port", "5432"]}
  f: {image: x, hostname: ollama-proxy, command: ["--host", "f", "--port", "11434"]}
""",
        server=True,
    )
    assert told(findings) == {
        "a": {"command:--ollama-host": "{host}", "command:--ollama-port": "{port}"},
        "b": {"command:--host": "{host}", "command:--port": "{port}"},
    }
    assert [c.arguments for c in findings.consumers] == [
        (("command", ("--ollama-host", "{host}", "--ollama-port", "{port}")),),
        (("command", ("serve", "--port={port}", "--host={host}")),),
    ]


def test_a_script_with_a_word_in_braces_cannot_be_a_template(find: Find) -> None:
    findings = find(
        """\
services:
  a: {image: x, command: [sh, -c, "cat list | xargs -I{} curl http://ollama:11434/api/show -d {}"]}
""",
        server=True,
    )
    assert told(findings) == {"a": {"command:": None}}
    assert findings.consumers[0].reason == (
        "the command holds a word in braces of its own, which would read as a placeholder"
    )


def test_a_script_with_json_and_variables_of_the_shell_is_a_template(find: Find) -> None:
    findings = find(
        """\
services:
  a: {image: x, command: [sh, -c, "curl http://ollama:11434/api/show -d '{\\"model\\": \\"$${MODEL}\\"}'"]}
""",
        server=True,
    )
    assert findings.consumers[0].arguments == (
        ("command", ("sh", "-c", 'curl {url}/api/show -d \'{"model": "$${MODEL}"}\'')),
    )
