{{/*
The least that each role needs of Kafka, why beside it. One entry: {resource, operations}.
*/}}

{{- define "streams.routerAcls" -}}
{{- $prefix := default "streams." .Values.config.kafka.topic_prefix }}
{{- $source := default (dict) .Values.config.source }}
{{- range $topic := default (list "^currents\\..+") $source.topics }}
# What it routes; doctor compares how large records may be. A pattern may match anything below the prefix of Currents topics.
{{- if hasPrefix "^" $topic }}
- resource: {type: topic, name: {{ default "currents." $source.topic_prefix | quote }}, patternType: prefix}
{{- else }}
- resource: {type: topic, name: {{ $topic | quote }}, patternType: literal}
{{- end }}
  operations: [Read, Describe, DescribeConfigs]
{{- end }}
# Its state and the schemas; and what `streams connectors` and `streams dlq` list from its pod.
- resource: {type: topic, name: {{ $prefix | quote }}, patternType: prefix}
  operations: [Read, Describe, DescribeConfigs]
# Where it routes to.
- resource: {type: topic, name: {{ printf "%sconnector." $prefix | quote }}, patternType: prefix}
  operations: [Write]
# What nothing can decode; its keeper deletes what has expired.
- resource: {type: topic, name: {{ printf "%sdead-letter.source" $prefix | quote }}, patternType: literal}
  operations: [Write, Delete]
- resource: {type: topic, name: {{ printf "%sstate" $prefix | quote }}, patternType: literal}
  operations: [Write]
- resource: {type: topic, name: {{ printf "%saudit" $prefix | quote }}, patternType: literal}
  operations: [Write]
{{- if and (include "streams.hasHttpInlet" .) (not (include "streams.isRouted" .)) }}
{{- include "streams.httpEventAcls" . }}
{{- end }}
{{- if include "streams.hasHttpInlet" . }}
# Schemas of what came over HTTP, when a replay maps it again.
- resource: {type: topic, name: {{ printf "%sschemas" $prefix | quote }}, patternType: literal}
  operations: [Write]
{{- end }}
# Users who are to be forgotten.
- resource: {type: topic, name: {{ printf "%sforgotten" $prefix | quote }}, patternType: literal}
  operations: [Write]
# Its group, and the names that readers of schemas go by.
- resource: {type: group, name: {{ printf "%srouter" $prefix | quote }}, patternType: prefix}
  operations: [Read, Describe]
# The names that commands go by which are typed in its pod.
- resource: {type: group, name: streams-, patternType: prefix}
  operations: [Describe]
# Accounts ride on the commits of all groups.
- resource: {type: group, name: {{ $prefix | quote }}, patternType: prefix}
  operations: [Describe]
- resource: {type: transactionalId, name: {{ printf "%srouter-" $prefix | quote }}, patternType: prefix}
  operations: [Write, Describe]
- resource: {type: transactionalId, name: {{ printf "%skeeper.source" $prefix | quote }}, patternType: literal}
  operations: [Write, Describe]
{{- end -}}

{{/* The topics of HTTP inlets' events: the receiver writes them, and a replay where nothing is routed. */}}
{{- define "streams.httpEventAcls" -}}
{{- $source := default (dict) .Values.config.source }}
{{- $seen := dict }}
{{- range $name := keys .Values.inlets | sortAlpha }}
{{- $config := (index $.Values.inlets $name).config }}
{{- $topics := default (default "currents." $source.topic_prefix) $config.topic_prefix }}
{{- if and (eq $config.kind "http") (not (hasKey $seen $topics)) }}
{{- $_ := set $seen $topics true }}
# Events that Braze sends; a topic is made with the first event of its type.
- resource: {type: topic, name: {{ $topics | quote }}, patternType: prefix}
  operations: [Write, Create, Describe]
{{- end }}
{{- end }}
{{- end -}}

{{- define "streams.receiverAcls" -}}
{{- $prefix := default "streams." .Values.config.kafka.topic_prefix }}
{{- range $name := keys .Values.connectors | sortAlpha }}
{{- if hasKey (index $.Values.connectors $name).config "receive" }}
# What vendors send.
- resource: {type: topic, name: {{ printf "%sconnector.%s" $prefix $name | quote }}, patternType: literal}
  operations: [Write, Describe]
{{- end }}
{{- end }}
{{- if include "streams.hasHttpInlet" . }}
{{- include "streams.httpEventAcls" . }}
# Schemas of these events, and what cannot be read of them.
- resource: {type: topic, name: {{ printf "%sschemas" $prefix | quote }}, patternType: literal}
  operations: [Write, Describe]
- resource: {type: topic, name: {{ printf "%sdead-letter.source" $prefix | quote }}, patternType: literal}
  operations: [Write, Describe]
{{- end }}
# Its counts, which it reads when it starts.
- resource: {type: topic, name: {{ printf "%sreceived" $prefix | quote }}, patternType: literal}
  operations: [Read, Write, Describe]
- resource: {type: group, name: {{ printf "%sreceiver-" $prefix | quote }}, patternType: prefix}
  operations: [Describe]
- resource: {type: transactionalId, name: {{ printf "%sreceiver-" $prefix | quote }}, patternType: prefix}
  operations: [Write, Describe]
{{- end -}}

{{/* root, connector. */}}
{{- define "streams.sinkAcls" -}}
{{- $prefix := default "streams." .root.Values.config.kafka.topic_prefix }}
# What it delivers; redrive and replay write there.
- resource: {type: topic, name: {{ printf "%sconnector.%s" $prefix .connector | quote }}, patternType: literal}
  operations: [Read, Write, Describe]
# Its dead letters; its keeper deletes what was purged.
- resource: {type: topic, name: {{ printf "%sdead-letter.%s." $prefix .connector | quote }}, patternType: prefix}
  operations: [Read, Write, Describe, Delete]
- resource: {type: topic, name: {{ printf "%sstate" $prefix | quote }}, patternType: literal}
  operations: [Read, Write, Describe]
- resource: {type: topic, name: {{ printf "%sschemas" $prefix | quote }}, patternType: literal}
  operations: [Read, Describe]
- resource: {type: topic, name: {{ printf "%saudit" $prefix | quote }}, patternType: literal}
  operations: [Write, Describe]
# Users who are to be forgotten.
- resource: {type: topic, name: {{ printf "%sforgotten" $prefix | quote }}, patternType: literal}
  operations: [Read, Write, Describe]
{{- if hasKey (index .root.Values.connectors .connector).config "receive" }}
# Its keeper's account: what was received.
- resource: {type: topic, name: {{ printf "%sreceived" $prefix | quote }}, patternType: literal}
  operations: [Read, Describe]
# What it sent, so that it sends changes only.
- resource: {type: topic, name: {{ printf "%ssent.%s" $prefix .connector | quote }}, patternType: literal}
  operations: [Read, Write, Describe]
{{- else }}
# Its keeper's account: what was routed rides on the commits of the router's group, for Currents topics.
{{- $source := default (dict) .root.Values.config.source }}
{{- range $topic := default (list "^currents\\..+") $source.topics }}
{{- if hasPrefix "^" $topic }}
- resource: {type: topic, name: {{ default "currents." $source.topic_prefix | quote }}, patternType: prefix}
{{- else }}
- resource: {type: topic, name: {{ $topic | quote }}, patternType: literal}
{{- end }}
  operations: [Describe]
{{- end }}
- resource: {type: group, name: {{ printf "%srouter" $prefix | quote }}, patternType: literal}
  operations: [Describe]
{{- end }}
- resource: {type: group, name: {{ printf "%ssink.%s" $prefix .connector | quote }}, patternType: literal}
  operations: [Read, Describe]
# Readers of schemas and state are named after the group and the process; they commit nothing.
- resource: {type: group, name: {{ printf "%ssink.%s-" $prefix .connector | quote }}, patternType: prefix}
  operations: [Read, Describe]
- resource: {type: transactionalId, name: {{ printf "%ssink.%s-" $prefix .connector | quote }}, patternType: prefix}
  operations: [Write, Describe]
- resource: {type: transactionalId, name: {{ printf "%skeeper.%s" $prefix .connector | quote }}, patternType: literal}
  operations: [Write, Describe]
# The names that readers go by; they commit nothing.
- resource: {type: group, name: streams-, patternType: prefix}
  operations: [Describe]
- resource: {type: group, name: {{ printf "%skeeper.%s-" $prefix .connector | quote }}, patternType: prefix}
  operations: [Read, Describe]
{{- end -}}
