/** Circuit breakers and full queues in the fold: what opens and closes, what is refused, and that no failover forgets it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { breakerState } from '../../../src/actors/ledger/breakers.ts'
import { type CheckpointPart, LedgerSaving, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import type { LedgerState } from '../../../src/actors/ledger/state.ts'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { TypeLimits } from '../../../src/protocol/options.ts'
import { bid } from '../scheduler/bids.ts'
import { TestLog, type TestNode } from './test-log.ts'

const breaker = { failurePercent: 50, attempts: 4, openMs: 10_000, trials: 2 }

function limited(limits: TypeLimits, type = 'work'): { log: TestLog; a: TestNode } {
  const log = new TestLog()
  log.lead()
  log.decide([kind.limited, type, limits])
  return { log, a: log.join('a') }
}

/** One task that ends with its first attempt. */
function attempt(log: TestLog, a: TestNode, ok: boolean): void {
  const id = log.submit()
  a.accept(id)
  if (ok) a.complete(id)
  else a.fail(id, 1, false)
}

function stateOf({ breakers, limits }: LedgerState, nowMs: number): string {
  return breakerState(breakers.get('work'), limits.get('work')!.breaker!, nowMs)
}

function restored({ state }: TestLog): LedgerState {
  const saving = new LedgerSaving(state, 1)
  const parts: CheckpointPart[] = []
  for (let rows = saving.rows(100); rows !== undefined; rows = saving.rows(100)) parts.push(['tasks', rows])
  parts.push(...saving.others())
  return restoreState(saving.manifest(0, 0), parts)
}

describe('a breaker', () => {
  test('opens at its share of the last attempts, not before there have been so many', () => {
    const { log, a } = limited({ breaker })
    for (const ok of [false, false, true]) attempt(log, a, ok)
    expect(stateOf(log.state, log.nowMs)).toBe('closed')
    attempt(log, a, true)
    expect(stateOf(log.state, log.nowMs)).toBe('open')
    expect(stateOf(log.state, log.nowMs + 9_999)).toBe('open')
    expect(stateOf(log.state, log.nowMs + 10_000)).toBe('half-open')
  })

  test('half-open, closes after its trials, and one that fails opens it again', () => {
    const { log, a } = limited({ breaker })
    const early = log.submit()
    a.accept(early)
    for (const ok of [false, false, true, true]) attempt(log, a, ok)
    log.advance(10_000)
    // It began before the breaker opened, so it is no trial.
    a.fail(early, 1, false)
    expect(stateOf(log.state, log.nowMs)).toBe('half-open')
    attempt(log, a, true)
    attempt(log, a, false)
    expect(stateOf(log.state, log.nowMs)).toBe('open')
    log.advance(10_000)
    attempt(log, a, true)
    attempt(log, a, true)
    expect(stateOf(log.state, log.nowMs)).toBe('closed')
  })

  test('is in the checkpoint, and what a new leader awards follows it', () => {
    const { log, a } = limited({ breaker })
    for (const ok of [false, false, true, true]) attempt(log, a, ok)
    const ids = Array.from({ length: 3 }, () => log.submit())
    log.ledger = Object.assign(log.refold(), { state: restored(log) })
    const agenda = new Agenda(log.state)
    agenda.build(log.nowMs)
    agenda.hear('a1', bid({ credits: 10, ttlMs: 1e9 }), log.nowMs)
    const awarded = () =>
      agenda.place(log.nowMs).flatMap((effect) => (effect.do === 'award' ? effect.tasks.map(({ id }) => id) : []))
    expect(awarded()).toEqual([])
    expect(agenda.waitingReason(log.task(ids[0]!), log.nowMs)).toMatch(/^the breaker of the type "work" is open until /)
    expect(agenda.nextAlarmMs(log.nowMs)).toBe(log.nowMs + 10_000)
    log.advance(10_000)
    agenda.alarm(log.nowMs)
    expect(awarded()).toEqual(ids.slice(0, 2))
    expect(agenda.waitingReason(log.task(ids[2]!), log.nowMs)).toContain('half-open')
  })

  test('whatever comes: it is open only after a window with that share, or a trial that failed', () => {
    const step = fc.record({ ok: fc.boolean(), passMs: fc.constantFrom(0, 0, 0, 5_000, 10_000) })
    const property = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { log, a } = limited({ breaker })
      let window: boolean[] = []
      for (const { ok, passMs } of steps) {
        log.advance(passMs)
        const before = stateOf(log.state, log.nowMs)
        attempt(log, a, ok)
        const after = stateOf(log.state, log.nowMs)
        if (before === 'closed') {
          window = [...window, ok].slice(-4)
          const failures = window.filter((one) => !one).length
          expect(after).toBe(window.length === 4 && failures >= 2 ? 'open' : 'closed')
        } else if (before === 'open') expect(after).toBe('open')
        else expect(after === 'open').toBe(!ok)
        if (after !== 'closed') window = []
      }
      expect(restored(log).breakers).toEqual(log.state.breakers)
    })
    fc.assert(property, { numRuns: 150, seed: 7 })
  })
})

describe('a full queue', () => {
  test('refuses what comes until something has started; what is there already is found as ever', () => {
    const { log, a } = limited({ queuedMax: 2 })
    const first = log.submit({ 'troupe-id': 'first' })
    log.submit({ 'troupe-delay': '1h' })
    const third = log.submit()
    expect(log.task(third)).toMatchObject({ status: 'failed', rare: { lastError: { code: 'TROUPE_QUEUE_FULL' } } })
    log.submit({ 'troupe-id': 'first' })
    expect(log.state.totals.submitted).toBe(3)
    a.accept(first)
    expect(log.task(log.submit()).status).toBe('waiting')
    // What was refused is a dead letter that keeps its input.
    log.decide([kind.retried, third])
    expect(log.task(third).status).toBe('waiting')
  })

  test('of all types together refuses any; children of what was taken are taken', () => {
    const { log, a } = limited({ queuedMax: 1 }, '_all')
    const parent = log.submit()
    a.accept(parent)
    log.submit()
    expect(log.task(log.submit({}, 'other')).status).toBe('failed')
    a.child(parent, 1, 'child')
    expect(log.task('child').status).toBe('waiting')
  })

  test('refuses a gang as a whole', () => {
    const { log } = limited({ queuedMax: 1 })
    const ids = [0, 1].map((n) => log.submit({ 'troupe-id': `g${n}`, 'troupe-gang': 'g/2' }))
    expect(ids.map((id) => log.task(id).rare?.lastError?.code)).toEqual(['TROUPE_GANG_BROKEN', 'TROUPE_QUEUE_FULL'])
  })
})
