#!/usr/bin/env bash
# Stops the node that up.sh started, and waits for its end.
# Needs: root, bin/hearth. Leaves: the data directory alone.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

if [ -z "$pid" ]; then
	echo "no node runs"
	exit
fi
kill -TERM "$pid"
for ((i = 0; i < 600; i++)); do
	if ! kill -0 "$pid" 2>/dev/null; then
		echo "the node has ended"
		rm -f "$run_dir/hearth.log"
		rmdir "$run_dir" 2>/dev/null || true # it may be a folder of others, too
		exit
	fi
	sleep 0.1
done
echo "process $pid still runs after a minute; see $run_dir/hearth.log" >&2
exit 1
