import { describe, expect, test } from 'bun:test'
import type { Admin } from 'kafkajs'
import { type EnsureOptions, ensureTopic } from '../../../../src/delivery/kafka/topics.ts'
import { makeLog, makeSettings } from './fixtures.ts'

const unknown = Object.assign(new Error('no such topic'), { type: 'UNKNOWN_TOPIC_OR_PARTITION' })
const denied = Object.assign(new Error('not allowed'), { type: 'TOPIC_AUTHORIZATION_FAILED' })

/** A cluster that has the topic with so many partitions; 0: not before it is created. */
function makeAdmin(partitions: number, { bytesMax = '4194304' as string | Error } = {}) {
  const created: Parameters<Admin['createTopics']>[0]['topics'] = []
  let looks = 0
  const admin = {
    async fetchTopicMetadata() {
      looks += 1
      // A new topic becomes visible a little later.
      if (partitions === 0 && (created.length === 0 || looks < 4))
        throw new Error('gave up', { cause: unknown })
      const length = partitions || created[0]!.numPartitions!
      return { topics: [{ name: 'events', partitions: Array.from({ length }) }] }
    },
    async createTopics({ topics }: Parameters<Admin['createTopics']>[0]) {
      created.push(...topics)
    },
    async describeConfigs() {
      if (bytesMax instanceof Error) throw bytesMax
      const entry = { configName: 'max.message.bytes', configValue: bytesMax }
      return { resources: [{ configEntries: [entry] }] }
    },
  }
  return { admin: admin as unknown as Admin, created }
}

const settings = makeSettings([], 't')
const bytesMax = settings.KAFKA_MESSAGE_BYTES_MAX
const options = (given: Partial<EnsureOptions> = {}) => {
  return { settings, log: makeLog(), pause: async () => {}, ...given }
}

describe('a topic', () => {
  test('that exists is used unchanged', async () => {
    const { admin, created } = makeAdmin(12)
    expect(await ensureTopic(admin, 'events', options())).toEqual({
      partitions: 12,
      bytesMax,
    })
    expect(created).toEqual([])
  })

  const limit = { name: 'max.message.bytes', value: `${bytesMax}` }
  const twoInSync = { name: 'min.insync.replicas', value: '2' }
  test.each([
    [1, [limit]],
    [2, [limit]],
    [3, [limit, twoInSync]],
    [5, [limit, twoInSync]],
  ])('of replication %i is created with the settings %j', async (replication, configEntries) => {
    const { admin, created } = makeAdmin(0)
    const facts = await ensureTopic(
      admin,
      'events',
      options({ settings: { ...settings, KAFKA_REPLICATION: replication } }),
    )
    expect(facts).toEqual({ partitions: 4, bytesMax })
    const topic = {
      topic: 'events',
      numPartitions: 4,
      replicationFactor: replication,
      configEntries,
    }
    expect(created).toEqual([topic])
  })

  test.each([
    ['a smaller limit', '1048588', 1_048_588, 'warn'],
    ['a larger limit', '9999999', bytesMax, undefined],
    ['a limit that the brokers do not let us read', denied, bytesMax, 'info'],
  ])('applies %s', async (_, told, taken, level) => {
    const log = makeLog()
    const { admin } = makeAdmin(1, { bytesMax: told })
    expect((await ensureTopic(admin, 'events', options({ log }))).bytesMax).toBe(taken)
    expect(log.lines.map((line) => line.level)).toEqual(level ? [level] : [])
  })

  test('rejects when the cluster does not answer', async () => {
    const { admin } = makeAdmin(1, { bytesMax: new Error('ECONNREFUSED') })
    await expect(ensureTopic(admin, 'events', options())).rejects.toThrow('ECONNREFUSED')
  })
})
