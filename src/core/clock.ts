/**
 * Returns milliseconds since 1970. Every part gets its clock as an argument, so that tests can
 * control time.
 */
export type Clock = () => number

export const hourMs = 60 * 60 * 1000
export const dayMs = 24 * hourMs
