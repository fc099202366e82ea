/** What an async function has asked for, kept over turns and checkpoints; and for what it is woken. */
import { expect, test } from 'vitest'
import { packValue } from '../../../src/protocol/payload.ts'
import { type Call, CallJournal } from '../../../src/runtime/tasks/call-journal.ts'
import { Waiting } from '../../../src/runtime/tasks/function-waiting.ts'

/** Makes a call, as the function would; `delivered`: its outcome is given at once. */
function made(journal: CallJournal, key: string, delivered = true): Call {
  const call = journal.begin(key)
  journal.open(call)
  if (!delivered) return call
  journal.end(call, 'value', packValue(key), 1)
  call.ready = true
  expect(journal.deliver()).toBe(call)
  return call
}

test('a step that was open at a checkpoint and fails after it is tried again by the next attempt', () => {
  const journal = new CallJournal()
  journal.preamble = false
  journal.startEra(null)
  made(journal, 'step:a')
  made(journal, 'step:b')
  const open = made(journal, 'step:c', false)
  journal.startEra(packValue('here'))
  journal.end(open, 'error', packValue({ code: 'TROUPE_TASK_FAILED', message: 'boom' }), 1)
  const packed = journal.pack(undefined)
  expect([...CallJournal.unpack(packed, 1).calls.keys()]).toEqual(['step:c'])
  expect([...CallJournal.unpack(packed, 2).calls.keys()]).toEqual([])
})

test('an open wait keeps the time at which it is over', () => {
  const journal = new CallJournal()
  const wait = made(journal, 'sleep#p.1', false)
  wait.dueAtMs = 12_345
  expect(CallJournal.unpack(journal.pack(undefined), 1).calls.get('sleep#p.1')).toMatchObject({
    dueAtMs: 12_345,
    resumed: true,
    outcome: 'open',
  })
})

test.each([
  [[5, 3, 9], 3],
  [[3, 5, 9], 3],
  [[9, 5, 3], 3],
  [[0, 7], 7],
  [[0], 0],
])('of waits until %j a function is woken at %i', (dues, wakeAtMs) => {
  const waiting = new Waiting()
  for (const dueAtMs of dues) waiting.add({ call: { dueAtMs } as Call })
  expect(waiting.parkedFor().wakeAtMs).toBe(wakeAtMs)
})
