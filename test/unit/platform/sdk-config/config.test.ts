import { describe, expect, test } from 'bun:test'
import type { SdkOverrides } from '../../../../src/core/project-entries.ts'
import { createSdkConfig, type SdkConfig } from '../../../../src/platform/sdk-config/config.ts'

const create = (changes: Partial<Parameters<typeof createSdkConfig>[0]> = {}) =>
  createSdkConfig({
    overrides: () => undefined,
    publicUrl: undefined,
    realtimePort: undefined,
    ...changes,
  })
const ask = (config: SdkConfig, query = '', headers: Record<string, string> = {}) =>
  config.reply(new Request(`http://sdk.example:3000/api/sdk/config${query}`, { headers }))
const documentOf = (config: SdkConfig, query?: string) => JSON.parse(ask(config, query).body!)

describe('/api/sdk/config', () => {
  test('returns exactly the keys of the contract', () => {
    expect(documentOf(create())).toEqual({
      telemetry: {
        enabled: true,
        endpoint: 'http://sdk.example:3000/api/telemetry/events',
        sampleRate: 1,
        batchSize: 50,
        flushInterval: 5000,
      },
      performance: { enabled: true, sampleRate: 1, webVitals: true },
      realtime: { enabled: true, url: 'http://sdk.example:3000', heartbeatInterval: 30_000 },
      features: {},
    })
  })

  test.each([
    ['PUBLIC_URL', { publicUrl: 'https://in.example' }, 'https://in.example', 'https://in.example'],
    [
      'a path in PUBLIC_URL, except the URL of Socket.IO',
      { publicUrl: 'https://in.example/spillway/' },
      'https://in.example/spillway',
      'https://in.example',
    ],
    [
      "Socket.IO's own port",
      { realtimePort: 3001 },
      'http://sdk.example:3000',
      'http://sdk.example:3001',
    ],
  ])('derives its URLs from %s', (_, changes, root, url) => {
    const { telemetry, realtime } = documentOf(create(changes))
    expect(telemetry.endpoint).toBe(`${root}/api/telemetry/events`)
    expect(realtime.url).toBe(url)
  })

  test('uses https if a proxy received the request over TLS', () => {
    const { body } = create().reply(new Request('http://sdk.example/api/sdk/config'), true)
    expect(JSON.parse(body!).realtime.url).toBe('https://sdk.example')
  })

  test('replaces defaults by the overrides of the project and app', () => {
    const config = create({
      overrides: (project, app) =>
        project === 'shop' && app === 'web'
          ? { telemetry: { batchSize: 20, sampleRate: 0 }, features: { replay: true, chat: false } }
          : undefined,
    })
    expect(documentOf(config, '?project=shop&app=web')).toMatchObject({
      telemetry: { batchSize: 20, sampleRate: 0 },
      features: { replay: true, chat: false },
    })
    expect(documentOf(config)).toMatchObject({
      telemetry: { batchSize: 50, sampleRate: 1 },
      features: {},
    })
  })

  test('uses the app as the project if no project is given', () => {
    const asked: unknown[] = []
    const config = create({ overrides: (...names) => void asked.push(names) })
    ask(config, '?app=web')
    ask(config, '?project=shop')
    ask(config)
    expect(asked).toEqual([
      ['web', 'web'],
      ['shop', undefined],
      [undefined, undefined],
    ])
  })

  test('ignores values that the contract does not have', () => {
    const wrong = {
      telemetry: { sampleRate: 7, batchSize: -1, flushInterval: '5s', extra: 1 },
      performance: { sampleRate: Number.NaN, webVitals: 'yes' },
      realtime: null,
      features: { __proto__: null, ok: true, number: 1 },
      other: {},
    } as unknown as SdkOverrides
    const expected = documentOf(create({ overrides: () => ({ features: { ok: true } }) }))
    expect(documentOf(create({ overrides: () => wrong }))).toEqual(expected)
  })

  test('applies a reload to the next request, with another ETag', () => {
    let current: SdkOverrides = {}
    const config = create({ overrides: () => current })
    const before = ask(config).headers?.etag
    expect(ask(config).headers?.etag).toBe(before!)
    current = { realtime: { enabled: false } }
    expect(documentOf(config).realtime.enabled).toBe(false)
    expect(ask(config).headers?.etag).not.toBe(before!)
  })

  test('answers 304 if the client has the current ETag', () => {
    const config = create()
    const etag = ask(config).headers!.etag!
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*'])
      expect(ask(config, '', { 'if-none-match': known })).toMatchObject({ status: 304, body: null })
    expect(ask(config, '', { 'if-none-match': '"x"' }).status).toBe(200)
    expect(ask(config).headers?.['cache-control']).toBe('private, max-age=60')
  })
})
