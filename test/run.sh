#!/bin/sh
# Runs the whole suite: behaviour first, then the tests whose verdict is a time or a memory figure, apart.
# With arguments (files, options of `bun test`) it runs just these.
if [ $# -gt 0 ]; then exec bun test "$@"; fi
bun test --path-ignore-patterns '**/*.limits.test.ts'
behaviour=$?
bun test .limits.test.ts
limits=$?
[ $behaviour -eq 0 ] && [ $limits -eq 0 ]
