import { describe, expect, test } from 'bun:test'
import { parseTime } from '../../../../src/contracts/shared/time.ts'

const read = (value: unknown) => {
  const ms = parseTime(value)
  return ms === undefined ? undefined : new Date(ms).toISOString()
}

describe('reads 2014-12-16 06:20:00 UTC from', () => {
  test.each([
    // Databases: BigQuery, Postgres, Snowflake, Oracle, SQL Server.
    ...['2014-12-16 06:20:00 UTC', '2014-12-16 06:20:00.000000 UTC', '2014-12-16 06:20:00+00'],
    ...['2014-12-16 06:20:00.000 +0000', '16-DEC-2014 06:20:00 AM', 'Dec 16 2014  6:20AM'],
    ...['2014-12-16T06:20:00 UTC', '2014-12-15 22:20:00 America/Los_Angeles'],
    // Languages: Ruby, Go, Java, JavaScript, Python, C.
    ...[
      '2014-12-16 14:20:00 +0800',
      '2014-12-16 06:20:00 +0000 UTC',
      '2014-12-16 14:20:00 +0800 CST',
    ],
    ...['2014-12-16T06:20:00Z[UTC]', '2014-12-16T14:20:00+08:00[Asia/Shanghai]'],
    ...['2014-12-16T14:20:00[Asia/Shanghai]', 'Tue Dec 16 06:20:00 UTC 2014'],
    ...[
      'Tue Dec 16 06:20:00 2014',
      'Tue Dec 16 14:20:00 +0800 2014',
      'Tue Dec 16 01:20:00 EST 2014',
    ],
    'Tue Dec 16 2014 14:20:00 GMT+0800 (China Standard Time)',
    // Mail and HTTP.
    ...[
      'Tue, 16 Dec 2014 06:20:00 GMT',
      '16 Dec 2014 06:20:00 +0000',
      'Tuesday, 16-Dec-2014 06:20:00 GMT',
    ],
    // Spreadsheets and people.
    ...[
      '2014/12/16 06:20:00',
      '2014.12.16 06:20:00',
      '12/16/2014 06:20:00',
      '12/16/2014, 6:20:00 AM',
    ],
    ...[
      '2014-12-16 06:20:00 AM',
      '2014-12-16 6:20',
      'Dec 16, 2014 6:20:00 AM',
      'Dec. 16, 2014 6:20 a.m.',
    ],
    ...[
      'December 16, 2014 06:20',
      'Sept 16, 2014 06:20'.replace('Sept', 'DEC'),
      '16 december 2014 6:20 am',
    ],
    ...['20141216T062000Z', '20141216T062000', '20141216t0620Z', '20141216T142000+0800'],
    // Zone names.
    ...['2014-12-16 06:20:00 GMT', '2014-12-15 22:20:00 PST', '2014-12-15 23:20:00 pdt'],
    ...['2014-12-16 07:20:00 CET', '2014-12-16 15:20:00 JST', '2014-12-16 06:20:00 Z'],
    // Surrounding white space.
    ...[' 2014-12-16T06:20:00Z', '2014-12-16T06:20:00Z\n', '\t2014-12-16 06:20:00 '],
    // Epoch numbers, as JSON numbers, as text, and as numbers that a double cannot hold.
    ...[1418710800, 1418710800000, 1418710800000000, 1418710800000000000],
    ...['1418710800', '1418710800000', '1418710800000000', '1418710800000000000'],
    (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON('1418710800000000001'),
  ])('%p', (value) => {
    expect(read(value)).toBe('2014-12-16T06:20:00.000Z')
  })
})

test.each([
  ['noon', '12/16/2014 12:00 PM', '2014-12-16T12:00:00.000Z'],
  ['midnight', '12/16/2014 12:00 AM', '2014-12-16T00:00:00.000Z'],
  ['a fraction', 'Dec 16, 2014 6:20:00.25 PM', '2014-12-16T18:20:00.250Z'],
  ['a fraction of seconds since 1970', '1418710800.5', '2014-12-16T06:20:00.500Z'],
  ['a month name of nine letters', 'September 1, 2014', '2014-09-01T00:00:00.000Z'],
  ['a short name of four letters', 'Sept 1st, 2014', '2014-09-01T00:00:00.000Z'],
  ['summer time of a region', '2014-07-01 06:20:00 Europe/Berlin', '2014-07-01T04:20:00.000Z'],
  ['winter time of a region', '2014-01-01 06:20:00 Europe/Berlin', '2014-01-01T05:20:00.000Z'],
  [
    'an offset before the bracketed zone',
    '2014-07-01T06:20:00+01:00[Europe/Berlin]',
    '2014-07-01T05:20:00.000Z',
  ],
])('reads %s', (_, text, expected) => {
  expect(read(text)).toBe(expected)
})

describe('does not guess', () => {
  test.each([
    ['a day before the month, with dots', '16.12.2014 06:20:00'],
    ['a day before the month, with slashes', '16/12/2014 06:20:00'],
    ['a week date', '2014-W51-2'],
    ['an ordinal date', '2014-350'],
    ['words', 'yesterday at noon'],
    ['a zone name with several meanings', '2014-12-16 06:20:00 IST'],
    ['an unknown zone name', '2014-12-16 06:20:00 QQQ'],
    ['an unknown region', '2014-12-16 06:20:00 Mars/Olympus'],
    ['an unknown month name', 'Dez 16, 2014'],
    ['hour 13 with PM', '12/16/2014 13:00 PM'],
    ['other digits than ASCII', '٢٠١٤-١٢-١٦T٠٦:٢٠:٠٠.٠٠٠Z'],
    ['a day that does not exist', 'Feb 30, 2014'],
    ['month 13', '13/13/2014'],
    ['a year below 100', '0026/12/16'],
    ['an offset of a day and more', '2014-12-16 06:20:00 +24:00'],
    ['a name of an object property as zone', '2014-12-16 06:20:00 constructor'],
    ['text behind the zone', '2014-12-16 06:20:00 UTC or so'],
    ['a number beyond nanoseconds', '141871080000000000000'],
  ])('%s', (_, text) => {
    expect(read(text)).toBeUndefined()
  })
})
