/**
 * The baseline: a bare Bun.serve that reads the body and returns the same reply. Prints its port.
 */
const reply = '{"code":1,"status":"ok"}'
const headers = { 'content-type': 'application/json' }

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  maxRequestBodySize: 32 * 1024 * 1024,
  async fetch(request) {
    await request.arrayBuffer()
    return new Response(reply, { headers })
  },
})
console.log(JSON.stringify({ port: server.port }))
