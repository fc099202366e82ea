/** Rules 5 and 14: signals are durable, in order, once per id, bounded, and never lost between parking and waking. */
import { describe, expect, test } from 'vitest'
import { kind } from '../../../src/protocol/entries.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { checkState } from './describe.ts'
import { TestLog } from './test-log.ts'

function running() {
  const log = new TestLog()
  const a = log.join('a')
  const id = log.submit()
  a.accept(id)
  return { log, a, id, task: log.task(id) }
}

const sequences = (log: TestLog, id: string) => log.task(id).rare?.signals?.map(({ sequence }) => sequence)

describe('signals', () => {
  test('stand in log order, each with the one before it', () => {
    const { log, id, task } = running()
    const [first, second] = [log.signal(id, 'a'), log.signal(id)]
    expect(task.rare?.signals).toEqual([
      { sequence: first, index: -1, previous: 0, id: 'a' },
      { sequence: second, index: -1, previous: first, id: '' },
    ])
  })

  test('count once per id, also after they were consumed', () => {
    const { log, a, id } = running()
    const first = log.signal(id, 's')
    log.signal(id, 's')
    expect(sequences(log, id)).toEqual([first])
    a.checkpoint(id, 1, first)
    log.signal(id, 's')
    expect(sequences(log, id)).toEqual([])
  })

  test('are gone once a snapshot has consumed them, and come again until then (P4)', () => {
    const { log, a, id } = running()
    const [first, second] = [log.signal(id), log.signal(id)]
    a.checkpoint(id, 1, first)
    expect(sequences(log, id)).toEqual([second])
    log.fence(a)
    expect(sequences(log, id)).toEqual([second])
    a.checkpoint(id, 1, second)
    expect(sequences(log, id)).toEqual([second])
  })

  test('are consumed by whatever stores the state: a checkpoint, parking, yielding', () => {
    const { log, a, id } = running()
    const [first, second, third] = [log.signal(id), log.signal(id), log.signal(id)]
    a.park(id, 1, { onSignal: true }, first)
    expect(sequences(log, id)).toEqual([second, third])
    a.accept(id, 2)
    a.write([kind.yielded, id, 2, new Uint8Array([1]), second])
    expect(sequences(log, id)).toEqual([third])
  })

  test('wake a turn that waits for them or for a time', () => {
    const { log, a, id, task } = running()
    a.park(id, 1, { onSignal: true, wakeAtMs: log.nowMs + 60_000 })
    log.signal(id)
    expect(task.status).toBe('waiting')
    a.accept(id, 2)
    expect(task).toMatchObject({ status: 'running', turn: 2 })
  })

  test('that a node claims to have consumed before they came are not lost', () => {
    const { log, a, id } = running()
    log.signal(id)
    a.checkpoint(id, 1, 1e9)
    const second = log.signal(id)
    a.park(id, 1, { onSignal: true }, second - 1)
    expect(log.task(id).status).toBe('waiting')
    expect(sequences(log, id)).toEqual([second])
    const b = log.join('b')
    b.accept(id, 2)
    b.checkpoint(id, 2, second)
    expect(sequences(log, id)).toEqual([])
  })

  test('beyond the cap are set aside, and taken again when there is room', () => {
    const { log, a, id } = running()
    let last = 0
    for (let i = 0; i < limits.signalsPerTaskMax; i++) last = log.signal(id)
    log.signal(id)
    expect(sequences(log, id)?.length).toBe(limits.signalsPerTaskMax)
    expect([...log.state.setAsides][0]?.reason.code).toBe('TROUPE_REFUSED')
    a.checkpoint(id, 1, last)
    const next = log.signal(id)
    expect(sequences(log, id)).toEqual([next])
  })

  test('remember a bounded number of ids', () => {
    const { log, a, id, task } = running()
    for (let i = 0; i < limits.signalsPerTaskMax + 5; i++) a.checkpoint(id, 1, log.signal(id, `s${i}`))
    expect(task.rare?.signalIds?.size).toBe(limits.signalsPerTaskMax)
    expect(task.rare?.signalIds?.has('s5')).toBe(true)
    expect(task.rare?.signalIds?.has('s4')).toBe(false)
  })

  test('for nobody, or for what has ended, are set aside with the reason', () => {
    const { log, a, id } = running()
    a.complete(id)
    log.signal(id)
    log.signal('nobody')
    log.append('troupe.main.signal.a.b', new TextEncoder().encode('{"type":"GO"}'))
    const codes = [...log.state.setAsides].map(({ reason }) => reason.code)
    expect(codes).toEqual(['TROUPE_TASK_FINISHED', 'TROUPE_UNKNOWN_TASK', 'TROUPE_UNKNOWN_TASK'])
  })

  test('from a turn reach another task, one per block', () => {
    const { log, a, id } = running()
    const other = log.submit()
    const sequence = a.write(
      [kind.signalled, id, 1, other, 'one', null],
      [kind.signalled, id, 1, other, 'one', null],
      [kind.signalled, id, 1, other, 'two', null],
    )
    expect(log.task(other).rare?.signals).toEqual([{ sequence, index: 0, previous: 0, id: 'one' }])
    expect([...log.state.setAsides].map(({ reason }) => reason.code)).toEqual(['TROUPE_REFUSED'])
  })
})

describe('a task that parks for signals', () => {
  test('is woken by one', () => {
    const { log, a, id, task } = running()
    a.park(id, 1, { onSignal: true })
    expect(task.status).toBe('parked')
    log.takeChanges()
    log.signal(id)
    expect(log.takeChanges().map(({ what }) => what)).toEqual(['signalled', 'ready'])
    expect(task).toMatchObject({ status: 'waiting', dueAtMs: 0 })
    checkState(log.state)
  })

  test('is ready at once when one beyond its position is already there (rule 5)', () => {
    const { log, a, id, task } = running()
    const seen = log.signal(id)
    log.signal(id)
    a.park(id, 1, { onSignal: true }, seen)
    expect(task.status).toBe('waiting')
  })

  test('stays parked when it has consumed them all', () => {
    const { log, a, id, task } = running()
    const seen = log.signal(id)
    a.park(id, 1, { onSignal: true }, seen)
    expect(task.status).toBe('parked')
  })

  test('is not woken by one that it has had', () => {
    const { log, a, id, task } = running()
    a.park(id, 1, { onSignal: true }, log.signal(id, 's'))
    log.signal(id, 's')
    expect(task.status).toBe('parked')
  })

  test('for a timer alone sleeps on, and has the signal when it wakes', () => {
    const { log, a, id, task } = running()
    a.park(id, 1, { wakeAtMs: log.nowMs + 1_000 })
    const sequence = log.signal(id)
    expect(task.status).toBe('parked')
    log.advance(1_000)
    a.accept(id, 2)
    expect(sequences(log, id)).toEqual([sequence])
  })
})
