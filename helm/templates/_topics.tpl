{{/*
The topics that `streams topics apply` would create, for Strimzi's operator to create instead. A test holds them equal
to what the program wants.
*/}}

{{/* Milliseconds of a duration such as 48h. */}}
{{- define "streams.milliseconds" -}}
{{- $units := dict "ms" 1.0 "s" 1000.0 "m" 60000.0 "h" 3600000.0 "d" 86400000.0 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- mulf (trimSuffix $unit . | float64) (index $units $unit) | int64 -}}
{{- end -}}

{{/* Credential scopes of a connector: feeds with the same references are one scope, named after the first. */}}
{{- define "streams.scopes" -}}
{{- if eq .destination "mparticle" -}}
{{- $seen := dict -}}
{{- range $feed := list "ios" "android" "web" "unbound" -}}
{{- with index $.feeds $feed -}}
{{- $pair := toJson . -}}
{{- if not (hasKey $seen $pair) }}
{{- $_ := set $seen $pair true }}
- {{ $feed }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else }}
- default
{{- if and (eq .destination "braze") .cohort_api }}
- cohorts
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A list of {name, partitions, config}. */}}
{{- define "streams.topics" -}}
{{- $kafka := .Values.config.kafka -}}
{{- $prefix := default "streams." $kafka.topic_prefix -}}
{{- $shape := default (dict) $kafka.topics -}}
{{- $partitions := default 6 $shape.partitions | int64 -}}
{{- $records := dict "max.message.bytes" (.Values.strimzi.topics.maxMessageBytes | int64 | toString) -}}
{{- $always := dict "max.message.bytes" "2000000" "min.insync.replicas" (default 2 $shape.min_insync_replicas | toString) -}}
{{- $deleted := merge (dict "cleanup.policy" "delete") $always -}}
{{- $kept := merge (dict "retention.ms" "-1" "retention.bytes" "-1") $records $deleted -}}
{{- $compacted := merge (dict "cleanup.policy" "compact") $always -}}
{{- $topics := list -}}
{{- range $name, $connector := .Values.connectors -}}
{{- $config := $connector.config -}}
{{- $grace := include "streams.milliseconds" (default (ternary "5d" "48h" (eq $config.destination "mparticle")) $config.grace) | int64 -}}
{{- $retention := max 1209600000 (mul 2 $grace) | toString -}}
{{- $topics = append $topics (dict "name" (printf "%sconnector.%s" $prefix $name) "partitions" $partitions "config" (merge (dict "retention.ms" $retention) $records $deleted)) -}}
{{- $topics = append $topics (dict "name" (printf "%sdead-letter.%s.rejected" $prefix $name) "partitions" $partitions "config" $kept) -}}
{{- range $scope := include "streams.scopes" $config | fromYamlArray -}}
{{- $topics = append $topics (dict "name" (printf "%sdead-letter.%s.credentials.%s" $prefix $name $scope) "partitions" $partitions "config" $kept) -}}
{{- end -}}
{{- end -}}
{{- range $name, $connector := .Values.connectors -}}
{{- if hasKey $connector.config "receive" -}}
{{- $topics = append $topics (dict "name" (printf "%ssent.%s" $prefix $name) "partitions" $partitions "config" (merge (dict "delete.retention.ms" "86400000") $compacted)) -}}
{{- end -}}
{{- end -}}
{{- $topics = append $topics (dict "name" (printf "%sdead-letter.source" $prefix) "partitions" $partitions "config" $kept) -}}
{{- $topics = append $topics (dict "name" (printf "%sschemas" $prefix) "partitions" $partitions "config" $compacted) -}}
{{- $topics = append $topics (dict "name" (printf "%sstate" $prefix) "partitions" 1 "config" (merge (dict "message.timestamp.type" "LogAppendTime") $compacted)) -}}
{{- $topics = append $topics (dict "name" (printf "%sforgotten" $prefix) "partitions" 1 "config" $compacted) -}}
{{- if include "streams.receives" . -}}
{{- $topics = append $topics (dict "name" (printf "%sreceived" $prefix) "partitions" 1 "config" $compacted) -}}
{{- end -}}
{{- if include "streams.storageInlets" . | fromYamlArray -}}
{{- $topics = append $topics (dict "name" (printf "%sinlets" $prefix) "partitions" 1 "config" $compacted) -}}
{{- end -}}
{{- $topics = append $topics (dict "name" (printf "%saudit" $prefix) "partitions" $partitions "config" (merge (dict "retention.ms" "34560000000") $deleted)) -}}
{{- toYaml $topics -}}
{{- end -}}
