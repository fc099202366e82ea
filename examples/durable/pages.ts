import { task } from 'troupe'

export const page = task('page', async (url: string) => url.length)

export const site = task('site', async (urls: readonly string[], ctx) => {
  const sizes = await ctx.map(page, urls, { concurrency: 50 }) // results in the order of the inputs
  const report = await ctx.submit('mail', { total: sizes.reduce((a, b) => a + b, 0) })
  return { sizes, mail: await report.result() } // parked until the child has ended
})
