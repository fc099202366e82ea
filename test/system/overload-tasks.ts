/** A task type that fails when it is told to, for the tests of overload. */
import { task } from '../../src/client/index.ts'

export const moody = task(
  'moody',
  async ({ fails = false }: { fails?: boolean }) => {
    if (fails) throw new Error('not today')
  },
  { retry: { attempts: 1 } },
)
