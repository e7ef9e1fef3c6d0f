{{/* What values.schema.json cannot say: settings that don't go together, each with what to do about it. */}}
{{- define "kaito.validate" -}}
{{- if include "kaito.provisioner" . -}}
{{- if ne .Values.cloudProvider "azure" -}}
{{- fail (printf "gpu-provisioner makes AKS agent pools, but cloudProvider is %q: set nodeProvisioner=byo and bring GPU nodes along, or set gpuProvisioner.enabled=false when something else answers Machines or NodeClaims." .Values.cloudProvider) -}}
{{- end -}}
{{- if .Values.workloads.enabled -}}
{{- $g := .Values.gpuProvisioner -}}
{{- $missing := list -}}
{{- range $key := list "subscriptionId" "resourceGroup" "clusterName" -}}
{{- if not (index $g.azure $key) -}}
{{- $missing = append $missing (printf "gpuProvisioner.azure.%s" $key) -}}
{{- end -}}
{{- end -}}
{{- if not $g.workloadIdentity.clientId -}}
{{- $missing = append $missing "gpuProvisioner.workloadIdentity.clientId" -}}
{{- end -}}
{{- if $missing -}}
{{- fail (printf "gpu-provisioner must know its AKS cluster and its identity: please set %s; or set nodeProvisioner=byo to use GPU nodes that the cluster has already." (join ", " $missing)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.nodeProvisioner "nodeclaim" -}}
{{- if include "kaito.ownNodeClass" . -}}
{{- if .Values.nodeClaim.zones -}}
{{- fail "gpu-provisioner cannot choose zones: leave nodeClaim.zones empty, or set nodeClaim.nodeClassRef to a class of a Karpenter that can." -}}
{{- end -}}
{{- if and .Values.nodeClaim.capacityTypes (not (has "on-demand" .Values.nodeClaim.capacityTypes)) -}}
{{- fail "gpu-provisioner makes on-demand nodes only: leave nodeClaim.capacityTypes empty, or add on-demand." -}}
{{- end -}}
{{- else if eq (lower .Values.nodeClaim.nodeClassRef.group) "kaito.sh" -}}
{{- fail (printf "nobody answers NodeClaims of class kaito.sh/%s: set nodeClaim.nodeClassRef.kind=KaitoNodeClass, or name the class of your Karpenter." .Values.nodeClaim.nodeClassRef.kind) -}}
{{- end -}}
{{- end -}}
{{- if not (include "kaito.provisioner" .) -}}
{{- /* Looks into the cluster; finds nothing when only rendering. */ -}}
{{- $left := list -}}
{{- if and (eq .Values.nodeProvisioner "byo") (.Capabilities.APIVersions.Has "karpenter.sh/v1alpha5/Machine") -}}
{{- range (lookup "karpenter.sh/v1alpha5" "Machine" "" "").items -}}
{{- if hasKey (.metadata.labels | default dict) "kaito.sh/workspace" -}}
{{- $left = append $left .metadata.name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.nodeProvisioner "byo") (.Capabilities.APIVersions.Has "karpenter.sh/v1/NodeClaim") -}}
{{- range (lookup "karpenter.sh/v1" "NodeClaim" "" "").items -}}
{{- if and (eq .spec.nodeClassRef.group "kaito.sh") (hasKey (.metadata.labels | default dict) "kaito.sh/workspace") -}}
{{- $left = append $left .metadata.name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $left -}}
{{- fail (printf "with nodeProvisioner=byo nobody gives Machines and NodeClaims back, but the cluster has %d of them for Workspaces (such as %s): delete those Workspaces first and wait until `kubectl get machines,nodeclaims` shows none." (len $left) (join ", " (slice $left 0 (min 3 (len $left))))) -}}
{{- end -}}
{{- end -}}
{{- with .Values.presetRegistry -}}
{{- if and .userPresets.configMap .userPresets.files -}}
{{- fail "presets of your own are either in a ConfigMap of yours or in these values: set presetRegistry.userPresets.configMap or presetRegistry.userPresets.files, not both." -}}
{{- end -}}
{{- if and .tls.clientSecretName (not .tls.secretName) -}}
{{- fail "clients show certificates only where the registry has one too: set presetRegistry.tls.secretName beside presetRegistry.tls.clientSecretName." -}}
{{- end -}}
{{- if and .hub.tokenSecret.name (not .hub.endpoint) -}}
{{- fail "a token is of no use without a hub: set presetRegistry.hub.endpoint, such as https://huggingface.co, beside presetRegistry.hub.tokenSecret.name." -}}
{{- end -}}
{{- if and .hub.tokenSecret.name (hasPrefix "http://" .hub.endpoint) (not .hub.allowPrivateEndpoint) -}}
{{- fail "without encryption everybody on the way reads the hub's token: set presetRegistry.hub.endpoint to an https:// address." -}}
{{- end -}}
{{- end -}}
{{- $names := list .Values.workspaceController.serviceAccount.name .Values.gpuProvisioner.serviceAccount.name .Values.presetRegistry.serviceAccount.name -}}
{{- if ne (len (uniq $names)) 3 -}}
{{- fail (printf "each program needs a ServiceAccount of its own, so that it has only its own rights: the names %s must differ." (join ", " $names)) -}}
{{- end -}}
{{- end -}}
