"""What leaves the machine holds neither secrets nor addresses."""

from __future__ import annotations

from stackctl.diagnose.mask import Masker, plain


def test_secrets_and_addresses() -> None:
    mask = Masker(["sesame-open-1"])
    text = mask(
        "token sesame-open-1 at http://user:pass@192.168.1.5:11434, Authorization: Bearer abcdefgh, "
        "OPENAI_API_KEY=sk-1234567, fd00:1:2::3, 02:42:ac:11:00:02, 127.0.0.1"
    )
    for secret in ("sesame", "user:pass", "192.168.1.5", "abcdefgh", "sk-1234567", "fd00:1:2::3", "02:42"):
        assert secret not in text
    assert "127.0.0.1" in text


def test_the_same_address_is_the_same_mask() -> None:
    mask = Masker()
    assert mask("10.0.0.7") == mask("10.0.0.7") != mask("10.0.0.8")


def test_control_characters_of_a_server_are_taken_out() -> None:
    assert plain("a\x1b[31mred\x9b2J\nnext\ttab") == "a�[31mred�2J\nnext�tab"
