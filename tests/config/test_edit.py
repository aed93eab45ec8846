"""Instances in the text of stackctl.yaml: changed where asked, the rest to the byte."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml

from stackctl.config.edit import add_instance, edit_instance, remove_instance
from stackctl.config.tree import parse
from stackctl.errors import UsageError

TEXT = """\
# top comment
version: 1
models: [qwen3:8b]   # first is default

instances:           # the boxes
  # the GPU box
  gpu-box:
    url: http://cuda.local:11434   # LAN
    priority: 1
    auth: {bearer: "${T}"}   # from the vault
    tls:
      verify: true  # keep
  # second
  other: {url: "http://o:1", priority: 2}  # flow
  # trailing comment of instances

profiles:
  c: {use: [gpu-box]}   # cluster
"""


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return [x[2:] for x in lines if x.startswith("- ")], [x[2:] for x in lines if x.startswith("+ ")]


def data(text: str) -> Any:
    tree = parse(text, "")
    assert not tree.problems
    return tree.data


def test_add_goes_after_the_others() -> None:
    after = add_instance(TEXT, "new", {"url": "http://n:11434", "priority": 3, "auth": {"bearer": "${X}"}})
    assert changed(TEXT, after) == (
        [],
        ["  new:", "    url: http://n:11434", "    priority: 3", "    auth:", '      bearer: "${X}"'],
    )
    assert list(data(after)["instances"]) == ["gpu-box", "other", "new"]


def test_edit_a_value_keeps_its_comment() -> None:
    after = edit_instance(TEXT, "gpu-box", {("url",): "https://x.y", ("priority",): 2})
    assert changed(TEXT, after) == (
        ["    url: http://cuda.local:11434   # LAN", "    priority: 1"],
        ["    url: https://x.y   # LAN", "    priority: 2"],
    )


def test_edit_adds_below_and_replaces_whole_settings() -> None:
    after = edit_instance(
        TEXT, "gpu-box",
        {("tls", "ca_file"): "ca.pem", ("auth",): {"basic": {"user": "u", "password": "${P}"}}, ("timeout",): "30s"},
    )  # fmt: skip
    gone, come = changed(TEXT, after)
    assert gone == ['    auth: {bearer: "${T}"}   # from the vault']
    assert "    auth:  # from the vault" in come
    assert "      ca_file: ca.pem" in come
    assert data(after)["instances"]["gpu-box"]["tls"] == {"verify": True, "ca_file": "ca.pem"}


def test_a_line_of_a_flow_mapping_goes_with_its_own_comment() -> None:
    text = "version: 1\ninstances:\n  a: {  # one\n    url: 'http://a:1',  # where\n    priority: 2,  # how soon\n  }\n"
    assert changed(text, edit_instance(text, "a", {("priority",): None})) == (["    priority: 2,  # how soon"], [])
    middle = text.replace("url", "timeout").replace("'http://a:1'", "5s").replace("  }", "    url: http://a:1\n  }")
    assert changed(middle, edit_instance(middle, "a", {("priority",): None})) == (["    priority: 2,  # how soon"], [])


@pytest.mark.parametrize("comma", [",", ""])
def test_a_flow_mapping_with_a_comment_at_its_end(comma: str) -> None:
    text = f"version: 1\ninstances: {{  # all\n  a: {{url: 'http://a:1'}}{comma}  # the first\n}}  # end\n"
    after = add_instance(text, "b", {"url": "http://b:1"})
    entry = f"  b: {{url: http://b:1}}{comma}\n"
    assert after == text.replace("}  # end", f"{entry}}}  # end").replace("'}  #", "'},  #")
    assert edit_instance(after, "b", {("priority",): 2}).endswith(f"priority: 2}}{comma}\n}}  # end\n")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_tab_before_a_comment(end: str) -> None:
    text = end.join(["version: 1\t# one", "instances:\t# all", "  a:\t# a", "    url: http://a:1\t# where", ""])
    after = edit_instance(text, "a", {("url",): "https://b", ("priority",): 3})
    assert after == text.replace("http://a:1", "https://b") + f"    priority: 3{end}"
    assert add_instance(text, "b", {"url": "http://b:1"}) == f"{text}  b:{end}    url: http://b:1{end}"


def test_edit_in_flow_style() -> None:
    after = edit_instance(TEXT, "other", {("priority",): None, ("tls", "verify"): False})
    assert changed(TEXT, after)[1] == ['  other: {url: "http://o:1", tls: {verify: false}}  # flow']


def test_taking_the_last_setting_of_a_section_takes_the_section() -> None:
    after = edit_instance(TEXT, "gpu-box", {("tls", "verify"): None})
    assert "tls" not in data(after)["instances"]["gpu-box"]


@pytest.mark.parametrize("name", ["gpu-box", "other"])
def test_remove_leaves_the_rest(name: str) -> None:
    after = remove_instance(TEXT, name)
    assert name not in data(after)["instances"]
    assert changed(TEXT, after)[1] == []
    for comment in ("# top comment", "# the GPU box", "# second", "# trailing comment", "# cluster"):
        assert comment in after


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\n",
        "version: 1",
        "version: 1\ninstances:\n",
        "version: 1\ninstances: # none yet\n",
        "version: 1\ninstances: {}\n# end",
        "version: 1\ninstances: {}   # none\nlocal: {gpu: none}\n",
        "version: 1\ninstances:\n    a:\n        url: http://a\nlocal:\n    gpu: none\n",
        "version: 1\r\ninstances:\r\n  a: {url: 'http://a'}\r\n",
        "version: 1\ninstances: {a: {url: http://a}}\n",
        "version: 1\ninstances: {\n  a: {url: http://a},\n}\n",
        "version: 1\n\ninstances:\n  a:\n    url: >-\n      http://a\n\n\nlocal:\n  gpu: none\n",
        'version: 1\n"instances":\n  "a":\n    "url": "http://a"\n',
        "---\nversion: 1\ninstances:\n  a: {url: http://a}\n...\n",
        "version: 1\ninstances:\n  ä:\n    url: http://a   # ünïcode\n",
    ],
)
def test_there_and_back(text: str) -> None:
    try:
        there = add_instance(text, "n", {"url": "http://n:1", "models": ["m:1", "on"], "headers": {"X-A": "12:34"}})
    except UsageError as error:
        assert "by hand" in error.hint  # noqa: PT017
        return
    assert data(there)["instances"]["n"] == {"url": "http://n:1", "models": ["m:1", "on"], "headers": {"X-A": "12:34"}}
    if "\r\n" in text:
        assert "\n" not in there.replace("\r\n", "")
    back = remove_instance(there, "n")
    assert {k: v or {} for k, v in data(back).items()} == {"instances": {}} | {
        k: v or {} for k, v in data(text).items()
    }


ALIASES = "version: 1\ninstances:\n  a: &a\n    url: http://a\n    priority: 1\n  b: *a\n  c:\n    <<: *a\n    url: http://c\n"


@pytest.mark.parametrize(
    ("name", "changes"),
    [("b", {("priority",): 3}), ("a", {("priority",): 3}), ("b", {("timeout",): "3s"}), ("c", {("priority",): None})],
)
def test_what_hangs_together_is_refused(name: str, changes: dict[tuple[str, ...], Any]) -> None:
    with pytest.raises(UsageError, match="cannot be changed automatically"):
        edit_instance(ALIASES, name, changes)


def test_what_stands_alone_beside_aliases_is_changed() -> None:
    after = edit_instance(ALIASES, "c", {("url",): "http://d"})
    assert data(after)["instances"]["c"] == {"url": "http://d", "priority": 1}


@pytest.mark.parametrize(
    "value",
    ["on", "no", "12:34", "1e3", "0x1F", "~", "", " a", "a: b", "a #b", "#a", "'q'", '"q"', "{x}", "[x]", "*a", "&a",
     "!t", "- a", "${A}", "ü", "tab\there", "line\nbreak", "%", "@x", "`x`", "yes", "null", ".5", "a:", "5m",
     "2001-01-01"],
)  # fmt: skip
def test_any_text_arrives_as_it_was(value: str) -> None:
    after = edit_instance(TEXT, "gpu-box", {("headers", "X-A"): value})
    assert data(after)["instances"]["gpu-box"]["headers"]["X-A"] == value
    # Readers of YAML 1.1 must see the same text.
    assert yaml.safe_load(after)["instances"]["gpu-box"]["headers"]["X-A"] == value


def test_unknown_and_double() -> None:
    with pytest.raises(UsageError, match='no instance "nope"'):
        edit_instance(TEXT, "nope", {("url",): "http://x"})
    with pytest.raises(UsageError, match="already"):
        add_instance(TEXT, "other", {"url": "http://x"})
    with pytest.raises(UsageError, match="mended first"):
        add_instance("version: 1\n  bad: [", "n", {"url": "http://x"})
