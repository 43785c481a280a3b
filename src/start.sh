#!/bin/sh
# What `bun run start` and the image run: the server, or the script of the arguments, with what the runtime must be told
# before it begins. What is set already stays.

# The journal's writes and what is asked of the engine share these threads; without it they are as many as cores.
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-8}"
# Memory that was freed is kept for what comes next.
export MIMALLOC_PURGE_DELAY="${MIMALLOC_PURGE_DELAY:--1}"

[ $# -gt 0 ] || set -- "$(dirname "$0")/main.ts"
exec bun "$@"
