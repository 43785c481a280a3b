import { expect, test } from 'bun:test'
import { until } from '../../support/until.ts'
import { connectTwo, createNode, useRedis } from './support.ts'

const services = useRedis()

test('with Redis hung each node limits for itself, and no request waits', async () => {
  using nodes = await connectTwo(services.server.url, 50)
  const takes = nodes.pair.map((redis) => createNode(redis, 'hung'))
  services.server.pause()
  const startMs = performance.now()
  expect(await Promise.all(takes.map((take) => take('a', 100)))).toEqual([10, 10])
  expect(performance.now() - startMs).toBeLessThan(2000)
  services.server.resume()
  await until(() => nodes.pair.every((redis) => redis.isAvailable()))
})
