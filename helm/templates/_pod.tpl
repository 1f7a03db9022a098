{{/* The pod of every process: root; component; connector for a sink; inlet for a storage inlet; args of `streams`; hook where it ends by itself. */}}

{{- define "streams.podTemplate" -}}
{{- $settings := include "streams.settings" . | fromYaml -}}
{{- $folders := include "streams.secretFolders" . | fromYamlArray -}}
{{- $values := .root.Values -}}
{{- $scratch := include "streams.scratch" . -}}
metadata:
  labels:
    {{- include "streams.labels" . | nindent 4 }}
    {{- with $settings.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "streams.checksums" . | nindent 4 }}
    {{- with $settings.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- /* A hook comes before the release's own ServiceAccount. */}}
  {{- if and .hook $values.serviceAccount.create }}
  serviceAccountName: default
  {{- else }}
  serviceAccountName: {{ include "streams.podAccountName" . | quote }}
  {{- end }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- if .hook }}
  restartPolicy: Never
  {{- end }}
  terminationGracePeriodSeconds: {{ $settings.terminationGracePeriodSeconds }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- range $key := list "priorityClassName" "runtimeClassName" "dnsPolicy" }}
  {{- with index $settings $key }}
  {{ $key }}: {{ . | quote }}
  {{- end }}
  {{- end }}
  {{- range $key := list "hostAliases" "dnsConfig" "nodeSelector" "tolerations" "affinity" }}
  {{- with index $settings $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with $settings.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .hook }}
  {{- with $settings.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml (merge (dict) . (dict "labelSelector" (dict "matchLabels" (include "streams.selectorLabels" $ | fromYaml)))) | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  {{- end }}
  {{- with $settings.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: streams
      image: {{ include "streams.image" .root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        {{- toYaml .args | nindent 8 }}
      env:
        {{- include "streams.environment" (dict "settings" $settings "values" $values "component" .component "hook" .hook) | nindent 8 }}
      {{- with $settings.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if not .hook }}
      ports:
        - {name: http, containerPort: {{ $values.httpPort }}, protocol: TCP}
        {{- if eq .component "receiver" }}
        - {name: receive, containerPort: {{ default 8088 (default (dict) $values.config.receiver).port }}, protocol: TCP}
        {{- end }}
        {{- if eq .component "console" }}
        - {name: console, containerPort: {{ default 8090 (default (dict) $values.config.console).port }}, protocol: TCP}
        {{- end }}
      {{- range $probe, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
      {{- with index $settings $probe }}
      {{ $probe }}:
        httpGet: {path: {{ $path }}, port: http}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- end }}
      {{- with $settings.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $settings.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - {name: config, mountPath: /etc/streams, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- with $scratch }}
        - {name: scratch, mountPath: {{ . | quote }}}
        {{- end }}
        {{- range $folders }}
        - {name: {{ .volume }}, mountPath: {{ .path }}, readOnly: true}
        {{- end }}
        {{- with $settings.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with $settings.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "streams.workloadName" . | quote }}}
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- if $scratch }}
    {{- if eq .component "inlet" }}
    # One file at a time lies here while it is read.
    {{- else }}
    # What a sink remembers of what it sent: a copy of rows in Kafka, made again if it is lost.
    {{- end }}
    - name: scratch
      emptyDir: {sizeLimit: {{ include "streams.scratchLimit" . }}}
    {{- end }}
    {{- range $folders }}
    - name: {{ .volume }}
      # Readable for the group (fsGroup) and nobody else.
      secret: {secretName: {{ .secret | quote }}, defaultMode: 288}
    {{- end }}
    {{- with $settings.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
The folder for what a sink remembers, where its connector receives, and for the file that a storage inlet reads: root,
component, connector, inlet.
*/}}
{{- define "streams.scratch" -}}
{{- if eq .component "sink" -}}
{{- $config := (index .root.Values.connectors .connector).config -}}
{{- if hasKey $config "receive" -}}
{{- default "/scratch" $config.scratch -}}
{{- end -}}
{{- else if eq .component "inlet" -}}
{{- default "/scratch" (index .root.Values.inlets .inlet).config.scratch -}}
{{- end -}}
{{- end -}}

{{/* What that folder may hold. A node ends a pod that holds more, so a storage inlet gets a margin over its largest file. */}}
{{- define "streams.scratchLimit" -}}
{{- if eq .component "inlet" -}}
{{- $largest := include "streams.bytes" (default "2GB" (index .root.Values.inlets .inlet).config.scratch_max) | int64 -}}
{{- add (div $largest 1048576) 65 -}}Mi
{{- else -}}
4Gi
{{- end -}}
{{- end -}}

{{/* Bytes of a size such as 10MB. */}}
{{- define "streams.bytes" -}}
{{- $unit := regexFind "[a-zA-Z]+$" . -}}
{{- mul (trimSuffix $unit . | int64) (index (dict "B" 1 "kB" 1000 "MB" 1000000 "GB" 1000000000) $unit) -}}
{{- end -}}

{{/* A storage inlet may have an identity of its own at the cloud. */}}
{{- define "streams.podAccountName" -}}
{{- $own := dict -}}
{{- if eq .component "inlet" -}}
{{- $own = (include "streams.settings" . | fromYaml).serviceAccount -}}
{{- end -}}
{{- if $own.create -}}
{{- default (include "streams.inletName" .) $own.name -}}
{{- else if $own.name -}}
{{- $own.name -}}
{{- else -}}
{{- include "streams.serviceAccountName" .root -}}
{{- end -}}
{{- end -}}

{{/* The pod's name is the stable part of transactional ids in a StatefulSet, and a unique one in a Deployment. */}}
{{- define "streams.environment" -}}
- name: STREAMS_CONFIG
  value: /etc/streams/streams.yaml
- name: STREAMS_LOG_LEVEL
  value: {{ .values.logLevel }}
{{- if not .hook }}
- name: STREAMS_INSTANCE
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: STREAMS_HTTP_PORT
  value: {{ .values.httpPort | quote }}
{{- with .values.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ $.values.telemetry.otlpProtocol }}
- name: OTEL_SERVICE_NAME
  value: streams-{{ $.component }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $.values.telemetry.sampleRatio | quote }}
{{- end }}
{{- end }}
{{- with .settings.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
What the chart renders and a process reads once, at its start. Kafka's credentials are among it. An existing Secret
cannot be seen from here; files of destinations' credentials are read again anyway.
*/}}
{{- define "streams.checksums" -}}
checksum/config: {{ include "streams.yaml" . | sha256sum }}
{{- with .root.Values.kafkaSecret.values }}
checksum/kafka-secret: {{ toYaml . | sha256sum }}
{{- end }}
{{- with .root.Values.registrySecret.values }}
checksum/registry-secret: {{ toYaml . | sha256sum }}
{{- end }}
{{- if eq .component "sink" }}
{{- with (default (dict) (index .root.Values.connectors .connector).secret).values }}
checksum/connector-secret: {{ toYaml . | sha256sum }}
{{- end }}
{{- else if eq .component "inlet" }}
{{- with (default (dict) (index .root.Values.inlets .inlet).secret).values }}
checksum/inlet-secret: {{ toYaml . | sha256sum }}
{{- end }}
{{- end }}
{{- end -}}
