/** `ctx.sleep`, `ctx.sleepUntil` and `ctx.waitFor`: waits with an absolute due time, kept over turns. */
import { Alarm } from './alarm.ts'
import type { Call } from './call-journal.ts'
import type { FunctionRun } from './function-run.ts'
import type { Wait } from './function-waiting.ts'

/** Resolves at an instant that is computed once, when the wait is first made. */
export function sleepUntil(run: FunctionRun, what: string, dueAtMs: (nowMs: number) => number): Promise<void> {
  return run.call<void>(
    () => run.journal.nextKey(what),
    (call) => {
      if (!call.resumed) call.dueAtMs = Math.max(1, dueAtMs(run.port.nowAtMostMs()))
      waitUntilDue(run, { call }, () => run.finish(call, 'value', null, { value: undefined }))
    },
  )
}

/** Resolves with the next event of the type, or with undefined after `timeoutMs` (-1: never). */
export function waitFor(run: FunctionRun, type: string, timeoutMs: number): Promise<unknown> {
  return run.call<unknown>(
    () => run.journal.nextKey(`waitFor:${type}`),
    (call) => {
      if (!call.resumed && timeoutMs >= 0) call.dueAtMs = Math.max(1, run.port.nowAtMostMs() + timeoutMs)
      const taken = run.journal.takeSignal(type)
      if (taken !== undefined) {
        run.finish(call, 'value', taken.packed, { value: taken.event })
        return
      }
      waitUntilDue(run, { call, event: type }, () => run.finish(call, 'value', null, { value: undefined }))
    },
  )
}

function waitUntilDue(run: FunctionRun, about: { call: Call; event?: string }, due: () => void): void {
  const { call } = about
  const wait: Wait = { ...about }
  if (call.dueAtMs > 0) {
    if (call.dueAtMs <= run.port.nowMs()) {
      due()
      return
    }
    wait.alarm = new Alarm(run.port, call.dueAtMs, () => {
      run.waiting.end(wait)
      due()
    })
  }
  run.waiting.add(wait)
  run.leaveSoon()
}
