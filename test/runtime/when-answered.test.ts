import pino from 'pino'
import { expect, test } from 'vitest'
import { noAnswer } from '../../src/nats/message.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { whenAnswered } from '../../src/runtime/when-answered.ts'

const logger = pino({ level: 'silent' })

/** Fails with these, one after the other, and then is done. */
function failing(...errors: Error[]) {
  const work = () => {
    const error = errors.shift()
    return error === undefined ? Promise.resolve('done') : Promise.reject(error)
  }
  return { work, left: errors }
}

test('what is not answered is asked again', async () => {
  const { work } = failing(noAnswer('a', 'none in 5000 ms', false), noAnswer('a', 'none in 5000 ms', false))
  expect(await whenAnswered(work, logger)).toBe('done')
})

test.each([
  noAnswer('a', 'nobody listens', true),
  new TroupeError('TROUPE_LOG_MISMATCH', 'another log'),
  new Error('something else'),
])('%s ends it at once', async (error) => {
  const { work, left } = failing(error, new Error('asked again'))
  await expect(whenAnswered(work, logger)).rejects.toBe(error)
  expect(left).toHaveLength(1)
})
