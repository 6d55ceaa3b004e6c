# Sourced by up.sh and down.sh: asks hearth for the settings that serve would have, from HEARTH_…
# variables or the file that HEARTH_CONFIG names, and sets data_dir, run_dir, url and pid (empty
# unless a node runs).
cd "$(dirname "${BASH_SOURCE[0]}")/.."
settings=$(bin/hearth serve --print-config)
setting() { awk -v name="$1" '$1 == name && $2 != "-" {print $2}' <<<"$settings"; }

data_dir=$(setting data-dir)
run_dir=$(setting run-dir)
scheme=http
[ -z "$(setting tls-cert)" ] || scheme=https
listen=$(setting listen)
url=$scheme://$(sed -E 's/^(0\.0\.0\.0|\[::\])?:/127.0.0.1:/' <<<"$listen")
export HEARTH_URL=${HEARTH_URL:-$url} HEARTH_TOKEN_FILE=${HEARTH_TOKEN_FILE:-$(setting admin-token-file)}

# The number of a process that has ended may be another's by now.
pid=$(cat "$run_dir/hearth.pid" 2>/dev/null || true)
[ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = hearth ] || pid=
