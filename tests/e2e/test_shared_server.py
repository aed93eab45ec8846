"""One Ollama for several projects: the standalone stack of the repository, joined by a network."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli import ROOT
from tests.support.project import OLLAMA, Project, backend, docker, ollama, project


def test_two_projects_use_one_server(stack: Project, tmp_path: Path) -> None:
    with project(tmp_path / "server", "shared") as server:
        # Under names of its own, so that a real one on this machine is left alone.
        text = (ROOT / "compose" / "docker-compose.ollama.yml").read_text()
        text = text.replace("name: shared-ollama-models", f"name: {server.name}-models")
        text = text.replace("name: shared-ollama\n", f"name: {server.name}\n")
        text = text.replace("name: ollama-net", f"name: {server.name}-net")
        assert text.count(server.name) == 3
        server.write("compose.yaml", text)
        server.write(".env", f"OLLAMA_IMAGE={OLLAMA}\n")
        docker("compose", "--project-directory", str(server.directory), "up", "--detach", "--wait")
        server.exec("ollama", "ollama", "pull", "llama3.2:1b")
        answers = server.containers()["ollama"]["Config"]["Hostname"]

        with project(tmp_path / "second", "e2e") as second:
            for number, one in enumerate((stack, second)):
                # The second has a server of its own, of the same name, that is switched off.
                own = {"ollama": {**ollama(), "volumes": []}} if number else {}
                one.compose({"backend": backend(), **own})
                one.config(
                    models=["llama3.2:1b"],
                    instances={"shared": {"url": "http://ollama:11434"}},
                    network={"shared": f"{server.name}-net"},
                )
                one.stackctl("up", "shared").ok()
                assert set(one.containers()) == {"backend"}
                assert f"This is {answers}" in one.chat()["text"]
                one.stackctl("detach").ok()
                assert docker("network", "ls", "--quiet", "--filter", f"name={server.name}-net").strip()
                one.clean()
