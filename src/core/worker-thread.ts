/**
 * The one protocol between a worker thread and the thread that starts it: start, ready or refused,
 * then messages both ways. The first half of this file is the host's side, the second the worker's.
 */

/** The messages of one kind of worker. Both sides name the same type, so they cannot disagree. */
export type ThreadProtocol = {
  /** Plain data that the worker is started with. */
  options: unknown
  /** The result of a successful start. */
  ready: unknown
  toThread: unknown
  fromThread: unknown
}

export type WorkerThread<P extends ThreadProtocol> = {
  /** Rejects when the worker refuses to start, with its reason, or ends before it is ready. */
  ready: Promise<P['ready']>
  /** Delivered in the order of the calls, and not before the worker is ready. */
  post(message: P['toThread'], transfer?: ArrayBuffer[]): void
  /** Lets the process exit although the thread runs. */
  unref(): void
  terminate(): void
}

export type WorkerThreadOptions<P extends ThreadProtocol> = {
  /** URL or path of the worker's script. */
  script: string
  options: P['options']
  onMessage(message: P['fromThread']): void
  /**
   * Called once, however the thread ended: refusal, uncaught error, exit or `terminate`. `error` is
   * its refusal or its last uncaught error.
   */
  onEnd?(error: string | undefined): void
}

type ToThread<P extends ThreadProtocol> =
  | { type: 'start'; options: P['options'] }
  | { type: 'message'; message: P['toThread'] }

type FromThread<P extends ThreadProtocol> =
  | { type: 'ready'; ready: P['ready'] }
  | { type: 'refused'; reason: string }
  | { type: 'message'; message: P['fromThread'] }

/** Starts a thread. A thread that refuses to start is terminated. */
export function startThread<P extends ThreadProtocol>(
  given: WorkerThreadOptions<P>,
): WorkerThread<P> {
  const worker = new Worker(given.script)
  const ready = Promise.withResolvers<P['ready']>()
  ready.promise.catch(() => {}) // Some hosts handle `onEnd` only.
  let lastError: string | undefined
  const send = (message: ToThread<P>, transfer: ArrayBuffer[] = []) =>
    worker.postMessage(message, transfer)

  worker.onmessage = ({ data }: MessageEvent<FromThread<P>>) => {
    if (data.type === 'message') return given.onMessage(data.message)
    if (data.type === 'ready') return ready.resolve(data.ready)
    lastError = data.reason
    worker.terminate()
  }
  worker.onerror = ({ message }) => {
    lastError = message
  }
  // Bun emits `close` after every end, also after an uncaught error or a script that does not load.
  worker.addEventListener('close', () => {
    ready.reject(new Error(lastError ?? 'the worker thread ended before it was ready'))
    given.onEnd?.(lastError)
  })
  send({ type: 'start', options: given.options })
  return {
    ready: ready.promise,
    post: (message, transfer) => send({ type: 'message', message }, transfer),
    unref: () => worker.unref(),
    terminate: () => void worker.terminate(),
  }
}

/** A thread that answers requests one after the other. */
export type RequestThread<Request, Reply> = {
  /** Rejects when the thread ends before it has answered. */
  request(request: Request, transfer?: ArrayBuffer[]): Promise<Reply>
  /** Terminates the thread and rejects the requests that wait. */
  close(): void
}

type RequestProtocol<Request, Reply> = {
  options: undefined
  ready: undefined
  toThread: Request
  fromThread: Reply
}

/**
 * `name` is for error texts, such as "password thread". A background thread keeps no process alive.
 */
export type RequestThreadOptions = { name: string; script: string; isBackground?: boolean }

/**
 * Starts the thread with the first request. If it ends, all waiting requests reject, and the next
 * request starts another thread.
 */
export function createRequestThread<Request, Reply>({
  name,
  script,
  isBackground = false,
}: RequestThreadOptions): RequestThread<Request, Reply> {
  type Protocol = RequestProtocol<Request, Reply>
  let current: WorkerThread<Protocol> | undefined
  /** The worker answers in order, so the first entry belongs to the next reply. */
  let waiting: PromiseWithResolvers<Reply>[] = []

  function start(): WorkerThread<Protocol> {
    const thread = startThread<Protocol>({
      script,
      options: undefined,
      onMessage: (reply) => waiting.shift()?.resolve(reply),
      onEnd(error) {
        if (thread === current) stop(`the ${name} ended: ${error ?? 'no error was reported'}`)
      },
    })
    if (isBackground) thread.unref()
    return thread
  }

  function stop(reason: string): void {
    current = undefined
    const rejected = waiting
    waiting = []
    for (const { reject } of rejected) reject(new Error(reason))
  }

  return {
    request(request, transfer) {
      current ??= start()
      const reply = Promise.withResolvers<Reply>()
      current.post(request, transfer)
      waiting.push(reply)
      return reply.promise
    },
    close() {
      const thread = current
      stop(`the ${name} is closed`)
      thread?.terminate()
    },
  }
}

declare const self: Worker

export type Post<P extends ThreadProtocol> = (
  message: P['fromThread'],
  transfer?: ArrayBuffer[],
) => void

/** The result of a successful start, and the handler of the messages that follow. */
export type Opened<P extends ThreadProtocol> = {
  ready: P['ready']
  receive(message: P['toThread']): void
}

/** Runs a worker. If `open` throws or rejects, the worker refuses to start, with that message. */
export function serveThread<P extends ThreadProtocol>(
  open: (options: P['options'], post: Post<P>) => Opened<P> | Promise<Opened<P>>,
): void {
  const send = (message: FromThread<P>, transfer: ArrayBuffer[] = []) =>
    self.postMessage(message, transfer)
  const post: Post<P> = (message, transfer) => send({ type: 'message', message }, transfer)
  /** Messages that arrived while the worker was starting. */
  const early: P['toThread'][] = []
  let receive: Opened<P>['receive'] = (message) => void early.push(message)

  async function start(options: P['options']): Promise<void> {
    let opened: Opened<P>
    try {
      opened = await open(options, post)
    } catch (error) {
      return send({ type: 'refused', reason: toText(error) })
    }
    send({ type: 'ready', ready: opened.ready })
    receive = opened.receive
    for (const message of early.splice(0)) receive(message)
  }

  self.onmessage = ({ data }: MessageEvent<ToThread<P>>) => {
    if (data.type === 'message') receive(data.message)
    else void start(data.options)
  }
}

/**
 * Runs the worker of a `RequestThread`, one request at a time. `toTransfer` names the buffers that
 * go back with a reply.
 */
export function serveRequests<Request, Reply>(
  answer: (request: Request) => Reply | Promise<Reply>,
  toTransfer: (reply: Reply) => ArrayBuffer[] = () => [],
): void {
  let last = Promise.resolve()
  serveThread<RequestProtocol<Request, Reply>>((_, post) => ({
    ready: undefined,
    receive(request) {
      last = last.then(async () => {
        const reply = await answer(request)
        post(reply, toTransfer(reply))
      })
    },
  }))
}

const toText = (error: unknown) => (error instanceof Error ? error.message : String(error))
