import { expect, test } from 'bun:test'
import { readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Closer, createCloser } from '../../../src/app/closer.ts'
import { startServer } from '../../../src/app/server.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { freePort } from '../../support/port.ts'
import { makeServerConfig, partNames, startFailingAfter, withRedis } from './failing-starts.ts'
import { openJournalIn } from './support.ts'

/** Files below `folder` that this process holds open. */
function openFilesIn(folder: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      return path.startsWith(folder) ? [path] : []
    } catch {
      return []
    }
  })
}

function assertPortIsFree(port: number): void {
  Bun.listen({ hostname: '127.0.0.1', port, socket: { data() {} } }).stop(true)
}

/** A closer that reports its calls. */
function createReportingCloser(onCall: (call: 'add' | 'close', name: string) => void) {
  return (log: Parameters<typeof createCloser>[0]): Closer => {
    const closer = createCloser(log)
    return {
      ...closer,
      add(name, close) {
        closer.add(name, (withinMs) => {
          onCall('close', name)
          return close(withinMs)
        })
        onCall('add', name)
      },
    }
  }
}

test.each(partNames)('closes everything when opening fails after: %s', async (name) => {
  using folder = temporaryFolder()
  const port = freePort()
  const isEarly = partNames.indexOf(name) < partNames.indexOf('quotas')
  const environment = { PORT: String(port), ...(isEarly ? withRedis : {}) }
  const error = await startFailingAfter(name, makeServerConfig(folder.path, environment))
  expect(String(error)).toBe(`Error: failure after ${name}`)
  assertPortIsFree(port)
  expect(openFilesIn(folder.path)).toEqual([])
  // The lock of the journal is free.
  await (await openJournalIn(folder.path)).close()
})

test('a process whose start failed has no timer or socket that keeps it alive', async () => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'failing-starts.ts')], {
    stderr: 'inherit',
    timeout: 30_000,
  })
  const lines = (await child.stdout.text()).trim().split('\n')
  expect(lines).toEqual(partNames.map((name) => `Error: failure after ${name}`))
  expect(await child.exited).toBe(0)
}, 40_000)

test('opens the parts in order, and closes requests before the parts that serve them', async () => {
  using folder = temporaryFolder()
  const added: string[] = []
  const closed: string[] = []
  const server = await startServer({
    config: makeServerConfig(folder.path),
    warnings: [],
    createCloser: createReportingCloser((call, name) => {
      if (call === 'add') added.push(name)
      else closed.push(name)
    }),
  })
  await server.stop('test')
  expect(added).toEqual(partNames.filter((name) => !name.startsWith('redis')))
  expect(closed).toEqual([
    ...['console', 'requests', 'realtime', 'listener', 'orphaned journals'],
    ...['body thread', 'shippers', 'journal', 'dedup', 'quotas'],
    ...['query server', 'descriptors', 'body deadlines'],
    ...['auth', 'projects'],
  ])
  expect(openFilesIn(folder.path)).toEqual([])
})

const event = JSON.stringify({ api_key: 'phc_t', event: 'e', distinct_id: 'd' })

test('holds events until the journal is open, and serves the rest', async () => {
  using folder = temporaryFolder()
  const port = freePort()
  const url = `http://127.0.0.1:${port}`
  const early: Promise<Response>[] = []
  // The start waits a second for this Redis, after `quotas` is opened.
  const config = makeServerConfig(folder.path, { PORT: String(port), ...withRedis })
  const server = await startServer({
    config,
    warnings: [],
    createCloser: createReportingCloser((call, name) => {
      if (call !== 'add' || name !== 'quotas') return
      const paths = ['/_readiness', '/_liveness', '/api/health', '/api/sdk/config', '/metrics']
      paths.push('/console/api/overview')
      early.push(fetch(`${url}/e`, { method: 'POST', body: event }))
      early.push(fetch(`${url}/api/events/track`, { method: 'POST', body: '{}' }))
      early.push(...paths.map((path) => fetch(url + path)))
    }),
  })
  const replies = await Promise.all(early)
  expect(replies.map(({ status }) => status)).toEqual([200, 400, 503, 200, 503, 200, 200, 503])
  expect(await replies[0]!.json()).toEqual({ code: 1, status: 'ok' })
  expect(await replies[1]!.json()).toEqual({ error: 'Missing required field: event_type' })
  expect(await replies[2]!.json()).toMatchObject({ status: 'unavailable', phase: 'starting' })

  expect((await fetch(`${url}/e`, { method: 'POST', body: event })).status).toBe(200)
  expect((await fetch(`${url}/_readiness`)).status).toBe(200)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  expect(metrics).toContain('spillway_events_accepted_total{contract="capture"} 2')
  // Requests of the boot app are counted in the same histogram.
  expect(metrics).toContain('spillway_request_seconds_count{contract="capture",status="200"} 2')
  await server.stop('test')
})

test('exports every counter of realtime', async () => {
  using folder = temporaryFolder()
  const server = await startServer({ config: makeServerConfig(folder.path), warnings: [] })
  await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`)
  const { text } = await server.metrics()
  expect(text).toContain('spillway_realtime_connections_total 1')
  expect(text).toContain('spillway_realtime_cluster_failures_total 0')
  expect(text).toContain('# TYPE spillway_realtime_faults_total counter')
  await server.stop('test')
})

test('names address and remedy when the port is in use', async () => {
  using folder = temporaryFolder()
  const owner = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const config = makeServerConfig(folder.path, { PORT: String(owner.port) })
  await expect(startServer({ config, warnings: [] })).rejects.toThrow(
    `cannot listen on 127.0.0.1:${owner.port}: address already in use; stop the other process or set PORT`,
  )
  owner.stop(true)
})
