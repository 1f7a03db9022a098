"""Messages of a bucket from a queue of Amazon SQS, through botocore. Foreign exceptions stop here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from streams.ports.errors import QueueForbidden, QueueMissing, QueueUnavailable
from streams.ports.notices import Message

WAIT_SECONDS = 10
"""How long SQS keeps a request open until a message comes: 260,000 requests a month."""
HIDDEN_SECONDS = 300
"""So long others do not see a message that we have, and do not get it if we delete it by then."""
VISIBLE = 0
"""Seconds: others see at once again what was only looked at."""
MESSAGES_MAX = 10
"""Of one answer, and of one request to delete: SQS's own limit."""
CONNECT_SECONDS = 5
READ_SECONDS = WAIT_SECONDS + 10
PAUSE_SECONDS = 1.0
"""A server that answers at once that there is nothing is not asked more often."""

_REGION = re.compile(r"(?:^|\.)sqs\.([a-z]{2}(?:-[a-z]+)+-\d+)\.|^([a-z]{2}(?:-[a-z]+)+-\d+)\.queue\.")


class SqsNotInstalled(Exception):
    """The library for SQS is missing; the message says how to install it."""


class SqsNotices:
    """A `NoticeQueue`. Each request runs on a thread of its own, which nobody waits for."""

    def __init__(self, url: str, options: Callable[[], Mapping[str, Any]] = dict) -> None:
        """`options` gives those of the bucket, by obstore's names, with secrets as they are now: keys and region count
        here too. Without keys the platform's identity is used. Nobody is asked yet.

        Raises `SqsNotInstalled`.
        """
        self._url = url
        self._options = options
        self._client: Any = None
        self._request: Thread | None = None
        self._came: Sequence[Message] | None = None
        self._failure: QueueUnavailable | None = None
        self._receipts: list[str] = []
        try:
            import botocore.session  # noqa: F401 - takes 0.1 s, and only who has a queue needs it
        except ImportError:
            raise SqsNotInstalled(
                "notify_queue needs the library for SQS: pip install 'currents-streams[sqs]'"
            ) from None

    def poll(self) -> Sequence[Message] | None:
        if self._request is not None and self._request.is_alive():
            return None
        came, failure = self._came, self._failure
        self._came = self._failure = self._request = None
        if failure is not None:
            raise failure
        self._request = Thread(target=self._ask, name="sqs", daemon=True)
        self._request.start()
        return came

    def delete(self, receipts: Sequence[str]) -> None:
        self._receipts += receipts

    def try_out(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        nothing = [{"Id": "0", "ReceiptHandle": "of no message"}]
        try:
            client = _client(self._url, self._options())
            client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=1, WaitTimeSeconds=0, VisibilityTimeout=VISIBLE
            )
            client.delete_message_batch(QueueUrl=self._url, Entries=nothing)  # rights are checked before the receipt
        except (BotoCoreError, ClientError, OSError, ValueError, KeyError) as error:
            raise _unavailable(self._url, error) from None

    def _ask(self) -> None:
        """One request for messages, after those that delete. Runs alone: `poll` looks at nothing until it ended."""
        from botocore.exceptions import BotoCoreError, ClientError

        began = time.monotonic()
        try:
            if self._client is None:
                self._client = _client(self._url, self._options())
            self._delete()
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MESSAGES_MAX,
                WaitTimeSeconds=WAIT_SECONDS,
                VisibilityTimeout=HIDDEN_SECONDS,
            )
            self._came = [Message(one["Body"], one["ReceiptHandle"]) for one in answer.get("Messages", ())]
        except (BotoCoreError, ClientError, OSError, ValueError, KeyError) as error:
            self._client = None  # keys may have been changed: they are read again
            self._failure = _unavailable(self._url, error)
            return
        if not self._came:
            time.sleep(max(0.0, began + PAUSE_SECONDS - time.monotonic()))

    def _delete(self) -> None:
        while receipts := self._receipts[:MESSAGES_MAX]:
            entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
            self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)  # one that failed comes again
            del self._receipts[: len(receipts)]


def _client(url: str, options: Mapping[str, Any]) -> Any:
    import botocore.session
    from botocore.config import Config

    known = {name.lower().removeprefix("aws_"): value for name, value in options.items()}
    address = urlsplit(url)
    return botocore.session.get_session().create_client(
        "sqs",
        region_name=_region(address.hostname or "") or known.get("region") or known.get("default_region"),
        endpoint_url=f"{address.scheme}://{address.netloc}",
        aws_access_key_id=known.get("access_key_id"),
        aws_secret_access_key=known.get("secret_access_key"),
        aws_session_token=known.get("session_token") or known.get("token"),
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": 1},  # we wait and ask again ourselves, and say why
        ),
    )


def _region(host: str) -> str | None:
    """The region in the name of a queue's host."""
    found = _REGION.search(host)
    return None if found is None else found[1] or found[2]


def _unavailable(url: str, error: BaseException) -> QueueUnavailable:
    from botocore.exceptions import NoCredentialsError

    answer: Mapping[str, Any] = getattr(error, "response", None) or {}
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = f"{answer.get('Error', {}).get('Code', '')}{answer.get('Error', {}).get('QueryErrorCode', '')}"
    kind = QueueUnavailable
    if isinstance(error, NoCredentialsError) or status in (401, 403):
        kind = QueueForbidden
    elif status == 404 or "NonExistentQueue" in code or "QueueDoesNotExist" in code:
        kind = QueueMissing
    return kind(f"{url}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
