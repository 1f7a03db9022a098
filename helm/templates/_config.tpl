{{/*
What each process reads. A sink's file holds its own connector only: another connector's change does not restart it,
and its pods mount no secret of another. The receiver knows the connectors that receive. A
storage inlet knows itself alone. The router and the topics Job know all.
*/}}

{{/* Whether a component knows a connector: component, connector; name and config of the one in question. */}}
{{- define "streams.knows" -}}
{{- if eq .component "sink" -}}
{{- if eq .name (default "" .connector) -}}true{{- end -}}
{{- else if eq .component "receiver" -}}
{{- if hasKey .config "receive" -}}true{{- end -}}
{{- else if ne .component "inlet" -}}
true
{{- end -}}
{{- end -}}

{{/*
Whether a component knows an inlet: component, inlet (of a storage inlet's own pods); name and config of the one in question.
The receiver serves those of kind http; a sink needs none.
*/}}
{{- define "streams.knowsInlet" -}}
{{- if eq .component "inlet" -}}
{{- if eq .name (default "" .inlet) -}}true{{- end -}}
{{- else if eq .component "receiver" -}}
{{- if eq .config.kind "http" -}}true{{- end -}}
{{- else if ne .component "sink" -}}
true
{{- end -}}
{{- end -}}

{{/* Whether there is anything for the receiver: "true" or nothing. */}}
{{- define "streams.receives" -}}
{{- $receives := false -}}
{{- range $connector := .Values.connectors -}}
{{- if hasKey $connector.config "receive" -}}{{- $receives = true -}}{{- end -}}
{{- end -}}
{{- range $inlet := .Values.inlets -}}
{{- if eq $inlet.config.kind "http" -}}{{- $receives = true -}}{{- end -}}
{{- end -}}
{{- if $receives -}}true{{- end -}}
{{- end -}}

{{/* Whether a connector gets events of Currents: "true" or nothing. Those to Braze get what the receiver takes. */}}
{{- define "streams.isRouted" -}}
{{- $routed := false -}}
{{- range $connector := .Values.connectors -}}
{{- if not (hasKey $connector.config "receive") -}}{{- $routed = true -}}{{- end -}}
{{- end -}}
{{- if $routed -}}true{{- end -}}
{{- end -}}

{{/* Whether a router has work: events to route, or dead letters of HTTP inlets to keep. "true" or nothing. */}}
{{- define "streams.needsRouter" -}}
{{- if or (include "streams.isRouted" .) (include "streams.hasHttpInlet" .) -}}true{{- end -}}
{{- end -}}

{{/* Whether an HTTP inlet is served: "true" or nothing. */}}
{{- define "streams.hasHttpInlet" -}}
{{- $found := false -}}
{{- range $inlet := .Values.inlets -}}
{{- if eq $inlet.config.kind "http" -}}{{- $found = true -}}{{- end -}}
{{- end -}}
{{- if $found -}}true{{- end -}}
{{- end -}}

{{/* streams.yaml of one component: root; component; connector for a sink; inlet for a storage inlet. */}}
{{- define "streams.yaml" -}}
{{- $values := .root.Values -}}
{{- $kafka := deepCopy $values.config.kafka -}}
{{- if $values.strimzi.users.enabled -}}
{{- $options := include "streams.strimziOptions" . | fromYaml -}}
{{- $_ := set $kafka "options" (merge (default (dict) $kafka.options) $options) -}}
{{- end -}}
{{- $connectors := dict -}}
{{- range $name, $connector := $values.connectors -}}
{{- if include "streams.knows" (dict "component" $.component "connector" $.connector "name" $name "config" $connector.config) -}}
{{- $_ := set $connectors $name $connector.config -}}
{{- end -}}
{{- end -}}
{{- $document := dict "kafka" $kafka "connectors" $connectors -}}
{{- $inlets := dict -}}
{{- range $name, $inlet := $values.inlets -}}
{{- if include "streams.knowsInlet" (dict "component" $.component "inlet" $.inlet "name" $name "config" $inlet.config) -}}
{{- $_ := set $inlets $name $inlet.config -}}
{{- end -}}
{{- end -}}
{{- with $inlets -}}
{{- $_ := set $document "inlets" . -}}
{{- end -}}
{{- with $values.config.source -}}
{{- $_ := set $document "source" . -}}
{{- end -}}
{{- /* The topics Job asks Kafka alone: it needs no other Secret, and no file of one. */ -}}
{{- if ne .component "topics" -}}
{{- with $values.config.notify -}}
{{- $_ := set $document "notify" . -}}
{{- end -}}
{{- with $values.config.http -}}
{{- $_ := set $document "http" . -}}
{{- end -}}
{{- end -}}
{{- with $values.config.receiver -}}
{{- $_ := set $document "receiver" . -}}
{{- end -}}
{{- if eq .component "console" -}}
{{- $_ := set $document "console" (include "streams.consoleConfig" .root | fromYaml) -}}
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
{{- else if eq .component "receiver" -}}
{{- include "streams.receiverName" .root -}}
{{- else if eq .component "console" -}}
{{- include "streams.consoleName" .root -}}
{{- else if eq .component "inlet" -}}
{{- include "streams.inletName" . -}}
{{- else -}}
{{- include "streams.topicsName" .root -}}
{{- end -}}
{{- end -}}

{{/*
Keys of a pod: those of `pod`, then of `router`, `receiver`, `console`, `sink` or `inlet`, then of the connector or inlet. The nearer one wins, but
what is extra is added: a variable for one connector must not take away those of all.
*/}}
{{- define "streams.settings" -}}
{{- $settings := deepCopy .root.Values.pod -}}
{{- $nearer := list -}}
{{- if eq .component "sink" -}}
{{- $nearer = list .root.Values.sink (omit (index .root.Values.connectors .connector) "config" "secret") -}}
{{- else if eq .component "router" -}}
{{- $nearer = list .root.Values.router -}}
{{- else if eq .component "receiver" -}}
{{- $nearer = list .root.Values.receiver -}}
{{- else if eq .component "console" -}}
{{- $nearer = list .root.Values.console -}}
{{- else if eq .component "inlet" -}}
{{- $nearer = list .root.Values.inlet (omit (index .root.Values.inlets .inlet) "config" "secret") -}}
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
{{- /* The console sends nothing to a destination and alerts nobody. */ -}}
{{- $isConsole := eq .component "console" -}}
{{- $sends := not (or $hook $isConsole) -}}
{{- $console := $root.Values.console -}}
{{- $strimzi := $root.Values.strimzi -}}
{{- if $strimzi.users.enabled }}
- {volume: secret-kafka, path: /secrets/kafka, secret: {{ include "streams.workloadName" . | quote }}}
- {volume: secret-kafka-ca, path: /secrets/kafka-ca, secret: {{ default (printf "%s-cluster-ca-cert" $strimzi.cluster) $strimzi.users.clusterCaSecret | quote }}}
{{- end }}
{{- range $name, $secret := dict "kafka" $root.Values.kafkaSecret "registry" $root.Values.registrySecret "notify" $root.Values.notifySecret "http" $root.Values.httpSecret }}
{{- if and (or $secret.existingSecret $secret.values) (or (eq $name "kafka") $sends (and $isConsole (ne $name "notify"))) }}
- {volume: secret-{{ $name }}, path: /secrets/{{ $name }}, secret: {{ include "streams.componentSecret" (dict "root" $root "secret" $secret "name" $name "hook" $hook) | quote }}}
{{- end }}
{{- end }}
{{- range $name, $connector := $root.Values.connectors }}
{{- $secret := default (dict) $connector.secret }}
{{- if and (or $sends (and $isConsole $console.connectorSecrets)) (or $secret.existingSecret $secret.values) (include "streams.knows" (dict "component" $.component "connector" $.connector "name" $name "config" $connector.config)) }}
- {volume: secret-connector-{{ $name }}, path: /secrets/connectors/{{ $name }}, secret: {{ include "streams.componentSecret" (dict "root" $root "secret" $secret "name" (printf "connector-%s" $name) "hook" $hook) | quote }}}
{{- end }}
{{- end }}
{{- range $name, $inlet := $root.Values.inlets }}
{{- $secret := default (dict) $inlet.secret }}
{{- if and $sends (or $secret.existingSecret $secret.values) (include "streams.knowsInlet" (dict "component" $.component "inlet" $.inlet "name" $name "config" $inlet.config)) }}
- {volume: secret-inlet-{{ $name }}, path: /secrets/inlets/{{ $name }}, secret: {{ include "streams.componentSecret" (dict "root" $root "secret" $secret "name" (printf "inlet-%s" $name) "hook" $hook) | quote }}}
{{- end }}
{{- end }}
{{- if and $isConsole (or $console.secret.existingSecret $console.secret.values) }}
- {volume: secret-console, path: /secrets/console, secret: {{ include "streams.secretName" (dict "root" $root "secret" $console.secret "name" "console") | quote }}}
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

{{/* Every Secret that the chart renders; hook: that of the topics Job, Kafka's, which comes before the release. */}}
{{- define "streams.secrets" -}}
{{- $root := .root -}}
{{- $hook := .hook -}}
{{- $annotations := dict -}}
{{- if $hook -}}
{{- $annotations = include "streams.hookAnnotations" "-10" | fromYaml -}}
{{- end -}}
{{- $prefix := ternary "topics-" "" $hook -}}
{{- $component := ternary "topics" "" $hook -}}
{{- range $name, $secret := dict "kafka" $root.Values.kafkaSecret "registry" $root.Values.registrySecret "notify" $root.Values.notifySecret "http" $root.Values.httpSecret }}
{{- if and $secret.values (not $secret.existingSecret) (or (eq $name "kafka") (not $hook)) }}
---
{{ include "streams.secret" (dict "root" $root "secret" $secret "name" (printf "%s%s" $prefix $name) "component" $component "annotations" $annotations) }}
{{- end }}
{{- end }}
{{- range $name, $connector := $root.Values.connectors }}
{{- $secret := default (dict) $connector.secret }}
{{- if and $secret.values (not $secret.existingSecret) (not $hook) }}
---
{{ include "streams.secret" (dict "root" $root "secret" $secret "name" (printf "connector-%s" $name) "component" $component "connector" $name "annotations" $annotations) }}
{{- end }}
{{- end }}
{{- range $name, $inlet := $root.Values.inlets }}
{{- $secret := default (dict) $inlet.secret }}
{{- if and $secret.values (not $secret.existingSecret) (not $hook) }}
---
{{ include "streams.secret" (dict "root" $root "secret" $secret "name" (printf "inlet-%s" $name) "component" $component "annotations" $annotations) }}
{{- end }}
{{- end }}
{{- $console := $root.Values.console }}
{{- if and $console.enabled $console.secret.values (not $console.secret.existingSecret) (not $hook) }}
---
{{ include "streams.secret" (dict "root" $root "secret" $console.secret "name" "console" "component" "console" "annotations" $annotations) }}
{{- end }}
{{- end -}}

{{- define "streams.hookAnnotations" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
