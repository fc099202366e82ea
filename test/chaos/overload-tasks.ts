/** What an overloaded installation runs: tasks that take a moment, and poison among them. */
import { setTimeout as delay } from 'node:timers/promises'
import { task } from '../../src/client/index.ts'

export const moment = task('moment', async ({ ms }: { ms: number }) => delay(ms, true))

/** Fails each time that it is tried. */
export const poison = task(
  'poison',
  async () => {
    throw new Error('never')
  },
  { retry: { attempts: 5, backoff: '100ms' } },
)

/** Does not end by itself. */
export const tarpit = task('tarpit', async (_: unknown, ctx) => delay(600_000, true, { signal: ctx.signal }), {
  timeout: '200ms',
  retry: { attempts: 3, backoff: '100ms' },
})
