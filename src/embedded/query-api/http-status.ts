/**
 * The HTTP status that ClickHouse's server gives an exception (its exceptionCodeToHTTPStatus). One differs: too many
 * queries is 503 here, where theirs is 500, so that clients know that they may try again.
 */
export function toHttpStatus(code: number): number {
  return statusOf.get(code) ?? 500
}

const statusOf = new Map<number, number>([
  [194, 401], // a password is required
  // Unknown user, wrong password, failed login, role or access denied.
  ...toEntries(403, [192, 193, 497, 512, 516]),
  // What cannot be parsed or compiled, wrong types, wrong columns, wrong syntax.
  ...toEntries(400, [6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72]),
  ...toEntries(400, [117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676]),
  // Unknown function, identifier, type, storage, table, database, setting, format, role and so on.
  ...toEntries(404, [46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511]),
  [159, 408],
  [381, 411],
  [229, 413],
  [779, 415],
  [48, 501],
  // A file that cannot be opened, a socket's timeout, a task that cannot be scheduled; too many queries.
  ...toEntries(503, [76, 209, 439, 202]),
])

function toEntries(status: number, codes: readonly number[]): [number, number][] {
  return codes.map((code) => [code, status])
}
