/** Runs an async function for one turn: reads its input and snapshot, calls it, and says how it ended. */
import { checkInput } from '../../client/input.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { unpackValue } from '../../protocol/payload.ts'
import { FunctionContext } from './function-context.ts'
import { FunctionRun } from './function-run.ts'
import type { ArrivedSignal, LogicPort, LogicRunner, LogicStart } from './logic.ts'
import { failureRecord } from './outcome.ts'
import { restoredJournal } from './restore.ts'

export class FunctionRunner implements LogicRunner {
  readonly #definition: AnyTaskDefinition
  readonly #port: LogicPort
  #run: FunctionRun | undefined
  /** Signals that came while the input was still being checked. */
  readonly #early: ArrivedSignal[] = []
  #stopped = false

  constructor(definition: AnyTaskDefinition, port: LogicPort) {
    this.#definition = definition
    this.#port = port
  }

  start(from: LogicStart): void {
    let input: unknown
    let run: FunctionRun
    try {
      // No attempt has the number 0: what failed in any of those before the retry is tried again.
      const attempt = from.retried ? 0 : this.#port.attempt
      run = new FunctionRun(this.#definition, this.#port, restoredJournal(this.#definition, from.snapshot, attempt))
      input = checkInput(this.#definition, unpackValue(from.input))
    } catch (error) {
      this.#fault(error)
      return
    }
    for (const signal of from.signals) run.signal(signal)
    if (this.#definition.schema !== undefined && input instanceof Promise) {
      input.then(
        (checked: unknown) => this.#call(run, checked),
        (error: unknown) => this.#fault(error),
      )
    } else this.#call(run, input)
  }

  signal(signal: ArrivedSignal): void {
    if (this.#run !== undefined) this.#run.signal(signal)
    else this.#early.push(signal)
  }

  handBack(graceMs: number): void {
    if (this.#run !== undefined) this.#run.handBack(graceMs)
    else this.#port.handBack(null, 0)
  }

  stop(error: TroupeError | undefined): void {
    this.#stopped = true
    this.#run?.stop(error)
  }

  #call(run: FunctionRun, input: unknown): void {
    if (this.#stopped) return
    this.#run = run
    for (const signal of this.#early) run.signal(signal)
    const { logic } = this.#definition
    if (logic.kind !== 'function') return
    let value: unknown
    try {
      value = (logic.run as (input: unknown, ctx: unknown) => unknown)(input, new FunctionContext(run))
    } catch (error) {
      run.fail(error)
      return
    }
    if (value instanceof Promise) {
      value.then(
        (result: unknown) => run.complete(result),
        (error: unknown) => run.fail(error),
      )
    } else if (typeof (value as PromiseLike<unknown> | undefined)?.then === 'function') {
      Promise.resolve(value as PromiseLike<unknown>).then(
        (result) => run.complete(result),
        (error: unknown) => run.fail(error),
      )
    } else run.complete(value)
  }

  #fault(error: unknown): void {
    if (this.#stopped) return
    const { record, retryable } = failureRecord(error)
    this.#port.fault(record, retryable && !(error instanceof TroupeError))
  }
}
