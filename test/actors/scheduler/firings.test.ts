/** What a leading scheduler fires and gives up, in log time: over failovers, outages and a change of clocks. */
import { expect, test } from 'vitest'
import { createActor } from 'xstate'
import type { SchedulerEffect } from '../../../src/actors/scheduler/effects.ts'
import { type Calendar, Firings } from '../../../src/actors/scheduler/firings.ts'
import { schedulerMachine } from '../../../src/actors/scheduler/scheduler.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { limits } from '../../../src/protocol/limits.ts'
import type { MissedRule, Schedule } from '../../../src/protocol/schedule.ts'
import { CronCalendar } from '../../../src/runtime/scheduler/calendar.ts'
import { TestLog } from '../ledger/test-log.ts'

const calendar = new CronCalendar()
const start = Date.parse('2026-03-01T00:00:00Z')

function scheduled(
  log: TestLog,
  name: string,
  schedule: string,
  missed: MissedRule = 'latest',
  timeZone = 'UTC',
): void {
  const asked: Schedule = { schedule, timeZone, type: 'work', missed, overlap: 'allow' }
  log.decide([kind.scheduled, name, asked, null, calendar.nextMs(asked, log.nowMs) ?? 0])
}

function logAt(nowMs: number): TestLog {
  const log = new TestLog()
  log.nowMs = nowMs
  log.lead()
  return log
}

/** Lets a leader work until nothing is due any more. */
function work(log: TestLog, firings: Firings): void {
  while (firings.nextMs <= log.nowMs) {
    const entries = firings.alarm(log.nowMs)
    if (entries.length > 0) log.decide(...entries)
    firings.note(log.takeChanges())
  }
}

/** Due times of all tasks, after the name. */
const made = (log: TestLog) => [...log.state.tasks.values()].map(({ id }) => id.split('@')[1])
const since = (firstMs: number, everyMs: number, count: number) =>
  Array.from({ length: count }, (_, n) => `${new Date(firstMs + n * everyMs).toISOString().slice(0, 19)}Z`)

test('a firing whose entry was lost is said again some seconds later, and counts once', () => {
  const log = logAt(start)
  scheduled(log, 'tick', '0 * * * * *')
  const firings = new Firings(log.state, calendar, 0)
  log.nowMs = start + 60_000
  const lost = firings.alarm(log.nowMs)
  expect(lost.length).toBe(1)
  expect(firings.alarm(log.nowMs)).toEqual([])
  log.nowMs += 5_000
  const again = firings.alarm(log.nowMs)
  expect(again).toEqual(lost)
  log.decide(...again)
  log.decide(...lost)
  expect(made(log)).toEqual(since(start + 60_000, 60_000, 1))
})

test('each firing is made when it is due, through any number of leaders, and none twice', () => {
  const log = logAt(start)
  scheduled(log, 'tick', '* * * * * *')
  let firings = new Firings(log.state, calendar, 0)
  for (let second = 1; second <= 40; second++) {
    log.nowMs = start + second * 1_000
    // Nobody leads for a while; then a standby, which has followed the log all along.
    if (second % 10 > 6) continue
    if (second % 10 === 0) {
      const { epoch, leader } = log
      const lost = firings.alarm(log.nowMs)
      log.lead(`s${second}`)
      log.decideAs(leader, epoch, ...lost)
      firings = new Firings(log.state, calendar, 0)
    }
    work(log, firings)
  }
  expect(made(log)).toEqual(since(start + 1_000, 1_000, 40))
})

test('a decision whose fate is unknown is made again, and counts once', () => {
  const log = logAt(start)
  scheduled(log, 'tick', '@hourly')
  const firings = new Firings(log.state, calendar, 0)
  log.advance(3_600_000)
  const lost = firings.alarm(log.nowMs)
  expect([lost.length, firings.alarm(log.nowMs)]).toEqual([1, []])
  log.advance(5_000)
  work(log, firings)
  log.decide(...lost)
  expect(made(log)).toEqual(['2026-03-01T01:00:00Z'])
})

const hour = 3_600_000

test.each<[MissedRule, string[]]>([
  ['skip', []],
  ['latest', ['2026-03-01T12:00:00Z']],
  ['all', since(start + hour, hour, 12)],
])('after an outage of everything, missed %s', (missed, expected) => {
  const log = logAt(start)
  scheduled(log, 'tick', '@hourly', missed)
  log.nowMs = start + 12.5 * hour
  log.lead('s2')
  const firings = new Firings(log.state, calendar, log.nowMs - 3_000)
  work(log, firings)
  expect(made(log)).toEqual(expected)
  log.nowMs = start + 13 * hour
  work(log, firings)
  expect(made(log)).toEqual([...expected, '2026-03-01T13:00:00Z'])
})

test.each<MissedRule>(['skip', 'latest', 'all'])(
  'what is due while a leader takes over is not missed: %s',
  (missed) => {
    const log = logAt(start)
    scheduled(log, 'tick', '* * * * * *', missed)
    log.nowMs = start + 30_000
    log.lead('s2')
    work(log, new Firings(log.state, calendar, start - 1))
    expect(made(log)).toEqual(since(start + 1_000, 1_000, 30))
  },
)

test('a scheduler that stood still for longer than a minute has missed what was due', () => {
  const log = logAt(start)
  scheduled(log, 'tick', '* * * * *', 'skip')
  log.nowMs = start + 10 * 60_000
  work(log, new Firings(log.state, calendar, 0))
  expect(made(log)).toEqual(['2026-03-01T00:09:00Z', '2026-03-01T00:10:00Z'])
})

test('of very many that were missed, the last ones are made up for, a few in each block', () => {
  const log = logAt(start)
  scheduled(log, 'tick', '*/5 * * * * *', 'all')
  log.nowMs = start + 40 * 24 * hour
  log.lead('s2')
  const firings = new Firings(log.state, calendar, log.nowMs)
  const first = firings.alarm(log.nowMs)
  expect(first.length).toBeLessThan(30)
  log.decide(...first)
  firings.note(log.takeChanges())
  work(log, firings)
  const count = limits.firingsMissedMax
  expect(made(log)).toEqual(since(log.nowMs - count * 5_000, 5_000, count + 1))
})

test('the latest of an irregular schedule is found', () => {
  for (const [schedule, latest] of [
    ['30 3 29 2 *', '2028-02-29T03:30:00Z'],
    ['* 4 1 1,6 *', '2030-06-01T04:59:00Z'],
    ['0 0 13 * *', '2030-07-13T00:00:00Z'],
  ] as const) {
    const log = logAt(start)
    scheduled(log, 'tick', schedule)
    log.nowMs = Date.parse('2030-08-01T12:00:00Z')
    log.lead('s2')
    work(log, new Firings(log.state, calendar, log.nowMs))
    expect(made(log)).toEqual([latest])
  }
})

test('over a change of clocks with a failover in the middle of it, each firing is made once', () => {
  const log = logAt(Date.parse('2026-10-24T23:00:00Z'))
  scheduled(log, 'repeating', '*/30 2 * * *', 'latest', 'Europe/Vienna')
  scheduled(log, 'fixed', '30 2 * * *', 'latest', 'Europe/Vienna')
  let firings = new Firings(log.state, calendar, 0)
  for (let minute = 0; minute < 4 * 60; minute++) {
    log.advance(60_000)
    if (minute % 25 === 0) {
      log.lead(`s${minute}`)
      firings = new Firings(log.state, calendar, log.nowMs - 120_000)
    }
    if (minute % 25 > 2) work(log, firings)
  }
  work(log, firings)
  const at = ['2026-10-25T00:00:00Z', '2026-10-25T00:30:00Z', '2026-10-25T01:00:00Z', '2026-10-25T01:30:00Z']
  expect([...log.state.tasks.values()].map(({ id }) => id).sort()).toEqual([
    'fixed@2026-10-25T00:30:00Z',
    ...at.map((one) => `repeating@${one}`),
  ])
})

test('a schedule that this machine cannot read waits for one that can, and holds nobody up', () => {
  const log = logAt(start)
  scheduled(log, 'good', '@hourly')
  scheduled(log, 'odd', '@hourly')
  const ignorant: Calendar = {
    nextMs: (schedule, afterMs) => {
      if (log.state.schedules.get('odd')?.schedule === schedule) throw new Error('no such zone')
      return calendar.nextMs(schedule, afterMs)
    },
  }
  log.advance(hour)
  const firings = new Firings(log.state, ignorant, 0)
  work(log, firings)
  expect([...log.state.tasks.values()].map(({ id }) => id)).toEqual(['good@2026-03-01T01:00:00Z'])
  expect(firings.alarm(log.nowMs + 59_000)).toEqual([])
  work(log, new Firings(log.state, calendar, 0))
  expect(log.state.tasks.has('odd@2026-03-01T01:00:00Z')).toBe(true)
})

test('a schedule that could not be read is tried again later, by the same leader', () => {
  const log = logAt(start)
  scheduled(log, 'odd', '@hourly')
  let isKnown = false
  const learning: Calendar = {
    nextMs: (schedule, afterMs) => {
      if (!isKnown) throw new Error('no such zone')
      return calendar.nextMs(schedule, afterMs)
    },
  }
  log.advance(hour)
  const firings = new Firings(log.state, learning, 0)
  work(log, firings)
  isKnown = true
  log.advance(60_000)
  work(log, firings)
  expect(made(log)).toEqual(['2026-03-01T01:00:00Z'])
})

test('a scheduler fires only while it leads', () => {
  const log = new TestLog()
  log.nowMs = start
  const asked: SchedulerEffect[] = []
  const input = { name: 's1', ledger: log.state, ask: (effect: SchedulerEffect) => asked.push(effect), calendar }
  const actor = createActor(schedulerMachine, { input }).start()
  const fold = () => actor.send({ type: 'FOLDED', changes: log.takeChanges(), nowMs: log.nowMs })
  const appended = () => asked.splice(0).flatMap((effect) => (effect.do === 'append' ? effect.entries : []))
  actor.send({ type: 'LEASE_WON' })
  log.lead('s1')
  fold()
  scheduled(log, 'tick', '* * * * * *')
  fold()
  expect(asked).toContainEqual({ do: 'wake', atMs: start + 1_000 })
  log.advance(1_000)
  actor.send({ type: 'ALARM', nowMs: log.nowMs })
  expect(appended()).toEqual([[kind.fired, 'tick', start + 1_000, start + 2_000, null, expect.any(Number)]])
  log.lead('s2')
  fold()
  actor.send({ type: 'ALARM', nowMs: log.nowMs + 1_000 })
  expect(appended()).toEqual([])
})
