{{/* Ports that the configuration names, for the NetworkPolicy. */}}

{{- define "streams.urlPort" -}}
{{- $port := regexFind ":[0-9]+$" (regexFind "^https?://[^/]+" .) | trimPrefix ":" -}}
{{- default (ternary "443" "80" (hasPrefix "https:" .)) $port -}}
{{- end -}}

{{/* As a YAML list, each once. */}}
{{- define "streams.kafkaPorts" -}}
{{- $ports := .Values.networkPolicy.kafka.ports -}}
{{- if not $ports -}}
{{- $ports = list -}}
{{- range splitList "," .Values.config.kafka.bootstrap_servers -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" (trim .) | trimPrefix ":" | default "9092" | int) -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toYaml -}}
{{- end -}}

{{- define "streams.destinationPorts" -}}
{{- $ports := list 443 -}}
{{- $common := default (dict) (default (dict) .Values.config.notify).smtp -}}
{{- with (default (dict) (default (dict) .Values.config.http).proxy).url -}}
{{- $ports = append $ports (include "streams.urlPort" . | int) -}}
{{- end -}}
{{- range $connector := .Values.connectors -}}
{{- with $connector.config.base_url -}}
{{- $ports = append $ports (include "streams.urlPort" . | int) -}}
{{- end -}}
{{- $notify := default (dict) $connector.config.notify -}}
{{- $smtp := default (dict) $notify.smtp -}}
{{- if not $smtp.host -}}
{{- $smtp = merge (dict) $smtp $common -}}
{{- end -}}
{{- if and $smtp.host (or $notify.email $connector.config.contact) -}}
{{- $ports = append $ports (default 587 $smtp.port | int) -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toYaml -}}
{{- end -}}

{{/* Ports of the store of a storage inlet: root, inlet. Its address is in `options`, by one of many names. */}}
{{- define "streams.storePorts" -}}
{{- $ports := list 443 -}}
{{- $config := (index .root.Values.inlets .inlet).config -}}
{{- range $option := concat (values (default (dict) $config.options)) (list (default "" $config.notify_queue)) -}}
{{- if regexMatch "^https?://[^/]" (toString $option) -}}
{{- $ports = append $ports (include "streams.urlPort" (toString $option) | int) -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toYaml -}}
{{- end -}}

{{/* One rule: to, ports. */}}
{{- define "streams.egressRule" -}}
- {{ with .to }}to:
    {{- toYaml . | nindent 4 }}
  {{ end }}ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}
