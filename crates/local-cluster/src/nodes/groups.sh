# Makes the control groups of a node. `boot.sh` follows this text.

# Version 1: a group in each hierarchy below $1. $2 is its name.
make_groups() {
    for hierarchy in "$1"/*; do
        # The unified hierarchy beside those of version 1 has no resources.
        [ -f "$hierarchy/cgroup.procs" ] && [ ! -f "$hierarchy/cgroup.controllers" ] || continue
        mkdir -p "$hierarchy/$2"
        for file in cpuset.cpus cpuset.mems; do
            [ ! -f "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy/$2/$file"
        done
    done
}

# Version 2: one group below $1, with every controller that the kubelet demands where the machine has it.
make_unified_group() {
    for controller in $(cat "$1/cgroup.controllers"); do
        case $controller in
        cpuset | cpu | io | memory | hugetlb | pids) enable "$1" "$controller" ;;
        esac
    done
    mkdir -p "$1/$2"
}

# Only the group of the whole machine may have processes and divide its resources. That of a container may not, so its
# processes move into a group below.
enable() {
    { echo "+$2" >"$1/cgroup.subtree_control"; } 2>/dev/null && return
    mkdir -p "$1/kaito-machine"
    for pid in $(cat "$1/cgroup.procs"); do
        # It may have ended meanwhile.
        { echo "$pid" >"$1/kaito-machine/cgroup.procs"; } 2>/dev/null || :
    done
    { echo "+$2" >"$1/cgroup.subtree_control"; } 2>/dev/null && return
    echo "failed to enable the controller $2 for groups below $1" >&2
    return 1
}

