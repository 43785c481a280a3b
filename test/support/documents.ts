import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Glob } from 'bun'

export const root = join(import.meta.dir, '../..')

/** A file of the repository, by its path from the root. */
export const readDocument = (path: string) => readFileSync(join(root, path), 'utf8')

export const listFiles = (pattern: string) => [...new Glob(pattern).scanSync(root)].sort()

/** All Markdown files that are written for readers. */
export const documents = ['*.md', 'docs/**/*.md', 'bench/**/*.md', 'test/**/*.md'].flatMap(
  listFiles,
)

/** The texts of the code blocks of a language. */
export const blocksOf = (path: string, language: string) =>
  [...readDocument(path).matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, text = '']) => text,
  )

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsOf(path: string): Set<string> {
  const seen = new Map<string, number>()
  const text = readDocument(path).replace(/^```.*?^```$/gms, '')
  const anchors = [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').trim()
    const anchor = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-')
    const count = seen.get(anchor) ?? 0
    seen.set(anchor, count + 1)
    return count === 0 ? anchor : `${anchor}-${count}`
  })
  return new Set(anchors)
}
