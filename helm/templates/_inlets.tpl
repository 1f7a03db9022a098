{{/* Storage inlets: their names, what their processes may do at Kafka, and what their values cannot be. */}}

{{/* Names of the inlets that have pods of their own, as a YAML list. */}}
{{- define "streams.storageInlets" -}}
{{- $names := list -}}
{{- range $name := keys .Values.inlets | sortAlpha -}}
{{- if eq (index $.Values.inlets $name).config.kind "storage" -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{/* All storage inlets have the same rights: they share the topic of their progress. */}}
{{- define "streams.inletAcls" -}}
{{- $kafka := .Values.config.kafka }}
{{- $prefix := default "streams." $kafka.topic_prefix }}
{{- $operations := ternary "Write, Describe" "Write, Create, Describe" (eq (toString (default (dict) $kafka.topics).create) "false") }}
# Events of the files; a topic is made with the first event of its type, where that is allowed.
- resource: {type: topic, name: {{ default "currents." (default (dict) .Values.config.source).topic_prefix | quote }}, patternType: prefix}
  operations: [{{ $operations }}]
# How far each inlet is. The group of this topic chooses the active process.
- resource: {type: topic, name: {{ printf "%sinlets" $prefix | quote }}, patternType: literal}
  operations: [Read, Write, Describe]
# Schemas of the files.
- resource: {type: topic, name: {{ printf "%sschemas" $prefix | quote }}, patternType: literal}
  operations: [Read, Write, Describe]
# Files that were ingested by hand.
- resource: {type: topic, name: {{ printf "%sstate" $prefix | quote }}, patternType: literal}
  operations: [Read, Describe]
# What people ordered.
- resource: {type: topic, name: {{ printf "%saudit" $prefix | quote }}, patternType: literal}
  operations: [Write, Describe]
- resource: {type: group, name: {{ printf "%sinlet." $prefix | quote }}, patternType: prefix}
  operations: [Read, Describe]
# The names that commands go by which are typed in its pod.
- resource: {type: group, name: streams-, patternType: prefix}
  operations: [Describe]
# A new active process shuts the old one out.
- resource: {type: transactionalId, name: {{ printf "%sinlet." $prefix | quote }}, patternType: prefix}
  operations: [Write, Describe]
{{- end -}}

{{/* Problems of one storage inlet, as a list: root, inlet, path. */}}
{{- define "streams.storageInletProblems" -}}
{{- $problems := list -}}
{{- $config := (index .root.Values.inlets .inlet).config -}}
{{- $settings := include "streams.settings" (dict "root" .root "component" "inlet" "inlet" .inlet) | fromYaml -}}
{{- $scratch := default "/scratch" $config.scratch -}}
{{- if or (not (regexMatch "^/[^:]+$" $scratch)) (regexMatch "^(/+|/tmp/*|/etc/streams(/.*)?|/secrets(/.*)?)$" $scratch) -}}
{{- $problems = append $problems (printf "%s.config.scratch: is %s; name a folder of its own by its absolute path, such as /scratch" .path $scratch) -}}
{{- end -}}
{{- if hasPrefix "file://" $config.url -}}
{{- $folder := trimPrefix "file://" $config.url | trimSuffix "/" -}}
{{- $is_mounted := false -}}
{{- range $mount := $settings.extraVolumeMounts -}}
{{- if hasPrefix (printf "%s/" (trimSuffix "/" (toString $mount.mountPath))) (printf "%s/" $folder) -}}{{- $is_mounted = true -}}{{- end -}}
{{- end -}}
{{- if not $is_mounted -}}
{{- $problems = append $problems (printf "%s.config.url: is the folder %s, and nothing is mounted there; set %s.extraVolumes and extraVolumeMounts" .path $folder .path) -}}
{{- end -}}
{{- end -}}
{{- $account := $settings.serviceAccount -}}
{{- if and $account.annotations (not $account.create) -}}
{{- $problems = append $problems (printf "%s.serviceAccount.annotations: are of a ServiceAccount that the chart renders; set %s.serviceAccount.create" .path .path) -}}
{{- end -}}
{{- $problems = concat $problems (include "streams.variableProblems" (dict "root" .root "component" "inlet" "inlet" .inlet "where" (printf "%s.extraEnv or pod.extraEnv" .path)) | fromYamlArray) -}}
{{- toYaml $problems -}}
{{- end -}}
