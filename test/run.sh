#!/bin/sh
# Runs the whole suite: behaviour first, then the tests whose verdict is a time or a memory figure, apart.
# With arguments (files, options of `bun test`) it runs just these.
# Tests and hooks that start servers need more than the default of 5 s on a busy machine. There a test may fail once
# without a fault: it is repeated, the tests of times and memory twice.
timeout_ms=30000
if [ $# -gt 0 ]; then exec bun test "$@"; fi
bun test --timeout=$timeout_ms --retry=1 --path-ignore-patterns '**/*.limits.test.ts'
behaviour=$?
bun test --timeout=$timeout_ms --retry=2 .limits.test.ts
limits=$?
[ $behaviour -eq 0 ] && [ $limits -eq 0 ]
