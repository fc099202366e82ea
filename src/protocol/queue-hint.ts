/** What a leading scheduler tells clients of full queues, so that they refuse a submission instead of having it refused later. */

/** JSON on `full`: these types take nothing for `ttlMs`, unless something else is said before. `_all`: no type does. */
export interface QueueHint {
  readonly types: readonly string[]
  readonly ttlMs: number
}

export const queueHintTtlMs = 3_000
