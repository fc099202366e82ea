/** Members of gangs, for the tests on real processes. */
import { setTimeout as delay } from 'node:timers/promises'
import { task } from '../../src/client/index.ts'

export const member = task('member', async ({ ms = 50 }: { ms?: number }, ctx) => {
  await delay(ms, undefined, { signal: ctx.signal })
  return { pid: process.pid }
})
