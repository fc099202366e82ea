/** `run.<type>` with an id that is in use: what is answered does not depend on whether the log or its acknowledgement is first. */
import { describe, expect, test } from 'vitest'
import type { Bus, Log } from '../../../src/nats/bus.ts'
import { type RunOptions, runTask } from '../../../src/runtime/scheduler/run-request.ts'
import { Teller } from '../../../src/runtime/scheduler/teller.ts'
import { TestLog } from '../../actors/ledger/test-log.ts'

const text = new TextEncoder()

/** A scheduler that has folded the log as far as the test lets it. */
function open() {
  const log = new TestLog()
  log.lead()
  const bus = { publish: () => {} } as unknown as Bus
  const teller = new Teller(bus, log.subjects)
  const folded = Promise.withResolvers<void>()
  let held: (() => void) | undefined
  let trimmed = false
  const fold = (subject: string, data: Uint8Array, headers: Record<string, string>) => {
    log.append(subject, data, headers)
    teller.tell(log.takeChanges())
    folded.resolve()
  }
  const service = { ledger: log.ledger, teller, nowMs: () => log.nowMs }
  const run = (n: number, isLogFirst: boolean) => {
    // Told before.
    log.takeChanges()
    const append: Log['append'] = async (subject, data, options) => {
      const sequence = log.messages.length + 1
      held = () => fold(subject, data, { ...options?.headers })
      if (isLogFirst) held()
      return { outcome: 'stored', sequence, duplicate: false }
    }
    const options = {
      bus,
      subjects: log.subjects,
      partition: 0,
      reader: { reached: () => folded.promise },
      log: { append, get: async (sequence: number) => (trimmed ? undefined : log.messages[sequence - 1]) } as Log,
    } satisfies RunOptions
    const message = {
      subject: '',
      reply: undefined,
      data: text.encode(JSON.stringify({ n })),
      headers: new Map([['troupe-id', 'one']]),
    }
    return runTask(service, options, 'work', message)
  }
  const node = log.join('a')
  log.submit({ 'troupe-id': 'one' }, 'work', '{"n":1}')
  node.accept('one')
  const trim = () => {
    trimmed = true
  }
  return { log, node, run, trim, foldHeld: () => held?.() }
}

/** All that a promise can do before the next message arrives. */
const aTurn = () => new Promise((resolve) => setImmediate(resolve))

for (const order of ['the acknowledgement', 'the log'] as const) {
  describe(`when ${order} is first`, () => {
    const isLogFirst = order === 'the log'

    test('another input for the id of a task that has failed is a conflict, not the failure of the other', async () => {
      const { node, run, foldHeld } = open()
      node.fail('one', 1, false)
      const answer = run(2, isLogFirst)
      const conflict = expect(answer).rejects.toMatchObject({ code: 'TROUPE_ID_CONFLICT' })
      await aTurn()
      if (!isLogFirst) foldHeld()
      await conflict
    })

    test('another input for the id of a task that runs is a conflict, whatever comes of the other', async () => {
      const { log, node, run, foldHeld } = open()
      const answer = run(2, isLogFirst)
      const conflict = expect(answer).rejects.toMatchObject({ code: 'TROUPE_ID_CONFLICT' })
      await aTurn()
      if (!isLogFirst) foldHeld()
      await aTurn()
      node.complete('one')
      log.takeChanges()
      await conflict
    })

    test('the same input is answered with what the task came to', async () => {
      const { node, run, foldHeld } = open()
      node.complete('one')
      const answer = run(1, isLogFirst)
      await aTurn()
      if (!isLogFirst) foldHeld()
      expect(await answer).toMatchObject({ id: 'one', status: 'completed' })
    })

    test('the same input is answered also when the log holds the result no more, and says so', async () => {
      const { node, run, trim, foldHeld } = open()
      node.complete('one')
      trim()
      const answer = run(1, isLogFirst)
      await aTurn()
      if (!isLogFirst) foldHeld()
      const error = expect.objectContaining({ code: 'TROUPE_RESULT_GONE' })
      expect(await answer).toEqual({ id: 'one', status: 'completed', error })
    })
  })
}
