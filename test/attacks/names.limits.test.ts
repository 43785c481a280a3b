import { expect, test } from 'bun:test'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { startNames } from './names.ts'

test('thousands of events in the name of others delay no event', async () => {
  await using names = await startNames()
  const beside = await sendBeside(names.server)
  const statuses = new Set<number>()
  const apps = Array.from({ length: 50 }, (_, index) => `unknown ${index}`)
  for (let round = 0; round < 40; round += 1) {
    const sent = [
      names.telemetry(apps),
      names.telemetry(['bank-app'], { 'X-API-KEY': 'sk_shop' }),
      names.telemetry(['ios'], { origin: 'https://evil.example' }),
      names.link(`unknown ${round}`),
      names.link('bank'),
    ]
    for (const { status } of await Promise.all(sent)) statuses.add(status)
  }
  await expectUndisturbed(beside)
  expect(statuses).toEqual(new Set([401, 403]))
}, 60_000)
