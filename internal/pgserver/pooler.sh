# The keeper of one PgBouncer, which runs in the foreground with its settings in the
# directory. When the input of the script ends, because the owner stops it or dies, it
# stops PgBouncer and removes the directory.
pgbouncer=$1 dir=$2
trap '' HUP INT TERM PIPE
cd "$dir" || exit

"$pgbouncer" -q pgbouncer.ini </dev/null >log 2>&1 &
read -r _
kill $! && wait $!
cd / && rm -rf "$dir"
