import { expect, test } from 'bun:test'
import { createMethodTable } from '../../../src/http/method-table.ts'

const table = createMethodTable()
table.add('/e', ['GET', 'POST'])
table.add('/array/:token/config.js', ['GET'])
table.add('/static/*', ['GET'])

test.each([
  ['/e', ['GET', 'POST']],
  ['/e/more', []],
  ['/array/phc_t/config.js', ['GET']],
  ['/array/phc_t/configxjs', []],
  ['/array/a/b/config.js', []],
  ['/static/1.2.3/array.js', ['GET']],
  ['/statics', []],
])('%s takes %p', (path, methods) => {
  expect([...table.of(path)]).toEqual(methods)
})
