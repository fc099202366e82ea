import { task } from 'troupe'

interface Trip {
  readonly traveller: string
  readonly days: number
}

export const trip = task(
  'trip',
  async ({ traveller, days }: Trip, ctx) => {
    // Runs once; its result is in the log before the next line runs. Tried three times within an attempt.
    const flight = await ctx.step(
      'book flight',
      ({ idempotencyKey }) => `flight for ${traveller} (${idempotencyKey})`,
      {
        retry: { attempts: 3, backoff: '1s' },
        timeout: '30s',
      },
    )
    await ctx.sleep(`${days}d`) // parked: no slot, no memory, on no node
    const rating = await ctx.waitFor('RATED', { timeout: '14d' }) // undefined after two weeks
    return { flight, stars: rating?.stars ?? 'none' }
  },
  { retry: { attempts: 5, backoff: '10s' }, timeout: '5m' },
)
