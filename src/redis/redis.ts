import { Cluster, Redis } from 'ioredis'
import { toBackoffMs, withTimeLimit } from '../core/async.ts'
import type { Log } from '../core/log.ts'

/** Consecutive failures, not all failures: a busy server times out now and then. */
const failuresMax = 5
const probeMs = 1000
const reconnectMsMax = 1000
const deadMsByDefault = 5000
const connectMsMax = 2000

/**
 * The process's connection to Redis, single or Cluster (several comma-separated nodes in `url`).
 * Needs Redis 6.2 or newer (`probe.ts`). A call waits `timeoutMs` at most. After five consecutive failures
 * (circuit breaker) no further calls are made; a probe each second detects when Redis is available
 * again. So callers need an answer that works without Redis.
 */
export function createRedis(options: RedisOptions): RedisHandle {
  return new Handle(options)
}

/** The hash tags that spread the dedup keys over the nodes of a Cluster. */
const slotTags = [...'0123456789abcdef']

export type RedisOptions = {
  /**
   * `redis[s]://user:password@host:port/db`; several, separated by commas, are the nodes of a
   * Cluster.
   */
  url: string
  /** Precedes every key. */
  prefix: string
  timeoutMs: number
  /** A connection without a reply for so long is closed, and the calls queued on it fail. */
  deadMs?: number
  log: Log
}

export type RedisHandle = {
  /** On a Cluster all keys of a script must be in one slot. */
  readonly isCluster: boolean
  readonly counts: { calls: number; failures: number; skipped: number }
  /** Connected, and the circuit breaker is closed. */
  isAvailable(): boolean
  /** The same, for a caller that is about to call; false counts as a skipped call. */
  mayCall(): boolean
  /** Resolves with true once Redis is available, or with false after `timeoutMs`. */
  whenAvailable(timeoutMs: number): Promise<boolean>
  /** Never rejects: returns `otherwise` if Redis is unavailable, late or answers with an error. */
  run<T>(call: (commands: RedisCommands) => Promise<T>, otherwise: T): Promise<T>
  /** For calls that have no answer without Redis: rejects instead. */
  require<T>(call: (commands: RedisCommands) => Promise<T>): Promise<T>
  close(): void
}

type RedisCommands = {
  get(key: string): Promise<string | null>
  set(key: string, value: string, ttlMs: number): Promise<void>
  delete(key: string): Promise<void>
  /** Runs a script whose keys all start with `key`, so that they share its slot. */
  script(script: RedisScript, key: string, args: readonly (string | number)[]): Promise<unknown>
}

/** `KEYS[1]` is the key with the prefix; the script derives further keys from it. */
export type RedisScript = { name: string; lua: string }

/** Connections without the circuit breaker, for streams: readers block. Keys get no prefix. */
export type RedisStreams = {
  /** Rejects if Redis is unavailable or takes longer than `timeoutMs`. */
  call(command: string, values: readonly (string | number)[]): Promise<unknown>
  /** Calls wait for the connection, and as long as Redis blocks them. Reconnects automatically. */
  connectReader(): RedisReader
  close(): void
}

export type RedisReader = Pick<RedisStreams, 'call' | 'close'>

export function createRedisStreams({ url, timeoutMs }: StreamsOptions): RedisStreams {
  const writer = connect(url, { socketTimeout: deadMsByDefault })
  return {
    call: (command, values) => within(timeoutMs, writer.call(command, ...values)),
    connectReader() {
      const reader = connect(url, { maxRetriesPerRequest: null })
      return {
        call: (command, values) => reader.call(command, ...values),
        close: () => reader.disconnect(),
      }
    },
    close: () => writer.disconnect(),
  }
}

export type StreamsOptions = Pick<RedisOptions, 'url' | 'timeoutMs'>

type Client = Redis | Cluster

class Handle implements RedisHandle {
  readonly isCluster: boolean
  readonly counts = { calls: 0, failures: 0, skipped: 0 }
  readonly #client: Client
  readonly #commands: RedisCommands
  readonly #timeoutMs: number
  readonly #log: Log
  readonly #probing: Timer
  #failuresInRow = 0
  #wasAvailable: boolean | undefined

  constructor({ url, prefix, timeoutMs, log, deadMs = deadMsByDefault }: RedisOptions) {
    this.#timeoutMs = timeoutMs
    this.#log = log
    this.#client = connect(url, { keyPrefix: `${prefix}:`, socketTimeout: deadMs })
    this.isCluster = this.#client instanceof Cluster
    this.#commands = toCommands(this.#client)
    this.#client.on('error', (error) => this.#noteAvailability(error))
    this.#client.on('ready', () => this.#noteAvailability())
    this.#client.on('close', () => this.#noteAvailability())
    this.#probing = setInterval(() => this.#probe(), probeMs)
    this.#probing.unref()
  }

  isAvailable(): boolean {
    return this.#client.status === 'ready' && this.#failuresInRow < failuresMax
  }

  mayCall(): boolean {
    const isAvailable = this.isAvailable()
    if (!isAvailable) this.counts.skipped += 1
    return isAvailable
  }

  async whenAvailable(timeoutMs: number): Promise<boolean> {
    if (this.isAvailable()) return true
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#client.once('ready', resolve)
    await withTimeLimit(promise, timeoutMs, () => {})
    this.#client.off('ready', resolve)
    return this.isAvailable()
  }

  async run<T>(call: (commands: RedisCommands) => Promise<T>, otherwise: T): Promise<T> {
    return this.mayCall() ? this.#attempt(call).catch(() => otherwise) : otherwise
  }

  async require<T>(call: (commands: RedisCommands) => Promise<T>): Promise<T> {
    if (this.mayCall()) return this.#attempt(call)
    throw new Error('Redis is not available')
  }

  close(): void {
    clearInterval(this.#probing)
    this.#client.removeAllListeners('close')
    this.#client.disconnect()
  }

  async #attempt<T>(call: (commands: RedisCommands) => Promise<T>): Promise<T> {
    this.counts.calls += 1
    try {
      const result = await within(this.#timeoutMs, call(this.#commands))
      this.#failuresInRow = 0
      return result
    } catch (error) {
      this.counts.failures += 1
      this.#failuresInRow += 1
      this.#noteAvailability(error)
      throw error
    }
  }

  /**
   * Reads a key in every slot that the dedup uses, because a single node of a Cluster may be
   * unavailable.
   */
  async #probe(): Promise<void> {
    if (this.#failuresInRow < failuresMax || this.#client.status !== 'ready') return
    const keys = this.isCluster ? slotTags.map((tag) => `probe:{${tag}}`) : ['probe']
    const reads = (commands: RedisCommands) => Promise.all(keys.map((key) => commands.get(key)))
    await this.#attempt(reads).catch(() => {})
    this.#noteAvailability()
  }

  /** Logs each change, not each failure. */
  #noteAvailability(error?: unknown): void {
    const isAvailable = this.isAvailable()
    if (isAvailable === this.#wasAvailable) return
    this.#wasAvailable = isAvailable
    const reason = error instanceof Error ? { error: error.message } : {}
    if (isAvailable) this.#log.info({}, 'Redis is available')
    else
      this.#log.warn(
        reason,
        'Redis is not available: until it is, each node limits and deduplicates on its own',
      )
  }
}

type Extra = { keyPrefix?: string; socketTimeout?: number; maxRetriesPerRequest?: null }

function connect(url: string, extra: Extra): Client {
  const urls = url.split(',').map((part) => (part.includes('://') ? part : `redis://${part}`))
  const client = urls.length === 1 ? connectOne(urls[0]!, extra) : connectCluster(urls, extra)
  // Without a listener ioredis prints errors to the console.
  client.on('error', () => {})
  return client
}

const reconnectBackoff = { firstMs: 100, maxMs: reconnectMsMax }
const retryStrategy = (times: number) => toBackoffMs(times, reconnectBackoff, Math.random)
const connecting = { connectTimeout: connectMsMax, autoResendUnfulfilledCommands: false }
/**
 * Only readers, which may wait without limit, queue calls: another queue would grow while Redis is
 * unavailable.
 */
const mayQueue = ({ maxRetriesPerRequest }: Extra) => maxRetriesPerRequest === null

function connectOne(url: string, extra: Extra): Redis {
  return new Redis(url, {
    ...connecting,
    ...extra,
    retryStrategy,
    enableOfflineQueue: mayQueue(extra),
  })
}

function connectCluster(urls: readonly string[], { keyPrefix, ...extra }: Extra): Cluster {
  const { username, password, protocol } = new URL(urls[0]!)
  return new Cluster([...urls], {
    ...(keyPrefix === undefined ? {} : { keyPrefix }),
    enableOfflineQueue: mayQueue(extra),
    clusterRetryStrategy: retryStrategy,
    // ioredis connects to a node at the first call and then sends it again. Calls to a lost node
    // still end soon.
    retryDelayOnFailover: 10,
    maxRedirections: 5,
    slotsRefreshInterval: reconnectMsMax,
    redisOptions: {
      ...connecting,
      ...extra,
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' ? { tls: {} } : {}),
    },
  })
}

function toCommands(client: Client): RedisCommands {
  return {
    get: (key) => client.get(key),
    async set(key, value, ttlMs) {
      await client.set(key, value, 'PX', ttlMs)
    },
    async delete(key) {
      await client.del(key)
    },
    script({ name, lua }, key, args) {
      const scripts = client as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
      if (scripts[name] === undefined) client.defineCommand(name, { lua, numberOfKeys: 1 })
      return scripts[name]!(key, ...args)
    },
  }
}

const within = <T>(msMax: number, promise: Promise<T>) =>
  withTimeLimit(promise, msMax, () => {
    throw new Error(`no reply within ${msMax} ms`)
  })
