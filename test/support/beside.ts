import { expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { loopSeconds } from '../../src/observability/metrics.ts'
import { type Scrape, scrape } from './metrics.ts'
import type { Sent } from './sender.ts'
import type { Spillway } from './spillway.ts'
import { until } from './until.ts'

/** Small events of an honest sender, one after the other, beside an attack. */
export type Beside = {
  /** Events acknowledged so far. */
  acknowledged(): Promise<number>
  /** Ends the sender. Resolves when every acknowledged event is stored. */
  end(): Promise<Waits>
}

export type Waits = Sent & {
  /**
   * The longest time that the serving thread was held, by its histogram of delays: the lower bound
   * of the highest bucket with a new delay.
   */
  heldMs: number
  /** How much longer the serving thread took than it ran, because it waited for a core: 1 or more. */
  delay: number
}

/** Resolves after the first event is acknowledged. The sender has a thread of its own: see sender.ts. */
export async function sendBeside(server: Spillway, token = 'phc_beside'): Promise<Beside> {
  const sender = new Worker(new URL('./sender.ts', import.meta.url), {
    workerData: { url: server.url, token },
  })
  const next = () => new Promise<Sent>((resolve) => void sender.once('message', resolve))
  await next()
  const readDelays = () => scrape(server.url, server.adminToken)
  const delays = await readDelays()
  const before = readSchedule(server.pid())
  return {
    async acknowledged() {
      sender.postMessage('read')
      return (await next()).acknowledged
    },
    async end() {
      sender.postMessage('end')
      const sent = await next()
      const heldMs = toHeldMs(delays, await readDelays())
      const after = readSchedule(server.pid())
      const delay = 1 + (after.waitedNs - before.waitedNs) / (after.ranNs - before.ranNs)
      await sender.terminate()
      const sql = `SELECT toUInt32(uniqExact(uuid)) AS n FROM events WHERE project = '${token}'`
      const count = async () => (await server.query<{ n: number }>(sql))[0]?.n ?? 0
      const isStored = async () => (await count()) >= sent.acknowledged
      await until(isStored, { what: 'every acknowledged event' })
      return { ...sent, heldMs, delay }
    },
  }
}

/** Ends the sender, and expects that the attack has neither refused nor delayed its events. */
export async function expectUndisturbed(beside: Beside): Promise<Waits> {
  const waits = await beside.end()
  expect(waits.failures).toEqual([])
  expect(waits.acknowledged).toBeGreaterThan(0)
  // A server alone on two cores waits for one for up to half of the time, beside its own threads.
  const starved = Math.max(1, waits.delay / 2)
  expect((waits.slowestMs - waits.lateMs) / starved).toBeLessThan(waitMsMax)
  expect(waits.heldMs / waits.delay).toBeLessThan(heldMsMax)
  return waits
}

const waitMsMax = 300
/** The target is 50 ms; a collection of interned texts takes up to 70 ms, once for many of them. */
const heldMsMax = 80

function toHeldMs(before: Scrape, after: Scrape): number {
  const countTo = (read: Scrape, le: number | string) =>
    read('spillway_loop_delay_seconds_bucket', { le: `${le}` })
  const count = (le: number | string) => countTo(after, le) - countTo(before, le)
  const all = count('+Inf')
  return Math.max(0, ...loopSeconds.filter((le) => count(le) < all)) * 1000
}

/** Of the main thread, which serves requests. */
function readSchedule(pid: number): { ranNs: number; waitedNs: number } {
  const [ranNs, waitedNs] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number)
  return { ranNs: ranNs!, waitedNs: waitedNs! }
}

/**
 * TCP connections that send nothing. Another process holds them, so that their events do not delay
 * those of the honest sender.
 */
export async function openIdle(url: string, count: number) {
  const command = [process.execPath, '-e', holdConnections, new URL(url).port, `${count}`]
  const child = Bun.spawn(command, { stdin: 'ignore', stderr: 'inherit' })
  const output = child.stdout.getReader()
  await output.read()
  return {
    /** Resolves when the server has closed one of them. */
    closedByServer: output.read(),
    [Symbol.dispose]() {
      child.kill('SIGKILL')
    },
  }
}

/**
 * Writes a byte once every connection is open, or refused by the kernel, and another one when an
 * open one is closed.
 */
const holdConnections = `
  const { connect } = require('node:net')
  const [port, count] = process.argv.slice(-2).map(Number)
  const sockets = Array.from({ length: count }, () => connect(port, '127.0.0.1'))
  const { promise: closed, resolve } = Promise.withResolvers()
  for (const socket of sockets) {
    socket.on('error', () => {})
    socket.on('connect', () => socket.on('close', resolve))
  }
  const timer = setInterval(() => {
    if (sockets.some(({ connecting }) => connecting)) return
    clearInterval(timer)
    process.stdout.write('.')
    closed.then(() => process.stdout.write('.'))
    setInterval(() => {}, 1e6)
  }, 20)
`
