# Makes the network and the control groups of a node, then becomes the process whose death ends it.
# $1 is the number of the node, $2 its name, $3 its directory, $4 the most nodes of a machine.
set -eu
number=$1
name=$2
dir=$3
most=$4
ns=kaito-node$number
address() { echo "10.224.0.$((10 + $1))"; }

ip netns add "$ns"
ip link add "kaito-veth$number" type veth peer name eth0 netns "$ns"
ip link set "kaito-veth$number" master kaito-br0 up
{
    echo "link set lo up"
    echo "addr add $(address "$number")/24 dev eth0"
    echo "link set eth0 up"
    # The kubelet must not look for the metadata service of a cloud, nor a pod for the internet.
    echo "route add unreachable default"
    echo "route add 10.96.0.0/16 dev eth0"
    for other in $(seq 1 "$most"); do
        [ "$other" = "$number" ] || echo "route add 10.225.$other.0/24 via $(address "$other")"
    done
} | ip -n "$ns" -batch -
ip route replace "10.225.$number.0/24" via "$(address "$number")"

if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    make_unified_group /sys/fs/cgroup "$ns"
else
    make_groups /sys/fs/cgroup "$ns"
fi

# Not `ip netns exec`, which would mount another /sys without the control groups.
exec nsenter --net="/run/netns/$ns" \
    unshare --mount --pid --fork --kill-child --mount-proc --uts \
    bash "$dir/var-lib/kaito/init.sh" "$name" "$dir"
