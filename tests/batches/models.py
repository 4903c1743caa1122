"""Pydantic models for the step `schema`."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from pydantic import AnyUrl, BaseModel, Field

PLAIN = dict


class State(Enum):
    NEW = "new"


class Product(BaseModel):
    """All optional, so that any row fits that has no wrong value."""

    title: str | None = None
    price: float | None = Field(default=None, ge=0)
    link: AnyUrl | None = None
    state: State | None = None
    seen: datetime | None = None
    tags: set[str] | None = None
