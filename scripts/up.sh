#!/usr/bin/env bash
# Starts a node in the background, waits until it is ready, and deploys examples/hello to it. A node
# that runs already is left as it is.
# Needs: root, bin/hearth and bin/runc (make build).
# Leaves: the node, {run-dir}/hearth.pid and hearth.log, and its data directory.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

log=$run_dir/hearth.log
if [ -n "$pid" ]; then
	echo "a node runs already (process $pid)"
	case $(readlink "/proc/$pid/exe") in *' (deleted)') echo "it is of an older build: make down up starts the new one" ;; esac
else
	mkdir -p "$run_dir"
	setsid nohup bin/hearth serve >>"$log" 2>&1 </dev/null &
	pid=$!
	echo "starting a node, log in $log"
fi

# The first start fetches Node.js and makes its image: minutes where the network is slow.
said=
for ((i = 0; ; i++)); do
	answer=$(curl -ksS --max-time 5 -w '\n%{http_code}' "$url/readyz" 2>/dev/null || true)
	# Without its pid file it is another node that answers at this address.
	[ "${answer##*$'\n'}" = 200 ] && [ -s "$run_dir/hearth.pid" ] && break
	if ! kill -0 "$pid" 2>/dev/null; then
		echo "the node has ended; the end of its log:" >&2
		tail -n 15 "$log" >&2
		exit 1
	fi
	if [ "$i" -ge 3000 ]; then
		echo "the node is not ready after 10 minutes; see $log" >&2
		exit 1
	fi
	# While it is not ready it says in "reasons" what it still waits for; the first is what holds it up.
	now=$(sed -nE 's/.*"reasons": ?\["(([^"\\]|\\.)*)".*/\1/p' <<<"$answer")
	if [ -n "$now" ] && [ "$now" != "$said" ]; then echo "  $now"; fi
	said=$now
	sleep 0.2
done

bin/hearth deploy examples/hello --wait
echo "ready: curl $url/run/acme/demo/hello"
