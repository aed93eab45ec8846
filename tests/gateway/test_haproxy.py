"""The configuration as text: compared whole with what is kept in ``golden/``.

``UPDATE_GOLDEN=1 pytest tests/gateway`` writes the files anew; read the difference.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackctl.config.models import StackConfig
from stackctl.config.target import resolve
from stackctl.gateway.haproxy import Rendered, render, waiting
from stackctl.gateway.upstream import group

GOLDEN = Path(__file__).parent / "golden"


def compare(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.cfg"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("profile", ["local", "gpu-box", "behind-proxy", "all", "spread-or-local", "mixed"])
def test_golden(profile: str, rendered: Callable[[str], Rendered]) -> None:
    compare(profile, rendered(profile).text)


def test_golden_waiting() -> None:
    compare("waiting", waiting())


def test_same_input_same_bytes(rendered: Callable[[str], Rendered]) -> None:
    assert rendered("all") == rendered("all")


def test_digest_stands_in_the_text_and_tells_configurations_apart(rendered: Callable[[str], Rendered]) -> None:
    seen = {rendered(p).digest for p in ("local", "gpu-box", "all", "spread", "spread-or-local", "mixed")}
    assert len(seen) == 6
    assert f'"digest": "{rendered("all").digest}"' in rendered("all").text


def test_digest_follows_the_certificate(config: StackConfig) -> None:
    target = resolve(config, "behind-proxy")
    one, two = (render(group(config, target, ca={"behind-proxy": pem})).digest for pem in ("one", "two"))
    assert one != two


def test_no_secret_is_in_it_only_its_name(rendered: Callable[[str], Rendered]) -> None:
    text = rendered("all").text
    assert "var(proc.stackctl_secret_GPU_BOX_TOKEN)" in text
    assert "var(proc.stackctl_secret_API_KEY)" in text
    assert "/run/keys/ollama" not in text
    assert [s.reference.argument for s in rendered("gpu-box").secrets] == ["GPU_BOX_TOKEN"]


def test_one_instance_is_one_hop_and_is_asked_whatever_its_health(rendered: Callable[[str], Rendered]) -> None:
    text = rendered("gpu-box").text
    assert "frontend again" not in text
    assert "srv_is_up" not in text
    assert "default_backend inner.gpu-box" in text


def test_nothing_that_changes_anything_is_retried_once_it_was_sent(rendered: Callable[[str], Rendered]) -> None:
    text = rendered("all").text
    backends = re.findall(r"^backend inner\.\S+\n(?:    .*\n)+", text, re.MULTILINE)
    assert len(backends) == 6
    for backend in backends:
        assert "    http-request disable-l7-retry unless METH_GET or METH_HEAD or METH_OPTIONS\n" in backend


def test_a_url_is_a_group_of_its_own(config: StackConfig) -> None:
    text = render(group(config, resolve(config, "http://spare.lan:11434/x"))).text
    assert re.search(r"^backend inner\.url-[0-9a-f]{8}$", text, re.MULTILINE)
    assert "set-header X-Stackctl-Instance http://spare.lan:11434/x" in text


def test_an_address_in_https_is_warned_about(config: StackConfig) -> None:
    def warnings(tls: dict[str, Any]) -> tuple[str, ...]:
        instance = {"url": "https://10.0.0.9", "tls": tls}
        other = StackConfig.model_validate({"version": 1, "gateway": True, "instances": {"a": instance}})
        return render(group(other, resolve(other, "a"), ca={"a": "PEM"} if "ca_file" in tls else {})).warnings

    assert "the gateway will refuse it" in warnings({})[0]
    assert "at each switch only" in warnings({"ca_file": "ca.pem"})[0]
    assert warnings({"server_name": "a.example"}) == ()
    assert warnings({"verify": False}) == ()


def test_about_is_json_once_haproxy_has_filled_it_in(rendered: Callable[[str], Rendered]) -> None:
    line = next(line for line in rendered("all").text.splitlines() if "/about" in line)
    text = line[line.index("'") + 1 : line.rindex("'")]
    about = json.loads(text.replace("%pid", "7").replace("%%", "%"))
    assert about["profile"] == "all"
    assert about["fallback"] == {"name": "local", "slug": "local"}
    assert about["worker"] == 7


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x00b", "\x7f"])
def test_a_value_that_no_header_can_hold_is_refused(value: str) -> None:
    config = StackConfig.model_validate(
        {"version": 1, "gateway": True, "instances": {"a": {"url": "http://a:1", "headers": {"X-A": value}}}}
    )
    with pytest.raises(ValueError, match="control characters"):
        render(group(config, resolve(config, "a")))
