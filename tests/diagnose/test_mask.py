"""What leaves the machine holds no addresses, and no control characters."""

from __future__ import annotations

from stackctl.diagnose.mask import AddressMask, plain


def test_addresses() -> None:
    text = AddressMask()("at http://192.168.1.5:11434, fd00:1:2::3, 02:42:ac:11:00:02, 127.0.0.1")
    for address in ("192.168.1.5", "fd00:1:2::3", "02:42"):
        assert address not in text
    assert "127.0.0.1" in text


def test_the_same_address_is_the_same_mask() -> None:
    mask = AddressMask()
    assert mask("10.0.0.7") == mask("10.0.0.7") != mask("10.0.0.8")


def test_control_characters_of_a_server_are_taken_out() -> None:
    assert plain("a\x1b[31mred\x9b2J\nnext\ttab") == "a\ufffd[31mred\ufffd2J\nnext\ufffdtab"
