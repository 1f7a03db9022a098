"""How each simulated destination is spoken to: what a request holds, and what its answers say."""

from __future__ import annotations

import base64
import gzip
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from streams.delivery.contract import Request, Response

DestinationName = Literal["mixpanel", "mparticle"]
JSON = {"content-type": "application/json"}
PROBE = "streams probe"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a request's events: the answer, who of them was taken, and whether the answer settles them."""

    response: Response
    taken: Sequence[str]
    is_final: bool = True


class Wire(ABC):
    """One kind of destination. Events whose id begins with `bad-` are refused."""

    name: DestinationName
    settings: Mapping[str, Any]
    scopes: tuple[str, ...]

    @abstractmethod
    def scope(self, request: Request) -> str:
        """Whose credentials a request has."""

    @abstractmethod
    def ids(self, request: Request) -> list[str]:
        """The ids of a request's events; of a probe `streams probe`."""

    @abstractmethod
    def judge(self, ids: Sequence[str]) -> Judgement:
        """What a destination that works answers."""

    @abstractmethod
    def garbage(self) -> Response:
        """An answer that is cut off, or somebody else's."""

    @abstractmethod
    def scope_of(self, user: int, kind: str) -> str:
        """To which scope an event belongs; empty where it has none, and is skipped."""


class MixpanelWire(Wire):
    """Tells by name what it refuses. One pair of credentials."""

    name = "mixpanel"
    settings: Mapping[str, Any] = {"project_token": "0123456789abcdef" * 2, "base_url": "http://mixpanel.test"}
    scopes = ("default",)

    def scope(self, request: Request) -> str:
        return "default"

    def ids(self, request: Request) -> list[str]:
        content = json.loads(gzip.decompress(request.body))
        events = content if isinstance(content, list) else [content]
        return [PROBE if one["event"] == PROBE else one["properties"]["$insert_id"] for one in events]

    def judge(self, ids: Sequence[str]) -> Judgement:
        failed = [
            {"index": index, "insert_id": one, "field": "properties.time", "message": "is in the future"}
            for index, one in enumerate(ids)
            if one.startswith("bad-")
        ]
        content: dict[str, Any] = {"code": 400 if failed else 200, "num_records_imported": len(ids) - len(failed)}
        content |= {"status": "Bad Request", "error": "some", "failed_records": failed} if failed else {"status": "OK"}
        response = Response(content["code"], JSON, json.dumps(content).encode())
        return Judgement(response, [one for one in ids if not one.startswith("bad-")])

    def garbage(self) -> Response:
        return Response(200, JSON, b'{"code":2')

    def scope_of(self, user: int, kind: str) -> str:
        return "default"


class MParticleWire(Wire):
    """Refuses a whole request for one bad event, without saying which. A feed of its own for iOS and for Android."""

    name = "mparticle"
    scopes = ("ios", "android")
    settings: Mapping[str, Any] = {
        "base_url": "http://mparticle.test",
        "feeds": {scope: {"key": scope, "secret": "secret"} for scope in scopes},
        "feed_fallback": "skip",
    }

    def scope(self, request: Request) -> str:
        words = base64.b64decode(request.headers["Authorization"].removeprefix("Basic "))
        return words.decode().partition(":")[0]

    def ids(self, request: Request) -> list[str]:
        content = json.loads(request.body)
        batches = content if isinstance(content, list) else [content]
        return [
            PROBE if one["events"][0]["data"]["event_name"] == PROBE else one["source_request_id"] for one in batches
        ]

    def judge(self, ids: Sequence[str]) -> Judgement:
        if any(one.startswith("bad-") for one in ids):
            refusal = Response(400, JSON, b'{"errors":[{"code":"BAD_REQUEST","message":"is in the future"}]}')
            return Judgement(refusal, (), is_final=len(ids) == 1)
        return Judgement(Response(202, {}, b""), ids)

    def garbage(self) -> Response:
        return Response(202, {"content-type": "text/html"}, b"<html>")

    def scope_of(self, user: int, kind: str) -> str:
        return "" if kind == "web" else self.scopes[user % 2]


WIRES: Mapping[DestinationName, Wire] = {"mixpanel": MixpanelWire(), "mparticle": MParticleWire()}
