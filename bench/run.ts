import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCpu, toCpuUse } from './cpu.ts'
import { type Launched, launch } from './launch.ts'
import { countRows } from './rows.ts'
import { type Row, writeResults } from './table.ts'
import { requireWrk, runWrk } from './wrk.ts'

/** Each scenario: its script, and how many events one of its requests carries. */
const scenarios = {
  single: { script: 'single.lua', eventsPerRequest: 1 },
  'batch-gzip': { script: 'batch-gzip.lua', eventsPerRequest: 50 },
} as const

const seconds = Number(process.env['BENCH_SECONDS'] ?? 8)
const connections = Number(process.env['BENCH_CONNECTIONS'] ?? 64)
