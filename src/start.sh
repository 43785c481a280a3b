#!/bin/sh
# What `bun run start` and the image run: the server, or the script of the arguments, with what the runtime must be told
# before it begins. What is set already stays.

# The journal's writes and what is asked of the engine share these threads; without it they are as many as cores.
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-8}"
# Memory that was freed is kept for what comes next.
export MIMALLOC_PURGE_DELAY="${MIMALLOC_PURGE_DELAY:--1}"
# The collector comes once three tenths of the heap are new; of itself it would wait for twice the heap. This is an option of
# this Bun's engine, and Bun refuses to start with one that it does not know: a later one goes without.
young="${BUN_JSC_heapGrowthMaxIncrease:-0.3}"
if BUN_JSC_heapGrowthMaxIncrease="$young" bun -e 0 >/dev/null 2>&1; then
  export BUN_JSC_heapGrowthMaxIncrease="$young"
fi

[ $# -gt 0 ] || set -- "$(dirname "$0")/main.ts"
exec bun "$@"
