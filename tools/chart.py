"""Writes what is derived in the chart: `values.schema.json`, and the table of values in its README.

    python tools/chart.py            writes both
    python tools/chart.py --check    changes nothing; exits with 1 where one is not current

The schema of `config` and of each connector's `config` is what `streams config schema` prints. Two things are stricter
here: a secret must be a reference, so that none gets into a ConfigMap, and so must an option of Kafka that holds one.
Everything else is written below, once for the pods of all processes alike.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from streams.config.schema import json_schema

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "helm"
SCHEMA = CHART / "values.schema.json"
README = CHART / "README.md"
BEGIN = "<!-- values: begin (made by python tools/chart.py) -->"
END = "<!-- values: end -->"

Schema = dict[str, Any]
REFERENCE = r"^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:/.+)$"
ONLY_A_REFERENCE: Schema = {"not": {"not": {"pattern": REFERENCE}}}
"""Negated twice, because Helm's sentence about a pattern shows the value, which would be a secret."""
OPTION_TO_HIDE = r"(password|secret|jaas|oauthbearer\.config|\.key\.pem)"
"""Options of librdkafka whose text is a secret, or may hold one."""
STORE_OPTION_TO_HIDE = r"(?i)(secret|account_key|master_key|access_key|service_account_key|customer_key|sas_|token$)"
"""The same of object stores."""

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
OPEN: Schema = {"type": "object"}
"""Kubernetes checks what is in it."""
LIST_OF_OPEN: Schema = {"type": "array", "items": OPEN}
LABEL: Schema = {"type": "string", "pattern": r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"}
KEYS: Schema = {"pattern": r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"}
LABELS: Schema = {"type": "object", "propertyNames": KEYS, "additionalProperties": LABEL}
ANNOTATIONS: Schema = {"type": "object", "propertyNames": KEYS, "additionalProperties": TEXT}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
NAME: Schema = {"type": "string", "pattern": r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$"}
"""Of an object in Kubernetes, or nothing."""
COUNT_OR_SHARE: Schema = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,3}%$"}]}
COUNT_SHARE_OR_NOTHING: Schema = {"anyOf": [*COUNT_OR_SHARE["anyOf"], {"const": ""}]}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))?$"}
PEERS: Schema = {"type": "array", "items": OPEN}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}


def count(least: int = 0, most: int | None = None) -> Schema:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most})}


def section(properties: Schema, **more: Any) -> Schema:
    """An object with these keys and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


PROBE: Schema = {
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {
        name: count(least)
        for name, least in {
            "initialDelaySeconds": 0,
            "periodSeconds": 1,
            "timeoutSeconds": 1,
            "failureThreshold": 1,
            "successThreshold": 1,
        }.items()
    },
}
VARIABLE: Schema = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]*$"},
        "value": TEXT,
        "valueFrom": OPEN,
    },
}
POD: Schema = {
    "resources": section({"requests": OPEN, "limits": OPEN, "claims": LIST_OF_OPEN}),
    "extraEnv": {"type": "array", "items": VARIABLE},
    "extraEnvFrom": LIST_OF_OPEN,
    "extraVolumes": LIST_OF_OPEN,
    "extraVolumeMounts": LIST_OF_OPEN,
    "extraContainers": LIST_OF_OPEN,
    "initContainers": LIST_OF_OPEN,
    "podAnnotations": ANNOTATIONS,
    "podLabels": LABELS,
    "workloadAnnotations": ANNOTATIONS,
    "nodeSelector": LABELS,
    "tolerations": LIST_OF_OPEN,
    "affinity": OPEN,
    "topologySpreadConstraints": LIST_OF_OPEN,
    "priorityClassName": NAME,
    "runtimeClassName": NAME,
    "hostAliases": LIST_OF_OPEN,
    "dnsPolicy": {"enum": ["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]},
    "dnsConfig": OPEN,
    # A process settles and leaves within 25 s; less would cut it off.
    "terminationGracePeriodSeconds": count(26),
    "podSecurityContext": OPEN,
    "securityContext": OPEN,
    "startupProbe": PROBE,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
}
BUDGET = section({"enabled": FLAG, "maxUnavailable": COUNT_OR_SHARE, "minAvailable": COUNT_SHARE_OR_NOTHING})
ROUTER: Schema = {**POD, "replicas": count(1), "podDisruptionBudget": BUDGET}
SINK: Schema = {
    **ROUTER,
    "autoscaling": section(
        {
            "enabled": FLAG,
            "minReplicas": count(1),
            "maxReplicas": count(1),
            "lagThreshold": count(1),
            "pollingInterval": count(1),
            "cooldownPeriod": count(0),
            "advanced": OPEN,
        }
    ),
}
RECEIVER: Schema = {
    "enabled": FLAG,
    **ROUTER,
    "autoscaling": section({"enabled": FLAG, "minReplicas": count(1), "maxReplicas": count(1), "cpu": count(1, 100)}),
    "service": section(
        {"type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, "port": PORT, "annotations": ANNOTATIONS}
    ),
    "ingress": section({"className": NAME, "host": NAME, "tls": LIST_OF_OPEN, "annotations": ANNOTATIONS}),
    "httpRoute": section({"parentRefs": LIST_OF_OPEN, "hostname": NAME}),
    "networkPolicy": section({"from": PEERS}),
}
CONSOLE: Schema = {
    "enabled": FLAG,
    **POD,
    "connectorSecrets": FLAG,
    **{key: RECEIVER[key] for key in ("service", "ingress", "httpRoute", "networkPolicy")},
}
INLET: Schema = {**ROUTER, "serviceAccount": section({"create": FLAG, "name": NAME, "annotations": ANNOTATIONS})}
"""A storage inlet has pods of its own, and may have an identity of its own at the cloud. An HTTP inlet has neither."""
SENDERS_ARE_NAMED: Schema = {
    "if": {
        "required": ["receiver"],
        "properties": {
            "receiver": {"required": ["enabled"], "properties": {"enabled": {"const": True}}},
            "networkPolicy": {"properties": {"enabled": {"const": True}}},
        },
    },
    "then": {"properties": {"receiver": {"properties": {"networkPolicy": {"properties": {"from": {"minItems": 1}}}}}}},
}
"""A receiver that a policy shuts off from everybody would be of no use, and one that is open to all no policy."""
SECRET = section(
    {
        "existingSecret": NAME,
        "values": {
            "type": "object",
            "propertyNames": {"pattern": r"^[A-Za-z0-9._-]{1,253}$"},
            "additionalProperties": {"type": "string", "minLength": 1},
        },
    }
)
RULE_OVERRIDE = section({"expr": TEXT, "for": DURATION, "labels": TEXTS, "annotations": TEXTS})


def strict(definitions: Schema) -> Schema:
    """The program's definitions, with references wherever a secret stands."""
    text = json.dumps(definitions)
    found = json.loads(text, object_hook=_reference_for_secret)
    options = found["Kafka"]["properties"]["options"]
    options["patternProperties"] = {OPTION_TO_HIDE: {"type": "string", **ONLY_A_REFERENCE}}
    stores = found["StorageInlet"]["properties"]["options"]
    stores["patternProperties"] = {STORE_OPTION_TO_HIDE: {"type": "string", **ONLY_A_REFERENCE}}
    assert isinstance(found, dict)
    return found


def _reference_for_secret(value: Schema) -> Schema:
    if value.get("writeOnly") and value.get("type") == "string":
        return {**value, **ONLY_A_REFERENCE}
    return value


def values_schema() -> Schema:
    """JSON Schema of the chart's values, in the dialect that every Helm 3 and 4 reads."""
    whole = json_schema()
    connectors = whole["properties"]["connectors"]
    inlets = whole["properties"]["inlets"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart streams",
        "type": "object",
        "additionalProperties": False,
        "required": ["config", "connectors"],
        **SENDERS_ARE_NAMED,
        "properties": {
            "global": {
                "type": "object",
                "description": "Helm hands it to charts inside charts; nothing here reads it.",
            },
            "nameOverride": LABEL,
            "fullnameOverride": NAME,
            "commonLabels": LABELS,
            "commonAnnotations": ANNOTATIONS,
            "image": section(
                {
                    "registry": {"type": "string", "pattern": r"^([A-Za-z0-9][A-Za-z0-9.:/_-]*)?$"},
                    "repository": {"type": "string", "pattern": r"^[a-z0-9][a-z0-9./_-]*$"},
                    "tag": {"type": "string", "pattern": r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"},
                    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                }
            ),
            "imagePullSecrets": {"type": "array", "items": section({"name": NAME}, required=["name"])},
            "config": section(
                {
                    "kafka": whole["properties"]["kafka"],
                    "source": whole["properties"]["source"],
                    "notify": whole["properties"]["notify"],
                    "http": whole["properties"]["http"],
                    "receiver": whole["properties"]["receiver"],
                    "console": whole["properties"]["console"],
                },
                required=["kafka"],
            ),
            "kafkaSecret": SECRET,
            "registrySecret": SECRET,
            "notifySecret": SECRET,
            "httpSecret": SECRET,
            "connectors": {
                "type": "object",
                "propertyNames": connectors["propertyNames"],
                "additionalProperties": section(
                    {"config": connectors["additionalProperties"], "secret": SECRET, **SINK}, required=["config"]
                ),
            },
            "inlets": {
                "type": "object",
                "propertyNames": inlets["propertyNames"],
                "additionalProperties": section(
                    {"config": inlets["additionalProperties"], "secret": SECRET, **INLET}, required=["config"]
                ),
            },
            "logLevel": {"enum": ["debug", "info", "warning", "error"]},
            "httpPort": {
                **PORT,
                "minimum": 1024,
                "description": "A process without privileges cannot have a lower one.",
            },
            "telemetry": section(
                {
                    "otlpEndpoint": {"type": "string", "pattern": r"^(https?://[^\s]+)?$"},
                    "otlpProtocol": {"enum": ["http/protobuf"]},
                    "sampleRatio": {"type": "number", "minimum": 0, "maximum": 1},
                }
            ),
            "router": section(ROUTER),
            "sink": section(SINK),
            "inlet": section(INLET),
            "receiver": section(RECEIVER),
            "console": section({**CONSOLE, "secret": SECRET}),
            "keda": section({"triggerAuthentication": NAME, "secretTargetRef": LIST_OF_OPEN, "metadata": TEXTS}),
            "pod": section(POD),
            "serviceAccount": section({"create": FLAG, "name": NAME, "annotations": ANNOTATIONS}),
            "topics": section(
                {"job": section({"enabled": FLAG, "backoffLimit": count(), "activeDeadlineSeconds": count(1)})}
            ),
            "strimzi": section(
                {
                    "cluster": NAME,
                    "apiVersion": {"enum": ["kafka.strimzi.io/v1", "kafka.strimzi.io/v1beta2"]},
                    "topics": section({"enabled": FLAG, "maxMessageBytes": count(2_000_000)}),
                    "users": section(
                        {
                            "enabled": FLAG,
                            "authentication": {"enum": ["scram-sha-512", "tls"]},
                            "clusterCaSecret": NAME,
                        }
                    ),
                }
            ),
            "networkPolicy": section(
                {
                    "enabled": FLAG,
                    "kafka": section({"to": PEERS, "ports": {"type": "array", "items": PORT}}),
                    "destinations": PEERS,
                    "objectStores": PEERS,
                    "metricsFrom": PEERS,
                    "extraEgress": LIST_OF_OPEN,
                    "extraIngress": LIST_OF_OPEN,
                }
            ),
            "podMonitor": section(
                {
                    "enabled": FLAG,
                    "labels": LABELS,
                    "interval": DURATION,
                    "scrapeTimeout": DURATION,
                    "relabelings": LIST_OF_OPEN,
                    "metricRelabelings": LIST_OF_OPEN,
                }
            ),
            "prometheusRule": section(
                {
                    "enabled": FLAG,
                    "labels": LABELS,
                    "repositoryUrl": {"type": "string", "pattern": r"^(https?://[^\s]+)?$"},
                    "additionalRuleLabels": TEXTS,
                    "disabled": {"type": "array", "items": TEXT},
                    "overrides": {"type": "object", "additionalProperties": RULE_OVERRIDE},
                    "extraGroups": LIST_OF_OPEN,
                }
            ),
            "dashboards": section({"enabled": FLAG, "labels": LABELS, "annotations": ANNOTATIONS}),
            "extraManifests": {"type": "array", "items": {"type": ["string", "object"]}},
        },
        "$defs": strict(whole["$defs"]),
    }


def table() -> str:
    """Every value that has a comment `# --`, with its default and what the comment says."""
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    defaults = yaml.safe_load("\n".join(lines))
    rows = ["| key | default | meaning |", "|---|---|---|"]
    path: list[tuple[int, str]] = []
    meaning = ""
    for line in lines:
        if comment := re.match(r" *# -- (.+)", line):
            meaning = comment[1]
        elif key := re.match(r"( *)([A-Za-z]\w*):", line):
            path = [*(place for place in path if place[0] < len(key[1])), (len(key[1]), key[2])]
            if meaning:
                names = [name for _, name in path]
                told = meaning.replace("|", "\\|")
                rows.append(f"| `{'.'.join(names)}` | {_shown(_at(defaults, names))} | {told} |")
                meaning = ""
    return "\n".join(rows)


def _at(values: Any, names: list[str]) -> Any:
    for name in names:
        values = values[name]
    return values


def _shown(value: Any) -> str:
    return "" if value == "" else f"`{json.dumps(value)}`"


def renewed_readme(text: str) -> str:
    """The page with the table as it is now. Raises `ValueError` where it has no place for it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{README} has no marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where something is not current")
    is_check = parser.parse_args().check
    wanted = {
        SCHEMA: json.dumps(values_schema(), indent=2, ensure_ascii=False) + "\n",
        README: renewed_readme(README.read_text(encoding="utf-8")),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'not current' if is_check else 'wrote'}: {path.relative_to(ROOT)}", file=sys.stderr)
        if not is_check:
            path.write_text(wanted[path], encoding="utf-8")
    if is_check and stale:
        sys.exit("run: python tools/chart.py")


if __name__ == "__main__":
    main()
