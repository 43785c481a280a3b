#!/bin/sh
# Runs the whole suite: behaviour first, then the tests whose verdict is a time or a memory figure, apart.
# With arguments (files, options of `bun test`) it runs just these.
# Tests and hooks that start servers need more than the default of 5 s on a busy machine. There a time may be exceeded
# without a fault, so tests of times and memory are repeated. Tests of behaviour are not: a loss that shows once is one.
timeout_ms=60000
if [ $# -gt 0 ]; then exec bun test "$@"; fi
bun test --timeout=$timeout_ms --path-ignore-patterns '**/*.limits.test.ts'
behaviour=$?
bun test --timeout=$timeout_ms --retry=2 .limits.test.ts
limits=$?
[ $behaviour -eq 0 ] && [ $limits -eq 0 ]
