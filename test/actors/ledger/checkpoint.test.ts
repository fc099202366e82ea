/** A ledger saved at any moment, while folding goes on, and folded on from there is the ledger that never stopped. */
import { describe, expect, test } from 'vitest'
import {
  type CheckpointPart,
  LedgerSaving,
  type Manifest,
  restoreState,
} from '../../../src/actors/ledger/checkpoint.ts'
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import { type ControlEntry, kind } from '../../../src/protocol/entries.ts'
import { packValue, unpackValue } from '../../../src/protocol/payload.ts'
import { checkState, describeState } from './describe.ts'
import { RandomActors, random } from './random-log.ts'
import { TestLog, taskProfile } from './test-log.ts'

function stored<T>(value: T): T {
  return unpackValue(packValue(value)) as T
}

/** Saves in slices of random size, and calls `between` after each. */
function save(ledger: Ledger, between: () => void, slice: () => number) {
  const saving = new LedgerSaving(ledger.state, ledger.state.position)
  const parts: CheckpointPart[] = []
  between()
  for (let rows = saving.rows(slice()); rows !== undefined; rows = saving.rows(slice())) {
    between()
    parts.push(stored(['tasks', rows] as CheckpointPart))
  }
  parts.push(...saving.others().map(stored))
  return { manifest: stored(saving.manifest(1, 2)) as Manifest, parts }
}

describe.each([1, 2, 3, 4, 5, 6])('random history %i', (seed) => {
  test('folded from a checkpoint taken on the way is the same, to the last detail', () => {
    const log = new TestLog()
    const actors = new RandomActors(log, seed)
    const next = random(seed + 1_000)
    for (let i = 0; i < 300; i++) actors.step()
    for (let round = 0; round < 6; round++) {
      for (let i = Math.floor(next() * 300); i > 0; i--) actors.step()
      const before = describeState(log.state)
      const ended = next() < 0.2
      const write = () => {
        for (let i = ended ? 0 : Math.floor(next() * 20); i > 0; i--) actors.step()
      }
      const { manifest, parts } = save(log.ledger, write, () => 1 + Math.floor(next() * 30))
      const state = restoreState(manifest, parts)
      expect(describeState(state)).toEqual(before)
      checkState(state)
      const restored = new Ledger(log.subjects, state)
      for (let i = 0; i < 400; i++) actors.step()
      for (const message of log.messages.slice(manifest.position)) restored.fold(message)
      expect(describeState(restored.state)).toEqual(describeState(log.state))
      // The next round goes on with the restored one.
      log.ledger = restored
    }
    expect(describeState(log.refold().state)).toEqual(describeState(log.state))
  })
})

describe('a checkpoint', () => {
  test('says from where on the log is needed', () => {
    const log = new TestLog()
    const manifest = () =>
      save(
        log.ledger,
        () => {},
        () => 10,
      ).manifest
    log.submit({}, 'work', '{')
    log.submit()
    const a = log.join('a')
    const [done, dead, parent] = [log.submit(), log.submit(), log.submit()]
    a.accept('0-2')
    a.complete('0-2')
    const oldResult = log.messages.length
    a.write([kind.alive])
    // The unreadable one is for people to read; the oldest that anything may still run from is `done`.
    expect(manifest()).toMatchObject({ neededFrom: log.task(done).sequence, readableFrom: 1 })
    for (const id of [done, dead, parent]) a.accept(id)
    a.complete(done)
    a.fail(dead, 1, false)
    expect(manifest().neededFrom).toBe(log.task(dead).sequence)
    log.lead()
    log.decide([kind.removed, dead], [kind.removed, '0-1'])
    expect(manifest().neededFrom).toBe(log.task(parent).sequence)
    log.decide([kind.kept, parent, log.task(parent).sequence, 'null', 0, null])
    a.child(parent, 1, 'child')
    a.accept('child')
    a.complete('child')
    const result = log.messages.length
    expect(manifest().readableFrom).toBe(oldResult)
    const kept = log.task(parent).input.sequence
    expect(kept).toBeLessThan(result)
    a.write([kind.alive])
    expect(manifest().neededFrom).toBe(kept)
    log.decide([kind.kept, parent, kept, 'null', 0, null])
    // What a child did is needed for as long as its parent lives.
    expect(manifest().neededFrom).toBe(result)
    a.complete(parent)
    a.write([kind.alive])
    // Nothing but the last block of the writer that lives.
    const last = log.messages.length
    log.lead()
    expect(manifest().neededFrom).toBe(last)
  })

  test('keeps the oldest signal that a task has not consumed', () => {
    const log = new TestLog()
    log.lead()
    const id = log.submit({ 'troupe-delay': '1h' })
    const signal = log.signal(id)
    log.signal(id)
    log.decide([kind.kept, id, 2, 'null', 0, null])
    expect(
      save(
        log.ledger,
        () => {},
        () => 10,
      ).manifest.neededFrom,
    ).toBe(signal)
  })

  test('keeps the input of a task that has stored a state since, and has signals', () => {
    const log = new TestLog()
    const a = log.join('a')
    const id = log.submit()
    a.accept(id)
    const stored = a.checkpoint(id)
    log.signal(id)
    a.write([kind.alive])
    const { manifest } = save(
      log.ledger,
      () => {},
      () => 10,
    )
    expect(stored).toBeGreaterThan(log.task(id).sequence)
    expect(manifest.neededFrom).toBe(log.task(id).sequence)
  })

  test('that is given up leaves nothing behind', () => {
    const log = new TestLog()
    for (let i = 0; i < 20; i++) log.submit()
    const saving = new LedgerSaving(log.state, 1)
    saving.rows(5)
    saving.abandon()
    expect(log.state.saving).toBeUndefined()
    const other = new LedgerSaving(log.state, 2)
    saving.abandon()
    expect(log.state.saving).toBe(other)
  })
})

test('whatever is folded while it is being saved, it is saved as it was', () => {
  const log = new TestLog()
  const actors = new RandomActors(log, 77)
  for (let i = 0; i < 400; i++) actors.step()
  for (let i = 0; i < 500; i++) {
    const asItWas = savedRows(new LedgerSaving(log.state, 2 * i + 1))
    const saving = new LedgerSaving(log.state, 2 * i + 2)
    actors.step()
    expect(savedRows(saving)).toEqual(asItWas)
  }
})

test.each<[string, (id: string, sequence: number) => ControlEntry]>([
  ['revoked', (id) => [kind.revoked, id, 1, '']],
  ['cancelled', (id) => [kind.cancelled, id, '']],
  ['timed out', (id) => [kind.timedOut, id, 1]],
  ['expired', (id) => [kind.expired, id]],
  ['kept', (id, sequence) => [kind.kept, id, sequence, 'null', 0, null]],
])('a task that is %s while it is being saved is saved as it was', (_, decision) => {
  const log = new TestLog()
  log.lead()
  const a = log.join('a', 'a1', [taskProfile('work', { timeoutMs: 1_000 })])
  const id = log.submit({ 'troupe-deadline': '2s' })
  a.accept(id)
  log.advance(2_000)
  const asItWas = savedRows(new LedgerSaving(log.state, 1))
  const saving = new LedgerSaving(log.state, 2)
  const { void: before } = log.state.totals
  log.decide(decision(id, log.task(id).sequence))
  expect(log.state.totals.void).toBe(before)
  expect(savedRows(saving)).toEqual(asItWas)
})

/** By task or kind; a profile has another number in each saving. */
function savedRows(saving: LedgerSaving): Map<unknown, string> {
  const rows = saving.rows(100_000) ?? []
  saving.abandon()
  const [profiles, members, ...others] = saving.others()
  const lives = (members?.[1] ?? []).map((member) => ({ ...(member as object), types: [] }))
  const profileAt = 18
  const tasks = rows.map((row) => {
    const named = row.map((field, at) => (at === profileAt ? profiles?.[1][field as number] : field))
    return [row[0], JSON.stringify(named)] as const
  })
  return new Map([
    ...tasks,
    [members?.[0], JSON.stringify(lives)],
    ...others.map(([of, more]) => [of, JSON.stringify(more)] as const),
  ])
}

test('tasks and nodes of two versions of a type keep each its own profile', () => {
  const log = new TestLog()
  const profiles = [taskProfile('work', { timeoutMs: 1_000 }), taskProfile('work', { timeoutMs: 2_000, version: '2' })]
  const nodes = profiles.map((profile, n) => log.join(`n${n}`, `n${n}`, [profile]))
  const ids = Array.from({ length: 4 }, () => log.submit())
  for (const [n, id] of ids.entries()) nodes[n % 2]!.accept(id)
  const { manifest, parts } = save(
    log.ledger,
    () => undefined,
    () => 1,
  )
  const state = restoreState(manifest, parts)
  expect(describeState(state)).toEqual(describeState(log.state))
  expect(ids.map((id) => state.tasks.get(id)?.profile?.timeoutMs)).toEqual([1_000, 2_000, 1_000, 2_000])
  expect(nodes.map(({ incarnation }) => state.members.get(incarnation)?.types.get('work')?.timeoutMs)).toEqual([
    1_000, 2_000,
  ])
})

test('what is left of a large block is saved as it was, while more and more of it is forgotten', () => {
  const log = new TestLog()
  log.lead('s1', { resultsKeepCount: 12 })
  const node = log.join('a')
  const sequence = log.submitBlock('c', Array(64).fill(['work', null]))
  const ids = Array.from({ length: 64 }, (_, index) => `0-${sequence}-${index}`)
  const ended = ids.filter((_, index) => index % 16 !== 15)
  for (const id of ended) node.accept(id)
  for (const id of ended) node.complete(id)
  expect(log.state.tasks.size).toBe(4 + 12)
  const before = describeState(log.state)
  const forget = () => {
    const id = log.submit()
    node.accept(id)
    node.complete(id)
  }
  const { manifest, parts } = save(log.ledger, forget, () => 1)
  expect(log.state.tasks.size).toBe(4 + 12)
  expect(describeState(restoreState(manifest, parts))).toEqual(before)
})

test('a ledger does not depend on how the messages came in', () => {
  const log = new TestLog()
  const actors = new RandomActors(log, 42)
  for (let i = 0; i < 1_000; i++) actors.step()
  const batched = new Ledger(log.subjects)
  const next = random(7)
  let changes = 0
  for (let at = 0; at < log.messages.length; ) {
    const end = at + 1 + Math.floor(next() * 50)
    for (const message of log.messages.slice(at, end)) batched.fold(message)
    changes += batched.takeChanges().length
    at = end
  }
  expect(describeState(batched.state)).toEqual(describeState(log.state))
  expect(changes).toBe(log.changes.length)
})
