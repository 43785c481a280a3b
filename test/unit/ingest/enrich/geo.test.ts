import { expect, test } from 'bun:test'
import {
  copyFileSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createEnrichCounts } from '../../../../src/ingest/enrich/counts.ts'
import { createGeo } from '../../../../src/ingest/enrich/geo.ts'
import { type GeoFile, openGeoFile } from '../../../../src/ingest/enrich/geo-file.ts'
import { temporaryFolder } from '../../../support/folder.ts'
import { until } from '../../../support/until.ts'
import {
  cityFile,
  createTestEnricher,
  geoFile,
  readGeo,
  toCaptureEvent,
  toLinkEvent,
  unlimited,
} from './support.ts'

const boxford = {
  $geoip_city_name: 'Boxford',
  $geoip_country_name: 'United Kingdom',
  $geoip_country_code: 'GB',
  $geoip_subdivision_1_name: 'England',
  $geoip_subdivision_1_code: 'ENG',
  $geoip_time_zone: 'Europe/London',
}

test.each([
  ['2.125.160.216', 'GB', 'Boxford', 'Europe/London'],
  ['::ffff:2.125.160.216', 'GB', 'Boxford', 'Europe/London'],
  ['89.160.20.112', 'SE', 'Linköping', 'Europe/Stockholm'],
  ['175.16.199.1', 'CN', 'Changchun', 'Asia/Harbin'],
  ['216.160.83.56', 'US', 'Milton', 'America/Los_Angeles'],
  ['2001:218::1', 'JP', '', 'Asia/Tokyo'],
  ['67.43.156.0', 'BT', '', 'Asia/Thimphu'],
])('finds %s', (ip, country, city, zone) => {
  const { fill } = createTestEnricher(['geo'])
  expect(fill(toLinkEvent({ ip_address: ip }))).toMatchObject({ country, city })
  const filled = fill(toCaptureEvent({}, { ip }))
  expect(filled.$geoip_country_code).toBe(country)
  expect(filled.$geoip_city_name ?? '').toBe(city)
  expect(filled.$geoip_time_zone).toBe(zone)
})

test('uses the names of PostHog', () => {
  const { fill } = createTestEnricher(['geo'])
  expect(fill(toCaptureEvent({}, { ip: '2.125.160.216' }))).toEqual(boxford)
})

test.each([
  '10.0.0.1',
  '127.0.0.1',
  '::1',
  'fe80::1%eth0',
  '8.8.8.8',
  '',
  'home',
  '1.2.3',
  '2.125.160.216, 10.0.0.1',
  '\u0000',
  '9'.repeat(65_536),
])('has no place for %p', (ip) => {
  const { fill, counts } = createTestEnricher(['geo'])
  expect(fill(toCaptureEvent({ a: 1 }, { ip }))).toEqual({ a: 1 })
  expect(fill(toLinkEvent({ ip_address: ip }))).toMatchObject({ country: '', city: '' })
  expect(counts.geo.failures).toBe(0)
})

test('keeps what the client sent, and looks nothing up if it says $geoip_disable', () => {
  const { fill } = createTestEnricher(['geo'])
  const ip = '2.125.160.216'
  expect(fill(toCaptureEvent({ $geoip_city_name: 'Ours' }, { ip }))).toEqual({
    ...boxford,
    $geoip_city_name: 'Ours',
  })
  expect(fill(toLinkEvent({ ip_address: ip, country: 'UK' }))).toMatchObject({
    ...{ country: 'UK', city: 'Boxford' },
  })
  const off = { $geoip_disable: true }
  expect(fill(toCaptureEvent(off, { ip }))).toEqual(off)
})

test('a file of countries fills the country only', () => {
  const geo = createGeo(createEnrichCounts().geo, unlimited)
  geo.use(readGeo(geoFile('GeoLite2-Country-Test.mmdb')))
  expect(geo.of('2.125.160.216')).toMatchObject({ country: 'GB', city: '' })
})

test('a damaged record fails its look-ups only, and is counted', () => {
  const counts = createEnrichCounts()
  const geo = createGeo(counts.geo, unlimited)
  const data = readGeo(cityFile)
  // The records lie between the tree and the description of the file.
  const end = readFileSync(cityFile).lastIndexOf('MaxMind.com') - 3
  new Uint8Array(data.bytes).fill(0xff, 10_845, end)
  geo.use(data)
  for (let last = 0; last < 256; last += 1) geo.of(`81.2.69.${last}`)
  expect(geo.of('2.125.160.216')).toMatchObject({ country: '', city: '' })
  expect(counts.geo.failures).toBeGreaterThan(0)
})

test('forgets its results when the data changes', () => {
  const geo = createGeo(createEnrichCounts().geo, unlimited)
  geo.use(readGeo(geoFile('GeoLite2-Country-Test.mmdb'), 1))
  expect(geo.of('2.125.160.216').city).toBe('')
  geo.use(readGeo(cityFile, 2))
  expect(geo.of('2.125.160.216').city).toBe('Boxford')
})

function createTestLog() {
  const lines: string[] = []
  const add = (_: object, text: string) => void lines.push(text)
  return { lines, log: { info: add, error: add } }
}

async function withFile(
  run: (path: string, opened: ReturnType<typeof createTestLog>) => Promise<void>,
) {
  using folder = temporaryFolder()
  await run(join(folder.path, 'geo.mmdb'), createTestLog())
}

async function open(path: string, { log }: ReturnType<typeof createTestLog>): Promise<GeoFile> {
  return await openGeoFile({ path, log, checkMs: 5 })
}

test('reads the file at the start, and again after it was replaced', async () => {
  await withFile(async (path, logged) => {
    copyFileSync(geoFile('GeoLite2-Country-Test.mmdb'), path)
    const file = await open(path, logged)
    try {
      expect(file.current()?.number).toBe(1)
      expect(file.builtSeconds()).toBeGreaterThan(1.5e9)
      copyFileSync(cityFile, `${path}.new`)
      renameSync(`${path}.new`, path)
      await until(async () => file.current()?.number === 2, { what: 'the new file' })
      expect(file.current()?.bytes.byteLength).toBe(readFileSync(cityFile).length)
    } finally {
      file.close()
    }
  })
})

test('keeps the content before if the file is cut off, removed or something else, and says so', async () => {
  await withFile(async (path, logged) => {
    copyFileSync(cityFile, path)
    const file = await open(path, logged)
    const seesLine = (text: string) => async () =>
      logged.lines.some((line) => line.startsWith(text))
    try {
      truncateSync(path, 4000)
      await until(seesLine('GEOIP_FILE is damaged; the previous'), { what: 'the cut file' })
      writeFileSync(path, 'not a database')
      await until(
        async () => logged.lines.filter((line) => line.includes('damaged')).length === 2,
        {
          what: 'the text file',
        },
      )
      rmSync(path)
      await until(seesLine('cannot read GEOIP_FILE; the previous'), { what: 'the absence' })
      expect(file.current()?.number).toBe(1)
      copyFileSync(cityFile, path)
      await until(async () => file.current()?.number === 2, { what: 'the file that returned' })
    } finally {
      file.close()
    }
  })
})

test.each([
  ['missing', undefined, 'cannot read GEOIP_FILE; events get no country and city'],
  ['empty', '', 'GEOIP_FILE is damaged; events get no country and city'],
])('a %s file at the start is logged, and used once it is there', async (_, content, line) => {
  await withFile(async (path, logged) => {
    if (content !== undefined) writeFileSync(path, content)
    const file = await open(path, logged)
    try {
      expect(logged.lines).toEqual([expect.stringContaining(line)])
      expect(file.current()).toBeUndefined()
      copyFileSync(cityFile, path)
      await until(async () => file.current() !== undefined, { what: 'the file' })
    } finally {
      file.close()
    }
  })
})

test('a file whose every record is damaged is not used', async () => {
  const logged = createTestLog()
  const file = await open(geoFile('libmaxminddb-separator-record-max-left.mmdb'), logged)
  file.close()
  expect(file.current()).toBeUndefined()
  expect(logged.lines[0]).toStartWith('GEOIP_FILE is damaged')
})
