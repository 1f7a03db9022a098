{{/* The console: what it reads, what Kafka must allow it, and what does not fit together. */}}

{{- define "streams.consoleName" -}}
{{ include "streams.fullname" . }}-console
{{- end -}}

{{/* Section `console` of streams.yaml. A pod's loopback is no use to anyone else. */}}
{{- define "streams.consoleConfig" -}}
{{- toYaml (merge (dict) (default (dict) .Values.config.console) (dict "host" "0.0.0.0")) -}}
{{- end -}}

{{/* The parts whose secrets the console needs. Those of connectors and inlets may be missing. */}}
{{- define "streams.consoleNeeds" -}}
{{- $values := .Values -}}
{{- toYaml (dict "kafka" $values.config.kafka "source" $values.config.source "http" $values.config.http "console" $values.config.console) -}}
{{- end -}}

{{/* As a YAML list. */}}
{{- define "streams.consoleProblems" -}}
{{- $problems := list -}}
{{- $console := .Values.console -}}
{{- $config := default (dict) .Values.config.console -}}
{{- if $console.enabled -}}
{{- if not $config.auth -}}
{{- $problems = append $problems "config.console.auth: is missing, and anyone in the cluster could open the console; set auth.tokens, such as {oncall: file:/secrets/console/oncall}, or auth.proxy" -}}
{{- end -}}
{{- if regexMatch "^(127\\.|localhost$|\\[?::1\\]?$)" (default "" $config.host) -}}
{{- $problems = append $problems (printf "config.console.host: is %s, where no Service reaches it; leave it out" $config.host) -}}
{{- end -}}
{{- if and (hasKey $config "port") (eq (int $config.port) 0) -}}
{{- $problems = append $problems "config.console.port: is 0, any free port, and the Service needs to know which; leave it out" -}}
{{- end -}}
{{- if eq (int (default 8090 $config.port)) (int .Values.httpPort) -}}
{{- $problems = append $problems (printf "config.console.port: is %d, the port of metrics (httpPort); set another" (int .Values.httpPort)) -}}
{{- end -}}
{{- if and $console.secret.existingSecret $console.secret.values -}}
{{- $problems = append $problems "console.secret: has existingSecret and values; keep one of the two" -}}
{{- end -}}
{{- $problems = concat $problems (include "streams.referenceProblems" (dict "config" $config "path" "config.console" "folder" "/secrets/console/" "secret" $console.secret "key" "console.secret") | fromYamlArray) -}}
{{- if and $console.ingress.host $console.httpRoute.parentRefs -}}
{{- $problems = append $problems "console: has ingress.host and httpRoute.parentRefs; keep one of the two" -}}
{{- end -}}
{{- $host := $console.ingress.host -}}
{{- if $console.httpRoute.parentRefs -}}
{{- $host = $console.httpRoute.hostname -}}
{{- end -}}
{{- if or $console.ingress.host $console.httpRoute.parentRefs -}}
{{- $known := regexReplaceAll "^https?://([^/:]+).*$" (default "" $config.public_url) "${1}" -}}
{{- if or (not $known) (and $host (ne (lower $known) (lower $host))) -}}
{{- $problems = append $problems (printf "config.console.public_url: is %s, and browsers would be refused: the console answers only for the host that it names; set https://%s" (default "missing" $config.public_url) (default "HOST" $host)) -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not $console.networkPolicy.from) -}}
{{- $problems = append $problems "console.networkPolicy.from: is empty, so the policy shuts out the ingress or gateway; name its namespace" -}}
{{- end -}}
{{- end -}}
{{- $problems = concat $problems (include "streams.variableProblems" (dict "root" $ "component" "console" "where" "console.extraEnv or pod.extraEnv" "text" (include "streams.consoleNeeds" $)) | fromYamlArray) -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{- define "streams.consoleAcls" -}}
{{- $prefix := default "streams." .Values.config.kafka.topic_prefix }}
{{- $source := default (dict) .Values.config.source }}
{{- range $topic := default (list "^currents\\..+") $source.topics }}
# Explain, and counts of what was routed.
{{- if hasPrefix "^" $topic }}
- resource: {type: topic, name: {{ default "currents." $source.topic_prefix | quote }}, patternType: prefix}
{{- else }}
- resource: {type: topic, name: {{ $topic | quote }}, patternType: literal}
{{- end }}
  operations: [Read, Describe, DescribeConfigs]
{{- end }}
# What it shows: all topics of ours.
- resource: {type: topic, name: {{ $prefix | quote }}, patternType: prefix}
  operations: [Read, Describe, DescribeConfigs]
# Orders to keepers; what people did; schemas that are added.
{{- range $name := list "state" "audit" "schemas" }}
- resource: {type: topic, name: {{ printf "%s%s" $prefix $name | quote }}, patternType: literal}
  operations: [Write]
{{- end }}
- resource: {type: transactionalId, name: {{ printf "%sschemas" $prefix | quote }}, patternType: literal}
  operations: [Write, Describe]
{{- if (default (dict) .Values.config.console).reveal }}
# Who saw the personal data of a letter.
- resource: {type: transactionalId, name: {{ printf "%sreveal" $prefix | quote }}, patternType: literal}
  operations: [Write, Describe]
{{- end }}
{{- if include "streams.storageInlets" . | fromYamlArray }}
# Orders to inlets.
- resource: {type: topic, name: {{ printf "%sinlets" $prefix | quote }}, patternType: literal}
  operations: [Write]
- resource: {type: transactionalId, name: {{ printf "%sinlet." $prefix | quote }}, patternType: prefix}
  operations: [Write, Describe]
{{- end }}
# Accounts ride on the commits of all groups.
- resource: {type: group, name: {{ $prefix | quote }}, patternType: prefix}
  operations: [Describe]
# The names that readers go by; they commit nothing.
- resource: {type: group, name: streams-, patternType: prefix}
  operations: [Describe]
{{- end -}}
