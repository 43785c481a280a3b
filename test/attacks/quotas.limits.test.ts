import { expect, test } from 'bun:test'
import { expectUndisturbed, sendBeside } from '../support/beside.ts'
import { badBatch, eventsOf, startQuotas } from './quotas.ts'

test.each<[string, string, () => object[], number]>([
  ['40 batches in parallel against a quota', 'phc_parallel', () => eventsOf(50), 40],
  ['bodies of 20,000 bad events', 'phc_bad', () => badBatch(20_000), 4],
])(
  '%s delay no event',
  async (_, token, toBatch, count) => {
    await using quotas = await startQuotas()
    // The first large body starts a thread.
    await quotas.sendBatch(token, badBatch(20_000))
    const batches = Array.from({ length: count }, toBatch)
    const beside = await sendBeside(quotas.server)
    const answers = await Promise.all(batches.map((batch) => quotas.sendBatch(token, batch)))
    await expectUndisturbed(beside)
    expect(answers.map(({ status }) => status)).toEqual(batches.map(() => 200))
  },
  60_000,
)
