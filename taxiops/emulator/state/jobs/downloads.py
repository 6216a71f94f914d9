"""Inputs on the public web: fetched once per job, with the errors of a user's point of view."""

import shutil
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

TIMEOUT_S = 30.0
WEB = ("http://", "https://")
BLOB = ("wasbs://", "wasb://")


class NotFetched(OSError):
    """Data on the web could not be had; the text says which and why."""


def is_public(uri: str) -> bool:
    return uri.startswith((*WEB, *BLOB))


def fetch(uri: str, folder: Path, *, is_folder: bool) -> Path:
    """The file or folder behind a public address, below `folder`. Raises NotFetched."""
    url = https_of(uri)
    folder.mkdir(parents=True, exist_ok=True)
    if not is_folder:
        return fetch_named(url, folder)
    try:
        return fetch_folder(url, folder)
    except NotFetched:
        # A folder is what an input is when nobody says its type; that of a file is the file.
        if not Path(urlsplit(url).path).suffix:
            raise
        return fetch_named(url, folder)


def fetch_named(url: str, folder: Path) -> Path:
    target = folder / (unquote(urlsplit(url).path).rpartition("/")[2] or "data")
    fetch_file(url, target)
    return target


def https_of(uri: str) -> str:
    """`wasbs://container@account.host/path` is `https://account.host/container/path`."""
    if uri.startswith(WEB):
        return uri
    container, at, rest = uri.split("://", 1)[1].partition("@")
    if not at:
        raise NotFetched(f"{uri} does not name a container and an account.")
    host, _, path = rest.partition("/")
    return f"https://{host}/{container}/{path}"


def fetch_file(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except (OSError, ValueError) as error:
        raise NotFetched(
            f"{url} could not be fetched ({reason(error)}). An input on the web needs a network; "
            "without one, upload the data as a data asset and use that."
        ) from error


def reason(error: BaseException) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)


def fetch_folder(url: str, folder: Path) -> Path:
    """All blobs below a folder of a container that lets anybody list it."""
    parts = urlsplit(url)
    container, _, prefix = unquote(parts.path).lstrip("/").partition("/")
    prefix = prefix and prefix.rstrip("/") + "/"
    root = f"{parts.scheme}://{parts.netloc}/{quote(container)}"
    for name in list_blobs(root, prefix, folder):
        relative = Path(name[len(prefix) :])
        if relative.is_absolute() or ".." in relative.parts:
            raise NotFetched(f"{url} lists the name {name!r}, which climbs out of the folder.")
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch_file(f"{root}/{quote(name)}", target)
    return folder


def list_blobs(root: str, prefix: str, folder: Path) -> list[str]:
    """Names of blobs by the service's List Blobs, page after page. Raises NotFetched."""
    names: list[str] = []
    marker = ""
    listing = folder / ".listing.xml"
    while True:
        query = f"restype=container&comp=list&prefix={quote(prefix)}&marker={quote(marker)}"
        fetch_file(f"{root}?{query}", listing)
        try:
            found = ET.parse(listing).getroot()
        except ET.ParseError as error:
            raise NotFetched(f"{root} gave no list of blobs: {error}") from error
        finally:
            listing.unlink()
        names += [each.text or "" for each in found.iterfind("Blobs/Blob/Name")]
        marker = found.findtext("NextMarker") or ""
        if not marker:
            break
    if not names:
        raise NotFetched(f"There is nothing below {root}/{prefix}.")
    return names
