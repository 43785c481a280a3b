import { describe, expect, test } from 'bun:test'
import { readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog } from '../../../src/core/log.ts'
import type { ProtocolName } from '../../../src/core/protocol.ts'
import { createProjects, type Projects } from '../../../src/projects/projects.ts'
import { temporaryFolder } from '../../support/folder.ts'
import { until } from '../../support/until.ts'

const examplePath = join(import.meta.dir, '../../fixtures/projects.toml')
const example = () => createProjects({ path: examplePath, log: silentLog })
const withoutFile = () => createProjects({ log: silentLog })

function toCode(find: () => unknown): string {
  try {
    find()
    return 'found'
  } catch (error) {
    return (error as { code: string }).code
  }
}

test.each<[string, ProtocolName, string, string]>([
  ['a token', 'capture', 'phc_shop_web', 'shop'],
  ['another token of it', 'capture', 'phc_shop_app', 'shop'],
  ['an API key', 'report', 'sk_shop', 'shop'],
  ['an API key that the file gives as a hash', 'report', 'sk_blog', 'blog'],
  ['a project id of a link', 'link', 'shop', 'shop'],
])('with a file, %s finds its project', (_, protocol, credential, id) => {
  const projects = example()
  expect(projects.find(protocol, credential).id).toBe(id)
  projects.close()
})

test.each<[string, ProtocolName, string, string]>([
  ['an unknown token', 'capture', 'phc_other', 'unknown_token'],
  ['an API key as a token', 'capture', 'sk_shop', 'unknown_token'],
  ['a personal key', 'capture', 'phx_secret', 'invalid_token'],
  ['an unknown API key', 'report', 'sk_other', 'invalid_api_key'],
  ['a token as an API key', 'report', 'phc_shop_web', 'invalid_api_key'],
  ['the hash of an API key', 'report', `sha256:${'0'.repeat(64)}`, 'invalid_api_key'],
  ['an inherited name', 'capture', '__proto__', 'unknown_token'],
  ['a link of an unknown project', 'link', 'default', 'unknown_project'],
  ['a link of an inherited name', 'link', '__proto__', 'unknown_project'],
])('with a file, %s is refused', (_, protocol, credential, code) => {
  const projects = example()
  expect(toCode(() => projects.find(protocol, credential))).toBe(code)
  projects.close()
})

describe('apps and keys', () => {
  const file = {
    projects: [
      { id: 'shop', apps: ['ios', 'android'], api_keys: ['sk_shop'] },
      { id: 'bank', apps: { web: {} }, api_keys: ['sk_bank', 'sk_new'], require_key: true },
    ],
  }
  function load(projects: object = file) {
    using folder = temporaryFolder()
    const path = join(folder.path, 'projects.json')
    writeFileSync(path, JSON.stringify(projects))
    return createProjects({ path, log: silentLog })
  }
  const toVerdict = (found: ReturnType<Projects['findByApp']>) =>
    found && ('code' in found ? found.code : found.id)

  test.each<[string, string | null, string]>([
    ['ios', null, 'shop'],
    ['android', null, 'shop'],
    ['shop', null, 'shop'],
    ['ios', 'sk_wrong', 'shop'],
    ['web', 'sk_bank', 'bank'],
    ['bank', ' "sk_new"', 'bank'],
    ['web', null, 'invalid_api_key'],
    ['web', 'sk_shop', 'invalid_api_key'],
    ['web', '', 'invalid_api_key'],
    ['tv', null, 'unknown_app'],
    ['constructor', null, 'unknown_app'],
  ])('telemetry of %s with the key %j: %s', (app, key, expected) => {
    const projects = load()
    expect(toVerdict(projects.findByApp(app, key))).toBe(expected)
    projects.close()
  })

  test.each<[string, string | null, string]>([
    ['shop', null, 'found'],
    ['bank', 'sk_bank', 'found'],
    ['bank', null, 'invalid_api_key'],
    ['bank', 'sk_shop', 'invalid_api_key'],
    ['ios', null, 'unknown_project'],
  ])('a link of %s with the key %j: %s', (id, key, expected) => {
    const projects = load()
    expect(toCode(() => projects.find('link', id, key))).toBe(expected)
    projects.close()
  })

  test('without a file every app and every link project is one of its own', () => {
    expect(withoutFile().findByApp('tv', null)).toBeUndefined()
    expect(withoutFile().find('link', 'default').id).toBe('default')
  })

  test('the settings of an app stay those of the SDK', () => {
    const apps = { ios: { telemetry: { sampleRate: 1 } } }
    const projects = load({ projects: [{ id: 'shop', apps }] })
    expect(projects.sdkOverrides('shop', 'ios')).toEqual(apps.ios)
    expect(toVerdict(projects.findByApp('ios', null))).toBe('shop')
    projects.close()
  })
})

test.each<[string, ProtocolName, string, string]>([
  ['any token is a project', 'capture', 'phc_mine', 'phc_mine'],
  ['64 bytes are', 'capture', 'a'.repeat(64), 'a'.repeat(64)],
  ['an API key is one under its hash', 'report', 'sk_shop', 'key_dd917105e46fb972'],
])('without a file, %s', (_, protocol, credential, id) => {
  expect(withoutFile().find(protocol, credential)).toEqual({
    id,
    origins: undefined,
    rate: undefined,
    quotas: {},
  })
})

test.each<[string, ProtocolName, string, string]>([
  ['65 bytes', 'capture', 'a'.repeat(65), 'invalid_token'],
  ['a letter beyond ASCII', 'capture', 'phc_é', 'invalid_token'],
  ['nothing', 'capture', '', 'invalid_token'],
  ['a personal key', 'capture', 'phx_secret', 'invalid_token'],
  ['65 bytes', 'report', 'a'.repeat(65), 'invalid_api_key'],
  ['a letter beyond ASCII', 'report', 'sk_é', 'invalid_api_key'],
  ['a control character', 'report', 'sk_\u0001', 'invalid_api_key'],
  ['nothing', 'report', '', 'invalid_api_key'],
  ['a personal key', 'report', 'phx_secret', 'invalid_api_key'],
])('without a file, %s in %s is refused', (_, protocol, credential, code) => {
  expect(toCode(() => withoutFile().find(protocol, credential))).toBe(code)
})

test('tokens and keys of the file are used without surrounding white space and quotes', () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'projects.json')
  const entry = { id: 'p', tokens: [' "my token" '], api_keys: ["'my.key'\n"] }
  writeFileSync(path, JSON.stringify({ projects: [entry] }))
  const projects = createProjects({ path, log: silentLog })
  expect(projects.find('capture', 'my token').id).toBe('p')
  expect(projects.find('report', 'my.key').id).toBe('p')
  projects.close()
})

test('a project has its origins, rate and quotas', () => {
  const projects = example()
  expect(projects.find('capture', 'phc_shop_web')).toEqual({
    id: 'shop',
    origins: ['https://shop.example', 'https://www.shop.example'],
    rate: { perSecond: 100, burst: 200 },
    quotas: {
      events: { max: 1_000_000, period: 'month' },
      recordings: { max: 5000, period: 'day' },
    },
  })
  expect(projects.byId('blog')).toEqual({
    id: 'blog',
    origins: undefined,
    rate: undefined,
    quotas: {},
  })
  projects.close()
})

test('clients and users have hashes that verify', async () => {
  const projects = example()
  const [backend, website] = projects.clients()
  const [ada] = projects.users()
  expect(await Bun.password.verify('backend-secret', backend!.secretHashes![0]!)).toBe(true)
  expect(website).toEqual({
    id: 'website',
    secretHashes: [],
    public: true,
    permissions: [],
  })
  expect(await Bun.password.verify('ada-password', ada!.passwordHash)).toBe(true)
  expect(ada).toMatchObject({ id: 'u1', username: 'ada', email: 'ada@example.com', name: 'Ada' })
  projects.close()
})

test.each([
  [
    'of the project',
    'shop',
    undefined,
    { telemetry: { sampleRate: 0.5, batchSize: 20 }, features: { checkout: false } },
  ],
  [
    'of its app over those',
    'shop',
    'ios',
    { telemetry: { sampleRate: 1, batchSize: 20 }, features: { checkout: true } },
  ],
  [
    'of the project for an app without any',
    'shop',
    'constructor',
    { telemetry: { sampleRate: 0.5, batchSize: 20 }, features: { checkout: false } },
  ],
  ['of none', 'other', 'ios', {}],
])('SDK settings %s', (_, project, app, settings) => {
  const projects = example()
  expect(projects.sdkOverrides(project, app)).toEqual(settings)
  projects.close()
})

/** A projects file of the test, checked every few milliseconds. */
function watched(folder: string, text: string) {
  const path = join(folder, 'projects.toml')
  writeFileSync(path, text)
  const lines: { message: string; fields: object }[] = []
  const note = (fields: object, message: string) => lines.push({ message, fields })
  const log = { ...silentLog, info: note, error: note }
  const projects = createProjects({ path, log, checkMs: 5 })
  const isKnown = (token: string) => toCode(() => projects.find('capture', token)) === 'found'
  return { path, projects, lines, isKnown }
}

const withToken = (token: string) => `[[projects]]\nid = "p"\ntokens = ["${token}"]\n`

test.each([
  ['is written in place', (path: string, text: string) => writeFileSync(path, text)],
  [
    'is replaced by a new one',
    (path: string, text: string) => {
      writeFileSync(`${path}.new`, text)
      renameSync(`${path}.new`, path)
    },
  ],
  [
    'is removed and made again',
    (path: string, text: string) => {
      rmSync(path)
      writeFileSync(path, text)
    },
  ],
  [
    'becomes a link to another',
    (path: string, text: string) => {
      writeFileSync(`${path}.target`, text)
      symlinkSync(`${path}.target`, `${path}.link`)
      renameSync(`${path}.link`, path)
    },
  ],
])('a file that %s is read again', async (_, edit) => {
  using folder = temporaryFolder()
  const { path, projects, isKnown } = watched(folder.path, withToken('before'))
  const changed = Promise.withResolvers<void>()
  projects.onChange(changed.resolve)
  expect([isKnown('before'), isKnown('after')]).toEqual([true, false])
  edit(path, withToken('after'))
  await changed.promise
  expect([isKnown('before'), isKnown('after')]).toEqual([false, true])
  projects.close()
})

test.each([
  ['a syntax error', 'tokens = ["s3cret'],
  ['a wrong shape', withToken('phx_s3cret')],
  ['nothing in it', ''],
])(
  'an edit with %s keeps the old projects and logs the reason without a secret',
  async (_, text) => {
    using folder = temporaryFolder()
    const { path, projects, lines, isKnown } = watched(folder.path, withToken('before'))
    writeFileSync(path, text)
    await until(() => lines.length === 1)
    expect(lines[0]!.message).toStartWith(
      'the projects file is faulty; the previous content stays in use',
    )
    expect(JSON.stringify(lines)).not.toContain('s3cret')
    expect(isKnown('before')).toBe(true)
    writeFileSync(path, withToken('after'))
    await until(() => isKnown('after'))
    projects.close()
  },
)

test('a removed file keeps the old projects and is logged once', async () => {
  using folder = temporaryFolder()
  const { path, projects, lines, isKnown } = watched(folder.path, withToken('before'))
  rmSync(path)
  await until(() => lines.length > 0)
  writeFileSync(path, withToken('after'))
  await until(() => isKnown('after'))
  expect(
    lines.filter(({ message }) => message.includes('cannot read the projects file')),
  ).toHaveLength(1)
  projects.close()
})

test('a listener that ended its subscription is not called', async () => {
  using folder = temporaryFolder()
  const { path, projects, isKnown } = watched(folder.path, withToken('before'))
  let heard = 0
  projects.onChange(() => {
    heard += 1
  })()
  writeFileSync(path, withToken('after'))
  await until(() => isKnown('after'))
  expect(heard).toBe(0)
  projects.close()
})

test('throws at start if the file is missing or faulty', () => {
  using folder = temporaryFolder()
  const path = join(folder.path, 'projects.toml')
  expect(() => createProjects({ path, log: silentLog })).toThrow('ENOENT')
  writeFileSync(path, 'projects = 1')
  expect(() => createProjects({ path, log: silentLog })).toThrow('projects must be array')
})

test('projects, clients and users contain no token and no API key', () => {
  const projects = example()
  const given = ['shop', 'blog'].map((id) => [projects.byId(id), projects.sdkOverrides(id)])
  expect(readFileSync(examplePath, 'utf8')).toContain('sk_shop')
  expect(JSON.stringify([given, projects.clients(), projects.users()])).not.toMatch(/sk_|phc_/)
  projects.close()
})
