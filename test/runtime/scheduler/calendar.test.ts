/** When schedules are due, above all over changes of clocks: Vixie cron's rule. */
import { describe, expect, test } from 'vitest'
import { CronCalendar } from '../../../src/runtime/scheduler/calendar.ts'

const calendar = new CronCalendar()

/** The due times after an instant, in UTC, to the minute. */
function due(schedule: string, timeZone: string, after: string, count: number): string[] {
  const times: string[] = []
  for (let atMs: number | undefined = Date.parse(after); times.length < count; ) {
    atMs = calendar.nextMs({ schedule, timeZone }, atMs)
    if (atMs === undefined) break
    times.push(new Date(atMs).toISOString().slice(0, atMs % 60_000 === 0 ? 16 : 19))
  }
  return times
}

describe('patterns', () => {
  test('have five fields, or six with seconds first, names, ranges, steps and lists', () => {
    expect(due('*/20 9-10 * * MON-FRI', 'UTC', '2026-01-02T10:00:00Z', 4)).toEqual([
      '2026-01-02T10:20',
      '2026-01-02T10:40',
      '2026-01-05T09:00',
      '2026-01-05T09:20',
    ])
    expect(due('*/30 * * * * *', 'UTC', '2026-01-01T00:00:00.250Z', 2)).toEqual([
      '2026-01-01T00:00:30',
      '2026-01-01T00:01',
    ])
    expect(due('0 0 1 JAN,jul *', 'UTC', '2026-01-01T00:00:00Z', 2)).toEqual(['2026-07-01T00:00', '2027-01-01T00:00'])
  })

  test('are of their own time zone, whoever else has the same one', () => {
    const from = '2026-01-01T00:00:00Z'
    expect(due('0 12 * * *', 'UTC', from, 1)).toEqual(['2026-01-01T12:00'])
    expect(due('0 12 * * *', 'Asia/Tokyo', from, 1)).toEqual(['2026-01-01T03:00'])
    expect(due('0 12 * * *', 'UTC', from, 1)).toEqual(['2026-01-01T12:00'])
  })

  test('with both a day of the month and a day of the week fire on either, as cron does', () => {
    expect(due('0 0 13 * FRI', 'UTC', '2026-01-05T00:00:00Z', 3)).toEqual([
      '2026-01-09T00:00',
      '2026-01-13T00:00',
      '2026-01-16T00:00',
    ])
  })

  test('may be nicknames', () => {
    const first = (name: string) => due(name, 'UTC', '2026-01-01T00:30:00Z', 1)[0]
    expect(['@hourly', '@daily', '@weekly', '@monthly', '@yearly', '@annually'].map(first)).toEqual([
      '2026-01-01T01:00',
      '2026-01-02T00:00',
      '2026-01-04T00:00',
      '2026-02-01T00:00',
      '2027-01-01T00:00',
      '2027-01-01T00:00',
    ])
  })

  test('that cannot be read, or zones that nobody knows, are refused with the reason; an impossible day is never due', () => {
    const refused = ['', '* * * *', '61 * * * *', '* * * * * * *', 'tomorrow', '2027-01-01T00:00:00', '@sometimes']
    for (const schedule of refused) {
      expect(() => calendar.nextMs({ schedule, timeZone: 'UTC' }, 0)).toThrow(/cannot be read/)
    }
    expect(() => calendar.nextMs({ schedule: '* * * * *', timeZone: 'Mars/Olympus' }, 0)).toThrow(/time zone "Mars/)
    expect(due('0 0 30 2 *', 'UTC', '2026-01-01T00:00:00Z', 1)).toEqual([])
  })
})

describe('an hour that does not exist', () => {
  test('a fixed time in it fires at the end of the gap, once', () => {
    expect(due('30 2 * * *', 'Europe/Vienna', '2026-03-28T00:00:00Z', 3)).toEqual([
      '2026-03-28T01:30',
      '2026-03-29T01:00', // 03:00, for there is no 02:30
      '2026-03-30T00:30',
    ])
    expect(due('0,30 2,14 * * *', 'Europe/Vienna', '2026-03-29T00:00:00Z', 3)).toEqual([
      '2026-03-29T01:00',
      '2026-03-29T12:00',
      '2026-03-29T12:30',
    ])
    expect(due('0 0 * * *', 'America/Sao_Paulo', '2018-11-03T04:00:00Z', 2)).toEqual([
      '2018-11-04T03:00',
      '2018-11-05T02:00',
    ])
    expect(due('15 2 * * *', 'Australia/Lord_Howe', '2026-10-02T16:00:00Z', 2)).toEqual([
      '2026-10-03T15:30',
      '2026-10-04T15:15',
    ])
  })

  test('a repeating one goes by the clock, which jumps over it', () => {
    expect(due('*/30 * * * *', 'Europe/Vienna', '2026-03-29T00:00:00Z', 3)).toEqual([
      '2026-03-29T00:30',
      '2026-03-29T01:00',
      '2026-03-29T01:30',
    ])
    expect(due('*/30 2 * * *', 'Europe/Vienna', '2026-03-28T23:00:00Z', 1)).toEqual(['2026-03-30T00:00'])
  })
})

describe('an hour that comes twice', () => {
  test('a fixed time in it fires the first time', () => {
    expect(due('30 2 * * *', 'Europe/Vienna', '2026-10-24T00:00:00Z', 3)).toEqual([
      '2026-10-24T00:30',
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ])
    expect(due('30 1 * * *', 'America/New_York', '2026-10-31T06:00:00Z', 2)).toEqual([
      '2026-11-01T05:30',
      '2026-11-02T06:30',
    ])
  })

  test('a repeating one fires in both', () => {
    expect(due('*/30 2 * * *', 'Europe/Vienna', '2026-10-24T23:00:00Z', 5)).toEqual([
      '2026-10-25T00:00',
      '2026-10-25T00:30',
      '2026-10-25T01:00',
      '2026-10-25T01:30',
      '2026-10-26T01:00',
    ])
  })
})
