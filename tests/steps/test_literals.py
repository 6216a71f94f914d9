"""Free text as job inputs survives a shell unchanged."""

import subprocess
from argparse import ArgumentTypeError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxiops.steps.literals import decode_literal, encode_literal


@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    assert decode_literal(encode_literal(text)) == text


@given(st.text(alphabet=st.characters(min_codepoint=1, exclude_categories=["Cs"])))
@settings(max_examples=25, deadline=None)
def test_no_encoded_text_means_anything_to_a_shell(text: str) -> None:
    literal = encode_literal(text)
    command = ["sh", "-c", f"printf %s --branch={literal}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == f"--branch={literal}"


def test_plain_words_stay_readable() -> None:
    assert encode_literal("feature/new-model_2.1") == "feature/new-model_2.1"
    assert encode_literal("it's $(here)").startswith("b64.")


def test_text_that_was_damaged_is_refused() -> None:
    with pytest.raises(ArgumentTypeError):
        decode_literal("b64.A")
