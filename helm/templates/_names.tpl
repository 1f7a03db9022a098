{{/* Names and labels. Whatever a user may choose is quoted: `on` and `0` are names too. A name that is cut gets eight digits of its hash, so that two long ones stay apart. */}}

{{- define "streams.cut" -}}
{{- if gt (len .name) (int .length) -}}
{{- printf "%s-%s" (trunc (int (sub .length 9)) .name | trimSuffix "-") (sha256sum .name | trunc 8) -}}
{{- else -}}
{{- .name -}}
{{- end -}}
{{- end -}}

{{- define "streams.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $name := .Release.Name -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if not (contains $chart .Release.Name) -}}
{{- $name = printf "%s-%s" .Release.Name $chart -}}
{{- end -}}
{{- include "streams.cut" (dict "name" $name "length" 36) -}}
{{- end -}}

{{- define "streams.routerName" -}}
{{ include "streams.fullname" . }}-router
{{- end -}}

{{/* KEDA puts the name of a ScaledObject into a label behind a prefix: 63 characters are the limit there. */}}
{{- define "streams.sinkName" -}}
{{- include "streams.cut" (dict "name" (printf "%s-sink-%s" (include "streams.fullname" .root) .connector) "length" 52) -}}
{{- end -}}

{{- define "streams.receiverName" -}}
{{ include "streams.fullname" . }}-receiver
{{- end -}}

{{/* root, inlet. */}}
{{- define "streams.inletName" -}}
{{- include "streams.cut" (dict "name" (printf "%s-inlet-%s" (include "streams.fullname" .root) .inlet) "length" 52) -}}
{{- end -}}

{{- define "streams.topicsName" -}}
{{ include "streams.fullname" . }}-topics
{{- end -}}

{{/* The Secret of a folder under /secrets, existing or ours: root, secret, name (kafka, registry or a connector's). */}}
{{- define "streams.secretName" -}}
{{- if .secret.existingSecret -}}
{{- .secret.existingSecret -}}
{{- else -}}
{{- include "streams.cut" (dict "name" (printf "%s-%s" (include "streams.fullname" .root) .name) "length" 60) -}}
{{- end -}}
{{- end -}}

{{- define "streams.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "streams.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels that select: frozen, since selectors of workloads cannot change. root, component, connector for a sink, inlet for a storage inlet. */}}
{{- define "streams.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .connector }}
streams/connector: {{ . | quote }}
{{- end }}
{{- with .inlet }}
streams/inlet: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "streams.labels" -}}
{{ include "streams.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: streams
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata that every object has: root, name; component and connector for labels; annotations. */}}
{{- define "streams.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "streams.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "streams.image" -}}
{{- $image := .Values.image -}}
{{- $repository := $image.repository -}}
{{- with $image.registry }}{{- $repository = printf "%s/%s" . $image.repository -}}{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}
