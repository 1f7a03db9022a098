"""Control calls under `/_emulator`: a test reads and sets the emulator's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from streams.emulators.call import JSON, Vendor
from streams.emulators.clock import Clock
from streams.emulators.courier import Courier, OrderCall, WrongOrder
from streams.emulators.faults import Fault, FaultScript
from streams.emulators.ledger import Ledger

PREFIX = "/_emulator/"

_FAULTS: TypeAdapter[list[Fault]] = TypeAdapter(list[Fault])


class CredentialChange(BaseModel):
    """`PUT /_emulator/credentials`: revoke or restore one credential, or all if no name is given; or change a
    secret."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str | None = None
    revoked: bool | None = None
    secret: Annotated[str | None, Field(min_length=1, repr=False)] = None


class TimeChange(BaseModel):
    """`PUT /_emulator/time`: show `now_ms` from now on, or run `offset_ms` ahead of the machine's clock."""

    model_config = ConfigDict(extra="forbid")

    now_ms: int | None = None
    offset_ms: int = 0


class _Refused(Exception):
    """A control call that cannot be answered. The text says what would be right."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """Answers control calls; every answer is one JSON object with `"v": 1`."""

    def __init__(
        self, vendor: Vendor, clock: Clock, faults: FaultScript, ledger: Ledger, courier: Courier | None
    ) -> None:
        self._vendor = vendor
        self._clock = clock
        self._faults = faults
        self._ledger = ledger
        self._courier = courier
        self._calls: dict[tuple[str, str], Callable[[bytes], dict[str, Any]]] = {
            ("GET", "requests"): lambda _: ledger.to_json(),
            ("GET", "faults"): lambda _: {"faults": faults.left()},
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "credentials"): lambda _: {"credentials": vendor.credentials.listed()},
            ("PUT", "credentials"): self._change_credential,
            ("GET", "time"): lambda _: self._time(),
            ("PUT", "time"): self._set_time,
            ("DELETE", "time"): self._free_time,
            ("POST", "reset"): self._reset,
        }
        if courier is not None and vendor.outbox is not None:
            self._calls["GET", "outgoing"] = lambda _: {"records": courier.sendings()}
            self._calls |= {name: self._order(call) for name, call in vendor.outbox.calls.items()}

    def answer(self, method: str, name: str, body: bytes) -> web.Response:
        try:
            content = self._content(method, name, body)
        except _Refused as refused:
            return _json(refused.status, {"error": str(refused)})
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            return _json(400, {"error": "; ".join(problems)})
        return _json(200, content)

    def _content(self, method: str, name: str, body: bytes) -> dict[str, Any]:
        call = self._calls.get((method, name))
        if call is not None:
            return call(body)
        view = self._vendor.view(name)
        if view is not None and method == "GET":
            return view
        is_known = view is not None or any(name == known for _, known in self._calls)
        raise _Refused(f"no control call {method} {PREFIX}{name}", 405 if is_known else 404)

    def _order(self, call: OrderCall) -> Callable[[bytes], dict[str, Any]]:
        """A call about what the vendor sends."""

        def answer(body: bytes) -> dict[str, Any]:
            try:
                return call(_parsed(body) if body else None, self._clock.now_ms())
            except WrongOrder as error:
                raise _Refused(str(error)) from None

        return answer

    def _add_faults(self, body: bytes) -> dict[str, Any]:
        content = _parsed(body)
        faults = _FAULTS.validate_python(content if isinstance(content, list) else [content])
        try:
            self._faults.add(faults)
        except ValueError as error:
            raise _Refused(str(error)) from None
        return {"faults": self._faults.left()}

    def _clear_faults(self, _: bytes) -> dict[str, Any]:
        self._faults.clear()
        return {"faults": []}

    def _change_credential(self, body: bytes) -> dict[str, Any]:
        change = CredentialChange.model_validate(_parsed(body))
        credentials = self._vendor.credentials
        known = [credential.name for credential in credentials]
        if change.name is None and change.secret is not None:
            raise _Refused(f"a secret belongs to one credential: name one of {', '.join(known)}")
        for name in known if change.name is None else [change.name]:
            if not credentials.change(name, change.revoked, change.secret):
                raise _Refused(f"no credential of that name: there are {', '.join(known)}")
        return {"credentials": credentials.listed()}

    def _time(self) -> dict[str, Any]:
        return {"now_ms": self._clock.now_ms(), "frozen": self._clock.is_frozen()}

    def _set_time(self, body: bytes) -> dict[str, Any]:
        change = TimeChange.model_validate(_parsed(body))
        if change.now_ms is not None:
            self._clock.freeze(change.now_ms)
        else:
            self._clock.shift(change.offset_ms)
        return self._time()

    def _free_time(self, _: bytes) -> dict[str, Any]:
        self._clock.shift(0)
        return self._time()

    def _reset(self, _: bytes) -> dict[str, Any]:
        self._vendor.reset()
        self._faults.clear()
        self._ledger.reset()
        if self._courier is not None:
            self._courier.reset()
        self._clock.shift(0)
        return {}


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _Refused("the body of a control call is JSON") from None


def _json(status: int, content: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps({"v": 1, **content}), headers=JSON)
