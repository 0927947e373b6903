"""The few of GitHub's expressions that our workflows use; everything else is refused, so that nothing means something else here than there.

    inputs.has_postgres · vars.AWS_REGION · secrets.A || github.token · toJSON(vars) · !inputs.dry_run · 'text'
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

NAME = re.compile(r"[a-z_]+(\.[A-Za-z_][A-Za-z0-9_-]*)+")
PART = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
# What GitHub takes as an empty text where it isn't set; of the other contexts everything that is asked for must be known.
MAY_LACK = ("vars", "secrets", "steps")


class Unsupported(Exception):
    """An expression that this doesn't evaluate."""


def evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:
    """The value of an expression without its `${{ }}`."""
    if "||" in expression:
        values = [evaluate(part, contexts) for part in expression.split("||")]
        return next((value for value in values if value), values[-1])
    text = expression.strip()
    if text.startswith("!"):
        return not evaluate(text[1:], contexts)
    if re.fullmatch(r"'[^']*'", text):
        return text[1:-1]
    if whole := re.fullmatch(r"toJSON\((\w+)\)", text):
        if whole[1] in contexts:
            return json.dumps(contexts[whole[1]], indent=2)
    elif NAME.fullmatch(text):
        context, *path = text.split(".")
        if context in contexts:
            return look_up(contexts, context, path)
    raise Unsupported(f"the expression `{text}` is none that is understood here: {__doc__.splitlines()[-1].strip()}")


def look_up(contexts: Mapping[str, Any], context: str, path: list[str]) -> Any:
    """A value of a context by its path."""
    value = contexts[context]
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            if context in MAY_LACK:
                return ""
            raise Unsupported(f"`{context}.{'.'.join(path)}` is not known here")
        value = value[name]
    return value


def fill(text: Any, contexts: Mapping[str, Any]) -> str:
    """A text of a workflow with its expressions replaced."""
    return PART.sub(lambda part: as_text(evaluate(part[1], contexts)), as_text(text))


def holds(condition: str | bool | None, contexts: Mapping[str, Any]) -> bool:
    """Whether an `if:` holds; GitHub takes it with `${{ }}` or without."""
    if condition is None or isinstance(condition, bool):
        return condition is not False
    whole = PART.fullmatch(condition.strip())
    value = evaluate(whole[1] if whole else condition, contexts)
    if not isinstance(value, bool):
        raise Unsupported(f"`if: {condition}` is not true or false, but `{value}`")
    return value


def as_text(value: Any) -> str:
    """A value as GitHub writes it."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
