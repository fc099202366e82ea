/**
 * Calls of a context where none may be made: inside a step, which is run as a whole or not at all, and after the function
 * has ended, when nothing would ever answer. Both would be lost without a word.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { TroupeError } from '../../protocol/errors.ts'
import type { LogicPort } from './logic.ts'

interface CallingRun {
  readonly port: LogicPort
}

const stepUnderWay = new AsyncLocalStorage<{ readonly run: CallingRun; readonly name: string }>()

/** Runs a step's function, whose calls are known from then on. */
export function insideStep<T>(run: CallingRun, name: string, fn: () => T): T {
  return stepUnderWay.run({ run, name }, fn)
}

/** Returns why the run takes no call from here; undefined if it does. */
export function misuse(run: CallingRun, hasEnded: boolean): TroupeError | undefined {
  const step = stepUnderWay.getStore()
  if (step?.run === run) {
    return new TroupeError('TROUPE_NESTED_CALL', `ctx was called inside step "${step.name}" of task "${run.port.id}"`, {
      details: { step: step.name },
    })
  }
  if (!hasEnded) return undefined
  const error = new TroupeError(
    'TROUPE_CONTEXT_ENDED',
    `ctx was called after the function of task "${run.port.id}" had ended; the call does nothing`,
  )
  run.port.log.warn({ code: error.code }, error.message)
  return error
}
