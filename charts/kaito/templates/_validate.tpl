{{/* Checks that values.schema.json cannot express: conflicting values, each with a remedy. */}}
{{- define "kaito.validate" -}}
{{- if include "kaito.provisioner" . -}}
{{- if ne .Values.cloudProvider "azure" -}}
{{- fail (printf "gpu-provisioner creates AKS agent pools, but cloudProvider is %q: set nodeProvisioner=byo to use existing GPU nodes, or set gpuProvisioner.enabled=false if another provisioner handles Machines or NodeClaims." .Values.cloudProvider) -}}
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
{{- fail (printf "gpu-provisioner requires its AKS cluster and identity: set %s, or set nodeProvisioner=byo to use existing GPU nodes." (join ", " $missing)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.nodeProvisioner "nodeclaim" -}}
{{- $decided := dict "node.kubernetes.io/instance-type" "resource.instanceType of Workspaces" "karpenter.sh/capacity-type" "nodeOfferings.capacityTypes" "topology.kubernetes.io/zone" "nodeOfferings.zones" -}}
{{- range .Values.nodeClaim.requirements -}}
{{- with get $decided .key -}}
{{- fail (printf "nodeClaim.requirements: another setting decides this key: use %s." .) -}}
{{- end -}}
{{- end -}}
{{- if include "kaito.ownNodeClass" . -}}
{{- if .Values.nodeClaim.requirements -}}
{{- fail "nodeClaim.requirements are for the node class of a Karpenter: gpu-provisioner takes settings of nodes from its KaitoNodeClass (docs/install.md)." -}}
{{- end -}}
{{- else if eq (lower .Values.nodeClaim.nodeClassRef.group) "kaito.sh" -}}
{{- fail (printf "no provisioner handles NodeClaims of class kaito.sh/%s: set nodeClaim.nodeClassRef.kind=KaitoNodeClass, or the class of your Karpenter." .Values.nodeClaim.nodeClassRef.kind) -}}
{{- end -}}
{{- end -}}
{{- /* Helm deletes what a release does not contain anymore, unless the object itself says keep. All objects of the kind would go too. */ -}}
{{- $release := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "kaito-release" | dig "metadata" "annotations" dict -}}
{{- $now := include "kaito.definitions" . | splitList "," -}}
{{- range $name := get $release "kaito.sh/definitions" | toString | splitList "," | compact -}}
{{- if not (has $name $now) -}}
{{- $definition := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
{{- if and $definition (ne (dig "metadata" "annotations" "helm.sh/resource-policy" "" $definition) "keep") -}}
{{- fail (printf "this upgrade would delete the definition %s with all its objects, since the release does not contain it anymore or another owner took it over: run `kubectl annotate customresourcedefinition %s helm.sh/resource-policy=keep`, and repeat the upgrade." $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (include "kaito.provisioner" .) -}}
{{- /* Looks up objects in the cluster; the result is empty in `helm template`. */ -}}
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
{{- fail (printf "with nodeProvisioner=byo no provisioner deletes Machines and NodeClaims, but the cluster has %d of them for Workspaces (such as %s): delete those Workspaces first and wait until `kubectl get machines,nodeclaims` shows none." (len $left) (join ", " (slice $left 0 (min 3 (len $left))))) -}}
{{- end -}}
{{- end -}}
{{- with .Values.instanceTypes -}}
{{- if and .configMap .files -}}
{{- fail "instance types must have one source: set either instanceTypes.configMap or instanceTypes.files." -}}
{{- end -}}
{{- end -}}
{{- with .Values.presetRegistry -}}
{{- if and .userPresets.configMap .userPresets.files -}}
{{- fail "user presets must have one source: set either presetRegistry.userPresets.configMap or presetRegistry.userPresets.files." -}}
{{- end -}}
{{- if and .tls.clientSecretName (not .tls.secretName) -}}
{{- fail "client certificates require a server certificate: set presetRegistry.tls.secretName as well as presetRegistry.tls.clientSecretName." -}}
{{- end -}}
{{- if and .tls.secretName (not .tls.enabled) -}}
{{- fail "a certificate is not used without TLS: set presetRegistry.tls.enabled=true, or leave presetRegistry.tls.secretName empty." -}}
{{- end -}}
{{- if and .hub.tokenSecret.name (not .tls.enabled) -}}
{{- fail "without TLS every pod of the cluster could use the hub token: set presetRegistry.tls.enabled=true, or leave presetRegistry.hub.tokenSecret.name empty." -}}
{{- end -}}
{{- if and .hub.tokenSecret.name (not .hub.endpoint) -}}
{{- fail "a hub token requires a hub: set presetRegistry.hub.endpoint, such as https://huggingface.co, as well as presetRegistry.hub.tokenSecret.name." -}}
{{- end -}}
{{- if and .hub.tokenSecret.name (hasPrefix "http://" .hub.endpoint) (not .hub.allowPrivateEndpoint) -}}
{{- fail "the hub token must not be sent unencrypted: set presetRegistry.hub.endpoint to an https:// URL." -}}
{{- end -}}
{{- end -}}
{{- $names := list .Values.workspaceController.serviceAccount.name .Values.gpuProvisioner.serviceAccount.name .Values.presetRegistry.serviceAccount.name .Values.presetRegistry.access.serviceAccount.name -}}
{{- if ne (len (uniq $names)) 4 -}}
{{- fail (printf "the ServiceAccount names must differ, so that each program has only its own permissions: %s." (join ", " $names)) -}}
{{- end -}}
{{- end -}}
