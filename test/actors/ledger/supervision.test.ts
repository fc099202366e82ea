/** What OTP's documentation of supervisors says must happen, on the fold: each child of each tree fails in its turn. */
import { describe, expect, test } from 'vitest'
import { LedgerSaving, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { GroupOptions, GroupStrategy } from '../../../src/protocol/groups.ts'
import { defaultRetry } from '../../../src/protocol/options.ts'
import { checkState, describeState } from './describe.ts'
import { noJitter, TestLog, type TestNode, taskProfile } from './test-log.ts'

const often = { ...noJitter, attempts: 100, backoffMs: 0 }
const types = [taskProfile('work', { retry: often, restart: { intensity: 100, periodMs: 1_000 } })]

/** A log with a node on which all members of the tree run, each with a stored state. */
class Tree {
  readonly log = new TestLog()
  readonly node: TestNode
  readonly ids: string[] = []

  constructor(members: Record<string, GroupOptions | undefined>, options: Record<string, object> = {}) {
    this.log.lead()
    this.node = this.log.join('n', 'n1', types)
    for (const [id, group] of Object.entries(members)) this.add(id, group, options[id])
  }

  add(id: string, group: GroupOptions | undefined, headers: object = {}): void {
    this.ids.push(id)
    const given = group === undefined ? {} : { 'troupe-group': JSON.stringify(group) }
    this.log.submit({ 'troupe-id': id, ...given, ...headers })
    this.node.accept(id)
    this.node.checkpoint(id)
    this.log.takeChanges()
  }

  /** Its present turn fails. */
  fail(id: string): void {
    this.node.fail(id, this.log.task(id).turn)
    checkState(this.log.state)
  }

  /** All that wait run again. */
  run(): void {
    this.log.advance(1)
    for (const id of this.ids) {
      const task = this.log.task(id)
      if (task.status === 'waiting') this.node.accept(id, task.turn + 1)
    }
    this.log.takeChanges()
  }

  /** Ids that were restarted by what has happened since the last look, in order. */
  get restarted(): string[] {
    return this.log
      .takeChanges()
      .flatMap((change) => (change.what === 'restarted' || change.what === 'retrying' ? [change.task.id] : []))
  }

  /** Those that begin at their beginning, as their states are now. */
  get anew(): string[] {
    return this.ids.filter((id) => this.log.task(id).snapshot === undefined)
  }

  statusOf(...ids: string[]): string[] {
    return ids.map((id) => this.log.task(id).status)
  }
}

const group = (strategy: GroupStrategy, more: Partial<GroupOptions> = {}): GroupOptions => ({
  name: strategy,
  strategy,
  ...more,
})
const inOrderOf = (ids: string[]) => (restarted: string[]) => expect(restarted).toEqual(ids)

describe('one level', () => {
  test.for<[GroupStrategy, string, string[]]>([
    ['one-for-one', 'a', ['a']],
    ['one-for-one', 'b', ['b']],
    ['one-for-one', 'c', ['c']],
    ['one-for-all', 'a', ['a', 'b', 'c']],
    ['one-for-all', 'b', ['a', 'b', 'c']],
    ['one-for-all', 'c', ['a', 'b', 'c']],
    ['rest-for-one', 'a', ['a', 'b', 'c']],
    ['rest-for-one', 'b', ['b', 'c']],
    ['rest-for-one', 'c', ['c']],
  ])('%s: when %s fails, %s start again, in that order', ([strategy, failing, expected]) => {
    const tree = new Tree({ a: group(strategy), b: group(strategy), c: group(strategy), other: undefined })
    tree.fail(failing)
    const taken = tree.log.changes.flatMap((change) => (change.what === 'recalled' ? [change.id] : []))
    expect(taken).toEqual(expected.filter((id) => id !== failing).toReversed())
    inOrderOf(expected)(tree.restarted)
    expect(tree.anew).toEqual(strategy === 'one-for-one' ? [] : expected)
    // Only the one that failed has used up an attempt.
    for (const id of tree.ids) expect(tree.log.task(id).attempt).toBe(id === failing ? 2 : 1)
  })

  test('what a taken turn still says does not count', () => {
    const tree = new Tree({ a: group('one-for-all'), b: group('one-for-all') })
    tree.fail('a')
    tree.node.complete('b', 1)
    expect(tree.statusOf('a', 'b')).toEqual(['waiting', 'waiting'])
    tree.run()
    tree.node.complete('b', 2)
    expect(tree.statusOf('b')).toEqual(['completed'])
  })

  test('what has completed or was cancelled stays so, and what has not begun is left alone', () => {
    const all = group('one-for-all')
    const tree = new Tree({ a: all, b: all, c: all })
    tree.log.submit({ 'troupe-id': 'later', 'troupe-group': JSON.stringify(all), 'troupe-delay': '1h' })
    tree.node.complete('a')
    tree.log.decide([kind.cancelled, 'b', ''])
    tree.fail('c')
    expect(tree.statusOf('a', 'b', 'c', 'later')).toEqual(['completed', 'cancelled', 'waiting', 'waiting'])
    expect(tree.log.task('later').turn).toBe(0)
  })

  test('one that is parked begins anew; one that only waits for its start is not awarded what it was', () => {
    const all = group('one-for-all')
    const tree = new Tree({ a: all, b: all, c: all })
    tree.node.park('b', 1, { onSignal: true })
    tree.node.write([kind.yielded, 'c', 1, null, 0])
    tree.fail('a')
    expect(tree.anew).toEqual(['a', 'b', 'c'])
    tree.node.accept('c', 2)
    expect(tree.statusOf('b', 'c')).toEqual(['waiting', 'waiting'])
    tree.node.accept('c', 3)
    expect(tree.statusOf('c')).toEqual(['running'])
  })

  test('by option they go on from their snapshots, or one-for-one from its beginning', () => {
    const stay = new Tree({
      a: group('one-for-all', { restart: { from: 'snapshot' } }),
      b: group('one-for-all'),
    })
    stay.fail('a')
    expect([stay.restarted, stay.anew]).toEqual([['a', 'b'], []])
    const fresh = new Tree({ a: group('one-for-one', { restart: { from: 'beginning' } }), b: group('one-for-one') })
    fresh.fail('a')
    expect(fresh.anew).toEqual(['a'])
  })

  test('signals that no state had consumed come to the new beginning, in one chain', () => {
    const tree = new Tree({ a: group('one-for-all'), b: group('one-for-all') })
    const first = tree.log.signal('b')
    const second = tree.log.signal('b')
    tree.node.checkpoint('b', 1, first)
    tree.fail('a')
    expect(tree.log.task('b').rare?.signals).toMatchObject([{ sequence: second, previous: 0 }])
    tree.run()
    tree.node.checkpoint('b', 2, second)
    tree.fail('a')
    tree.log.signal('b')
    expect(tree.log.task('b').rare?.signals).toMatchObject([{ previous: 0 }])
  })
})

describe('restart types', () => {
  const temporary = { 'troupe-restart': 'temporary' }

  test('a temporary task that fails is not restarted, and nobody else because of it', () => {
    const all = group('one-for-all')
    const tree = new Tree({ a: all, b: all }, { a: temporary })
    tree.fail('a')
    expect([tree.restarted, tree.statusOf('a', 'b')]).toEqual([[], ['failed', 'running']])
  })

  test("a temporary task that a sibling's failure takes is not restarted either", () => {
    const all = group('one-for-all')
    const tree = new Tree({ a: all, b: all }, { b: temporary })
    tree.fail('a')
    expect(tree.statusOf('a', 'b')).toEqual(['waiting', 'cancelled'])
  })

  test('a temporary task does not outlive its node', () => {
    const tree = new Tree({ a: undefined }, { a: temporary })
    tree.log.fence(tree.node)
    expect(tree.log.task('a').rare?.lastError).toMatchObject({ code: 'TROUPE_RESTART_INTENSITY' })
  })
})

describe('intensity', () => {
  test('so many failures within the period are borne, one more ends the group with its reason', () => {
    const one = group('one-for-one', { restart: { intensity: 2, period: '1s' } })
    const tree = new Tree({ a: one, b: one })
    for (const id of ['a', 'b']) {
      tree.fail(id)
      tree.run()
    }
    expect(tree.statusOf('a', 'b')).toEqual(['running', 'running'])
    tree.fail('a')
    expect(tree.statusOf('a', 'b')).toEqual(['failed', 'failed'])
    expect(tree.log.task('b').rare?.lastError).toMatchObject({
      code: 'TROUPE_GROUP_FAILED',
      message: 'its group "one-for-one" failed: more than 2 failures within 1000 ms',
      details: { group: 'one-for-one', task: 'a' },
      cause: { message: 'boom' },
    })
    expect(tree.log.state.groups.size).toBe(0)
  })

  test('failures older than the period are forgotten', () => {
    const tree = new Tree({ a: group('one-for-one', { restart: { intensity: 1, period: '1s' } }) })
    for (let times = 0; times < 5; times++) {
      tree.fail('a')
      tree.log.advance(1_000)
      tree.run()
    }
    expect(tree.statusOf('a')).toEqual(['running'])
  })

  test('an intensity of 0 bears none', () => {
    const tree = new Tree({ a: group('one-for-all', { restart: { intensity: 0 } }), b: group('one-for-all') })
    tree.fail('b')
    expect(tree.statusOf('a', 'b')).toEqual(['failed', 'failed'])
  })

  test('a restart of all counts once, and backs off further each time', () => {
    const all = group('one-for-all', { restart: { intensity: 3, backoff: 100 } })
    const tree = new Tree({ a: all, b: all })
    for (const delayMs of [100, 200, 400]) {
      tree.fail('b')
      expect(['a', 'b'].map((id) => tree.log.task(id).dueAtMs - tree.log.nowMs)).toEqual([delayMs, delayMs])
      tree.log.advance(delayMs)
      tree.run()
    }
    expect(tree.statusOf('a', 'b')).toEqual(['running', 'running'])
  })

  test('a task that has used up its attempts is a dead letter, and takes with it those that need it', () => {
    for (const [strategy, others] of [
      ['one-for-one', 'running'],
      ['rest-for-one', 'failed'],
      ['one-for-all', 'failed'],
    ] as const) {
      const outer = { name: 'outer' }
      const inner = group(strategy, { parent: outer })
      const tree = new Tree({ a: inner, b: inner, c: inner, above: outer })
      tree.node.fail('b', 1, false)
      checkState(tree.log.state)
      expect(tree.statusOf('a', 'b', 'c', 'above')).toEqual([others, 'failed', others, 'running'])
      expect(tree.log.task('b').rare?.lastError).toMatchObject({ message: 'boom' })
    }
  })
})

test('what could not even be submitted was never a member', () => {
  const tree = new Tree({ a: group('one-for-all'), outside: undefined })
  tree.node.fail('outside', 1, false)
  tree.log.submit({ 'troupe-id': 'b', 'troupe-group': 'one-for-all', 'troupe-after': 'outside' })
  checkState(tree.log.state)
  expect(tree.statusOf('a', 'b')).toEqual(['running', 'failed'])
})

describe('trees', () => {
  const root = (strategy: GroupStrategy): GroupOptions => ({ name: 'root', strategy, restart: { intensity: 1 } })
  const under = (name: string, parent: GroupOptions): GroupOptions => ({ name, parent, restart: { intensity: 0 } })

  // before | left: l1 l2 | right: r1 r2 | after, in this order of submission; left and right fail at the first failure.
  const tree = (strategy: GroupStrategy) => {
    const top = root(strategy)
    const [left, right] = [under('left', top), under('right', top)]
    return new Tree({ before: top, l1: left, l2: left, r1: right, r2: right, after: top })
  }

  test.for<[GroupStrategy, string, string[]]>([
    ['one-for-one', 'before', ['before']],
    ['one-for-one', 'l1', ['l1', 'l2']],
    ['one-for-one', 'r2', ['r1', 'r2']],
    ['one-for-one', 'after', ['after']],
    ['rest-for-one', 'before', ['before', 'l1', 'l2', 'r1', 'r2', 'after']],
    ['rest-for-one', 'l2', ['l1', 'l2', 'r1', 'r2', 'after']],
    ['rest-for-one', 'r1', ['r1', 'r2', 'after']],
    ['rest-for-one', 'after', ['after']],
    ['one-for-all', 'l1', ['before', 'l1', 'l2', 'r1', 'r2', 'after']],
    ['one-for-all', 'r2', ['before', 'l1', 'l2', 'r1', 'r2', 'after']],
  ])('a group that fails is a child that fails: root %s, %s fails, %s start again', ([strategy, failing, expected]) => {
    const t = tree(strategy)
    t.fail(failing)
    inOrderOf(expected)(t.restarted)
    const isGroup = failing.length === 2
    expect(t.anew).toEqual(strategy === 'one-for-one' && !isGroup ? [] : expected)
    for (const id of expected) expect(t.log.task(id).attempt, id).toBe(isGroup || id !== failing ? 1 : 2)
  })

  test('a root that fails too often ends everything in it, and nothing else', () => {
    const t = tree('one-for-one')
    t.add('bystander', { name: 'elsewhere' })
    t.fail('l1')
    t.run()
    t.fail('r1')
    expect(new Set(t.statusOf('before', 'l1', 'l2', 'r1', 'r2', 'after'))).toEqual(new Set(['failed']))
    expect(t.statusOf('bystander')).toEqual(['running'])
    expect(t.log.task('after').rare?.lastError).toMatchObject({ details: { group: 'root', task: 'r1' } })
  })

  test('a group that is started anew has seen no failures', () => {
    const top: GroupOptions = { name: 'top', restart: { intensity: 10 } }
    const inner: GroupOptions = { name: 'inner', parent: top, restart: { intensity: 1 } }
    const t = new Tree({ a: inner, b: inner })
    const seen = ['a', 'a', 'a', 'a'].map((id) => {
      t.fail(id)
      const { restarted } = t
      t.run()
      return restarted
    })
    expect(seen).toEqual([['a'], ['a', 'b'], ['a'], ['a', 'b']])
  })
})

describe('nodes', () => {
  test('a node that dies is nothing to the group: its task goes on from its snapshot', () => {
    const tree = new Tree({ a: group('one-for-all', { restart: { intensity: 0 } }), b: group('one-for-all') })
    const other = tree.log.join('m', 'm1', types)
    tree.log.submit({ 'troupe-id': 'c', 'troupe-group': 'one-for-all' })
    other.accept('c')
    other.checkpoint('c')
    tree.log.fence(other)
    expect(tree.statusOf('a', 'b', 'c')).toEqual(['running', 'running', 'waiting'])
    expect(tree.log.task('c').snapshot).toBeDefined()
    expect(tree.log.task('c').attempt).toBe(1)
  })

  test('unless it says so: then all start again, and it is charged once however many it ran', () => {
    const all = group('one-for-all', { restart: { intensity: 1, nodeLoss: 'failure' } })
    const tree = new Tree({ a: all, b: all })
    const other = tree.log.join('m', 'm1', types)
    tree.log.submit({ 'troupe-id': 'c', 'troupe-group': 'one-for-all' })
    other.accept('c')
    tree.log.takeChanges()
    tree.log.fence(tree.node)
    checkState(tree.log.state)
    inOrderOf(['a', 'b', 'c'])(tree.restarted)
    expect(tree.log.state.groups.get('one-for-all')?.failures).toHaveLength(1)
    expect(tree.log.task('a').attempt).toBe(1)
  })
})

test('what the group above minds is not what the group of the task minds', () => {
  const top = group('one-for-all', { restart: { intensity: 0, nodeLoss: 'failure' } })
  const tree = new Tree({ a: top })
  const other = tree.log.join('m', 'm1', types)
  tree.log.submit({ 'troupe-id': 'b', 'troupe-group': JSON.stringify({ name: 'inner', parent: top }) })
  other.accept('b')
  tree.log.fence(other)
  expect(tree.statusOf('a', 'b')).toEqual(['running', 'waiting'])
  expect(tree.log.state.groups.get('one-for-all/inner')?.failures).toEqual([])
})

describe('dead letters', () => {
  test('come back into their group, which counts anew', () => {
    const all = group('one-for-all', { restart: { intensity: 1 } })
    const tree = new Tree({ a: all, b: all })
    tree.fail('a')
    tree.run()
    tree.fail('b')
    tree.log.decide([kind.retried, 'a'], [kind.retried, 'b'])
    checkState(tree.log.state)
    tree.run()
    tree.log.takeChanges()
    tree.fail('b')
    inOrderOf(['a', 'b'])(tree.restarted)
  })
})

test('a dead letter that comes back lets the groups above count anew as well', () => {
  const top: GroupOptions = { name: 'top', restart: { intensity: 1 } }
  const tree = new Tree({ y: top, x: { name: 'inner', parent: top }, z: { name: 'inner', parent: top } })
  tree.fail('y')
  tree.run()
  tree.node.fail('x', 1, false)
  tree.log.decide([kind.retried, 'x', false])
  tree.run()
  tree.fail('y')
  expect(tree.statusOf('x', 'y', 'z')).toEqual(['running', 'waiting', 'running'])
})

test('a dead letter that was delayed, and ended with its group, starts at once when it is retried', () => {
  const all = group('one-for-all', {})
  const tree = new Tree({ a: all })
  tree.log.submit({ 'troupe-id': 'late', 'troupe-group': JSON.stringify(all), 'troupe-delay': '1h' })
  tree.node.fail('a', 1, false)
  expect(tree.log.task('late').status).toBe('failed')
  tree.log.decide([kind.retried, 'late', false])
  expect(tree.log.task('late')).toMatchObject({ status: 'waiting', dueAtMs: 0 })
  tree.node.accept('late')
  expect(tree.log.task('late').status).toBe('running')
})

test('a checkpoint in the middle of it goes on alike', () => {
  const top: GroupOptions = { name: 'top', strategy: 'rest-for-one', restart: { intensity: 2 } }
  const inner: GroupOptions = { name: 'inner', strategy: 'one-for-all', parent: top, restart: { intensity: 1 } }
  const tree = new Tree({ a: top, b: inner, c: inner, d: top })
  tree.fail('c')
  tree.run()
  const saving = new LedgerSaving(tree.log.state, 1)
  const rows = []
  for (let slice = saving.rows(2); slice !== undefined; slice = saving.rows(2)) rows.push(...slice)
  const state = restoreState(saving.manifest(0, 0), [['tasks', rows], ...saving.others()])
  expect(describeState(state)).toEqual(describeState(tree.log.state))
  const restored = new Ledger(tree.log.subjects, state)
  const from = tree.log.messages.length
  tree.fail('b')
  tree.run()
  tree.fail('d')
  for (const message of tree.log.messages.slice(from)) restored.fold(message)
  expect(describeState(restored.state)).toEqual(describeState(tree.log.state))
  expect(describeState(tree.log.refold().state)).toEqual(describeState(tree.log.state))
})

test('without a group all is as it was', () => {
  const log = new TestLog()
  const node = log.join('n', 'n1', [taskProfile('work', { retry: { ...defaultRetry, attempts: 2 } })])
  const id = log.submit()
  node.accept(id)
  node.fail(id)
  expect(log.task(id).dueAtMs).toBeGreaterThan(log.nowMs)
})

test('a sibling that waits for its own next try is not tried earlier because the group is restarted', () => {
  const log = new TestLog()
  log.lead()
  const retry = { ...noJitter, attempts: 9, backoffMs: 60_000, maxMs: 60_000 }
  const node = log.join('n', 'n1', [taskProfile('slow', { retry }), ...types])
  const group = JSON.stringify({ name: 'g', strategy: 'rest-for-one', restart: { intensity: 9, period: '1h' } })
  const quick = log.submit({ 'troupe-group': group }, 'work')
  const slow = log.submit({ 'troupe-group': group }, 'slow')
  node.accept(quick)
  node.accept(slow)
  node.fail(slow)
  const dueAtMs = log.nowMs + 60_000
  expect(log.task(slow)).toMatchObject({ status: 'waiting', dueAtMs })
  log.advance(1_000)
  node.fail(quick)
  expect(log.task(quick).status).toBe('waiting')
  expect(log.task(slow)).toMatchObject({ status: 'waiting', dueAtMs })
})
