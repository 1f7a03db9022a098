"""What a cluster would say of an object: its schema, an operator's model, the restricted Pod Security Standard."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus
from pydantic import BaseModel

from tests.helm.chart import Manifest

# It would read a megabyte of definitions anew for each object.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)

VERSIONS = ("1.30", "1.33", "1.37")
"""Kubernetes versions that the chart is held to: one that vendors still support, one between, the newest known."""

ACL: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["resource", "operations"],
    "properties": {
        "resource": {
            "type": "object",
            "additionalProperties": False,
            "required": ["type", "name", "patternType"],
            "properties": {
                "type": {"enum": ["topic", "group", "transactionalId"]},
                "name": {"type": "string", "minLength": 1},
                "patternType": {"enum": ["literal", "prefix"]},
            },
        },
        "operations": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {
                "enum": ["Read", "Write", "Create", "Delete", "Alter", "Describe", "DescribeConfigs", "AlterConfigs"]
            },
        },
    },
}
STRIMZI: dict[str, dict[str, Any]] = {
    "KafkaTopic": {
        "type": "object",
        "additionalProperties": False,
        "required": ["topicName", "partitions", "replicas", "config"],
        "properties": {
            "topicName": {"type": "string", "pattern": "^[a-zA-Z0-9._-]{1,249}$"},
            "partitions": {"type": "integer", "minimum": 1},
            "replicas": {"type": "integer", "minimum": 1},
            "config": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        },
    },
    "KafkaUser": {
        "type": "object",
        "additionalProperties": False,
        "required": ["authentication", "authorization"],
        "properties": {
            "authentication": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"type": {"enum": ["scram-sha-512", "tls"]}},
            },
            "authorization": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"type": {"const": "simple"}, "acls": {"type": "array", "items": ACL}},
            },
        },
    },
}
"""Strimzi's fields that the chart sets, in our words: no package has its models."""
GATEWAY: dict[str, dict[str, Any]] = {
    "HTTPRoute": {
        "type": "object",
        "additionalProperties": False,
        "required": ["parentRefs", "rules"],
        "properties": {
            "parentRefs": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["name"],
                    "properties": {
                        **{key: {"type": "string"} for key in ("group", "kind", "namespace", "name", "sectionName")},
                        "port": {"type": "integer"},
                    },
                },
            },
            "hostnames": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 253}},
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "matches": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {
                                    "path": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "type": {"enum": ["Exact", "PathPrefix", "RegularExpression"]},
                                            "value": {"type": "string", "pattern": "^/"},
                                        },
                                    }
                                },
                            },
                        },
                        "backendRefs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["name", "port"],
                                "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The Gateway API's fields that the chart sets, in our words."""

MODELS: dict[str, type[BaseModel]] = {
    "ScaledObject": keda.ScaledObject,
    "TriggerAuthentication": keda.TriggerAuthentication,
    "PodMonitor": prometheus.PodMonitor,
    "PrometheusRule": prometheus.PrometheusRule,
}


def problems(manifest: Manifest, version: str) -> Iterator[str]:
    """What the API server of this version, or the operator whose resource it is, would refuse."""
    kind = manifest["kind"]
    if kind in MODELS:
        yield from _unknown(manifest, MODELS[kind].model_validate(manifest).model_dump(by_alias=True, mode="json"))
    elif fields := STRIMZI.get(kind) or GATEWAY.get(kind):
        for error in jsonschema.Draft202012Validator(fields).iter_errors(manifest["spec"]):
            yield error.message
    else:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{'.'.join(map(str, error.path))}: {error.message}"


def _unknown(given: Any, understood: Any, path: str = "") -> Iterator[str]:
    """Keys that a model dropped: it ignores what it does not know, a cluster prunes it."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for key, value in given.items():
            if key not in understood:
                yield f"{path}.{key}: is no key there"
            else:
                yield from _unknown(value, understood[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(understood, list):
        for index, (value, other) in enumerate(zip(given, understood, strict=True)):
            yield from _unknown(value, other, f"{path}[{index}]")


VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "name",
}  # fmt: skip


def restricted(pod: Manifest) -> Iterator[str]:
    """What the restricted Pod Security Standard forbids; and ids by name, and a root that can be written."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{key} is set"
    for volume in pod.get("volumes", ()):
        if extra := volume.keys() - VOLUMES:
            yield f"volume {volume['name']} is of a kind that is not allowed: {extra}"
    shared = pod.get("securityContext") or {}
    if not isinstance(shared.get("runAsUser"), int) or shared["runAsUser"] == 0:
        yield "runAsUser is not a number other than 0"
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        own = container.get("securityContext") or {}
        name = container["name"]
        if not own.get("runAsNonRoot", shared.get("runAsNonRoot")):
            yield f"{name}: runAsNonRoot is not true"
        if own.get("runAsUser") == 0:
            yield f"{name}: runs as root"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation is not false"
        if own.get("privileged"):
            yield f"{name}: is privileged"
        capabilities = own.get("capabilities") or {}
        if "ALL" not in capabilities.get("drop", ()):
            yield f"{name}: does not drop ALL"
        if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
            yield f"{name}: adds capabilities"
        profile = (own.get("seccompProfile") or shared.get("seccompProfile") or {}).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: has no seccomp profile"
        if any(port.get("hostPort") for port in container.get("ports", ())):
            yield f"{name}: takes a port of the node"
        if name == "streams" and own.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: can write its root"
