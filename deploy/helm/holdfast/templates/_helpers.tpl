{{- define "holdfast.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "holdfast.labels" -}}
{{ include "holdfast.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "holdfast.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What every process of a node needs to open it. */}}
{{- define "holdfast.env" -}}
- {name: HOLDFAST_DATA, value: /var/lib/holdfast/node}
- {name: HOLDFAST_QUEUE, value: {{ .Values.queue | quote }}}
- {name: HOLDFAST_STORE, value: {{ .Values.store.url | quote }}}
- {name: HOLDFAST_CATALOG, value: {{ .Values.catalog | quote }}}
{{- range $name, $key := dict "HOLDFAST_PG_PASSWORD" "pg-password" "AWS_ACCESS_KEY_ID" "s3-access-key" "AWS_SECRET_ACCESS_KEY" "s3-secret-key" "HOLDFAST_KAFKA_USER" "kafka-user" "HOLDFAST_KAFKA_PASSWORD" "kafka-password" "HOLDFAST_PASSPHRASE" "passphrase" }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.secretName | quote }}, key: {{ $key }}, optional: true}}
{{- end }}
{{- end -}}

{{- define "holdfast.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "holdfast.mounts" -}}
- {name: node, mountPath: /var/lib/holdfast}
- {name: tmp, mountPath: /tmp}
{{- end -}}
