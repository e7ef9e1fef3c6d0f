{{/* Prefix of object names. It leaves room for the longest suffix, "-workspace-controller". */}}
{{- define "kaito.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | replace "." "-" | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of the ConfigMap in which preset-registry publishes the catalog for admission. */}}
{{- define "kaito.catalogName" -}}
{{ include "kaito.fullname" . }}-catalog
{{- end -}}

{{/* Name of the ConfigMap in which preset-registry publishes the authority of its certificate. */}}
{{- define "kaito.authorityName" -}}
{{ include "kaito.fullname" . }}-preset-registry-ca
{{- end -}}

{{/* Name of the ConfigMap in which gpu-provisioner publishes the instances of the cloud. */}}
{{- define "kaito.fleetName" -}}
{{ include "kaito.fullname" . }}-fleet
{{- end -}}

{{/* Name of the ConfigMap in which gpu-provisioner publishes quota and restrictions of the subscription. */}}
{{- define "kaito.capacityName" -}}
{{ include "kaito.fullname" . }}-capacity
{{- end -}}

{{/* DNS name of preset-registry. It is also the audience of its callers' tokens. */}}
{{- define "kaito.registryHost" -}}
{{ include "kaito.fullname" . }}-preset-registry.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* Reports whether callers of preset-registry show tokens: "true" or empty. Client certificates take their place. */}}
{{- define "kaito.registryTokens" -}}
{{- with .Values.presetRegistry.tls -}}
{{- if and .enabled (not .clientSecretName) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Reports whether preset-registry uses the API server: "true" or empty. */}}
{{- define "kaito.registryUsesApi" -}}
{{- if or .Values.admission.enabled (include "kaito.registryTokens" .) -}}true{{- end -}}
{{- end -}}

{{/* Reports whether gpu-provisioner is part of this release: "true" or empty. */}}
{{- define "kaito.provisioner" -}}
{{- if and .Values.gpuProvisioner.enabled (ne .Values.nodeProvisioner "byo") -}}true{{- end -}}
{{- end -}}

{{/* Reports whether NodeClaims have the node class of gpu-provisioner: "true" or empty. */}}
{{- define "kaito.ownNodeClass" -}}
{{- with .Values.nodeClaim.nodeClassRef -}}
{{- if and (eq .group "kaito.sh") (eq .kind "KaitoNodeClass") -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Contents that the administrator adds to NodeClaims, as JSON; empty without any. */}}
{{- define "kaito.nodeClaimContents" -}}
{{- $contents := dict -}}
{{- range $key := list "requirements" "labels" "annotations" "taints" -}}
{{- with get $.Values.nodeClaim $key -}}
{{- $_ := set $contents $key . -}}
{{- end -}}
{{- end -}}
{{- with $contents -}}{{ toJson . | replace "$(" "$$(" }}{{- end -}}
{{- end -}}

{{/* Reports whether quota and restrictions of the subscription are read: "true" or empty. Those of our provisioner say nothing
about the nodes of a Karpenter. */}}
{{- define "kaito.capacity" -}}
{{- $foreign := and (eq .Values.nodeProvisioner "nodeclaim") (not (include "kaito.ownNodeClass" .)) -}}
{{- if and .Values.gpuProvisioner.capacity.enabled (include "kaito.provisioner" .) (not $foreign) -}}true{{- end -}}
{{- end -}}

{{/* Reports whether a definition is this release's, or nobody's: "true" or empty. One of another owner is left alone. Without a
cluster the lookup is empty: (dict "root" $ "name" "workspaces.kaito.sh"). */}}
{{- define "kaito.mayDefine" -}}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" .name -}}
{{- $marks := $found | dig "metadata" "annotations" dict -}}
{{- $release := printf "%s/%s" (get $marks "meta.helm.sh/release-namespace") (get $marks "meta.helm.sh/release-name") -}}
{{- if or (not $found) (eq $release (printf "%s/%s" .root.Release.Namespace .root.Release.Name)) -}}true{{- end -}}
{{- end -}}

{{/* Reports whether this release installs the definition of NodeClaims: "true" or empty. gpu-provisioner serves it, and no
other owner has one in the cluster. `auto` needs a cluster to see that; every cluster has the namespace kube-system. */}}
{{- define "kaito.nodeClaimDefinition" -}}
{{- $foreign := and (eq .Values.nodeProvisioner "nodeclaim") (not (include "kaito.ownNodeClass" .)) -}}
{{- $wanted := .Values.nodeClaim.createDefinition -}}
{{- if eq (toString $wanted) "auto" -}}
{{- $wanted = lookup "v1" "Namespace" "" "kube-system" -}}
{{- end -}}
{{- if and $wanted (include "kaito.provisioner" .) (not $foreign) -}}
{{- include "kaito.mayDefine" (dict "root" . "name" "nodeclaims.karpenter.sh") -}}
{{- end -}}
{{- end -}}

{{/* Definitions that the chart always brings, unless crds.install is false. */}}
{{- define "kaito.ownDefinitions" -}}
{{- if .Values.crds.install -}}
kaitonodeclasses.kaito.sh,workspaces.kaito.sh,machines.karpenter.sh
{{- end -}}
{{- end -}}

{{/* Definitions that this release installs, separated by commas. */}}
{{- define "kaito.definitions" -}}
{{- $all := list -}}
{{- range $name := include "kaito.ownDefinitions" . | splitList "," | compact -}}
{{- if include "kaito.mayDefine" (dict "root" $ "name" $name) -}}
{{- $all = append $all $name -}}
{{- end -}}
{{- end -}}
{{- if include "kaito.nodeClaimDefinition" . -}}
{{- $all = append $all "nodeclaims.karpenter.sh" -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* Name of the ConfigMap with user presets, either an existing one or the chart's; empty if there are none. */}}
{{- define "kaito.userPresets" -}}
{{- with .Values.presetRegistry.userPresets -}}
{{- if .files -}}
{{ include "kaito.fullname" $ }}-user-presets
{{- else -}}
{{ .configMap }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Name of the ConfigMap with instance types, either an existing one or the chart's; empty if there are none. */}}
{{- define "kaito.instanceTypes" -}}
{{- with .Values.instanceTypes -}}
{{- if .files -}}
{{ include "kaito.fullname" $ }}-instance-types
{{- else -}}
{{ .configMap }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Argument of a program that reads instance types. */}}
{{- define "kaito.instanceTypesArg" -}}
{{- if include "kaito.instanceTypes" . }}
- --instance-types-dir=/etc/kaito/instance-types
{{- end }}
{{- end -}}

{{/* Annotations of the pods of a program that reads instance types: a change of the files replaces them. */}}
{{- define "kaito.instanceTypesAnnotations" -}}
{{- with .Values.instanceTypes.files }}
kaito.sh/instance-types-digest: {{ toJson . | sha256sum | quote }}
{{- end }}
{{- end -}}

{{- define "kaito.instanceTypesMount" -}}
- name: instance-types
  mountPath: /etc/kaito/instance-types
  readOnly: true
{{- end -}}

{{- define "kaito.instanceTypesVolume" -}}
- name: instance-types
  configMap:
    name: {{ include "kaito.instanceTypes" . }}
{{- end -}}

{{/* The hub that the registry asks: for models outside the catalog, or only for commits. */}}
{{- define "kaito.hubEndpoint" -}}
{{- with .Values.presetRegistry.hub -}}
{{- if .endpoint -}}{{ .endpoint }}{{- else if .commits -}}{{ $.Values.workspaceDownloads.hubEndpoint }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* The helpers below expect (dict "root" $ "component" "<name>" "values" <values of the component>). */}}

{{- define "kaito.name" -}}
{{ include "kaito.fullname" .root }}-{{ .component }}
{{- end -}}

{{- define "kaito.selectorLabels" -}}
app.kubernetes.io/name: kaito
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "kaito.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "kaito.podLabels" . }}
{{- end -}}

{{/* Places a registry, with or without a path, behind global.imageRegistry: (dict "root" $ "registry" "…"). */}}
{{- define "kaito.registry" -}}
{{- $mirror := (.root.Values.global).imageRegistry | default "" | trimSuffix "/" -}}
{{- $registry := trimSuffix "/" .registry -}}
{{- if $mirror -}}
{{- $parts := splitList "/" $registry -}}
{{- $path := ternary (rest $parts) $parts (regexMatch "[.:]|^localhost$" (first $parts)) -}}
{{ compact (concat (list $mirror) $path) | join "/" }}
{{- else -}}
{{ $registry }}
{{- end -}}
{{- end -}}

{{/* Registry and path of our own images. There is no default: nobody publishes them for you. */}}
{{- define "kaito.imageRegistry" -}}
{{- $registry := include "kaito.registry" (dict "root" . "registry" .Values.image.registry) -}}
{{- required "the images of this chart are in a registry of yours: push them with `cargo xtask image --push REGISTRY`, then set image.registry=REGISTRY." $registry -}}
{{- end -}}

{{/* Value of a program, or else that of all programs, as {"value": …}: (dict "root" $ "values" $v "key" "nodeSelector"). */}}
{{- define "kaito.setting" -}}
{{- dict "value" (get (ternary .values .root.Values (hasKey .values .key)) .key) | toJson -}}
{{- end -}}

{{/* Pull Secrets of the programs, those of a parent chart included, as a YAML list. */}}
{{- define "kaito.pullSecrets" -}}
{{- $names := list -}}
{{- range concat ((.Values.global).imagePullSecrets | default list) .Values.image.pullSecrets -}}
{{- $names = append $names (ternary . (get (ternary dict . (kindIs "string" .)) "name") (kindIs "string" .)) -}}
{{- end -}}
{{- range $index, $name := uniq $names }}
{{- if $index }}{{ "\n" }}{{ end -}}
- name: {{ $name }}
{{- end -}}
{{- end -}}

{{/* Pod labels omit the chart version, so that an upgrade that changes nothing in a pod does not restart it. */}}
{{- define "kaito.podLabels" -}}
{{ include "kaito.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kaito
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "kaito.image" -}}
{{- $image := .values.image -}}
{{- $name := printf "%s/%s" (include "kaito.imageRegistry" .root) $image.name -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* An additional image: (dict "root" $ "name" "artifact"). */}}
{{- define "kaito.sideImage" -}}
{{ include "kaito.imageRegistry" .root }}/{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "kaito.podMetadata" -}}
labels:
  {{- include "kaito.podLabels" . | nindent 2 }}
  {{- with merge (dict) (.values.podLabels | default dict) .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) (.values.podAnnotations | default dict) .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Pod fields that all programs share, without containers. */}}
{{- define "kaito.podSpec" -}}
serviceAccountName: {{ .values.serviceAccount.name }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ int .root.Values.terminationGracePeriodSeconds }}
{{- range $key := list "priorityClassName" "runtimeClassName" "dnsPolicy" }}
{{- with include "kaito.setting" (dict "root" $.root "values" $.values "key" $key) | fromJson | dig "value" "" }}
{{ $key }}: {{ . }}
{{- end }}
{{- end }}
{{- with include "kaito.pullSecrets" .root }}
imagePullSecrets:
  {{- . | nindent 2 }}
{{- end }}
{{- range $key := list "podSecurityContext" "nodeSelector" "tolerations" "affinity" "dnsConfig" "hostAliases" }}
{{- with include "kaito.setting" (dict "root" $.root "values" $.values "key" $key) | fromJson | dig "value" dict }}
{{ ternary "securityContext" $key (eq $key "podSecurityContext") }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with include "kaito.setting" (dict "root" .root "values" .values "key" "topologySpreadConstraints") | fromJson | dig "value" list }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | indent 4 | trim }}
    labelSelector:
      matchLabels:
        {{- include "kaito.selectorLabels" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{/* Container fields that all programs share, without arguments, variables, ports and probes. */}}
{{- define "kaito.container" -}}
name: {{ .component }}
image: {{ include "kaito.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with include "kaito.setting" (dict "root" .root "values" .values "key" "containerSecurityContext") | fromJson | dig "value" dict }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Arguments that all programs accept, then `extraArgs`. */}}
{{- define "kaito.commonArgs" -}}
{{- $v := .root.Values -}}
- {{ printf "--metrics-bind-address=%s:8080" $v.bindAddress | quote }}
- {{ printf "--health-probe-bind-address=%s:8081" $v.bindAddress | quote }}
- --log-format={{ $v.log.format }}
{{- with $v.log.filter }}
- {{ printf "--log-filter=%s" . | quote }}
{{- end }}
{{- with $v.otlpEndpoint }}
- {{ printf "--otlp-endpoint=%s" . | quote }}
{{- end }}
{{- range .values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "kaito.leaderArgs" -}}
- --leader-elect=true
- --leader-election-namespace=$(POD_NAMESPACE)
{{- end -}}

{{- define "kaito.podEnv" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end -}}

{{/* Resource attributes of traces. */}}
{{- define "kaito.traceEnv" -}}
{{- if .Values.otlpEndpoint }}
- name: TRACE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: TRACE_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: TRACE_POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name=$(TRACE_NAMESPACE),k8s.pod.name=$(TRACE_POD_NAME),k8s.pod.uid=$(TRACE_POD_UID),service.instance.id=$(TRACE_POD_UID)
{{- end }}
{{- end -}}

{{/* Variables of programs that reach servers outside the cluster: proxies, and the file of authorities. */}}
{{- define "kaito.outgoingEnv" -}}
{{- with .Values.proxy }}
{{- if .http }}
- name: HTTP_PROXY
  value: {{ .http | quote }}
{{- end }}
{{- if .https }}
- name: HTTPS_PROXY
  value: {{ .https | quote }}
{{- end }}
{{- if or .http .https }}
- name: NO_PROXY
  value: {{ concat (list "localhost" "127.0.0.1" "::1" ".svc" ".cluster.local") .noProxy | join "," | quote }}
{{- end }}
{{- end }}
{{- if .Values.caBundle.configMap }}
- name: SSL_CERT_FILE
  value: /etc/kaito/ca/ca.crt
{{- end }}
{{- end -}}

{{- define "kaito.caMount" -}}
- name: ca-bundle
  mountPath: /etc/kaito/ca
  readOnly: true
{{- end -}}

{{- define "kaito.caVolume" -}}
- name: ca-bundle
  configMap:
    name: {{ .Values.caBundle.configMap }}
    items:
      - key: {{ .Values.caBundle.key }}
        path: ca.crt
{{- end -}}

{{- define "kaito.httpProbes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{/* A PodDisruptionBudget that never blocks a drain: one pod may always be evicted, and unhealthy pods are ignored. */}}
{{- define "kaito.pdb" -}}
{{- if and .root.Values.workloads.enabled (gt (int .values.replicas) 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "kaito.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kaito.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "kaito.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end -}}

{{- define "kaito.serviceAccount" -}}
{{- if dig "create" true .values.serviceAccount -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .values.serviceAccount.name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kaito.labels" . | nindent 4 }}
  {{- with merge (dict) (.annotations | default dict) .values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# Pods that need a token mount one explicitly.
automountServiceAccountToken: false
{{- end -}}
{{- end -}}

{{/* The lease of a program in the release's namespace, and permissions on it. */}}
{{- define "kaito.leaseRole" -}}
# The program fills in the holder. It may not create leases: RBAC cannot restrict that by name.
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kaito.labels" . | nindent 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ include "kaito.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kaito.labels" . | nindent 4 }}
rules:
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [{{ .component }}]
    verbs: [get, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ include "kaito.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "kaito.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "kaito.name" . }}
subjects:
  - kind: ServiceAccount
    name: {{ .values.serviceAccount.name }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{- define "kaito.clusterRoleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "kaito.name" . }}
  labels:
    {{- include "kaito.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "kaito.name" . }}
subjects:
  - kind: ServiceAccount
    name: {{ .values.serviceAccount.name }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{/* Permissions that both controllers need; `definitions` lists the CRDs that they wait for. */}}
{{- define "kaito.sharedRules" -}}
# An Event is created in the namespace of its object, and in `default` for cluster-scoped objects.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# The programs wait until the CRDs are established.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [{{ join ", " .definitions }}]
  verbs: [get]
# The marker of the one release of this cluster.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [kaito-release]
  verbs: [get]
{{- end -}}

{{- define "kaito.metricsPort" -}}
- name: http-metrics
  port: 8080
  targetPort: http-metrics
  protocol: TCP
  appProtocol: http
{{- end -}}

{{/* Fields of an endpoint that Prometheus scrapes; expects the values of a monitor. */}}
{{- define "kaito.scrape" -}}
interval: {{ .interval }}
{{- range $key := list "scrapeTimeout" "relabelings" "metricRelabelings" }}
{{- with get $ $key }}
{{- if kindIs "string" . }}
{{ $key }}: {{ . }}
{{- else }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Flags of the settings that change verdicts: workspace-controller and the policies have the same. */}}
{{- define "kaito.verdictArgs" -}}
- --base-image={{ include "kaito.registry" (dict "root" . "registry" .Values.workspaceImages.base) }}
{{- with .Values.workspaceImages.baseFacts.minComputeCapability }}
- --base-image-min-compute-capability={{ . }}
{{- end }}
{{- if not (kindIs "invalid" .Values.workspaceImages.baseFacts.cudaToolkit) }}
- --base-image-cuda-toolkit={{ .Values.workspaceImages.baseFacts.cudaToolkit }}
{{- end }}
- --retired-instance-types={{ .Values.retiredInstanceTypes }}
{{- if not (kindIs "invalid" .Values.costs.workspaceCeiling.nodes) }}
- --workspace-node-ceiling={{ int .Values.costs.workspaceCeiling.nodes }}
{{- end }}
{{- if not (kindIs "invalid" .Values.costs.workspaceCeiling.usdPerHour) }}
- --workspace-price-ceiling={{ .Values.costs.workspaceCeiling.usdPerHour }}
{{- end }}
{{- if not (kindIs "invalid" .Values.costs.namespaceCeiling.nodes) }}
- --namespace-node-ceiling={{ int .Values.costs.namespaceCeiling.nodes }}
{{- end }}
{{- if not (kindIs "invalid" .Values.costs.namespaceCeiling.usdPerHour) }}
- --namespace-price-ceiling={{ .Values.costs.namespaceCeiling.usdPerHour }}
{{- end }}
{{- end -}}
