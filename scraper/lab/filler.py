"""Weight for pages: what real pages carry beside their content, so that a page costs what a page costs.

Styles, drawings and a state for scripts, before the end of the body. Compressed by gzip it is about a quarter.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from random import Random

from scraper.lab.answers import Answer
from scraper.lab.options import LabOptions

_END = "</body>"
_PIECES = 240  # of about 700 bytes: more than the 32 KB in which gzip finds repetitions
_WORDS = ("basket", "button", "carousel", "delivery", "filter", "footer", "gallery", "header", "image", "label", "layout",
          "menu", "modal", "price", "promo", "review", "search", "select", "teaser", "tracking")  # fmt: skip
_REFUSALS = frozenset({"block", "captcha", "wall", "geo", "rate", "blocked_page"})


def weighed(answer: Answer, options: LabOptions, path: str) -> Answer:
    """``answer`` with weight where the options ask for it; the same path always weighs the same."""
    kb = options.block_kb if answer.what in _REFUSALS else options.page_kb
    if not kb or _END not in answer.body:
        return answer
    rng = Random(f"{options.seed}:weight:{path}")
    wanted = int(kb * 1024 * rng.uniform(0.6, 1.4)) - len(answer.body)
    if wanted <= 0:
        return answer
    pieces, start = _pieces(), rng.randrange(_PIECES)
    chosen: list[str] = []
    size = 0
    while size < wanted:
        chosen.append(pieces[(start + len(chosen)) % _PIECES])
        size += len(chosen[-1])
    return replace(answer, body=answer.body.replace(_END, "\n".join(chosen) + _END, 1))


@lru_cache(maxsize=1)
def _pieces() -> tuple[str, ...]:
    rng = Random("filler")
    makers = (_style, _drawing, _state)
    return tuple(makers[number % len(makers)](rng) for number in range(_PIECES))


def _style(rng: Random) -> str:
    rules = (
        f".{rng.choice(_WORDS)}__{rng.choice(_WORDS)}--{rng.choice(_WORDS)}"
        f"{{padding:{rng.randint(0, 32)}px {rng.randint(0, 32)}px;color:#{rng.randrange(4096):03x};display:flex}}"
        for _ in range(9)
    )
    return f"<style>{''.join(rules)}</style>"


def _drawing(rng: Random) -> str:
    points = "".join(
        f"{rng.choice('lhvcsq')}{rng.uniform(-9, 9):.2f} {rng.uniform(-9, 9):.2f}" for _ in range(45)
    )
    return f'<svg viewBox="0 0 24 24" aria-hidden="true"><path fill="currentColor" d="M12 2{points}z"/></svg>'


def _state(rng: Random) -> str:
    entries = ",".join(
        f'{{"component":"{rng.choice(_WORDS)}-{rng.choice(_WORDS)}","id":{rng.randrange(10**6)},"visible":true,'
        f'"slot":"{rng.choice(_WORDS)}"}}'
        for _ in range(8)
    )
    return f'<script type="application/json">[{entries}]</script>'
