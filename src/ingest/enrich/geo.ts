import { isIP } from 'node:net'
import { type CityResponse, Reader } from 'mmdb-lib'
import type { LinkRow, SentProperties } from '../../core/event.ts'
import type { GeoCounts } from './counts.ts'
import { type Facts, noFacts, toFacts } from './facts.ts'
import { createTextCache, type MissBudget } from './text-cache.ts'

/**
 * The bytes of GEOIP_FILE. They are shared memory, because the body thread looks up in them, too.
 * A later content has a higher number.
 */
export type GeoData = { number: number; bytes: SharedArrayBuffer }

/** The part `geo`: where an address is. */
export type Geo = {
  /** Uses the data from now on. No-op for data of the same number. */
  use(data: GeoData | undefined): void
  of(address: string): Place
}

/** A place as properties and as columns. Unknown values are empty. */
export type Place = { facts: Facts; country: string; city: string }

const nowhere: Place = { facts: noFacts, country: '', city: '' }

export function createGeo(counts: GeoCounts, budget: MissBudget): Geo {
  let number = 0
  let reader: GeoReader | undefined

  function find(address: string): Place {
    if (reader === undefined || isIP(address) === 0) return nowhere
    try {
      return toPlace(reader.get(toPlain(address)))
    } catch {
      counts.failures += 1
      return nowhere
    }
  }

  const addresses = createTextCache({
    compute: find,
    unknown: nowhere,
    entriesMax: 8192,
    charsMax: addressCharsMax,
    counts,
    budget,
  })
  return {
    use(data) {
      if (data === undefined || data.number === number) return
      reader = openGeo(data.bytes)
      number = data.number
      addresses.clear()
    },
    of: (address) => (reader === undefined || address === '' ? nowhere : addresses.of(address)),
  }
}

/** An IPv6 address with a zone or with the dots of IPv4 has at most so many. */
const addressCharsMax = 64

type GeoReader = Pick<Reader<CityResponse>, 'get' | 'metadata'>

/** Throws if the bytes are no file of this format, or are cut off. */
export function openGeo(bytes: SharedArrayBuffer): GeoReader {
  const reader = new Reader<CityResponse>(Buffer.from(bytes), { cache: createPartCache() })
  // Reads the tree and a record: a file that is cut off fails here and not at each event.
  reader.get('8.8.8.8')
  return reader
}

/**
 * Records share their parts, such as names of countries, by pointers. Measured: a look-up takes a
 * third of the time with them. The keys are places in the file, which no client chooses.
 */
function createPartCache() {
  let parts = new Map<string | number, unknown>()
  return {
    get: (place: string | number) => parts.get(place),
    set(place: string | number, part: unknown) {
      if (parts.size >= partsMax) parts = new Map()
      parts.set(place, part)
    },
  }
}

const partsMax = 4096

/** IPv4 in IPv6 notation, as sockets that accept both have it. */
function toPlain(address: string): string {
  return /^::ffff:[\d.]+$/i.test(address) ? address.slice(address.lastIndexOf(':') + 1) : address
}

/** PostHog's names of the properties. A file of countries only has fewer of them. */
function toPlace(found: CityResponse | null): Place {
  if (found === null || typeof found !== 'object') return nowhere
  const { city, country, location, subdivisions } = found
  const [region] = subdivisions ?? []
  const cityName = toText(city?.names?.en)
  const countryCode = toText(country?.iso_code)
  const facts = toFacts({
    $geoip_city_name: cityName,
    $geoip_country_name: toText(country?.names?.en),
    $geoip_country_code: countryCode,
    $geoip_subdivision_1_name: toText(region?.names?.en),
    $geoip_subdivision_1_code: toText(region?.iso_code),
    $geoip_time_zone: toText(location?.time_zone),
  })
  return { facts, country: countryCode, city: cityName }
}

/** The bits of the properties that an event does not have, in the order of `facts`. Null counts as sent. */
export function toAbsentPlace(sent: SentProperties): number {
  return (
    (sent.$geoip_city_name === undefined ? 1 : 0) |
    (sent.$geoip_country_name === undefined ? 2 : 0) |
    (sent.$geoip_country_code === undefined ? 4 : 0) |
    (sent.$geoip_subdivision_1_name === undefined ? 8 : 0) |
    (sent.$geoip_subdivision_1_code === undefined ? 16 : 0) |
    (sent.$geoip_time_zone === undefined ? 32 : 0)
  )
}

/** Fills the columns that are empty. */
export function fillPlace({ country, city }: Place, row: LinkRow): void {
  if (row.country === '') row.country = country
  if (row.city === '') row.city = city
}

/** The file is the operator's choice, but its values go into rows, so their size is bounded. */
function toText(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, textCharsMax).toWellFormed() : ''
}

const textCharsMax = 100
