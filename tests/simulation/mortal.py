"""A process's life: it may end before or after any call of any of its ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from streams.testing.ports import Killed

Port = TypeVar("Port")


class Life:
    """Ends at once, or at the n-th call of a port from now on. Who is dead calls nothing: every call raises `Killed`.

    `finally` blocks run in a process that is killed here, and would not run in one that is killed by the system: so
    they must have no effect either.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._calls_left = 0
        self._is_after = False

    def end(self) -> None:
        self.is_over = True

    def end_at(self, calls: int, *, is_after: bool) -> None:
        """End at the n-th call: before it has an effect, or right after."""
        self._calls_left, self._is_after = calls, is_after

    def owns(self, port: Port) -> Port:
        """The same port, for this process only."""
        return cast("Port", _Owned(self, port))

    def carry_out(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """The call, if the process lives to see it."""
        if self.is_over:
            raise Killed
        is_last = False
        if self._calls_left:
            self._calls_left -= 1
            is_last = not self._calls_left
        if is_last and not self._is_after:
            self.end()
            raise Killed
        result = call(*arguments, **named)
        if is_last:
            self.end()
        if self.is_over:
            raise Killed
        return result


class _Owned:
    """Stands before a port: each call of a method is a moment at which the process may die."""

    def __init__(self, life: Life, port: Any) -> None:
        self._life = life
        self._port = port

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            return self._life.carry_out(found, *arguments, **named)

        self.__dict__[name] = call
        return call
