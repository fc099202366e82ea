/** Tasks for the command line's tests. */
import { z } from 'zod'
import { task } from '../../../src/client/index.ts'

export const square = task('cli-square', async (n: number) => n * n, { input: z.number() })
export const fail = task('cli-fail', async () => Promise.reject(new Error('boom')), { retry: { attempts: 1 } })
