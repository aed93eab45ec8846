"""The engine ends and starts again with nobody there: an engine of its own, which may be stopped."""

from __future__ import annotations

from pathlib import Path

from bench.chaos_engine import ADDRESS, private_engine
from tests.support.gatewaylab import IMAGE, eventually
from tests.support.project import MODEL, backend, docker, ollama, project

TOKEN = "token-that-outlives-the-engine"


def test_the_gateway_comes_back_by_itself_tokens_and_all(tmp_path: Path) -> None:
    with private_engine(IMAGE) as engine, project(tmp_path / "project", "reboot") as stack:
        environment = {"OLLAMA_DOUBLE_NAME": "box", "OLLAMA_DOUBLE_MODELS": MODEL, "OLLAMA_DOUBLE_BEARER": TOKEN}
        box = ollama(environment=environment, volumes=[], ports=[f"{ADDRESS}:11999:11434"])
        stack.compose({"box": box, "backend": backend()})
        stack.config(
            gateway={"image": IMAGE},
            instances={"box": {"url": f"http://{ADDRESS}:11999", "auth": {"bearer": "${BOX_TOKEN}"}}},
        )
        stack.env["BOX_TOKEN"] = TOKEN
        docker("compose", "--project-directory", str(stack.directory), "up", "-d", "box")
        stack.stackctl("up", "box").ok()
        assert "This is box," in stack.chat()["text"]
        engine.stop()
        engine.start()
        eventually(lambda: stack.running() == {"stackctl-gateway"})
        assert TOKEN not in docker("inspect", stack.containers()["stackctl-gateway"]["Id"])
        docker("start", *(stack.containers()[service]["Id"] for service in ("box", "backend")))
        eventually(lambda: "This is box," in stack.chat()["text"], seconds=30)
