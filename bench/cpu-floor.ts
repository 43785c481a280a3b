import { gunzipSync, gzipSync } from 'node:zlib'
import { toRecord } from '../src/contracts/encode.ts'
import { createContracts } from '../src/contracts/registry.ts'
import { decodeSmallBody, smallBodyBytesMax } from '../src/ingest/decode/body.ts'
import { createBlock } from '../src/journal/block.ts'
import { eventsPerBatch, toBatch } from './pool.ts'

/**
 * `bun bench/cpu-floor.ts`: CPU time of this thread for each event of a gzip batch, in one process
 * and in turn. The floor is the plain calls of the runtime without which there is no ingest: gunzip,
 * JSON.parse, JSON.stringify of the properties, and UTF-8. The whole is what the server does with
 * the same bodies, from decoding to the sealed frame, without network, dedup and disk.
 */
export function measureFloor({ bodies: count, rounds }: FloorOptions = standard): Floor {
  const bodies = Array.from({ length: count }, () => gzipSync(toBatch(), { level: 6 }))
  const runs = { floor: createFloor(), whole: createWhole() }
  const times = { floor: [] as number[], whole: [] as number[] }
  for (let round = 0; round < warmUpRounds + rounds; round += 1) {
    for (const name of ['floor', 'whole'] as const) {
      const us = toUsPerEvent(runs[name], bodies)
      if (round >= warmUpRounds) times[name].push(us)
    }
  }
  const floorUs = toMedian(times.floor)
  const wholeUs = toMedian(times.whole)
  return { floorUs, wholeUs, ratio: wholeUs / floorUs }
}

type FloorOptions = { bodies: number; rounds: number }

/** Many distinct bodies, because the runtime keeps short texts that it has parsed before. */
const standard: FloorOptions = { bodies: 4000, rounds: 9 }
const warmUpRounds = 2
const ratioMax = 1.5

/** CPU time in µs an event, and the whole as a multiple of the floor. */
export type Floor = { floorUs: number; wholeUs: number; ratio: number }

type Run = (body: Uint8Array) => void

function toUsPerEvent(run: Run, bodies: readonly Uint8Array[]): number {
  const startUs = readThreadUs()
  for (const body of bodies) run(body)
  return (readThreadUs() - startUs) / bodies.length / eventsPerBatch
}

function readThreadUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

const toMedian = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!

function createFloor(): Run {
  const bytes = Buffer.alloc(1024 * 1024)
  const utf8 = new TextDecoder()
  return (body) => {
    const opened = gunzipSync(body, { maxOutputLength: smallBodyBytesMax })
    const { batch } = JSON.parse(utf8.decode(opened)) as { batch: { properties: unknown }[] }
    let end = 0
    for (const { properties } of batch) end += bytes.write(JSON.stringify(properties), end)
  }
}

function createWhole(): Run {
  const { capture } = createContracts({ reportEventsMax: 100, telemetryEventsMax: 100 })
  const block = createBlock()
  const ticket = { charge() {}, reserveWork: () => undefined }
  const headers = new Headers({ 'content-type': 'application/json', 'user-agent': 'bench' })
  const project = { id: 'phc_bench', origins: undefined, rate: undefined, quotas: {} }
  const context = { project, dedupIdentity: 'uuid', lineBytesMax: 1e6, skewMsMin: 1000 } as const
  return (body) => {
    const request = {
      method: 'POST',
      path: '/batch',
      query: { get: () => null },
      headers,
      clientIp: '127.0.0.1',
      receivedMs: Date.now(),
    }
    const decoded = decodeSmallBody({ request, body, rules: capture.decode, ticket })
    if (decoded === undefined || decoded instanceof Promise) throw new Error('not a small body')
    const submission = capture.parse(request, decoded)
    const { events } = capture.normalise(request, submission, context)
    block.add(events.map(toRecord))
    block.seal({ segment: 1, seed: 0 }, { sequence: 1, firstOffset: 0 })
    block.empty()
  }
}

export function toFloorText({ floorUs, wholeUs, ratio }: Floor): string {
  return `batch-gzip in process, CPU µs/event: floor ${floorUs.toFixed(2)}, whole ${wholeUs.toFixed(2)}, ratio ${ratio.toFixed(2)}`
}

if (import.meta.main) {
  const floor = measureFloor()
  const passed = floor.ratio <= ratioMax
  if (process.argv.includes('--json')) console.log(JSON.stringify(floor))
  else console.log(`${toFloorText(floor)} (at most ${ratioMax})\n${passed ? 'PASS' : 'FAIL'}`)
  process.exit(passed ? 0 : 1)
}
