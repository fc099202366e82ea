/**
 * The context object that an async function sees: a thin face of its run. Everything is made when first asked for, because
 * most functions ask for little. Methods may be taken off the object.
 */
import type { Logger } from 'pino'
import type { ChildOptions, MapOptions, StepContext, StepOptions, TaskContext } from '../../client/context.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { durationMs } from '../../protocol/options.ts'
import { mapChildren, submitChild } from './function-children.ts'
import type { FunctionRun } from './function-run.ts'
import { noOptions, runStep } from './function-steps.ts'
import { sleepUntil, waitFor } from './function-waits.ts'

type Method<Name extends keyof TaskContext> = TaskContext[Name]

export class FunctionContext implements TaskContext {
  readonly #run: FunctionRun

  constructor(run: FunctionRun) {
    this.#run = run
  }

  get id(): string {
    return this.#run.port.id
  }

  get attempt(): number {
    return this.#run.port.attempt
  }

  get signal(): AbortSignal {
    return this.#run.abortSignal()
  }

  get log(): Logger {
    return this.#run.port.log
  }

  get restored(): unknown {
    return this.#run.restored()
  }

  get idempotencyKey(): (step?: string) => string {
    return (step) => this.#run.idempotencyKey(step)
  }

  get step(): Method<'step'> {
    return <T>(name: string, fn: (step: StepContext) => T, options?: StepOptions) =>
      runStep(this.#run, name, fn, options ?? noOptions)
  }

  get sleep(): Method<'sleep'> {
    return (duration) => {
      const ms = checked(() => durationMs('sleep', duration))
      return ms instanceof TroupeError ? Promise.reject(ms) : sleepUntil(this.#run, 'sleep', (nowMs) => nowMs + ms)
    }
  }

  get sleepUntil(): Method<'sleepUntil'> {
    return (instant) => {
      const atMs = checked(() => instantMs(instant))
      return atMs instanceof TroupeError ? Promise.reject(atMs) : sleepUntil(this.#run, 'sleepUntil', () => atMs)
    }
  }

  get waitFor(): Method<'waitFor'> {
    return ((type: string, options?: { timeout?: string | number }) => {
      const ms = checked(() => (options?.timeout === undefined ? -1 : durationMs('waitFor timeout', options.timeout)))
      return ms instanceof TroupeError ? Promise.reject(ms) : waitFor(this.#run, type, ms)
    }) as Method<'waitFor'>
  }

  get progress(): Method<'progress'> {
    return (fraction, note = '') => {
      const share = typeof fraction === 'number' && fraction >= 0 ? Math.min(1, fraction) : 0
      if (this.#run.live) this.#run.port.progress(share, String(note).slice(0, limits.errorMessageCharsMax))
    }
  }

  get checkpoint(): Method<'checkpoint'> {
    return (value) => this.#run.checkpoint(value)
  }

  get submit(): Method<'submit'> {
    return ((task: AnyTaskDefinition | string, input: unknown, options?: ChildOptions) =>
      submitChild(this.#run, task, input, options ?? {})) as Method<'submit'>
  }

  get map(): Method<'map'> {
    return ((task: AnyTaskDefinition | string, inputs: readonly unknown[], options?: MapOptions) =>
      mapChildren(this.#run, task, inputs, options ?? {})) as Method<'map'>
  }
}

function checked<T>(read: () => T): T | TroupeError {
  try {
    return read()
  } catch (error) {
    return error as TroupeError
  }
}

function instantMs(instant: Date | number | string): number {
  const ms = typeof instant === 'number' ? instant : instant instanceof Date ? instant.getTime() : Date.parse(instant)
  if (Number.isFinite(ms)) return Math.ceil(ms)
  throw new TroupeError(
    'TROUPE_INVALID_INSTANT',
    `sleepUntil ${String(instant)} is not a Date, a time in ms, or an ISO 8601 text`,
  )
}
