/** Calls `probe` until it returns a truthy value and resolves with that. Rejects and names `what` after `timeoutMs`. */
export async function until<T>(
  probe: () => T | Promise<T>,
  { timeoutMs = 25_000, pauseMs = 10, what = 'the condition' } = {},
): Promise<NonNullable<T>> {
  const deadlineMs = performance.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value) return value as NonNullable<T>
    if (performance.now() > deadlineMs)
      throw new Error(`${what} did not come within ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}
