# Signs in on the roll, then becomes the program: $1 is the file on the roll, the rest the command.
# The program does not start once the roll is closed (its directory is gone), so that whoever closes
# the roll and then kills its members misses nobody.
entry=$1
shift
read -r stat < /proc/$$/stat || exit 70
start_time() { shift 19; printf '%s' "$1"; }
# Unquoted on purpose: the fields after the name, split at spaces.
since=$(start_time ${stat##*) })
printf '%s %s\n' "$$" "$since" > "$entry" || exit 70
exec "$@"
