"""RULE. Browser profiles: headers that belong together, drawn once for an identity and never mixed."""

from __future__ import annotations

from dataclasses import dataclass

_HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
_LANGUAGES = {  # what a browser bought in that country sends; English elsewhere
    "de": "de-DE,de;q=0.9,en;q=0.8",
    "fr": "fr-FR,fr;q=0.9,en;q=0.8",
    "es": "es-ES,es;q=0.9,en;q=0.8",
    "it": "it-IT,it;q=0.9,en;q=0.8",
    "nl": "nl-NL,nl;q=0.9,en;q=0.8",
    "gb": "en-GB,en;q=0.9",
}
_DEFAULT_LANGUAGE = "en-US,en;q=0.9"


# What goes with the project's own User-Agent, where no browser is played.
PLAIN_HEADERS = (("Accept", _HTML), ("Accept-Language", "en"))


@dataclass(frozen=True, slots=True)
class Profile:
    """One browser on one system; ``client_hints`` is empty for browsers that send none."""

    user_agent: str
    client_hints: tuple[tuple[str, str], ...] = ()


def _chrome(system: str, platform: str) -> Profile:
    hints = (
        ("Sec-CH-UA", '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'),
        ("Sec-CH-UA-Mobile", "?0"),
        ("Sec-CH-UA-Platform", f'"{platform}"'),
    )
    return Profile(
        f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", hints
    )


# The commonest desktop browsers at the end of 2025; a version that is years old is a mark by itself.
PROFILES = (
    _chrome("Windows NT 10.0; Win64; x64", "Windows"),
    _chrome("Macintosh; Intel Mac OS X 10_15_7", "macOS"),
    _chrome("X11; Linux x86_64", "Linux"),
    Profile("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    Profile("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0"),
)


def headers_of(profile: Profile, country: str) -> tuple[tuple[str, str], ...]:
    """Headers of a page load by this browser in ``country`` ('' when unknown). Encodings are left to Scrapy."""
    return (
        ("User-Agent", profile.user_agent),
        *profile.client_hints,
        ("Accept", _HTML),
        ("Accept-Language", _LANGUAGES.get(country, _DEFAULT_LANGUAGE)),
    )
