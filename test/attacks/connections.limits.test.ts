import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { expectUndisturbed, openIdle, sendBeside } from '../support/beside.ts'
import { rawHttp } from '../support/raw-http.ts'
import { startSpillway } from '../support/spillway.ts'

const withLimit = (limit: string) => ['sh', '-c', `${limit}; exec "$@"`, '-']

test('1,100 idle connections at 1,024 open files hold no event back', async () => {
  // Small segments: the journal opens new files during the attack.
  const environment = { JOURNAL_SEGMENT_BYTES: '1MiB', LOG_LEVEL: 'info' }
  await using server = await startSpillway(environment, withLimit('ulimit -n 1024'))
  const beside = await sendBeside(server)
  for (let round = 0; round < 3; round += 1) {
    using idle = await openIdle(server.url, 1100)
    await idle.closedByServer
  }
  const { acknowledged } = await expectUndisturbed(beside)
  expect(acknowledged).toBeGreaterThan(100)
  expect(server.log()).toContain('the limit of open files is 1024')
  expect(server.log()).toContain('idle connections were closed')
  expect(server.log()).not.toContain('the disk')
}, 60_000)

test('start.sh raises the soft limit of open files to the hard one', async () => {
  await using server = await startSpillway({}, withLimit('ulimit -S -n 900'))
  const [, soft, hard] =
    /^Max open files +(\S+) +(\S+)/m.exec(readFileSync(`/proc/${server.pid()}/limits`, 'utf8')) ??
    []
  expect(soft).toBe(hard!)
}, 30_000)

test('a silent connection stays open longer than a load balancer keeps it', async () => {
  await using server = await startSpillway({ KEEP_ALIVE_SECONDS: '75' })
  const connection = await rawHttp(server.url)
  connection.send('GET /_liveness HTTP/1.1\r\nHost: localhost\r\n\r\n')
  expect(await connection.status()).toBe(200)
  // Only time can show that it stays open.
  await Bun.sleep(40_000)
  expect(connection.isClosed()).toBe(false)
}, 80_000)
