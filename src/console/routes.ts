import type { QueryParameters } from './exchange.ts'

/** Returns a reply, or the document of a JSON reply. Throws ConsoleError. */
export type ConsoleHandler = (asked: {
  request: Request
  parameters: QueryParameters
}) => Promise<Response | object>

/** By method and path below `/console/api/`, such as `GET overview`. */
export type ConsoleRoutes = Record<string, ConsoleHandler>
