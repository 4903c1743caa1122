"""Pages of one size that nobody here wrote, and a web server for them: what the benchmarks of batches crawl.

Debian's python3-doc, cut into pieces of about 10 kB of HTML, each in a page of its own, no piece twice.
"""

from __future__ import annotations

import html
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services import nginx, python_docs

SIZE = 10_000  # bytes of a piece, about
# The crawl must be what is measured: the server logs nothing and keeps its connections.
_QUICK = "access_log off; keepalive_requests 100000000;"
_MAIN = re.compile(r'<div class="body" role="main">(.*)<div class="clearer">', re.DOTALL)
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


def pieces(at_most: int = 1_000, size: int = SIZE) -> list[bytes]:
    """Pages of ``size`` to 1.3 x ``size`` bytes, the same ones each time, evenly from all there are (4,000)."""
    found: list[bytes] = []
    for path in sorted(python_docs().rglob("*.html")):
        text = path.read_text("utf-8")
        main, title = _MAIN.search(text), _TITLE.search(text)
        rest = main.group(1) if main else ""
        while len(rest) > size:
            cut = rest.find("\n<", size)  # between two elements
            cut = cut if 0 <= cut < 1.2 * size else size
            head = f"<title>{title.group(1) if title else ''}, {len(found)}</title>"
            page = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{head}</head><body>{rest[:cut]}</body></html>'
            found.append(page.encode())
            rest = rest[cut:]
    return found[:: max(1, len(found) // at_most)][:at_most]


def texts(size: int) -> list[str]:
    """Plain text of the documentation in pieces of ``size`` characters, about 13 MB in all."""
    plain = (re.sub(rb"<[^>]*>", b"", page).decode("utf-8", "replace") for page in pieces(10_000))
    whole = html.unescape(re.sub(r"\n\s*", "\n", "".join(plain)))
    return [whole[at : at + size] for at in range(0, len(whole) - size, size)]


@contextmanager
def served(pages: list[bytes]) -> Iterator[str]:
    """The address under which nginx has them as 0.html, 1.html, ... A query after the name changes nothing."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        root.mkdir()
        for number, page in enumerate(pages):
            (root / f"{number}.html").write_bytes(page)
        for folder in (Path(name), root):
            folder.chmod(0o755)
        with nginx(root, Path(name), server=_QUICK) as web:
            yield web.url
