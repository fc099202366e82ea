/** When a scheduler leads: standing by, claiming, leading, and back, each by the events that a process sees. */
import { expect, test } from 'vitest'
import { createActor } from 'xstate'
import type { SchedulerEffect } from '../../../src/actors/scheduler/effects.ts'
import { schedulerMachine } from '../../../src/actors/scheduler/scheduler.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { TestLog } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

function standby() {
  const log = new TestLog()
  const asked: SchedulerEffect[] = []
  const input = { name: 'me', ledger: log.state, ask: (effect: SchedulerEffect) => asked.push(effect) }
  const actor = createActor(schedulerMachine, { input }).start()
  const fold = () => actor.send({ type: 'FOLDED', changes: log.takeChanges(), nowMs: log.nowMs })
  const state = () => actor.getSnapshot().value
  const agenda = () => actor.getSnapshot().context.agenda
  const effects = () => asked.splice(0).map((effect) => effect.do)
  return { log, actor, asked, fold, state, agenda, effects }
}

function leading() {
  const it = standby()
  it.actor.send({ type: 'LEASE_WON' })
  it.log.lead('me')
  it.fold()
  it.effects()
  return it
}

test('a standby decides nothing, whatever it sees', () => {
  const it = standby()
  const a = it.log.join('a')
  it.log.submit()
  it.log.lead('me')
  it.fold()
  it.actor.send({ type: 'REPORTED', incarnation: a.incarnation, report: bid(), nowMs: it.log.nowMs })
  it.actor.send({ type: 'ALARM', nowMs: it.log.nowMs })
  it.actor.send({ type: 'LEASE_LOST', reason: 'never had it' })
  expect([it.state(), it.effects()]).toEqual(['standby', []])
})

test('a lease is not enough: it leads once its own entry is folded, with that epoch', () => {
  const it = standby()
  it.actor.send({ type: 'LEASE_WON' })
  expect([it.state(), it.effects()]).toEqual(['claiming', ['lead']])
  it.log.lead('other')
  it.fold()
  it.log.submit()
  it.fold()
  expect(it.state()).toBe('claiming')
  it.log.lead('me')
  it.fold()
  expect(it.state()).toBe('leading')
  expect(it.asked).toContainEqual({ do: 'announce', epoch: it.log.epoch })
  expect(it.agenda()?.epoch).toBe(it.log.epoch)
})

test('its own entry with another’s on top, folded together, is not leading', () => {
  const it = standby()
  it.actor.send({ type: 'LEASE_WON' })
  it.log.lead('me')
  it.log.lead('other')
  it.fold()
  expect(it.state()).toBe('claiming')
})

test('an own entry that was stored twice moves the epoch on', () => {
  const it = leading()
  it.log.lead('me')
  it.fold()
  expect(it.state()).toBe('leading')
  const id = it.log.submit({ 'troupe-deadline': '1s' })
  it.fold()
  it.log.advance(1_000)
  it.actor.send({ type: 'ALARM', nowMs: it.log.nowMs })
  expect(it.asked).toContainEqual({ do: 'append', epoch: it.log.epoch, entries: [[kind.expired, id]] })
})

test.each([
  ['the lease is lost', 'LEASE_LOST'],
  ['another leads', 'FOLDED'],
])('leading ends when %s, and can begin again', (_, how) => {
  const it = leading()
  if (how === 'LEASE_LOST') it.actor.send({ type: 'LEASE_LOST', reason: 'late' })
  else {
    it.log.lead('other')
    it.fold()
  }
  expect([it.state(), it.effects(), it.agenda()]).toEqual(['standby', ['retire'], undefined])
  it.actor.send({ type: 'LEASE_WON' })
  expect([it.state(), it.effects()]).toEqual(['claiming', ['lead']])
  it.log.lead('me')
  it.fold()
  expect(it.state()).toBe('leading')
})

test('losing the lease while claiming returns to standby', () => {
  const it = standby()
  it.actor.send({ type: 'LEASE_WON' })
  it.actor.send({ type: 'LEASE_LOST', reason: 'late' })
  it.log.lead('me')
  it.fold()
  expect(it.state()).toBe('standby')
})

test.each(['standby', 'leading'])('rules that it does not know retire it for ever, also from %s', (from) => {
  const it = from === 'leading' ? leading() : standby()
  it.actor.send({ type: 'OUTDATED' })
  expect(it.effects()).toEqual(from === 'leading' ? ['retire'] : [])
  it.actor.send({ type: 'LEASE_WON' })
  it.log.lead('me')
  it.fold()
  expect([it.state(), it.effects()]).toEqual(['retired', []])
})

test('what waited before it led is placed when nodes bid, and alarms are set', () => {
  const it = standby()
  const a = it.log.join('a')
  const id = it.log.submit()
  it.log.submit({ 'troupe-delay': '1s' })
  it.fold()
  it.actor.send({ type: 'LEASE_WON' })
  it.log.lead('me')
  it.fold()
  expect(it.asked).toContainEqual({ do: 'wake', atMs: it.log.nowMs + 1_000 })
  it.actor.send({ type: 'REPORTED', incarnation: a.incarnation, report: bid(), nowMs: it.log.nowMs })
  expect(it.asked).toContainEqual({ do: 'award', epoch: it.log.epoch, member: a.member, tasks: [it.log.task(id)] })
})
