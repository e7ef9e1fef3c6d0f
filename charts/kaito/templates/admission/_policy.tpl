{{/* Variables and validations of a policy: (dict "root" $ "name" "<name of its files>"), and "more" with further variables. */}}
{{- define "kaito.policyBody" -}}
variables:
  - name: makesNodes
    expression: {{ ne .root.Values.nodeProvisioner "byo" | quote }}
  - name: operatorNamespace
    expression: {{ printf "'%s'" .root.Release.Namespace | quote }}
  {{- range $variable, $expression := .more }}
  - name: {{ $variable }}
    expression: {{ $expression | quote }}
  {{- end }}
  {{- .root.Files.Get (printf "policies/%s-variables.yaml" .name) | nindent 2 }}
validations:
  {{- .root.Files.Get (printf "policies/%s-validations.yaml" .name) | nindent 2 }}
{{- end -}}

{{/* Binding of a policy without a parameter: (dict "root" $ "component" "<name>" "name" "<name of the policy>"),
and "action" if violations are not denied. */}}
{{- define "kaito.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "kaito.labels" . | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [{{ .action | default "Deny" }}]
{{- end -}}
