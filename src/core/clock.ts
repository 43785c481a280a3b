/** Milliseconds since 1970. Handed to every part that asks for the time, so that tests can drive it. */
export type Clock = () => number

export const hourMs = 60 * 60 * 1000
export const dayMs = 24 * hourMs
