import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Compile } from 'typebox/schema'
import { loadConfig } from '../../src/config/config.ts'
import { requireCommand, run } from '../services/install.ts'
import { temporaryFolder } from '../support/folder.ts'
import schema from './compose.schema.json'

type Service = {
  environment?: Record<string, string>
  depends_on?: Record<string, unknown> | string[]
  volumes?: string[]
  ports?: string[]
  cap_drop?: string[]
  read_only?: boolean
  networks?: { default?: { ipv4_address?: string } }
  secrets?: { source: string }[]
  configs?: { source: string }[]
}
type Compose = {
  services: Record<string, Service>
  volumes: Record<string, unknown>
  secrets: Record<string, { file?: string }>
  configs: Record<string, { file?: string; content: string }>
}

const text = await Bun.file(join(import.meta.dir, '../../compose.yaml')).text()
/** `${NAME:?error}` and `${NAME:-default}`, as `docker compose` replaces them. */
const variable = /\$\{(\w+):(?:\?[^}]*|-([^}]*))\}/g
const filled = text.replace(variable, (_, name, otherwise) => otherwise ?? `value-of-${name}`)
const compose = Bun.YAML.parse(filled) as Compose
/** The schema of the Compose Specification (Apache-2.0). */
const validator = Compile(schema as object)

test('follows the Compose Specification; a wrong key is found', () => {
  expect(validator.Errors(compose)).toEqual([true, []])
  const { services } = compose
  const wrong = { ...compose, services: { ...services, redis: { imagee: 'redis' } } }
  expect(validator.Check(wrong)).toBe(false)
})

test('refers only to services, volumes and secrets that it declares', () => {
  const { services, volumes, secrets } = compose
  for (const { depends_on = [], volumes: mounts = [], secrets: given = [] } of Object.values(
    services,
  )) {
    const needed = Array.isArray(depends_on) ? depends_on : Object.keys(depends_on)
    expect(Object.keys(services)).toEqual(expect.arrayContaining(needed))
    const named = mounts.map((mount) => mount.split(':')[0])
    expect(Object.keys(volumes)).toEqual(expect.arrayContaining(named))
    expect(Object.keys(secrets)).toEqual(expect.arrayContaining(given.map(({ source }) => source)))
  }
})

test('the file of a server that runs alone is valid, and keeps its port on this machine', async () => {
  const path = join(import.meta.dir, '../../deploy/compose.yaml')
  const alone = Bun.YAML.parse(await Bun.file(path).text()) as Compose
  expect(validator.Errors(alone)).toEqual([true, []])
  const { environment = {}, ports, volumes, cap_drop } = alone.services.spillway!
  expect(loadConfig(environment).warnings).toEqual([])
  expect({ ports, volumes, cap_drop }).toEqual({
    ...{ ports: ['127.0.0.1:3000:3000'], volumes: ['data:/data'], cap_drop: ['ALL'] },
  })
  expect(Object.keys(alone.volumes)).toEqual(['data'])
})

test('nodes have valid settings and separate volumes', () => {
  const nodes = ['node-1', 'node-2'].map((name) => compose.services[name]!)
  for (const { environment = {} } of nodes) {
    const words = Object.entries(environment).map(([name, value]) => [name, String(value)])
    const { config, warnings } = loadConfig(Object.fromEntries(words))
    expect(warnings).toEqual([])
    expect(config.KAFKA_BROKERS).toEqual(['kafka:9092'])
  }
  const [first, second] = nodes.map(({ volumes }) => volumes)
  expect(first).not.toEqual(second)
})

test('the balancer keeps a polling session on one node', () => {
  const { content } = compose.configs.balancer!
  const sticky = content.split('\nbackend realtime')[1]!
  for (const node of ['node-1', 'node-2'])
    expect(sticky).toContain(`server ${node} ${node}:3000 check inter 1s cookie ${node}`)
  expect(sticky).toContain('cookie node insert')
  expect(content).toContain('use_backend realtime if { path_beg /socket.io/ }')
})

test('holds no password, and gives no container a capability', () => {
  const passwords = text
    .split('\n')
    .filter((line) => /password/i.test(line) && !line.startsWith('#'))
  for (const line of passwords) expect(line).toMatch(/\$\{\w+_PASSWORD:\?|\$\$REDIS_PASSWORD/)
  for (const { cap_drop } of Object.values(compose.services)) expect(cap_drop).toEqual(['ALL'])
})

// Compose copies what is not a file into the container, and refuses to do so if it is read-only.
test('gives read-only containers only secrets and configs that are files', () => {
  const { services, secrets, configs } = compose
  const copied = Object.values(services)
    .filter(({ read_only }) => read_only)
    .flatMap((service) => [
      ...(service.secrets ?? []).map(({ source }) => secrets[source]),
      ...(service.configs ?? []).map(({ source }) => configs[source]),
    ])
    .filter((one) => one?.file === undefined)
  expect(copied).toEqual([])
})

test('haproxy accepts the configuration of the balancer without a warning', async () => {
  await requireCommand('haproxy', 'haproxy')
  using folder = temporaryFolder()
  const path = join(folder.path, 'haproxy.cfg')
  // The names of the nodes are known in the network of the containers only.
  writeFileSync(path, compose.configs.balancer!.content.replace(/node-\d:/g, '127.0.0.1:'))
  const { exitCode, output } = await run(['haproxy', '-c', '-f', path])
  expect({ exitCode, output: output.trim() }).toEqual({
    exitCode: 0,
    output: 'Configuration file is valid',
  })
}, 120_000)

test('nodes trust the address of the balancer alone', () => {
  const { balancer, ...others } = compose.services
  expect(others['node-1']?.environment?.TRUSTED_PROXIES).toBe(
    balancer?.networks?.default?.ipv4_address ?? 'none',
  )
})
