/** Who is told what became of a task: each of those who wait, once, at the place where they wait. */
import { describe, expect, test } from 'vitest'
import type { Bus } from '../../../src/nats/bus.ts'
import { unpackTell } from '../../../src/protocol/blocks.ts'
import { kind, type Submission } from '../../../src/protocol/entries.ts'
import { Teller } from '../../../src/runtime/scheduler/teller.ts'
import { TestLog } from '../../actors/ledger/test-log.ts'

function open() {
  const log = new TestLog()
  log.lead()
  const node = log.join('a')
  const told: [client: string, reference: string, id: string, status: string][] = []
  const replies: [subject: string, answer: unknown][] = []
  const prefix = log.subjects.tell('')
  const bus = {
    publish: (subject: string, data: Uint8Array) => {
      if (!subject.startsWith(prefix)) return void replies.push([subject, JSON.parse(new TextDecoder().decode(data))])
      const tell = unpackTell(data)
      if (!tell.ok) throw new Error(tell.reason)
      for (const [reference, id, status] of tell.message)
        told.push([subject.slice(prefix.length), reference, id, status])
    },
  } as unknown as Bus
  const teller = new Teller(bus, log.subjects)
  const tell = () => teller.tell(log.takeChanges())
  const submit = (client: string, ...submissions: Submission[]) => `0-${log.submitBlock(client, submissions)}-0`
  return { log, node, teller, tell, submit, told, replies }
}

const one = (n: number): Submission => ['work', `{"n":${n}}`, { id: 'one' }]

describe('an outcome', () => {
  test('is told to its client at once, by the place of the submission', () => {
    const { log, node, tell, submit, told } = open()
    const reference = submit('c1', ['work', null])
    node.accept(reference)
    node.complete(reference)
    tell()
    expect(told).toEqual([['c1', reference, reference, 'completed']])
    log.submit()
    tell()
    expect(told).toHaveLength(1)
  })

  test('is told to everybody who submitted the same, each by their own place', () => {
    const { node, tell, submit, told } = open()
    const [first, second, third] = [submit('c1', one(1)), submit('c2', one(1)), submit('c1', one(1))]
    tell()
    node.accept('one')
    node.fail('one', 1, false)
    tell()
    expect(told).toEqual([
      ['c1', first, 'one', 'failed'],
      ['c1', third, 'one', 'failed'],
      ['c2', second, 'one', 'failed'],
    ])
  })

  test('is told to a reply subject, and to whoever waits here, once', () => {
    const { log, node, teller, tell, replies } = open()
    const id = log.submit({ 'troupe-reply-to': 'answers.1' })
    const answers: unknown[] = []
    for (let waiting = 0; waiting < 3; waiting++) teller.wait(id, (task, answer) => answers.push([task?.id, answer]))
    node.accept(id)
    node.complete(id)
    tell()
    log.submit()
    tell()
    expect(replies).toEqual([['answers.1', { id, status: 'completed', result: 1 }]])
    expect(answers).toEqual(Array(3).fill([id, { id, status: 'completed', result: 1 }]))
    expect(teller.awaited).toBe(false)
  })

  test('that is a cancellation or an expiry is told as such', () => {
    const { log, tell, submit, told } = open()
    const [gone, late] = [submit('c1', ['work', null]), submit('c1', ['work', null, { deadlineAtMs: log.nowMs + 5 }])]
    log.advance(10)
    log.decide([kind.cancelled, gone, ''], [kind.expired, late])
    tell()
    expect(told.map(([, , id, status]) => [id, status])).toEqual([
      [gone, 'cancelled'],
      [late, 'expired'],
    ])
  })
})

describe('a refusal', () => {
  test('is told to the submitter whose id belongs to another input, and to nobody else', () => {
    const { node, teller, tell, submit, told } = open()
    const first = submit('c1', one(1))
    const answers: unknown[] = []
    const second = submit('c2', one(2))
    teller.wait(second, (task, answer) => answers.push([task, answer]))
    tell()
    expect(told).toEqual([['c2', second, 'one', 'refused']])
    expect(answers).toEqual([
      [undefined, { id: 'one', status: 'refused', error: expect.objectContaining({ code: 'TROUPE_ID_CONFLICT' }) }],
    ])
    node.accept('one')
    node.complete('one')
    tell()
    expect(told.slice(1)).toEqual([['c1', first, 'one', 'completed']])
    expect(answers).toHaveLength(1)
  })
})

test('a scheduler that leads no longer tells nobody what it has waited for', () => {
  const { node, teller, tell, submit, told } = open()
  const first = submit('c1', one(1))
  submit('c2', one(1))
  tell()
  teller.clear()
  node.accept('one')
  node.complete('one')
  tell()
  expect(told).toEqual([['c1', first, 'one', 'completed']])
})
