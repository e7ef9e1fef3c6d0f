//! The policy on the author of a Workspace: a Workspace gives its author no right that the author lacks.
//!
//! The controller creates the pods, so the API server would check the controller's rights only. Pod Security of the
//! namespace remains the second line: it checks the pods themselves.
//!
//! An update is checked for what it adds. So a user without the right to a Secret may still edit a Workspace that an
//! administrator prepared with it.

use crate::policy::{Policy, Rule, Variable, WORKSPACE_CHANGES, right, rule, variable};

/// Policy without a parameter.
pub const AUTHOR: Policy = Policy {
    name: "author",
    reason: "Forbidden",
    conditions: WORKSPACE_CHANGES,
    fail_closed: true,
    variables: VARIABLES,
    rules: RULES,
};

/// The pod spec of the template.
macro_rules! pod_spec {
    ($object:literal) => {
        concat!(
            $object,
            " != null && has(",
            $object,
            ".inference) && has(",
            $object,
            ".inference.template) && has(",
            $object,
            ".inference.template.spec) ? ",
            $object,
            ".inference.template.spec : {}"
        )
    };
}

/// All containers of the pod spec that a variable holds.
macro_rules! containers {
    ($spec:literal) => {
        concat!(
            "(has(",
            $spec,
            ".containers) ? ",
            $spec,
            ".containers : []) + (has(",
            $spec,
            ".initContainers) ? ",
            $spec,
            ".initContainers : []) + (has(",
            $spec,
            ".ephemeralContainers) ? ",
            $spec,
            ".ephemeralContainers : [])"
        )
    };
}

/// Volumes that Workspaces name outside the template.
macro_rules! sources {
    ($object:literal) => {
        concat!(
            "(",
            $object,
            " != null && has(",
            $object,
            ".inference) && has(",
            $object,
            ".inference.adapters) ? ",
            $object,
            ".inference.adapters.filter(a, has(a.source)).map(a, a.source) : []) + (",
            $object,
            " != null && has(",
            $object,
            ".tuning) ? (has(",
            $object,
            ".tuning.input) ? [",
            $object,
            ".tuning.input] : []) + (has(",
            $object,
            ".tuning.output) ? [",
            $object,
            ".tuning.output] : []) : [])"
        )
    };
}

/// Options of the presets.
macro_rules! options {
    ($object:literal) => {
        concat!(
            "(",
            $object,
            " != null && has(",
            $object,
            ".inference) && has(",
            $object,
            ".inference.preset) && has(",
            $object,
            ".inference.preset.presetOptions) ? [",
            $object,
            ".inference.preset.presetOptions] : []) + (",
            $object,
            " != null && has(",
            $object,
            ".tuning) && has(",
            $object,
            ".tuning.preset) && has(",
            $object,
            ".tuning.preset.presetOptions) ? [",
            $object,
            ".tuning.preset.presetOptions] : [])"
        )
    };
}

/// Secrets that annotations of a Workspace name, as the controller reads them.
macro_rules! annotated {
    ($object:literal) => {
        concat!(
            $object,
            " != null && has(",
            $object,
            ".metadata.annotations) ? ['kaito.sh/api-keys-secret', 'kaito.sh/tls-secret']\
             .filter(k, k in ",
            $object,
            ".metadata.annotations).map(k, ",
            $object,
            ".metadata.annotations[k].trim()) : []"
        )
    };
}

/// Names of Secrets, separated by commas: CEL cannot flatten lists.
macro_rules! secrets {
    ($annotated:literal, $options:literal, $sources:literal, $volumes:literal, $containers:literal, $spec:literal) => {
        concat!(
            "[",
            $annotated,
            ".join(','), ",
            $options,
            ".map(o, (has(o.modelAccessSecret) ? [o.modelAccessSecret] : []) \
             + (has(o.imagePullSecrets) ? o.imagePullSecrets : [])).map(l, l.join(',')).join(','), ",
            $sources,
            ".map(s, (has(s.imagePullSecrets) ? s.imagePullSecrets : []) \
             + (has(s.imagePushSecret) ? [s.imagePushSecret] : [])).map(l, l.join(',')).join(','), ",
            $volumes,
            ".map(v, (has(v.secret) && has(v.secret.secretName) ? [v.secret.secretName] : []) \
             + (has(v.projected) && has(v.projected.sources) \
                ? v.projected.sources.filter(s, has(s.secret) && has(s.secret.name)).map(s, s.secret.name) : []) \
             + (has(v.csi) && has(v.csi.nodePublishSecretRef) && has(v.csi.nodePublishSecretRef.name) \
                ? [v.csi.nodePublishSecretRef.name] : []) \
             + (has(v.azureFile) && has(v.azureFile.secretName) ? [v.azureFile.secretName] : []) \
             + ['cephfs', 'cinder', 'rbd', 'iscsi', 'flexVolume', 'scaleIO', 'storageos'].filter(k, k in v && has(v[k].secretRef) \
                && has(v[k].secretRef.name)).map(k, v[k].secretRef.name)).map(l, l.join(',')).join(','), ",
            $containers,
            ".map(c, (has(c.env) ? c.env.filter(e, has(e.valueFrom) && has(e.valueFrom.secretKeyRef) \
                && has(e.valueFrom.secretKeyRef.name)).map(e, e.valueFrom.secretKeyRef.name) : []) \
             + (has(c.envFrom) ? c.envFrom.filter(e, has(e.secretRef) && has(e.secretRef.name)) \
                .map(e, e.secretRef.name) : [])).map(l, l.join(',')).join(','), ",
            "has(",
            $spec,
            ".imagePullSecrets) ? ",
            $spec,
            ".imagePullSecrets.filter(s, has(s.name)).map(s, s.name).join(',') : ''",
            "].join(',').split(',').filter(n, n != '')"
        )
    };
}

/// The Secret at one place, and the list without it. Duplicates go, so each Secret costs one question.
macro_rules! secret {
    ($list:literal, $may:literal, $rest:literal) => {
        [
            right(
                $may,
                concat!(
                    "variables.",
                    $list,
                    ".size() == 0 || authorizer.group('').resource('secrets').namespace(request.namespace).name(variables.",
                    $list,
                    "[0]).check('get').allowed()"
                ),
            ),
            variable(
                $rest,
                concat!(
                    "variables.",
                    $list,
                    ".filter(n, n != variables.",
                    $list,
                    "[0])"
                ),
            ),
        ]
    };
}

const VARIABLES: &[Variable] = {
    const SECRETS: [[Variable; 2]; 6] = [
        secret!("secrets", "mayGet0", "secrets1"),
        secret!("secrets1", "mayGet1", "secrets2"),
        secret!("secrets2", "mayGet2", "secrets3"),
        secret!("secrets3", "mayGet3", "secrets4"),
        secret!("secrets4", "mayGet4", "secrets5"),
        secret!("secrets5", "mayGet5", "secrets6"),
    ];
    &[
        variable(
            "home",
            "has(object.metadata.namespace) ? object.metadata.namespace : ''",
        ),
        variable("spec", pod_spec!("object")),
        variable("oldSpec", pod_spec!("oldObject")),
        variable("containers", containers!("variables.spec")),
        variable("oldContainers", containers!("variables.oldSpec")),
        variable(
            "hasNewTemplate",
            "has(object.inference) && has(object.inference.template) && (oldObject == null \
             || !has(oldObject.inference) || !has(oldObject.inference.template) \
             || object.inference.template != oldObject.inference.template)",
        ),
        variable("sources", sources!("object")),
        variable("oldSources", sources!("oldObject")),
        variable(
            "sourceVolumes",
            "variables.sources.filter(s, has(s.volumeSource)).map(s, s.volumeSource)",
        ),
        variable(
            "oldSourceVolumes",
            "variables.oldSources.filter(s, has(s.volumeSource)).map(s, s.volumeSource)",
        ),
        variable(
            "volumes",
            "variables.sourceVolumes + (has(variables.spec.volumes) ? variables.spec.volumes : [])",
        ),
        variable(
            "oldVolumes",
            "variables.oldSourceVolumes + (has(variables.oldSpec.volumes) ? variables.oldSpec.volumes : [])",
        ),
        variable("annotated", annotated!("object")),
        variable("oldAnnotated", annotated!("oldObject")),
        variable("options", options!("object")),
        variable("oldOptions", options!("oldObject")),
        variable(
            "oldSecrets",
            secrets!(
                "variables.oldAnnotated",
                "variables.oldOptions",
                "variables.oldSources",
                "variables.oldVolumes",
                "variables.oldContainers",
                "variables.oldSpec"
            ),
        ),
        variable(
            "allSecrets",
            secrets!(
                "variables.annotated",
                "variables.options",
                "variables.sources",
                "variables.volumes",
                "variables.containers",
                "variables.spec"
            ),
        ),
        variable(
            "secrets",
            "variables.allSecrets.filter(n, !(n in variables.oldSecrets))",
        ),
        SECRETS[0][0],
        SECRETS[0][1],
        SECRETS[1][0],
        SECRETS[1][1],
        SECRETS[2][0],
        SECRETS[2][1],
        SECRETS[3][0],
        SECRETS[3][1],
        SECRETS[4][0],
        SECRETS[4][1],
        SECRETS[5][0],
        SECRETS[5][1],
        right(
            "mayGetOthers",
            "variables.secrets6.size() == 0 \
             || authorizer.group('').resource('secrets').namespace(request.namespace).check('get').allowed()",
        ),
        right(
            "mayCreateDeployments",
            "authorizer.group('apps').resource('deployments').namespace(request.namespace).check('create').allowed() \
             || authorizer.group('').resource('pods').namespace(request.namespace).check('create').allowed()",
        ),
        variable(
            "account",
            "has(variables.spec.serviceAccountName) && variables.spec.serviceAccountName != '' \
             ? variables.spec.serviceAccountName \
             : (has(variables.spec.serviceAccount) ? variables.spec.serviceAccount : '')",
        ),
        right(
            "mayUseAccount",
            "authorizer.group('').resource('pods').namespace(request.namespace).check('create').allowed() \
             || authorizer.group('').resource('serviceaccounts').namespace(request.namespace).name(variables.account) \
                .check('impersonate').allowed()",
        ),
        // Fields of the template that reach past the pod.
        variable(
            "hostFields",
            "['hostNetwork', 'hostPID', 'hostIPC'].filter(f, f in variables.spec && variables.spec[f] == true) \
             + (has(variables.spec.nodeName) && variables.spec.nodeName != '' ? ['nodeName'] : []) \
             + (has(variables.spec.volumes) && variables.spec.volumes.exists(v, has(v.hostPath)) ? ['hostPath'] : []) \
             + (variables.containers.exists(c, has(c.securityContext) && has(c.securityContext.privileged) \
                && c.securityContext.privileged == true) ? ['privileged'] : []) \
             + (variables.containers.exists(c, has(c.securityContext) && has(c.securityContext.capabilities) \
                && has(c.securityContext.capabilities.add) \
                && c.securityContext.capabilities.add.exists(a, a != 'NET_BIND_SERVICE')) ? ['capabilities.add'] : []) \
             + (variables.containers.exists(c, has(c.securityContext) && has(c.securityContext.procMount) \
                && c.securityContext.procMount != 'Default') ? ['procMount'] : []) \
             + (variables.containers.exists(c, has(c.ports) && c.ports.exists(p, has(p.hostPort) && p.hostPort != 0)) \
                ? ['hostPort'] : [])",
        ),
        variable(
            "newSourceVolumes",
            "variables.sourceVolumes.filter(v, !(v in variables.oldSourceVolumes))",
        ),
        variable(
            "hostVolumes",
            "['hostPath', 'nfs'].filter(k, variables.newSourceVolumes.exists(v, k in v))",
        ),
        right(
            "mayUseHosts",
            "authorizer.group('kaito.sh').resource('workspaces').subresource('privileged') \
             .namespace(request.namespace).check('use').allowed()",
        ),
        variable(
            "otherVolumes",
            // The first of several in the order of names: maps have no order, and verdicts must not vary.
            "variables.newSourceVolumes.map(v, v.filter(k, !(k in ['name', 'persistentVolumeClaim', 'ephemeral', \
             'emptyDir', 'configMap', 'csi', 'image', 'hostPath', 'nfs']))).filter(l, l.size() > 0)\
             .map(l, l.filter(k, l.all(o, k <= o))[0])",
        ),
    ]
};

const RULES: &[Rule] = &[
    rule(
        "metadata.namespace",
        "oldObject != null || !(variables.home.startsWith('kube-') \
         || variables.home != '' && variables.home == variables.operatorNamespace)",
        "'a Workspace cannot be created in namespace ' + variables.home \
         + ', which belongs to the system: its pods could use the accounts there'",
    ),
    rule(
        "inference.template",
        "!variables.hasNewTemplate || variables.mayCreateDeployments",
        "'inference.template needs the author\\'s right to create deployments or pods in this namespace'",
    ),
    rule(
        "inference.template.spec.serviceAccountName",
        "!variables.hasNewTemplate || variables.account in ['', 'default'] || variables.mayUseAccount",
        "'ServiceAccount ' + variables.account + ' in inference.template needs the author\\'s right to create pods in this \
         namespace, or to impersonate the account'",
    ),
    rule(
        "inference.template.spec",
        "!variables.hasNewTemplate || variables.hostFields.size() == 0 || variables.mayUseHosts",
        "variables.hostFields.join(', ') + ' in inference.template needs the author\\'s right to use workspaces/privileged in \
         this namespace'",
    ),
    rule(
        "volumeSource",
        "variables.hostVolumes.size() == 0 || variables.mayUseHosts",
        "variables.hostVolumes.join(', ') + ' in a volumeSource needs the author\\'s right to use workspaces/privileged in this \
         namespace'",
    ),
    rule(
        "volumeSource",
        "variables.otherVolumes.size() == 0",
        "'a volumeSource must be persistentVolumeClaim, ephemeral, emptyDir, configMap, csi, image, hostPath or nfs, not ' \
         + variables.otherVolumes.join(', ')",
    ),
    rule(
        "secrets",
        "variables.secrets.size() == 0 || variables.mayGet0 && variables.mayGet1 && variables.mayGet2 && variables.mayGet3 && variables.mayGet4 \
         && variables.mayGet5 && variables.mayGetOthers",
        "'Secrets named here need the author\\'s right to get them in this namespace: ' + variables.secrets.join(', ')",
    ),
];
