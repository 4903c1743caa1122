"""RULE. Steps that read a page: its main text, its structured data, the language of a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from scraper.batches.steps import Place, Row, RowStep, need
from scraper.errors import ConfigError

_PAGE = ("body", "html")
_SYNTAXES = ("json-ld", "microdata", "opengraph", "rdfa", "microformat", "dublincore")
_SCRIPT = re.compile(rb"<script\b[^>]*ld\+json.*?</script>", re.IGNORECASE | re.DOTALL)
_LANGUAGE_CHARS = 1_000  # of a text: more make it dearer and not righter


class MainText(RowStep):
    """The main content of a page as text, from the first of ``source`` that the row has; ``keep=False`` drops that field then.

    ``by``: resiliparse, or trafilatura (an extra): the best there is, 10 times dearer. Bytes are decoded by their meta
    charset, else by a guess.
    """

    def __init__(
        self,
        place: Place,
        *,
        source: Iterable[str] = _PAGE,
        into: str = "main_text",
        keep: bool = True,
        by: str = "resiliparse",
    ) -> None:
        if by not in ("resiliparse", "trafilatura"):
            raise ConfigError("BATCH_STEPS", by, "main_text: by is resiliparse or trafilatura")
        self._source, self._into, self._keep, self._by = tuple(source), into, keep, by
        self.preload = ("resiliparse.extract.html2text", "resiliparse.parse.encoding")
        if by == "trafilatura":
            self.preload += need("main_text by trafilatura", "trafilatura", "text")

    def open(self) -> None:
        self._text: Callable[[str], str | None]
        if self._by == "trafilatura":
            import trafilatura

            self._text = lambda page: trafilatura.extract(page, include_comments=False)
        else:
            from resiliparse.extract.html2text import extract_plain_text

            self._text = lambda page: extract_plain_text(page, main_content=True, preserve_formatting=True)

    def run(self, row: Row) -> Row:
        field = _first(row, self._source)
        if field:
            row[self._into] = self._text(_decoded(row[field]))
            if not self._keep:
                del row[field]
        return row


class StructuredData(RowStep):
    """What a page says of itself for machines: ``{"json-ld": [...], "microdata": [...], "opengraph": [...]}``, only those it has,
    all in the form of JSON-LD. What is malformed is left out.
    """

    def __init__(
        self,
        place: Place,
        *,
        source: Iterable[str] = _PAGE,
        into: str = "structured_data",
        syntaxes: Iterable[str] = ("json-ld", "microdata", "opengraph"),
    ) -> None:
        wrong = [syntax for syntax in syntaxes if syntax not in _SYNTAXES]
        if wrong or not syntaxes:
            raise ConfigError(
                "BATCH_STEPS", wrong, f"structured_data: syntaxes are of {', '.join(_SYNTAXES)}"
            )
        self._source, self._into, self._syntaxes = tuple(source), into, list(syntaxes)
        self.preload = need("structured_data", "extruct", "structured")

    def open(self) -> None:
        import extruct

        self._extract: Callable[..., dict[str, Any]] = extruct.extract

    def run(self, row: Row) -> Row:
        field = _first(row, self._source)
        if field:
            page = _decoded(row[field]).encode("utf-8", "replace")  # text with an XML declaration is refused
            base = row.get("_url")
            found = self._found(page, self._syntaxes, base)
            if "json-ld" in self._syntaxes and "json-ld" not in found:
                # One malformed script spoils all of them.
                each = (self._found(script, ["json-ld"], base) for script in _SCRIPT.findall(page))
                found["json-ld"] = [value for one in each for value in one.get("json-ld", [])]
            row[self._into] = {syntax: values for syntax, values in found.items() if values}
        return row

    def _found(self, page: bytes, syntaxes: list[str], base: str | None) -> dict[str, Any]:
        """By syntax; without those in which anything is malformed."""
        return self._extract(page, base_url=base, syntaxes=syntaxes, errors="ignore", uniform=True)


class Language(RowStep):
    """ISO 639-1 code of the language of the first of ``source`` that the row has, from its first 1,000 characters; None if it is
    less sure than ``at_least`` (0 to 1). ``languages``: the only ones to think of.
    """

    def __init__(
        self,
        place: Place,
        *,
        source: Iterable[str] = ("main_text", "text", "description", "title"),
        into: str = "language",
        languages: Iterable[str] = (),
        at_least: float = 0.5,
    ) -> None:
        if not 0 <= at_least <= 1:
            raise ConfigError("BATCH_STEPS", at_least, "language: at_least is a share, 0 to 1")
        self._source, self._into, self._languages, self._at_least = (
            tuple(source),
            into,
            list(languages),
            at_least,
        )
        self.preload = need("language", "py3langid", "language")

    def open(self) -> None:
        """Load the model: 0.6 s, 90 MB. ConfigError if it does not know one of the languages."""
        from py3langid import langid

        model = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        try:
            model.set_languages(self._languages or None)
        except ValueError as error:
            raise ConfigError("BATCH_STEPS", self._languages, f"language: {error}") from error
        self._classify = model.classify

    def run(self, row: Row) -> Row:
        field = _first(row, self._source)
        if field and isinstance(row[field], str):
            language, share = self._classify(row[field][:_LANGUAGE_CHARS])
            row[self._into] = language if share >= self._at_least else None
        return row


def _first(row: Row, names: Iterable[str]) -> str | None:
    return next((name for name in names if row.get(name)), None)


def _decoded(page: Any) -> str:
    if isinstance(page, bytes):
        from resiliparse.parse.encoding import bytes_to_str, detect_encoding

        return str(bytes_to_str(page, detect_encoding(page, from_html_meta=True) or "utf-8"))
    return str(page)
