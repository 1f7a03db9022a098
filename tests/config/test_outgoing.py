"""The `http` section: which way requests go, and what may not stand in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config import ConfigurationError, Settings, loads
from streams.config.http import Proxy
from tests.config.vendors import REGISTRY

PASSWORD = "hunter2-swordfish"


def settings(http: str) -> Settings:
    text = (
        f"kafka: {{bootstrap_servers: k:1}}\nhttp: {http}\nconnectors: {{one: {{destination: acme, project_token: t}}}}"
    )
    return loads(text, {"PROXY_PASSWORD": PASSWORD}, registry=REGISTRY)


@pytest.mark.parametrize(
    ("http", "path", "fix"),
    [
        ("{verify: false}", "http.verify", "is not a known key here"),
        ("{ca_file: /nowhere.pem}", "http.ca_file", "must be a file that exists"),
        (f"{{ca_file: {__file__}}}", "http.ca_file", "certificates in PEM"),
        ("{proxy: {}}", "http.proxy.url", "must be set"),
        ("{proxy: {url: 'http://u:p@proxy:3128'}}", "http.proxy.url", "without user or password"),
        ("{proxy: {url: 'http://proxy:3128', username: streams}}", "http.proxy", "belong together"),
        (
            "{proxy: {url: 'http://proxy:3128', username: 'a:b', password: p}}",
            "http.proxy.username",
            "must match",
        ),
        ("{proxy: {url: 'http://proxy:3128', no_proxy: ['*']}}", "http.proxy.no_proxy[0]", "without *"),
    ],
)
def test_what_cannot_be_is_told_with_its_fix(http: str, path: str, fix: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(http)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert fix in problem.fix


def test_the_proxys_password_is_a_secret(tmp_path: Path) -> None:
    found = settings("{proxy: {url: 'http://proxy:3128', username: streams, password: '${PROXY_PASSWORD}'}}")
    assert PASSWORD not in repr(found)
    assert found.http.proxy is not None
    assert found.http.proxy.password is not None
    assert found.http.proxy.password.reveal() == PASSWORD


@pytest.mark.parametrize(
    ("host", "is_for"),
    [
        ("api.mixpanel.com", True),
        ("schema-registry", False),
        ("Schema-Registry", False),
        ("schema-registry.example.com", True),
        ("a.svc.cluster.local", False),
        ("svc.cluster.local", True),
        ("evil-svc.cluster.local.example.com", True),
    ],
)
def test_excepted_hosts_are_whole_names_or_ends_after_a_dot(host: str, is_for: bool) -> None:
    proxy = Proxy.model_validate({"url": "http://proxy:3128", "no_proxy": ["schema-registry", ".svc.cluster.local"]})
    assert proxy.is_for(host) is is_for
