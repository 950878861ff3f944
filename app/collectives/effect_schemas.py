"""The API shape of what a yes brings about that an amendment can change."""

from typing import Any

from app.kit.body import Out


class EffectOut(Out):
    """`policy` is a digest; `charter` are the rules."""

    policy: str | None
    charter: dict[str, Any] | None
