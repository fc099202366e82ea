/** What an operator lets run again is tried again: no outcome of the attempts before stands in its way. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import { task } from '../../src/client/task.ts'
import { TroupeProcess } from '../../src/runtime/process.ts'
import { freshNamespace, useServer } from '../harness/server.ts'

const server = useServer()

test('a step that failed while another one was stored is tried again', { timeout: 60_000 }, async () => {
  let isUp = false
  const ran = { call: 0, bill: 0 }
  const both = task(
    'both',
    async (_: unknown, ctx) => {
      const failing = ctx.step('call', async () => {
        ran.call++
        if (!isUp) throw new Error('the other side is down')
        return 'called'
      })
      const failed = failing.then(
        () => undefined,
        () => undefined,
      )
      const stored = ctx.step('bill', async () => {
        await failed
        return ++ran.bill
      })
      return [await stored, await failing]
    },
    { retry: { attempts: 1 } },
  )
  const namespace = freshNamespace()
  const troupeProcess = await TroupeProcess.start({
    servers: server.url,
    namespace,
    roles: ['node', 'scheduler', 'supervisor'],
    definitions: [both],
    logger: pino({ level: 'silent' }),
  })
  try {
    await using troupe = await connect({ servers: server.url, namespace })
    const handle = await troupe.submit(both, null)
    await expect(handle.result()).rejects.toThrow('the other side is down')
    await handle.retry()
    await expect(handle.result()).rejects.toThrow('the other side is down')
    expect(ran).toEqual({ call: 2, bill: 1 })
    isUp = true
    await handle.retry()
    expect(await handle.result()).toEqual([1, 'called'])
    expect(ran).toEqual({ call: 3, bill: 1 })
  } finally {
    await troupeProcess.stop()
  }
})
