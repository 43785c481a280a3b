import { expect, test } from 'bun:test'
import { toPlacedFaults } from '../../../src/projects/fault-lines.ts'
import { type ProjectsFileError, parseProjectsFile } from '../../../src/projects/file.ts'

function placedFaultsOf(text: string) {
  try {
    parseProjectsFile(text, 'projects.toml')
  } catch (error) {
    return toPlacedFaults((error as ProjectsFileError).faults, text)
  }
  throw new Error('the file has no fault')
}

test.each([
  [
    'a key of the second project',
    '[[projects]]\nid = "a"\n\n[[projects]]\nid = "b"\ntokens = 5\n',
    6,
  ],
  ['a key that is missing', '[[projects]]\nid = "a"\n\n# text\n[[projects]]\ntokens = []\n', 5],
  ['an unknown setting', '[[projects]]\nid = "a"\ncolour = "red"\n', 1],
  ['the syntax', '[[projects]]\nid = "a"\ntokens = [\n', 3],
  [
    'a client',
    '[[projects]]\nid = "a"\n[[clients]]\nid = "c"\nproject = "none"\npublic = true\n',
    5,
  ],
])('finds the line of %s', (_, text, line) => {
  const [fault] = placedFaultsOf(text)
  expect(fault!.message.length).toBeGreaterThan(5)
  // The parser names the line where it noticed the end of the text.
  expect(Math.abs(fault!.line! - line)).toBeLessThanOrEqual(1)
})

test('a fault without a place has no line', () => {
  expect(toPlacedFaults(['the file has no project, client or user'], '')).toEqual([
    { line: null, place: 'the', message: 'the file has no project, client or user' },
  ])
})
