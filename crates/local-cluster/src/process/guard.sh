# Waits for the owner to go, then kills everybody on the roll and removes the directory.
# $1 is the roll, $2 the directory. Standard input is a pipe that only the owner holds: it closes when
# the owner dies, however it dies. Words on it: "disarm" (the owner cleaned up), "keep" (leave the files).
roll=$1
dir=$2
keep=
while read -r word; do
    case $word in
        disarm) exit 0 ;;
        keep) keep=1 ;;
    esac
done

mv "$roll" "$roll.closed" || exit 0
start_time() { shift 19; printf '%s' "$1"; }
is_member() {
    read -r stat < "/proc/$1/stat" 2>/dev/null || return 1
    [ "$(start_time ${stat##*) })" = "$2" ]
}
for entry in $(ls -r "$roll.closed"); do
    read -r pid since < "$roll.closed/$entry" || continue
    is_member "$pid" "$since" && kill -9 "$pid"
done

# Nodes leave links and control groups outside the directory.
[ -f "$dir/clean.sh" ] && sh "$dir/clean.sh" all && rm -rf /run/kaito-real-nodes

[ -n "$keep" ] && exit 0
# Files may still appear while the last of them dies.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$dir" && exit 0
    sleep 0.2
done
