"""The `privacy` section: names that do not exist are told with those that do, and what may not be hidden is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config import ConfigurationError, Settings, loads

ENVIRONMENT = {"SALT": "0123456789abcdef", "SHORT": "0123456789abcde"}
KINDS = {
    "mixpanel": "destination: mixpanel, project_token: 0123456789abcdef0123456789abcdef",
    "mparticle": "destination: mparticle, feeds: {unbound: {key: k, secret: s}}",
    "braze": "destination: braze, instance: US-01, rest_key: key-of-a-test, "
    "receive: {data: {kind: mparticle_events, keys: [a-made-up-key-of-a-test]}}",
}


def configured(privacy: str, kind: str = "mixpanel", *, reads_secrets: bool = True) -> Settings:
    text = f"kafka: {{bootstrap_servers: k:1}}\nconnectors:\n  one: {{{KINDS[kind]}, privacy: {privacy}}}\n"
    return loads(text, ENVIRONMENT, reads_secrets=reads_secrets)


def problems(privacy: str, kind: str = "mixpanel", *, reads_secrets: bool = True) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        configured(privacy, kind, reads_secrets=reads_secrets)
    return {problem.path.removeprefix("connectors.one.privacy."): str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize("kind", ["mixpanel", "mparticle"])
def test_a_name_that_no_event_has_is_told_with_the_nearest_and_all_that_there_are(kind: str) -> None:
    found = problems("{drop: [device_id, divice_id], hash: {fields: [e_mail], salt: '${SALT}'}}", kind)
    assert set(found) == {"drop[1]", "hash.fields[0]"}
    assert "is not a field of a Currents event. Did you mean device_id? Known names: abort_log" in found["drop[1]"]
    assert "email_address" in found["hash.fields[0]"]


def test_what_an_event_needs_cannot_be_hidden() -> None:
    found = problems(
        "{drop: [id, time, external_user_id], hash: {fields: [id, time, properties, price, city], salt: '${SALT}'}}"
    )
    assert "every destination needs it" in found["drop[0]"]
    assert "every destination needs it" in found["drop[1]"]
    assert "hash it instead" in found["drop[2]"]
    assert "every destination needs it" in found["hash.fields[0]"]
    assert "privacy.properties.hash" in found["hash.fields[2]"]
    assert "is not text" in found["hash.fields[3]"]


def test_a_field_is_dropped_or_hashed() -> None:
    assert (
        "is in drop too"
        in problems("{drop: [device_id], hash: {fields: [device_id], salt: '${SALT}'}}")["hash.fields[0]"]
    )


def test_attributes_of_braze_are_the_customers_own_names() -> None:
    privacy = "{drop: [favourite_colour], hash: {fields: [external_user_id, email], salt: '${SALT}'}}"
    rules = configured(privacy, "braze").connectors["one"].privacy.rules()
    assert rules.drop == {"favourite_colour"}
    assert rules.hashed == {"external_user_id", "email"}
    assert "hash it instead" in problems("{drop: [external_user_id]}", "braze")["drop[0]"]


def test_a_salt_is_a_reference_and_long_enough_and_never_shown(tmp_path: Path) -> None:
    written = problems("{hash: {fields: [device_id], salt: swordfish-swordfish}}")["hash.salt"]
    assert "must be ${ENV} or file:/path" in written
    assert "swordfish" not in written
    assert "at least 16 characters" in problems("{hash: {fields: [device_id], salt: '${SHORT}'}}")["hash.salt"]
    assert "not set" in problems("{hash: {fields: [device_id], salt: '${NONE}'}}")["hash.salt"]
    assert configured("{hash: {fields: [device_id], salt: '${NONE}'}}", reads_secrets=False)
    file = tmp_path / "salt"
    file.write_text("a salt in a file\n")
    rules = configured(f"{{hash: {{fields: [device_id], salt: 'file:{file}'}}}}").connectors["one"].privacy.rules()
    assert rules.salt == b"a salt in a file"


def test_hashing_properties_needs_a_salt() -> None:
    assert "set hash.salt" in " ".join(problems("{properties: {hash: [email]}}").values())


def test_a_connector_without_rules_has_the_plain_destination() -> None:
    connector = configured("{}").connectors["one"]
    assert connector.privacy.is_empty
    assert connector.build()
