import type { SdkOverrides } from '../../core/project-entries.ts'

/** What `/api/sdk/config` serves: the keys and types of the contract, section 4.1. Intervals in ms. */
export type SdkDocument = {
  telemetry: {
    enabled: boolean
    endpoint: string
    sampleRate: number
    batchSize: number
    flushInterval: number
  }
  performance: { enabled: boolean; sampleRate: number; webVitals: boolean }
  realtime: { enabled: boolean; url: string; heartbeatInterval: number }
  features: Record<string, boolean>
}

/** What an SDK does that is told nothing else, but for the addresses, which depend on the server. */
export const defaultOverrides = {
  telemetry: { enabled: true, sampleRate: 1, batchSize: 50, flushInterval: 5000 },
  performance: { enabled: true, sampleRate: 1, webVitals: true },
  realtime: { enabled: true, heartbeatInterval: 30_000 },
  features: {},
} as const satisfies SdkOverrides

/**
 * The document for one app: each layer changes what it names of those before it. Total: a value of another type
 * than the contract's, a rate outside 0..1 or a negative number is passed over.
 */
export function toDocument(
  addresses: { endpoint: string; url: string },
  layers: readonly (SdkOverrides | undefined)[],
): SdkDocument {
  const document: SdkDocument = {
    telemetry: { ...defaultOverrides.telemetry, endpoint: addresses.endpoint },
    performance: { ...defaultOverrides.performance },
    realtime: { ...defaultOverrides.realtime, url: addresses.url },
    features: {},
  }
  for (const layer of layers) {
    apply(document.telemetry, layer?.telemetry)
    apply(document.performance, layer?.performance)
    apply(document.realtime, layer?.realtime)
    addFeatures(document.features, layer?.features)
  }
  return inOrder(document)
}

type Section = Record<string, boolean | number | string>

function apply(section: Section, changes: Readonly<Record<string, unknown>> | undefined): void {
  for (const [name, value] of Object.entries(changes ?? {})) {
    if (!Object.hasOwn(section, name) || typeof value !== typeof section[name]) continue
    if (typeof value === 'number' && !isSound(name, value)) continue
    section[name] = value as boolean | number | string
  }
}

function isSound(name: string, value: number): boolean {
  return Number.isFinite(value) && value >= 0 && (name !== 'sampleRate' || value <= 1)
}

function addFeatures(features: Record<string, boolean>, changes: unknown): void {
  for (const [name, value] of Object.entries(changes ?? {})) {
    // Defined rather than assigned, so that a feature may have any name.
    if (typeof value === 'boolean')
      Object.defineProperty(features, name, { value, enumerable: true, configurable: true })
  }
}

/** The contract's order: equal documents then are equal text, and have one ETag. */
function inOrder({ telemetry, performance, realtime, features }: SdkDocument): SdkDocument {
  const { enabled, endpoint, sampleRate, batchSize, flushInterval } = telemetry
  return {
    telemetry: { enabled, endpoint, sampleRate, batchSize, flushInterval },
    performance,
    realtime: {
      enabled: realtime.enabled,
      url: realtime.url,
      heartbeatInterval: realtime.heartbeatInterval,
    },
    features,
  }
}
