import { logCommentPrefix, toLiteral } from './settings.ts'
import { isKeyword, type Token } from './tokens.ts'

/**
 * A statement's text in which system.processes and KILL QUERY know the ids that clients gave their queries. The engine
 * gives every query an id of its own making; the client's travels in its settings.
 */
export function withClientIds(text: string, tokens: readonly Token[]): string {
  const isKill = isKeyword(tokens[0], 'KILL')
  const edits = tokens.flatMap((token, index) => {
    if (isKill) return isName(token, 'query_id') ? [{ ...token, by: clientId }] : []
    return isProcesses(tokens, index) ? [toTableEdit(tokens, index)] : []
  })
  return edits.reduceRight(
    (edited, { start, end, by }) => edited.slice(0, start) + by + edited.slice(end),
    text,
  )
}

const comment = "Settings['log_comment']"
const prefix = toLiteral(logCommentPrefix)
const clientId =
  `if(startsWith(${comment}, ${prefix}), ` +
  `substring(splitByChar('\\n', ${comment})[1], ${logCommentPrefix.length + 1}), query_id)`
const table = `(SELECT * REPLACE(${clientId} AS query_id) FROM system.processes)`

const isName = (token: Token | undefined, name: string) =>
  (token?.kind === 'word' || token?.kind === 'quoted') && token.value === name

/** `system.processes` where a table stands, seen from its first word. */
function isProcesses(tokens: readonly Token[], index: number): boolean {
  return (
    isName(tokens[index], 'system') &&
    tokens[index + 1]?.value === '.' &&
    isName(tokens[index + 2], 'processes') &&
    ['FROM', 'JOIN', ','].includes(tokens[index - 1]?.value ?? '')
  )
}

function toTableEdit(tokens: readonly Token[], index: number) {
  const alias = isKeyword(tokens[index + 3], 'AS') ? '' : ' AS processes'
  return { start: tokens[index]!.start, end: tokens[index + 2]!.end, by: `${table}${alias}` }
}
