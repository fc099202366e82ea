import { task } from 'troupe'

export const greet = task(
  'greet',
  async (input: { name: string }, ctx) => {
    const name = await ctx.step('look up', () => input.name.toUpperCase()) // runs once; its result is kept
    await ctx.sleep('2s') // kill the node now, and the task goes on elsewhere, after the step
    return `Hello ${name}`
  },
  { retry: { attempts: 5, backoff: '1s' } },
)
