"""Braze: what is sent with which keys, and what its answers mean. Requests are made by the composer."""

from __future__ import annotations

from collections.abc import Sequence

from streams.delivery.composer import NOTHING, Item
from streams.delivery.contract import Destination, Encoder, Limits, Request, Response, Verdict
from streams.destinations.braze import encoder as encoding
from streams.destinations.braze import requests
from streams.destinations.braze.composer import BrazeComposer
from streams.destinations.braze.objects import OBJECT_BYTES_MAX
from streams.destinations.braze.settings import BrazeSettings
from streams.destinations.braze.verdicts import verdicts
from streams.destinations.privacy import EVERYTHING, Privacy
from streams.events.schema import WriterSchema


class BrazeDestination(Destination):
    """One configured workspace."""

    def __init__(self, settings: BrazeSettings, privacy: Privacy = EVERYTHING) -> None:
        """Raises `ValueError` where a key cannot be read."""
        self._settings = settings
        self._privacy = privacy
        secrets = [settings.rest_key.reveal()]
        if settings.cohort_api is not None:
            secrets += [settings.cohort_api.partner_api_key.reveal(), settings.cohort_api.data_import_key.reveal()]
        self._verdicts = verdicts(secrets)
        self._composer = BrazeComposer(settings)

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self._settings.scopes().values())

    @property
    def limits(self) -> Limits:
        """A batch is of items as the encoder made them: what a request holds of it, the composer decides."""
        return Limits(
            batch_records_max=1_000,
            batch_bytes_max=requests.REQUEST_BYTES_MAX,
            record_bytes_max=2 * OBJECT_BYTES_MAX,
            requests_in_flight_max=32,  # of all partitions: the sink sends one at a time of each
            retry_base_seconds=1.0,
            records_per_second=None,
            requests_per_second=self._settings.rate,
        )

    def encoder(self, schema: WriterSchema) -> Encoder | None:
        return encoding.encoder(schema, self._settings, self._privacy)

    @property
    def composer(self) -> BrazeComposer:
        return self._composer

    def request(self, scope: str, bodies: Sequence[bytes]) -> Request:
        """As if nothing had been sent before. Raises `ValueError` where one request does not hold all of them."""
        items = [Item(body, position, position) for position, body in enumerate(bodies)]
        composed = self._composer.compose(scope, items, NOTHING, 0)
        if composed.request is None or composed.taken < len(items):
            raise ValueError("one request does not hold all of these")
        return composed.request

    def interpret(self, response: Response, request: Request, records: int) -> Verdict:
        return self._verdicts.verdict(response, request, records)

    def probe(self, scope: str, nonce: str, now_ms: int) -> Request:
        """Creates nobody and costs no data point; the same each time, for Braze keeps nothing of it."""
        return requests.probe(self._settings, scope)
