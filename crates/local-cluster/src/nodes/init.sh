# The first process of a node. $1 is the name of the node, $2 its directory.
# When it is killed, every process of the node dies and every mount is gone.
set -eu
name=$1
dir=$2

mount --make-rshared /
hostname "$name"
mount --bind "$dir/var-lib" /var/lib
mount --bind "$dir/log" /var/log
mount --bind "$dir/run" /run
mount --bind /run/netns /run/netns
mount --make-shared /run/netns

# The kubelet demands these values and would set them on the whole machine.
own_value() {
    [ -e "/proc/sys/$1" ] || return 0
    file="/var/lib/kaito/sysctl-${1//\//-}"
    echo "$2" >"$file"
    mount --bind "$file" "/proc/sys/$1"
}
own_value vm/overcommit_memory 1
own_value vm/panic_on_oom 0
own_value kernel/panic 10
own_value kernel/panic_on_oops 1
own_value kernel/keys/root_maxkeys 1000000
own_value kernel/keys/root_maxbytes 25000000
echo 1 >/proc/sys/net/ipv4/ip_forward
# Pods of one node meet network policies as well.
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

cd /var/lib/kaito
. ./programs.sh
ctr() { "$CTR" -a /run/containerd/containerd.sock -n k8s.io "$@"; }

"$CONTAINERD" -c /var/lib/kaito/containerd.toml >/var/log/containerd.log 2>&1 &
for _ in $(seq 1 300); do
    ctr version >/dev/null 2>&1 && break
    sleep 0.1
done
tar -C /var/lib/kaito/pause -c . | ctr images import --local --base-name local.test/pause - >/dev/null

"$KUBELET" --config=/var/lib/kaito/kubelet.yaml --kubeconfig=/var/lib/kaito/kubelet.kubeconfig \
    --hostname-override="$name" --node-ip="$ADDRESS" --root-dir=/var/lib/kubelet --node-labels="$LABELS" \
    >/var/log/kubelet.log 2>&1 &
"$KUBE_PROXY" --kubeconfig=/var/lib/kaito/kube-proxy.kubeconfig --hostname-override="$name" --proxy-mode=nftables \
    --cluster-cidr=10.225.0.0/16 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0 >/var/log/kube-proxy.log 2>&1 &

# It ends where there is no Node yet.
while :; do
    "$KUBE_ROUTER" --kubeconfig=/var/lib/kaito/kube-router.kubeconfig --hostname-override="$name" \
        --run-firewall=true --run-router=false --run-service-proxy=false --service-cluster-ip-range=10.96.0.0/16 \
        --iptables-sync-period=30s --health-port=0 >>/var/log/kube-router.log 2>&1 || :
    sleep 0.5
done &

# Orphans of containers become children of this process.
while :; do
    wait -n || :
    sleep 0.2
done
