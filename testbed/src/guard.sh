# Runs "$@" until it ends or the owner closes our stdin; see guard.rs. Plain POSIX sh.
# stdout: the child's process id, then its exit code. stderr: the log, ours and the child's.
directories=$GUARD_DIRECTORIES grace=$GUARD_GRACE
unset GUARD_DIRECTORIES GUARD_GRACE
exec 3<&0 </dev/null

"$@" 3<&- >&2 &
child=$!
# After the fork, so that the child does not inherit it.
# PIPE: a killed owner no longer reads what we say.
trap '' TERM INT HUP PIPE
echo "$child"

{
    while read -r _ <&3; do :; done
    kill -TERM "$child"
    sleep "$grace"
    kill -KILL "$child"
} >/dev/null 2>&1 &
watcher=$!

wait "$child"
echo "$?"
# The child's number is free from here on: the watcher must not use it any more.
kill -KILL "$watcher"
while read -r _ <&3; do :; done

# Nothing a helper of the child does may hold up the removal, and none may stay.
kill -TERM 0
set -f
IFS='
'
rm -rf -- $directories || { sleep 0.2; rm -rf -- $directories; }
kill -KILL 0
