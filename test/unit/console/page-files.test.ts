import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { createPageFiles } from '../../../src/console/page-files.ts'
import { silentLog } from '../../../src/core/log.ts'

const pageFolder = join(import.meta.dir, '../../../src/console/page')
const files = createPageFiles({ log: silentLog })
const ask = (name: string, headers: Record<string, string> = {}) =>
  files.respond(new Request(`http://127.0.0.1/console/${name}`, { headers }), name)

describe('page files', () => {
  test.each([
    ['', 'text/html; charset=utf-8'],
    ['page.js', 'text/javascript; charset=utf-8'],
    ['page.css', 'text/css; charset=utf-8'],
  ])('serves "%s" with a strict policy', async (name, type) => {
    const reply = await ask(name)
    expect(reply.status).toBe(200)
    const { headers } = reply
    expect(headers.get('content-type')).toBe(type)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    const policy = headers.get('content-security-policy') ?? ''
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"])
      expect(policy).toContain(rule)
    expect(policy).not.toMatch(/unsafe|\*|https?:/)
  })

  test('the page loads nothing from elsewhere and has no inline script', async () => {
    const html = await (await ask('')).text()
    expect(html.match(/(?:src|href)="[^"]+"/g)).toEqual([
      'href="data:,"',
      'href="/console/page.css"',
      'src="/console/page.js"',
    ])
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)/)
    expect(await (await ask('page.css')).text()).not.toMatch(/url\(|@import/)
  })

  test('the script never writes HTML', async () => {
    const script = await (await ask('page.js')).text()
    // Preact has one place, for `dangerouslySetInnerHTML`, which the page does not use.
    expect(script).not.toMatch(/insertAdjacentHTML|document\.write|\beval\(|new Function/)
    const sources = new Bun.Glob('**/*.{ts,tsx}').scanSync({ cwd: pageFolder, absolute: true })
    for (const path of sources)
      expect(await Bun.file(path).text()).not.toMatch(/innerHTML|dangerouslySet/i)
  })

  test('answers 304 to the tag of the same file', async () => {
    const etag = (await ask('page.js')).headers.get('etag') ?? ''
    expect((await ask('page.js', { 'if-none-match': etag })).status).toBe(304)
    expect((await ask('page.css', { 'if-none-match': etag })).status).toBe(200)
  })

  test('compresses for clients that take gzip', async () => {
    const reply = await ask('page.js', { 'accept-encoding': 'gzip, br' })
    expect(reply.headers.get('content-encoding')).toBe('gzip')
    const zipped = new Uint8Array(await reply.arrayBuffer())
    const plain = await (await ask('page.js')).text()
    expect(new TextDecoder().decode(Bun.gunzipSync(zipped))).toBe(plain)
    // A phone on a slow network waits for it: 3 s at 20 kB/s.
    expect(zipped.length).toBeLessThan(60_000)
  })

  test.each(['page.html', 'main.tsx', '../routes.ts', 'style/theme.css'])(
    'has no file "%s"',
    async (name) => {
      const reply = await ask(name)
      expect(reply.status).toBe(404)
      expect(await reply.json()).toMatchObject({ error: 'not_found' })
    },
  )
})
