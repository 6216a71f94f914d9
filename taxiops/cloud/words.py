"""The SDK's words for states, as plain text; knows no resource."""


def plain_word(word: object) -> str:
    """Azure's word; the SDK gives text or an enumeration, whose text is its value."""
    return str(getattr(word, "value", word) or "")
