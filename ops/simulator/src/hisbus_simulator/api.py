"""hisbus as a program sees it: its API with a bearer token."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Self

import httpx

GONE = frozenset({"superseded", "resolved", "withdrawn"})
"""Statuses of proposals that say nothing any more."""

_REASONS = ("wrong", "not_relevant", "already_fixed", "duplicate", "rule_outdated")
_NOTES = ("已电话通知管床医师补充。", "请科室本周内整改。", "已与上级医师核对原始记录。")
_PAGE = 100


class Api:
    """A client. Use it as an asynchronous context manager."""

    def __init__(self, url: str, token: str = "") -> None:
        self._client = httpx.AsyncClient(
            base_url=url, timeout=30, headers={"Authorization": f"Bearer {token}"} if token else {}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def lag(self) -> dict[str, int] | None:
        """Return how much each step has before it; None while nobody answers."""
        try:
            answer = await self._client.get("/readyz")
        except httpx.TransportError:
            return None
        lag: dict[str, int] | None = answer.json().get("lag") if answer.status_code in (200, 503) else None
        return lag

    async def items(self, path: str, **filters: str) -> list[dict[str, Any]]:
        """Return a whole list, all its pages."""
        return [item async for item in self._items(path, filters)]

    async def _items(self, path: str, filters: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            page: dict[str, str | int] = {"limit": _PAGE, **filters, **({"cursor": cursor} if cursor else {})}
            answer = await self._client.get(f"/api/v1/{path}", params=page)
            answer.raise_for_status()
            body = answer.json()
            for item in body["items"]:
                yield item
            cursor = body["next_cursor"]

    async def proposals(self) -> list[dict[str, Any]]:
        """Return the findings that still say something, each once: of a proposal's revisions the one that counts."""
        return [item for item in findings(await self.items("proposals")) if item["status"] not in GONE]

    async def decide(self, id: str, answer: dict[str, Any]) -> None:
        """Answer one proposal as it is now."""
        seen = await self._client.get(f"/api/v1/proposals/{id}")
        seen.raise_for_status()
        decided = await self._client.post(
            f"/api/v1/proposals/{id}/decision", json=answer, headers={"If-Match": seen.headers["ETag"]}
        )
        decided.raise_for_status()


def findings(proposals: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the findings among proposals: what the week's truth is about. Drafts wait for a person."""
    return [item for item in proposals if item["kind"] == "finding"]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the scripted reviewer answered: ids of proposals."""

    accepted: tuple[str, ...]
    """Edited ones included."""
    rejected: tuple[str, ...]


async def review(api: Api, seed: int) -> Reviewed:
    """Answer every open finding: most are accepted, some edited, some rejected; the same seed answers the same."""
    rng = Random(seed)  # noqa: S311 - a script, not a secret
    accepted: list[str] = []
    rejected: list[str] = []
    open_ones = findings(await api.items("proposals", status="open"))
    for proposal in sorted(open_ones, key=lambda item: (item["visit"], item["rule"], item["state"], item["due"] or "")):
        answer = _answer(rng)
        await api.decide(proposal["id"], answer)
        (rejected if answer["decision"] == "reject" else accepted).append(proposal["id"])
    return Reviewed(tuple(accepted), tuple(rejected))


def _answer(rng: Random) -> dict[str, Any]:
    draw = rng.random()
    if draw < 0.70:
        return {"decision": "accept"}
    note = rng.choice(_NOTES)
    if draw < 0.85:
        return {"decision": "edit", "payload": {"note": note}}
    return {"decision": "reject", "reason": rng.choice(_REASONS), "note": note}
