{{/*
What the schema cannot see: keys that depend on each other. Every problem at once, each with its path and the fix.
*/}}

{{- define "streams.problems" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $kafka := $values.config.kafka -}}
{{- $partitions := default 6 (default (dict) $kafka.topics).partitions | int -}}

{{- if not (or $values.connectors $values.inlets) -}}
{{- $problems = append $problems "connectors: is empty, and so is inlets; name at least one" -}}
{{- end -}}

{{- /* Secrets: existing or rendered, and every reference leads into a folder that is mounted. */ -}}
{{- range $path, $secret := dict "kafkaSecret" $values.kafkaSecret "registrySecret" $values.registrySecret "notifySecret" $values.notifySecret "httpSecret" $values.httpSecret -}}
{{- if and $secret.existingSecret $secret.values -}}
{{- $problems = append $problems (printf "%s: has existingSecret and values; keep one of the two" $path) -}}
{{- end -}}
{{- end -}}
{{- $kafkaSecret := $values.kafkaSecret -}}
{{- if and $values.strimzi.users.enabled (or $kafkaSecret.existingSecret $kafkaSecret.values) -}}
{{- $problems = append $problems "kafkaSecret: strimzi.users.enabled mounts the users' own Secrets there; leave one of the two out" -}}
{{- end -}}
{{- if not $values.strimzi.users.enabled -}}
{{- $problems = concat $problems (include "streams.referenceProblems" (dict "config" $kafka "path" "config.kafka" "folder" "/secrets/kafka/" "secret" $kafkaSecret "key" "kafkaSecret") | fromYamlArray) -}}
{{- end -}}
{{- $problems = concat $problems (include "streams.referenceProblems" (dict "config" (default (dict) $values.config.source) "path" "config.source" "folder" "/secrets/registry/" "secret" $values.registrySecret "key" "registrySecret") | fromYamlArray) -}}
{{- $problems = concat $problems (include "streams.referenceProblems" (dict "config" (default (dict) $values.config.notify) "path" "config.notify" "folder" "/secrets/notify/" "secret" $values.notifySecret "key" "notifySecret") | fromYamlArray) -}}
{{- $http := default (dict) $values.config.http -}}
{{- $problems = concat $problems (include "streams.referenceProblems" (dict "config" $http "path" "config.http" "folder" "/secrets/http/" "secret" $values.httpSecret "key" "httpSecret") | fromYamlArray) -}}
{{- if and (hasPrefix "/secrets/http/" (default "" $http.ca_file)) (not (or $values.httpSecret.existingSecret $values.httpSecret.values)) -}}
{{- $problems = append $problems (printf "config.http.ca_file: is %s, and nothing is mounted there; set httpSecret.existingSecret" $http.ca_file) -}}
{{- end -}}

{{- range $name, $connector := $values.connectors -}}
{{- $path := printf "connectors.%s" $name -}}
{{- $secret := default (dict) $connector.secret -}}
{{- if and $secret.existingSecret $secret.values -}}
{{- $problems = append $problems (printf "%s.secret: has existingSecret and values; keep one of the two" $path) -}}
{{- end -}}
{{- $problems = concat $problems (include "streams.referenceProblems" (dict "config" $connector.config "path" (printf "%s.config" $path) "folder" (printf "/secrets/connectors/%s/" $name) "secret" $secret "key" (printf "%s.secret" $path)) | fromYamlArray) -}}

{{- /* Scale: a process without a partition does nothing. */ -}}
{{- $settings := include "streams.settings" (dict "root" $ "component" "sink" "connector" $name) | fromYaml -}}
{{- if $settings.autoscaling.enabled -}}
{{- if gt (int $settings.autoscaling.maxReplicas) $partitions -}}
{{- $problems = append $problems (printf "%s.autoscaling.maxReplicas: is %d, and config.kafka.topics.partitions is %d; more processes than partitions stand idle" $path (int $settings.autoscaling.maxReplicas) $partitions) -}}
{{- end -}}
{{- if gt (int $settings.autoscaling.minReplicas) (int $settings.autoscaling.maxReplicas) -}}
{{- $problems = append $problems (printf "%s.autoscaling.minReplicas: is %d, more than maxReplicas, %d" $path (int $settings.autoscaling.minReplicas) (int $settings.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and (regexMatch "\"(sasl\\.|security\\.protocol)" (toJson (default (dict) $kafka.options))) (not (include "streams.triggerAuthentication" $)) (not $values.keda.metadata) -}}
{{- $problems = append $problems (printf "%s.autoscaling: KEDA reads the lag itself and config.kafka.options are not for it; set keda.metadata, and keda.triggerAuthentication or keda.secretTargetRef" $path) -}}
{{- end -}}
{{- else if gt (int $settings.replicas) $partitions -}}
{{- $problems = append $problems (printf "%s.replicas: is %d, and config.kafka.topics.partitions is %d; more processes than partitions stand idle" $path (int $settings.replicas) $partitions) -}}
{{- end -}}
{{- end -}}

{{- if and $values.inlet.serviceAccount.create $values.inlet.serviceAccount.name -}}
{{- $problems = append $problems "inlet.serviceAccount.name: each inlet would render a ServiceAccount of this name; set it under inlets.NAME, or set create to false" -}}
{{- end -}}
{{- range $name, $inlet := $values.inlets -}}
{{- $path := printf "inlets.%s" $name -}}
{{- $secret := default (dict) $inlet.secret -}}
{{- if and $secret.existingSecret $secret.values -}}
{{- $problems = append $problems (printf "%s.secret: has existingSecret and values; keep one of the two" $path) -}}
{{- end -}}
{{- $problems = concat $problems (include "streams.referenceProblems" (dict "config" $inlet.config "path" (printf "%s.config" $path) "folder" (printf "/secrets/inlets/%s/" $name) "secret" $secret "key" (printf "%s.secret" $path)) | fromYamlArray) -}}
{{- if and (eq $inlet.config.kind "http") (not $values.receiver.enabled) -}}
{{- $problems = append $problems (printf "%s: is served by the receiver; set receiver.enabled" $path) -}}
{{- end -}}
{{- if eq $inlet.config.kind "storage" -}}
{{- $problems = concat $problems (include "streams.storageInletProblems" (dict "root" $ "inlet" $name "path" $path) | fromYamlArray) -}}
{{- else -}}
{{- with keys (omit $inlet "config" "secret") | sortAlpha -}}
{{- $problems = append $problems (printf "%s: has %s, and an inlet of kind http has no pods of its own; set such keys under receiver" $path (join ", " .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The receiver: something to receive, one way in, and a scale that can be. */ -}}
{{- $receiver := $values.receiver -}}
{{- if $receiver.enabled -}}
{{- if not (include "streams.receives" $) -}}
{{- $problems = append $problems "receiver.enabled: no connector has config.receive, so there is nothing to receive, and no inlet is of kind http; add one of them, or set it to false" -}}
{{- end -}}
{{- if include "streams.hasHttpInlet" $ -}}
{{- /* Braze drops the events of a request that is answered 400 or 403, and never sends again what is answered 401. */ -}}
{{- range $annotation := keys $receiver.ingress.annotations | sortAlpha -}}
{{- if regexMatch "(whitelist|allowlist|denylist|blacklist|auth-(url|type|tls|realm|secret)|modsecurity|limit-(rps|rpm|connections|whitelist)|permanent-redirect)" $annotation -}}
{{- $problems = append $problems (printf "receiver.ingress.annotations: %s makes the Ingress refuse requests itself, and Braze drops the events of a request that is answered 400, 401 or 403; leave it out, or give the inlets an Ingress of their own" $annotation) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $receiver.ingress.host $receiver.httpRoute.parentRefs -}}
{{- $problems = append $problems "receiver: has ingress.host and httpRoute.parentRefs; keep one of the two" -}}
{{- end -}}
{{- if and $receiver.autoscaling.enabled (gt (int $receiver.autoscaling.minReplicas) (int $receiver.autoscaling.maxReplicas)) -}}
{{- $problems = append $problems (printf "receiver.autoscaling.minReplicas: is %d, more than maxReplicas, %d" (int $receiver.autoscaling.minReplicas) (int $receiver.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- $problems = concat $problems (include "streams.variableProblems" (dict "root" $ "component" "receiver" "where" "receiver.extraEnv or pod.extraEnv") | fromYamlArray) -}}
{{- end -}}

{{- $problems = concat $problems (include "streams.consoleProblems" $ | fromYamlArray) -}}

{{- /* Variables: each process that reads the configuration needs them. */ -}}
{{- $problems = concat $problems (include "streams.variableProblems" (dict "root" $ "component" "router" "where" "router.extraEnv or pod.extraEnv") | fromYamlArray) -}}
{{- range $name, $connector := $values.connectors -}}
{{- $problems = concat $problems (include "streams.variableProblems" (dict "root" $ "component" "sink" "connector" $name "where" (printf "connectors.%s.extraEnv or pod.extraEnv" $name)) | fromYamlArray) -}}
{{- end -}}
{{- if $values.topics.job.enabled -}}
{{- $problems = concat $problems (include "streams.variableProblems" (dict "root" $ "component" "topics" "where" "pod.extraEnv, which the topics Job needs too") | fromYamlArray) -}}
{{- end -}}

{{- /* Topics have one owner. */ -}}
{{- if and (or $values.strimzi.topics.enabled $values.strimzi.users.enabled) (not $values.strimzi.cluster) -}}
{{- $problems = append $problems "strimzi.cluster: is empty; name the Kafka resource" -}}
{{- end -}}
{{- if and $values.strimzi.topics.enabled $values.topics.job.enabled -}}
{{- $problems = append $problems "topics.job.enabled: the topics are Strimzi's (strimzi.topics.enabled); set one of the two to false" -}}
{{- end -}}
{{- if and $values.strimzi.users.enabled $values.topics.job.enabled -}}
{{- $problems = append $problems "topics.job.enabled: the Job runs before its KafkaUser exists; set it to false, and strimzi.topics.enabled to true" -}}
{{- end -}}

{{- /* Alerts. */ -}}
{{- if $values.prometheusRule.enabled -}}
{{- if not $values.prometheusRule.repositoryUrl -}}
{{- $problems = append $problems "prometheusRule.repositoryUrl: is empty; say where docs/runbooks can be read, such as https://git.example.com/streams/blob/main" -}}
{{- end -}}
{{- $alerts := list -}}
{{- range $group := (.Files.Get "alerts/streams.yaml" | fromYaml).groups -}}
{{- range $rule := $group.rules -}}
{{- $alerts = append $alerts $rule.alert -}}
{{- end -}}
{{- end -}}
{{- range $name := concat $values.prometheusRule.disabled (keys $values.prometheusRule.overrides | sortAlpha) -}}
{{- if not (has $name $alerts) -}}
{{- $problems = append $problems (printf "prometheusRule: there is no alert %s; there is: %s" $name (join ", " $alerts)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (uniq $problems) -}}
{{- end -}}

{{/* References into /secrets that lead nowhere, as a list: config, path, folder, secret, key. */}}
{{- define "streams.referenceProblems" -}}
{{- $problems := list -}}
{{- range $reference := regexFindAll "\"file:/secrets/[^\"]*\"" (toJson .config) -1 | uniq -}}
{{- $file := $reference | trimAll "\"" | trimPrefix "file:" -}}
{{- $key := trimPrefix $.folder $file -}}
{{- if not (hasPrefix $.folder $file) -}}
{{- $problems = append $problems (printf "%s: refers to %s, and its Secret is mounted at %s; set file:%sKEY" $.path $file (trimSuffix "/" $.folder) $.folder) -}}
{{- else if not (or $.secret.existingSecret $.secret.values) -}}
{{- $problems = append $problems (printf "%s: refers to %s, and nothing is mounted there; set %s.existingSecret" $.path $file $.key) -}}
{{- else if and $.secret.values (not $.secret.existingSecret) (not (hasKey $.secret.values $key)) -}}
{{- $problems = append $problems (printf "%s: refers to %s, and %s.values has no key %s" $.path $file $.key $key) -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}

{{/* `${NAME}` references that a component's environment does not have: root, component, connector, where; text, where not all of the configuration counts. */}}
{{- define "streams.variableProblems" -}}
{{- $problems := list -}}
{{- $settings := include "streams.settings" . | fromYaml -}}
{{- $names := list -}}
{{- range $variable := $settings.extraEnv -}}
{{- $names = append $names $variable.name -}}
{{- end -}}
{{- if not $settings.extraEnvFrom -}}
{{- range $reference := regexFindAll "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" (default (include "streams.yaml" .) .text) -1 | uniq -}}
{{- $name := $reference | trimPrefix "${" | trimSuffix "}" -}}
{{- if not (has $name $names) -}}
{{- $problems = append $problems (printf "${%s}: is used by the configuration; set it in %s" $name $.where) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $problems -}}
{{- end -}}
