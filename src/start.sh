#!/bin/sh
# `bun run start` and the image run this script. It starts the server, or the script of its arguments, with variables
# that the runtime reads only at its start. Variables that are already set stay.

# The journal's writes and the calls of chDB share this thread pool. Default of the runtime: one thread for each core.
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-8}"
# Keep freed memory for later allocations; return it to the system after 30 s (value in ms).
export MIMALLOC_PURGE_DELAY="${MIMALLOC_PURGE_DELAY:-30000}"
# Collect garbage after a growth of three tenths. A Bun that does not know the option does not start, so ask it (10 ms).
if [ -z "${BUN_JSC_heapGrowthMaxIncrease+set}" ] && BUN_JSC_heapGrowthMaxIncrease=0.3 bun -p 1 >/dev/null 2>&1; then
  export BUN_JSC_heapGrowthMaxIncrease=0.3
fi

# Each connection takes a file descriptor. Any process may raise its limit up to the hard one.
ulimit -S -n "$(ulimit -H -n)" 2>/dev/null || true
# Only this user may read what the server writes: events, tokens, keys.
umask 077

# Options such as --version are for the server.
case "${1:-}" in
  '' | -*) set -- "$(dirname "$0")/main.ts" "$@" ;;
esac
exec bun "$@"
