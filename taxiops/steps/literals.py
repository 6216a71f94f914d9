"""Free text as job inputs: encoded so that no character of it means anything to a shell.

Azure ML pastes literal inputs into the command line as they are; a branch name may hold quotes,
blanks and dollar signs. Plain words stay readable, everything else travels as base64url.
"""

import base64
import binascii
import re
from argparse import ArgumentTypeError

PLAIN = re.compile(r"[A-Za-z0-9._/@:+-]*")
PREFIX = "b64."


def encode_literal(text: str) -> str:
    """The text itself when it is plain, else `b64.` and its UTF-8 in base64url without padding."""
    if PLAIN.fullmatch(text) and not text.startswith(PREFIX):
        return text
    return PREFIX + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_literal(text: str) -> str:
    """The reverse of encode_literal; text that was never encoded is returned as it is."""
    if not text.startswith(PREFIX):
        return text
    body = text.removeprefix(PREFIX)
    try:
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise ArgumentTypeError(f"{text!r} is no base64url text") from error
