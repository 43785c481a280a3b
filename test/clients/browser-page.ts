import { join } from 'node:path'

const root = join(import.meta.dir, '../..')
const scripts: Record<string, string> = {
  '/posthog.js': 'node_modules/posthog-js/dist/array.full.js',
  '/socket.io.js': 'node_modules/socket.io-client/dist/socket.io.min.js',
}

/**
 * A site on its own port, so that all its requests to the server are cross-origin. Its page loads
 * the SDKs and does nothing else.
 */
export function startPage(): { url: string; [Symbol.asyncDispose](): Promise<void> } {
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      const script = scripts[new URL(request.url).pathname]
      if (script) return new Response(Bun.file(join(root, script)))
      return new Response(html, { headers: { 'content-type': 'text/html' } })
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

const html = `<!doctype html>
<html><head><title>Shop</title><link rel="icon" href="data:,"></head>
<body><h1>Shop</h1><button id="buy">Buy</button><input id="name">
<script src="/posthog.js"></script><script src="/socket.io.js"></script></body></html>`
