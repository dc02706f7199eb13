# The keeper of one PostgreSQL server. It runs the commands that it reads, one a
# line, and answers each with its exit status; what they print goes to the log.
# When its input ends, it stops the server and removes the directory. So the
# owner stops it, and so it stops when the owner dies, however that happens. A
# command that runs at that moment is finished first: no server starts later.
initdb=$1 pg_ctl=$2 dir=$3
trap '' HUP INT TERM PIPE
cd "$dir" || exit

while read -r command argument; do
	case $command in
	init)
		"$initdb" -D data -U hooks -A trust -E UTF8 --locale=C --no-sync --no-instructions
		;;
	start)
		"$pg_ctl" start -w -D data -o "-p $argument"
		;;
	halt)
		"$pg_ctl" stop -w -D data -m "$argument"
		;;
	*)
		echo "keeper: no such command: $command"
		false
		;;
	esac </dev/null >&2
	echo $?
done

if "$pg_ctl" status -D data; then
	"$pg_ctl" stop -w -D data -m immediate
fi </dev/null >/dev/null
stopped=$?
cd / && rm -rf "$dir"
exit $stopped
