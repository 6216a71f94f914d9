"""Foreign Markdown made harmless and short enough for GitHub; knows no comment or release."""

import re

COMMENT_LIMIT = 65_536
RELEASE_LIMIT = 125_000
# GitHub looks for mentions in the text after Markdown, so that an escaped @ mentions as well.
AT = re.compile(
    r"(@|&#0*64(?:;|(?![0-9]))|&#[xX]0*40(?:;|(?![0-9a-fA-F]))|&commat;)(?=[^\s\u2060])"
)
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


def harmless(text: str) -> str:
    """The text without mentions, HTML comments and control characters; tables stay tables.

    A hidden comment could forge our marker, and an unclosed one hides all that follows.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = CONTROLS.sub("", lines).replace("<!--", "&lt;!--")
    return AT.sub("\\1\N{WORD JOINER}", shown)


def cut(text: str, limit: int, taken: int = 0) -> str:
    """The text in what is left of `limit` characters; when it is cut, its first line says so.

    taken: characters that stand before the text.
    The note stands first because the end may lie in a code block or a folded section.
    """
    if len(text) <= limit - taken:
        return text
    note = (
        f"> Cut: GitHub shows at most {limit:,} characters. The artifacts of the run hold all.\n\n"
    )
    kept = text[: limit - taken - len(note) - 1]
    whole_lines = kept.rpartition("\n")[0]
    return f"{note}{whole_lines or kept}\n"
