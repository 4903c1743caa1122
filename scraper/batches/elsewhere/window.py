"""RULE. Which batches go to workers on other machines next, and which of them are under way: no more than fit in the window."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from scraper.batches.log import Batch

MAX_BATCHES = 200  # that are sent and not answered; more wait in the spool
MAX_BYTES = 64 << 20  # of them: what one crawl may take of Redis's memory


def token_of(batch: Batch) -> str:
    """The batch and the items it goes without: an answer to another token of the same batch is not for this one."""
    return f"{batch.id}/{','.join(map(str, sorted(batch.skip)))}"


def parted(token: str) -> tuple[str, list[int]]:
    """The batch's id and the items it goes without."""
    batch, _, skip = token.partition("/")
    return batch, [int(index) for index in skip.split(",") if index]


@dataclass(slots=True)
class Window:
    """``allowed``: how many batches may be sent though sending is paused; None: it is not."""

    allowed: int | None = None
    waiting: deque[Batch] = field(default_factory=deque)
    sent: dict[str, Batch] = field(default_factory=dict)  # by token, until the answer is here
    size: int = 0  # bytes of those sent

    def next(self) -> Batch | None:
        """One that may be sent now and counts as sent from now on; a batch that is larger than the window goes alone."""
        if not self.waiting or self.allowed == 0:
            return None
        size = self.size + self.waiting[0].size
        if self.sent and (len(self.sent) >= MAX_BATCHES or size > MAX_BYTES):
            return None
        if self.allowed is not None:
            self.allowed -= 1
        batch = self.waiting.popleft()
        self.add(batch)
        return batch

    def add(self, batch: Batch) -> None:
        """It has been sent."""
        self.sent[token_of(batch)] = batch
        self.size += batch.size

    def again(self, token: str) -> None:
        """It has not arrived, or was lost there: it is the next."""
        if batch := self._drop(token):
            self.waiting.appendleft(batch)

    def answered(self, token: str) -> Batch | None:
        """The batch that an answer is for; it may have arrived although the sending seemed to fail. None if nobody waits for it."""
        if batch := self._drop(token):
            return batch
        for batch in self.waiting:
            if token_of(batch) == token:
                self.waiting.remove(batch)
                return batch
        return None

    def _drop(self, token: str) -> Batch | None:
        batch = self.sent.pop(token, None)
        if batch:
            self.size -= batch.size
        return batch
