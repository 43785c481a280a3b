import { describe, expect, test } from 'bun:test'
import { startHost } from '../../../support/socket-host.ts'

const guests = { alice: { id: 'u1' }, bob: { id: 'u2' } }

describe('a flood', () => {
  test('of packets in one polling body ends the connection within 2 s', async () => {
    await using host = startHost({ guests })
    const base = `${host.url}/socket.io/?EIO=4&transport=polling`
    const { sid } = JSON.parse((await (await fetch(base)).text()).slice(1))
    await fetch(`${base}&sid=${sid}`, { method: 'POST', body: '40{"token":"alice"}' })
    await (await fetch(`${base}&sid=${sid}`)).text()
    const body = Array.from({ length: 300_000 }, () => '42[1]')
      .join('\u001e')
      .slice(0, 2_000_000)
    const startedMs = performance.now()
    const reply = await fetch(`${base}&sid=${sid}`, { method: 'POST', body })
    expect(performance.now() - startedMs).toBeLessThan(2000)
    expect([reply.status, await reply.json()]).toMatchObject([400, { code: 'packets' }])
    expect((await fetch(`${base}&sid=${sid}`)).status).toBe(400)
  })
})
