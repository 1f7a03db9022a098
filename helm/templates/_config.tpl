{{/*
What each process reads. A sink's file holds its own connector only: another connector's change does not restart it,
and its pods mount no secret of another. The router and the topics Job know all connectors.
*/}}

{{/* streams.yaml of one component: root; component; connector for a sink. */}}
{{- define "streams.yaml" -}}
{{- $values := .root.Values -}}
{{- $kafka := deepCopy $values.config.kafka -}}
{{- if $values.strimzi.users.enabled -}}
{{- $options := include "streams.strimziOptions" . | fromYaml -}}
{{- $_ := set $kafka "options" (merge (default (dict) $kafka.options) $options) -}}
{{- end -}}
{{- $connectors := dict -}}
{{- range $name, $connector := $values.connectors -}}
{{- if or (ne $.component "sink") (eq $name (default "" $.connector)) -}}
{{- $_ := set $connectors $name $connector.config -}}
{{- end -}}
{{- end -}}
{{- $document := dict "kafka" $kafka "connectors" $connectors -}}
{{- with $values.config.source -}}
{{- $_ := set $document "source" . -}}
{{- end -}}
{{- with $values.config.notify -}}
{{- $_ := set $document "notify" . -}}
{{- end -}}
{{- toYaml $document -}}
{{- end -}}

{{/* How a component connects with the KafkaUser that the chart made for it; `config.kafka.options` wins. */}}
{{- define "streams.strimziOptions" -}}
ssl.ca.location: /secrets/kafka-ca/ca.crt
{{- if eq .root.Values.strimzi.users.authentication "tls" }}
security.protocol: SSL
ssl.certificate.location: /secrets/kafka/user.crt
ssl.key.location: /secrets/kafka/user.key
{{- else }}
security.protocol: SASL_SSL
sasl.mechanism: SCRAM-SHA-512
sasl.username: {{ include "streams.workloadName" . | quote }}
sasl.password: file:/secrets/kafka/password
{{- end }}
{{- end -}}

{{- define "streams.workloadName" -}}
{{- if eq .component "sink" -}}
{{- include "streams.sinkName" . -}}
{{- else if eq .component "router" -}}
{{- include "streams.routerName" .root -}}
{{- else -}}
{{- include "streams.topicsName" .root -}}
{{- end -}}
{{- end -}}

{{/*
Keys of a pod: those of `pod`, then of `router` or `sink`, then of the connector. The nearer one wins, but what is extra
is added: a variable for one connector must not take away those of all.
*/}}
{{- define "streams.settings" -}}
{{- $settings := deepCopy .root.Values.pod -}}
{{- $nearer := list -}}
{{- if eq .component "sink" -}}
{{- $nearer = list .root.Values.sink (omit (index .root.Values.connectors .connector) "config" "secret") -}}
{{- else if eq .component "router" -}}
{{- $nearer = list .root.Values.router -}}
{{- end -}}
{{- range $layer := $nearer -}}
{{- $layer = deepCopy $layer -}}
{{- range $key := list "extraEnv" "extraEnvFrom" "extraVolumes" "extraVolumeMounts" "extraContainers" "initContainers" -}}
{{- if index $layer $key -}}
{{- $_ := set $layer $key (concat (default (list) (index $settings $key)) (index $layer $key)) -}}
{{- end -}}
{{- end -}}
{{- $settings = mergeOverwrite $settings $layer -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/*
Folders under /secrets of a component, as a list of {volume, path, secret}. Whole folders, never subPath: only those
follow a changed Secret without a restart.
*/}}
{{- define "streams.secretFolders" -}}
{{- $root := .root -}}
{{- $hook := eq .component "topics" -}}
{{- $strimzi := $root.Values.strimzi -}}
{{- if $strimzi.users.enabled }}
- {volume: secret-kafka, path: /secrets/kafka, secret: {{ include "streams.workloadName" . | quote }}}
- {volume: secret-kafka-ca, path: /secrets/kafka-ca, secret: {{ default (printf "%s-cluster-ca-cert" $strimzi.cluster) $strimzi.users.clusterCaSecret | quote }}}
{{- end }}
{{- range $name, $secret := dict "kafka" $root.Values.kafkaSecret "registry" $root.Values.registrySecret "notify" $root.Values.notifySecret }}
{{- if or $secret.existingSecret $secret.values }}
- {volume: secret-{{ $name }}, path: /secrets/{{ $name }}, secret: {{ include "streams.componentSecret" (dict "root" $root "secret" $secret "name" $name "hook" $hook) | quote }}}
{{- end }}
{{- end }}
{{- range $name, $connector := $root.Values.connectors }}
{{- $secret := default (dict) $connector.secret }}
{{- if and (or $secret.existingSecret $secret.values) (or (ne $.component "sink") (eq $name (default "" $.connector))) }}
- {volume: secret-connector-{{ $name }}, path: /secrets/connectors/{{ $name }}, secret: {{ include "streams.componentSecret" (dict "root" $root "secret" $secret "name" (printf "connector-%s" $name) "hook" $hook) | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* A hook runs before the release's own objects are there, so it has copies of the Secrets that the chart renders. */}}
{{- define "streams.componentSecret" -}}
{{- if and .hook (not .secret.existingSecret) -}}
{{- include "streams.secretName" (dict "root" .root "secret" .secret "name" (printf "topics-%s" .name)) -}}
{{- else -}}
{{- include "streams.secretName" . -}}
{{- end -}}
{{- end -}}

{{/* One rendered Secret: root, secret, name, component, connector, annotations. */}}
{{- define "streams.secret" -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "streams.metadata" (merge (dict "name" (include "streams.secretName" .)) .) | nindent 2 }}
type: Opaque
stringData:
  {{- toYaml .secret.values | nindent 2 }}
{{- end -}}

{{/* Every Secret that the chart renders; hook: those of the topics Job, which come before the release. */}}
{{- define "streams.secrets" -}}
{{- $root := .root -}}
{{- $hook := .hook -}}
{{- $annotations := dict -}}
{{- if $hook -}}
{{- $annotations = include "streams.hookAnnotations" "-10" | fromYaml -}}
{{- end -}}
{{- $prefix := ternary "topics-" "" $hook -}}
{{- $component := ternary "topics" "" $hook -}}
{{- range $name, $secret := dict "kafka" $root.Values.kafkaSecret "registry" $root.Values.registrySecret "notify" $root.Values.notifySecret }}
{{- if and $secret.values (not $secret.existingSecret) }}
---
{{ include "streams.secret" (dict "root" $root "secret" $secret "name" (printf "%s%s" $prefix $name) "component" $component "annotations" $annotations) }}
{{- end }}
{{- end }}
{{- range $name, $connector := $root.Values.connectors }}
{{- $secret := default (dict) $connector.secret }}
{{- if and $secret.values (not $secret.existingSecret) }}
---
{{ include "streams.secret" (dict "root" $root "secret" $secret "name" (printf "%sconnector-%s" $prefix $name) "component" $component "connector" $name "annotations" $annotations) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "streams.hookAnnotations" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
