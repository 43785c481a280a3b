import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { listen } from '../../../src/http/listen.ts'

const handled: string[] = []
const routes = new Elysia().post('/e', () => {
  handled.push('framework')
  return new Response('{}')
})
const post = ({ request }: { request: Request }) => {
  handled.push('direct')
  if (request.headers.has('x-fail')) return Promise.reject(new Error('a fault of the server'))
  return new Response('{}')
}
const unused = () => {
  throw new Error('unused')
}
let server: ReturnType<typeof listen>

beforeAll(() => {
  server = listen(
    {
      app: { routes: routes as unknown as Elysia, posts: new Map([['/e', post]]) },
      isOriginAllowed: () => true,
      socket: { handleRequest: unused, websocket: { message() {} } },
      refuse: () => new Response(null, { status: 400 }),
      trace: unused,
      nextId: () => 'id-1',
    },
    { port: 0, hostname: '127.0.0.1', idleSeconds: 5 },
  )
})
afterAll(async () => await server.stop(0))

test.each([
  ['POST', '/e', 'none', 'direct', 200],
  ['POST', '/e?x=1', 'none', 'direct', 200],
  ['POST', '/e', 'https://shop.example', 'framework', 200],
  ['GET', '/e', 'none', undefined, 404],
  ['POST', '/f', 'none', undefined, 404],
] as const)('%s %s, Origin %s: handler %s, %s', async (method, path, origin, by, status) => {
  handled.length = 0
  const headers: Record<string, string> = origin === 'none' ? {} : { origin }
  const reply = await fetch(`${server.url}${path}`, { method, headers })
  expect(reply.status).toBe(status)
  expect(handled).toEqual(by === undefined ? [] : [by])
})

test('answers 500 in JSON, with an id, if a handler fails', async () => {
  const reply = await fetch(`${server.url}/e`, { method: 'POST', headers: { 'x-fail': '1' } })
  expect(reply.status).toBe(500)
  expect(reply.headers.get('x-request-id')).toBe('id-1')
  expect(await reply.json()).toMatchObject({ code: 0, error: 'internal_error' })
})
