import { serveThread } from '../../../src/core/worker-thread.ts'

/** A worker under the control of the test: `start` selects how it starts, each message what it does next. */
export type TestThread = {
  options: { start: 'ready' | 'refused' }
  ready: string
  toThread: { do: 'echo'; bytes: Uint8Array } | { do: 'throw' } | { do: 'exit' }
  fromThread: { bytes: Uint8Array; received: number }
}

serveThread<TestThread>(async ({ start }, post) => {
  await Promise.resolve()
  if (start === 'refused') throw new Error('set X to start')
  let received = 0
  return {
    ready: 'open',
    receive(message) {
      received += 1
      if (message.do === 'throw') throw new Error('broken')
      if (message.do === 'exit') process.exit(0)
      const { bytes } = message
      post({ bytes, received }, [bytes.buffer as ArrayBuffer])
    },
  }
})
