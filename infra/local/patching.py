"""Replacing a name inside of MiniStack, with a look at whether it still is the one we know."""

from __future__ import annotations

import functools
import inspect
from importlib.metadata import version
from types import ModuleType
from typing import Callable


class GapChanged(Exception):
    """A name inside of MiniStack that we replace is gone or is another one now."""


def replace(module: ModuleType, name: str, parameters: str, wrap: Callable[[Callable], Callable]) -> None:
    """Puts `wrap(original)` in the place of `module.name`.

    `parameters` are the names of the original's parameters, in order, as they were when the gap was
    closed; anything else raises `GapChanged`.
    """
    original = getattr(module, name, None)
    found = " ".join(inspect.signature(original).parameters) if callable(original) else "nothing"
    if found != parameters:
        raise GapChanged(
            f"`{module.__name__}.{name}` takes `{found}`, not `{parameters}`, in MiniStack "
            f"{version('ministack')}: see whether the gap is still there, then adapt or remove its closer"
        )
    setattr(module, name, functools.wraps(original)(wrap(original)))
