# Removes what nodes leave outside their directories: processes, network namespaces, links, routes, control groups.
# $1 is the number of a node, or `all` for every node of this machine and the bridge. Each step may find nothing.

end_processes() {
    for pid in $(ip netns pids "kaito-node$1" 2>/dev/null); do
        kill -9 "$pid" 2>/dev/null
    done
}

# Groups are empty once their processes are reaped, which takes a moment.
remove_groups() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        left=
        for group in "/sys/fs/cgroup/kaito-node$1" /sys/fs/cgroup/*/"kaito-node$1"; do
            [ -d "$group" ] || continue
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
            [ -d "$group" ] && left=1
        done
        [ -z "$left" ] && return
        sleep 0.1
    done
    echo "failed to remove the control groups of node $1" >&2
}

remove_node() {
    end_processes "$1"
    ip route del "10.225.$1.0/24" 2>/dev/null
    ip link del "kaito-veth$1" 2>/dev/null
    ip netns del "kaito-node$1" 2>/dev/null
    remove_groups "$1"
}

if [ "$1" != all ]; then
    remove_node "$1"
    exit 0
fi
numbers=$({
    ip netns list
    ls -d /sys/fs/cgroup/kaito-node* /sys/fs/cgroup/*/kaito-node*
    ip -o link show type veth
} 2>/dev/null | sed -n 's/.*kaito-\(node\|veth\)\([0-9]*\).*/\2/p' | sort -un)
for number in $numbers; do
    remove_node "$number"
done
ip link del kaito-br0 2>/dev/null
exit 0
