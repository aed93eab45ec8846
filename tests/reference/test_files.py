"""The files that a checkout stands on: targets, locks, environments, the reference stack as Compose resolves it."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TARGETS = [
    "setup",
    "demo",
    "demo-down",
    "up",
    "down",
    "switch",
    "diagnose",
    "status",
    "logs",
    "images",
    "check",
    "test",
    "zoo",
    "fuzz",
    "faults",
    "bench",
    "chaos",
    "docs",
    "coverage",
    "wheel",
    "release",
    "lock",
    "clean",
]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def resolved(environment: str, *profiles: str) -> dict:
    """The reference stack as `docker compose config` gives it."""
    files = ["docker-compose.yml", f"docker-compose.{environment}.yml"]
    done = subprocess.run(
        ["docker", "compose", "--env-file", f"env/{environment}.env"]
        + [word for name in files for word in ("-f", f"compose/{name}")]
        + [word for profile in profiles for word in ("--profile", profile)]
        + ["config", "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_make_alone_lists_the_targets():
    told = make()
    assert told.returncode == 0
    listed = re.findall(r"^  ([a-z-]+) +(\S.*)$", told.stdout, re.MULTILINE)
    assert [name for name, _ in listed if name != "help"] == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_is_a_recipe_that_make_accepts(target):
    told = make("--dry-run", target)
    assert told.returncode == 0, told.stderr


def test_switch_without_a_target_says_how():
    told = subprocess.run(
        ["make", "switch", "--assume-old=env"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert told.returncode == 2
    assert "make switch PROFILE=host" in told.stderr


@pytest.mark.parametrize("name", ["dev", "backend"])
def test_a_lock_pins_by_hash_and_names_no_address(name):
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    pins = re.findall(r"^[a-z0-9._-]+==\S+.*$(?:\n    .*)*", text, re.MULTILINE)
    assert pins
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text
    assert not re.findall(r"^--", text, re.MULTILINE)


def test_the_image_runs_the_versions_that_the_tests_run():
    versions = {
        name: dict(
            re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements" / f"{name}.lock").read_text(), re.MULTILINE)
        )
        for name in ("dev", "backend")
    }
    assert versions["backend"].items() <= versions["dev"].items()


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_an_environment_file_holds_no_secret(environment):
    names = re.findall(r"^([A-Z_]+)=", (ROOT / "env" / f"{environment}.env").read_text(), re.MULTILINE)
    assert "OLLAMA_MODEL" in names
    assert not [name for name in names if re.search("TOKEN|SECRET|PASSWORD|KEY", name)]


def test_the_repository_s_own_settings_name_files_that_are_there():
    settings = yaml.safe_load((ROOT / "stackctl.yaml").read_text())
    named = [*settings["compose"]["files"]]
    for environment in settings["environments"].values():
        named += environment["files"] + environment["env_files"]
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.engine
def test_dev_shows_itself_to_this_machine_only_and_reloads_its_source():
    services = resolved("dev", "webui")["services"]
    assert {port["host_ip"] for service in services.values() for port in service["ports"]} == {"127.0.0.1"}
    backend = services["backend"]
    assert backend["environment"]["BACKEND_DEBUG"] == "1"
    mount = backend["volumes"][0]
    assert (mount["target"], mount["read_only"]) == ("/app/backend", True)
    assert Path(mount["source"], "app.py").is_file()


@pytest.mark.engine
def test_prod_is_bounded_and_stays():
    services = resolved("prod", "webui")["services"]
    backend = services["backend"]
    assert backend["read_only"] is True
    assert backend["environment"]["BACKEND_DEBUG"] == "0"
    assert backend["cap_drop"] == ["ALL"]
    assert "volumes" not in backend
    for service in services.values():
        assert service["restart"] == "unless-stopped"
        assert service["deploy"]["resources"]["limits"]["memory"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.engine
def test_open_webui_runs_only_where_it_is_asked_for():
    assert set(resolved("dev")["services"]) == {"backend"}
    assert set(resolved("dev", "webui")["services"]) == {"backend", "webui"}


@pytest.mark.engine
def test_the_shared_ollama_is_valid_on_its_own():
    done = subprocess.run(
        ["docker", "compose", "-f", "compose/docker-compose.ollama.yml", "config", "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    project = json.loads(done.stdout)
    assert project["networks"]["ollama-net"]["name"] == "ollama-net"
    assert "ports" not in project["services"]["ollama"]
