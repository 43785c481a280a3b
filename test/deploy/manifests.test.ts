import { expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/config.ts'
import { requireCommand, requireFolder, run, runOrThrow } from '../services/install.ts'
import { temporaryFolder } from '../support/folder.ts'

setDefaultTimeout(240_000)

const deploy = join(import.meta.dir, '../../deploy')
const read = (path: string) => readFileSync(join(deploy, path), 'utf8')

// biome-ignore lint/suspicious/noExplicitAny: manifests of many kinds.
type Manifest = any

const manifests = Bun.YAML.parse(read('kubernetes/spillway.yaml')) as Manifest[]
const ofKind = (kind: string) => manifests.find((one) => one.kind === kind)
const set = ofKind('StatefulSet').spec
const pod = set.template.spec
const container = pod.containers[0]

/** Prints the faults of the manifests in a JSON file, by the OpenAPI schema of Kubernetes. */
const checkScript = `
for (const manifest of await Bun.file(process.argv[2]).json()) {
  const { [manifest.kind]: Model } = await import(\`kubernetes-models/\${manifest.apiVersion}/\${manifest.kind}\`)
  try { new Model(manifest).validate() } catch (error) { console.log(manifest.kind + ' ' + error.message) }
}`

async function findFaults(given: readonly Manifest[]): Promise<string> {
  const dependencies = { 'kubernetes-models': '5.1.0' }
  const manifest = JSON.stringify({ name: 'models', private: true, dependencies })
  const models = await requireFolder('kubernetes-models', manifest + checkScript, async (fresh) => {
    writeFileSync(join(fresh, 'package.json'), manifest)
    writeFileSync(join(fresh, 'check.ts'), checkScript)
    await runOrThrow([process.execPath, 'install', '--ignore-scripts', '--no-save'], fresh)
  })
  using folder = temporaryFolder()
  const path = join(folder.path, 'manifests.json')
  writeFileSync(path, JSON.stringify(given))
  const { exitCode, output } = await run([process.execPath, join(models, 'check.ts'), path])
  expect(exitCode).toBe(0)
  return output.trim()
}

test('the manifests follow the schema of Kubernetes; a wrong value is found', async () => {
  expect(await findFaults(manifests)).toBe('')
  const wrong = structuredClone(ofKind('StatefulSet'))
  wrong.spec.replicas = 'two'
  expect(await findFaults([wrong])).toContain('replicas must be integer')
})

test('selectors, ports, volumes and services fit together', () => {
  const { labels } = set.template.metadata
  expect(set.selector.matchLabels).toEqual(labels)
  expect(ofKind('PodDisruptionBudget').spec.selector.matchLabels).toEqual(labels)
  const services = manifests.filter(({ kind }) => kind === 'Service')
  expect(services.map(({ metadata }) => metadata.name)).toContain(set.serviceName)
  const ports = container.ports.map(({ name }: { name: string }) => name)
  for (const { spec } of services) {
    expect(spec.selector).toEqual(labels)
    for (const { targetPort } of spec.ports) expect(ports).toContain(targetPort)
  }
  const volumes = [...pod.volumes, ...set.volumeClaimTemplates.map((one: Manifest) => one.metadata)]
  const mounts = container.volumeMounts.map(({ name }: { name: string }) => name)
  expect(volumes.map(({ name }) => name).sort()).toEqual([...mounts].sort())
})

/** The settings of the container, with those of the secret. */
const settings: Record<string, string> = Object.fromEntries([
  ...container.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
  ['CLICKHOUSE_URL', 'https://user:password@clickhouse.example:8443/spillway'],
  ['KAFKA_BROKERS', 'kafka.example:9092'],
  ['REDIS_URL', 'redis://redis.example:6379'],
  ['ADMIN_TOKEN', '0123456789abcdef0123'],
])

test('the settings are valid, and a pod has the time that an orderly stop takes', () => {
  const { config, warnings } = loadConfig(settings)
  expect(warnings).toEqual([])
  const { DRAIN_MS: drainMs, SHUTDOWN_MS_MAX: shutdownMs, ADMIN_PORT: adminPort } = config
  const [, preStopSeconds] = container.lifecycle.preStop.exec.command
  const neededSeconds = Number(preStopSeconds) + (drainMs + shutdownMs) / 1000 + 20
  expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(neededSeconds)
  // While the server is unready, the probe has to fail often enough.
  const { periodSeconds, failureThreshold } = container.readinessProbe
  expect(drainMs / 1000).toBeGreaterThan(periodSeconds * failureThreshold)
  expect(String(adminPort)).toBe(set.template.metadata.annotations['prometheus.io/port'])
  const [claim] = set.volumeClaimTemplates
  const volumeGib = Number.parseInt(claim.spec.resources.requests.storage, 10)
  expect(config.JOURNAL_MAX_BYTES / 2 ** 30).toBeLessThan(volumeGib)
})

test('a restart is for liveness only, and no pod has rights that it does not need', () => {
  expect(container.livenessProbe.httpGet.path).toBe('/_liveness')
  expect(container.startupProbe.httpGet.path).toBe('/_liveness')
  expect(container.readinessProbe.httpGet.path).toBe('/_readiness')
  expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 })
  expect(container.securityContext).toEqual({
    ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
    capabilities: { drop: ['ALL'] },
  })
})

const unit = read('systemd/spillway.service')
const settingOf = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1]

test('systemd takes the unit without a warning', async () => {
  await requireCommand('systemd-analyze', 'systemd')
  const command = ['systemd-analyze', 'verify', join(deploy, 'systemd/spillway.service')]
  expect(await run(command)).toEqual({ exitCode: 0, output: '' })
})

test('the unit restarts after crashes only, and waits for an orderly stop', () => {
  expect(settingOf('RestartPreventExitStatus')).toBe('64 78')
  expect(settingOf('SuccessExitStatus')).toBe('3')
  const environment = [...unit.matchAll(/^Environment=(\w+)=(.*)$/gm)].map(([, name, value]) => [
    name,
    value,
  ])
  const { config, warnings } = loadConfig(Object.fromEntries(environment))
  expect(warnings).toEqual([])
  const neededSeconds = (config.DRAIN_MS + config.SHUTDOWN_MS_MAX) / 1000 + 20
  expect(Number.parseInt(settingOf('TimeoutStopSec')!, 10)).toBeGreaterThanOrEqual(neededSeconds)
  expect(config.DATA_DIR).toBe(`/var/lib/${settingOf('StateDirectory')}`)
})
