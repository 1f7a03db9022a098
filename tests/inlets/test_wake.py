"""Messages of a bucket wake the listing early; without them everything is found all the same."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from structlog.testing import capture_logs

from streams.adapters.sqs import SqsNotices
from streams.cli.assembly.stores import queue_at
from streams.config import loads
from streams.inlets.notices import Notice, Worth, notice_of
from streams.operations.doctor.findings import Finding
from streams.operations.doctor.storage import queue_findings
from streams.ports.errors import QueueUnavailable
from streams.ports.notices import Message
from streams.testing.brokers import Broker
from streams.testing.ports import FakeNotices
from tests.inlets.desk import DAY, LOOKBACK, Desk, avro, events, ids_of, key
from tests.inlets.stage import Inlet
from tests.inlets.stage import key as key_now
from tests.inlets.stores import S3_KEYS, s3_client, s3_options, s3_server
from tests.waiting import wait_until

A_FILE = key("a+0+1 (x).avro")


def written(name: str, bucket: str = "bucket", event: str = "ObjectCreated:Put") -> str:
    """A message as S3 makes it."""
    quoted = name.replace("+", "%2B").replace("=", "%3D").replace(" ", "+")
    s3 = {"bucket": {"name": bucket}, "object": {"key": quoted, "size": 1}}
    return json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": event, "s3": s3}]})


def bridged(name: str) -> str:
    """The same through EventBridge."""
    detail = {"bucket": {"name": "bucket"}, "object": {"key": name}}
    return json.dumps({"detail-type": "Object Created", "source": "aws.s3", "detail": detail})


def by_topic(message: str) -> str:
    """The same through a topic of SNS."""
    return json.dumps({"Type": "Notification", "Message": message})


TEST_EVENT = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "bucket"})


@pytest.mark.parametrize(
    ("body", "place", "expected"),
    [
        (written(A_FILE), "bucket", Notice(Worth.USEFUL, "2026-11-24-12")),
        (written(f"p/q/{A_FILE}"), "bucket/p/q", Notice(Worth.USEFUL, "2026-11-24-12")),
        (written("flat.avro.gz"), "bucket", Notice(Worth.USEFUL)),
        (bridged(A_FILE), "bucket", Notice(Worth.USEFUL, "2026-11-24-12")),
        (by_topic(written(A_FILE)), "bucket", Notice(Worth.USEFUL, "2026-11-24-12")),
        (TEST_EVENT, "bucket", Notice(Worth.USELESS)),
        (written(A_FILE, event="ObjectRemoved:Delete"), "bucket", Notice(Worth.USELESS)),
        (written("notes.txt"), "bucket", Notice(Worth.USELESS)),
        (written(A_FILE, "other"), "bucket", Notice(Worth.FOREIGN)),
        (written(f"px/{A_FILE}"), "bucket/p", Notice(Worth.FOREIGN)),
        ("", "bucket", Notice(Worth.MALFORMED)),
        ("no json", "bucket", Notice(Worth.MALFORMED)),
        ("[1]", "bucket", Notice(Worth.MALFORMED)),
        ("{}", "bucket", Notice(Worth.MALFORMED)),
        ('{"Records": [{"s3": {}}]}', "bucket", Notice(Worth.MALFORMED)),
        ('{"Records": [7]}', "bucket", Notice(Worth.MALFORMED)),
        ('{"Records": 7}', "bucket", Notice(Worth.MALFORMED)),
        (by_topic("no json"), "bucket", Notice(Worth.MALFORMED)),
        (by_topic("[]"), "bucket", Notice(Worth.MALFORMED)),
    ],
)  # fmt: skip
def test_what_a_message_is_worth(body: str, place: str, expected: Notice) -> None:
    assert notice_of(body, place) == expected


@pytest.fixture
def queue() -> FakeNotices:
    return FakeNotices()


@pytest.fixture
def desk(tmp_path: Path, queue: FakeNotices) -> Desk:
    desk = Desk(tmp_path, notices=queue)
    desk.run()
    return desk


def test_a_message_lists_at_once_and_is_deleted_then(desk: Desk, queue: FakeNotices) -> None:
    desk.store.put(key("a.avro"), avro(events(2)))
    desk.run()
    assert desk.ids == [], "the next poll is not due"
    queue.send(written(key("a.avro")))
    desk.run()
    assert (desk.ids, queue.taken, desk.meter.notices) == (ids_of(events(2)), {}, ["useful"])


def test_a_message_is_kept_until_a_listing_that_began_after_it_was_finished(desk: Desk, queue: FakeNotices) -> None:
    desk.store.failing = desk.unreachable
    desk.store.put(key("a.avro"), avro(events(2)))
    queue.send(written(key("a.avro")))
    desk.run()
    assert list(queue.taken) == ["receipt 1"]
    desk.restart()
    queue.show_again()
    desk.store.failing = None
    desk.poll(60)
    assert (desk.ids, queue.taken, queue.waiting) == (ids_of(events(2)), {}, [])


@pytest.mark.parametrize("hours", [5, 150])
def test_a_message_about_a_late_file_lists_the_look_back(desk: Desk, queue: FakeNotices, hours: int) -> None:
    desk.poll(hours * 3600)
    desk.clock.advance(60)
    desk.store.put(key("late.avro"), avro(events(2)))
    queue.send(written(key("late.avro")))
    desk.run()
    assert (desk.ids, queue.taken) == (ids_of(events(2)), {})


def test_a_message_about_a_file_before_the_look_back_is_left_to_the_daily_listing(
    desk: Desk, queue: FakeNotices
) -> None:
    desk.poll(LOOKBACK + 3600)
    desk.store.put(key("old.avro"), avro(events(2)))
    queue.send(written(key("old.avro")))
    desk.run()
    assert (desk.ids, queue.taken) == ([], {})
    desk.poll(DAY)
    assert desk.ids == ids_of(events(2))


def test_many_messages_start_one_listing(desk: Desk, queue: FakeNotices) -> None:
    before = desk.store.lists
    for _ in range(95):
        queue.send(written(key("a.avro")))
        desk.run()
    desk.poll(3)
    assert (desk.store.lists - before < 12, queue.taken, queue.waiting) == (True, {}, [])


def test_what_is_not_about_this_inlet_is_deleted_and_counted_and_told_once(desk: Desk, queue: FakeNotices) -> None:
    before = desk.store.lists
    with capture_logs() as lines:
        for body in ("no json", "{}", written("a.avro", "other"), written("a.avro", event="ObjectRemoved:Delete")):
            queue.send(body)
            desk.run()
    assert desk.meter.notices == ["malformed", "malformed", "foreign", "useless"]
    assert (queue.taken, desk.store.lists) == ({}, before)
    assert [line["worth"] for line in lines if "deleted" in line["event"]] == ["malformed", "foreign"]


def test_while_the_queue_is_away_polling_goes_on_and_it_is_told_once(desk: Desk, queue: FakeNotices) -> None:
    queue.failing = QueueUnavailable("https://sqs: connection refused")
    with capture_logs() as lines:
        for number in range(20):
            desk.store.put(key(f"{number}.avro"), avro(events(1, f"f{number}")))
            desk.poll()
        queue.failing = None
        desk.poll(60)
    assert len(desk.ids) == 20
    assert queue.polls < 60, "it backs off"
    told = [line["event"] for line in lines if "queue" in line["event"]]
    assert told == ["the queue does not answer: new files are found by poll", "the queue answers again"]


def test_without_one_message_everything_is_found(desk: Desk, queue: FakeNotices) -> None:
    desk.store.put(key("a.avro"), avro(events(2)))
    desk.poll()
    assert desk.ids == ids_of(events(2))


# Amazon's own protocol, by moto's server.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("aws")) as address:
        yield address


def client(server: str, service: str) -> Any:
    import botocore.session

    return botocore.session.get_session().create_client(
        service,
        region_name=S3_KEYS["region"],
        endpoint_url=server,
        aws_access_key_id=S3_KEYS["access_key_id"],
        aws_secret_access_key=S3_KEYS["secret_access_key"],
    )


def made_queue(server: str, name: str) -> str:
    return str(client(server, "sqs").create_queue(QueueName=name)["QueueUrl"])


def left(server: str, url: str) -> int:
    """Messages that are in the queue, whoever has them."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = client(server, "sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(told[name]) for name in names)


def polled(notices: SqsNotices) -> list[Message]:
    """Messages of the next answer that has some."""
    found: list[Message] = []

    def ask() -> bool:
        found.extend(notices.poll() or ())
        return bool(found)

    wait_until(ask, "a message")
    return found


def test_messages_of_a_queue_come_and_go_when_they_are_deleted(server: str) -> None:
    url = made_queue(server, "come-and-go")
    notices = SqsNotices(url, lambda: S3_KEYS)
    for number in range(25):
        client(server, "sqs").send_message(QueueUrl=url, MessageBody=f"body {number}")
    found: list[Message] = []
    while len(found) < 25:
        found += polled(notices)
    assert {one.body for one in found} == {f"body {number}" for number in range(25)}
    assert left(server, url) == 25
    notices.delete([one.receipt for one in found])
    wait_until(lambda: notices.poll() is not None or not left(server, url), "they are deleted")
    wait_until(lambda: not left(server, url), "they are deleted")


@pytest.mark.parametrize("kind", ["away", "unknown"])
def test_a_queue_that_does_not_answer_is_unavailable_and_asked_again(server: str, kind: str) -> None:
    address = "http://127.0.0.1:1" if kind == "away" else server
    notices = SqsNotices(f"{address}/123456789012/nobody-made-this", lambda: S3_KEYS)
    for _ in range(2):
        with pytest.raises(QueueUnavailable, match="nobody-made-this"):
            wait_until(lambda: notices.poll() is not None, "an answer")


def test_without_keys_and_identity_the_queue_is_unavailable(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    notices = SqsNotices(made_queue(server, "no-keys"), lambda: {"region": "eu-central-1"})
    with pytest.raises(QueueUnavailable, match="credentials"):
        wait_until(lambda: notices.poll() is not None, "an answer")


# Doctor tries the queue.


def examined(url: str, keys: dict[str, str] = S3_KEYS) -> Finding:
    inlet = {"kind": "storage", "url": "s3://bucket/braze", "notify_queue": url, "options": keys}
    settings = loads(json.dumps({"kafka": {"bootstrap_servers": "k:1"}, "inlets": {"bucket": inlet}}), {})
    (found,) = queue_findings(settings, queue_at)
    return found


def test_doctor_says_that_a_queue_can_be_used_and_leaves_its_messages(server: str) -> None:
    url = made_queue(server, "examined")
    client(server, "sqs").send_message(QueueUrl=url, MessageBody="stays")
    found = examined(url)
    assert (found.outcome, found.what) == ("ok", "queue of inlet bucket"), found.detail
    assert [one.body for one in polled(SqsNotices(url, lambda: S3_KEYS))] == ["stays"]


def test_doctor_tells_a_queue_that_is_not_there_from_a_wrong_address(server: str) -> None:
    url = made_queue(server, "there")
    absent, nowhere = examined(f"{url}-not"), examined("http://127.0.0.1:1/123456789012/there")
    assert (absent.outcome, absent.fix) == ("problem", "make the queue, or correct inlets.bucket.notify_queue")
    assert (nowhere.outcome, nowhere.trouble) == ("problem", "unreachable")
    assert "can this machine reach it" in nowhere.fix


def test_doctor_names_the_rights_that_a_queue_wants(server: str) -> None:
    url = made_queue(server, "guarded")
    iam = client(server, "iam")
    iam.create_user(UserName="inlet")
    made = iam.create_access_key(UserName="inlet")["AccessKey"]
    keys = {**S3_KEYS, "access_key_id": made["AccessKeyId"], "secret_access_key": made["SecretAccessKey"]}
    check_rights_after(server, 0)
    try:
        found = examined(url, keys)
        assert (found.outcome, found.trouble) == ("problem", "credentials")
        assert found.fix == "the inlet needs sqs:ReceiveMessage and sqs:DeleteMessage on this queue"
        assert made["SecretAccessKey"] not in str(found)
    finally:
        check_rights_after(server, 1_000_000)


def check_rights_after(server: str, requests: int) -> None:
    """After so many requests moto's server looks at rights."""
    request = urllib.request.Request(
        f"{server}/moto-api/reset-auth", str(requests).encode(), {"Content-Type": "text/plain"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=60).close()


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
        ("vpce-0a-1b.sqs.us-gov-west-1.vpce.amazonaws.com", "us-gov-west-1"),
        ("ap-southeast-2.queue.amazonaws.com", "ap-southeast-2"),
        ("localhost", None),
    ],
)
def test_the_region_is_that_of_the_queues_address(host: str, region: str | None) -> None:
    from streams.adapters.sqs import _region

    assert _region(host) == region


@pytest.mark.apache
@pytest.mark.timeout(300)
def test_the_service_takes_a_file_long_before_its_poll_and_deletes_the_message(
    kafka: Broker, server: str, tmp_path: Path
) -> None:
    bucket = s3_client(server, "woken")
    url = made_queue(server, "woken")
    sends = {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:woken", "Events": ["s3:ObjectCreated:*"]}
    client(server, "s3").put_bucket_notification_configuration(
        Bucket="woken", NotificationConfiguration={"QueueConfigurations": [sends]}
    )
    options = json.dumps(s3_options(server))
    inlet = Inlet(kafka.bootstrap_servers, tmp_path, "s3://woken/braze", options, poll="10m", notify_queue=url)
    process = inlet.start()
    try:
        wait_until(lambda: "inlet starts" in process.log.read_text(), "the inlet has its lease")
        client(server, "sqs").send_message(QueueUrl=url, MessageBody="no json")
        wait_until(lambda: "not about this inlet" in process.log.read_text(), "the queue is read")
        obstore.put(bucket, f"braze/{key_now('a.avro')}", avro(events(3)))  # of which S3 itself tells the queue
        assert sorted(inlet.await_records(3)) == ids_of(events(3))
        wait_until(lambda: left(server, url) == 0, "the messages are deleted")
    finally:
        inlet.stop()
