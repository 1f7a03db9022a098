{{/* root, name, component, connector, budget. */}}
{{- define "streams.podDisruptionBudget" -}}
{{- if .budget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "streams.metadata" . | nindent 2 }}
spec:
  {{- if ne (toString .budget.minAvailable) "" }}
  minAvailable: {{ .budget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ .budget.maxUnavailable }}
  {{- end }}
  # A pod that is not ready may always go: it must not block a drain.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "streams.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "streams.triggerAuthentication" -}}
{{- if .Values.keda.triggerAuthentication -}}
{{- .Values.keda.triggerAuthentication -}}
{{- else if .Values.keda.secretTargetRef -}}
{{- include "streams.fullname" . -}}
{{- end -}}
{{- end -}}
