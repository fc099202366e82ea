/** Rules 8, 9 and 13: what becomes of a submission, and that nothing anybody writes stops the fold. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { formatVersion, kind } from '../../../src/protocol/entries.ts'
import { checkState, describeState } from './describe.ts'
import { nodeProfile, TestLog, TestNode } from './test-log.ts'

describe('ids', () => {
  test('are the place in the log when nobody chose one', () => {
    const log = new TestLog()
    log.submit()
    log.submitBlock('c', [
      ['work', null],
      ['work', null],
    ])
    expect([...log.state.tasks.values()].map(({ id }) => id)).toEqual(['0-1', '0-2-0', '0-2-1'])
  })

  test('of that form are reserved: no one else can have one, not even a child', () => {
    const log = new TestLog()
    log.submit({ 'troupe-id': '0-5' })
    log.submitBlock('c', [['work', null, { id: '0-5' }]])
    const a = log.join('a')
    const parent = log.submit()
    a.accept(parent)
    a.child(parent, 1, '0-9')
    expect(log.state.tasks.has('0-5')).toBe(false)
    expect(log.state.tasks.has('0-9')).toBe(false)
    expect([log.task('0-1'), log.task('0-2-0')].map(({ status, rare }) => [status, rare?.lastError?.code])).toEqual([
      ['failed', 'TROUPE_RESERVED_ID'],
      ['failed', 'TROUPE_RESERVED_ID'],
    ])
  })

  test('submitted again with the same type and input are the task that is there, as long as it is kept (P2)', () => {
    const log = new TestLog()
    const a = log.join('a')
    log.submit({ 'troupe-id': 'x' }, 'work', '1')
    log.submit({ 'troupe-id': 'x' }, 'work', '1')
    a.accept('x')
    a.complete('x')
    log.takeChanges()
    log.submitBlock('c7', [['work', '1', { id: 'x', replyTo: 'me' }]])
    expect(log.takeChanges()).toEqual([
      {
        what: 'duplicate',
        task: log.task('x'),
        submitter: { reference: `0-${log.messages.length}-0`, client: 'c7', replyTo: 'me' },
      },
    ])
    expect(log.state.totals).toMatchObject({ submitted: 1, completed: 1 })
    expect(log.state.tasks.size).toBe(1)
  })

  test.each([
    ['input', 'work', '2'],
    ['type', 'other', '1'],
  ])('with another %s are a conflict, which says so and harms nobody', (_, type, body) => {
    const log = new TestLog()
    log.submit({ 'troupe-id': 'x' }, 'work', '1')
    log.takeChanges()
    log.submit({ 'troupe-id': 'x' }, type, body)
    const changes = log.takeChanges()
    expect(changes).toMatchObject([
      { what: 'refused', id: 'x', error: { code: 'TROUPE_ID_CONFLICT' }, submitter: { reference: '0-2' } },
      { what: 'set-aside' },
    ])
    expect(log.task('x')).toMatchObject({ type: 'work', status: 'waiting' })
    expect(log.state.totals.submitted).toBe(1)
  })
})

describe('a submission that cannot be one is a dead letter with its reason:', () => {
  const bad: [string, (log: TestLog) => void, string][] = [
    ['a priority that is none', (log) => log.submit({ 'troupe-priority': '99' }), 'TROUPE_INVALID_PRIORITY'],
    ['a body that is no JSON', (log) => log.submit({}, 'work', '{'), 'TROUPE_UNREADABLE'],
    ['a type that is no name', (log) => log.submit({}, 'a.b'), 'TROUPE_INVALID_NAME'],
    ['a block of noise', (log) => log.append('troupe.main.block.c', new Uint8Array([1, 2, 3])), 'TROUPE_UNREADABLE'],
    ['a block of another version', (log) => log.append('troupe.main.block.c', packBlock([9, []])), 'TROUPE_UNREADABLE'],
    [
      'options that are none',
      (log) => log.submitBlock('c', [['work', null, { delayMs: -1 }]]),
      'TROUPE_INVALID_OPTION',
    ],
    ['a type in a block', (log) => log.submitBlock('c', [['a b', null]]), 'TROUPE_INVALID_NAME'],
    ['an entry in a block', (log) => log.submitBlock('c', [7 as never]), 'TROUPE_UNREADABLE'],
  ]
  test.each(bad)('%s', (_, write, code) => {
    const log = new TestLog()
    write(log)
    const [task] = [...log.state.dead]
    expect(task).toMatchObject({ status: 'failed', rare: { unreadable: true, lastError: { code } } })
    checkState(log.state)
  })

  test('and its neighbours in the block are tasks', () => {
    const log = new TestLog()
    log.submitBlock('c', [['work', null], 7 as never, ['work', null, { priority: 77 }], ['work', null]])
    const statuses = [0, 1, 2, 3].map((i) => log.task(`0-1-${i}`).status)
    expect(statuses).toEqual(['waiting', 'failed', 'failed', 'waiting'])
  })
})

describe('set aside alone', () => {
  test('is an entry of a journal or of control that cannot be read', () => {
    const log = new TestLog()
    log.lead()
    const a = log.join('a')
    const id = log.submit()
    a.write([kind.accepted, id, -1] as never, [99] as never, 'x' as never, [kind.accepted, id, 1])
    log.decide([kind.cancelled, 5, ''] as never, [kind.revoked, id, 1, ''])
    expect(log.task(id).status).toBe('waiting')
    expect(log.state.setAsides.length).toBe(4)
  })

  test('is a whole message that cannot be read, and the writer lives on', () => {
    const log = new TestLog()
    const a = log.join('a')
    log.append(a.subject, new Uint8Array([0xc1]))
    log.append('troupe.main.control.0.s', new Uint8Array(0))
    log.append('troupe.main.nonsense', new Uint8Array(0))
    expect(log.state.setAsides.length).toBe(3)
    const id = log.submit()
    a.accept(id)
    expect(log.task(id).status).toBe('running')
  })

  test('is an entry that makes the fold throw, a defect of ours', () => {
    const log = new TestLog()
    const a = log.join('a')
    const [poison, fine] = [log.submit(), log.submit()]
    const { tasks } = log.state
    const get = tasks.get.bind(tasks)
    tasks.get = (id) => {
      if (id === poison) throw new Error('defect')
      return get(id)
    }
    a.write([kind.accepted, poison, 1], [kind.accepted, fine, 1])
    log.lead()
    log.decide([kind.cancelled, poison, ''], [kind.revoked, fine, 1, ''])
    expect(log.task(fine).turn).toBe(1)
    expect(log.task(fine).status).toBe('waiting')
    expect([...log.state.setAsides].map(({ reason }) => reason)).toEqual([
      { code: 'TROUPE_INTERNAL', message: 'Error: defect' },
      { code: 'TROUPE_INTERNAL', message: 'Error: defect' },
    ])
  })

  test('are the newest thousand', () => {
    const log = new TestLog()
    for (let i = 0; i < 1_010; i++) log.append('troupe.main.nonsense', new Uint8Array(0))
    expect(log.state.setAsides.length).toBe(1_000)
    expect(log.state.setAsides.peek()?.sequence).toBe(11)
    expect(log.state.totals.setAside).toBe(1_010)
  })
})

test('no bytes on any subject make the fold throw, contradict itself, or depend on who folds', () => {
  const subjects = [
    'submit.work',
    'submit.a.b',
    'block.c',
    'signal.x',
    'journal.0.a.a1',
    'journal.0.a',
    'control.0.s1',
    '',
    'x',
  ]
  const value = fc.oneof(
    fc.integer(),
    fc.constantFrom('x', '0-1', 'work', 'a', ''),
    fc.constant(null),
    fc.constant(nodeProfile('a')),
    fc.uint8Array({ maxLength: 4 }),
    fc.boolean(),
    fc.array(fc.constantFrom('x', 'y'), { maxLength: 3 }),
  )
  const entry = fc.tuple(
    fc.oneof(fc.constantFrom(...Object.values(kind)), fc.integer()),
    fc.array(value, { maxLength: 7 }),
  )
  const block = fc
    .tuple(fc.constantFrom(1, 1, 1, 2), fc.nat(20), fc.array(entry, { maxLength: 4 }))
    .map(([version, number, entries]) =>
      packBlock([version, number, entries.map(([first, rest]) => [first, ...rest])] as never),
    )
  const submissions = fc
    .array(fc.array(value, { maxLength: 3 }), { maxLength: 4 })
    .map((s) => packBlock([1, s] as never))
  const message = fc.tuple(fc.constantFrom(...subjects), fc.oneof(block, submissions, fc.uint8Array({ maxLength: 40 })))
  fc.assert(
    fc.property(fc.array(message, { maxLength: 40 }), (messages) => {
      const log = new TestLog()
      log.join('a')
      log.lead()
      for (const [subject, data] of messages) {
        log.append(`troupe.main.${subject}`, data, { 'troupe-id': 'x' })
        checkState(log.state)
      }
      expect(describeState(log.refold().state)).toEqual(describeState(log.state))
    }),
    { numRuns: 300 },
  )
})

test('a client that is no name is told nothing', () => {
  const log = new TestLog()
  log.append('troupe.main.block.c*', packBlock([formatVersion, [['work', null]]]))
  expect(log.task('0-1-0').client).toBeUndefined()
  expect(new TestNode(log, 'a', 'a.b').member).toBeUndefined()
})
